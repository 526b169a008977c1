/*
 * What somebody may have written on the upper stops no boot, keeps none waiting, and leads nowhere else: names that
 * are taken, symlinks, flags, a reserve that is none. As root.
 */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "dbgen/layers/entries.h"
#include "dbgen/layers/join.h"
#include "dbgen/layers/open.h"
#include "dbgen/layers/reserve.h"
#include "dbgen/layers/session.h"
#include "initrd/upper/upper.h"
#include "tests/unit/layers_help.h"

/* "up" laid out, as a boot does it. */
static int lay_out(struct ul_error *err)
{
	struct ul_boot b = {.upper = {.fd = layers_dir("up"), .lock_fd = -1}};
	int r = ul_upper_layout(&b, err);

	ul_cleanup_close(&b.upper.lock_fd);
	ul_cleanup_close(&b.upper.fd);
	return r;
}

static void is_laid_out(const char *after)
{
	struct ul_error err = {0};

	if (lay_out(&err) != 0)
		fail_msg("%s: %s: %s", after, err.object, err.why);
}

static void make_empty(const char *commands)
{
	layers_run("chattr -R -f -i -a up victim; rm -rf up victim && mkdir up victim && echo here >victim/file");
	layers_run(commands);
}

/* ---- what an older Underlay left, beside a kept layer ---- */

#define FIRST "sessions/00000000-0000000000000000"

static void test_take_over(void **state)
{
	static const char *const ways[] = {
		"ln -s ../victim sessions",
		"ln -s /nowhere sessions",
		"touch sessions && chattr +i sessions",
		"mkfifo sessions",
		"mkdir sessions && ln -s ../../victim " FIRST,
		"mkdir sessions && touch " FIRST,
		"mkdir -p " FIRST " && ln -s ../../../victim " FIRST "/up",
		"mkdir sessions && cd sessions && for i in $(seq 0 1500); do printf '00000000-%016x/up\\n' $i; done | "
		"xargs mkdir -p",
		"mkdir sessions && chattr +i sessions",
		"mkdir sessions && chattr +a sessions",
		"mkdir -p " FIRST " && chattr +i " FIRST " sessions .",
		"chattr +a .",
	};

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(ways); i++) {
		char command[512];

		make_empty("mkdir -p up/kept up/store/own && echo own >up/store/own/file");
		snprintf(command, sizeof(command), "cd up && %s", ways[i]);
		layers_run(command);
		is_laid_out(ways[i]);
		layers_print("cat up/sessions/00000000-*/up/own/file && ls -A victim", "own\nfile\n");
		is_laid_out(ways[i]);
	}
}

/* ---- flags ---- */

static void test_flags(void **state)
{
	static const char *const files[] = {"lower.json",   "lower.json.tmp",       "clean",
					    "report.json",  "machine-id",           "lock",
					    "reserve",      "var/nix/db/db.sqlite", "var/nix/db/db.sqlite-journal",
					    "sessions.tmp", "var/nix/db/schema"};
	static const char flags[] = "ia";

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(files) * 2; i++) {
		const char *file = files[i / 2];
		char command[512];

		make_empty("mkdir -p up/var/nix/db");
		snprintf(command, sizeof(command), "echo x >up/%s && chattr +%c up/%s", file, flags[i % 2], file);
		layers_run(command);
		is_laid_out(command);
		snprintf(command, sizeof(command), "lsattr -d up/%s 2>/dev/null | cut -d' ' -f1 | tr -cd ia", file);
		/* Not one of ours. */
		layers_print(command, strcmp(file, "sessions.tmp") ? "" : i % 2 ? "a" : "i");
	}
	/* The lock is the same file: who has it open has the lock. */
	make_empty("echo x >up/lock && chattr +i up/lock");
	is_laid_out("lock");
	layers_print("cat up/lock; ls up", "x\nkept\nlock\nsessions\ntrash\nvar\n");
	/* It goes, since what it counts on has gone. */
	make_empty("touch up/lower.json && ln -s ../victim up/kept && chattr +i up/lower.json up");
	is_laid_out("lower.json");
	layers_print("ls up; ls victim", "kept\nkept.bad-1\nlock\nsessions\ntrash\nvar\nfile\n");
	make_empty("for d in quarantine trash var sessions; do touch up/$d && chattr +a up/$d; done");
	is_laid_out("files in the place of directories");
	layers_print("ls up", "kept\nlock\nquarantine.bad-1\nsessions\nsessions.bad-1\ntrash\ntrash.bad-1\nvar\n"
			      "var.bad-1\n");
}

/* The directory of what was moved away is made by who needs it, and made right where it is there. */
static void test_quarantine(void **state)
{
	(void)state;
	make_empty("mkdir up/quarantine && chmod 0777 up/quarantine && setfacl -d -m u:1000:rwx up/quarantine && "
		   "chattr +i up/quarantine");
	is_laid_out("a quarantine");
	layers_print("stat -c %a up/quarantine && getfattr -m - up/quarantine && touch up/quarantine/x", "700\n");
	make_empty("ln -s ../victim up/quarantine");
	is_laid_out("a symlink");
	layers_print("cd up && [ ! -e quarantine ] && readlink quarantine.bad-1 && ls ../victim", "../victim\nfile\n");
}

