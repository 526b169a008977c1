/*
 * What must be refused: every truncation and every flipped bit of a manifest, well-sealed manifests
 * with one defect each, and the corpus in tests/rejects/manifest, whose file `expected` tells the
 * sentence of each source.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buffer.h"
#include "common/bytes.h"
#include "common/file.h"
#include "dbgen/store/checksum.h"
#include "dbgen/exchange/import.h"
#include "dbgen/manifest/format.h"
#include "tests/unit/random_store.h"

#define CORPUS "tests/rejects/manifest/"

#define DIR_A "/nix/store/00000000000000000000000000000000-a"
#define DIR_B "/nix/store/11111111111111111111111111111111-b.drv"
#define OUT_A "/nix/store/z4k8v1n9q2w7x3c5m0r6g1h8j2s9d4f7-a"
#define DRV_A "/nix/store/22222222222222222222222222222222-a.drv"

/* Read all of it. 0, or the failure. */
static int read_all(const void *data, size_t len, struct ul_error *err)
{
	struct ul_manifest_totals totals;
	struct ul_manifest *m;
	int r = ul_manifest_open_memory(data, len, &m, err);

	if (r < 0)
		return r;
	r = ul_manifest_count(m, &totals, err);
	ul_manifest_close(m);
	return r;
}

/* The same of a file that holds it, which is cut to `left` bytes once it is open. */
static int read_file(const void *data, size_t len, size_t left, struct ul_error *err)
{
	char path[] = "/tmp/test_manifest.XXXXXX";
	int fd = mkstemp(path), r;
	struct ul_manifest_totals totals;
	struct ul_manifest *m;

	assert_true(fd >= 0);
	assert_int_equal(ul_write_full(fd, data, len), 0);
	r = ul_manifest_open_file(AT_FDCWD, path, &m, err);
	assert_int_equal(ftruncate(fd, (off_t)left), 0);
	if (r == 0) {
		r = ul_manifest_count(m, &totals, err);
		ul_manifest_close(m);
	}
	close(fd);
	unlink(path);
	return r;
}

#define SIXTEEN "AAAAAAAAAAAAAAAA"

/* Two paths, all columns, too small for zstd to gain anything: each section lies as it is. */
static void small(struct ul_buffer *ret)
{
	static const char *const refs[] = {DIR_A, DIR_B};
	struct ul_path_info a = {.path = DIR_A, .nar_size = 120, .refs = refs, .n_refs = 2},
			    b = {.path = DIR_B, .nar_size = 128};
	struct ul_builder *builder = ul_builder_new("/nix/store");
	char sig[] = "k-1:" SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN "AAAAAA==";

	assert_non_null(builder);
	a.deriver = DRV_A;
	a.sigs = sig;
	a.ca = "text:x";
	a.registered = 1;
	b.registered = 1;
	assert_int_equal(ul_builder_add(builder, &a, NULL), 0);
	assert_int_equal(ul_builder_add(builder, &b, NULL), 0);
	assert_int_equal(ul_builder_add_drv_output(builder, DIR_B, "out", OUT_A, NULL), 0);
	assert_int_equal(ul_builder_add_realisation(builder, "sha256:x", "out", DIR_A, NULL, NULL), 0);
	assert_int_equal(ul_builder_finish(builder, ret, NULL), 0);
	ul_builder_free(builder);
}

#define HEAD 120 /* of "/nix/store" */

/* Make all checksums right again, after bytes were changed. */
static void seal(uint8_t *d, size_t len)
{
	size_t at = HEAD + UL_MANIFEST_INDEX, tails[] = {UL_HEAD_DRV_OUTPUTS, UL_HEAD_REALISATIONS};

	for (size_t s = 0; s < UL_SECTION_COUNT + 2; s++) {
		uint8_t *e =
			s < UL_SECTION_COUNT ? d + HEAD + 8 + s * UL_MANIFEST_ENTRY : d + tails[s - UL_SECTION_COUNT];
		uint32_t stored = ul_get_le32(e + 4);

		if (at + stored > len)
			break;
		ul_put_le64(e + 8, ul_checksum(d + at, stored));
		at += stored;
	}
	ul_put_le64(d + UL_HEAD_INDEX_SUM, ul_checksum(d + HEAD, UL_MANIFEST_INDEX));
	ul_put_le64(d + UL_HEAD_SUM, 0);
	ul_put_le64(d + UL_HEAD_SUM, ul_checksum(d, HEAD));
}

/* Where a section's bytes begin; UL_SECTION_COUNT and the next: the tail's. */
static size_t section_at(const uint8_t *d, size_t section)
{
	size_t at = HEAD + UL_MANIFEST_INDEX;

	for (size_t s = 0; s < section; s++)
		at += s < UL_SECTION_COUNT ? ul_get_le32(d + HEAD + 8 + s * UL_MANIFEST_ENTRY + 4)
					   : ul_get_le32(d + UL_HEAD_DRV_OUTPUTS + 4);
	return at;
}

