/* The collector's parts: what is alive and in which order the rest goes; roots of every kind; Nix's settings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "dbgen/collect/graph.h"
#include "dbgen/collect/removal.h"
#include "dbgen/collect/roots.h"
#include "dbgen/collect/settings.h"
#include "tests/unit/layers_help.h"

/* ---- a database ---- */

static const char schema[] =
	"create table ValidPaths (id integer primary key autoincrement not null, path text unique not null, hash text not null,"
	" registrationTime integer not null, deriver text, narSize integer, ultimate integer, sigs text, ca text);"
	"create table Refs (referrer integer not null, reference integer not null, primary key (referrer, reference));"
	"create table DerivationOutputs (drv integer not null, id text not null, path text not null, primary key (drv, id));"
	"create table Realisations (id integer primary key, drvPath text, outputName text, outputPath integer, signatures text);";

#define HASH(digit) "0000000000000000000000000000000" digit

struct fixture {
	sqlite3 *db;
	struct ul_names entries;
	struct ul_graph graph;
	struct ul_error err;
};

static void execute(struct fixture *f, const char *sql)
{
	assert_int_equal(sqlite3_exec(f->db, sql, NULL, NULL, NULL), SQLITE_OK);
}

/* "a" with this id; deriver: the letter of one, or NULL. */
static void add(struct fixture *f, int id, const char *letter, const char *suffix, int registered, const char *deriver)
{
	char *sql =
		sqlite3_mprintf("insert into ValidPaths (id, path, hash, registrationTime, deriver, narSize) values "
				"(%d, '/nix/store/" HASH("%s") "-%s', 'x', %d, %Q, 1)",
				id, letter, suffix, registered, deriver);

	execute(f, sql);
	sqlite3_free(sql);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	return f && sqlite3_open(":memory:", &f->db) == SQLITE_OK &&
			       sqlite3_exec(f->db, schema, NULL, NULL, NULL) == SQLITE_OK
		       ? 0
		       : -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	ul_graph_free(&f->graph);
	ul_names_free(&f->entries);
	sqlite3_close(f->db);
	free(f);
	return 0;
}

static void load(struct fixture *f, int64_t sealed_id, bool keep_outputs, bool keep_derivations)
{
	const struct ul_graph_options o = {"/nix/store", sealed_id, keep_outputs, keep_derivations};

	ul_graph_free(&f->graph);
	ul_names_sort(&f->entries, true);
	assert_int_equal(ul_graph_load(f->db, &f->entries, &o, &f->graph, &f->err), 0);
}

static void mark(struct fixture *f, const char *name)
{
	struct ul_node *node = ul_graph_find(&f->graph, name);

	assert_non_null(node);
	assert_int_equal(ul_graph_mark(&f->graph, node), 0);
}

/* The last digits of the hashes of what is dead, in the order in which it may go. */
static const char *dead(struct fixture *f)
{
	static char text[64];
	struct ul_node_list order = {0};
	size_t n;

	assert_int_equal(ul_graph_order(&f->graph, &order), 0);
	for (n = 0; n < order.n; n++) {
		const char *name = ul_graph_name(&f->graph, &f->graph.nodes.at[order.at[n]]);

		text[n] = strlen(name) > 31 ? name[31] : '-';
	}
	text[n] = '\0';
	ul_vector_free(&order);
	return text;
}

/* ---- what is alive ---- */

/* 1 -> 2 -> 3, 4 -> 3, 5 -> 5; ages against the numbers. */
static void make_chain(struct fixture *f)
{
	for (int i = 1; i <= 5; i++) {
		char letter[2] = {(char)('0' + i), '\0'};

		add(f, i, letter, "x", 100 - i, NULL);
	}
	execute(f, "insert into Refs values (1, 2), (2, 3), (4, 3), (5, 5)");
}

static void test_references(void **state)
{
	struct fixture *f = *state;

	make_chain(f);
	load(f, 0, false, true);
	/* 5 is the oldest; then what its referrers let go; 3 last, though it is older than 1 and 2. */
	assert_string_equal(dead(f), "54123");
	mark(f, HASH("2") "-x");
	assert_string_equal(dead(f), "541");
	mark(f, HASH("5") "-x");
	assert_string_equal(dead(f), "41");
	assert_null(ul_graph_find(&f->graph, HASH("2") "-y"));
}

