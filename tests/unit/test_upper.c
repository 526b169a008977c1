/* The upper's device: names, what counts as empty, and the words for mkfs. On files: nothing here needs root. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/file.h"
#include "initrd/upper/upper.h"
#include "initrd/upper/marker.h"

#define MIB (1u << 20)

static void test_names(void **state)
{
	static const struct {
		const char *text;
		enum ul_upper_by by;
		const char *value; /* NULL: refused */
	} cases[] = {
		{"/dev/vda2", UL_UPPER_BY_PATH, "/dev/vda2"},
		{"PARTLABEL=My Upper", UL_UPPER_BY_PARTLABEL, "My Upper"},
		{"PARTUUID=AAAAAAAA-bbbb-4ccc-8ddd-EEEEEEEEEEEE", UL_UPPER_BY_PARTUUID,
		 "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"},
		{"PARTTYPE=var", UL_UPPER_BY_PARTTYPE, "4d21b016-b534-45c2-a9fb-5c16e091fd2d"},
		{"PARTTYPE=4D21B016-b534-45c2-a9fb-5c16e091fd2d", UL_UPPER_BY_PARTTYPE,
		 "4d21b016-b534-45c2-a9fb-5c16e091fd2d"},
		{"LABEL=Upper", UL_UPPER_BY_LABEL, "Upper"},
		{"UUID=ABCD-1234", UL_UPPER_BY_UUID, "abcd-1234"},
		{"", UL_UPPER_BY_PATH, NULL},
		{"vda2", UL_UPPER_BY_PATH, NULL},
		{"LABEL=", UL_UPPER_BY_LABEL, NULL},
		{"PARTTYPE=home-sweet-home", UL_UPPER_BY_PARTTYPE, NULL},
		{"PARTUUID=1", UL_UPPER_BY_PARTUUID, NULL},
		{"PARTUUID=aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeeg", UL_UPPER_BY_PARTUUID, NULL},
		{"PARTUUID=aaaaaaaa+bbbb-4ccc-8ddd-eeeeeeeeeeee", UL_UPPER_BY_PARTUUID, NULL},
	};
	char longer[200] = "LABEL=";

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(cases); i++) {
		struct ul_upper_name name = {.value = "untouched"};
		const char *wrong = ul_upper_parse_name(cases[i].text, &name);

		assert_int_equal(wrong == NULL, cases[i].value != NULL);
		assert_string_equal(name.value, wrong ? "untouched" : cases[i].value);
		if (!wrong)
			assert_int_equal(name.by, cases[i].by);
	}
	memset(longer + 6, 'x', sizeof(longer) - 7);
	struct ul_upper_name name;

	assert_non_null(ul_upper_parse_name(longer, &name));
}

static int device(const char *name, uint64_t size)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static void put(int fd, const void *bytes, size_t len, uint64_t offset)
{
	assert_int_equal(ul_pwrite_full(fd, bytes, len, offset), 0);
}

static void put_marker(int fd, uint64_t size, const char *uuid)
{
	uint8_t bytes[UL_MARKER_SIZE] = {0};

	memcpy(bytes, UL_MARKER_MAGIC, 16);
	bytes[16] = 1;
	memcpy(bytes + 20, "ext4", 4);
	memcpy(bytes + 36, uuid, strlen(uuid));
	put(fd, bytes, sizeof(bytes), ul_upper_marker_offset(size));
}

static struct ul_upper_probe probe(int fd, bool format, int code)
{
	struct ul_policy p = {.upper_prepare = format};
	struct ul_upper_probe found = {0};
	struct ul_error err;

	assert_int_equal(ul_upper_probe(fd, "test", &p, &found, &err), -code);
	return found;
}

