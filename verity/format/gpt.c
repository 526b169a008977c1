/*
 * Reading a GPT: a bounded look of our own at the two headers, then libblkid for the table itself.
 *
 * Header (UEFI 2.10, table 5.5), little-endian, in a sector of its own:
 *     0  8  "EFI PART"            40  8  first usable LBA
 *     8  4  revision              48  8  last usable LBA
 *    12  4  header size (92..)    56 16  disk GUID
 *    16  4  CRC-32 of the header  72  8  LBA of the entries
 *    24  8  this header's LBA     80  4  number of entries
 *    32  8  the other one's LBA   84  4  bytes of an entry
 *                                 88  4  CRC-32 of the entries
 */
#include "verity/format/gpt.h"

#include <blkid/blkid.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "common/compare.h"
#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/file.h"

#define HEADER_SIZE    92
#define ENTRY_SIZE     128 /* the only one that libblkid and the kernel take */
#define SECTOR_MAX     4096
#define GPT_NO_AUTO    (UINT64_C(1) << 63) /* Discoverable Partitions Specification: not to be used by itself */
#define MBR_TABLE      446
#define MBR_ENTRY_SIZE 16
#define MBR_TYPE_GPT   0xee

static const char WHAT[] = "reading the partition table";
static const char TODO_WRITE[] = "Write the image again.";

struct header {
	const char *bad; /* NULL: valid; else why not */
	bool named;      /* "EFI PART" stands there */
	uint64_t other_lba, first_usable, last_usable, entries_lba;
	uint8_t disk_guid[16];
	uint32_t n_entries, entries_crc;
};

static uint32_t crc32(const uint8_t *data, size_t len)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < len; i++) {
		crc ^= data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

static const char *header_defect(uint8_t *sector, uint32_t sector_size, uint64_t lba, uint64_t sectors,
				 struct header *h)
{
	uint32_t size = ul_get_le32(sector + 12), crc = ul_get_le32(sector + 16);
	uint64_t entry_sectors;

	h->named = memcmp(sector, "EFI PART", 8) == 0;
	if (!h->named)
		return "it is not there";
	if (size < HEADER_SIZE || size > sector_size)
		return "its size is below 92 bytes or above a sector";
	ul_put_le32(sector + 16, 0);
	if (crc32(sector, size) != crc)
		return "its checksum is wrong";
	if (ul_get_le64(sector + 24) != lba)
		return "it names another sector as its own";
	h->other_lba = ul_get_le64(sector + 32);
	h->first_usable = ul_get_le64(sector + 40);
	h->last_usable = ul_get_le64(sector + 48);
	memcpy(h->disk_guid, sector + 56, sizeof(h->disk_guid));
	h->entries_lba = ul_get_le64(sector + 72);
	h->n_entries = ul_get_le32(sector + 80);
	h->entries_crc = ul_get_le32(sector + 88);
	if (ul_get_le32(sector + 84) != ENTRY_SIZE || h->n_entries == 0 || h->n_entries > UL_GPT_ENTRIES_MAX)
		return "its number or size of entries is beyond the limit";
	entry_sectors = ((uint64_t)h->n_entries * ENTRY_SIZE + sector_size - 1) / sector_size;
	if (h->last_usable >= sectors || h->entries_lba >= sectors || sectors - h->entries_lba < entry_sectors)
		return "it reaches beyond the end of the disk";
	return NULL;
}

/* 0 or -errno; what is wrong with the header itself stands in *ret. */
static int read_header(int fd, const struct ul_gpt *gpt, uint64_t lba, struct header *ret)
{
	uint8_t sector[SECTOR_MAX];
	uint64_t sectors = gpt->disk_size / gpt->sector_size;
	int r;

	*ret = (struct header){.bad = "it lies beyond the end of the disk"};
	if (lba >= sectors)
		return 0;
	r = ul_pread_full(fd, sector, gpt->sector_size, lba * gpt->sector_size);
	if (r < 0)
		return r;
	ret->bad = header_defect(sector, gpt->sector_size, lba, sectors, ret);
	return 0;
}

static int io_error(int errnum, const char *disk, struct ul_error *err)
{
	return ul_error_errno(err, UL_E_SYSTEM, WHAT, disk, "Check the disk and its cable.", errnum);
}

static bool named_at(int fd, uint64_t offset)
{
	uint8_t name[8];

	return ul_pread_full(fd, name, sizeof(name), offset) == 0 && memcmp(name, "EFI PART", sizeof(name)) == 0;
}

/* Bytes of the sectors that a table is for, by the place of its primary header; 0: there is none at any of them. */
static uint32_t table_sector(int fd)
{
	for (uint32_t size = 512; size <= SECTOR_MAX; size *= 2)
		if (named_at(fd, size))
			return size;
	return 0;
}

/* A file whose primary header is lost is known by the backup, in its last sector. */
static uint32_t table_sector_of_file(int fd, uint64_t file_size)
{
	uint32_t found = table_sector(fd);

	for (uint32_t size = 512; !found && size <= SECTOR_MAX; size *= 2)
		if (file_size % size == 0 && file_size > size && named_at(fd, file_size - size))
			found = size;
	return found;
}

static int measure(int fd, const char *disk, struct ul_gpt *gpt, struct ul_error *err)
{
	struct stat st;
	int sector_size = 512, made_for, r;

	if (fstat(fd, &st) < 0)
		return io_error(errno, disk, err);
	if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode))
		return ul_error_set(err, UL_E_DEVICE, WHAT, disk, NULL, "it is neither a block device nor a file");
	r = ul_file_size(fd, &gpt->disk_size);
	if (r < 0)
		return io_error(-r, disk, err);
	if (S_ISBLK(st.st_mode) && ioctl(fd, BLKSSZGET, &sector_size) < 0)
		return io_error(errno, disk, err);
	/* A file has no sectors but those that its table was made for. */
	made_for = S_ISREG(st.st_mode) ? (int)table_sector_of_file(fd, gpt->disk_size) : 0;
	if (made_for > 0)
		sector_size = made_for;
	if (sector_size < 512 || sector_size > SECTOR_MAX || sector_size & (sector_size - 1))
		return ul_error_set(err, UL_E_PARTITIONS, WHAT, disk, NULL,
				    "it has sectors of %d bytes, which are not supported", sector_size);
	gpt->sector_size = (uint32_t)sector_size;
	return 0;
}

