/*
 * Who uses a disk, for the sentence that refuses it: the kernel itself, asked to open the disk for one alone, says no
 * more than "busy". What is seen: mounts of this process's namespace, swap, and what device-mapper, md and their like
 * have made of the disk or a partition of it, one upon the other.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

struct ul_disk_use {
	char how[256];  /* a clause: "its partition sda2 is held by dm-0 (store), which is mounted at /nix/.ro" */
	bool by_system; /* what runs here was started from it */
};

/* sysfs ("/sys") and proc ("/proc") are inputs for tests. 1: *ret is set; 0: nobody is seen; -errno. */
int ul_disk_find_use(const char *sysfs, const char *proc, dev_t disk, struct ul_disk_use *ret);

/* A file that stands for a disk may have a loop device attached to it. As ul_disk_find_use. */
int ul_disk_file_find_use(const char *sysfs, const struct stat *file, struct ul_disk_use *ret);
