#include "verity/trial/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/efi_variable.h"
#include "common/file.h"
#include "verity/format/gpt.h"

#define BLOCK 4096 /* bytes of a copy: no disk has larger sectors */

static const char READING[] = "reading the trials' record";
static const char LOCKING[] = "locking the trials' record";
static const char WRITING[] = "writing the trials' record";

static const uint64_t copy_offset[UL_TRIAL_COPIES] = {0, 64 << 10};

_Static_assert((64 << 10) + BLOCK <= UL_TRIAL_PARTITION_MIN, "both copies lie in the partition");

static uint8_t *new_block(void)
{
	uint8_t *block = aligned_alloc(BLOCK, BLOCK);

	return block ? memset(block, 0, BLOCK) : NULL;
}

/* ---- in a partition ---- */

static const struct ul_partition *find_partition(const struct ul_gpt *gpt)
{
	for (size_t i = 0; i < gpt->n; i++)
		if (!strcmp(gpt->partitions[i].type, UL_TRIAL_PARTITION_TYPE) &&
		    gpt->partitions[i].size >= UL_TRIAL_PARTITION_MIN)
			return &gpt->partitions[i];
	return NULL;
}

/* A copy that cannot be read is one that holds no record: the other may. */
static void read_copy(struct ul_trial_store *s, int copy, uint8_t *block)
{
	struct ul_trial_record record;

	if (ul_pread_full(s->fd, block, BLOCK, s->partition + copy_offset[copy]) < 0) {
		s->broken++;
		return;
	}
	if (!ul_trial_parse(block, &record)) {
		s->broken += !ul_all_zero(block, BLOCK);
		return;
	}
	if (s->newest >= 0 && record.sequence <= s->record.sequence)
		return;
	s->record = record;
	s->newest = copy;
}