/* 1: a protective MBR says that a GPT is there; 0: none; -errno. */
static int protective_mbr(int fd)
{
	uint8_t mbr[512];
	int r = ul_pread_full(fd, mbr, sizeof(mbr), 0);

	if (r < 0)
		return r;
	if (mbr[510] != 0x55 || mbr[511] != 0xaa)
		return 0;
	for (size_t i = 0; i < 4; i++)
		if (mbr[MBR_TABLE + i * MBR_ENTRY_SIZE + 4] == MBR_TYPE_GPT)
			return 1;
	return 0;
}

static int for_other_sectors(const struct ul_gpt *gpt, const char *disk, uint32_t made_for, struct ul_error *err)
{
	return ul_error_set(err, UL_E_PARTITIONS, WHAT, disk,
			    "Make the image for such disks, by --sector-size, and write it again.",
			    "its table is for sectors of %" PRIu32 " bytes, the disk has sectors of %" PRIu32, made_for,
			    gpt->sector_size);
}

/* There was a GPT, but neither copy can be used: say why. */
static int broken(const struct ul_gpt *gpt, const char *disk, int mbr, const struct header *primary,
		  const struct header *backup, struct ul_error *err)
{
	uint64_t sectors = gpt->disk_size / gpt->sector_size;

	if (primary->other_lba >= sectors && primary->other_lba < UINT64_MAX / SECTOR_MAX) {
		uint64_t wanted = (primary->other_lba + 1) * gpt->sector_size;

		return ul_error_set(err, UL_E_PARTITIONS, WHAT, disk, TODO_WRITE,
				    "it is truncated: %" PRIu64 " bytes are there, the table wants %" PRIu64,
				    gpt->disk_size, wanted);
	}
	if (!mbr && !primary->bad)
		return ul_error_set(err, UL_E_PARTITIONS, WHAT, disk, TODO_WRITE,
				    "the GPT has lost its protective MBR");
	return ul_error_set(err, UL_E_PARTITIONS, WHAT, disk, TODO_WRITE,
			    "no copy of the GPT is whole: the primary header: %s; the backup: %s",
			    primary->bad ? primary->bad : "its entries are damaged",
			    backup->bad ? backup->bad : "its entries are damaged");
}

static void copy_text(char *dst, size_t size, const char *src)
{
	size_t len = src ? strnlen(src, size - 1) : 0;

	if (len)
		memcpy(dst, src, len);
	dst[len] = '\0';
}

