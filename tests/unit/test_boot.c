/* The loop over the stages, with stages made for the purpose; and the record it leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/json.h"
#include "initrd/base/boot.h"
#include "initrd/boot/list.h"
#include "initrd/base/log.h"
#include "initrd/boot/run.h"
#include "initrd/report/state.h"

static char ran[1024]; /* the stages that ran, in order */
static int n_slots;    /* how many fake_find has to offer */
static int n_bad;      /* of these the first so many are refused by fake_verify */
static int fail_last;  /* fake_last fails */

static void note(const char *name)
{
	strcat(ran, name);
	strcat(ran, " ");
}

static int fake_first(struct ul_boot *b, struct ul_error *err)
{
	(void)b, (void)err;
	note("first");
	return 0;
}

static int fake_find(struct ul_boot *b, struct ul_error *err)
{
	struct ul_lower *lower = &b->lowers[b->n_lowers];

	note("find");
	if (n_slots-- == 0)
		return ul_error_set(err, UL_E_NO_IMAGE, "looking", NULL, NULL, "none is left");
	b->n_lowers++;
	*lower = (struct ul_lower){.has_slot = true};
	lower->slot.disk = strdup("/dev/vda");
	lower->slot.data.device = strdup("/dev/vda1");
	strcpy(lower->slot.name, "demo");
	snprintf(lower->slot.version, sizeof(lower->slot.version), "%d", n_slots);
	return 0;
}

static int fake_verify(struct ul_boot *b, struct ul_error *err)
{
	(void)b;
	note("verify");
	if (n_bad-- > 0)
		return ul_error_set(err, UL_E_SIGNATURE, "checking", "/dev/vda3", NULL, "bad");
	return 0;
}

static int fake_last(struct ul_boot *b, struct ul_error *err)
{
	(void)b;
	note("last");
	if (fail_last)
		return ul_error_set(err, UL_E_OVERLAY, "mounting", "/nix/store", "Look.", "bad");
	return 0;
}

static const struct ul_stage fakes[] = {
	{"first", fake_first, 0, NULL}, {"pid1", fake_last, UL_STAGE_PID1, NULL},
	{"find", fake_find, 0, NULL},   {"verify", fake_verify, UL_STAGE_SLOT, "find"},
	{"last", fake_last, 0, NULL},   {NULL, NULL, 0, NULL},
};

/* The same, where the list begins with the stage that it goes back to. */
static const struct ul_stage find_first[] = {
	{"find", fake_find, 0, NULL},
	{"verify", fake_verify, UL_STAGE_SLOT, "find"},
	{NULL, NULL, 0, NULL},
};

static int boot_by(const struct ul_stage *stages, struct ul_boot *b, int slots, int bad, int fail, struct ul_error *err)
{
	ran[0] = '\0';
	n_slots = slots;
	n_bad = bad;
	fail_last = fail;
	ul_log_open(NULL, "/dev/null", "/proc");
	ul_boot_init(b);
	return ul_boot_run(b, stages, err);
}

static int boot(struct ul_boot *b, int slots, int bad, int fail, struct ul_error *err)
{
	return boot_by(fakes, b, slots, bad, fail, err);
}

static void test_stages_in_order(void **state)
{
	struct ul_error err;
	struct ul_boot b;

	(void)state;
	assert_int_equal(boot(&b, 1, 0, 0, &err), 0);
	assert_string_equal(ran, "first find verify last ");
	assert_int_equal(b.n_times, 4);
	assert_string_equal(b.times[1].name, "find");
	assert_true(b.times[3].start_us >= b.times[0].start_us);
	ul_boot_free(&b);
}

static void test_refused_slots_make_room(void **state)
{
	struct ul_error err;
	struct ul_boot b;

	(void)state;
	assert_int_equal(boot(&b, 3, 2, 0, &err), 0);
	assert_string_equal(ran, "first find verify find verify find verify last ");
	assert_int_equal(b.n_lowers, 1);
	assert_string_equal(b.lowers[0].slot.version, "0");
	assert_int_equal(b.n_refusals, 2);
	assert_string_equal(b.refusals[0].slot, "demo 2 on /dev/vda1");
	assert_string_equal(b.refusals[0].stage, "verify");
	assert_int_equal(b.refusals[1].err.code, UL_E_SIGNATURE);
	/* One row a stage, whatever its number of runs. */
	assert_int_equal(b.n_times, 4);
	ul_boot_free(&b);
}

