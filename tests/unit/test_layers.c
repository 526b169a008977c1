/*
 * The layers of a store: names, session, trash; on a tmpfs, as root. join: test_layers_join.c; over real overlays:
 * tests/host.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "dbgen/layers/join.h"
#include "dbgen/layers/names.h"
#include "dbgen/layers/session.h"
#include "tests/unit/layers_help.h"

/* ---- names ---- */

static int make_names(uint64_t *ret_n, struct ul_error *err)
{
	ul_autoclose int store = layers_dir("store"), names = layers_dir("names");

	return ul_layer_names_make(store, names, "making names", ret_n, err);
}

static int check_names(struct ul_error *err)
{
	ul_autoclose int store = layers_dir("store"), names = layers_dir("names");

	return ul_layer_names_check(store, names, "checking names", err);
}

static void test_names(void **state)
{
	struct ul_error err = {0};
	uint64_t n = 0;

	(void)state;
	layers_run("cd store && mkdir .links .dot a-b a b 'odd\nname' && touch file && ln -s a link && mkfifo pipe");
	umask(077);
	assert_int_equal(make_names(&n, &err), 0);
	umask(022);
	assert_int_equal(n, 6);
	layers_print(
		"cd names && find . -mindepth 1 -printf '%P %y %m %s %n\\n' | LC_ALL=C sort",
		".dot f 444 0 6\n.links f 444 0 6\na f 444 0 6\na-b f 444 0 6\nb f 444 0 6\nname f 444 0 6\nodd\n");
	assert_int_equal(check_names(&err), 0);
	assert_int_equal(make_names(&n, &err), -UL_E_SYSTEM);
	layers_sentence(&err, "making names: .dot: File exists.");
}

/* A new file every UL_LAYER_LINKS names, in their order, whatever the order of the directory's own listing is. */
static void test_names_many(void **state)
{
	struct ul_error err = {0};
	uint64_t n = 0;

	(void)state;
	layers_run("cd store && seq -f %05.0f 20002 -1 1 | xargs mkdir && mkdir .links");
	assert_int_equal(make_names(&n, &err), 0);
	assert_int_equal(n, 20003);
	layers_print("cd names && stat -c %h .links 00001 09999 10000 19999 20000 20002 | tr '\\n' ' '",
		     "10000 10000 10000 10000 10000 3 3 ");
	layers_print("cd names && stat -c %i .links 09999 10000 19999 20000 20002 | uniq -c | awk '{ print $1 }'",
		     "2\n2\n2\n");
	assert_int_equal(check_names(&err), 0);
}

/* `.links` is guarded where the store lacks it, too. */
static void test_links(void **state)
{
	ul_autoclose int store = layers_dir("store");
	struct ul_error err = {0};
	bool missing = false;
	uint64_t n = 0;

	(void)state;
	layers_run("mkdir store/z links");
	assert_int_equal(ul_layer_links_missing(store, "looking", &missing, &err), 0);
	assert_true(missing);
	assert_int_equal(make_names(&n, &err), 0);
	assert_int_equal(n, 2);
	layers_print("ls -A names", ".links\nz\n");
	assert_int_equal(check_names(&err), 0);
	umask(077);
	assert_int_equal(ul_layer_links_make(layers_dir("links"), "making links", &err), 0);
	umask(022);
	layers_print("find links -mindepth 1 -printf '%P %y %m\\n'", ".links d 755\n");
	assert_int_equal(ul_layer_links_make(layers_dir("links"), "making links", &err), -UL_E_SYSTEM);
	layers_sentence(&err, "making links: .links: File exists.");
	layers_run("mkdir store/.links");
	assert_int_equal(ul_layer_links_missing(store, "looking", &missing, &err), 0);
	assert_false(missing);
	assert_int_equal(check_names(&err), 0);
}

