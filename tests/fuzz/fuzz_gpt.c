/*
 * Partition tables, through libblkid, and the slots in them. Checksums would stop nearly every mutation, so the
 * input is not the disk but a list of changes to a good one, after which the checksums are made right again
 * (or not):
 *
 *   byte 0   bit 0: seal the primary copy, bit 1: the backup; where bits 2 and 3 are zero, bits 4-7 are the
 *            sectors cut off at the end, times 32; bit 2: the first slot's root hash is known
 *   then     records of 4 bytes: area, offset (2, little-endian), value
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/file.h"
#include "tests/fuzz/fuzz.h"
#include "verity/format/gpt.h"
#include "verity/format/partition_types.h"
#include "verity/open/slots.h"
#include "tests/crc32.h"

#define SECTORS 512
#define BACKUP  (SECTORS - 1)
#define SIG     300
#define ENTRIES (8 * 128) /* fewer than usual: the time goes into checksums */

static const struct {
	uint32_t at, size;
} areas[] = {
	{440, 72},                      /* MBR: table and magic */
	{512, 92},                      /* primary header */
	{1024, 6 * 128},                /* its first entries */
	{BACKUP * 512, 92},             /* backup header */
	{(BACKUP - 32) * 512, 6 * 128}, /* its first entries */
	{SIG * 512, 512},               /* the signature partition */
};

static void seal(uint8_t *disk, uint64_t lba, uint64_t entries)
{
	uint8_t *h = disk + lba * 512;
	uint32_t size = ul_get_le32(h + 12);

	ul_put_le32(h + 88, test_crc32(disk + entries * 512, ENTRIES));
	ul_put_le32(h + 16, 0);
	ul_put_le32(h + 16, test_crc32(h, size <= 512 ? size : 92));
}

static void put_header(uint8_t *disk, uint64_t lba, uint64_t other, uint64_t entries)
{
	uint8_t *h = disk + lba * 512;

	memcpy(h, "EFI PART", 8);
	ul_put_le32(h + 8, 0x10000);
	ul_put_le32(h + 12, 92);
	ul_put_le64(h + 24, lba);
	ul_put_le64(h + 32, other);
	ul_put_le64(h + 40, 34);
	ul_put_le64(h + 48, SECTORS - 34);
	ul_put_le64(h + 72, entries);
	ul_put_le32(h + 80, 8);
	ul_put_le32(h + 84, 128);
}

/* usr, usr-verity and usr-verity-sig of x86-64, twice, as GUIDs lie in memory. */
static void make_disk(uint8_t *disk)
{
	static const uint8_t guids[3][16] = {
		{0x0c, 0x68, 0x84, 0x84, 0x21, 0x95, 0xc6, 0x48, 0x9c, 0x11, 0xb0, 0x72, 0x06, 0x56, 0xf6, 0x9e},
		{0x63, 0x5f, 0xff, 0x77, 0xb6, 0xe7, 0x33, 0x46, 0xac, 0xf4, 0x15, 0x65, 0xb8, 0x64, 0xc0, 0xe6},
		{0xfb, 0x33, 0xbb, 0xe7, 0xcf, 0x06, 0x81, 0x4e, 0x82, 0x73, 0xe5, 0x43, 0xb4, 0x13, 0xe2, 0xe2},
	};
	static const uint64_t first[6] = {64, 128, SIG, 256, 160, SIG + 16};

	memset(disk, 0, SECTORS * 512);
	disk[446 + 4] = 0xee;
	ul_put_le32(disk + 446 + 8, 1);
	ul_put_le32(disk + 446 + 12, SECTORS - 1);
	disk[510] = 0x55;
	disk[511] = 0xaa;
	for (size_t i = 0; i < 6; i++) {
		uint8_t *e = disk + 1024 + i * 128;

		memcpy(e, guids[i % 3], 16);
		memset(e + 16, (int)i + 1, 16);
		ul_put_le64(e + 32, first[i]);
		ul_put_le64(e + 40, first[i] + 15);
		e[56] = 'a';
		e[58] = '_';
		e[60] = i < 3 ? '1' : '2';
	}
	memcpy(disk + (BACKUP - 32) * 512, disk + 1024, ENTRIES);
	put_header(disk, 1, BACKUP, 2);
	put_header(disk, BACKUP, 1, BACKUP - 32);
	snprintf((char *)disk + SIG * 512, 512, "{\"rootHash\":\"%064d\",\"signature\":\"MAA=\"}", 0);
}

