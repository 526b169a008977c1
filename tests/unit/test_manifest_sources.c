/* Importers and exporters: one store as real Nix told it in each form, and random ones to and fro. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "common/buffer.h"
#include "common/file.h"
#include "dbgen/exchange/export.h"
#include "dbgen/store/hash_text.h"
#include "dbgen/exchange/import.h"
#include "tests/unit/random_store.h"

#define SAMPLES    "tests/samples/"
#define SAMPLE_DIR "/srv/sample/store"

enum form { REGISTRATION, JSON, DATABASE };

static void read_sample(const char *path, struct ul_buffer *ret)
{
	if (ul_read_file(AT_FDCWD, path, 1 << 20, ret) < 0)
		fail_msg("%s cannot be read; run from the top of the tree", path);
}

static int import(struct ul_builder *b, enum form form, const char *path, struct ul_error *err)
{
	ul_autofclose FILE *text = NULL;

	if (form == DATABASE)
		return ul_import_database(b, path, err);
	text = fopen(path, "re");
	if (!text)
		fail_msg("%s cannot be read; run from the top of the tree", path);
	return form == JSON ? ul_import_path_info(b, text, path, err) : ul_import_registration(b, text, path, err);
}

static void make(enum form form, const char *path, struct ul_buffer *ret)
{
	struct ul_builder *b = ul_builder_new(SAMPLE_DIR);
	struct ul_error err = {0};

	assert_non_null(b);
	if (import(b, form, path, &err) < 0 || ul_builder_finish(b, ret, &err) < 0)
		fail_msg("%s: %s: %s", err.what, err.object, err.why);
	ul_builder_free(b);
}

static void export(const struct ul_buffer *file, enum form form, struct ul_buffer *ret)
{
	struct ul_manifest *m;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	assert_int_equal(ul_manifest_open_memory(file->data, file->len, &m, NULL), 0);
	if (form == JSON)
		assert_int_equal(ul_export_path_info(m, out, NULL), 0);
	else
		assert_int_equal(ul_export_registration(m, out, NULL), 0);
	fclose(out);
	assert_int_equal(ul_buffer_append(ret, text, len), 0);
	free(text);
	ul_manifest_close(m);
}

static void assert_same(const struct ul_buffer *a, const struct ul_buffer *b)
{
	assert_int_equal(a->len, b->len);
	assert_memory_equal(a->data, b->data, a->len);
}

/* The export of a manifest is the file, byte for byte. */
static void assert_exports(const struct ul_buffer *file, enum form form, const char *path)
{
	ul_autobuffer struct ul_buffer exported = {0}, sample = {0};

	read_sample(path, &sample);
	export(file, form, &exported);
	assert_same(&exported, &sample);
}

/* A temporary directory with the sample's database in it, rebuilt from its SQL. */
static char *make_database(sqlite3 **ret_open, bool wal)
{
	char *dir = strdup("/tmp/underlay-test.XXXXXX");
	ul_autobuffer struct ul_buffer sql = {0};
	char path[64];

	assert_non_null(dir);
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/db.sqlite", dir);
	read_sample(SAMPLES "nix-2.8.sql", &sql);
	assert_int_equal(sqlite3_open(path, ret_open), SQLITE_OK);
	assert_int_equal(sqlite3_exec(*ret_open,
				      wal ? "pragma journal_mode = wal; pragma wal_autocheckpoint = 0"
					  : "pragma journal_mode = delete",
				      NULL, NULL, NULL),
			 SQLITE_OK);
	assert_non_null(ul_buffer_string(&sql));
	assert_int_equal(sqlite3_exec(*ret_open, (const char *)sql.data, NULL, NULL, NULL), SQLITE_OK);
	return dir;
}

static void remove_directory(char *dir)
{
	assert_int_equal(ul_remove_tree(AT_FDCWD, dir), 0);
	free(dir);
}