static void test_empty(void **state)
{
	static const char uuid[] = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";
	uint64_t size = 20 * MIB + 4096;
	ul_autoclose int fd = device("empty", size);
	ul_autofree char *ones = malloc(MIB);

	(void)state;
	assert_int_equal(probe(fd, true, 0).content, UL_UPPER_EMPTY);
	assert_int_equal(probe(fd, false, 0).content, UL_UPPER_FOREIGN);
	/* What lies between the edges is nobody's. */
	put(fd, "x", 1, 2 * MIB);
	assert_int_equal(probe(fd, true, 0).content, UL_UPPER_EMPTY);
	put(fd, "x", 1, MIB - 1);
	assert_int_equal(probe(fd, true, 0).content, UL_UPPER_FOREIGN);
	put(fd, "", 1, MIB - 1);
	put(fd, "x", 1, size - 1);
	assert_int_equal(probe(fd, true, 0).content, UL_UPPER_FOREIGN);
	put(fd, "", 1, size - 1);
	/* Erased flash. */
	memset(ones, 0xff, MIB);
	put(fd, ones, MIB, 0);
	assert_int_equal(probe(fd, true, 0).content, UL_UPPER_EMPTY);
	/* Our own marker, whatever is half there; but not one that is none. */
	put(fd, "half made", 9, 0);
	put_marker(fd, size, uuid);
	assert_int_equal(probe(fd, true, 0).content, UL_UPPER_HALF);
	assert_string_equal(probe(fd, true, 0).uuid, uuid);
	put_marker(fd, size, "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeee!");
	assert_int_equal(probe(fd, true, 0).content, UL_UPPER_FOREIGN);
	assert_int_equal(ftruncate(fd, 16 * MIB - 512), 0);
	probe(fd, true, UL_E_UPPER);
}

/* The marker and the filesystem never touch: mkfs gets what lies before. */
static void test_mkfs_words(void **state)
{
	static const char *const wanted[] = {
		"/sbin/mkfs.ext4 -F -q -O metadata_csum -E nodiscard,lazy_itable_init=1,lazy_journal_init=1 -L l -U u /dev/x "
		"1024k",
		"/sbin/mkfs.xfs -f -q -K -L l -m uuid=u -d size=1048576 /dev/x",
		"/sbin/mkfs.btrfs -f -q -K -L l -U u -b 1048576 /dev/x",
		"/sbin/mkfs.f2fs -f -q -t 0 -l l -U u /dev/x 2048",
	};

	(void)state;
	for (size_t i = 0; ul_upper_filesystems[i].name; i++) {
		const struct ul_upper_fs *fs = &ul_upper_filesystems[i];
		const char *args[UL_UPPER_ARGS];
		char program[64], buf[96], line[256] = "";
		const struct ul_upper_mkfs mkfs = {program, "/dev/x", "l", "u", MIB};

		snprintf(program, sizeof(program), "/sbin/%s", fs->mkfs);
		ul_upper_mkfs_args(fs, &mkfs, buf, args);
		for (size_t k = 0; args[k]; k++) {
			strcat(line, k ? " " : "");
			strcat(line, args[k]);
		}
		assert_string_equal(line, wanted[i]);
	}
	assert_int_equal(ul_upper_marker_offset(20 * MIB), 19 * MIB);
	assert_int_equal(ul_upper_marker_offset(21 * MIB - 1), 19 * MIB);
}

/* Each row by itself: without it a filesystem of zeros is as it should be, or has what is wanted. */
static void test_features(void **state)
{
	(void)state;
	for (const struct ul_upper_fs *fs = ul_upper_filesystems; fs->name; fs++)
		for (const struct ul_upper_feature *f = fs->features; f->width; f++) {
			const struct ul_upper_feature one[] = {*f, {.width = 0}};
			const struct ul_upper_fs only = {.name = fs->name, .features = one};
			enum ul_upper_guard asked = f->anew ? UL_UPPER_GUARD_ANEW : UL_UPPER_GUARD_CHECKED;
			ul_autoclose int fd = device("features", MIB);
			uint8_t bytes[8] = {0};
			struct ul_error err;

			assert_true(f->mask != 0 && f->says && f->todo);
			if (f->where.mask) {
				assert_int_equal(ul_upper_features(fd, "x", &only, UL_UPPER_GUARD_AUTO, &err), 0);
				ul_put_le32(bytes, f->where.mask);
				put(fd, bytes, 4, f->where.at);
			}
			assert_int_equal(ul_upper_features(fd, "x", &only, UL_UPPER_GUARD_AUTO, &err),
					 f->wanted ? -UL_E_UPPER : 0);
			for (uint8_t i = 0; i < f->width; i++)
				bytes[i] = (uint8_t)(f->mask >> 8 * (f->big_endian ? f->width - 1 - i : i));
			put(fd, bytes, f->width, f->at);
			assert_int_equal(ul_upper_features(fd, "x", &only, asked, &err), f->wanted ? 0 : -UL_E_UPPER);
			if (!f->wanted)
				assert_non_null(strstr(err.why, f->says));
			assert_int_equal(ul_upper_features(fd, "x", &only, UL_UPPER_GUARD_NONE, &err),
					 f->wanted || f->anew ? 0 : -UL_E_UPPER);
			assert_int_equal(ftruncate(fd, 512), 0);
			if (f->at >= 512)
				assert_int_equal(ul_upper_features(fd, "x", &only, asked, &err), -UL_E_UPPER);
		}
}