static void test_sealed_rows_are_not_read(void **state)
{
	struct fixture *f = *state;

	make_chain(f);
	load(f, 3, false, true);
	assert_int_equal(f->graph.n_rows, 2);
	assert_string_equal(dead(f), "54");
	assert_null(ul_graph_find(&f->graph, HASH("3") "-x"));
}

static void test_derivations(void **state)
{
	struct fixture *f = *state;

	/* 1: a derivation of 2, and of 3, which says that it comes from elsewhere; 4 has never been built. */
	add(f, 1, "1", "x.drv", 1, NULL);
	add(f, 2, "2", "x", 2, "/nix/store/" HASH("1") "-x.drv");
	add(f, 3, "3", "x", 3, "/nix/store/" HASH("9") "-y.drv");
	execute(f, "insert into DerivationOutputs values (1, 'out', '/nix/store/" HASH(
			   "2") "-x'), "
				"(1, 'dev', '/nix/store/" HASH("3") "-x'), (1, 'man', '/nix/store/" HASH("4") "-x')");
	load(f, 0, false, true);
	assert_int_equal(f->graph.outputs.n, 1);
	mark(f, HASH("2") "-x");
	assert_string_equal(dead(f), "3");
	load(f, 0, false, true);
	mark(f, HASH("3") "-x");
	assert_string_equal(dead(f), "12");
	load(f, 0, false, false);
	mark(f, HASH("2") "-x");
	assert_string_equal(dead(f), "13");
	load(f, 0, true, false);
	mark(f, HASH("1") "-x.drv");
	assert_string_equal(dead(f), "");
	load(f, 0, false, false);
	mark(f, HASH("1") "-x.drv");
	assert_string_equal(dead(f), "23");
}

/* Of a derivation whose outputs are not known by their names alone, the deriver's word counts. */
static void test_realised_outputs(void **state)
{
	struct fixture *f = *state;

	add(f, 1, "1", "x.drv", 1, NULL);
	add(f, 2, "2", "x", 2, "/nix/store/" HASH("1") "-x.drv");
	load(f, 0, true, false);
	mark(f, HASH("1") "-x.drv");
	assert_string_equal(dead(f), "2");
	execute(f, "insert into Realisations values (1, 'sha256:x', 'out', 2, '')");
	load(f, 0, true, false);
	mark(f, HASH("1") "-x.drv");
	assert_string_equal(dead(f), "");
}

static void test_entries(void **state)
{
	struct fixture *f = *state;

	make_chain(f);
	ul_names_add(&f->entries, HASH("1") "-x");
	ul_names_add(&f->entries, HASH("1") "-x.lock");
	ul_names_add(&f->entries, HASH("7") "-stray");
	ul_names_add(&f->entries, "tmp-1-2");
	load(f, 0, false, true);
	assert_true(ul_graph_find(&f->graph, HASH("1") "-x")->entry);
	assert_false(ul_graph_find(&f->graph, HASH("2") "-x")->entry);
	assert_true(ul_graph_find(&f->graph, "tmp-1-2")->foreign);
	assert_int_equal(ul_graph_find(&f->graph, HASH("7") "-stray")->id, 0);
	/* What has no row goes first. */
	assert_string_equal(dead(f), "17-54123");
}

/* A builder's root protects the path, with what it needs, and all that has its hash. */
static void test_temporary_roots(void **state)
{
	struct fixture *f = *state;

	make_chain(f);
	ul_names_add(&f->entries, HASH("4") "-x.lock");
	ul_names_add(&f->entries, HASH("7") "-stray.lock");
	load(f, 0, false, true);
	assert_int_equal(ul_graph_mark_hash(&f->graph, HASH("4") "-whatever"), 0);
	assert_int_equal(ul_graph_mark_hash(&f->graph, HASH("7")), 0);
	assert_string_equal(dead(f), "512");
	assert_true(ul_graph_find(&f->graph, HASH("4") "-x.lock")->alive);
}

