/* Joining sessions into the kept layer, rule by rule; on a tmpfs, as root. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "dbgen/layers/join.h"
#include "tests/unit/layers_help.h"

/* ---- join ---- */

#define S1     "sessions/00000001-0000000000000000/up"
#define S2     "sessions/00000002-0000000000000000/up"
#define OPAQUE " && setfattr -n trusted.overlay.opaque -v y "
#define COPIED " && setfattr -n trusted.overlay.origin "

static int join_as(bool userxattr, struct ul_join_report *ret, struct ul_error *err)
{
	ul_autoclose int up = layers_dir("up"), store = layers_dir("store"), add_on = layers_dir("names");
	int sealed[] = {store, add_on};
	struct ul_join join = {.upper_fd = up, .sealed = sealed, .n_sealed = 2, .userxattr = userxattr};

	return ul_join_sessions(&join, ret, err);
}

/* Join what the commands made in the upper; then the kept layer as a list, and the report's numbers. */
static void joins(const char *commands, const char *kept, const char *numbers)
{
	struct ul_join_report report;
	struct ul_error err = {0};
	char command[8192], got[128];

	snprintf(command, sizeof(command), "cd up && mkdir -p kept trash " S1 " " S2 " && %s", commands);
	layers_run(command);
	if (join_as(false, &report, &err) != 0)
		fail_msg("%s: %s", err.object, err.why);
	/* Files with what they hold, links with where they point. */
	layers_print("cd up/kept && find . -mindepth 1 -printf '%P %y%l\n' | LC_ALL=C sort | while read -r n t; do "
		     "case $t in f) echo \"$n=$(cat \"$n\")\" ;; d) echo \"$n/\" ;; *) echo \"$n $t\" ;; esac; done",
		     kept);
	layers_print("ls -A up/sessions", "");
	snprintf(got, sizeof(got), "%d %d %d %d %d %d", (int)report.sessions, (int)report.joined, (int)report.removed,
		 (int)report.sealed, (int)report.orphans, (int)report.mended);
	assert_string_equal(got, numbers);
	/* A second time there is nothing to do. */
	assert_int_equal(join_as(false, &report, &err), 0);
	assert_int_equal(report.sessions + report.joined + report.removed + report.sealed + report.orphans, 0);
}

static void test_join_nothing(void **state)
{
	struct ul_join_report report = {.joined = 7};
	struct ul_error err = {0};

	(void)state;
	assert_int_equal(join_as(false, &report, &err), 0);
	assert_int_equal(report.joined + report.sessions, 0);
	layers_print("cd up && find . -mindepth 1 -printf '%P %y %m\n' | sort",
		     "kept d 755\nsessions d 700\ntrash d 700\n");
}

/* 1: whatever a sealed layer has, and `.links`. */
static void test_join_sealed(void **state)
{
	(void)state;
	layers_run("mkdir store/dir store/over && touch store/file && ln -s nowhere store/link && mkdir names/add-on");
	joins("mkdir -p kept/dir kept/.links/k && echo old >kept/dir/x && cd " S1
	      " && mkdir -p dir/x .links/y && mknod over c 0 0 && "
	      "echo new >file && echo new >link && mkdir add-on other" OPAQUE "dir && echo 1 >other/dir",
	      ".links/\n.links/k/\ndir/\ndir/x=old\nother/\nother/dir=1\n", "2 1 0 6 0 0");
	layers_print("find up/trash -mindepth 1 -maxdepth 1 | wc -l", "8\n"); /* and the two sessions */
}

/* 2 */
static void test_join_whiteouts(void **state)
{
	(void)state;
	joins("mkdir -p kept/d/e && touch kept/f kept/d/e/g && ln -s x kept/l && cd " S1
	      " && mknod d c 0 0 && mknod f c 0 0 && "
	      "mknod l c 0 0 && mknod nothing c 0 0 && ln f hard",
	      "", "2 0 3 0 0 0");
	/* Another device is none. (Nobody can make one through the overlay but root.) */
	joins("cd " S1 " && mknod null c 1 3 && mknod block b 0 0", "block b\nnull c\n", "2 2 0 0 0 0");
}