static int add_partition(struct ul_gpt *gpt, blkid_partition from, const char *disk, struct ul_error *err)
{
	struct ul_partition *p = &gpt->partitions[gpt->n];
	blkid_loff_t start = blkid_partition_get_start(from), size = blkid_partition_get_size(from);
	int number = blkid_partition_get_partno(from);
	uint64_t sectors = gpt->disk_size / 512; /* libblkid counts in 512 bytes always */

	if (number < 1 || start <= 0 || size <= 0 || (uint64_t)start >= sectors ||
	    (uint64_t)size > sectors - (uint64_t)start)
		return ul_error_set(err, UL_E_PARTITIONS, WHAT, disk, TODO_WRITE,
				    "partition %d does not lie within the disk", number);
	p->number = (unsigned int)number;
	p->offset = (uint64_t)start * 512;
	p->size = (uint64_t)size * 512;
	p->no_auto = (blkid_partition_get_flags(from) & GPT_NO_AUTO) != 0;
	copy_text(p->type, sizeof(p->type), blkid_partition_get_type_string(from));
	copy_text(p->uuid, sizeof(p->uuid), blkid_partition_get_uuid(from));
	copy_text(p->label, sizeof(p->label), blkid_partition_get_name(from));
	gpt->n++;
	return 0;
}

static int by_offset(const void *a, const void *b)
{
	const struct ul_partition *x = a, *y = b;

	return ul_order(x->offset, y->offset);
}

static int by_number(const void *a, const void *b)
{
	const struct ul_partition *x = a, *y = b;

	return ul_order(x->number, y->number);
}

static int check_overlap(struct ul_gpt *gpt, const char *disk, struct ul_error *err)
{
	const struct ul_partition *p = gpt->partitions;

	if (gpt->n == 0)
		return 0;
	qsort(gpt->partitions, gpt->n, sizeof(*p), by_offset);
	for (size_t i = 1; i < gpt->n; i++)
		if (p[i].offset - p[i - 1].offset < p[i - 1].size)
			return ul_error_set(err, UL_E_PARTITIONS, WHAT, disk, TODO_WRITE,
					    "partitions %u and %u overlap", p[i - 1].number, p[i].number);
	qsort(gpt->partitions, gpt->n, sizeof(*p), by_number);
	return 0;
}

static int take_table(blkid_probe probe, struct ul_gpt *gpt, const char *disk, bool *ret_found, struct ul_error *err)
{
	blkid_partlist list;
	blkid_parttable table;
	int n, r;

	errno = 0;
	list = blkid_probe_get_partitions(probe);
	if (!list && errno == EIO)
		return io_error(errno, disk, err);
	table = list ? blkid_partlist_get_table(list) : NULL;
	*ret_found = table != NULL;
	if (!table)
		return 0;
	n = blkid_partlist_numof_partitions(list);
	if (n < 0 || n > UL_GPT_ENTRIES_MAX)
		return ul_error_set(err, UL_E_PARTITIONS, WHAT, disk, TODO_WRITE, "it has more than %d partitions",
				    UL_GPT_ENTRIES_MAX);
	gpt->from_backup = blkid_parttable_get_offset(table) != (blkid_loff_t)gpt->sector_size;
	gpt->partitions = calloc((size_t)n + 1, sizeof(*gpt->partitions));
	if (!gpt->partitions)
		return ul_error_nomem(err, WHAT);
	for (int i = 0; i < n; i++) {
		r = add_partition(gpt, blkid_partlist_get_partition(list, i), disk, err);
		if (r < 0)
			return r;
	}
	return check_overlap(gpt, disk, err);
}

/* Only the GPT prober of libblkid runs: no filesystem, no other table is parsed. */
static int ask_blkid(int fd, struct ul_gpt *gpt, const char *disk, bool *ret_found, struct ul_error *err)
{
	char gpt_name[] = "gpt";
	char *only[] = {gpt_name, NULL};
	blkid_probe probe = blkid_new_probe();
	int r;

	if (!probe)
		return ul_error_nomem(err, WHAT);
	blkid_probe_enable_superblocks(probe, 0);
	blkid_probe_enable_partitions(probe, 1);
	if (blkid_probe_set_device(probe, fd, 0, 0) < 0 || blkid_probe_set_sectorsize(probe, gpt->sector_size) < 0 ||
	    blkid_probe_filter_partitions_type(probe, BLKID_FLTR_ONLYIN, only) < 0)
		r = ul_error_set(err, UL_E_SYSTEM, WHAT, disk, NULL, "libblkid refuses it");
	else
		r = take_table(probe, gpt, disk, ret_found, err);
	blkid_free_probe(probe);
	return r;
}