static bool exists(const char *dir, const char *name)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return stat(path, &st) == 0;
}

static void registration(void **state)
{
	ul_autobuffer struct ul_buffer file = {0};

	(void)state;
	make(REGISTRATION, SAMPLES "nix-2.8.registration", &file);
	assert_exports(&file, REGISTRATION, SAMPLES "nix-2.8.registration");
}

/* All versions of Nix tell the same store, so the manifests are the same bytes. */
static void path_info(void **state)
{
	static const char *const others[] = {SAMPLES "nix-2.8.json", SAMPLES "nix-json-2.json",
					     SAMPLES "nix-json-3.json"};
	ul_autobuffer struct ul_buffer file = {0};

	(void)state;
	make(JSON, SAMPLES "nix-2.26.json", &file);
	assert_exports(&file, JSON, SAMPLES "nix-2.26.json");
	assert_exports(&file, REGISTRATION, SAMPLES "nix-2.8.registration");
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		ul_autobuffer struct ul_buffer other = {0};

		make(JSON, others[i], &other);
		assert_same(&file, &other);
	}
}

static void assert_sample_tables(const struct ul_buffer *file)
{
	const struct ul_drv_output *outputs;
	const struct ul_realisation *realisations;
	struct ul_manifest *m;
	uint32_t n, refs = 0;

	assert_int_equal(ul_manifest_open_memory(file->data, file->len, &m, NULL), 0);
	assert_int_equal(ul_manifest_drv_outputs(m, &outputs, &n, NULL), 0);
	assert_int_equal(n, 3);
	assert_int_equal(outputs[0].drv, outputs[1].drv);
	assert_string_equal(outputs[0].id, "dev");
	assert_string_equal(outputs[2].id, "out");
	assert_string_equal(outputs[2].path, SAMPLE_DIR "/wn0i8phiazgzm42w59rbzflc0q7j4lqr-dep-1.0");
	assert_int_equal(ul_manifest_realisations(m, &realisations, &n, NULL), 0);
	assert_int_equal(n, 6);
	for (uint32_t i = 0; i < n; i++) {
		refs += realisations[i].n_refs;
		if (realisations[i].n_refs == 0)
			continue;
		assert_string_equal(realisations[i].drv_path, "sha256:0f8f3c16ff82cc177ca162ad9b1c0baa"
							      "351984dd3f7a725bfafbf7d56abbf4e6");
		assert_string_equal(realisations[realisations[i].refs[0]].drv_path,
				    "sha256:6f22cb2939b4eeb1454bde9483f819dc"
				    "180a4c5060fb390fb1ac84a2d31979c0");
	}
	assert_int_equal(refs, 1);
	ul_manifest_close(m);
}

static void database(void **state)
{
	ul_autobuffer struct ul_buffer file = {0}, before = {0}, after = {0};
	char path[64];
	sqlite3 *db;
	char *dir = make_database(&db, false);

	(void)state;
	sqlite3_close(db);
	snprintf(path, sizeof(path), "%s/db.sqlite", dir);
	read_sample(path, &before);
	make(DATABASE, path, &file);
	read_sample(path, &after);
	assert_same(&before, &after);
	assert_false(exists(dir, "db.sqlite-wal"));
	assert_false(exists(dir, "db.sqlite-shm"));
	assert_exports(&file, JSON, SAMPLES "nix-2.26.json");
	assert_exports(&file, REGISTRATION, SAMPLES "nix-2.8.registration");
	assert_sample_tables(&file);
	remove_directory(dir);
}

/* All of the store stands in the log only; its writer is still there. */
static void database_with_log(void **state)
{
	ul_autobuffer struct ul_buffer file = {0}, before = {0}, after = {0};
	char path[64], log[64];
	sqlite3 *db;
	char *dir = make_database(&db, true);

	(void)state;
	snprintf(path, sizeof(path), "%s/db.sqlite", dir);
	snprintf(log, sizeof(log), "%s/db.sqlite-wal", dir);
	read_sample(log, &before);
	assert_true(before.len > 4096);
	make(DATABASE, path, &file);
	read_sample(log, &after);
	assert_same(&before, &after);
	assert_exports(&file, JSON, SAMPLES "nix-2.26.json");
	sqlite3_close(db);
	remove_directory(dir);
}

