#include "verity/disk/esp.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/names.h"
#include "common/run.h"
#include "verity/disk/mtools.h"

static const char WHAT[] = "making the EFI system partition";

#define MIB           (1024u * 1024)
#define FAT32_CLUSTER 65525u /* fewer clusters are a FAT16: Microsoft's FAT specification, 1.03, section 3.5 */
#define CLUSTER       4096u  /* bytes, at most, of the sizes that are made here */

uint64_t ul_esp_size_min(uint32_t sector)
{
	/* Clusters of a sector, both tables of 4 bytes a cluster, and the reserved sectors. */
	uint64_t bytes = (uint64_t)FAT32_CLUSTER * (sector + 8) + 64 * sector;

	return (bytes / MIB + 1) * MIB;
}

uint64_t ul_esp_size_of(const struct ul_esp_file *files, size_t n, uint32_t sector)
{
	uint64_t bytes = 2 * MIB; /* directories, reserved sectors */

	for (size_t i = 0; i < n; i++)
		bytes += (files[i].size / CLUSTER + 1) * CLUSTER;
	return bytes + bytes / sector * 8;
}

static int check_size(const struct ul_esp *esp, struct ul_error *err)
{
	uint64_t least = ul_esp_size_min(esp->sector), wanted = ul_esp_size_of(esp->files, esp->n, esp->sector);

	if (esp->size < least)
		return ul_error_set(
			err, UL_E_INPUT, WHAT, NULL, "Make it larger by --esp-size.",
			"it would have %" PRIu64
			" bytes; a FAT32 in sectors of %u bytes, which the UEFI specification wants, has %" PRIu64
			" at least",
			esp->size, (unsigned int)esp->sector, least);
	if (esp->size < wanted)
		return ul_error_set(err, UL_E_INPUT, WHAT, NULL, "Make it larger by --esp-size.",
				    "it would have %" PRIu64 " bytes; its files need %" PRIu64, esp->size, wanted);
	return 0;
}

static int make_empty(const char *output, const struct ul_esp *esp, struct ul_error *err)
{
	ul_autoclose int fd = open(output, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	char number[16], bytes[16];
	const char *const argv[] = {"mkfs.vfat", "--invariant", "-F", "32",  "-i",   number,
				    "-n",        "ESP",         "-S", bytes, output, NULL};

	if (fd < 0 || ftruncate(fd, (off_t)esp->size) < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, output, NULL, errno);
	snprintf(number, sizeof(number), "%08" PRIx32, esp->volume);
	snprintf(bytes, sizeof(bytes), "%" PRIu32, esp->sector);
	return ul_run(argv, WHAT, NULL, NULL, err);
}

/* A directory, or a copy of a file, in the filesystem. */
static int mtool(const char *program, const char *fat, const char *from, const char *to, struct ul_error *err)
{
	ul_autofree char *inside = NULL, *source = from ? realpath(from, NULL) : NULL;

	if (from && !source)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, from, NULL, errno);
	if (asprintf(&inside, "::%s", to) < 0) {
		inside = NULL;
		return ul_error_nomem(err, WHAT);
	}
	return ul_mtool(&(struct ul_mtool){program, fat, 0, {source ? source : inside, source ? inside : NULL}}, WHAT,
			NULL, NULL, err);
}

/* The directories of path that are not made yet, from the top. */
static int make_parents(const char *fat, const char *path, struct ul_names *made, struct ul_error *err)
{
	for (const char *end = strchr(path, '/'); end; end = strchr(end + 1, '/')) {
		ul_autofree char *dir = strndup(path, (size_t)(end - path));
		int r = dir ? ul_names_add_new(made, dir) : -ENOMEM;

		if (r < 0)
			return ul_error_nomem(err, WHAT);
		r = r > 0 ? mtool("mmd", fat, NULL, dir, err) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

int ul_esp_make(const char *output, const struct ul_esp *esp, struct ul_error *err)
{
	ul_autonames struct ul_names made = {0};
	int r = check_size(esp, err);

	if (r == 0)
		r = make_empty(output, esp, err);
	for (size_t i = 0; r == 0 && i < esp->n; i++) {
		r = make_parents(output, esp->files[i].path, &made, err);
		if (r == 0)
			r = mtool("mcopy", output, esp->files[i].source, esp->files[i].path, err);
	}
	return r;
}
