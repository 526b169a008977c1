#include "initrd/report/last_failure.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/dir.h"
#include "common/file.h"
#include "common/json.h"
#include "initrd/base/boot.h"
#include "initrd/base/log.h"
#include "initrd/base/modules.h"

#define PSTORE_FILES_MAX 64
#define SYSFS_FILE_MAX   65536         /* bytes: such a file claims the size of a page */
#define PSTORE_FILE_MAX  (1024 * 1024) /* bytes */
#define KMSG_RECORD      "underlay: record "
/* EFI: non-volatile, for boot services and for the running system. */
static const unsigned char efi_attributes[4] = {7};

/* ---- the record ---- */

static bool fill_record(struct json_object *obj, const struct ul_boot *b, unsigned long long when, size_t sentence_max)
{
	char sentence[1200];

	ul_error_sentence(&b->failure, sentence, sentence_max < sizeof(sentence) ? sentence_max : sizeof(sentence));
	return obj && ul_json_add_uint(obj, "code", (uint64_t)b->failure.code) &&
	       ul_json_add_string(obj, "name", ul_code_name(b->failure.code)) &&
	       ul_json_add_string(obj, "stage", b->failed_stage ? b->failed_stage : "boot") &&
	       ul_json_add_string(obj, "sentence", sentence) && ul_json_add_uint(obj, "when", when) &&
	       ul_json_add_string(obj, "underlay", UL_VERSION);
}

char *ul_last_failure_format(const struct ul_boot *b, unsigned long long when, char buf[UL_LAST_FAILURE_MAX + 1])
{
	/* Quotation marks and backslashes take two bytes: cut the sentence until it fits. */
	for (size_t max = sizeof(b->last_failure.sentence); max > 100; max -= 50) {
		ul_autojson struct json_object *obj = ul_json_document(1);
		const char *text = fill_record(obj, b, when, max) ? ul_json_line(obj) : NULL;

		if (text && strlen(text) <= UL_LAST_FAILURE_MAX)
			return memcpy(buf, text, strlen(text) + 1);
	}
	*buf = '\0';
	return buf;
}

static bool take_text(struct json_object *obj, const char *key, char *out, size_t size)
{
	const char *text = ul_json_string(obj, key);

	if (!text || strlen(text) >= size)
		return false;
	ul_escape_text(out, size, text);
	return true;
}

bool ul_last_failure_parse(const char *text, size_t len, struct ul_last_failure *ret)
{
	struct ul_last_failure f = {.from = NULL};
	ul_autojson struct json_object *obj = NULL;
	uint64_t format, code, when;
	const char *why;

	if (len > UL_LAST_FAILURE_MAX)
		return false;
	obj = ul_json_parse(text, len, &why);
	if (!obj || !ul_json_uint(obj, "format", &format) || format != 1 || !ul_json_uint(obj, "code", &code) ||
	    code > 9999 || !ul_json_uint(obj, "when", &when) || !take_text(obj, "name", f.name, sizeof(f.name)) ||
	    !take_text(obj, "stage", f.stage, sizeof(f.stage)) ||
	    !take_text(obj, "sentence", f.sentence, sizeof(f.sentence)) ||
	    !take_text(obj, "underlay", f.underlay, sizeof(f.underlay)))
		return false;
	f.code = (unsigned int)code;
	f.when = when;
	*ret = f;
	return true;
}

static bool same(const struct ul_last_failure *a, const struct ul_last_failure *b)
{
	return a->code == b->code && !strcmp(a->stage, b->stage) && !strcmp(a->sentence, b->sentence) &&
	       !strcmp(a->underlay, b->underlay);
}

/* ---- in an EFI variable ---- */