/* 3 */
static void test_join_copied_up(void **state)
{
	(void)state;
	joins("mkdir -p kept/d/keep kept/d/gone kept/d/sub/deep && cd kept/d && echo old >file && echo old >other && echo old >sub/x && "
	      "echo old >sub/deep/y && touch gone/1 && cd ../../" S1 " && mkdir -p d/sub/deep d/new d/gone" COPIED
	      "d" COPIED "d/sub" COPIED "d/sub/deep" OPAQUE "d/gone && cd d && echo new >file && mknod other c 0 0 && "
	      "echo new >sub/deep/z && ln -s w sub/x && touch gone/2 && echo new >new/n",
	      "d/\nd/file=new\nd/gone/\nd/gone/2=\nd/keep/\nd/new/\nd/new/n=new\nd/sub/\nd/sub/deep/\n"
	      "d/sub/deep/y=old\nd/sub/deep/z=new\nd/sub/x lw\n",
	      "2 5 4 0 0 0");
}

/* Owner, mode, times and attributes of a directory that was copied up; of the times those before entries left it. */
static void test_join_properties(void **state)
{
	(void)state;
	joins("mkdir -p kept/d && touch kept/d/old && setfattr -n user.gone -v 1 kept/d && setfattr -n user.new -v old kept/d && "
	      "setfattr -n trusted.overlay.opaque -v y kept/d && setfattr -n security.stays -v 1 kept/d && "
	      "setfacl -m u:7:rwx kept/d && "
	      "cd " S1 " && mkdir d" COPIED "d" OPAQUE "d && setfattr -x trusted.overlay.opaque d && touch d/new && "
	      "setfattr -n user.new -v new d && setfattr -n trusted.mine -v x d && setfattr -n user.overlay.x -v y d && "
	      "setfacl -d -m u:8:rwx d && chown 3:4 d && chmod 2751 d && touch -d @1 d",
	      "d/\nd/new=\nd/old=\n", "2 1 0 0 0 0");
	layers_print(
		"stat -c '%a %u:%g %Y' up/kept/d && getfattr -d -m - up/kept/d | grep -v '^$\\|posix_acl' && getfacl -cnp up/kept/d",
		"2751 3:4 1\n# file: up/kept/d\nsecurity.stays=\"1\"\ntrusted.mine=\"x\"\ntrusted.overlay.opaque=\"y\"\n"
		"user.new=\"new\"\nuser::rwx\ngroup::r-x\nother::--x\ndefault:user::rwx\ndefault:user:8:rwx\ndefault:group::r-x\n"
		"default:mask::rwx\ndefault:other::r-x\n\n");
	/* A cut: the entry is joined, the directory is not yet. */
	joins("cd " S1 " && mkdir d" COPIED "d && setfattr -n trusted.underlay.times "
	      "-v 0x0500000000000000060000000000000007000000000000000800000000000000 d",
	      "d/\nd/new=\nd/old=\n", "2 0 0 0 0 0");
	layers_print("stat -c %Y up/kept/d && getfattr -n trusted.underlay.times up/kept/d 2>&1 | grep -c '='; true",
		     "7\n0\n");
}

/* 4 */
static void test_join_replaces(void **state)
{
	(void)state;
	joins("mkdir -p kept/dir/x kept/to-file/x kept/to-link && touch kept/file kept/to-dir && ln -s x kept/link && cd " S1
	      " && mkdir dir to-dir new link && touch link/1 dir/y to-dir/z new/n && echo 1 >file && echo 2 >to-file && "
	      "ln -s new to-link && ln file hard" OPAQUE "dir" OPAQUE "to-dir" OPAQUE "link",
	      "dir/\ndir/y=\nfile=1\nhard=1\nlink/\nlink/1=\nnew/\nnew/n=\nto-dir/\nto-dir/z=\nto-file=2\n"
	      "to-link lnew\n",
	      "2 8 6 0 0 0");
	layers_print("stat -c %h up/kept/file", "2\n");
}