static void test_no_slot_left(void **state)
{
	struct ul_error err;
	struct ul_boot b;

	(void)state;
	assert_int_equal(boot(&b, 1, 1, 0, &err), -UL_E_NO_IMAGE);
	assert_string_equal(ran, "first find verify find ");
	assert_string_equal(b.failed_stage, "find");
	assert_int_equal(b.failure.code, UL_E_NO_IMAGE);
	assert_int_equal(b.n_lowers, 0);
	ul_boot_free(&b);
}

/* More refusals than are remembered. */
static void test_many_refusals(void **state)
{
	struct ul_error err;
	struct ul_boot b;

	(void)state;
	assert_int_equal(boot(&b, 40, 39, 0, &err), 0);
	assert_int_equal(b.n_refusals, UL_BOOT_REFUSALS);
	ul_boot_free(&b);
}

static void test_list_begins_with_find(void **state)
{
	struct ul_error err;
	struct ul_boot b;

	(void)state;
	assert_int_equal(boot_by(find_first, &b, 2, 1, 0, &err), 0);
	assert_string_equal(ran, "find verify find verify ");
	ul_boot_free(&b);
}

static int fake_undo(struct ul_boot *b, struct ul_error *err)
{
	(void)b, (void)err;
	note("undo");
	return n_bad-- > 0 ? UL_STAGE_BACK : 0;
}

static void test_stage_goes_back(void **state)
{
	const struct ul_stage stages[] = {
		{"first", fake_first, 0, NULL},
		{"last", fake_last, 0, NULL},
		{"undo", fake_undo, 0, "last"},
		{NULL, NULL, 0, NULL},
	};
	struct ul_error err;
	struct ul_boot b;

	(void)state;
	assert_int_equal(boot_by(stages, &b, 0, 2, 0, &err), 0);
	assert_string_equal(ran, "first last undo last undo last undo ");
	assert_int_equal(b.n_times, 3);
	ul_boot_free(&b);
}

/* A row that names no earlier one has nowhere to go: a failure, not a crash. */
static void test_nowhere_to_go_back(void **state)
{
	const struct ul_stage stages[] = {
		{"undo", fake_undo, 0, "last"},
		{"last", fake_last, 0, NULL},
		{NULL, NULL, 0, NULL},
	};
	struct ul_error err;
	struct ul_boot b;

	(void)state;
	assert_int_equal(boot_by(stages, &b, 0, 1, 0, &err), -UL_E_SYSTEM);
	assert_string_equal(ran, "undo ");
	assert_string_equal(b.failed_stage, "undo");
	ul_boot_free(&b);
}

/* The boot's own list: what a row goes back to stands before it, and a slot can be refused. */
static void test_own_list(void **state)
{
	size_t n = 0;

	(void)state;
	for (const struct ul_stage *s = ul_stages; s->name; s++, n++) {
		const struct ul_stage *back = ul_stages;

		assert_true(!(s->flags & UL_STAGE_SLOT) || s->back);
		while (s->back && back < s && strcmp(back->name, s->back) != 0)
			back++;
		assert_true(!s->back || back < s);
	}
	assert_true(n <= UL_BOOT_STAGES);
}

static struct json_object *state_of(const struct ul_boot *b, const char *result)
{
	struct ul_buffer text = {0};
	struct json_object *obj;
	struct ul_error err;
	const char *why;

	assert_int_equal(ul_state_format(b, result, &text, &err), 0);
	obj = ul_json_parse((const char *)text.data, text.len, &why);
	assert_non_null(obj);
	ul_buffer_free(&text);
	return obj;
}

/* "failure.code" of nested objects; a number is an index. */
static struct json_object *at(struct json_object *obj, const char *path)
{
	char copy[128], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", path);
	for (char *p = strtok_r(copy, ".", &save); p; p = strtok_r(NULL, ".", &save)) {
		if (json_object_is_type(obj, json_type_array))
			obj = json_object_array_get_idx(obj, strtoul(p, NULL, 10));
		else if (!json_object_object_get_ex(obj, p, &obj))
			return NULL;
	}
	return obj;
}

#define TEXT(obj, path) json_object_get_string(at(obj, path))

