/* Flags on the files that a reconcile replaces, where no boot took them off: `underlay db reconcile`. As root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/upper_help.h"

#define U UPPER_NAME

/* An upper that agrees with the lower, whose file gets the flag; then the other lower. */
static void with_flag(struct upper_fixture *f, const char *file)
{
	static const char flags[] = "ia";

	for (int i = 0; i < 4; i++) {
		char command[200];

		upper_run(U, "chattr -R -f -i -a . || true");
		upper_make(U);
		upper_fill(f, (enum ul_reconcile_mode)(i / 2));
		snprintf(command, sizeof(command), "[ -s %s ] && chattr +%c %s", file, flags[i % 2], file);
		upper_run(U, command);
		upper_agree(f, f->other, (enum ul_reconcile_mode)(i / 2));
		upper_run(U, "[ ! -e clean ]");
		upper_shut_down(U);
		/* It says what is so now. */
		upper_agree(f, f->other, (enum ul_reconcile_mode)(i / 2));
		assert_false(f->report.lower_changed);
	}
}

static void clean(void **state)
{
	with_flag(*state, "clean");
}

static void lower_json(void **state)
{
	with_flag(*state, "lower.json");
}

static int teardown(void **state)
{
	upper_run(U, "chattr -R -f -i -a . || true");
	return upper_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(clean, upper_setup, teardown),
		cmocka_unit_test_setup_teardown(lower_json, upper_setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
