#include "initrd/policy/policy.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/encoding.h"
#include "common/nearest.h"
#include "common/paths.h"
#include "common/version_number.h"
#include "initrd/policy/share.h"
#include "initrd/policy/upper_fs.h"
#include "initrd/policy/upper_name.h"
#include "verity/format/version.h"

void ul_policy_init(struct ul_policy *p)
{
	*p = (struct ul_policy){0};
	(void)ul_config_init(ul_policy_keys, p, NULL);
}

void ul_policy_free(struct ul_policy *p)
{
	ul_config_free(ul_policy_keys, p);
	ul_demands_free(p->demands);
	p->demands = NULL;
}

/* ul_policy_init cannot tell that it had no memory for a text. */
static int check_complete(const struct ul_policy *p, struct ul_error *err)
{
	return ul_config_complete(ul_policy_keys, p) ? 0 : ul_error_nomem(err, "reading the policy");
}

/* The hex text as bytes: of SHA-256, SHA-384 or SHA-512. */
static bool parse_hash(const char *hex, uint8_t out[UL_ROOT_HASH_MAX], size_t *ret_len)
{
	size_t len = strlen(hex) / 2;

	if (len != 32 && len != 48 && len != 64)
		return false;
	*ret_len = len;
	return ul_hex_decode(hex, strlen(hex), out, len);
}

const struct ul_param *ul_param_find(const char *name)
{
	for (const struct ul_param *row = ul_params; row->name; row++)
		if (ul_cmdline_is(name, row->name))
			return row;
	return NULL;
}

static const struct ul_config_key *find_key(const struct ul_param *row)
{
	return row->key ? ul_config_find(ul_policy_keys, row->section, row->key) : NULL;
}

static bool is_allowed(const struct ul_policy *p, const struct ul_param *row)
{
	for (char **name = p->allow; name && *name; name++)
		if (ul_cmdline_is(*name, row->name))
			return true;
	return false;
}

/* ---- what the settings of a text must say together ---- */

/* The text that was read, and where a failure goes. */
struct source {
	const char *text;
	size_t len;
	const char *name;
	struct ul_error *err;
};

/* What is wrong is told of the line that sets KEY; with a word, of the one that has it among its own. */
__attribute__((format(printf, 6, 7))) static int wrong(const struct source *from, const char *section, const char *key,
						       const char *word, const char *todo, const char *format, ...)
{
	const struct ul_config_key *row = ul_config_find(ul_policy_keys, section, key);
	unsigned int line = row ? ul_config_line(from->text, from->len, row, word) : 0;
	char what[64], where[256], why[320];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	snprintf(what, sizeof(what), "reading [%s] %s", section, key);
	snprintf(where, sizeof(where), line ? "%s:%u" : "%s", from->name, line);
	return ul_error_set(from->err, UL_E_CONFIG, what, where, todo, "%s", why);
}

static bool permits_whole(const struct ul_policy *p)
{
	const struct ul_upper_fs *fs;

	for (size_t i = 0; (fs = ul_upper_fs_permitted(p, i)); i++)
		if (fs->whole)
			return true;
	return false;
}

/* A disk's upper needs to be named; what is named must make sense. */
static int check_upper(const struct ul_policy *p, const struct source *from)
{
	static const char names[] = "Write PARTLABEL=, PARTUUID=, PARTTYPE=, LABEL=, UUID= or a path.";
	const struct ul_upper_fs *fs = ul_upper_fs_permitted(p, 0);
	struct ul_upper_name device = {0};
	const char *bad;

	if (p->upper_type != UL_UPPER_DISK)
		return 0;
	if (!p->upper_device)
		return wrong(from, "upper", "type", NULL,
			     "Set device: PARTLABEL=, PARTUUID=, PARTTYPE=, LABEL=, UUID= or a path.",
			     "device is missing: type = disk needs it");
	bad = ul_upper_parse_name(p->upper_device, &device);
	if (bad)
		return wrong(from, "upper", "device", NULL, names, "device \"%.100s\": %s", p->upper_device, bad);
	if (p->upper_guard == UL_UPPER_GUARD_CHECKED && (!p->upper_check || !permits_whole(p)))
		return wrong(from, "upper", "guard", NULL, "Set [upper] guard = auto.", "guard = checked, but %s",
			     p->upper_check ? "none of the filesystems has a check that reads all of it"
					    : "check = no");
	if (p->upper_prepare == UL_UPPER_PREPARE_NO)
		return 0;
	if (device.by == UL_UPPER_BY_LABEL || device.by == UL_UPPER_BY_UUID)
		return wrong(from, "upper", "device", NULL, "Name the device by its partition.",
			     "prepare = format, but a filesystem that is not made yet has no %s",
			     device.by == UL_UPPER_BY_LABEL ? "label" : "UUID");
	if (strlen(p->upper_label) > fs->label_max)
		return wrong(from, "upper", "label", NULL, "Write a shorter one.",
			     "label: %s has labels of %zu bytes at most", fs->name, fs->label_max);
	return 0;
}