#define IN_HEAD  100
#define IN_INDEX 101
#define TAIL     UL_SECTION_COUNT

/* One defect: `len` bytes at `offset` of a section, of the header or of the index. */
struct defect {
	const char *name;
	size_t section, offset;
	const char *bytes;
	size_t len;
	int code;
	const char *why;
};

#define BYTES(s) (s), sizeof(s) - 1
#define ENTRY(s) (8 + (s)*UL_MANIFEST_ENTRY)

static const struct defect defects[] = {
	{"newer version", IN_HEAD, 8, BYTES("\2"), UL_E_VERSION,
	 "its format has version 2, this program knows up to 1"},
	{"version 0", IN_HEAD, 8, BYTES("\0"), UL_E_MANIFEST, "invalid header: the format has no version 0"},
	{"other magic", IN_HEAD, 0, BYTES("X"), UL_E_MANIFEST, "it is not a manifest"},
	{"reserved field set", IN_HEAD, 92, BYTES("\1"), UL_E_MANIFEST,
	 "invalid header: what must be zero in it is not"},
	{"padding set", IN_HEAD, HEAD - 1, BYTES("\1"), UL_E_MANIFEST,
	 "invalid header: what must be zero in it is not"},
	{"store directory relative", IN_HEAD, 104, BYTES("x"), UL_E_MANIFEST,
	 "invalid store directory \"xnix/store\" in its header"},
	{"store directory climbs", IN_HEAD, 108, BYTES("/../"), UL_E_MANIFEST,
	 "invalid store directory \"/nix/../re\" in its header"},
	{"all paths there can be", IN_HEAD, 16, BYTES("\xff\xff\xff\x0f"), UL_E_MANIFEST,
	 "invalid counts in its header: 268435455 paths in 1 batches"},
	{"more paths, batches as many", IN_HEAD, 16, BYTES("\xff\xff\xff\x0f\0\0\1\0"), UL_E_MANIFEST,
	 "it ends within its index"},
	{"more references than there are", IN_HEAD, 24, BYTES("\xff"), UL_E_MANIFEST,
	 "its parts have 528 bytes and 2 references, its header says 528 and 255"},
	{"file longer than it is", IN_HEAD, 32, BYTES("\xff\xff\xff\xff"), UL_E_MANIFEST, NULL},
	{"file shorter than it is", IN_HEAD, 32, BYTES("\1\0"), UL_E_MANIFEST, "more bytes follow its end"},
	{"absurd derivation outputs", IN_HEAD, 40, BYTES("\xff\xff\xff\xff"), UL_E_MANIFEST,
	 "invalid counts in its header: 4294967295 derivation outputs, 1 realisations"},
	{"absurd realisations", IN_HEAD, 44, BYTES("\xff\xff\xff\xff"), UL_E_MANIFEST,
	 "invalid counts in its header: 1 derivation outputs, 4294967295 realisations"},
	{"one realisation more", IN_HEAD, 44, BYTES("\2"), UL_E_MANIFEST,
	 "invalid realisation 2 of 2: its derivation, name, path, signatures or order"},
	{"no derivation output", IN_HEAD, 40, BYTES("\0"), UL_E_MANIFEST, "bytes follow the derivation outputs"},
	{"absurd references of a batch", IN_INDEX, 0, BYTES("\xff\xff\xff\xff\xff\xff\xff\xff"), UL_E_MANIFEST,
	 "batch 0: invalid lengths in the index, for 2 paths"},
	{"names beyond what is justified", IN_INDEX, ENTRY(UL_SECTION_NAME), BYTES("\0\0\0\x10"), UL_E_MANIFEST,
	 "batch 0: invalid lengths in the index, for 2 paths"},
	{"stored longer than raw", IN_INDEX, ENTRY(UL_SECTION_NAME), BYTES("\4"), UL_E_MANIFEST,
	 "batch 0: invalid lengths in the index, for 2 paths"},
	{"digests of another number of paths", IN_INDEX, ENTRY(UL_SECTION_DIGEST), BYTES("\x3c"), UL_E_MANIFEST,
	 "batch 0: invalid lengths in the index, for 2 paths"},
	{"stored past the end", IN_INDEX, ENTRY(UL_SECTION_REFS), BYTES("\xff\0\0\0\xff"), UL_E_MANIFEST,
	 "batch 0: invalid lengths in the index, for 2 paths"},
	{"no frame", IN_INDEX, ENTRY(UL_SECTION_NAME), BYTES("\x20"), UL_E_MANIFEST, NULL},
	{"digests out of order", UL_SECTION_DIGEST, 0, BYTES("\xff"), UL_E_MANIFEST, "batch 0: paths are out of order"},
	{"slash in a name", UL_SECTION_NAME, 2, BYTES("/"), UL_E_MANIFEST, "path number 0: invalid name \"/\""},
	{"empty name", UL_SECTION_NAME, 0, BYTES("\0\6"), UL_E_MANIFEST, "path number 0: invalid name \"\""},
	{"names longer than their text", UL_SECTION_NAME, 0, BYTES("\2"), UL_E_MANIFEST,
	 "batch 0: the lengths of its names do not add up to its text"},
	{"name of one dot", UL_SECTION_NAME, 2, BYTES("."), UL_E_MANIFEST, "path number 0: invalid name \".\""},
	{"NAR size without an end", UL_SECTION_NAR_SIZE, 1, BYTES("\x80"), UL_E_MANIFEST,
	 "batch 0: its NAR sizes are not one number for each path"},
	{"registration width 3", UL_SECTION_META, 8, BYTES("\3"), UL_E_MANIFEST,
	 "batch 0: invalid registration times: cut off, or not of 0, 1, 2, 4 or 8 bytes each"},
	{"ultimate mode 3", UL_SECTION_META, 9, BYTES("\3"), UL_E_MANIFEST,
	 "batch 0: invalid \"ultimate\" flags: cut off, or not of form 0, 1 or 2"},
	{"deriver kind 4", UL_SECTION_META, 10, BYTES("\4"), UL_E_MANIFEST,
	 "path number 0: invalid deriver: its kind is 4, not 0 to 3"},
	{"no deriver takes the digest", UL_SECTION_META, 10, BYTES("\0"), UL_E_MANIFEST,
	 "batch 0: digests are left over from its derivers"},
	{"255 keys", UL_SECTION_META, 12, BYTES("\xff"), UL_E_MANIFEST,
	 "batch 0: invalid signing keys: 254 at most, with names that are printable and have no space"},
	{"space in a key", UL_SECTION_META, 14, BYTES(" "), UL_E_MANIFEST,
	 "batch 0: invalid signing keys: 254 at most, with names that are printable and have no space"},
	{"signature by a key that is not there", UL_SECTION_META, 17, BYTES("\2"), UL_E_MANIFEST,
	 "path number 0: invalid signature (code 2, of 1 keys)"},
	{"content address longer than its text", UL_SECTION_META, 19, BYTES("\7"), UL_E_MANIFEST,
	 "batch 0: the lengths of its content addresses do not add up to their text"},
	{"bell in a content address", UL_SECTION_META, 21, BYTES("\7"), UL_E_MANIFEST,
	 "path number 0: invalid content address \"\\x07ext:x\""},
	{"reference to path 2 of 2", UL_SECTION_REFS, 3, BYTES("\1"), UL_E_MANIFEST,
	 "path number 0: invalid references: not ascending numbers of 2 paths"},
	{"more references than the index says", UL_SECTION_REFS, 0, BYTES("\3"), UL_E_MANIFEST,
	 "batch 0: it has 3 references, the index says 2"},
	{"reference without an end", UL_SECTION_REFS, 3, BYTES("\x80"), UL_E_MANIFEST,
	 "path number 0: invalid references: not ascending numbers of 2 paths"},
	{"output of a derivation beyond the last", TAIL, 0, BYTES("\2"), UL_E_MANIFEST,
	 "invalid derivation output 1 of 1: its derivation, name or order"},
	{"output without a name", TAIL, 1, BYTES("\0"), UL_E_MANIFEST,
	 "invalid derivation output 1 of 1: its derivation, name or order"},
	{"realisation of path 2 of 2", TAIL + 1, 13, BYTES("\2"), UL_E_MANIFEST,
	 "invalid realisation 1 of 1: its derivation, name, path, signatures or order"},
	{"realisation refers to number 7", TAIL + 1, 15, BYTES("\1"), UL_E_MANIFEST,
	 "realisation 1 of 1: invalid references: not ascending numbers of realisations"},
};

