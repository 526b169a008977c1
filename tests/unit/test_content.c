/*
 * The content of a lower: a directory stands for the mounted file system. Manifest, image.json, database and
 * store are made to agree, then each is changed alone.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "common/paths.h"
#include "dbgen/database/db.h"
#include "dbgen/layers/names.h"
#include "dbgen/manifest/manifest.h"
#include "dbgen/store/nar.h"
#include "verity/format/image_info.h"
#include "verity/image/lower_content.h"

#define SYSTEM "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-system"
#define DATA   "/nix/store/zyxwvsrqpnmlkjihgfdcba9876543210-data"

static struct ul_lower_view lower;
static struct ul_seal seal;
static struct ul_slot slot;
static struct ul_requirements demands;
static bool system_may_be_elsewhere;
static struct ul_image_info info;

static void put(const char *path, const void *bytes, size_t len)
{
	assert_int_equal(ul_write_file(lower.fd, path, 0644, bytes, len), 0);
}

static void put_info(void)
{
	struct ul_buffer text = {0};

	assert_int_equal(ul_image_info_format(&info, &text, NULL), 0);
	put(UL_LOWER_INFO, text.data, text.len);
	ul_buffer_free(&text);
}

static void add(struct ul_builder *b, const char *path, const char *ref)
{
	struct ul_path_info p = {.path = path, .refs = &ref, .n_refs = ref ? 1 : 0};

	assert_int_equal(ul_nar_hash(lower.fd, path + 1, p.nar_hash, &p.nar_size, NULL), 0);
	assert_int_equal(ul_builder_add(b, &p, NULL), 0);
}

static void build_database(const struct ul_buffer *manifest)
{
	struct ul_manifest *m;
	char path[128];
	int db = openat(lower.fd, UL_LOWER_DB, O_RDONLY | O_DIRECTORY);

	snprintf(path, sizeof(path), "%s/" UL_LOWER_DB, lower.path);
	assert_int_equal(ul_manifest_open_memory(manifest->data, manifest->len, &m, NULL), 0);
	assert_int_equal(ul_db_build(m, db, path, NULL, NULL), 0);
	ul_manifest_close(m);
	close(db);
}

static void make_names(void)
{
	ul_autoclose int store = openat(lower.fd, UL_LOWER_STORE, O_RDONLY | O_DIRECTORY), names = -1;
	uint64_t n;

	assert_int_equal(ul_mkdir_parents(lower.fd, UL_LOWER_NAMES, 0755), 0);
	names = openat(lower.fd, UL_LOWER_NAMES, O_RDONLY | O_DIRECTORY);
	assert_int_equal(ul_layer_names_make(store, names, "testing", &n, NULL), 0);
}

/* Everything anew, and right. */
static int make_lower(void **state)
{
	struct ul_builder *b = ul_builder_new("/nix/store");
	struct ul_buffer bytes = {0};
	struct ul_manifest *m;

	(void)state;
	snprintf(lower.path, sizeof(lower.path), "/tmp/underlay-content-XXXXXX");
	assert_non_null(mkdtemp(lower.path));
	lower.fd = open(lower.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(ul_mkdir_parents(lower.fd, "nix/.underlay", 0755), 0);
	assert_int_equal(ul_mkdir_parents(lower.fd, UL_LOWER_DB, 0755), 0);
	assert_int_equal(ul_mkdir_parents(lower.fd, &SYSTEM[1], 0755), 0);
	put(&(SYSTEM "/init")[1], "#!/bin/sh\n", 10);
	assert_int_equal(fchmodat(lower.fd, &(SYSTEM "/init")[1], 0755, 0), 0);
	put(&DATA[1], "data", 4);
	make_names();

	add(b, SYSTEM, DATA);
	add(b, DATA, NULL);
	assert_int_equal(ul_builder_finish(b, &bytes, NULL), 0);
	ul_builder_free(b);
	put(UL_LOWER_MANIFEST, bytes.data, bytes.len);
	build_database(&bytes);
	assert_int_equal(ul_manifest_open_memory(bytes.data, bytes.len, &m, NULL), 0);
	slot = (struct ul_slot){.data.device = (char *)"image"};
	demands = (struct ul_requirements){.manifest_required = true};
	system_may_be_elsewhere = false;
	seal = (struct ul_seal){.d = {.name = "demo", .version = "1.2", .has_manifest = 1}, .from_descriptor = true};
	assert_int_equal(ul_manifest_hash(m, seal.d.manifest_hash, NULL), 0);
	ul_manifest_close(m);
	ul_buffer_free(&bytes);
	info = (struct ul_image_info){.name = (char *)"demo",
				      .version = (char *)"1.2",
				      .system = (char *)SYSTEM,
				      .store_dir = (char *)"/nix/store",
				      .paths = 2,
				      .manifest_format = 1,
				      .nix_schema = 10,
				      .database = true};
	put_info();
	return 0;
}

static int remove_lower(void **state)
{
	(void)state;
	close(lower.fd);
	return ul_remove_tree(AT_FDCWD, lower.path);
}

static int check(bool contents, struct ul_content_result *ret, struct ul_error *err)
{
	const struct ul_work two = {.threads = 2};
	struct ul_content_question question = {
		.lower = &lower,
		.slot = &slot,
		.seal = &seal,
		.demands = &demands,
		.system_may_be_elsewhere = system_may_be_elsewhere,
		.contents = contents ? &two : NULL,
	};

	return ul_content_check(&question, ret, err);
}

/* What was found is not looked at. */
static void assert_good(bool contents)
{
	struct ul_content_result result;

	assert_int_equal(check(contents, &result, NULL), 0);
	ul_judged_free(&result.judged);
}

static void assert_bad(bool contents, enum ul_code code, const char *words)
{
	struct ul_content_result result;
	struct ul_error err = {0};
	char sentence[1200];
	int r = check(contents, &result, &err);

	if (r == 0)
		ul_judged_free(&result.judged);
	ul_error_sentence(&err, sentence, sizeof(sentence));
	if (r != -(int)code || !strstr(sentence, words))
		fail_msg("%s: \"%s\", wanted %s: \"%s\"", ul_code_name(err.code), sentence, ul_code_name(code), words);
}

static void good(void **state)
{
	struct ul_content_result result;

	(void)state;
	assert_int_equal(check(true, &result, NULL), 0);
	assert_non_null(result.judged.manifest);
	assert_false(result.judged.foreign);
	assert_true(result.database);
	assert_true(result.names);
	assert_string_equal(result.judged.system, SYSTEM);
	assert_int_equal(result.judged.info.paths, 2);
	assert_true(result.nar_bytes > 200);
	ul_judged_free(&result.judged);
	/* Nobody vouches for a descriptor. */
	seal.d.name[0] = '\0';
	assert_good(false);
	info.database = false;
	put_info();
	assert_int_equal(ul_remove_tree(lower.fd, UL_LOWER_DB), 0);
	assert_int_equal(check(false, &result, NULL), 0);
	assert_false(result.database);
	ul_judged_free(&result.judged);
}

/* Only a policy that is known can name the system, or fail to. */
static void no_system(void **state)
{
	struct ul_content_result result;

	(void)state;
	info.system = NULL;
	put_info();
	assert_bad(false, UL_E_NO_SYSTEM, "neither the image nor the policy names a system");
	system_may_be_elsewhere = true;
	assert_int_equal(check(false, &result, NULL), 0);
	assert_null(result.judged.system);
	ul_judged_free(&result.judged);
	demands.system = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-other";
	assert_bad(false, UL_E_NO_SYSTEM, "No such file");
	demands.system = SYSTEM;
	assert_good(false);
}

static void foreign(void **state)
{
	struct ul_content_result result;

	(void)state;
	assert_int_equal(ul_remove_tree(lower.fd, "nix/.underlay"), 0);
	/* Where a descriptor says that the image is ours, it is not a foreign one. */
	assert_bad(false, UL_E_IMAGE_INFO, UL_LOWER_INFO);
	seal.from_descriptor = false;
	seal.d = (struct ul_descriptor){0};
	assert_bad(false, UL_E_MANIFEST, "neither a manifest nor a registration");
	demands.manifest_required = false;
	demands.system = SYSTEM;
	assert_int_equal(check(true, &result, NULL), 0);
	assert_true(result.judged.foreign);
	assert_null(result.judged.manifest);
	assert_false(result.names);
	ul_judged_free(&result.judged);
	demands.name = "demo";
	assert_bad(false, UL_E_NO_IMAGE, "nothing sealed in this image tells its name");
	demands.pin_names_image = true;
	assert_good(false);
}

static void names(void **state)
{
	static const char name[] = UL_LOWER_NAMES "/0123456789abcdfghijklmnpqrsvwxyz-system";
	struct ul_content_result result;

	(void)state;
	assert_int_equal(unlinkat(lower.fd, name, 0), 0);
	assert_bad(false, UL_E_CHECK, "the names layer lacks it");
	put(name, "x", 1);
	assert_bad(false, UL_E_CHECK, "it must be an empty file");
	put(name, "", 0);
	assert_good(false);
	put(UL_LOWER_NAMES "/other", "", 0);
	assert_bad(false, UL_E_CHECK, "the sealed store has no such directory");
	assert_int_equal(ul_remove_tree(lower.fd, UL_LOWER_NAMES), 0);
	put(UL_LOWER_NAMES, "", 0);
	assert_bad(false, UL_E_CHECK, UL_LOWER_NAMES ": Not a directory");
	/* An older image of ours. */
	assert_int_equal(unlinkat(lower.fd, UL_LOWER_NAMES, 0), 0);
	assert_int_equal(check(false, &result, NULL), 0);
	assert_false(result.names);
	ul_judged_free(&result.judged);
}

static void manifest(void **state)
{
	(void)state;
	seal.d.manifest_hash[5] ^= 1;
	assert_bad(false, UL_E_MANIFEST, "not the one of the signed descriptor");
	seal.d.manifest_hash[5] ^= 1;
	seal.d.has_manifest = 0;
	assert_bad(false, UL_E_MANIFEST, "not the one of the signed descriptor");
	put(UL_LOWER_MANIFEST, "nonsense", 8);
	assert_bad(false, UL_E_MANIFEST, UL_LOWER_MANIFEST);
}

static void image_info(void **state)
{
	(void)state;
	info.version = (char *)"1.3";
	put_info();
	assert_bad(false, UL_E_IMAGE_INFO, "name and version");
	info.version = (char *)"1.2";
	info.paths = 3;
	put_info();
	assert_bad(false, UL_E_IMAGE_INFO, "number of paths");
	info.paths = 2;
	info.system = (char *)"/nix/store/0123456789abcdfghijklmnpqrsvwxyz-other";
	put_info();
	assert_bad(false, UL_E_NO_SYSTEM, "-other/init: No such file");
	assert_int_equal(ul_mkdir_parents(lower.fd, &info.system[1], 0755), 0);
	put("nix/store/0123456789abcdfghijklmnpqrsvwxyz-other/init", "", 0);
	assert_int_equal(fchmodat(lower.fd, "nix/store/0123456789abcdfghijklmnpqrsvwxyz-other/init", 0755, 0), 0);
	assert_bad(false, UL_E_NO_SYSTEM, "not in the manifest");
	info.system = (char *)SYSTEM;
	put_info();
	assert_int_equal(ul_remove_tree(lower.fd, &SYSTEM[1]), 0);
	assert_bad(false, UL_E_NO_SYSTEM, SYSTEM "/init: No such file");
	put(UL_LOWER_INFO, "{}", 2);
	assert_bad(false, UL_E_IMAGE_INFO, "");
	assert_int_equal(unlinkat(lower.fd, UL_LOWER_INFO, 0), 0);
	assert_bad(false, UL_E_IMAGE_INFO, UL_LOWER_INFO);
}

static void database(void **state)
{
	struct ul_builder *b = ul_builder_new("/nix/store");
	struct ul_buffer bytes = {0};

	(void)state;
	add(b, DATA, NULL);
	assert_int_equal(ul_builder_finish(b, &bytes, NULL), 0);
	ul_builder_free(b);
	build_database(&bytes);
	ul_buffer_free(&bytes);
	assert_bad(false, UL_E_CHECK, SYSTEM " is in the manifest and not in the database");
	assert_int_equal(unlinkat(lower.fd, UL_LOWER_DB "/db.sqlite", 0), 0);
	assert_bad(false, UL_E_DATABASE, "No such file");
}

static void store(void **state)
{
	(void)state;
	put(&(SYSTEM "/init")[1], "#!/bin/no\n", 10);
	assert_good(false);
	assert_bad(true, UL_E_CHECK, "its contents differ from the manifest");
	put(&(SYSTEM "/init")[1], "#!/bin/sh\n", 10);
	put(&(SYSTEM "x")[1], "", 0); /* a file, which needs no name in the names layer */
	assert_bad(true, UL_E_CHECK, "it is in the store, but not in the manifest");
	assert_int_equal(ul_remove_tree(lower.fd, &(SYSTEM "x")[1]), 0);
	assert_int_equal(ul_remove_tree(lower.fd, &DATA[1]), 0);
	assert_bad(true, UL_E_CHECK, "it is in the manifest, but not in the store");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(good, make_lower, remove_lower),
		cmocka_unit_test_setup_teardown(no_system, make_lower, remove_lower),
		cmocka_unit_test_setup_teardown(foreign, make_lower, remove_lower),
		cmocka_unit_test_setup_teardown(names, make_lower, remove_lower),
		cmocka_unit_test_setup_teardown(manifest, make_lower, remove_lower),
		cmocka_unit_test_setup_teardown(image_info, make_lower, remove_lower),
		cmocka_unit_test_setup_teardown(database, make_lower, remove_lower),
		cmocka_unit_test_setup_teardown(store, make_lower, remove_lower),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
