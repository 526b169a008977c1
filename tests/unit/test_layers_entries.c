/*
 * What is told of an entry before the join is what there is after it: random layers of every kind of entry, of which
 * each name is asked, then the join itself, then the kept layer.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/buffer.h"
#include "common/cleanup.h"
#include "dbgen/layers/entries.h"
#include "dbgen/layers/join.h"
#include "tests/unit/layers_help.h"
#include "tests/unit/random_store.h"

#define NAMES    24
#define SESSIONS 3

static const char *const kinds[] = {
	"true",
	"echo $l >$n",
	"ln -s $l $n",
	"mknod $n c 0 0",
	"mknod $n c 1 3",
	"mkdir $n && echo >$n/$l",
	"mkdir $n && setfattr -n trusted.overlay.origin $n && echo >$n/$l",
	"mkdir $n && setfattr -n trusted.overlay.opaque -v y $n && echo >$n/$l",
	"mkdir $n && setfattr -n trusted.overlay.opaque -v y $n && setfattr -n trusted.overlay.origin $n",
	"mkdir $n && setfattr -n trusted.overlay.opaque -v yy $n && setfattr -n trusted.overlay.origin $n",
	"mkfifo $n",
};

/* One layer's entries. label: of the layer, which its entries show. */
static void fill(const char *dir, const char *label, uint64_t *seed)
{
	ul_autobuffer struct ul_buffer text = {0};

	assert_int_equal(ul_buffer_printf(&text, "mkdir -p %s && cd %s && l=%s", dir, dir, label), 0);
	for (unsigned int i = 0; i < NAMES; i++) {
		char name[8], command[200];

		snprintf(name, sizeof(name), "n%u", i);
		snprintf(command, sizeof(command), "n=%s && { %s; }", name,
			 kinds[random_next(seed) % UL_ARRAY_SIZE(kinds)]);
		assert_int_equal(ul_buffer_printf(&text, " && %s", command), 0);
	}
	layers_run(ul_buffer_string(&text));
}

struct told {
	int there;
	mode_t type;
	bool partial;
	ino_t ino; /* of one that is whole: the join renames it */
};

static void ask(struct told told[NAMES])
{
	ul_autoclose int up = layers_dir("up");
	struct ul_entries entries;

	assert_int_equal(ul_entries_open(up, &entries), 0);
	for (unsigned int i = 0; i < NAMES; i++) {
		struct ul_entry entry = {0};
		char name[8];
		struct stat st = {0};

		snprintf(name, sizeof(name), "n%u", i);
		told[i].there = ul_entries_find(&entries, name, &entry);
		assert_int_equal(ul_entries_find(&entries, name, NULL), told[i].there);
		if (told[i].there)
			assert_int_equal(fstatat(entry.dirfd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
		assert_int_equal(st.st_mode, entry.mode);
		told[i].type = entry.mode & S_IFMT;
		told[i].partial = entry.partial;
		told[i].ino = st.st_ino;
	}
	ul_entries_close(&entries);
}

static void join(void)
{
	ul_autoclose int up = layers_dir("up"), store = layers_dir("store");
	const struct ul_join job = {.upper_fd = up, .sealed = &store, .n_sealed = 1};
	struct ul_join_report report;
	struct ul_error err = {0};

	if (ul_join_sessions(&job, &report, &err) < 0)
		fail_msg("%s: %s", err.object, err.why);
}

static void told_before_the_join(void **state)
{
	unsigned int partial = 0, there = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct told before[NAMES], after[NAMES];
		uint64_t random = seed;

		layers_run("rm -rf up && mkdir up");
		fill("up/kept", "k", &random);
		for (unsigned int i = 1; i <= 1 + seed % SESSIONS; i++) {
			char dir[80], label[8];

			snprintf(dir, sizeof(dir), "up/sessions/%08u-%016u/up", i, 7 * i % 5);
			snprintf(label, sizeof(label), "s%u", i);
			fill(dir, label, &random);
		}
		ask(before);
		join();
		ask(after);
		for (unsigned int i = 0; i < NAMES; i++) {
			if (before[i].there != after[i].there || before[i].type != after[i].type ||
			    (!before[i].partial && before[i].ino != after[i].ino))
				fail_msg("seed %u, n%u: %d %o, then %d %o", (unsigned int)seed, i, before[i].there,
					 before[i].type, after[i].there, after[i].type);
			assert_false(after[i].partial);
			partial += before[i].partial;
			there += before[i].there > 0;
		}
	}
	/* Each kind came up. */
	assert_true(partial > 50 && there > 500 && there < 60 * NAMES);
}

/* What is in the place of a layer is no layer, and nothing is followed. */
static void odd_layers(void **state)
{
	static const char *const makers[] = {
		"true",
		"ln -s ../real kept",
		"echo >kept",
		"mkfifo kept",
		"ln -s ../real sessions",
		"mkfifo sessions",
		"mkdir sessions; ln -s ../../real sessions/00000001-0123456789abcdef",
		"mkdir -p sessions/00000001-0123456789abcdef; ln -s ../../../real/kept sessions/00000001-0123456789abcdef/up",
		"mkdir -p sessions/00000001-0123456789abcdef; mkfifo sessions/00000001-0123456789abcdef/up",
		"mkdir -p sessions/00000001-0123456789abcdeF/up; echo >sessions/00000001-0123456789abcdeF/up/n0",
		"mkdir -p sessions/1-0123456789abcdef/up; echo >sessions/1-0123456789abcdef/up/n0",
		"mkdir kept; ln -s ../../real/kept/n0 kept/other",
	};

	(void)state;
	layers_run("mkdir -p real/kept real/up && echo >real/kept/n0 && echo >real/up/n0");
	for (size_t i = 0; i < UL_ARRAY_SIZE(makers); i++) {
		struct told told[NAMES];
		char command[600];

		snprintf(command, sizeof(command), "rm -rf up && mkdir up && cd up && { %s; }", makers[i]);
		layers_run(command);
		ask(told);
		for (unsigned int k = 0; k < NAMES; k++)
			if (told[k].there)
				fail_msg("%s", makers[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(told_before_the_join, layers_setup, layers_teardown),
		cmocka_unit_test_setup_teardown(odd_layers, layers_setup, layers_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
