/*
 * A row that was saved on the upper (dbgen/reconcile/saved_row.h): any bytes are one that can be written and is read
 * back as it was, or none.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "dbgen/manifest/text.h"
#include "dbgen/reconcile/saved_row.h"
#include "tests/fuzz/fuzz.h"

const struct fuzz_memory fuzz_memory = {.fixed = 192 << 10, .per_byte = 700};

#define BASE  "00000000000000000000000000000000-x"
#define AGAIN "11111111111111111111111111111111-y"

static char dir[] = "/dev/shm/underlay-fuzz-XXXXXX";

static void forget(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/" UL_SAVED_ROW_PREFIX BASE, dir);
	(void)unlink(path);
	snprintf(path, sizeof(path), "%s/" UL_SAVED_ROW_PREFIX AGAIN, dir);
	(void)unlink(path);
	(void)rmdir(dir);
}

static void check_text(const char *text)
{
	FUZZ_WANT(!text || (*text && ul_text_clean(text, strlen(text))));
}

static void check_same_text(const char *a, const char *b)
{
	FUZZ_WANT(!a == !b && (!a || !strcmp(a, b)));
}

static void check_same_names(const struct ul_names *a, const struct ul_names *b)
{
	FUZZ_WANT(a->n == b->n);
	for (size_t i = 0; i < a->n; i++)
		FUZZ_WANT(!strcmp(a->at[i], b->at[i]));
}

static void check(int dirfd, const struct ul_saved_row *row)
{
	struct ul_saved_row again;
	uint8_t digest[UL_DIGEST_SIZE];
	uint64_t left = UL_SAVED_ROW_MAX;

	check_text(row->deriver);
	check_text(row->sigs);
	check_text(row->ca);
	FUZZ_WANT(row->registered >= 0 && row->outputs.n % 2 == 0);
	for (size_t i = 0; i < row->refs.n; i++)
		FUZZ_WANT(ul_store_base_parse(row->refs.at[i], strlen(row->refs.at[i]), digest));
	for (size_t i = 0; i < row->outputs.n; i++)
		check_text(row->outputs.at[i]);
	FUZZ_WANT(ul_saved_row_write(dirfd, AGAIN, row) == 1);
	FUZZ_WANT(ul_saved_row_read(dirfd, AGAIN, &left, &again) == 1);
	FUZZ_WANT(!memcmp(row->nar_hash, again.nar_hash, sizeof(row->nar_hash)) && row->nar_size == again.nar_size &&
		  row->registered == again.registered && row->ultimate == again.ultimate);
	check_same_text(row->deriver, again.deriver);
	check_same_text(row->sigs, again.sigs);
	check_same_text(row->ca, again.ca);
	check_same_names(&row->refs, &again.refs);
	check_same_names(&row->outputs, &again.outputs);
	ul_saved_row_free(&again);
}

void fuzz_one(const uint8_t *data, size_t len)
{
	static int dirfd = -1, fd;
	uint64_t left = UL_SAVED_ROW_MAX;
	struct ul_saved_row row;
	int r;

	if (dirfd < 0) {
		FUZZ_WANT(mkdtemp(dir) != NULL);
		dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		fd = openat(dirfd, UL_SAVED_ROW_PREFIX BASE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		FUZZ_WANT(dirfd >= 0 && fd >= 0);
		(void)atexit(forget);
	}
	FUZZ_WANT(ftruncate(fd, 0) == 0 && ul_pwrite_full(fd, data, len, 0) == 0);
	r = ul_saved_row_read(dirfd, BASE, &left, &row);
	FUZZ_WANT(r == 0 || r == 1);
	if (r == 1)
		check(dirfd, &row);
	ul_saved_row_free(&row);
}
