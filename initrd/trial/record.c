/* Where the records of this boot's images are, and what of them is kept. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "initrd/base/log.h"
#include "initrd/base/modules.h"
#include "initrd/trial/trial.h"

/* The whole disk that an image's file lies on, of its filesystem's partition: "/dev/vda". false: it lies on none. */
static bool disk_of_file(const struct ul_boot *b, const char *file, char ret[PATH_MAX])
{
	char path[PATH_MAX], target[PATH_MAX];
	char *name;
	struct stat st;

	if (stat(file, &st) < 0)
		return false;
	snprintf(path, sizeof(path), "%s/dev/block/%u:%u", b->sys_dir, major(st.st_dev), minor(st.st_dev));
	if (ul_read_link(AT_FDCWD, path, target) < 0)
		return false;
	snprintf(path, sizeof(path), "%s/dev/block/%u:%u/partition", b->sys_dir, major(st.st_dev), minor(st.st_dev));
	/* "../../devices/.../block/vda/vda2": a partition lies in its disk. */
	if (access(path, F_OK) == 0 && (name = strrchr(target, '/')))
		*name = '\0';
	name = strrchr(target, '/');
	snprintf(ret, PATH_MAX, "%.64s/%.64s", b->dev_dir, name ? name + 1 : target);
	return true;
}

/* The hardware ended the boot before: that was a start of the image whose entry was changed last. */
static void explain_reset(struct ul_boot_record *record)
{
	const struct ul_trial_record *r = &record->store.record;
	const struct ul_trial *last = NULL;

	for (size_t i = 0; i < r->n; i++)
		if (!last || r->trials[i].changed > last->changed)
			last = &r->trials[i];
	if (!last || last->state != UL_TRIAL_TRYING || last->reason != UL_TRIAL_UNKNOWN)
		return;
	ul_trial_explain(&record->store.record,
			 &(struct ul_trial_image){last->root_hash, last->root_hash_len, last->version},
			 UL_TRIAL_WATCHDOG, 0);
	record->changed = true;
}

static struct ul_boot_record *take(struct ul_boot *b, const char *disk, struct ul_trial_store *store)
{
	struct ul_boot_record *record = &b->records[b->n_records];

	*record = (struct ul_boot_record){.disk = strdup(disk), .store = *store};
	if (!record->disk) {
		ul_trial_store_close(&record->store);
		return NULL;
	}
	b->n_records++;
	if (store->broken > 0)
		ul_log(UL_LOG_WARNING, "trial: %s: %u of its copies hold no record", store->object, store->broken);
	if (b->watchdog_reset)
		explain_reset(record);
	if (ul_trial_settle(&record->store.record))
		record->changed = true;
	return record;
}

static struct ul_boot_record *find(struct ul_boot *b, const char *disk)
{
	for (size_t i = 0; i < b->n_records; i++)
		if (!strcmp(b->records[i].disk, disk))
			return &b->records[i];
	return NULL;
}

static struct ul_boot_record *on_disk(struct ul_boot *b, const char *disk)
{
	struct ul_boot_record *record = find(b, disk);
	struct ul_trial_store store;
	struct ul_error err;

	if (record || b->n_records == UL_BOOT_RECORDS)
		return record;
	if (ul_trial_store_open(disk, UL_TRIAL_CHANGE, &store, &err) < 0) {
		ul_log(UL_LOG_WARNING, "trial: %s: %s: %s", err.what, err.object, err.why);
		ul_trial_store_close(&store);
		return NULL;
	}
	if (store.place == UL_TRIAL_NOWHERE) {
		ul_trial_store_close(&store);
		return NULL;
	}
	return take(b, disk, &store);
}

static struct ul_boot_record *in_firmware(struct ul_boot *b)
{
	char dir[PATH_MAX];
	struct ul_trial_store store;
	struct ul_error err;

	if (b->firmware_record || b->n_records == UL_BOOT_RECORDS)
		return find(b, "");
	b->firmware_record = true;
	snprintf(dir, sizeof(dir), "%s/firmware/efi/efivars", b->sys_dir);
	if (access(dir, F_OK) < 0)
		return NULL;
	(void)ul_modules_load(b, "efivarfs");
	if (mount("efivarfs", dir, "efivarfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0 && errno != EBUSY)
		return NULL;
	if (ul_trial_store_open_efi(dir, UL_TRIAL_CHANGE, &store, &err) < 0) {
		ul_log(UL_LOG_WARNING, "trial: %s: %s: %s", err.what, err.object, err.why);
		ul_trial_store_close(&store);
		return NULL;
	}
	return store.place == UL_TRIAL_NOWHERE ? NULL : take(b, "", &store);
}

struct ul_boot_record *ul_trial_record(struct ul_boot *b, const struct ul_slot *slot)
{
	struct ul_boot_record *record = NULL;
	char disk[PATH_MAX];

	if (!b->files_found)
		record = on_disk(b, slot->disk);
	else if (disk_of_file(b, slot->disk, disk))
		record = on_disk(b, disk);
	if (!record)
		record = in_firmware(b);
	if (!record && !b->no_record_told) {
		b->no_record_told = true;
		ul_log(UL_LOG_INFO,
		       "trial: starts are not counted: the disk has no partition for that, the firmware no "
		       "variables");
	}
	return record;
}

void ul_trial_keep(struct ul_boot_record *record)
{
	struct ul_error err;

	if (!record->changed)
		return;
	if (ul_trial_store_write(&record->store, &err) < 0)
		ul_log(UL_LOG_WARNING, "trial: %s: %s: %s. This start is not counted.", err.what, err.object, err.why);
	record->changed = false;
}