/* 5: it was copied up from what is not there any more; one that somebody made is not such a one. */
static void test_join_orphans(void **state)
{
	(void)state;
	joins("mkdir kept/d && ln -s d kept/link && touch kept/file && cd " S1
	      " && mkdir part link made file opaque d" COPIED "part" COPIED "link" COPIED "file" COPIED "opaque" OPAQUE
	      "opaque && mkdir d/part" COPIED "d" COPIED
	      "d/part && touch part/x link/x made/x file/x opaque/x d/part/x copied" COPIED "copied",
	      "copied=\nd/\nfile=\nlink ld\nmade/\nmade/x=\nopaque/\nopaque/x=\n", "2 3 0 0 4 0");
}

/* Overlayfs takes an attribute of one byte, y, and nothing else for its mark. */
static void test_join_marks(void **state)
{
	struct ul_join_report report;
	struct ul_error err = {0};

	(void)state;
	joins("mkdir -p kept/x/k kept/yy/k kept/none/k kept/user/k && cd " S1 " && mkdir x yy none user && "
	      "setfattr -n trusted.overlay.opaque -v x x && setfattr -n trusted.overlay.opaque -v yy yy && "
	      "setfattr -n trusted.overlay.opaque none && setfattr -n user.overlay.opaque -v y user",
	      "none/\nnone/k/\nuser/\nuser/k/\nx/\nx/k/\nyy/\nyy/k/\n", "2 0 0 0 0 0");
	/* With userxattr it is the other one. */
	layers_run("cd up && mkdir -p " S1 "/user " S1 "/x " S1 "/part && cd " S1
		   " && setfattr -n user.overlay.opaque -v y user" OPAQUE "x && setfattr -n user.overlay.origin part");
	assert_int_equal(join_as(true, &report, &err), 0);
	layers_print("cd up/kept && find user x part 2>/dev/null | sort", "user\nx\nx/k\n");
}

/* Each session over those before it, and what is no session goes. */
static void test_join_order(void **state)
{
	(void)state;
	joins("mkdir -p sessions/stranger sessions/00000003-1111111111111111 sessions/00000010-1111111111111111/up && "
	      "touch sessions/file && ln -s / sessions/00000000-0000000000000000 && echo 10 >sessions/00000010-1111111111111111/up/a && "
	      "echo 2 >" S2 "/a && echo 1 >" S1 "/a && echo 1 >" S1 "/b && mknod " S2 "/b c 0 0 && "
	      "mkdir " S1 "/d " S2 "/d && touch " S1 "/d/1 " S2 "/d/2 && setfattr -n trusted.overlay.origin " S2 "/d",
	      "a=10\nd/\nd/1=\nd/2=\n", "5 6 3 0 0 0");
}

static void test_join_prepared(void **state)
{
	(void)state;
	joins("rmdir kept trash && ln -s .. kept && touch trash && echo 1 >" S1 "/a", "a=1\n", "2 1 0 0 0 2");
	layers_print("readlink up/kept.bad-1; ls up", "..\nkept\nkept.bad-1\nsessions\ntrash\ntrash.bad-1\n");
	/* Flags are taken off wherever they hold the join up. */
	joins("rm -r kept && mkdir -p kept/d/e kept/gone && touch kept/d/old kept/old && cd " S1
	      " && mkdir d d/e" COPIED "d" COPIED
	      "d/e && touch d/e/f new old && mknod gone c 0 0 && mknod d/old c 0 0 && cd ../../.. && "
	      "chattr +i kept/d/* kept/* kept " S1 "/d/e/f " S1 "/d/e " S1 "/d " S1 "/new " S1 "/old " S1 " " S1
	      "/.. sessions trash . "
	      "2>/dev/null; true",
	      "d/\nd/e/\nd/e/f=\nnew=\nold=\n", "2 3 3 0 0 0");
	/* What is no directory is not entered. */
	joins("rm -r kept && mkdir kept && rmdir " S1 " && ln -s /tmp " S1 " && touch " S2 "/1", "1=\n", "2 1 0 0 0 0");
}