/* What may not pass, each as its filesystem's own definition has it, whatever the rows say. */
static void test_superblocks(void **state)
{
	static const struct {
		const char *fs;
		uint64_t at;
		uint32_t bytes; /* little-endian */
		const char *says;
	} cases[] = {
		{"ext4", 1024 + 0x64, 0x6b, "metadata_csum"}, /* RO_COMPAT as mkfs makes it, without METADATA_CSUM */
		{"ext4", 1024 + 0x60, 0x20000, "casefold"},
		{"ext4", 1024 + 0x60, 0x8, "another filesystem's journal"},
		{"ext4", 1024 + 0xd0, 1, "journal on another device"}, /* s_journal_uuid */
		{"ext4", 1024 + 0xdc, 1, "journal on another device"},
		{"ext4", 1024 + 0xe4, 0x700, "journal on another device"}, /* s_journal_dev */
		{"ext4", 1024 + 0xe0, 0, "journal on another device"},     /* s_journal_inum */
		{"xfs", 100, 0x0040, "folds case"},                        /* sb_versionnum, big-endian */
		{"xfs", 48, 0, "log on another device"},                   /* sb_logstart */
		{"btrfs", 65536 + 0x88, 2, "several devices"},             /* num_devices */
		{"btrfs", 65536 + 0x88, 3, "several devices"},
		{"btrfs", 65536 + 0x3c, 1, "seed"}, /* flags, upper half */
		{"f2fs", 1024 + 2180, 0x1000, "casefold"},
		{"f2fs", 5120 + 2180, 0x1000, "casefold"},
		{"f2fs", 1024 + 2201, '/', "other devices"},
		{"f2fs", 5120 + 2269, '/', "other devices"},
	};

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(cases); i++) {
		const struct ul_upper_fs *fs = ul_upper_fs_find(cases[i].fs);
		ul_autoclose int fd = device("superblock", MIB);
		static const uint8_t has_journal = 0x4, checksums[2] = {0x6b, 0x4}, one = 1;
		uint8_t bytes[4];
		struct ul_error err;

		put(fd, &has_journal, 1, 1024 + 0x5c);
		put(fd, checksums, 2, 1024 + 0x64);
		put(fd, &one, 1, 1024 + 0xe0);
		put(fd, &one, 1, 48);
		put(fd, &one, 1, 65536 + 0x88);
		assert_int_equal(ul_upper_features(fd, "x", fs, UL_UPPER_GUARD_AUTO, &err), 0);
		ul_put_le32(bytes, cases[i].bytes);
		put(fd, bytes, 4, cases[i].at);
		assert_int_equal(ul_upper_features(fd, "x", fs, UL_UPPER_GUARD_AUTO, &err), -UL_E_UPPER);
		assert_non_null(strstr(err.why, cases[i].says));
	}
}

