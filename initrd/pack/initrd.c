/* Collecting what an initramfs holds, compressing it, writing it. */
#include "initrd/pack/initrd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <zstd.h>

#include "common/config.h"
#include "common/file.h"
#include "common/paths.h"
#include "initrd/pack/elf.h"
#include "initrd/pack/libs.h"
#include "initrd/pack/upper.h"
#include "initrd/policy/policy.h"
#include "initrd/policy/share.h"
#include "initrd/policy/upper_fs.h"
#include "initrd/layout/start.h"
#include "initrd/layout/watchdogs.h"
#include "verity/format/pkcs7.h"

static const char reading[] = "reading a file for the initramfs", compressing[] = "compressing the initramfs";
static const char packing_init[] = "packing the init", packing_cert[] = "packing a certificate";

/* Input of one step of compression, in bytes: how often progress is reported. */
#define STEP (1u << 20)

/*
 * What must exist before underlay-init has mounted anything. The kernel opens /dev/console for it, and
 * brings that node itself only where it was built without an own initramfs.
 */
static const struct {
	const char *path;
	mode_t mode;
	unsigned major, minor; /* both 0: a directory */
} base[] = {
	{"/bin", 0755, 0, 0},          /* underlay-init */
	{"/dev", 0755, 0, 0},          /* devtmpfs is mounted here */
	{"/dev/console", 0600, 5, 1},  /* standard input and output of /init */
	{"/dev/kmsg", 0644, 1, 11},    /* the log, should mounting /dev fail */
	{"/dev/null", 0666, 1, 3},     /* for libraries that open it early */
	{"/proc", 0555, 0, 0},         /* mount point */
	{"/sys", 0555, 0, 0},          /* mount point */
	{"/run", 0755, 0, 0},          /* mount point */
	{"/tmp", 01777, 0, 0},         /* SQLite's and libcryptsetup's temporary files */
	{"/etc/underlay", 0755, 0, 0}, /* the policy; an empty one means the built-in policy */
	{UL_PATH_CERTS, 0755, 0, 0},   /* certificates; an empty one trusts nobody */
};

static int add_base(struct ul_cpio *c, struct ul_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < UL_ARRAY_SIZE(base); i++)
		r = base[i].major ? ul_cpio_add_node(c, base[i].path, base[i].mode, base[i].major, base[i].minor, err)
				  : ul_cpio_add_dir(c, base[i].path, base[i].mode, err);
	return r;
}

static int read_input(const char *path, size_t max, struct ul_buffer *ret, struct ul_error *err)
{
	int r = ul_read_file(AT_FDCWD, path, max, ret);

	if (r == -ENOMEM)
		return ul_error_nomem(err, reading);
	return r < 0 ? ul_error_errno(err, UL_E_SYSTEM, reading, path, NULL, -r) : 0;
}

static int add_init(struct ul_cpio *c, const char *path, struct ul_error *err)
{
	ul_autobuffer struct ul_buffer bytes = {0};
	int r = read_input(path, UL_CPIO_FILE_MAX, &bytes, err);

	if (r < 0)
		return r;
	if (!ul_elf_is(bytes.data, bytes.len))
		return ul_error_set(err, UL_E_INPUT, packing_init, path, "Give the program underlay-init.",
				    "it is not a program");
	r = ul_pack_libs(c, bytes.data, bytes.len, path, "", err);
	if (r < 0)
		return r;
	bytes.len = ul_elf_strip(bytes.data, bytes.len);
	return ul_cpio_add_file(
		c, &(struct ul_cpio_file){UL_START_NEXT, 0755, bytes.data, bytes.len, UL_CPIO_INIT, path}, err);
}

/* Programs of the same build, which lie beside underlay-init and want no libraries. */
static int add_beside(struct ul_cpio *c, const char *init, const char *name, const char *to, struct ul_error *err)
{
	const char *slash = strrchr(init, '/');
	ul_autobuffer struct ul_buffer bytes = {0};
	ul_autofree char *path = NULL;
	int r;

	if (asprintf(&path, "%.*s%s", slash ? (int)(slash + 1 - init) : 0, init, name) < 0)
		return ul_error_nomem(err, packing_init);
	r = read_input(path, UL_CPIO_FILE_MAX, &bytes, err);
	if (r < 0)
		return r;
	if (!ul_elf_is(bytes.data, bytes.len))
		return ul_error_set(err, UL_E_INPUT, packing_init, path, "Install it beside underlay-init.",
				    "it is not a program");
	bytes.len = ul_elf_strip(bytes.data, bytes.len);
	return ul_cpio_add_file(c, &(struct ul_cpio_file){to, 0755, bytes.data, bytes.len, UL_CPIO_INIT, path}, err);
}

