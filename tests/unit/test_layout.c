/* The upper's directories made right, on what somebody may have written. As root. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "initrd/upper/upper.h"
#include "tests/unit/layers_help.h"

/* "up" laid out; the boot holds it. */
static void lay_out(struct ul_boot *b)
{
	struct ul_error err = {0};

	*b = (struct ul_boot){.upper = {.fd = layers_dir("up"), .lock_fd = -1}};
	if (ul_upper_layout(b, &err) != 0)
		fail_msg("%s: %s", err.object, err.why);
}

static void let_go(struct ul_boot *b)
{
	ul_cleanup_close(&b->upper.lock_fd);
	ul_cleanup_close(&b->upper.fd);
}

/* Nobody else changes the upper while the boot does, nor until the system is started. */
static void test_locked(void **state)
{
	struct ul_error err = {0};
	struct ul_boot b;
	int other = -1;

	(void)state;
	lay_out(&b);
	assert_int_equal(ul_upper_lock(b.upper.fd, "/nix/.rw", &other, &err), -UL_E_UPPER);
	layers_sentence(
		&err,
		"locking the upper: /nix/.rw/lock: another program is changing the upper. Wait until it is done.");
	let_go(&b);
	lay_out(&b);
	let_go(&b);
}

/* Every attribute that something would inherit, or read, goes from each layer. */
static void test_attributes(void **state)
{
	struct ul_boot b;

	(void)state;
	layers_run("cd up && mkdir kept sessions trash && setfacl -d -m u:1000:rwx . kept sessions trash && "
		   "setfacl -m u:1000:rwx kept && setfattr -n trusted.overlay.opaque -v y kept sessions && "
		   "setfattr -n trusted.overlay.origin -v y sessions && setfattr -n security.stays -v y trash");
	lay_out(&b);
	layers_print("cd up && getfattr -d -m - . kept sessions trash | grep =", "security.stays=\"y\"\n");
	assert_true(b.upper.n_mended >= 7);
	let_go(&b);
}

/* What has been built stays where it is, whatever builders made in it, and however few files may be open. */
static void test_kept_stays(void **state)
{
	struct rlimit was, few;
	struct ul_boot b;

	(void)state;
	layers_deep("up/kept/.underlay-probe", 3000, "d");
	layers_run("touch up/kept/built up/lower.json");
	getrlimit(RLIMIT_NOFILE, &was);
	few = was;
	few.rlim_cur = 60;
	setrlimit(RLIMIT_NOFILE, &few);
	lay_out(&b);
	setrlimit(RLIMIT_NOFILE, &was);
	assert_int_equal(b.upper.n_mended, 0);
	assert_false(b.upper.kept_lost);
	layers_print("cd up && ls -d kept* lower.json && ls -A kept && ls -A sessions trash",
		     "kept\nlower.json\n.underlay-probe\nbuilt\nsessions:\n\ntrash:\n");
	let_go(&b);
}

/* Where it is not there, or not usable, what lower.json says of it does not hold any more. */
static void test_kept_lost(void **state)
{
	static const char *const ways[] = {"rmdir up/kept", "rmdir up/kept && ln -s / up/kept",
					   "rmdir up/kept && touch up/kept"};
	struct ul_boot b;

	(void)state;
	lay_out(&b);
	assert_false(b.upper.kept_lost);
	let_go(&b);
	for (size_t i = 0; i < UL_ARRAY_SIZE(ways); i++) {
		layers_run(ways[i]);
		layers_run("touch up/lower.json");
		lay_out(&b);
		assert_true(b.upper.kept_lost);
		layers_print("cd up && ls -A kept && ls lower.json 2>/dev/null; true", "");
		let_go(&b);
		lay_out(&b);
		assert_false(b.upper.kept_lost);
		let_go(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_locked, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_attributes, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_kept_stays, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(test_kept_lost, layers_setup, layers_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
