/*
 * Stage policy. Before: the log works. After: b->policy is what the initramfs' configuration demands with
 * what the command line may change of it; b->trust holds the certificates. Nothing was read from a disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/linkhash.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/paths.h"
#include "initrd/base/boot.h"
#include "initrd/base/log.h"
#include "initrd/stages/stages.h"

static const char reading_policy[] = "reading the policy";
static const char reading_cmdline[] = "reading the kernel command line";

static const enum ul_log_level levels[] = {
	[UL_POLICY_LOG_ERROR] = UL_LOG_ERROR,
	[UL_POLICY_LOG_WARNING] = UL_LOG_WARNING,
	[UL_POLICY_LOG_INFO] = UL_LOG_INFO,
	[UL_POLICY_LOG_DEBUG] = UL_LOG_DEBUG,
};

static void log_library_line(const char *line)
{
	ul_log(UL_LOG_DEBUG, "verify: %s", line);
}

/* No configuration at all: the defaults, which are the secure ones. */
static int read_configuration(struct ul_boot *b, struct ul_error *err)
{
	ul_autobuffer struct ul_buffer text = {0};
	ul_autofree char *path = ul_path_join(b->conf_dir, UL_PATH_CONF);
	int r;

	if (!path)
		return ul_error_nomem(err, reading_policy);
	r = ul_read_file(AT_FDCWD, path, UL_CONFIG_MAX, &text);
	if (r == -ENOENT) {
		ul_log(UL_LOG_INFO, "policy: there is no %s: the defaults hold", UL_PATH_CONF);
		return 0;
	}
	if (r < 0)
		return ul_error_errno(err, UL_E_CONFIG, reading_policy, path, "Build the initramfs again.", -r);
	return ul_policy_parse(&b->policy, (const char *)text.data, text.len, UL_PATH_CONF, err);
}

static int read_cmdline(struct ul_boot *b, struct ul_error *err)
{
	ul_autobuffer struct ul_buffer text = {0};
	ul_autofree char *path = ul_path_join(b->proc_dir, "cmdline");
	struct ul_cmdline cmdline = {0};
	int r = 0;

	if (!path)
		return ul_error_nomem(err, reading_cmdline);
	if (b->cmdline)
		r = ul_buffer_append(&text, b->cmdline, strlen(b->cmdline));
	else
		r = ul_read_file(AT_FDCWD, path, UL_CMDLINE_MAX, &text);
	if (r < 0)
		return ul_error_errno(err, UL_E_CMDLINE, reading_cmdline, path, NULL, -r);
	r = ul_cmdline_parse((const char *)text.data, text.len, &cmdline, err);
	if (r == 0)
		r = ul_policy_apply(&b->policy, &cmdline, err);
	ul_cmdline_free(&cmdline);
	return r;
}

/* `initrd build` tells these too; a policy that came into an initramfs by another way is told of here only. */
static int tell_idle(const struct ul_boot *b, struct ul_error *err)
{
	ul_autonames struct ul_names idle = {0};
	int r = ul_policy_idle(&b->policy, &idle, err);

	for (size_t i = 0; i < idle.n; i++)
		ul_log(UL_LOG_INFO, "policy: %s", idle.at[i]);
	return r;
}

int ul_stage_policy(struct ul_boot *b, struct ul_error *err)
{
	ul_autofree char *certs = ul_path_join(b->conf_dir, UL_PATH_CERTS);
	int r;

	/*
	 * json-c's default hash wants a random seed, and this early a machine without RDRAND gathers
	 * entropy for a second before it gives one. The one JSON text that is parsed unverified is
	 * bounded to 256 KiB: keys that collide all cost seconds, which whoever has the disk can
	 * take anyway.
	 */
	(void)json_global_set_string_hash(JSON_C_STR_HASH_PERLLIKE);
	r = certs ? read_configuration(b, err) : ul_error_nomem(err, reading_policy);

	if (r < 0) {
		/* Half a policy does not count: what a failure leads to is then the default, too. */
		ul_policy_free(&b->policy);
		ul_policy_init(&b->policy);
		return r;
	}
	ul_log_set_level(levels[b->policy.log_level]);
	r = read_cmdline(b, err);
	if (r < 0)
		return r;
	ul_log_set_level(levels[b->policy.log_level]);
	if (b->no_new_code)
		ul_log(UL_LOG_DEBUG, "early: no writable memory becomes code");
	ul_verity_set_log(b->policy.log_level == UL_POLICY_LOG_DEBUG ? log_library_line : NULL);
	r = tell_idle(b, err);
	if (r < 0)
		return r;
	r = ul_trust_load_dir(AT_FDCWD, certs, &b->trust, err);
	if (r < 0)
		return r;
	return ul_policy_finish(&b->policy, b->trust ? ul_trust_count(b->trust) : 0, err);
}