/* ---- names that are taken ---- */

static void test_names_taken(void **state)
{
	ul_autoclose int up = -1;
	char aside[NAME_MAX + 1];

	(void)state;
	make_empty("cd up && ln -s ../victim kept && ln -s ../victim trash && mkfifo lock && ln -s ../victim var && "
		   "for n in kept trash lock var; do seq -f \"$n.bad-%.0f\" 2000; done | xargs touch");
	is_laid_out("all names are taken");
	layers_print("ls up | grep -c '\\.bad-[0-9a-f]\\{16\\}$' && ls -A up/kept && ls victim", "4\nfile\n");
	up = layers_dir("up");
	assert_int_equal(ul_layer_move_aside(up, "nothing", aside), -ENOENT);
}

/* ---- the reserve ---- */

static void with_tmpfs(const char *options, const char *commands)
{
	make_empty("true");
	assert_int_equal(mount("tmpfs", "up", "tmpfs", 0, options), 0);
	layers_run(commands);
}

static unsigned int count_help(void)
{
	ul_autoclose int up = layers_dir("up");
	unsigned int n = 0;

	while (n < 1000 && ul_reserve_help(up, ENOSPC))
		n++;
	return n;
}

static void in_own_namespace(void)
{
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
}

#define FILL " && { head -c 20M /dev/zero >fill; true; } 2>/dev/null"

/* What it claims to hold keeps nobody busy: 64 GiB of nothing. */
static void test_reserve(void **state)
{
	struct ul_error err = {0};

	(void)state;
	in_own_namespace();
	with_tmpfs("size=8M", "cd up && truncate -s 64G reserve" FILL);
	assert_int_equal(count_help(), 0);
	assert_int_equal(umount("up"), 0);
	with_tmpfs("size=8M", "cd up && truncate -s 64G reserve && "
			      "dd if=/dev/zero of=reserve bs=64k count=1 conv=notrunc status=none" FILL);
	assert_int_equal(count_help(), 1);
	layers_print("ls up", "fill\n");
	assert_int_equal(umount("up"), 0);
	/* The real one gives a part, then the rest. */
	with_tmpfs("size=8M", "cd up && fallocate -l 4M reserve" FILL);
	assert_int_equal(count_help(), 2);
	assert_int_equal(umount("up"), 0);
	with_tmpfs("size=8M", "cd up && fallocate -l 4M reserve && { chattr +i reserve 2>/dev/null || true; }" FILL);
	assert_int_equal(count_help(), 2);
	assert_int_equal(umount("up"), 0);
	/* No room for a directory, whatever is given: the boot ends with its sentence. */
	with_tmpfs("size=8M,nr_inodes=4", "cd up && truncate -s 64G reserve" FILL);
	assert_int_equal(lay_out(&err), -UL_E_UPPER);
	assert_int_equal(err.errnum, ENOSPC);
	layers_print("cd up && [ $(stat -c %s reserve) -gt 60000000000 ]", "");
	assert_int_equal(umount("up"), 0);
}

/* ---- sessions ---- */

/* The oldest of many, and the rest at later boots; what is none goes a bounded number at a time. */
static void test_sessions(void **state)
{
	ul_autoclose int up = -1;
	struct ul_join_report report;
	struct ul_error err = {0};
	struct ul_entries entries;
	struct ul_join join;

	(void)state;
	make_empty("mkdir -p up/sessions && cd up/sessions && "
		   "for i in $(seq 1300); do printf '%08d-0123456789abcdef/up/s%d\\n' $i $i; done | xargs mkdir -p && "
		   "seq 12000 | xargs touch");
	up = layers_dir("up");
	join = (struct ul_join){.upper_fd = up};
	assert_int_equal(ul_entries_open(up, &entries), 0);
	assert_int_equal(entries.sessions.n, UL_SESSIONS_AT_A_BOOT);
	assert_int_equal(ul_entries_find(&entries, "s256", NULL), 1);
	assert_int_equal(ul_entries_find(&entries, "s257", NULL), 0);
	ul_entries_close(&entries);
	assert_int_equal(ul_join_sessions(&join, &report, &err), 0);
	assert_int_equal(report.sessions, UL_SESSIONS_AT_A_BOOT);
	layers_print("cd up && ls kept | wc -l; [ -d kept/s256 ] && ls sessions | grep -c -- -; "
		     "ls sessions | grep -vc -- -",
		     "256\n1044\n2000\n");
	for (int i = 0; i < 5; i++)
		assert_int_equal(ul_join_sessions(&join, &report, &err), 0);
	layers_print("cd up && ls kept | wc -l; ls sessions", "1300\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_take_over, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_flags, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_quarantine, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_names_taken, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_sessions, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_reserve, layers_setup, layers_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