static void test_names_check(void **state)
{
	static const struct {
		const char *spoil, *sentence;
	} cases[] = {
		{"rm b", "checking names: b: the names layer lacks it, so that an upper could replace what it holds. "
			 "Build the image again."},
		{"rm c", "checking names: c: the names layer lacks it, so that an upper could replace what it holds. "
			 "Build the image again."},
		{"rm .links",
		 "checking names: .links: the names layer lacks it, so that an upper could replace what it "
		 "holds. Build the image again."},
		{"touch bb", "checking names: bb: the names layer has it, the sealed store has no such directory. "
			     "Build the image again."},
		{"touch file", "checking names: file: the names layer has it, the sealed store has no such directory. "
			       "Build the image again."},
		{"rm b; mkdir b",
		 "checking names: b: in the names layer it must be an empty file. Build the image again."},
		{"rm b; ln -s c b",
		 "checking names: b: in the names layer it must be an empty file. Build the image again."},
		{"rm b; mknod b c 0 0",
		 "checking names: b: in the names layer it must be an empty file. Build the image again."},
		{"rm c; echo >c",
		 "checking names: c: in the names layer it must be an empty file. Build the image again."},
	};
	char command[256];

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(cases); i++) {
		struct ul_error err = {0};
		uint64_t n;

		layers_run("rm -rf store names; mkdir store names; cd store; mkdir a b c .links; touch file");
		assert_int_equal(make_names(&n, &err), 0);
		snprintf(command, sizeof(command), "cd names; %s", cases[i].spoil);
		layers_run(command);
		assert_int_equal(check_names(&err), -UL_E_CHECK);
		layers_sentence(&err, cases[i].sentence);
	}
}

/* ---- session ---- */

static void (*after_mkdir)(int dirfd, const char *name); /* a filesystem on which a new directory is none */

int mkdirat(int dirfd, const char *name, mode_t mode)
{
	long r = syscall(SYS_mkdirat, dirfd, name, mode);

	if (r == 0 && after_mkdir)
		after_mkdir(dirfd, name);
	return (int)r;
}

static int make_session(char *ret_name, struct ul_error *err)
{
	ul_autoclose int up = layers_dir("up");

	return ul_session_make(up, 01775, 30000, ret_name, err);
}

static void test_session_name(void **state)
{
	static const struct {
		const char *name;
		unsigned long number;
		bool good;
	} cases[] = {
		{"00000001-0123456789abcdef", 1, true},
		{"99999999-0000000000000000", 99999999, true},
		{"0000001-0123456789abcdef", 0, false},
		{"000000001-0123456789abcdef", 0, false},
		{"00000001-0123456789abcde", 0, false},
		{"00000001-0123456789abcdef0", 0, false},
		{"00000001-0123456789ABCDEF", 0, false},
		{"00000001_0123456789abcdef", 0, false},
		{"-0000001-0123456789abcdef", 0, false},
		{"00000001", 0, false},
		{"", 0, false},
	};
	unsigned long number;

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(cases); i++) {
		number = 0;
		assert_int_equal(ul_session_parse(cases[i].name, &number), cases[i].good);
		assert_int_equal(number, cases[i].number);
	}
}

#define LIST_SESSIONS "cd up && find . -mindepth 1 -printf '%P %y %m %U:%G %n\\n' | sed 's/-[0-9a-f]*/-R/' | sort"

static void test_session(void **state)
{
	char first[UL_SESSION_NAME_MAX], second[UL_SESSION_NAME_MAX];
	struct ul_error err = {0};

	(void)state;
	umask(077);
	assert_int_equal(make_session(first, &err), 0);
	umask(022);
	layers_print(LIST_SESSIONS, "sessions d 700 0:0 3\nsessions/00000001-R d 700 0:0 4\n"
				    "sessions/00000001-R/up d 1775 0:30000 2\nsessions/00000001-R/work d 700 0:0 2\n");
	assert_int_equal(make_session(second, &err), 0);
	assert_int_equal(strncmp(first, "00000001-", 9), 0);
	assert_int_equal(strncmp(second, "00000002-", 9), 0);
	assert_string_not_equal(first + 9, second + 9);
	layers_run("mkdir up/sessions/99999999-0123456789abcdef");
	assert_int_equal(make_session(second, &err), 0);
	assert_int_equal(strncmp(second, "99999999-", 9), 0);
}