/* Where a row cannot be read nothing may go: it might be alive, and keep others alive. */
static void test_bad_rows(void **state)
{
	static const char *const rows[] = {
		"insert into ValidPaths (path, hash, registrationTime) values ('/elsewhere/" HASH("1") "-x', 'x', 1)",
		"insert into ValidPaths (path, hash, registrationTime) values (x'2f6e6978', 'x', 1)",
		"insert into ValidPaths (id, path, hash, registrationTime) values (-5, '/nix/store/" HASH(
			"1") "-x', 'x', 1)",
	};
	const struct ul_graph_options o = {"/nix/store", INT64_MIN, false, true};
	struct fixture *f = *state;

	for (size_t i = 0; i < UL_ARRAY_SIZE(rows); i++) {
		execute(f, "delete from ValidPaths");
		execute(f, rows[i]);
		ul_graph_free(&f->graph);
		assert_int_equal(ul_graph_load(f->db, &f->entries, &o, &f->graph, &f->err), -UL_E_DATABASE);
	}
	execute(f, "drop table Refs");
	execute(f, "delete from ValidPaths");
	ul_graph_free(&f->graph);
	assert_int_equal(ul_graph_load(f->db, &f->entries, &o, &f->graph, &f->err), -UL_E_DATABASE);
}

/* ---- files ---- */

static char top[] = "/tmp/test-collect-XXXXXX";

static int make_top(void **state)
{
	(void)state;
	return mkdtemp(top) ? 0 : -1;
}

static int remove_top(void **state)
{
	(void)state;
	return ul_remove_tree(AT_FDCWD, top);
}

static const char *at(const char *path)
{
	static char text[4][256];
	static int next;

	next = (next + 1) % 4;
	snprintf(text[next], sizeof(text[next]), "%s/%s", top, path);
	return text[next];
}

static void make_dirs(const char *path)
{
	assert_int_equal(ul_mkdir_parents(AT_FDCWD, at(path), 0755), 0);
}

static void make_file(const char *path, const char *text, size_t len)
{
	assert_int_equal(ul_write_file(AT_FDCWD, at(path), 0644, text, len), 0);
}

static bool exists(const char *path)
{
	struct stat st;

	return lstat(at(path), &st) == 0;
}

static ino_t inode(const char *path)
{
	struct stat st = {0};

	(void)lstat(at(path), &st);
	return st.st_ino;
}

/* The digits before the dashes, sorted. */
static const char *found(struct ul_names *names)
{
	static char text[64];
	size_t n;

	ul_names_sort(names, true);
	for (n = 0; n < names->n; n++)
		text[n] = names->at[n][31];
	text[n] = '\0';
	ul_names_free(names);
	return text;
}

/* ---- removing ---- */

static void test_what_earlier_boots_left(void **state)
{
	struct ul_store_dirs d = UL_STORE_DIRS_NONE;
	struct ul_error err;
	struct ul_store_size session, kept;
	ino_t before;

	(void)state;
	make_dirs("layers/view/a");
	make_file("layers/view/a/file", "x", 1);
	make_dirs("layers/upper/kept/a");
	make_file("layers/upper/kept/a/file", "x", 1);
	make_dirs("layers/upper/s/up");
	assert_int_equal(mknod(at("layers/upper/s/up/a"), S_IFCHR, 0), 0);
	const struct ul_collect_layout layout = {
		.view = at("layers/view"), .upper = at("layers/upper"), .session = "s", .persistent = true};
	before = inode("layers/upper/kept/a/file");
	assert_int_equal(ul_store_dirs_open(&layout, false, &d, &err), 0);

	assert_int_equal(ul_store_remove(&d, "a"), 0);
	assert_false(exists("layers/view/a"));
	assert_int_equal(inode("layers/upper/kept/a/file"), before);
	assert_true(ul_store_is_left(&d, "a"));
	assert_false(ul_store_is_left(&d, "b"));
	assert_true(ul_store_measure(&d, "a", &session, &kept));
	assert_int_equal(kept.inodes, 2);

	d.may_free = true;
	assert_false(ul_store_is_left(&d, "a"));
	assert_int_equal(ul_store_remove(&d, "a"), 0);
	assert_false(exists("layers/upper/kept/a"));
	assert_false(ul_store_measure(&d, "a", &session, &kept));
	ul_store_dirs_close(&d);
}

/* ---- roots ---- */