/* A copy of file and log, without the log's index: nothing may appear beside it. */
static void database_with_log_alone(void **state)
{
	ul_autobuffer struct ul_buffer file = {0}, main_file = {0}, log_file = {0};
	char path[64], log[64];
	sqlite3 *db;
	char *dir = make_database(&db, true);

	(void)state;
	snprintf(path, sizeof(path), "%s/db.sqlite", dir);
	snprintf(log, sizeof(log), "%s/db.sqlite-wal", dir);
	read_sample(path, &main_file);
	read_sample(log, &log_file);
	sqlite3_close(db);
	assert_int_equal(ul_write_file(AT_FDCWD, path, 0600, main_file.data, main_file.len), 0);
	assert_int_equal(ul_write_file(AT_FDCWD, log, 0600, log_file.data, log_file.len), 0);
	make(DATABASE, path, &file);
	assert_exports(&file, JSON, SAMPLES "nix-2.26.json");
	assert_false(exists(dir, "db.sqlite-shm"));
	remove_directory(dir);
}

static void database_refused(void **state)
{
	struct ul_builder *b = ul_builder_new(SAMPLE_DIR);
	struct ul_error err = {0};
	char path[64];
	sqlite3 *db;
	char *dir = make_database(&db, false);

	(void)state;
	assert_non_null(b);
	snprintf(path, sizeof(path), "%s/db.sqlite", dir);
	assert_int_equal(sqlite3_exec(db, "pragma foreign_keys = off; insert into Refs values (1, 99)", NULL, NULL,
				      NULL),
			 SQLITE_OK);
	sqlite3_close(db);
	assert_int_equal(ul_import_database(b, path, &err), -UL_E_DATABASE);
	assert_non_null(strstr(err.why, "it refers to an id that no path has"));
	snprintf(path, sizeof(path), "%s/db.sqlite-journal", dir);
	assert_int_equal(ul_write_file(AT_FDCWD, path, 0600, "x", 1), 0);
	path[strlen(path) - strlen("-journal")] = '\0';
	assert_int_equal(ul_import_database(b, path, &err), -UL_E_DATABASE);
	assert_string_equal(err.why, "a transaction was interrupted and is not undone yet");
	snprintf(path, sizeof(path), "%s/absent", dir);
	assert_int_equal(ul_import_database(b, path, &err), -UL_E_SYSTEM);
	ul_builder_free(b);
	remove_directory(dir);
}

/* A schema may hold code: none of it runs, though the statements that read the tables would start it. */
static void database_with_code(void **state)
{
	struct ul_builder *b = ul_builder_new(SAMPLE_DIR);
	struct ul_error err = {0};
	char path[64];
	sqlite3 *db;
	char *dir = make_database(&db, false);

	(void)state;
	assert_non_null(b);
	snprintf(path, sizeof(path), "%s/db.sqlite", dir);
	assert_int_equal(sqlite3_exec(db,
				      "pragma foreign_keys = off; pragma legacy_alter_table = on;"
				      "alter table Refs rename to Real;"
				      "create view Refs as select * from Real",
				      NULL, NULL, NULL),
			 SQLITE_OK);
	sqlite3_close(db);
	assert_int_equal(ul_import_database(b, path, &err), -UL_E_DATABASE);
	assert_non_null(strstr(err.why, "access to view"));
	ul_builder_free(b);
	remove_directory(dir);
}