static int open_disk(const char *disk, enum ul_trial_access access, struct ul_error *err)
{
	int flags = (access == UL_TRIAL_CHANGE ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	int fd = open(disk, flags | O_DIRECT);

	/* A file of a filesystem that does not do it, a tmpfs. */
	if (fd < 0 && errno == EINVAL)
		fd = open(disk, flags);
	return fd < 0 ? ul_error_errno(err, UL_E_SYSTEM, READING, disk, NULL, errno) : fd;
}

static int lock_partition(const struct ul_trial_store *s)
{
	struct flock lock = {
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = (off_t)s->partition,
		.l_len = UL_TRIAL_PARTITION_MIN,
	};

	return fcntl(s->fd, F_OFD_SETLKW, &lock) < 0 ? -errno : 0;
}

int ul_trial_store_open(const char *disk, enum ul_trial_access access, struct ul_trial_store *ret, struct ul_error *err)
{
	UL_CLEANUP(ul_gpt_free) struct ul_gpt gpt = {0};
	ul_autoclose int table_fd = -1;
	ul_autofree uint8_t *block = NULL;
	const struct ul_partition *p;
	int r;

	*ret = (struct ul_trial_store){.fd = -1, .newest = -1};
	table_fd = open(disk, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (table_fd < 0)
		return ul_error_errno(err, UL_E_SYSTEM, READING, disk, NULL, errno);
	r = ul_gpt_read(table_fd, disk, &gpt, err);
	if (r < 0)
		return r;
	p = find_partition(&gpt);
	if (!p)
		return 0;
	block = new_block();
	if (!block)
		return ul_error_nomem(err, READING);
	r = open_disk(disk, access, err);
	if (r < 0)
		return r;
	ret->fd = r;
	ret->partition = p->offset;
	snprintf(ret->object, sizeof(ret->object), "%s, partition %u", disk, p->number);
	r = access == UL_TRIAL_CHANGE ? lock_partition(ret) : 0;
	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, LOCKING, ret->object, NULL, -r);
	ret->place = UL_TRIAL_PARTITION;
	for (int i = 0; i < UL_TRIAL_COPIES; i++)
		read_copy(ret, i, block);
	return 0;
}

/* 0; -errno; -EIO: it reads back differently. */
static int write_copy(const struct ul_trial_store *s, int copy, const uint8_t *block)
{
	ul_autofree uint8_t *back = new_block();
	uint64_t offset = s->partition + copy_offset[copy];
	int r = back ? ul_pwrite_full(s->fd, block, BLOCK, offset) : -ENOMEM;

	if (r == 0 && fdatasync(s->fd) < 0)
		r = -errno;
	if (r == 0)
		r = ul_pread_full(s->fd, back, BLOCK, offset);
	if (r == 0 && memcmp(back, block, BLOCK) != 0)
		r = -EIO;
	return r;
}

/* The older copy; where that place is worn out, the other one rather than none. */
static int write_partition(struct ul_trial_store *s, const uint8_t *block)
{
	int copy = s->newest == 0 ? 1 : 0;
	int r = write_copy(s, copy, block);

	if (r == -EIO) {
		copy = 1 - copy;
		r = write_copy(s, copy, block);
	}
	if (r == 0)
		s->newest = copy;
	return r;
}

/* ---- in a variable ---- */

int ul_trial_store_open_efi(const char *efivars, enum ul_trial_access access, struct ul_trial_store *ret,
			    struct ul_error *err)
{
	ul_autobuffer struct ul_buffer bytes = {0};
	int r;

	*ret = (struct ul_trial_store){.fd = -1, .newest = -1};
	ret->fd = open(efivars, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ret->fd < 0)
		return 0;
	if (access == UL_TRIAL_CHANGE && flock(ret->fd, LOCK_EX) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, LOCKING, efivars, NULL, errno);
	ret->efivars = strdup(efivars);
	if (!ret->efivars)
		return ul_error_nomem(err, READING);
	ret->place = UL_TRIAL_EFI_VARIABLE;
	snprintf(ret->object, sizeof(ret->object), "the EFI variable UnderlayTrials");
	r = ul_efi_variable_read(efivars, UL_TRIAL_EFI, UL_TRIAL_RECORD_SIZE, &bytes);
	if (r == -ENOENT)
		return 0;
	if (r < 0 && r != -EFBIG)
		return ul_error_errno(err, UL_E_SYSTEM, READING, ret->object, NULL, -r);
	if (r == 0 && bytes.len == UL_TRIAL_RECORD_SIZE && ul_trial_parse(bytes.data, &ret->record))
		ret->newest = 0;
	else
		ret->broken = 1;
	return 0;
}

/* ---- both ---- */

/*
 * Nobody writes so often: it was forged. The copies begin anew, the newest one first, lest it stays that; where the
 * power goes in between, what the other one holds is believed, or all images are new.
 */
static int start_over(struct ul_trial_store *s, uint8_t *block)
{
	int r = 0;

	if (s->place == UL_TRIAL_PARTITION && s->newest >= 0)
		r = write_copy(s, s->newest, block);
	s->record.sequence = 0;
	for (size_t i = 0; i < s->record.n; i++)
		s->record.trials[i].changed = 0;
	return r;
}

int ul_trial_store_write(struct ul_trial_store *store, struct ul_error *err)
{
	ul_autofree uint8_t *block = new_block();
	int r = block ? 0 : -ENOMEM;

	if (r == 0 && store->record.sequence == UL_TRIAL_SEQUENCE_MAX)
		r = start_over(store, block);
	store->record.sequence++;
	if (r == 0)
		r = ul_trial_format(&store->record, block);
	if (r == 0)
		r = store->place == UL_TRIAL_PARTITION
			    ? write_partition(store, block)
			    : ul_efi_variable_write(store->efivars, UL_TRIAL_EFI, block, UL_TRIAL_RECORD_SIZE);
	return r < 0 ? ul_error_errno(err, UL_E_SYSTEM, WRITING, store->object, NULL, -r) : 0;
}

void ul_trial_store_close(struct ul_trial_store *store)
{
	if (store->fd >= 0)
		close(store->fd);
	free(store->efivars);
	store->efivars = NULL;
	store->fd = -1;
	store->place = UL_TRIAL_NOWHERE;
}