/*
 * A misspelt setting would show at the first boot only, by a machine that refuses to start. Who wants to see that,
 * as a test of the boot may, packs the file by --add.
 */
static int add_config(struct ul_cpio *c, const char *path, struct ul_policy *policy, struct ul_error *err)
{
	ul_autobuffer struct ul_buffer bytes = {0};
	int r = read_input(path, UL_CONFIG_MAX, &bytes, err);

	if (r == 0)
		r = ul_policy_parse(policy, (const char *)bytes.data, bytes.len, path, err);
	if (r < 0)
		return r;
	return ul_cpio_add_file(
		c, &(struct ul_cpio_file){UL_PATH_CONF, 0644, bytes.data, bytes.len, UL_CPIO_CONFIG, path}, err);
}

/* By the boot's own judgement: what it would refuse would show at the first boot only. */
static int check_certificate(const struct ul_buffer *bytes, const char *path, struct ul_error *err)
{
	ul_autox509 X509 *cert = NULL;
	char buf[80];
	int r = ul_certificate_parse(bytes, path, UL_E_INPUT, packing_cert, &cert, err);
	const char *defect = r == 0 ? ul_key_defect(X509_get0_pubkey(cert), buf, sizeof(buf)) : NULL;

	if (defect)
		r = ul_error_set(err, UL_E_INPUT, packing_cert, path, "Sign with a stronger key.", "%s", defect);
	return r;
}

/* /etc/verity.d/NAME.crt: only files of that ending are believed. */
static int add_certificate(struct ul_cpio *c, const char *path, struct ul_error *err)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	const char *dot = strrchr(name, '.');
	int stem = (int)(dot && dot != name ? (size_t)(dot - name) : strlen(name));
	ul_autobuffer struct ul_buffer bytes = {0};
	ul_autofree char *to = NULL;
	int r = read_input(path, UL_INITRD_CERT_MAX, &bytes, err);

	if (r == 0)
		r = check_certificate(&bytes, path, err);
	if (r < 0)
		return r;
	if (asprintf(&to, "%s/%.*s.crt", UL_PATH_CERTS, stem, name) < 0)
		return ul_error_nomem(err, packing_cert);
	return ul_cpio_add_file(c, &(struct ul_cpio_file){to, 0644, bytes.data, bytes.len, UL_CPIO_CONFIG, path}, err);
}

static int add_file(struct ul_cpio *c, const struct ul_initrd_file *f, struct ul_error *err)
{
	ul_autobuffer struct ul_buffer bytes = {0};
	struct stat st;
	mode_t mode;
	int r = read_input(f->from, UL_CPIO_FILE_MAX, &bytes, err);

	if (r < 0)
		return r;
	if (stat(f->from, &st) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, reading, f->from, NULL, errno);
	r = ul_pack_libs(c, bytes.data, bytes.len, f->from, "", err);
	if (r < 0)
		return r;
	/* Only that it is executable is taken over, not the build machine's umask or owner. */
	mode = st.st_mode & 0111 ? 0755 : 0644;
	return ul_cpio_add_file(c, &(struct ul_cpio_file){f->to, mode, bytes.data, bytes.len, UL_CPIO_ADDED, f->from},
				err);
}

/* For an image that is a file: the loop device, and the filesystems that it may be on (initrd/stages/find_file.c). */
static const char *const for_files[] = {"loop", "vfat", "nls_cp437", "nls_ascii", "nls_utf8", "isofs"};

/* The modules that the caller wants, and those that the policy will load. */
struct wants {
	struct ul_module_want *rows; /* owned; names are borrowed */
	size_t count;
};

static const char *const for_watchdogs[] = {UL_WATCHDOG_DRIVERS};

static void want(struct wants *w, const char *name, enum ul_module_how how, bool required, const char *why)
{
	w->rows[w->count++] = (struct ul_module_want){name, how, required, why};
}

static void want_for_upper(const struct ul_policy *policy, struct wants *w)
{
	const struct ul_upper_fs *fs;

	for (size_t i = 0; policy->upper_type == UL_UPPER_DISK && (fs = ul_upper_fs_permitted(policy, i)); i++) {
		want(w, fs->name, UL_MODULE_BY_NAME, true, "the policy's [upper] permits it");
		if (fs->quota_module)
			want(w, fs->quota_module, UL_MODULE_BY_NAME, false, "the upper may count quotas");
	}
}