static int check_image(const struct ul_policy *p, const struct source *from)
{
	struct ul_upper_name name;
	const char *bad = p->file_device ? ul_upper_parse_name(p->file_device, &name) : NULL;

	if (p->name && !ul_image_name_valid(p->name))
		return wrong(from, "image", "name", NULL, "Write the name that `underlay image inspect` shows.",
			     "\"%.100s\" is not the name of any image: it has 1 to 63 letters, digits and . + ~ ^ -",
			     p->name);
	if (bad)
		return wrong(from, "image", "file-device", NULL,
			     "Write PARTLABEL=, PARTUUID=, LABEL=, UUID= or a path.", "file-device \"%.100s\": %s",
			     p->file_device, bad);
	if (p->file && !p->file_device)
		return wrong(from, "image", "file", NULL, "Set file-device, or unset file.",
			     "file is set without file-device, which names the device whose filesystem holds the file");
	if (p->file_device && !p->file)
		return wrong(from, "image", "file-device", NULL, "Set file, or unset file-device.",
			     "file-device is set without file, which names the image on the filesystem of that device");
	if (p->file && p->disks)
		return wrong(from, "image", "disks", NULL, "Unset disks, or file.",
			     "the image is on a disk or in a file, not both");
	return 0;
}

/*
 * Nobody verifies a share, so the policy has to say that word too: whoever reads it must find it. Without a share the
 * word means nothing. A demand for more would look as if it held.
 */
static int check_share(const struct ul_policy *p, const struct source *from)
{
	bool insecure = p->verify_mode == UL_POLICY_INSECURE;
	struct ul_share parsed;
	const char *bad = p->lower_share ? ul_share_parse(p->lower_share, &parsed) : NULL;

	if (bad)
		return wrong(from, "lower", "share", NULL, "Write virtiofs:TAG or 9p:TAG.", "\"%.100s\": %s",
			     p->lower_share, bad);
	if (p->lower_share && !insecure)
		return wrong(from, "lower", "share", NULL,
			     "Set [verify] mode = insecure, for development only, or unset share.",
			     "[verify] mode = %s demands a lower that is verified, and nothing can verify a directory "
			     "that the host shares",
			     ul_policy_mode_words[p->verify_mode]);
	if (insecure && !p->lower_share)
		return wrong(from, "verify", "mode", NULL, "Set [lower] share, or another [verify] mode.",
			     "[verify] mode is insecure, and no shared directory is named; an image is always "
			     "verified");
	if (!insecure)
		return 0;
	if (p->pinned_len || p->rollback_min || p->corruption || p->read_error)
		return wrong(from, "verify", "mode", NULL, "Unset them, or share.",
			     "root-hash, rollback-min, corruption and read-error hold nothing where "
			     "[verify] mode is insecure");
	if (p->file || p->disks)
		return wrong(from, "lower", "share", NULL, "Unset [image] disks and file.",
			     "the lower is a shared directory or an image, not both");
	return 0;
}

/* A permission that cannot be given is a mistake; a misspelt one would look as if it were given. */
static int check_allow(const struct ul_policy *p, const struct source *from)
{
	for (char **name = p->allow; name && *name; name++) {
		const struct ul_param *row = ul_param_find(*name);
		struct ul_nearest nearest = {.word = *name};
		char todo[128] = "Remove it.";

		if (row && row->rule != UL_PARAM_REFUSED && row->rule != UL_PARAM_IGNORED)
			continue;
		for (const struct ul_param *other = ul_params; other->name; other++)
			if (other->rule != UL_PARAM_REFUSED && other->rule != UL_PARAM_IGNORED)
				ul_nearest_offer(&nearest, other->name);
		if (nearest.best && (!row || (row->rule == UL_PARAM_REFUSED && !row->key)))
			snprintf(todo, sizeof(todo), "Did you mean \"%s\"? Correct its spelling, or remove it.",
				 nearest.best);
		return wrong(from, "cmdline", "allow", *name, todo, "\"%.60s\" cannot be allowed: %s", *name,
			     row ? row->why : "there is no such parameter");
	}
	return 0;
}