static void apply(const struct defect *d, struct ul_buffer *file)
{
	size_t base = d->section == IN_HEAD ? 0 : d->section == IN_INDEX ? HEAD : section_at(file->data, d->section);

	assert_true(base + d->offset + d->len <= file->len);
	memcpy(file->data + base + d->offset, d->bytes, d->len);
	seal(file->data, file->len);
}

static void sealed_defects(void **state)
{
	struct rusage before, after;

	(void)state;
	getrusage(RUSAGE_SELF, &before);
	for (size_t i = 0; i < sizeof(defects) / sizeof(defects[0]); i++) {
		ul_autobuffer struct ul_buffer file = {0};
		struct ul_error err = {0};

		small(&file);
		assert_int_equal(read_all(file.data, file.len, NULL), 0);
		apply(&defects[i], &file);
		if (read_all(file.data, file.len, &err) != -defects[i].code)
			fail_msg("%s: code %d: %s", defects[i].name, err.code, err.why);
		if (defects[i].why && strcmp(err.why, defects[i].why) != 0)
			fail_msg("%s: \"%s\"", defects[i].name, err.why);
	}
	/* Whatever the counts said: what was allocated followed the few hundred bytes that were there. */
	getrusage(RUSAGE_SELF, &after);
	assert_true(after.ru_maxrss - before.ru_maxrss < 64 * 1024);
}

