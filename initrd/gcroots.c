#include "initrd/gcroots.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/encoding.h"
#include "common/file.h"

#define WHAT "registering the collector's roots"

static void cleanup_reader(struct ul_batch_reader **r)
{
	ul_batch_reader_free(*r);
}

#define autoreader UL_CLEANUP(cleanup_reader)

/* referenced[i]: another path refers to path i. */
static int mark_referenced(struct ul_manifest *m, struct ul_batch_reader *reader,
			   uint8_t *referenced, struct ul_error *err)
{
	for (uint32_t k = 0; k < ul_manifest_n_batches(m); k++) {
		struct ul_batch batch;
		int r = ul_manifest_read_batch(reader, k, UL_COL_REFS, &batch, err);

		if (r < 0)
			return r;
		for (uint32_t i = 0; i < batch.n; i++)
			for (uint64_t j = batch.ref_off[i]; j < batch.ref_off[i + 1]; j++)
				if (batch.refs[j] != batch.first + i)
					referenced[batch.refs[j]] = 1;
	}
	return 0;
}

/* The digest lies byte-reversed in a batch, so that memory order is path order. */
static void base_name(const struct ul_batch *batch, uint32_t i, char *buf, size_t size)
{
	const struct ul_text_column *name = &batch->name;
	char hash[UL_DIGEST_SIZE * 8 / 5 + 1];
	uint8_t digest[UL_DIGEST_SIZE];

	for (size_t j = 0; j < sizeof(digest); j++)
		digest[j] = batch->digest[(size_t)i * sizeof(digest) + sizeof(digest) - 1 - j];
	ul_nix32_encode(digest, sizeof(digest), hash);
	snprintf(buf, size, "%s-%.*s", hash, (int)(name->off[i + 1] - name->off[i]),
		 name->bytes + name->off[i]);
}

static int link_roots(struct ul_manifest *m, const struct ul_batch *batch,
		      const uint8_t *referenced, int dirfd, uint32_t *n, struct ul_error *err)
{
	char name[UL_DIGEST_SIZE * 8 / 5 + 2 + UL_NAME_MAX], target[PATH_MAX];

	for (uint32_t i = 0; i < batch->n; i++) {
		if (referenced[batch->first + i])
			continue;
		base_name(batch, i, name, sizeof(name));
		snprintf(target, sizeof(target), "%s/%s", ul_manifest_store_dir(m), name);
		if (symlinkat(target, dirfd, name) < 0)
			return ul_error_errno(err, UL_E_SYSTEM, WHAT, name, NULL, errno);
		(*n)++;
	}
	return 0;
}

int ul_gcroots_write(struct ul_manifest *m, int dirfd, const char *dir, uint32_t *ret_n,
		     struct ul_error *err)
{
	autoreader struct ul_batch_reader *reader = ul_batch_reader_new(m);
	ul_autobuffer struct ul_buffer marks = {0};
	size_t n_marks = ul_manifest_n_paths(m);
	ul_autoclose int fd = -1;
	uint32_t n = 0;
	int r;

	if (!reader || ul_buffer_reserve(&marks, n_marks + 1) < 0)
		return ul_error_nomem(err, WHAT);
	memset(marks.data, 0, marks.size);
	r = ul_mkdir_parents(dirfd, dir, 0755);
	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, dir, NULL, -r);
	fd = openat(dirfd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, dir, NULL, errno);
	r = mark_referenced(m, reader, marks.data, err);
	for (uint32_t k = 0; r == 0 && k < ul_manifest_n_batches(m); k++) {
		struct ul_batch batch;

		r = ul_manifest_read_batch(reader, k, UL_COL_NAME, &batch, err);
		if (r == 0)
			r = link_roots(m, &batch, marks.data, fd, &n, err);
	}
	if (r == 0)
		*ret_n = n;
	return r;
}