/* The pin of an image of the other kind is somebody else's. */
static bool is_of_other_kind(const struct ul_policy *p, const struct ul_param *row)
{
	return (!strcmp(row->name, "roothash") && p->designator != UL_DESIGNATOR_ROOT) ||
	       (!strcmp(row->name, "usrhash") && p->designator != UL_DESIGNATOR_USR);
}

/* Whether a command line could bring the pin that the policy lacks. */
static bool allows_pin(const struct ul_policy *p)
{
	for (const struct ul_param *row = ul_params; row->name; row++)
		if (row->rule == UL_PARAM_STRENGTHEN && row->key && !strcmp(row->key, "root-hash") &&
		    is_allowed(p, row) && !is_of_other_kind(p, row))
			return true;
	return false;
}

/* Mode pinned without a pin, and with none to come, starts nothing: that shows where the policy is packed. */
static int check_verify(struct ul_policy *p, const struct source *from)
{
	const char *parameter = p->designator == UL_DESIGNATOR_ROOT ? "roothash" : "usrhash";
	char todo[120];

	if (p->root_hash && !parse_hash(p->root_hash, p->pinned, &p->pinned_len))
		return wrong(from, "verify", "root-hash", NULL, "Write what `underlay image inspect` shows.",
			     "\"%.140s\" is not a root hash: 64, 96 or 128 digits of hex", p->root_hash);
	if (p->verify_mode != UL_POLICY_PINNED || p->pinned_len || allows_pin(p))
		return 0;
	snprintf(todo, sizeof(todo), "Set root-hash, name %s in [cmdline] allow, or set another mode.", parameter);
	return wrong(
		from, "verify", "mode", NULL, todo,
		"mode = pinned, but there is no root-hash, and the command line may not bring it: no image would be "
		"started");
}

static int check_database(const struct ul_policy *p, const struct source *from)
{
	if (p->nix_version && ul_version_at_least(p->nix_version, 0, 0) < 0)
		return wrong(from, "database", "nix-version", NULL, "Write what `nix --version` says at its end.",
			     "\"%.60s\" is not a version of Nix, such as 2.26", p->nix_version);
	return 0;
}

int ul_policy_parse(struct ul_policy *p, const char *text, size_t len, const char *name, struct ul_error *err)
{
	const struct source from = {text, len, name, err};
	int r = ul_config_parse(ul_policy_keys, text, len, name, p, err);

	if (r == 0)
		r = check_complete(p, err);
	if (r == 0)
		r = check_allow(p, &from);
	if (r == 0)
		r = check_verify(p, &from);
	if (r == 0)
		r = check_image(p, &from);
	if (r == 0)
		r = check_share(p, &from);
	if (r == 0)
		r = check_database(p, &from);
	return r < 0 ? r : check_upper(p, &from);
}

bool ul_policy_is_default(const struct ul_policy *p, const char *section, const char *key)
{
	const struct ul_config_key *row = ul_config_find(ul_policy_keys, section, key);
	struct ul_policy defaults;
	bool same;

	ul_policy_init(&defaults);
	same = row && ul_config_same(row, p, &defaults);
	ul_policy_free(&defaults);
	return same;
}

/* ---- the command line ---- */

static int refuse(const struct ul_cmdline_arg *arg, const char *why, const char *todo, struct ul_error *err)
{
	char object[200];

	snprintf(object, sizeof(object), "%.80s%s%.100s", arg->name, arg->value ? "=" : "",
		 arg->value ? arg->value : "");
	return ul_error_set(err, UL_E_CMDLINE, "reading the kernel command line", object,
			    todo ? todo : "Remove it from the kernel command line.", "%s", why);
}

static int nomem(struct ul_error *err)
{
	return ul_error_nomem(err, "reading the kernel command line");
}