/* What somebody prepared there is not inherited. */
static void test_session_prepared(void **state)
{
	static const char *const prepared[] = {
		"true",
		"mkdir up/sessions; chown 1000:1000 up/sessions; chmod 7777 up/sessions",
		"mkdir up/sessions; setfacl -d -m u:1000:rwx -m g:1000:rwx up/sessions; setfacl -m u:1000:rwx up/sessions",
		"setfacl -d -m u:1000:rwx up; chmod 2777 up; chgrp 1000 up",
		"mkdir up/sessions; chattr +i up/sessions || true",
		"mkdir up/sessions; chattr +a up/sessions up || true",
		"chattr +i up || true",
		"touch up/sessions; chattr +i up/sessions || true",
		"ln -s /tmp up/sessions",
		"ln -s sessions up/sessions; mkdir up/sessions.bad-1",
		"mkfifo up/sessions",
	};

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(prepared); i++) {
		char name[UL_SESSION_NAME_MAX];
		struct ul_error err = {0};

		layers_run("chattr -i -a up up/sessions 2>/dev/null; rm -rf up; mkdir up");
		layers_run(prepared[i]);
		if (make_session(name, &err) != 0)
			fail_msg("%s: %s: %s", prepared[i], err.object, err.why);
		layers_print(
			"cd up && find sessions -printf '%P %y %m %U:%G\\n' | sed 's/-[0-9a-f]*/-R/' | sort",
			" d 700 0:0\n00000001-R d 700 0:0\n00000001-R/up d 1775 0:30000\n00000001-R/work d 700 0:0\n");
		layers_print("getfattr -R -m - up/sessions", "");
		layers_print(
			"chattr -i -a up up/sessions* 2>/dev/null; find up -maxdepth 1 -name 'sessions.bad-*' | wc -l",
			i < 7    ? "0\n"
			: i == 9 ? "2\n"
				 : "1\n");
	}
}

static const char *defect;

static void spoil(int dirfd, const char *name)
{
	char command[512], path[64];
	const char *base, *of;

	base = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
	of = defect[0] == '!' ? "work" : "up";
	if (strcmp(base, of) != 0)
		return;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d/%s", getpid(), dirfd, name);
	snprintf(command, sizeof(command), "cd %s && %s", path, defect + (defect[0] == '!'));
	layers_run(command);
}

static void test_session_defects(void **state)
{
	static const struct {
		const char *defect, *object, *why;
	} cases[] = {
		{"touch x", "up", "it is not empty"},
		{"mkdir x", "up", "it has another link"},
		{"setfattr -n trusted.overlay.opaque -v y .", "up", "it has an extended attribute"},
		{"setfattr -n trusted.x -v \"$(head -c 2000 /dev/zero | tr '\\0' x)\" .", "up",
		 "it has an extended attribute"},
		{"for i in $(seq 300); do setfattr -n trusted.$i . || exit; done", "up",
		 "it has an extended attribute"},
		{"!touch x", "work", "it is not empty"},
		{"!setfattr -n trusted.overlay.origin -v x .", "work", "it has an extended attribute"},
	};

	(void)state;
	for (size_t i = 0; i < UL_ARRAY_SIZE(cases); i++) {
		char name[UL_SESSION_NAME_MAX] = "none", sentence[512];
		struct ul_error err = {0};

		defect = cases[i].defect;
		after_mkdir = spoil;
		assert_int_equal(make_session(name, &err), -UL_E_UPPER);
		after_mkdir = NULL;
		snprintf(
			sentence, sizeof(sentence),
			"making the session layer: %s: the directory was made a moment ago, yet %s: the filesystem is not "
			"sound. Repair the filesystem on another machine, or make it anew.",
			cases[i].object, cases[i].why);
		layers_sentence(&err, sentence);
		assert_string_equal(name, "none");
	}
	/* What is not its own: labels, and ACLs that are taken away. */
	defect = "setfattr -n security.test -v x . && setfacl -m u:1000:rwx . && setfacl -d -m u:1000:rwx .";
	after_mkdir = spoil;
	{
		char name[UL_SESSION_NAME_MAX];
		struct ul_error err = {0};

		assert_int_equal(make_session(name, &err), 0);
	}
	after_mkdir = NULL;
	layers_print("cd up/sessions/*-*/up && getfattr -m acl .", "");
}

/* ---- trash ---- */

static void open_trash(struct ul_trash *t, int wanted)
{
	ul_autoclose int up = layers_dir("up");

	assert_int_equal(ul_trash_open(up, UL_TRASH, t), wanted);
}

