/*
 * What the superblocks of the permitted filesystems must say: data only, a row for each. Offsets are those of the
 * kernel's own structures (fs/ext4/ext4.h, fs/xfs/libxfs/xfs_format.h, fs/btrfs/tree.h, linux/f2fs_fs.h).
 */
#include "initrd/policy/upper_fs.h"

#define LE(n) .width = (n)
#define BE(n) .width = (n), .big_endian = true
#define ANY   UINT64_MAX

#define EXT4(offset) .at = (1024 + (offset))
#define EXTERNAL_JOURNAL                                                                                    \
	.says = "keeps its journal on another device, whose contents it would take over",                   \
	.todo = "Take the journal back into it (tune2fs -O ^has_journal, tune2fs -j, on another machine), " \
		"or make the filesystem anew."
#define COUNTS_QUOTAS(how)                                                                                             \
	.says = "counts quotas in a file of its own, which the kernel goes on writing, and nobody checked its blocks", \
	.todo = how ", or use ext4 with [upper] guard = checked, and e2fsck in the initramfs."

const struct ul_upper_feature ul_upper_ext4_features[] = {
	{EXT4(0x60), LE(4), .mask = 0x20000,
	 .says = "has the feature casefold, and the kernel refuses to lay an overlay over it",
	 .todo = "Take the feature off (ext4: tune2fs -O ^casefold, where no directory uses it), or make the "
		 "filesystem anew."},
	{EXT4(0x60), LE(4), .mask = 0x8, .says = "is another filesystem's journal", .todo = "Name another device."},
	{EXT4(0xd0), LE(8), .mask = ANY, EXTERNAL_JOURNAL},
	{EXT4(0xd8), LE(8), .mask = ANY, EXTERNAL_JOURNAL},
	{EXT4(0xe4), LE(4), .mask = ANY, EXTERNAL_JOURNAL},
	/* has_journal, and no inode of it. */
	{EXT4(0xe0), LE(4), .mask = ANY, .wanted = true, .where = {1024 + 0x5c, 0x4}, EXTERNAL_JOURNAL},
	{EXT4(0x64), LE(4), .mask = 0x400, .wanted = true, .checksums = true,
	 .says = "has no checksums of its metadata (metadata_csum), without which damage looks like contents",
	 .todo = "Switch them on (e2fsck -f, then tune2fs -O metadata_csum, on another machine), make the filesystem "
		 "anew, or set [upper] guard = anew."},
	/* The kernel itself writes these, through blocks that nothing keeps from being a new directory's as well. */
	{EXT4(0x64), LE(4), .mask = 0x100, .anew = true,
	 COUNTS_QUOTAS("Take the feature off (tune2fs -O ^quota, on another machine)")},
	{EXT4(0x60), LE(4), .mask = 0x100, .anew = true,
	 .says = "has a block that the kernel writes every few seconds (the feature mmp), and nobody checked whose that is",
	 .todo = "Take the feature off (tune2fs -O ^mmp, on another machine), or have it checked: [upper] guard = checked, "
		 "and e2fsck in the initramfs."},
	{.width = 0},
};

const struct ul_upper_feature ul_upper_xfs_features[] = {
	/* XFS_SB_VERSION_BORGBIT, in versions 4 and 5. The kernel's name cache does not know of it, nor overlayfs. */
	{.at = 100,
	 BE(2),
	 .mask = 0x4000,
	 .says = "folds case (mkfs.xfs -n version=ci), which no overlay may lie over",
	 .todo = "Make the filesystem anew."},
	{.at = 48,
	 BE(8),
	 .mask = ANY,
	 .wanted = true,
	 .says = "keeps its log on another device",
	 .todo = "Make the filesystem anew."},
	{.width = 0},
};

#define BTRFS(offset) .at = (65536 + (offset))

const struct ul_upper_feature ul_upper_btrfs_features[] = {
	{BTRFS(0x88), LE(8), .mask = ~UINT64_C(1), .says = "lies on several devices, of which only this one was named",
	 .todo = "Take the others out (btrfs device remove), or make the filesystem anew."},
	{BTRFS(0x38), LE(8), .mask = UINT64_C(1) << 32, .says = "is a seed for others, and cannot be written",
	 .todo = "Make it writable (btrfstune -S 0, on another machine), or make the filesystem anew."},
	{.width = 0},
};

/* The kernel takes the second superblock where it does not believe the first. */
#define F2FS_SUPERBLOCKS(offset, ...)              \
	{.at = 1024 + (offset), __VA_ARGS__},      \
	{                                          \
		.at = 5120 + (offset), __VA_ARGS__ \
	}

const struct ul_upper_feature ul_upper_f2fs_features[] = {
	F2FS_SUPERBLOCKS(2180, LE(4), .mask = 0x1000,
			 .says = "has the feature casefold, and the kernel refuses to lay an overlay over it",
			 .todo = "Make the filesystem anew."),
	F2FS_SUPERBLOCKS(2180, LE(4), .mask = 0x80, .anew = true, COUNTS_QUOTAS("Make the filesystem anew without it")),
	/* devs[0].path and devs[1].path: the kernel opens what is named there, and writes to it. */
	F2FS_SUPERBLOCKS(2201, LE(1), .mask = 0xff, .says = "names other devices that it lies on, too",
			 .todo = "Make the filesystem anew."),
	F2FS_SUPERBLOCKS(2269, LE(1), .mask = 0xff, .says = "names other devices that it lies on, too",
			 .todo = "Make the filesystem anew."),
	{.width = 0},
};
