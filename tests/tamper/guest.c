/*
 * The same attack with the kernel's own dm-verity: PID 1 of an initramfs that the packer made, with the boot's own
 * first stages. Each case is made in a file in memory, attached as a disk with partitions, opened by ul_slots_probe,
 * ul_seal_decide and ul_verity_activate, and read to the end through the mapping. What the kernel served must be what
 * was signed, and just what the judge of the host's test (oracle.c) foretells for these parameters.
 *
 * Disks: vda IMAGE, vdb OTHER. Results go to ttyS1: a line for each case that is bad, then the table's lines.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "initrd/base/boot.h"
#include "initrd/base/log.h"
#include "initrd/stages/stages.h"
#include "tests/tamper/cases.h"

#define SEED    5
#define FLIPS   5 /* of each region */
#define OTHERS  10
#define FILE_AT "/run/disk"
#define LOOP    "/dev/loop0"
#define MAPPING "tampered"

enum outcome { REFUSED, READ_ERROR, HARMLESS, BAD, OUTCOMES };

static FILE *results;
static struct ul_boot boot;
static struct tamper_image image, foreign, other;
static uint8_t *disk; /* the mapped file */
static int disk_fd;
static unsigned int counts[TAMPER_KINDS][OUTCOMES];

static _Noreturn void end(const char *why)
{
	fprintf(results, "%s\n", why);
	fflush(results);
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static void open_file(void)
{
	disk_fd = open(FILE_AT, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (disk_fd < 0 || ftruncate(disk_fd, (off_t)(image.len + TAMPER_ROOM)) < 0)
		end("FAILED: the file for the disk");
	disk = mmap(NULL, image.len + TAMPER_ROOM, PROT_READ | PROT_WRITE, MAP_SHARED, disk_fd, 0);
	if (disk == MAP_FAILED)
		end("FAILED: mapping the file for the disk");
}

static int attach(void)
{
	struct loop_config config = {
		.fd = (uint32_t)disk_fd,
		.info = {.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_PARTSCAN},
	};
	int fd = open(LOOP, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		end("FAILED: opening the loop device");
	for (int i = 0; ioctl(fd, LOOP_CONFIGURE, &config) < 0; i++) {
		/* The one before is let go of when its last reader is gone. */
		if (errno != EBUSY || i == 200)
			end("FAILED: attaching the loop device");
		usleep(10000);
	}
	return fd;
}

/* Blocks that the mapping served, by what they were. */
static void read_mapping(const struct ul_descriptor *d, const struct tamper_image *is, struct tamper_served *ret)
{
	size_t size = d->data_block_size, signed_len = is->d.data_blocks * is->d.data_block_size;
	ul_autoclose int fd = open("/dev/mapper/" MAPPING, O_RDONLY | O_CLOEXEC | O_DIRECT);
	static uint8_t block[4096] __attribute__((aligned(4096)));

	if (fd < 0)
		end("FAILED: opening the mapping");
	*ret = (struct tamper_served){.ends_good = true};
	for (uint64_t i = 0; i < d->data_blocks; i++) {
		size_t at = (size_t)i * size;

		if (pread(fd, block, size, (off_t)at) != (ssize_t)size)
			ret->errors++;
		else if (at + size > signed_len || memcmp(block, is->bytes + is->data.at + at, size) != 0)
			ret->bad++;
		else
			ret->good++;
	}
}

/* Where a partition of the loop device lies in the file. */
static uint64_t start_of(const char *device)
{
	char path[64], text[32] = "";
	ul_autoclose int fd = -1;

	snprintf(path, sizeof(path), "/sys/class/block/%s/start", strrchr(device, '/') + 1);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		end("FAILED: reading a partition's start");
	return strtoull(text, NULL, 10) * 512;
}

static enum outcome judge(const struct ul_slot *slot, const struct ul_seal *seal, const struct tamper_image *from)
{
	const struct tamper_image *is = from;
	struct tamper_served kernel, foretold;

	if (memcmp(seal->d.root_hash, from->d.root_hash, from->d.root_hash_len) != 0)
		is = &other;
	if (memcmp(seal->d.root_hash, is->d.root_hash, is->d.root_hash_len) != 0)
		return BAD;
	read_mapping(&seal->d, is, &kernel);
	tamper_read(&seal->d, (struct tamper_bytes){disk + start_of(slot->data.device), (size_t)slot->data.size},
		    (struct tamper_bytes){disk + start_of(slot->hash.device), (size_t)slot->hash.size}, is, &foretold);
	if (kernel.bad || kernel.good != foretold.good || kernel.errors != foretold.errors) {
		fprintf(results,
			"kernel: %" PRIu64 " good, %" PRIu64 " errors, %" PRIu64 " bad; foretold: %" PRIu64
			" good, %" PRIu64 " errors\n",
			kernel.good, kernel.errors, kernel.bad, foretold.good, foretold.errors);
		return BAD;
	}
	return kernel.errors ? READ_ERROR : HARMLESS;
}

static enum outcome open_slot(const struct ul_slot *slot, bool pinned, bool is_foreign, const struct tamper_image *from)
{
	struct ul_seal_policy policy = {
		.mode = pinned ? UL_VERIFY_PINNED : UL_VERIFY_USER,
		.trust = boot.trust,
		.pinned_root_hash = pinned ? from->d.root_hash : NULL,
		.pinned_root_hash_len = pinned ? from->d.root_hash_len : 0,
		.descriptor_required = !pinned && !is_foreign,
	};
	enum outcome is = REFUSED;
	struct ul_error err = {0};
	struct ul_seal seal;
	struct ul_verity_want want = {.slot = slot, .seal = &seal};

	if (ul_seal_decide(slot, &policy, &seal, &err) < 0)
		return REFUSED;
	if (ul_verity_activate(MAPPING, &want, &err) == 0) {
		is = judge(slot, &seal, from);
		if (ul_verity_deactivate(MAPPING, &err) < 0)
			end("FAILED: taking the mapping down");
	} else if (err.code != UL_E_CORRUPT && err.code != UL_E_SYSTEM && err.code != UL_E_VERITY) {
		end(err.why);
	}
	ul_seal_free(&seal);
	return is;
}

static enum outcome open_disk(bool pinned, bool is_foreign, const struct tamper_image *from)
{
	struct ul_slot_list list = {0};
	enum outcome worst = REFUSED;
	int fd = attach();

	if (ul_slots_probe(LOOP, "/dev", "usr", NULL, &list, NULL) == 0)
		for (size_t i = 0; i < list.n; i++) {
			enum outcome is = open_slot(&list.at[i], pinned, is_foreign, from);

			if (is > worst)
				worst = is;
		}
	ul_slots_free(&list);
	if (ioctl(fd, LOOP_CLR_FD) < 0)
		end("FAILED: letting the loop device go");
	close(fd);
	return worst;
}

/* number -1: the untouched image. */
static enum outcome run_case(int kind, int number, unsigned int mode)
{
	bool is_foreign = mode & 1, pinned = mode & 2;
	const struct tamper_image *from = is_foreign ? &foreign : &image;
	size_t len = from->len;
	enum outcome is;

	memcpy(disk, from->bytes, from->len);
	if (number >= 0)
		len = tamper_change((enum tamper_region)kind, SEED, (uint64_t)number, from, &other, disk);
	if (ftruncate(disk_fd, (off_t)len) < 0)
		end("FAILED: truncating the disk");
	is = open_disk(pinned, is_foreign, from);
	if (ftruncate(disk_fd, (off_t)(image.len + TAMPER_ROOM)) < 0)
		end("FAILED: growing the disk");
	return is;
}

static void run_all(void)
{
	unsigned int n = 0;

	for (unsigned int mode = 0; mode < 4; mode++)
		if (run_case(0, -1, mode) != HARMLESS)
			end("FAILED: the untouched image does not open");
	for (int kind = 0; kind < TAMPER_KINDS; kind++)
		for (int i = 0; i < (kind < TAMPER_REGIONS ? FLIPS : OTHERS); i++) {
			unsigned int mode = n++ % 4;
			enum outcome is;

			if (image.regions[kind < TAMPER_REGIONS ? kind : 0].len == 0)
				continue;
			/* A foreign image has no descriptor to flip. */
			if (kind == TAMPER_DESCRIPTOR || kind == TAMPER_DESCRIPTOR_SIGNATURE)
				mode &= 2;
			is = run_case(kind, i, mode);
			counts[kind][is]++;
			if (is == BAD)
				fprintf(results, "BAD: %s, case %d, policy %u\n", tamper_names[kind], i, mode);
		}
	for (int kind = 0; kind < TAMPER_KINDS; kind++)
		fprintf(results, "%-32s %3u refused %3u read-error %3u harmless %3u BAD\n", tamper_names[kind],
			counts[kind][REFUSED], counts[kind][READ_ERROR], counts[kind][HARMLESS], counts[kind][BAD]);
}

int main(void)
{
	struct ul_error err = {0};

	ul_boot_init(&boot);
	boot.pid1 = true;
	if (ul_stage_early(&boot, &err) < 0)
		reboot(RB_POWER_OFF);
	results = fopen("/dev/ttyS1", "we");
	if (!results)
		reboot(RB_POWER_OFF);
	if (ul_stage_policy(&boot, &err) < 0 || ul_stage_modules(&boot, &err) < 0)
		end(err.why);
	for (int i = 0; i < 500 && access("/dev/vdb", F_OK) < 0; i++)
		usleep(10000);
	if (!tamper_load("/dev/vda", &image) || !tamper_load("/dev/vda", &foreign) || !tamper_make_foreign(&foreign) ||
	    !tamper_load("/dev/vdb", &other))
		end("FAILED: loading the images");
	open_file();
	run_all();
	end("DONE");
}