/* What a form can hold comes back from it: the second export is the first. */
static void to_and_fro(void **state)
{
	static const struct random_store_options o = {.store_dir = SAMPLE_DIR, .signed_share = 60, .mean_refs = 6};

	(void)state;
	for (enum form form = REGISTRATION; form <= JSON; form++) {
		struct random_store *s = random_store_new(41 + form, 3000, &o);
		struct ul_builder *b = ul_builder_new(SAMPLE_DIR), *again = ul_builder_new(SAMPLE_DIR);
		ul_autobuffer struct ul_buffer file = {0}, text = {0}, file2 = {0}, text2 = {0};
		ul_autofclose FILE *in = NULL;

		assert_true(s && b && again);
		assert_int_equal(random_store_fill(s, b, NULL), 0);
		assert_int_equal(ul_builder_finish(b, &file, NULL), 0);
		export(&file, form, &text);
		in = fmemopen(text.data, text.len, "r");
		assert_non_null(in);
		assert_int_equal(form == JSON ? ul_import_path_info(again, in, "x", NULL)
					      : ul_import_registration(again, in, "x", NULL),
				 0);
		assert_int_equal(ul_builder_finish(again, &file2, NULL), 0);
		export(&file2, form, &text2);
		assert_same(&text, &text2);
		if (form == JSON)
			assert_same(&file, &file2);
		ul_builder_free(b);
		ul_builder_free(again);
		random_store_free(s);
	}
}

/* A closure that this machine built and signed, and the same one that another only has. */
static void portable(void **state)
{
	struct ul_path_info info = {
		.path = "/nix/store/00000000000000000000000000000000-a",
		.nar_size = 120,
		.ca = "fixed:sha256:1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s",
	};
	ul_autobuffer struct ul_buffer here = {0}, there = {0}, whole = {0};
	struct ul_buffer *const to[] = {&there, &here, &whole};

	(void)state;
	for (size_t i = 0; i < sizeof(to) / sizeof(to[0]); i++) {
		struct ul_builder *b = ul_builder_new("/nix/store");

		assert_int_equal(ul_builder_add(b, &info, NULL), 0);
		if (i < 2)
			ul_builder_drop_local(b);
		assert_int_equal(ul_builder_finish(b, to[i], NULL), 0);
		ul_builder_free(b);
		info.deriver = "/nix/store/00000000000000000000000000000001-a.drv";
		info.sigs = "cache:c2lnbmF0dXJl";
		info.registered = 1700000000;
		info.ultimate = true;
	}
	assert_same(&here, &there);
	assert_true(whole.len > here.len);
}

/* `nix-hash --to-base32`, `--to-sri` of one hash in all its forms. */
static void hash_forms(void **state)
{
	static const char *const forms[] = {
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"sha256:1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s",
		"1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s",
		"sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
		"sha256:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
	};
	uint8_t first[32], hash[32];
	char text[UL_HASH_TEXT_SIZE];

	(void)state;
	assert_true(ul_sha256_parse(forms[0], 64, first));
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		assert_true(ul_sha256_parse(forms[i], strlen(forms[i]), hash));
		assert_memory_equal(hash, first, 32);
	}
	assert_true(ul_hash_to_nix32("sha256", forms[0], 64, text));
	assert_string_equal(text, forms[2]);
	assert_false(ul_hash_to_nix32("sha1", forms[4], strlen(forms[4]), text));
	assert_false(ul_hash_to_nix32(NULL, forms[0], 64, text));
	assert_false(ul_sha256_parse("sha512:00", 9, hash));
	assert_false(ul_sha256_parse("", 0, hash));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registration),
		cmocka_unit_test(path_info),
		cmocka_unit_test(database),
		cmocka_unit_test(database_with_log),
		cmocka_unit_test(database_with_log_alone),
		cmocka_unit_test(database_refused),
		cmocka_unit_test(database_with_code),
		cmocka_unit_test(to_and_fro),
		cmocka_unit_test(portable),
		cmocka_unit_test(hash_forms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