static int collect_wants(const struct ul_initrd_options *o, const struct ul_policy *policy, struct wants *ret,
			 struct ul_error *err)
{
	size_t count = o->want_count;
	struct ul_share share = {0};
	bool shared = policy->lower_share && !ul_share_parse(policy->lower_share, &share);
	/* The default's are in the list of modules that holds where the caller gives no other. */
	char **filesystems = ul_policy_is_default(policy, "lower", "filesystems") ? NULL : policy->filesystems;

	for (char **name = policy->modules; name && *name; name++)
		count++;
	for (char **name = filesystems; name && *name; name++)
		count++;
	for (size_t i = 0; ul_upper_fs_permitted(policy, i); i++)
		count += 2;
	count += UL_ARRAY_SIZE(for_files) + UL_ARRAY_SIZE(share.kind->modules) + UL_ARRAY_SIZE(for_watchdogs);
	ret->rows = calloc(count + 1, sizeof(*ret->rows));
	if (!ret->rows)
		return ul_error_nomem(err, "packing the kernel modules");
	for (size_t i = 0; i < o->want_count; i++)
		ret->rows[ret->count++] = o->wants[i];
	for (char **name = policy->modules; name && *name; name++)
		want(ret, *name, UL_MODULE_BY_NAME, true, "the policy's [modules] names it");
	for (char **name = filesystems; name && *name; name++)
		want(ret, *name, UL_MODULE_BY_NAME, false, "the policy's [lower] names it");
	want_for_upper(policy, ret);
	for (size_t i = 0; policy->file && i < UL_ARRAY_SIZE(for_files); i++)
		want(ret, for_files[i], UL_MODULE_BY_NAME, false, "the policy's [image] file may need it");
	for (size_t i = 0; policy->watchdog_us && i < UL_ARRAY_SIZE(for_watchdogs); i++)
		want(ret, for_watchdogs[i], UL_MODULE_BY_NAME, false, "the policy's [failure] watchdog needs one");
	for (size_t i = 0; shared && i < UL_ARRAY_SIZE(share.kind->modules); i++)
		if (share.kind->modules[i])
			want(ret, share.kind->modules[i], UL_MODULE_BY_NAME, true,
			     "the policy's [lower] share is mounted by it");
	return 0;
}

static void wants_free(struct wants *w)
{
	free(w->rows);
}

static int add_modules(struct ul_cpio *c, const struct ul_initrd_options *o, const struct ul_policy *policy,
		       struct ul_module_report *report, struct ul_error *err)
{
	UL_CLEANUP(wants_free) struct wants wants = {0};
	int r = collect_wants(o, policy, &wants, err);

	return r < 0 ? r : ul_pack_modules(c, o->modules_dir, wants.rows, wants.count, report, err);
}

/* Whether a file that the boot takes for a certificate was packed, by whatever option. */
static bool has_certificate(const struct ul_cpio *c)
{
	static const char directory[] = UL_PATH_CERTS "/", ending[] = ".crt";

	for (size_t i = 0; i < c->entries.n; i++) {
		const char *path = c->entries.at[i].path; /* without the leading '/' */
		size_t len = strlen(path);

		if (!strncmp(path, directory + 1, strlen(directory) - 1) && len > strlen(ending) &&
		    !strcmp(path + len - strlen(ending), ending))
			return true;
	}
	return false;
}

/*
 * A policy that came by --add is not looked at, as `add_config` says. Another initramfs may be laid beside this one and
 * bring the certificates, so that none here is no failure.
 */
static bool lacks_certificates(const struct ul_cpio *c, const struct ul_initrd_options *o, const struct ul_policy *p)
{
	bool judged = o->config || !ul_cpio_find(c, UL_PATH_CONF);

	return judged && ul_policy_wants_certificates(p) && !has_certificate(c);
}

static int collect(struct ul_cpio *c, const struct ul_initrd_options *o, struct ul_initrd_report *report,
		   struct ul_error *err)
{
	UL_CLEANUP(ul_policy_free) struct ul_policy policy;
	int r = add_base(c, err);

	ul_policy_init(&policy);
	if (r == 0)
		r = add_init(c, o->init, err);
	if (r == 0)
		r = add_beside(c, o->init, "underlay-start", UL_INITRD_START, err);
	if (r == 0)
		r = add_beside(c, o->init, "underlay-shutdown", UL_INITRD_SHUTDOWN, err);
	if (r == 0 && o->config)
		r = add_config(c, o->config, &policy, err);
	if (r == 0)
		r = ul_policy_idle(&policy, &report->idle, err);
	report->insecure = policy.verify_mode == UL_POLICY_INSECURE;
	for (size_t i = 0; r == 0 && i < o->cert_count; i++)
		r = add_certificate(c, o->certs[i], err);
	if (r == 0 && o->modules_dir)
		r = add_modules(c, o, &policy, &report->modules, err);
	else if (r == 0)
		r = ul_cpio_add_file(c, &(struct ul_cpio_file){UL_PATH_MODULES_LOAD, 0644, "", 0, UL_CPIO_CONFIG, ""},
				     err);
	if (r == 0)
		r = ul_pack_upper(c, &policy, &report->missing_programs, err);
	for (size_t i = 0; r == 0 && i < o->file_count; i++)
		r = add_file(c, &o->files[i], err);
	if (r == 0)
		report->lacks_certificates = lacks_certificates(c, o, &policy);
	return r;
}