/* The variable's file, its filesystem mounted; false: the machine does not have variables. */
static bool efi_file(struct ul_boot *b, char path[PATH_MAX])
{
	bool mounted;
	size_t len;

	len = (size_t)snprintf(path, PATH_MAX, "%s/firmware/efi/efivars", b->sys_dir);
	if (access(path, F_OK) < 0)
		return false;
	(void)ul_modules_load(b, "efivarfs");
	/* EBUSY: it is mounted. */
	mounted = mount("efivarfs", path, "efivarfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0 || errno == EBUSY;
	snprintf(path + len, PATH_MAX - len, "/%s", UL_LAST_FAILURE_EFI);
	return mounted;
}

static bool efi_read(const char *path, struct ul_last_failure *ret)
{
	ul_autobuffer struct ul_buffer bytes = {0};
	size_t skip = sizeof(efi_attributes);

	return ul_read_file(AT_FDCWD, path, UL_LAST_FAILURE_MAX + skip, &bytes) == 0 && bytes.len > skip &&
	       ul_last_failure_parse((const char *)bytes.data + skip, bytes.len - skip, ret);
}

/* The kernel makes variables immutable, lest `rm -r` breaks firmware. */
static void make_mutable(const char *path)
{
	ul_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	int flags = 0;

	if (fd < 0 || ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		return;
	flags &= ~FS_IMMUTABLE_FL;
	(void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

/* 1: the variable holds it; 0: the machine does not have variables; -errno. */
static int efi_keep(struct ul_boot *b, const char *record)
{
	unsigned char bytes[sizeof(efi_attributes) + UL_LAST_FAILURE_MAX];
	size_t len = strlen(record);
	struct ul_last_failure old, new;
	char path[PATH_MAX];
	int r;

	if (!efi_file(b, path))
		return 0;
	if (efi_read(path, &old) && ul_last_failure_parse(record, len, &new) && same(&old, &new))
		return 1;
	make_mutable(path);
	mempcpy(mempcpy(bytes, efi_attributes, sizeof(efi_attributes)), record, len);
	/* One write: the filesystem hands each to the firmware as the whole variable. */
	r = ul_write_file(AT_FDCWD, path, 0644, bytes, sizeof(efi_attributes) + len);
	return r < 0 ? r : 1;
}

/* ---- in the kernel's log, and from there in pstore ---- */

static bool wants_ramoops(const struct ul_boot *b)
{
	ul_autobuffer struct ul_buffer text = {0};
	ul_autofree char *path = ul_path_join(b->proc_dir, "cmdline");

	if (b->cmdline)
		return strstr(b->cmdline, "ramoops.") != NULL;
	return path && ul_read_file(AT_FDCWD, path, UL_CMDLINE_MAX, &text) == 0 && ul_buffer_string(&text) &&
	       strstr((const char *)text.data, "ramoops.");
}

/* Whether the kernel has a backend now: its name is a parameter of pstore, "(null)" where it has none. */
static bool has_pstore(struct ul_boot *b)
{
	ul_autobuffer struct ul_buffer text = {0};
	ul_autofree char *path = ul_path_join(b->sys_dir, "module/pstore/parameters/backend");

	if (wants_ramoops(b))
		(void)ul_modules_load(b, "ramoops");
	return path && ul_read_file(AT_FDCWD, path, SYSFS_FILE_MAX, &text) == 0 && text.len > 0 &&
	       text.data[0] != '(' && text.data[0] != '\n';
}

static int pstore_keep(struct ul_boot *b, const char *record)
{
	ul_autofree char *always = NULL, *kmsg = NULL;
	char line[64 + UL_LAST_FAILURE_MAX];
	int n, r;

	if (!has_pstore(b))
		return 0;
	always = ul_path_join(b->sys_dir, "module/printk/parameters/always_kmsg_dump");
	kmsg = ul_path_join(b->dev_dir, "kmsg");
	if (!always || !kmsg)
		return -ENOMEM;
	/* Facility daemon, level debug: for the dump, not for the console. */
	n = snprintf(line, sizeof(line), "<31>" KMSG_RECORD "%s\n", record);
	r = ul_write_file(AT_FDCWD, kmsg, 0, line, (size_t)n);
	if (r == 0)
		r = ul_write_file(AT_FDCWD, always, 0, "Y", 1);
	return r < 0 ? r : 1;
}

/* The last record in a dump of the kernel's log. */
static bool find_record(const char *text, size_t len, struct ul_last_failure *ret)
{
	const char *at = text, *end = text + len;
	bool found = false;

	while ((at = memmem(at, (size_t)(end - at), KMSG_RECORD, strlen(KMSG_RECORD)))) {
		const char *newline;

		at += strlen(KMSG_RECORD);
		newline = memchr(at, '\n', (size_t)(end - at));
		found |= ul_last_failure_parse(at, (size_t)((newline ? newline : end) - at), ret);
	}
	return found;
}

static bool pstore_dir(struct ul_boot *b, char dir[PATH_MAX])
{
	snprintf(dir, PATH_MAX, "%s/fs/pstore", b->sys_dir);
	if (!has_pstore(b) || access(dir, F_OK) < 0)
		return false;
	return mount("pstore", dir, "pstore", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0 || errno == EBUSY;
}

static bool pstore_find(struct ul_boot *b, struct ul_last_failure *ret)
{
	char path[PATH_MAX];
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	bool found = false;
	int r;

	if (!pstore_dir(b, path))
		return false;
	r = ul_dir_open(AT_FDCWD, path, &dir);
	for (int i = 0; r >= 0 && i < PSTORE_FILES_MAX && (r = ul_dir_next(dir, &entry)) > 0; i++) {
		ul_autobuffer struct ul_buffer text = {0};

		if (strncmp(entry->d_name, "dmesg-", 6) != 0 || strlen(entry->d_name) >= sizeof(ret->pstore_file) ||
		    ul_read_file(dirfd(dir), entry->d_name, PSTORE_FILE_MAX, &text) < 0 ||
		    !find_record((const char *)text.data, text.len, ret))
			continue;
		found = true;
		memcpy(ret->pstore_file, entry->d_name, strlen(entry->d_name) + 1);
	}
	if (r < 0)
		ul_log(UL_LOG_WARNING, "failure: reading %s: %s.", path, strerror(-r));
	return found;
}

/* ---- the three moments ---- */

void ul_last_failure_keep(struct ul_boot *b)
{
	struct timespec now = {0};
	char record[UL_LAST_FAILURE_MAX + 1];
	int r;

	if (!b->policy.remember)
		return;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	ul_last_failure_format(b, (unsigned long long)now.tv_sec, record);
	r = efi_keep(b, record);
	if (r < 0)
		ul_log(UL_LOG_WARNING, "failure: keeping the report in an EFI variable: %s.", strerror(-r));
	if (r > 0)
		return;
	r = pstore_keep(b, record);
	if (r < 0)
		ul_log(UL_LOG_WARNING, "failure: keeping the report in pstore: %s.", strerror(-r));
}

void ul_last_failure_find(struct ul_boot *b)
{
	struct ul_last_failure f = {.from = NULL};
	char path[PATH_MAX];

	if (!b->policy.remember)
		return;
	if (efi_file(b, path) && efi_read(path, &f))
		f.from = "efi";
	if (!f.from && pstore_find(b, &f))
		f.from = "pstore";
	if (!f.from)
		return;
	b->last_failure = f;
	ul_log(UL_LOG_WARNING, "the last boot failed: %s: %s (%s)", f.stage, f.sentence, f.name);
}

void ul_last_failure_clear(struct ul_boot *b)
{
	const struct ul_last_failure *f = &b->last_failure;
	char path[PATH_MAX];

	if (!f->from)
		return;
	if (!strcmp(f->from, "efi"))
		snprintf(path, sizeof(path), "%s/firmware/efi/efivars/%s", b->sys_dir, UL_LAST_FAILURE_EFI);
	else
		snprintf(path, sizeof(path), "%s/fs/pstore/%s", b->sys_dir, f->pstore_file);
	make_mutable(path);
	if (unlink(path) < 0)
		ul_log(UL_LOG_WARNING, "failure: removing the last report: %s: %s.", path, strerror(errno));
}