static void test_state_of_a_failure(void **state)
{
	struct json_object *obj;
	struct ul_error err;
	struct ul_boot b;

	(void)state;
	assert_int_equal(boot(&b, 2, 1, 1, &err), -UL_E_OVERLAY);
	obj = state_of(&b, "failed");
	assert_string_equal(TEXT(obj, "result"), "failed");
	assert_string_equal(TEXT(obj, "failure.stage"), "last");
	assert_string_equal(TEXT(obj, "failure.code"), "29");
	assert_string_equal(TEXT(obj, "failure.name"), "overlay-failed");
	assert_string_equal(TEXT(obj, "failure.sentence"), "mounting: /nix/store: bad. Look.");
	assert_string_equal(TEXT(obj, "failure.todo"), "Look.");
	assert_string_equal(TEXT(obj, "refused.0.slot"), "demo 1 on /dev/vda1");
	assert_string_equal(TEXT(obj, "refused.0.name"), "bad-signature");
	assert_null(at(obj, "database"));
	json_object_put(obj);
	ul_boot_free(&b);
}

static void test_state_of_a_boot(void **state)
{
	struct json_object *obj;
	struct ul_error err;
	struct ul_lower *l;
	struct ul_boot b;

	(void)state;
	assert_int_equal(boot(&b, 1, 0, 0, &err), 0);
	l = &b.lowers[0];
	l->sealed = true;
	l->seal.d.root_hash_len = 32;
	memset(l->seal.d.root_hash, 0x5a, 32);
	l->seal.from_descriptor = true;
	strcpy(l->seal.by.subject, "CN=Test");
	strcpy(l->seal.by.fingerprint, "abcd");
	strcpy(l->seal.kernel_by.issuer, "CN=Maker");
	strcpy(l->seal.kernel_by.serial, "2D");
	l->filesystem = "erofs";
	l->mount = "/nix/.ro";
	l->store = "nix/store";
	l->system = strdup("/nix/store/x-system");
	b.database = UL_DATABASE_ATTACH;
	strcpy(b.database_why, "the policy says so");
	b.database_us = 300;
	b.upper.mounted = true;
	strcpy(b.upper.device, "/dev/vdb1");
	strcpy(b.upper.filesystem, "tmpfs");
	b.upper.fallback = true;
	b.upper.n_mended = 3;
	(void)ul_error_set(&b.upper.why, UL_E_UPPER, "mounting", "/dev/vdb1", "Mend it.", "broken");
	obj = state_of(&b, "booted");
	assert_null(at(obj, "failure"));
	assert_string_equal(TEXT(obj, "format"), "1");
	assert_string_equal(TEXT(obj, "lowers.0.name"), "demo");
	assert_string_equal(TEXT(obj, "lowers.0.verified"), "user");
	assert_string_equal(TEXT(obj, "lowers.0.rootHash"),
			    "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a");
	assert_string_equal(TEXT(obj, "lowers.0.signer.subject"), "CN=Test");
	assert_string_equal(TEXT(obj, "lowers.0.kernelSigner.issuer"), "CN=Maker");
	assert_string_equal(TEXT(obj, "lowers.0.kernelSigner.serial"), "2D");
	assert_string_equal(TEXT(obj, "lowers.0.system"), "/nix/store/x-system");
	assert_string_equal(TEXT(obj, "database.mode"), "attach");
	assert_string_equal(TEXT(obj, "database.us"), "300");
	assert_string_equal(TEXT(obj, "upper.type"), "tmpfs");
	assert_string_equal(TEXT(obj, "upper.filesystem"), "tmpfs");
	assert_string_equal(TEXT(obj, "upper.mended"), "3");
	assert_string_equal(TEXT(obj, "upper.device"), "/dev/vdb1");
	assert_string_equal(TEXT(obj, "upper.fallback"), "mounting: /dev/vdb1: broken. Mend it.");
	assert_string_equal(TEXT(obj, "timeline.stages.0.name"), "first");
	assert_int_equal(json_object_array_length(at(obj, "timeline.stages")), 4);
	json_object_put(obj);
	ul_boot_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stages_in_order),       cmocka_unit_test(test_refused_slots_make_room),
		cmocka_unit_test(test_no_slot_left),          cmocka_unit_test(test_many_refusals),
		cmocka_unit_test(test_list_begins_with_find), cmocka_unit_test(test_stage_goes_back),
		cmocka_unit_test(test_nowhere_to_go_back),    cmocka_unit_test(test_own_list),
		cmocka_unit_test(test_state_of_a_failure),    cmocka_unit_test(test_state_of_a_boot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
