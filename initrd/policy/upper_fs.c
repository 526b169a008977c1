/* The filesystems of an upper: data, but for the words of their mkfs. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "initrd/policy/upper_fs.h"

const struct ul_upper_fs ul_upper_filesystems[] = {
	/* Nix's database is worth more than going on after an error. */
	[UL_UPPER_EXT4] = {.name = "ext4",
			   .mkfs = "mkfs.ext4",
			   .fsck = "e2fsck",
			   .fsck_flags = "-fp",
			   .whole = true,
			   /* Its own superblock may ask for other options: the later one holds. */
			   .options = "errors=remount-ro,block_validity",
			   .label_max = 16,
			   .package = "e2fsprogs",
			   .features = ul_upper_ext4_features,
			   .quota_module = "quota_v2",
			   .quota_at = 1024 + 100,
			   .quota = 0x100},
	/* The mount replays its log; nobody advises to run xfs_repair unasked. */
	[UL_UPPER_XFS] = {.name = "xfs",
			  .mkfs = "mkfs.xfs",
			  .options = "",
			  .label_max = 12,
			  .package = "xfsprogs",
			  .features = ul_upper_xfs_features},
	/* Its developers advise against repairing unasked too. */
	[UL_UPPER_BTRFS] = {.name = "btrfs",
			    .mkfs = "mkfs.btrfs",
			    .options = "",
			    .label_max = 255,
			    .package = "btrfs-progs",
			    .features = ul_upper_btrfs_features},
	[UL_UPPER_F2FS] = {.name = "f2fs",
			   .mkfs = "mkfs.f2fs",
			   .fsck = "fsck.f2fs",
			   /* It reads all only where the filesystem calls itself unclean. */
			   .fsck_flags = "-a",
			   .options = "",
			   .label_max = 255,
			   .package = "f2fs-tools",
			   .features = ul_upper_f2fs_features},
	{.name = NULL},
};

const struct ul_upper_fs *ul_upper_fs_find(const char *name)
{
	for (const struct ul_upper_fs *fs = ul_upper_filesystems; fs->name; fs++)
		if (!strcmp(fs->name, name))
			return fs;
	return NULL;
}

const struct ul_upper_fs *ul_upper_fs_permitted(const struct ul_policy *p, size_t i)
{
	char **list = p->upper_filesystems;

	for (size_t k = 0; list && k < i; k++)
		if (!list[k])
			return NULL;
	return list && list[i] ? ul_upper_fs_find(list[i]) : NULL;
}

/*
 * No discarding: it would take the marker with it, and takes minutes on some disks; fstrim does it later. No
 * zeroing of inode tables and journals before the first boot goes on: the kernel does it, or reads them as zero.
 */
void ul_upper_mkfs_args(const struct ul_upper_fs *fs, const struct ul_upper_mkfs *mkfs, char buf[96],
			const char *args[UL_UPPER_ARGS])
{
	/* "LABEL" and so on stand for what mkfs has. */
	static const struct {
		const char *name;
		const char *words[UL_UPPER_ARGS];
	} commands[] = {
		{"ext4",
		 {"-F", "-q", "-O", "metadata_csum", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1", "-L",
		  "LABEL", "-U", "UUID", "DEVICE", "SIZE"}},
		{"xfs", {"-f", "-q", "-K", "-L", "LABEL", "-m", "UUID", "-d", "SIZE", "DEVICE"}},
		{"btrfs", {"-f", "-q", "-K", "-L", "LABEL", "-U", "UUID", "-b", "SIZE", "DEVICE"}},
		{"f2fs", {"-f", "-q", "-t", "0", "-l", "LABEL", "-U", "UUID", "DEVICE", "SIZE"}},
	};
	bool xfs = !strcmp(fs->name, "xfs"), f2fs = !strcmp(fs->name, "f2fs");
	char *uuid_text = buf, *size_text = buf + 48;
	size_t n = 0;

	snprintf(uuid_text, 48, "%s%s", xfs ? "uuid=" : "", mkfs->uuid);
	/* mke2fs wants a unit, mkfs.f2fs counts sectors of 512 bytes, the others count bytes. */
	snprintf(size_text, 48, "%s%" PRIu64 "%s", xfs ? "size=" : "",
		 f2fs ? mkfs->size / 512 : (!strcmp(fs->name, "ext4") ? mkfs->size / 1024 : mkfs->size),
		 !strcmp(fs->name, "ext4") ? "k" : "");
	args[n++] = mkfs->program;
	for (size_t c = 0; c < UL_ARRAY_SIZE(commands); c++) {
		for (const char *const *word = commands[c].words; !strcmp(commands[c].name, fs->name) && *word; word++)
			args[n++] = !strcmp(*word, "LABEL")    ? mkfs->label
				    : !strcmp(*word, "UUID")   ? uuid_text
				    : !strcmp(*word, "SIZE")   ? size_text
				    : !strcmp(*word, "DEVICE") ? mkfs->device
							       : *word;
	}
	args[n] = NULL;
}
