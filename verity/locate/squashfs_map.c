#include "verity/locate/squashfs_map.h"

#include <stddef.h>
#include <stdlib.h>

#include "common/compare.h"
#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/file.h"

enum { SB_SIZE = 96, SB_MAGIC = 0, SB_BYTES_USED = 40 };

#define SQUASHFS_MAGIC 0x73717368u

static const char WHAT[] = "reading the filesystem's map";

struct part {
	const char *name;
	uint64_t at;
};

static int by_place(const void *a, const void *b)
{
	const struct part *x = a, *y = b;

	return ul_order(x->at, y->at);
}

int ul_squashfs_map(int fd, const struct ul_extent *data,
		    void (*found)(void *user, const char *name, uint64_t at, uint64_t len), void *user,
		    struct ul_error *err)
{
	/* Where the superblock says that each begins (u64; all ones: there is none). */
	static const struct {
		const char *name;
		size_t field;
	} tables[] = {
		{"id table", 48},        {"attribute table", 56}, {"inode table", 64},
		{"directory table", 72}, {"fragment table", 80},  {"export table", 88},
	};
	struct part parts[UL_ARRAY_SIZE(tables) + 2] = {{"superblock", 0}, {"files' contents", SB_SIZE}};
	size_t n = 2;
	uint8_t sb[SB_SIZE];
	uint64_t used;
	int r = ul_pread_full(fd, sb, sizeof(sb), data->offset);

	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, data->device, NULL, -r);
	used = ul_get_le64(sb + SB_BYTES_USED);
	if (ul_get_le32(sb + SB_MAGIC) != SQUASHFS_MAGIC || used > data->size || used < SB_SIZE)
		return ul_error_set(err, UL_E_FILESYSTEM, WHAT, data->device, NULL, "it is not a squashfs");
	for (size_t i = 0; i < UL_ARRAY_SIZE(tables); i++) {
		uint64_t at = ul_get_le64(sb + tables[i].field);

		if (at >= SB_SIZE && at < used)
			parts[n++] = (struct part){tables[i].name, at};
	}
	qsort(parts, n, sizeof(*parts), by_place);
	for (size_t i = 0; i < n; i++)
		found(user, parts[i].name, parts[i].at, (i + 1 < n ? parts[i + 1].at : used) - parts[i].at);
	return 0;
}