static void random_manifest(struct ul_buffer *ret)
{
	static const struct random_store_options o = {
		.signed_share = 50, .drv_share = 10, .mean_refs = 4, .realisations = 4, .odd_share = 10};
	struct random_store *s = random_store_new(5, 30, &o);
	struct ul_builder *b = ul_builder_new("/nix/store");

	assert_true(s && b);
	assert_int_equal(random_store_fill(s, b, NULL), 0);
	assert_int_equal(ul_builder_finish(b, ret, NULL), 0);
	ul_builder_free(b);
	random_store_free(s);
}

static void truncated(void **state)
{
	ul_autobuffer struct ul_buffer file = {0};
	struct ul_error err;

	(void)state;
	random_manifest(&file);
	for (size_t len = 0; len < file.len; len++) {
		/* A copy of just that length, so that a sanitizer sees a read past its end. */
		uint8_t *cut = malloc(len + 1);

		assert_non_null(cut);
		memcpy(cut, file.data, len);
		cut = realloc(cut, len ? len : 1);
		assert_int_equal(read_all(cut, len, &err), -UL_E_MANIFEST);
		assert_int_equal(read_file(cut, len, len, &err), -UL_E_MANIFEST);
		free(cut);
	}
}

/* What goes while it is being read is a failure like any other; of a mapping it would be a SIGBUS. */
static void cut_while_open(void **state)
{
	ul_autobuffer struct ul_buffer file = {0};
	struct ul_error err = {0};

	(void)state;
	random_manifest(&file);
	assert_int_equal(read_file(file.data, file.len, file.len, &err), 0);
	assert_int_equal(read_file(file.data, file.len, 0, &err), -UL_E_MANIFEST);
	assert_string_equal(err.why, "it was cut off while it was being read");
	assert_int_equal(read_file(file.data, file.len, file.len - 1, &err), -UL_E_MANIFEST);
}

static void flipped(void **state)
{
	ul_autobuffer struct ul_buffer file = {0};
	struct ul_error err;

	(void)state;
	random_manifest(&file);
	assert_int_equal(read_all(file.data, file.len, &err), 0);
	for (size_t at = 0; at < file.len; at++)
		for (unsigned int bit = 0; bit < 8; bit += 7) {
			int r;

			file.data[at] ^= (uint8_t)(1 << bit);
			r = read_all(file.data, file.len, &err);
			if (r != -UL_E_MANIFEST && r != -UL_E_VERSION)
				fail_msg("bit %u of byte %zu may be flipped", bit, at);
			file.data[at] ^= (uint8_t)(1 << bit);
		}
}

/* One line of the corpus' `expected`: the file, then the reason that its refusal gives. */
static void reject_source(const char *file, const char *why)
{
	struct ul_builder *b = ul_builder_new("/nix/store");
	ul_autobuffer struct ul_buffer made = {0};
	ul_autofclose FILE *text = NULL;
	struct ul_error err = {0};
	char path[128];
	int r;

	assert_non_null(b);
	snprintf(path, sizeof(path), CORPUS "%s", file);
	text = fopen(path, "re");
	assert_non_null(text);
	r = strstr(file, ".json") ? ul_import_path_info(b, text, file, &err)
				  : ul_import_registration(b, text, file, &err);
	if (r == 0)
		r = ul_builder_finish(b, &made, &err);
	if (r != -UL_E_INPUT || strcmp(err.why, why) != 0)
		fail_msg("%s: code %d: %s", file, -r, err.why);
	assert_null(made.data);
	ul_builder_free(b);
}

static void corpus(void **state)
{
	ul_autobuffer struct ul_buffer expected = {0};
	unsigned int n = 0;

	(void)state;
	assert_int_equal(ul_read_file(AT_FDCWD, CORPUS "expected", 1 << 20, &expected), 0);
	assert_non_null(ul_buffer_string(&expected));
	for (char *line = strtok((char *)expected.data, "\n"); line; line = strtok(NULL, "\n")) {
		char *tab = strchr(line, '\t');

		assert_non_null(tab);
		*tab = '\0';
		reject_source(line, tab + 1);
		n++;
	}
	assert_int_equal(n, 31);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sealed_defects), cmocka_unit_test(truncated), cmocka_unit_test(cut_while_open),
		cmocka_unit_test(flipped),        cmocka_unit_test(corpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