static void test_permanent_roots(void **state)
{
	struct ul_roots_options o = {.root = "", .store_dir = "/nix/store"};
	struct ul_names names = {0};
	struct ul_error err;

	(void)state;
	make_dirs("state/gcroots/auto");
	make_dirs("state/gcroots/deep/er");
	make_dirs("state/profiles/per-user/alice");
	assert_int_equal(symlink("/nix/store/" HASH("1") "-x", at("state/gcroots/direct")), 0);
	assert_int_equal(symlink("/nix/store/" HASH("2") "-x/bin/y", at("state/gcroots/deep/er/inside")), 0);
	assert_int_equal(symlink("/nix/store/" HASH("3") "-x", at("result")), 0);
	assert_int_equal(symlink(at("result"), at("state/gcroots/auto/one")), 0);
	assert_int_equal(symlink("/nix/store/" HASH("4") "-x", at("state/profiles/per-user/alice/p-1-link")), 0);
	assert_int_equal(symlink("p-1-link", at("state/profiles/per-user/alice/p")), 0);
	make_file("state/gcroots/" HASH("5") "-x", "", 0);
	/* None of these is one. */
	make_file("state/gcroots/text", "", 0);
	assert_int_equal(symlink("/nix/store", at("state/gcroots/store")), 0);
	assert_int_equal(symlink("/nix/store/.links", at("state/gcroots/links")), 0);
	assert_int_equal(symlink("/not/there", at("state/gcroots/elsewhere")), 0);
	assert_int_equal(symlink("/not/there", at("state/gcroots/auto/stale")), 0);
	assert_int_equal(symlink("/nix/storeroom/" HASH("6") "-x", at("state/gcroots/storeroom")), 0);
	o.state_fd = open(at("state"), O_RDONLY | O_DIRECTORY);
	assert_int_equal(ul_roots_permanent(&o, &names, &err), 0);
	assert_string_equal(found(&names), "12345");
	assert_true(exists("state/gcroots/auto/stale"));
	o.tidy = true;
	assert_int_equal(ul_roots_permanent(&o, &names, &err), 0);
	assert_string_equal(found(&names), "12345");
	/* Only what Nix made for somebody's link goes with it. */
	assert_false(exists("state/gcroots/auto/stale"));
	assert_true(exists("state/gcroots/elsewhere"));
	close(o.state_fd);
}

static void test_builders(void **state)
{
	static const char alive[] =
		"/nix/store/" HASH("1") "-x\0/nix/store/" HASH("2") "-x\0/nix/store/" HASH("3") "-cut";
	static const char gone[] = "/nix/store/" HASH("4") "-x\0";
	struct ul_roots_options o = {.root = "", .store_dir = "/nix/store"};
	struct ul_names names = {0};
	struct ul_error err;
	int lock;

	(void)state;
	make_dirs("state/temproots");
	make_file("state/temproots/1", alive, sizeof(alive) - 1);
	make_file("state/temproots/2", gone, sizeof(gone) - 1);
	make_file("state/temproots/.keep", gone, sizeof(gone) - 1);
	lock = open(at("state/temproots/1"), O_RDWR);
	assert_int_equal(flock(lock, LOCK_EX), 0);
	o.state_fd = open(at("state"), O_RDONLY | O_DIRECTORY);
	assert_int_equal(ul_roots_temporary(&o, &names, &err), 0);
	assert_string_equal(found(&names), "12");
	assert_true(exists("state/temproots/2"));
	o.tidy = true;
	assert_int_equal(ul_roots_temporary(&o, &names, &err), 0);
	assert_string_equal(found(&names), "12");
	assert_false(exists("state/temproots/2"));
	assert_true(exists("state/temproots/1"));
	close(lock);
	close(o.state_fd);
}

static void test_running(void **state)
{
	static const char maps[] = "7f00-7f01 r-xp 00000000 00:1c 5    /nix/store/" HASH(
		"3") "-x/lib/a.so\n"
		     "7f02-7f03 r-xp 00000000 00:1c 6    /nix/store/" HASH("4") "-x/lib/b.so (deleted)\n";
	static const char environment[] =
		"PATH=/nix/store/" HASH("5") "-x/bin:/nix/store/" HASH("6") "-x/bin\0A=/nix/store\0";
	const struct ul_roots_options o = {.root = "", .store_dir = "/nix/store"};
	struct ul_names names = {0};
	struct ul_error err;

	(void)state;
	make_dirs("proc/12/fd");
	make_dirs("proc/13");
	make_dirs("proc/self");
	make_dirs("proc/sys/kernel");
	assert_int_equal(symlink("/nix/store/" HASH("1") "-x/bin/sh", at("proc/12/exe")), 0);
	assert_int_equal(symlink("/nix/store/" HASH("2") "-x", at("proc/12/cwd")), 0);
	assert_int_equal(symlink("/nix/store/" HASH("7") "-x/data", at("proc/12/fd/3")), 0);
	assert_int_equal(symlink("socket:[5]", at("proc/12/fd/4")), 0);
	assert_int_equal(symlink("/nix/store/" HASH("9") "-x", at("proc/self/exe")), 0);
	make_file("proc/12/maps", maps, sizeof(maps) - 1);
	make_file("proc/12/environ", environment, sizeof(environment) - 1);
	make_file("proc/sys/kernel/modprobe", "/nix/store/" HASH("8") "-kmod/bin/modprobe\n", 61);
	assert_int_equal(ul_roots_running(&o, at("proc"), &names, &err), 0);
	assert_string_equal(found(&names), "12345678");
}