static int apply_pin(struct ul_policy *p, const struct ul_param *row, const struct ul_cmdline_arg *arg,
		     struct ul_error *err)
{
	uint8_t hash[UL_ROOT_HASH_MAX];
	size_t len;
	int r;

	if (is_of_other_kind(p, row))
		return 0;
	if (!arg->value || !parse_hash(arg->value, hash, &len))
		return refuse(arg, "it is not a root hash: 64, 96 or 128 digits of hex", NULL, err);
	r = ul_demand_root_hash(&p->demands, hash, len);
	if (r == -ENOMEM)
		return nomem(err);
	if (r < 0 || (p->pinned_len && (p->pinned_len != len || memcmp(p->pinned, hash, len) != 0)))
		return refuse(arg, "another root hash is pinned already", NULL, err);
	if (is_allowed(p, row)) {
		memcpy(p->pinned, hash, len);
		p->pinned_len = len;
	}
	return 0;
}

static int apply_floor(struct ul_policy *p, const struct ul_cmdline_arg *arg, const struct ul_config_key *key,
		       struct ul_error *err)
{
	struct ul_policy asked = {0};
	int r = ul_config_set(key, arg->value ? arg->value : "", "kernel command line", &asked, err);

	if (r < 0)
		return refuse(arg, err ? err->why : "", NULL, err);
	r = asked.rollback_min < p->rollback_min ? -ERANGE : ul_demand_rollback_min(&p->demands, asked.rollback_min);
	if (r == -ENOMEM)
		return nomem(err);
	return r < 0 ? refuse(arg, "more than that is demanded already", NULL, err) : 0;
}

static int apply_strengthen(struct ul_policy *p, const struct ul_param *row, const struct ul_cmdline_arg *arg,
			    struct ul_error *err)
{
	const struct ul_config_key *key = find_key(row);

	if (key)
		return key->kind == UL_CONFIG_STRING ? apply_pin(p, row, arg, err) : apply_floor(p, arg, key, err);
	/* A kernel switch: only its "on" does not weaken. */
	if (!arg->value || !strcmp(arg->value, "1") || !strcasecmp(arg->value, "y"))
		return 0;
	return refuse(arg, row->why, NULL, err);
}

static int set(struct ul_policy *p, const struct ul_param *row, const struct ul_cmdline_arg *arg, struct ul_error *err)
{
	const struct ul_config_key *key = find_key(row);

	if (!key) {
		/* quiet */
		if (p->log_level > UL_POLICY_LOG_WARNING)
			p->log_level = UL_POLICY_LOG_WARNING;
		return 0;
	}
	if (ul_config_set(key, arg->value ? arg->value : "", "kernel command line", p, err) < 0)
		return refuse(arg, err ? err->why : "", NULL, err);
	return 0;
}

static int apply_allowed(struct ul_policy *p, const struct ul_param *row, const struct ul_cmdline_arg *arg,
			 struct ul_error *err)
{
	bool is_init = !strcmp(row->name, "init");
	char todo[160];

	if (is_init) {
		/* What will be started is known once the image is open: stage lower compares. */
		if (!arg->value || arg->value[0] != '/')
			return refuse(arg, "it is not an absolute path", NULL, err);
		return ul_demand_init(&p->demands, arg->value) < 0 ? nomem(err) : 0;
	}
	if (!is_allowed(p, row)) {
		snprintf(todo, sizeof(todo), "Remove it, or name it in [cmdline] allow of the initramfs' policy.");
		return refuse(arg, row->why, todo, err);
	}
	if (row->key && !strcmp(row->key, "action") && arg->value && !strcmp(arg->value, "shell"))
		return refuse(arg, "a shell is the policy's to grant", NULL, err);
	return set(p, row, arg, err);
}

int ul_policy_apply(struct ul_policy *p, const struct ul_cmdline *c, struct ul_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->n; i++) {
		const struct ul_cmdline_arg *arg = &c->args[i];
		const struct ul_param *row = ul_param_find(arg->name);

		if (!row)
			continue;
		switch (row->rule) {
		case UL_PARAM_FREE:
			r = set(p, row, arg, err);
			break;
		case UL_PARAM_STRENGTHEN:
			r = apply_strengthen(p, row, arg, err);
			break;
		case UL_PARAM_ALLOWED:
			r = apply_allowed(p, row, arg, err);
			break;
		case UL_PARAM_REFUSED:
			r = refuse(arg, row->why, NULL, err);
			break;
		case UL_PARAM_IGNORED:
			break;
		}
	}
	return r;
}