static int read_table(int fd, const char *disk, struct ul_gpt *gpt, struct ul_error *err)
{
	struct header primary, backup;
	uint64_t sectors;
	uint32_t made_for;
	int mbr, r;

	r = measure(fd, disk, gpt, err);
	if (r < 0)
		return r;
	sectors = gpt->disk_size / gpt->sector_size;
	if (sectors < 4)
		return 0;
	mbr = protective_mbr(fd);
	if (mbr < 0)
		return io_error(-mbr, disk, err);
	r = read_header(fd, gpt, 1, &primary);
	if (r == 0)
		r = read_header(fd, gpt, sectors - 1, &backup);
	if (r < 0)
		return io_error(-r, disk, err);
	if (!primary.bad && primary.other_lba < sectors)
		gpt->end = (primary.other_lba + 1) * gpt->sector_size;
	/* A backup header alone is not a GPT: a disk that was formatted anew still has one at its end. */
	if (!mbr && !primary.named)
		return 0;
	/*
	 * libblkid allocates what a header with a right checksum asks for, up to 4 GiB. It does not get to
	 * see one that is beyond our bound, in either copy.
	 */
	if ((!primary.bad || !backup.bad) && primary.n_entries <= UL_GPT_ENTRIES_MAX &&
	    backup.n_entries <= UL_GPT_ENTRIES_MAX) {
		r = ask_blkid(fd, gpt, disk, &gpt->present, err);
		if (r < 0)
			return r;
	}
	if (gpt->present)
		return 0;
	made_for = primary.named ? 0 : table_sector(fd);
	return made_for ? for_other_sectors(gpt, disk, made_for, err) : broken(gpt, disk, mbr, &primary, &backup, err);
}

int ul_gpt_read(int fd, const char *disk, struct ul_gpt *ret, struct ul_error *err)
{
	struct ul_gpt gpt = {0};
	int r = read_table(fd, disk, &gpt, err);

	if (r < 0) {
		ul_gpt_free(&gpt);
		return r;
	}
	*ret = gpt;
	return 0;
}

void ul_gpt_free(struct ul_gpt *gpt)
{
	free(gpt->partitions);
	*gpt = (struct ul_gpt){0};
}

/* The entries that *h describes; NULL in *ret and a reason in *h where their checksum is wrong. */
static int read_entries(int fd, const struct ul_gpt *gpt, struct header *h, uint8_t **ret)
{
	size_t size = (size_t)h->n_entries * ENTRY_SIZE;
	uint8_t *entries = malloc(size);
	int r;

	if (!entries)
		return -ENOMEM;
	r = ul_pread_full(fd, entries, size, h->entries_lba * gpt->sector_size);
	if (r == 0 && crc32(entries, size) != h->entries_crc)
		h->bad = "the checksum of its entries is wrong";
	if (r < 0 || h->bad) {
		free(entries);
		return r;
	}
	*ret = entries;
	return 0;
}

static int copy_defect(const char *disk, const char *which, const char *why, struct ul_error *err)
{
	return ul_error_set(err, UL_E_PARTITIONS, "checking the partition table", disk, TODO_WRITE,
			    "the %s copy of the GPT is damaged: %s", which, why);
}

int ul_gpt_check_copies(int fd, const char *disk, struct ul_error *err)
{
	ul_autofree uint8_t *first = NULL, *second = NULL;
	struct ul_gpt gpt = {0};
	struct header primary, backup;
	int r = measure(fd, disk, &gpt, err);

	if (r < 0)
		return r;
	r = read_header(fd, &gpt, 1, &primary);
	if (r == 0 && !primary.bad)
		r = read_entries(fd, &gpt, &primary, &first);
	if (r < 0)
		return io_error(-r, disk, err);
	if (primary.bad)
		return copy_defect(disk, "primary", primary.bad, err);
	r = read_header(fd, &gpt, primary.other_lba, &backup);
	if (r == 0 && !backup.bad)
		r = read_entries(fd, &gpt, &backup, &second);
	if (r < 0)
		return io_error(-r, disk, err);
	if (backup.bad)
		return copy_defect(disk, "backup", backup.bad, err);
	if (backup.other_lba != 1 || backup.n_entries != primary.n_entries ||
	    backup.first_usable != primary.first_usable || backup.last_usable != primary.last_usable ||
	    memcmp(backup.disk_guid, primary.disk_guid, sizeof(primary.disk_guid)) != 0 ||
	    memcmp(first, second, (size_t)primary.n_entries * ENTRY_SIZE) != 0)
		return copy_defect(disk, "backup", "it differs from the primary one", err);
	return 0;
}