/* An array's mark at the device's end, which no filesystem takes; the same bytes in a file of one are contents. */
static void test_members(void **state)
{
	static const uint64_t fs_blocks[] = {16 * 1024,
					     20 * 1024}; /* of 1024 bytes: the mark is behind it, within it */
	static const uint8_t isw[] = "Intel Raid ISM Cfg Sig. 1.0.00";
	uint64_t size = 20 * MIB;

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(fs_blocks); i++) {
		ul_autoclose int fd = device("member", size);
		uint8_t ext4[1024] = {0};
		char *list[] = {(char *)"ext4", NULL};
		struct ul_policy p = {.upper_filesystems = list};
		struct ul_upper_probe found;
		struct ul_error err;

		ul_put_le32(ext4 + 0x04, (uint32_t)fs_blocks[i]);
		ul_put_le32(ext4 + 0x38, 0xef53);
		ul_put_le32(ext4 + 0x5c, 0x4);  /* has_journal */
		ul_put_le32(ext4 + 0x60, 0x40); /* extents */
		put(fd, ext4, sizeof(ext4), 1024);
		assert_int_equal(ul_upper_probe(fd, "test", &p, &found, &err), 0);
		assert_int_equal(found.content, UL_UPPER_FILESYSTEM);
		put(fd, isw, sizeof(isw), size - 1024);
		assert_int_equal(ul_upper_probe(fd, "test", &p, &found, &err), 0);
		assert_int_equal(found.content, i == 0 ? UL_UPPER_MEMBER : UL_UPPER_FILESYSTEM);
		if (i == 0)
			assert_string_equal(found.holds, "it holds isw_raid_member");
		else
			assert_string_equal(found.fs->name, "ext4");
	}
	/* And where nothing else is. */
	ul_autoclose int fd = device("member", size);

	put(fd, isw, sizeof(isw), size - 1024);
	assert_int_equal(probe(fd, true, 0).content, UL_UPPER_MEMBER);
}

/* The filesystem of guard(), and a word of its superblock. */
static struct written {
	const char *fs;
	uint64_t at;
	uint32_t word;
} written = {"ext4", 0, 0};

/* An e2fsck of ours in PATH, which notes its words and runs a command; the guard that comes of the policy. */
static int guard(enum ul_upper_guard guard, bool check, const char *command, struct ul_upper *ret, struct ul_error *err)
{
	static const uint8_t checksums[2] = {0, 0x4};
	ul_autoclose int fd = device("disk", MIB);
	uint8_t word[4];
	char path[256] = "PATH=", *was = strdup(getenv("PATH"));
	FILE *f = fopen("e2fsck", "w");
	struct ul_boot b;
	int r;

	assert_non_null(f);
	fprintf(f, "#!/bin/sh\nPATH=/usr/bin:/bin\necho \"$*\" >words\n%s\n", command);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod("e2fsck", 0755), 0);
	assert_non_null(getcwd(path, sizeof(path)));
	assert_int_equal(setenv("PATH", path, 1), 0);
	(void)unlink("words");
	put(fd, checksums, 2, 1024 + 0x64);
	ul_put_le32(word, written.word);
	if (written.at)
		put(fd, word, sizeof(word), written.at);
	ul_boot_init(&b);
	b.policy.upper_guard = guard;
	b.policy.upper_check = check;
	strcpy(b.upper.device, "disk");
	r = ul_upper_guard(&b, fd, ul_upper_fs_find(written.fs), err);
	*ret = b.upper;
	ul_boot_free(&b);
	assert_int_equal(setenv("PATH", was, 1), 0);
	free(was);
	return r;
}