bool ul_policy_wants_certificates(const struct ul_policy *p)
{
	return p->verify_mode == UL_POLICY_USER || p->verify_mode == UL_POLICY_BOTH;
}

int ul_policy_finish(struct ul_policy *p, size_t n_certificates, struct ul_error *err)
{
	static const char what[] = "reading the policy";
	int r = check_complete(p, err);

	if (r < 0)
		return r;
	if (p->verify_mode == UL_POLICY_PINNED && !p->pinned_len && ul_demands_of_image(p->demands))
		return ul_error_set(err, UL_E_CMDLINE, what, UL_PATH_CONF,
				    "Set [verify] root-hash, or name usrhash in [cmdline] allow.",
				    "[verify] mode is pinned, the policy pins no root hash, and the command line may "
				    "not decide what is trusted");
	if (p->verify_mode == UL_POLICY_PINNED && !p->pinned_len)
		return ul_error_set(err, UL_E_CONFIG, what, UL_PATH_CONF, "Set [verify] root-hash, or another mode.",
				    "[verify] mode is pinned, but no root hash is");
	/* The policy itself demands none of this: see check_share. */
	if (p->verify_mode == UL_POLICY_INSECURE && ul_demands_of_image(p->demands))
		return ul_error_set(err, UL_E_CMDLINE, what, UL_PATH_CONF,
				    "Remove the root hash and the rollback index from the kernel command line.",
				    "the command line demands what nothing can hold where [verify] mode is insecure");
	if (ul_policy_wants_certificates(p) && n_certificates == 0)
		return ul_error_set(err, UL_E_CONFIG, what, UL_PATH_CERTS,
				    "Build the initramfs with --cert, or set another [verify] mode.",
				    "there is no certificate, so no signature can be trusted");
	return 0;
}

/* ---- settings without effect ---- */

/* Whether the policy lets the command line set this setting. */
static bool is_open(const struct ul_policy *p, const char *section, const char *key)
{
	for (const struct ul_param *row = ul_params; row->name; row++)
		if (row->rule == UL_PARAM_ALLOWED && row->key && !strcmp(row->section, section) &&
		    !strcmp(row->key, key) && is_allowed(p, row))
			return true;
	return false;
}

/* The first need that is in the way of this setting; NULL: it has its effect. */
static const struct ul_config_need *unmet_need(const struct ul_policy *p, const struct ul_config_key *key)
{
	const struct ul_config_need *unmet = NULL;

	for (size_t i = 0; i < UL_CONFIG_NEEDS && key->needs[i].key; i++) {
		const struct ul_config_need *need = &key->needs[i];
		bool met = ul_config_meets(ul_policy_keys, need, p) || is_open(p, need->section, need->key);

		if (met && key->any_need)
			return NULL;
		if (!met && !unmet)
			unmet = need;
	}
	return unmet;
}

static int add_idle(const struct ul_config_key *key, const struct ul_config_need *need, struct ul_names *ret)
{
	const struct ul_config_key *other = ul_config_find(ul_policy_keys, need->section, need->key);
	char text[256];
	size_t at = (size_t)snprintf(text, sizeof(text), "[%s] %s has no effect: it needs [%s] %s =", key->section,
				     key->key, need->section, need->key);
	const char *before = "";

	for (unsigned int i = 0; other->choices[i] && at < sizeof(text); i++) {
		if (!(need->values & UL_CONFIG_IS(i)))
			continue;
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s %s", before, other->choices[i]);
		before = " or";
	}
	return ul_names_add(ret, text);
}

int ul_policy_idle(const struct ul_policy *p, struct ul_names *ret, struct ul_error *err)
{
	struct ul_policy defaults;
	int r = 0;

	ul_policy_init(&defaults);
	for (const struct ul_config_key *key = ul_policy_keys; r == 0 && key->key; key++) {
		const struct ul_config_need *need = unmet_need(p, key);

		if (need && !ul_config_same(key, p, &defaults))
			r = add_idle(key, need, ret);
	}
	ul_policy_free(&defaults);
	return r < 0 ? ul_error_nomem(err, "reading the policy") : 0;
}
