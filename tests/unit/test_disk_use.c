/* Who uses a disk, by tables of the kernel that are made up: device-mapper, md, btrfs, one upon the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/file.h"
#include "verity/disk/disk_use.h"

static char top[] = "/tmp/underlay-test-use-XXXXXX";

/* A file below the top, with the directories that it lies in. */
static void write_text(const char *path, const char *text)
{
	char whole[PATH_MAX];

	snprintf(whole, sizeof(whole), "%s/%s", top, path);
	*strrchr(whole, '/') = '\0';
	assert_int_equal(ul_mkdir_parents(AT_FDCWD, whole, 0755), 0);
	assert_true(mkdir(whole, 0755) == 0 || access(whole, F_OK) == 0);
	snprintf(whole, sizeof(whole), "%s/%s", top, path);
	assert_int_equal(ul_write_file(AT_FDCWD, whole, 0644, text, strlen(text)), 0);
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(top) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return ul_remove_tree(AT_FDCWD, top);
}

/* A disk 8:0 with two partitions. */
static void make_disk(void)
{
	(void)!ul_remove_tree(AT_FDCWD, top);
	assert_int_equal(mkdir(top, 0755), 0);
	write_text("sys/dev/block/8:0/sda1/partition", "1\n");
	write_text("sys/dev/block/8:0/sda1/dev", "8:1\n");
	write_text("sys/dev/block/8:0/sda2/partition", "2\n");
	write_text("sys/dev/block/8:0/sda2/dev", "8:2\n");
	write_text("sys/dev/block/8:0/queue/dev", "8:3\n"); /* no partition */
	write_text("proc/self/mountinfo", "20 1 0:5 / /dev rw - devtmpfs udev rw\n"
					  "21 1 8:3 / /other rw shared:1 - ext4 /dev/other rw\n");
	write_text("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n");
}

/* What is said, or "" where nobody is seen. */
static const char *said(bool *ret_by_system)
{
	static struct ul_disk_use use;
	char sysfs[PATH_MAX], proc[PATH_MAX];
	int r;

	snprintf(sysfs, sizeof(sysfs), "%s/sys", top);
	snprintf(proc, sizeof(proc), "%s/proc", top);
	use = (struct ul_disk_use){.by_system = false};
	r = ul_disk_find_use(sysfs, proc, makedev(8, 0), &use);
	assert_true(r == 0 || r == 1);
	if (ret_by_system)
		*ret_by_system = use.by_system;
	return r == 1 ? use.how : "";
}

static void nobody_is_seen(void **state)
{
	(void)state;
	make_disk();
	assert_string_equal(said(NULL), "");
}

static void mounts_are_told(void **state)
{
	bool by_system = true;

	(void)state;
	make_disk();
	write_text("proc/self/mountinfo", "20 1 8:2 / /mnt/a\\040b rw,noatime shared:1 master:2 - ext4 /dev/sda2 rw\n");
	assert_string_equal(said(&by_system), "its partition sda2 is mounted at /mnt/a b");
	assert_false(by_system);
	write_text("proc/self/mountinfo",
		   "20 1 8:0 / /mnt rw - ext4 /dev/sda rw\n21 1 8:1 / /boot rw - vfat /dev/sda1 rw\n");
	assert_string_equal(said(&by_system), "it is mounted at /mnt");
	assert_false(by_system);
	/* Of several the system is told. */
	write_text("proc/self/mountinfo",
		   "20 1 8:1 / /boot rw - vfat /dev/sda1 rw\n21 1 8:2 / / rw - ext4 /dev/sda2 rw\n");
	assert_string_equal(said(&by_system), "its partition sda2 is mounted at /");
	assert_true(by_system);
	/* What is cut off or made up is passed over. */
	write_text("proc/self/mountinfo",
		   "\n20\n20 1 8:2\n - \n20 1 8:2 / /a - ext4\n20 1 x:y / /a rw - ext4 /dev/sda2 rw");
	assert_string_equal(said(NULL), "");
}

static void holders_lead_on(void **state)
{
	bool by_system = true;

	(void)state;
	make_disk();
	write_text("sys/dev/block/8:2/holders/md0/dev", "9:0\n");
	assert_string_equal(said(&by_system), "its partition sda2 is held by md0");
	assert_false(by_system);
	write_text("sys/dev/block/9:0/holders/dm-3/dev", "253:3\n");
	write_text("sys/dev/block/9:0/holders/dm-3/dm/name", "vg-root\n");
	write_text("proc/self/mountinfo", "20 1 253:3 / /srv rw - ext4 /dev/mapper/vg-root rw\n");
	assert_string_equal(
		said(&by_system),
		"its partition sda2 is held by md0, which is held by dm-3 (vg-root), which is mounted at /srv");
	assert_false(by_system);
	/* The sealed store, as a boot leaves it. */
	write_text("proc/self/mountinfo", "20 1 253:3 / /nix/.ro ro - erofs /dev/mapper/underlay ro\n");
	(void)said(&by_system);
	assert_true(by_system);
	/* A circle, which no kernel makes, ends. */
	write_text("sys/dev/block/253:3/holders/md0/dev", "9:0\n");
	(void)said(&by_system);
	assert_true(by_system);
}

/* A swap device, and a btrfs, which has a device number of its own, are known by their nodes. */
static void nodes_tell_too(void **state)
{
	char node[PATH_MAX], text[2 * PATH_MAX];

	(void)state;
	make_disk();
	snprintf(node, sizeof(node), "%s/node", top);
	if (mknod(node, S_IFBLK | 0600, makedev(8, 1)) < 0)
		fail_msg("a block device's node can be made by root alone");
	snprintf(text, sizeof(text), "Filename\tType\n%s partition 100 0 -2\n", node);
	write_text("proc/swaps", text);
	assert_string_equal(said(NULL), "its partition sda1 is swap space");
	snprintf(text, sizeof(text), "20 1 0:40 /sub /data rw - btrfs %s rw\n", node);
	write_text("proc/self/mountinfo", text);
	assert_string_equal(said(NULL), "its partition sda1 is mounted at /data");
}

static void files_have_loop_devices(void **state)
{
	struct ul_disk_use use;
	char sysfs[PATH_MAX], file[PATH_MAX];
	struct stat st;

	(void)state;
	make_disk();
	write_text("a file", "x");
	write_text("another", "x");
	snprintf(sysfs, sizeof(sysfs), "%s/sys", top);
	snprintf(file, sizeof(file), "%s/a file", top);
	assert_int_equal(stat(file, &st), 0);
	write_text("sys/block/sda/size", "1\n");
	write_text("sys/block/loop1/loop/backing_file", "/nothing/at/all (deleted)\n");
	assert_int_equal(ul_disk_file_find_use(sysfs, &st, &use), 0);
	snprintf(file, sizeof(file), "%s/another\n", top);
	write_text("sys/block/loop2/loop/backing_file", file);
	assert_int_equal(ul_disk_file_find_use(sysfs, &st, &use), 0);
	snprintf(file, sizeof(file), "%s/a file\n", top);
	write_text("sys/block/loop3/loop/backing_file", file);
	assert_int_equal(ul_disk_file_find_use(sysfs, &st, &use), 1);
	assert_string_equal(use.how, "the loop device loop3 is attached to it");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_is_seen),          cmocka_unit_test(mounts_are_told),
		cmocka_unit_test(holders_lead_on),         cmocka_unit_test(nodes_tell_too),
		cmocka_unit_test(files_have_loop_devices),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