static void test_guard(void **state)
{
	struct ul_upper u;
	struct ul_error err;
	char words[16] = "";
	FILE *f;

	(void)state;
	assert_int_equal(guard(UL_UPPER_GUARD_AUTO, true, "exit 0", &u, &err), 0);
	assert_int_equal(u.guarded, UL_GUARDED_CHECKED);
	/* All of it, whatever the filesystem calls itself. */
	f = fopen("words", "r");
	assert_non_null(f);
	assert_non_null(fgets(words, sizeof(words), f));
	assert_string_equal(words, "-fp disk\n");
	fclose(f);
	assert_int_equal(guard(UL_UPPER_GUARD_CHECKED, true, "exit 1", &u, &err), 0);
	assert_int_equal(u.guarded, UL_GUARDED_CHECKED);
	/* A boot that it wants after its repairs, what it left, what it could not do. */
	for (int bit = 2; bit <= 128; bit *= 2) {
		char command[32];

		snprintf(command, sizeof(command), "exit %d", bit | 1);
		assert_int_equal(guard(UL_UPPER_GUARD_AUTO, true, command, &u, &err), -UL_E_UPPER);
	}
	/* What it puts in the superblock's place counts as what was there. */
	assert_int_equal(guard(UL_UPPER_GUARD_AUTO, true,
			       "printf '\\002' | dd of=disk bs=1 seek=1122 conv=notrunc status=none; exit 1", &u, &err),
			 -UL_E_UPPER);
	assert_non_null(strstr(err.why, "casefold"));
	/* Only a check that ran is one. */
	assert_int_equal(guard(UL_UPPER_GUARD_AUTO, false, "exit 0", &u, &err), 0);
	assert_int_equal(u.guarded, UL_GUARDED_ANEW);
	assert_int_equal(access("words", F_OK), -1);
	assert_int_equal(guard(UL_UPPER_GUARD_CHECKED, false, "exit 0", &u, &err), -UL_E_UPPER);
	assert_int_equal(guard(UL_UPPER_GUARD_ANEW, true, "exit 0", &u, &err), 0);
	assert_int_equal(u.guarded, UL_GUARDED_ANEW);
	assert_int_equal(guard(UL_UPPER_GUARD_NONE, true, "exit 0", &u, &err), 0);
	assert_int_equal(u.guarded, UL_GUARDED_NOT);
}

/* What the kernel itself goes on writing is refused where nobody checked whose blocks it has. */
static void test_guard_of_written(void **state)
{
	static const struct {
		const char *fs, *says;
		uint64_t at;
		uint32_t word;
		bool checked; /* there is a whole check of it */
	} cases[] = {
		{"ext4", "counts quotas", 1024 + 0x64, 0x400 | 0x100, true},
		{"ext4", "mmp", 1024 + 0x60, 0x100, true},
		{"f2fs", "counts quotas", 1024 + 2180, 0x80, false},
		{"f2fs", "counts quotas", 5120 + 2180, 0x80, false},
	};

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(cases); i++) {
		struct ul_error err;
		struct ul_upper u;

		written = (struct written){cases[i].fs, cases[i].at, cases[i].word};
		assert_int_equal(guard(UL_UPPER_GUARD_AUTO, cases[i].checked, "exit 0", &u, &err),
				 cases[i].checked ? 0 : -UL_E_UPPER);
		assert_int_equal(guard(UL_UPPER_GUARD_AUTO, false, "exit 0", &u, &err), -UL_E_UPPER);
		assert_non_null(strstr(err.why, cases[i].says));
		assert_int_equal(guard(UL_UPPER_GUARD_ANEW, true, "exit 0", &u, &err), -UL_E_UPPER);
		assert_non_null(strstr(err.why, cases[i].says));
		assert_int_equal(guard(UL_UPPER_GUARD_NONE, false, "exit 0", &u, &err), 0);
	}
	written = (struct written){"ext4", 0, 0};
}

static void test_permitted(void **state)
{
	char *list[] = {(char *)"xfs", (char *)"ext4", NULL};
	struct ul_policy none, two = {.upper_filesystems = list};

	(void)state;
	ul_policy_init(&none);
	assert_string_equal(ul_upper_fs_permitted(&none, 0)->name, "ext4");
	assert_null(ul_upper_fs_permitted(&none, 1));
	ul_policy_free(&none);
	/* The words that the policy takes, and the rows that they lead to. */
	for (size_t i = 0; ul_upper_filesystem_words[i] || ul_upper_filesystems[i].name; i++)
		assert_string_equal(ul_upper_filesystem_words[i], ul_upper_filesystems[i].name);
	assert_string_equal(ul_upper_fs_permitted(&two, 0)->name, "xfs");
	assert_string_equal(ul_upper_fs_permitted(&two, 1)->name, "ext4");
	assert_null(ul_upper_fs_permitted(&two, 2));
	assert_null(ul_upper_fs_permitted(&two, 3));
}

