/* The group of the store in an erofs: set where the path leads, and refused by the name of what is in the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/file.h"
#include "verity/image/erofs_owner.h"
#include "verity/locate/erofs_format.h"

#define ROOT 36u /* inode numbers: behind the superblock */
#define NIX  40u

/* An erofs of one block, whose root holds "nix", which has this mode. */
static int make(uint16_t mode)
{
	static uint8_t fs[4096];
	uint8_t *sb = fs + EROFS_SB_OFFSET, *root = fs + (size_t)ROOT * EROFS_INODE_UNIT,
		*nix = fs + (size_t)NIX * EROFS_INODE_UNIT, *entry = root + EROFS_COMPACT_LEN;
	int fd = memfd_create("erofs", MFD_CLOEXEC);

	memset(fs, 0, sizeof(fs));
	ul_put_le32(sb + EROFS_SB_MAGIC, EROFS_MAGIC);
	sb[EROFS_SB_BLOCK_BITS] = 12;
	ul_put_le16(sb + EROFS_SB_ROOT_NID, ROOT);
	ul_put_le16(root + EROFS_INODE_FORMAT, EROFS_FLAT_INLINE << 1);
	ul_put_le16(root + EROFS_INODE_MODE, EROFS_MODE_DIRECTORY);
	ul_put_le32(root + EROFS_INODE_SIZE, EROFS_DIRENT_SIZE + 3);
	ul_put_le64(entry, NIX);
	ul_put_le16(entry + EROFS_DIRENT_NAME, EROFS_DIRENT_SIZE);
	memcpy(entry + EROFS_DIRENT_SIZE, "nix", 3);
	ul_put_le16(nix + EROFS_INODE_FORMAT, EROFS_FLAT_INLINE << 1);
	ul_put_le16(nix + EROFS_INODE_MODE, mode);
	assert_true(fd >= 0);
	assert_int_equal(ul_pwrite_full(fd, fs, sizeof(fs), 0), 0);
	return fd;
}

static void set(void **state)
{
	ul_autoclose int fd = make(EROFS_MODE_DIRECTORY);
	uint8_t gid[2];

	(void)state;
	assert_int_equal(ul_erofs_set_group(fd, 0, "image", "nix", 30000, NULL), 0);
	assert_int_equal(ul_pread_full(fd, gid, 2, (uint64_t)NIX * EROFS_INODE_UNIT + EROFS_COMPACT_GID), 0);
	assert_int_equal(ul_get_le16(gid), 30000);
}

static void refused(void **state)
{
	static const struct {
		const char *path, *why;
		uint16_t mode;
	} rows[] = {
		{"nix/store", "/nix in it is not a directory", EROFS_MODE_REGULAR},
		{"nix/store", "/nix in it is a directory larger than a block, or has attributes", EROFS_MODE_DIRECTORY},
		{"usr/nix/store", "/usr in it does not exist", EROFS_MODE_DIRECTORY},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ul_autoclose int fd = make(rows[i].mode);
		struct ul_error err = {0};

		assert_int_equal(ul_erofs_set_group(fd, 0, "image", rows[i].path, 30000, &err), -UL_E_FILESYSTEM);
		assert_string_equal(err.object, "image");
		assert_string_equal(err.why, rows[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(set), cmocka_unit_test(refused)};

	return cmocka_run_group_tests_name("erofs_owner", tests, NULL, NULL);
}