static void test_trash(void **state)
{
	ul_autoclose int up = layers_dir("up");
	struct ul_trash t;
	bool empty = false;

	(void)state;
	layers_run(
		"cd up && ln -s . trash && mkdir -p a/b/c outside && touch a/1 a/b/2 file outside/x && ln -s ../outside a/l && "
		"mknod null c 0 0 && mkfifo fifo");
	open_trash(&t, 1);
	layers_print("cd up && readlink trash.bad-1 && stat -c %a trash", ".\n700\n");
	assert_int_equal(ul_trash_move(&t, up, "nothing"), -ENOENT);
	assert_int_equal(ul_trash_move(&t, up, "a"), 0);
	assert_int_equal(ul_trash_move(&t, up, "file"), 0);
	assert_int_equal(ul_trash_move(&t, up, "null"), 0);
	assert_int_equal(ul_trash_move(&t, up, "fifo"), 0);
	layers_print("ls up/trash | wc -l", "4\n");
	/* A name that is taken is passed over. */
	layers_run("touch up/again");
	t.next -= 4;
	assert_int_equal(ul_trash_move(&t, up, "again"), 0);
	layers_print("ls up/trash | wc -l", "5\n");
	assert_int_equal(ul_trash_empty(&t, 3, &empty), 0);
	assert_false(empty);
	assert_int_equal(ul_trash_empty(&t, 100, &empty), 0);
	assert_true(empty);
	layers_print("cd up && find . -mindepth 1 | sort", "./outside\n./outside/x\n./trash\n./trash.bad-1\n");
	ul_trash_close(&t);
}

/* Ten files a time, and neither more nor less. */
static void test_trash_bounded(void **state)
{
	struct ul_trash t;
	bool empty = true;
	char left[16];

	(void)state;
	layers_run("mkdir -p up/trash && cd up/trash && seq 95 | xargs touch");
	open_trash(&t, 0);
	for (int n = 95; n > 5; n -= 10) {
		assert_int_equal(ul_trash_empty(&t, 10, &empty), 0);
		assert_false(empty);
		snprintf(left, sizeof(left), "%d\n", n - 10);
		layers_print("ls up/trash | wc -l", left);
	}
	assert_int_equal(ul_trash_empty(&t, 10, &empty), 0);
	assert_true(empty);
	/* What lies in a directory counts, and so does the directory. */
	layers_run("mkdir up/trash/d && cd up/trash/d && seq 30 | xargs touch");
	assert_int_equal(ul_trash_empty(&t, 10, &empty), 0);
	assert_false(empty);
	layers_print("find up/trash -type f | wc -l", "21\n");
	ul_trash_close(&t);
}

static void test_trash_deep(void **state)
{
	struct rlimit was, few;
	struct ul_trash t;
	bool empty = false;

	(void)state;
	layers_deep("up/trash", 3000, "d");
	open_trash(&t, 0);
	getrlimit(RLIMIT_NOFILE, &was);
	few = was;
	few.rlim_cur = 40;
	setrlimit(RLIMIT_NOFILE, &few);
	assert_int_equal(ul_trash_empty(&t, 20000, &empty), 0);
	setrlimit(RLIMIT_NOFILE, &was);
	assert_true(empty);
	layers_print("ls -A up/trash", "");
	ul_trash_close(&t);
}

static void test_trash_immutable(void **state)
{
	ul_autoclose int up = layers_dir("up");
	struct ul_trash t;
	bool empty = false;

	(void)state;
	layers_run(
		"cd up && mkdir -p trash d/e && touch d/f d/e/g file && chattr +i d/f d/e/g d/e d file; chattr +a trash; chattr +i .; "
		"true");
	open_trash(&t, 0);
	assert_int_equal(ul_trash_move(&t, up, "d"), 0);
	assert_int_equal(ul_trash_move(&t, up, "file"), 0);
	layers_run("chattr +a up/trash || true");
	ul_trash_close(&t);
	open_trash(&t, 0);
	assert_int_equal(ul_trash_empty(&t, 100, &empty), 0);
	assert_true(empty);
	layers_print("find up -mindepth 1", "up/trash\n");
	ul_trash_close(&t);
}

/* ---- */

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_names, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_names_many, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_links, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_names_check, layers_setup, layers_teardown),
		cmocka_unit_test(test_session_name),
		cmocka_unit_test_setup_teardown(test_session, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_session_prepared, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_session_defects, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_trash, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_trash_bounded, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_trash_deep, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_trash_immutable, layers_setup, layers_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
