/* What a persistent upper says of itself (lower.json): any bytes are an identity, or none. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "dbgen/reconcile/marks.h"
#include "tests/fuzz/fuzz.h"

const struct fuzz_memory fuzz_memory = {.fixed = 128 << 10, .per_byte = 700};

static char dir[] = "/dev/shm/underlay-fuzz-XXXXXX";

static void forget(void)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/lower.json", dir);
	(void)unlink(path);
	(void)rmdir(dir);
}

/* The ranges are in order and apart, so that a look among them finds an id that is there. */
static void check_ids(const struct ul_id_ranges *ids)
{
	FUZZ_WANT(ids->n <= UL_ID_RANGES_MAX && (ids->known || ids->n == 0));
	for (size_t i = 0; i < ids->n; i++) {
		FUZZ_WANT(ids->at[i].start > (i > 0 ? ids->at[i - 1].end : 0) && ids->at[i].end > ids->at[i].start);
		FUZZ_WANT(ul_id_ranges_has(ids, ids->at[i].start) && !ul_id_ranges_has(ids, ids->at[i].end));
	}
}

void fuzz_one(const uint8_t *data, size_t len)
{
	static int dirfd = -1, fd;
	struct ul_reconcile_report report = {0};
	struct ul_reconcile_options o = {.upper_path = dir};
	struct ul_error err = {0};
	struct ul_marks marks = {.known = false};
	struct ul_upper_dir upper;

	if (dirfd < 0) {
		FUZZ_WANT(mkdtemp(dir) != NULL);
		dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		fd = openat(dirfd, "lower.json", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		FUZZ_WANT(dirfd >= 0 && fd >= 0);
		(void)atexit(forget);
	}
	o.upper_fd = dirfd;
	FUZZ_WANT(ftruncate(fd, 0) == 0 && ul_pwrite_full(fd, data, len, 0) == 0);
	ul_upper_dir_init(&upper, &o, &report, &err);
	FUZZ_WANT(ul_marks_read(&upper, &marks) == 0 && err.code == 0);
	FUZZ_WANT(memchr(marks.identity, '\0', sizeof(marks.identity)) != NULL);
	check_ids(&marks.upper_ids);
}
