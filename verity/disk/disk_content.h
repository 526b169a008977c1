/*
 * What is on a disk that is to be overwritten: everything that libblkid knows, by name, so that nobody loses what he
 * did not mean. A disk is empty where libblkid finds neither a partition table nor a filesystem nor the mark of an
 * array or a volume group, for sectors of either size, and its first and last MiB are blank, as the boot has it of an
 * upper.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct ul_disk_bounds {
	uint64_t size;         /* bytes, whole sectors */
	uint32_t sector;       /* bytes */
	uint8_t own_table[16]; /* UUID of the table that is to be written, in the order of the text */
};

/*
 * 1: *ret is what it holds, "a gpt table with 3 partitions (1 esp: vfat; 2 root: ext4; 3: swap) and LVM2_member", cut
 * to fit where that is long; 0: it is empty, or has no more than a table of that UUID whose first sector is missing,
 * which an installation leaves that was cut off just before its end; -errno.
 */
int ul_disk_content(int fd, const struct ul_disk_bounds *bounds, char *ret, size_t size);