static unsigned int open_files(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* As deep as any path, with few files open; what lies deeper is of no path. */
static void test_join_deep(void **state)
{
	struct rlimit was, few;
	struct ul_join_report report;
	struct ul_error err = {0};
	unsigned int before;

	(void)state;
	layers_deep("up/" S1, 3000, "d");
	layers_deep("up/kept", 3000, "d");
	layers_run("cd up/" S1 "/d/d/d && touch -d @5 . && setfattr -n trusted.overlay.origin .");
	getrlimit(RLIMIT_NOFILE, &was);
	few = was;
	few.rlim_cur = 60;
	setrlimit(RLIMIT_NOFILE, &few);
	before = open_files();
	if (join_as(false, &report, &err) != 0)
		fail_msg("%s: %s", err.object, err.why);
	setrlimit(RLIMIT_NOFILE, &was);
	assert_int_equal(open_files(), before);
	assert_int_equal(report.deep, 1);
	assert_int_equal(report.joined, 2049);
	assert_int_equal(report.removed, 2049);
	assert_int_equal(report.sessions, 1);
	layers_print("ls up/sessions; stat -c %Y up/kept/d/d/d; find up/kept -name f | wc -l", "5\n3000\n");
}

/* A join that comes to no end has written down what the times were, for the one that does. */
static void test_join_again(void **state)
{
	struct ul_join_report report;
	struct ul_error err = {0};

	(void)state;
	layers_run("cd up && mkdir -p " S1 "/d/m kept/d && touch " S1 "/d/f && touch -d @5 " S1
		   "/d && mount -t tmpfs none " S1 "/d/m");
	assert_int_equal(join_as(false, &report, &err), -UL_E_UPPER);
	layers_sentence(&err, "joining what earlier sessions left: m: Device or resource busy.");
	/* As an entry that leaves does. */
	layers_run("umount up/" S1 "/d/m && touch up/" S1 "/d");
	assert_int_equal(join_as(false, &report, &err), 0);
	layers_print("stat -c %Y up/kept/d; ls up/kept/d", "5\nf\nm\n");
}

/* A link in the place of a session, or of its layer, is thrown away: what it leads to is nobody's session. */
static void test_join_linked(void **state)
{
	(void)state;
	layers_run("mkdir -p real/up real/d && touch real/up/a real/up/b && mknod real/up/w c 0 0");
	joins("ln -s ../../real sessions/00000003-0000000000000000; mkdir sessions/00000004-0000000000000000; ln -s "
	      "../../../real/up sessions/00000004-0000000000000000/up; touch " S1 "/mine",
	      "mine=\n", "4 1 0 0 0 0");
	layers_print("cd real && find . | sort", ".\n./d\n./up\n./up/a\n./up/b\n./up/w\n");
}

/* A sealed directory that cannot be asked: nothing is taken for "not sealed". */
static void test_join_unreadable(void **state)
{
	struct ul_join_report report;
	struct ul_error err = {0};
	int closed[] = {-1};
	struct ul_join join = {.upper_fd = layers_dir("up"), .sealed = closed, .n_sealed = 1};

	(void)state;
	layers_run("cd up && mkdir -p " S1 " && touch " S1 "/a");
	assert_int_equal(ul_join_sessions(&join, &report, &err), -UL_E_CORRUPT);
	layers_sentence(&err, "joining what earlier sessions left: a: Bad file descriptor. Write the image again.");
	layers_print("cd up && ls kept " S1, "kept:\n\n" S1 ":\na\n");
	close(join.upper_fd);
}

/* ---- */

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_join_nothing, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_join_sealed, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_join_whiteouts, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_join_copied_up, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_join_properties, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_join_replaces, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_join_orphans, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_join_marks, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_join_order, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_join_prepared, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_join_deep, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_join_again, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_join_linked, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_join_unreadable, layers_setup, layers_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