static void check_table(const struct ul_gpt *gpt)
{
	FUZZ_WANT(gpt->n <= UL_GPT_ENTRIES_MAX);
	for (size_t i = 0; i < gpt->n; i++) {
		const struct ul_partition *p = &gpt->partitions[i];

		FUZZ_WANT(p->size > 0 && p->offset < gpt->disk_size);
		FUZZ_WANT(p->size <= gpt->disk_size - p->offset);
		FUZZ_WANT(strlen(p->label) < sizeof(p->label));
		for (size_t k = 0; k < i; k++) {
			const struct ul_partition *q = &gpt->partitions[k];

			FUZZ_WANT(p->offset + p->size <= q->offset || q->offset + q->size <= p->offset);
			FUZZ_WANT(p->number > q->number);
		}
	}
}

static bool apart(const struct ul_extent *a, const struct ul_extent *b)
{
	return !a->device || !b->device || a->offset + a->size <= b->offset || b->offset + b->size <= a->offset;
}

/* Whatever stands in the table: a slot is whole, and nothing belongs to two slots. */
static void check_slots(const struct ul_slot_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct ul_slot *s = &list->at[i];

		FUZZ_WANT(s->data.device && s->hash.device && s->data.size > 0 && s->hash.size > 0);
		FUZZ_WANT(strcmp(s->label, UL_SLOT_LABEL_FREE) != 0);
		FUZZ_WANT(apart(&s->data, &s->hash) && apart(&s->data, &s->sig) && apart(&s->hash, &s->sig));
		for (size_t k = 0; k < i; k++) {
			const struct ul_slot *t = &list->at[k];
			const struct ul_extent *const mine[] = {&s->data, &s->hash, &s->sig};
			const struct ul_extent *const its[] = {&t->data, &t->hash, &t->sig};

			for (size_t m = 0; m < 9; m++)
				FUZZ_WANT(apart(mine[m / 3], its[m % 3]));
		}
	}
}

const struct fuzz_memory fuzz_memory = {.fixed = 512 << 10, .per_byte = 64};

/* The disk, mapped, so that an input costs what it changes. */
static uint8_t good[SECTORS * 512], *disk;
static char path[64];
static int fd = -1;

static void open_disk(void)
{
	make_disk(good);
	fd = memfd_create("disk", MFD_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	FUZZ_WANT(ul_pwrite_full(fd, good, sizeof(good), 0) == 0);
	disk = mmap(NULL, sizeof(good), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	FUZZ_WANT(disk != MAP_FAILED);
}

/* As it was before the input: what was cut off, and each area that can be changed. */
static void restore(size_t cut)
{
	FUZZ_WANT(ftruncate(fd, sizeof(good)) == 0);
	memcpy(disk + sizeof(good) - cut, good + sizeof(good) - cut, cut);
	for (size_t i = 0; i < sizeof(areas) / sizeof(areas[0]); i++)
		memcpy(disk + areas[i].at, good + areas[i].at, areas[i].size);
}

void fuzz_one(const uint8_t *data, size_t len)
{
	/* 128 bits of the first data partition's UUID, 128 of its hash partition's. */
	static const char first[] = "0101010101010101010101010101010102020202020202020202020202020202";
	struct ul_slot_list list = {0};
	struct ul_gpt gpt;
	const char *known;
	size_t cut;

	if (fd < 0)
		open_disk();
	if (len < 1 || len > 4096)
		return;
	for (size_t i = 1; i + 4 <= len; i += 4) {
		size_t area = data[i] % (sizeof(areas) / sizeof(areas[0]));

		disk[areas[area].at + ul_get_le16(data + i + 1) % areas[area].size] = data[i + 3];
	}
	if (data[0] & 1)
		seal(disk, 1, 2);
	if (data[0] & 2)
		seal(disk, BACKUP, BACKUP - 32);
	/* Every fourth value of these bits cuts something off. */
	cut = data[0] >> 2 & 3 ? 0 : (size_t)(data[0] >> 4) * 32 * 512;
	if (cut)
		FUZZ_WANT(ftruncate(fd, (off_t)(sizeof(good) - cut)) == 0);
	if (ul_gpt_read(fd, "disk", &gpt, NULL) == 0) {
		check_table(&gpt);
		ul_gpt_free(&gpt);
	}
	ul_gpt_check_copies(fd, "disk", NULL);
	known = data[0] & 4 ? first : NULL;
	if (ul_slots_probe_types(path, NULL, &ul_partition_types[0], known, &list, NULL) == 0) {
		check_slots(&list);
		ul_slots_free(&list);
	}
	restore(cut);
}