static void test_policy(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} cases[] = {
		{"type = disk\ndevice = PARTTYPE=var\nprepare = format", true},
		{"type = disk\ndevice = LABEL=x", true},
		{"type = disk", false},
		{"type = disk\ndevice = vda", false},
		{"type = disk\ndevice = LABEL=x\nprepare = format", false},
		{"type = disk\ndevice = UUID=x\nprepare = format", false},
		{"type = disk\ndevice = /dev/x\nfilesystem = ntfs", false},
		{"type = disk\ndevice = /dev/x\nprepare = format\nfilesystem = xfs ext4\n"
		 "label = thirteenbytes",
		 false},
		{"type = disk\ndevice = /dev/x\nprepare = format\nfilesystem = ext4\n"
		 "label = thirteenbytes",
		 true},
		{"type = disk\ndevice = /dev/x\nguard = checked", true},
		{"type = disk\ndevice = /dev/x\nguard = checked\nfilesystem = xfs ext4", true},
		{"type = disk\ndevice = /dev/x\nguard = checked\nfilesystem = xfs", false},
		{"type = disk\ndevice = /dev/x\nguard = checked\ncheck = no", false},
		{"type = disk\ndevice = /dev/x\nguard = anew\ncheck = no", true},
		{"filesystem = nonsense", false},
		{"device = nonsense", true}, /* of no meaning for a tmpfs */
	};

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(cases); i++) {
		struct ul_policy p;
		struct ul_error err;
		char text[256];

		snprintf(text, sizeof(text), "[upper]\n%s\n", cases[i].text);
		ul_policy_init(&p);
		assert_int_equal(ul_policy_parse(&p, text, strlen(text), "test.conf", &err),
				 cases[i].good ? 0 : -UL_E_CONFIG);
		ul_policy_free(&p);
	}
}

static int in_own_directory(void **state)
{
	static char dir[] = "/tmp/test_upper.XXXXXX";

	*state = dir;
	return mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int remove_directory(void **state)
{
	return chdir("/") == 0 && ul_remove_tree(AT_FDCWD, *state) == 0 ? 0 : -1;
}

static void test_move_aside(void **state)
{
	struct stat st;

	(void)state;
	ul_autoclose int dir = open(".", O_RDONLY | O_DIRECTORY);

	assert_int_equal(symlink("/nowhere", "y.bad-1"), 0);
	assert_int_equal(symlink("/nowhere", "y"), 0);
	assert_int_equal(ul_upper_move_aside(dir, "y"), 0);
	assert_int_equal(lstat("y.bad-2", &st), 0);
	assert_int_equal(lstat("y", &st), -1);
	assert_int_equal(ul_upper_move_aside(dir, "y"), -ENOENT);
}

static void test_lock(void **state)
{
	ul_autoclose int dir = open(".", O_RDONLY | O_DIRECTORY), first = -1;
	struct ul_error err;
	struct stat st;
	int second = -1;

	(void)state;
	assert_int_equal(mkfifo("lock", 0600), 0);
	assert_int_equal(ul_upper_lock(dir, "/upper", &first, &err), 0);
	assert_int_equal(lstat("lock", &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(ul_upper_lock(dir, "/upper", &second, &err), -UL_E_UPPER);
	assert_int_equal(second, -1);
	assert_string_equal(err.object, "/upper/lock");
	assert_non_null(strstr(err.why, "another program"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),       cmocka_unit_test(test_empty),
		cmocka_unit_test(test_mkfs_words),  cmocka_unit_test(test_permitted),
		cmocka_unit_test(test_features),    cmocka_unit_test(test_policy),
		cmocka_unit_test(test_move_aside),  cmocka_unit_test(test_lock),
		cmocka_unit_test(test_superblocks), cmocka_unit_test(test_members),
		cmocka_unit_test(test_guard),       cmocka_unit_test(test_guard_of_written),
	};

	return cmocka_run_group_tests(tests, in_own_directory, remove_directory);
}