/* ---- settings ---- */

static void settings_are(const char *config, bool outputs, bool derivations)
{
	struct ul_collect_settings s;
	struct ul_error err;

	assert_int_equal(ul_collect_settings_read(top, config, &s, &err), 0);
	assert_int_equal(s.keep_outputs, outputs);
	assert_int_equal(s.keep_derivations, derivations);
}

static void write_conf(const char *name, const char *text)
{
	make_file(name, text, strlen(text));
}

static void test_settings(void **state)
{
	struct ul_collect_settings s;
	struct ul_error err;

	(void)state;
	settings_are(NULL, false, true);
	make_dirs("etc/nix/more");
	write_conf("etc/nix/nix.conf", "# keep-outputs = true\nstore = daemon\n\tkeep-derivations  =  false # so\n");
	settings_are(NULL, false, false);
	settings_are("keep-outputs = true\ngc-keep-derivations = true", true, true);
	write_conf("etc/nix/nix.conf", "include more/a.conf\n!include /etc/nix/not-there\nkeep-outputs = perhaps");
	write_conf("etc/nix/more/a.conf", "!include b.conf\n");
	write_conf("etc/nix/more/b.conf", "gc-keep-outputs = true");
	settings_are(NULL, true, true);
	write_conf("etc/nix/nix.conf", "include not-there\n");
	assert_int_equal(ul_collect_settings_read(top, NULL, &s, &err), -UL_E_SYSTEM);
	write_conf("etc/nix/nix.conf", "include nix.conf\n");
	assert_int_equal(ul_collect_settings_read(top, NULL, &s, &err), -UL_E_SYSTEM);
	assert_non_null(strstr(err.why, "circle"));
}

/* ---- what removing gives back ---- */

/* A builder's tree of any depth, and one of hard links, whose inode stays. */
static void test_measure(void **state)
{
	struct ul_store_dirs d = UL_STORE_DIRS_NONE;
	struct rlimit was, few;
	struct ul_store_size session, kept;

	(void)state;
	layers_deep("up/kept/deep", 5000, "d");
	layers_run(
		"mkdir -p up/s/deep/a up/s/deep/b; cd up/s/deep; echo x >a/x; ln -s /etc a/link; echo y >b/y; ln b/y b/z");
	d.session = layers_dir("up/s");
	d.kept = layers_dir("up/kept");
	getrlimit(RLIMIT_NOFILE, &was);
	few = was;
	few.rlim_cur = 40;
	setrlimit(RLIMIT_NOFILE, &few);
	assert_true(ul_store_measure(&d, "deep", &session, &kept));
	setrlimit(RLIMIT_NOFILE, &was);
	/* Below deep/ of the kept layer 5,000 directories with a file each; the session's: three, and two. */
	assert_int_equal(kept.inodes, 1 + 5000 * 2);
	assert_int_equal(session.inodes, 3 + 2);
	assert_false(ul_store_measure(&d, "nothing", &session, &kept));
	assert_int_equal(session.inodes + kept.inodes, 0);
	ul_store_dirs_close(&d);
}

#define GRAPH_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		GRAPH_TEST(test_references),
		GRAPH_TEST(test_sealed_rows_are_not_read),
		GRAPH_TEST(test_derivations),
		GRAPH_TEST(test_realised_outputs),
		GRAPH_TEST(test_entries),
		GRAPH_TEST(test_temporary_roots),
		GRAPH_TEST(test_bad_rows),
		cmocka_unit_test(test_permanent_roots),
		cmocka_unit_test(test_builders),
		cmocka_unit_test(test_running),
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_what_earlier_boots_left),
		cmocka_unit_test_setup_teardown(test_measure, layers_setup, layers_teardown),
	};

	return cmocka_run_group_tests(tests, make_top, remove_top);
}