static size_t configure(ZSTD_CCtx *z, int level, size_t len)
{
	size_t status = ZSTD_CCtx_setParameter(z, ZSTD_c_compressionLevel, level);

	/* A checksum: a damaged initramfs shall not boot half. */
	if (!ZSTD_isError(status))
		status = ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1);
	if (!ZSTD_isError(status))
		status = ZSTD_CCtx_setParameter(z, ZSTD_c_windowLog, UL_INITRD_WINDOW_LOG);
	if (!ZSTD_isError(status))
		status = ZSTD_CCtx_setPledgedSrcSize(z, len);
	return status;
}

static int compress(const struct ul_buffer *in, int level, struct ul_progress *progress, struct ul_buffer *ret,
		    struct ul_error *err)
{
	size_t bound = ZSTD_compressBound(in->len), status;
	ZSTD_CCtx *z = ZSTD_createCCtx();
	ZSTD_inBuffer from = {in->data, 0, 0};
	ZSTD_outBuffer to;
	int r = 0;

	if (!z || ul_buffer_reserve(ret, bound) < 0) {
		ZSTD_freeCCtx(z);
		return ul_error_nomem(err, compressing);
	}
	to = (ZSTD_outBuffer){ret->data, bound, 0};
	status = configure(z, level, in->len);
	do {
		bool last;

		from.size = in->len - from.size > STEP ? from.size + STEP : in->len;
		last = from.size == in->len;
		if (!ZSTD_isError(status))
			status = ZSTD_compressStream2(z, &to, &from, last ? ZSTD_e_end : ZSTD_e_continue);
		ul_progress_report(progress, "compressing", from.pos, in->len);
	} while (!ZSTD_isError(status) && from.size < in->len);
	if (ZSTD_isError(status))
		r = ul_error_set(err, UL_E_SYSTEM, compressing, "libzstd", NULL, "%s", ZSTD_getErrorName(status));
	ret->len = to.pos;
	ZSTD_freeCCtx(z);
	return r;
}

static void count(const struct ul_cpio *c, struct ul_initrd_report *report)
{
	for (size_t i = 0; i < c->entries.n; i++) {
		if (!S_ISREG(c->entries.at[i].mode))
			continue;
		report->bytes[c->entries.at[i].kind] += c->entries.at[i].len;
		report->files[c->entries.at[i].kind]++;
	}
}

int ul_initrd_build(const struct ul_initrd_options *options, const char *output, struct ul_progress *progress,
		    struct ul_initrd_report *ret, struct ul_error *err)
{
	UL_CLEANUP(ul_initrd_report_free) struct ul_initrd_report report = {0};
	ul_autobuffer struct ul_buffer archive = {0}, packed = {0};
	const struct ul_buffer *out = &archive;
	ul_autocpio struct ul_cpio c = {0};
	int r = collect(&c, options, &report, err);

	if (r == 0)
		r = ul_cpio_write(&c, &archive, err);
	if (r == 0 && options->level > 0) {
		out = &packed;
		r = compress(&archive, options->level, progress, &packed, err);
	}
	if (r < 0)
		return r;
	r = ul_write_output("writing the initramfs", output, out->data, out->len, err);
	if (r < 0)
		return r;
	count(&c, &report);
	report.archive_bytes = archive.len;
	report.output_bytes = out->len;
	*ret = report;
	report = (struct ul_initrd_report){0};
	return 0;
}

const char *ul_cpio_kind_name(enum ul_cpio_kind kind)
{
	static const char *const names[UL_CPIO_KINDS] = {
		[UL_CPIO_BASE] = "base",      [UL_CPIO_INIT] = "init",     [UL_CPIO_LIBRARY] = "libraries",
		[UL_CPIO_MODULE] = "modules", [UL_CPIO_CONFIG] = "policy", [UL_CPIO_ADDED] = "added",
	};

	return names[kind];
}

void ul_initrd_report_free(struct ul_initrd_report *r)
{
	ul_module_report_free(&r->modules);
	ul_names_free(&r->missing_programs);
	ul_names_free(&r->idle);
}
