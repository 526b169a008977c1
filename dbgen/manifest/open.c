/* Opening a manifest: header and index are checked here, so that later offsets need no check. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "dbgen/store/checksum.h"
#include "dbgen/manifest/internal.h"
#include "dbgen/store/store_path.h"

static const char what[] = "reading the manifest";

#define HASH_BLOCK ((size_t)1 << 16) /* bytes that are read at once */

static const char remake[] = "Make it again with `underlay manifest create`.";

static bool entry_lengths_sane(const struct ul_section_entry *e)
{
	uint64_t justified = UL_MANIFEST_FREE_RAW + (uint64_t)e->stored_len * UL_MANIFEST_MAX_RATIO;

	return e->raw_len <= UL_MANIFEST_MAX_RAW && e->stored_len <= e->raw_len && e->raw_len <= justified;
}

/* Whether the sections of batch k have lengths that fit its paths; adds up what they take. */
static int check_batch_row(struct ul_manifest *m, uint32_t k, uint64_t *end, uint64_t *n_refs, struct ul_error *err)
{
	const uint8_t *row = m->index + (size_t)k * UL_MANIFEST_INDEX;
	uint32_t n = ul_manifest_batch_n(m, k);
	uint64_t refs = ul_get_le64(row);
	struct ul_section_entry e[UL_SECTION_COUNT];
	bool sane = true;

	m->batch_offset[k] = *end;
	for (unsigned int s = 0; s < UL_SECTION_COUNT; s++) {
		e[s] = ul_section_entry_parse(row + 8 + (size_t)s * UL_MANIFEST_ENTRY);
		sane &= entry_lengths_sane(&e[s]);
		*end += e[s].stored_len; /* 2^28 * 2^16 * 8 stays far from 2^64 */
	}
	/*
	 * Sections that are stored as they are have the same length both ways; in each of the others a path takes at
	 * least one byte.
	 */
	sane &= e[UL_SECTION_DIGEST].stored_len == n * UL_DIGEST_SIZE;
	sane &= e[UL_SECTION_DIGEST].raw_len == n * UL_DIGEST_SIZE;
	sane &= e[UL_SECTION_NAR_HASH].stored_len == n * UL_NAR_HASH_SIZE;
	sane &= e[UL_SECTION_NAR_HASH].raw_len == n * UL_NAR_HASH_SIZE;
	sane &= e[UL_SECTION_DERIVER].raw_len == e[UL_SECTION_DERIVER].stored_len;
	sane &= e[UL_SECTION_DERIVER].raw_len % UL_DIGEST_SIZE == 0;
	sane &= e[UL_SECTION_SIG].raw_len == e[UL_SECTION_SIG].stored_len;
	sane &= e[UL_SECTION_SIG].raw_len % UL_MANIFEST_SIG == 0;
	sane &= e[UL_SECTION_NAR_SIZE].raw_len >= n && e[UL_SECTION_NAME].raw_len >= 2 * n;
	sane &= e[UL_SECTION_META].raw_len >= n && e[UL_SECTION_REFS].raw_len >= n;
	sane &= refs <= UL_MANIFEST_MAX_RAW && refs + n <= e[UL_SECTION_REFS].raw_len;
	*n_refs += refs;
	if (!sane || *end > m->len)
		return ul_manifest_bad(m, err, "batch %u: invalid lengths in the index, for %u paths", k, n);
	return 0;
}

static int check_index(struct ul_manifest *m, uint64_t head_len, struct ul_error *err)
{
	uint64_t end = head_len + (uint64_t)m->n_batches * UL_MANIFEST_INDEX, n_refs = 0;
	int r = 0;

	if (!m->head || end > m->len)
		return ul_manifest_bad(m, err, "it ends within its index");
	m->index = m->head + head_len;
	if (ul_checksum(m->index, end - head_len) != ul_get_le64(m->head + UL_HEAD_INDEX_SUM))
		return ul_manifest_bad(m, err, "the checksum of the index is wrong");
	m->batch_offset = calloc((size_t)m->n_batches + 1, sizeof(*m->batch_offset));
	if (!m->batch_offset)
		return ul_error_nomem(err, what);
	for (uint32_t k = 0; k < m->n_batches && r == 0; k++)
		r = check_batch_row(m, k, &end, &n_refs, err);
	if (r < 0)
		return r;
	m->batch_offset[m->n_batches] = end;
	for (unsigned int t = 0; t < 2; t++) {
		m->tail[t].offset = end;
		end += m->tail[t].stored_len;
		if (!entry_lengths_sane(&m->tail[t]))
			return ul_manifest_bad(m, err, "invalid lengths of the %s: %u bytes that unpack to %u",
					       t == 0 ? "derivation outputs" : "realisations", m->tail[t].stored_len,
					       m->tail[t].raw_len);
	}
	if (end != m->len || n_refs != m->n_refs)
		return ul_manifest_bad(m, err,
				       "its parts have %llu bytes and %llu references, its header says %llu and %llu",
				       (unsigned long long)end, (unsigned long long)n_refs, (unsigned long long)m->len,
				       (unsigned long long)m->n_refs);
	return 0;
}

static int check_header(struct ul_manifest *m, uint64_t *ret_head_len, struct ul_error *err)
{
	const uint8_t *d = m->head;
	ul_autofree uint8_t *copy = NULL;
	uint64_t head_len, dir_len, sum;
	uint8_t padding = 0;

	if (!d || m->len < UL_MANIFEST_HEAD || memcmp(d, UL_MANIFEST_MAGIC, 8) != 0)
		return ul_manifest_bad(m, err, m->len ? "it is not a manifest" : "it is empty");
	if (ul_get_le32(d + UL_HEAD_VERSION) > UL_MANIFEST_VERSION)
		return ul_error_set(err, UL_E_VERSION, what, m->name, "Use the Underlay that made it, or a newer one.",
				    "its format has version %u, this program knows up to %u",
				    ul_get_le32(d + UL_HEAD_VERSION), UL_MANIFEST_VERSION);
	head_len = ul_get_le32(d + UL_HEAD_LEN);
	dir_len = ul_get_le32(d + UL_HEAD_DIR_LEN);
	if (dir_len > UL_STORE_DIR_MAX || head_len > m->len || head_len != (UL_MANIFEST_HEAD + dir_len + 7) / 8 * 8)
		return ul_manifest_bad(m, err, "its header is damaged");
	copy = malloc(head_len);
	if (!copy)
		return ul_error_nomem(err, what);
	memcpy(copy, d, head_len);
	ul_put_le64(copy + UL_HEAD_SUM, 0);
	sum = ul_checksum(copy, head_len);
	if (sum != ul_get_le64(d + UL_HEAD_SUM))
		return ul_manifest_bad(m, err, "its header is damaged");
	m->store_dir = strndup((const char *)d + UL_MANIFEST_HEAD, dir_len);
	if (!m->store_dir)
		return ul_error_nomem(err, what);
	if (ul_get_le32(d + UL_HEAD_VERSION) == 0)
		return ul_manifest_bad(m, err, "invalid header: the format has no version 0");
	if (strlen(m->store_dir) != dir_len || !ul_store_dir_valid(m->store_dir))
		return ul_manifest_bad(m, err, "invalid store directory \"%s\" in its header", m->store_dir);
	for (uint64_t i = UL_MANIFEST_HEAD + dir_len; i < head_len; i++)
		padding |= d[i];
	if (ul_get_le32(d + UL_HEAD_ZERO) != 0 || padding != 0)
		return ul_manifest_bad(m, err, "invalid header: what must be zero in it is not");
	*ret_head_len = head_len;
	return 0;
}

static int check_counts(struct ul_manifest *m, struct ul_error *err)
{
	const uint8_t *d = m->head;

	if (!d)
		return ul_manifest_bad(m, err, "it is empty");
	m->n_paths = ul_get_le32(d + UL_HEAD_N_PATHS);
	m->n_batches = ul_get_le32(d + UL_HEAD_N_BATCHES);
	m->n_refs = ul_get_le64(d + UL_HEAD_N_REFS);
	m->n_drv_outputs = ul_get_le32(d + UL_HEAD_N_DRV_OUTPUTS);
	m->n_realisations = ul_get_le32(d + UL_HEAD_N_REALISATIONS);
	m->tail[0] = ul_section_entry_parse(d + UL_HEAD_DRV_OUTPUTS);
	m->tail[1] = ul_section_entry_parse(d + UL_HEAD_REALISATIONS);
	if (ul_get_le64(d + UL_HEAD_FILE_LEN) > m->len)
		return ul_manifest_bad(m, err, "it is cut off: %llu of %llu bytes are there",
				       (unsigned long long)m->len,
				       (unsigned long long)ul_get_le64(d + UL_HEAD_FILE_LEN));
	if (ul_get_le64(d + UL_HEAD_FILE_LEN) != m->len)
		return ul_manifest_bad(m, err, "more bytes follow its end");
	/* A record of the tail takes four bytes and more. */
	if (m->n_paths > UL_MANIFEST_MAX_PATHS ||
	    m->n_batches != (m->n_paths + UL_MANIFEST_BATCH - 1) / UL_MANIFEST_BATCH)
		return ul_manifest_bad(m, err, "invalid counts in its header: %u paths in %u batches", m->n_paths,
				       m->n_batches);
	if (m->n_drv_outputs > m->tail[0].raw_len / 4 || m->n_realisations > m->tail[1].raw_len / 4)
		return ul_manifest_bad(m, err, "invalid counts in its header: %u derivation outputs, %u realisations",
				       m->n_drv_outputs, m->n_realisations);
	return 0;
}

/* Takes over *from, also where that fails. */
static int open_named(const struct ul_manifest *from, const char *name, struct ul_manifest **ret, struct ul_error *err)
{
	struct ul_manifest *m = calloc(1, sizeof(*m));
	uint64_t head_len = 0;
	int r;

	if (!m) {
		free(from->owned_head);
		if (from->fd >= 0)
			close(from->fd);
		return ul_error_nomem(err, what);
	}
	*m = *from;
	pthread_mutex_init(&m->lock, NULL);
	m->name = strdup(name);
	r = m->name ? check_header(m, &head_len, err) : ul_error_nomem(err, what);
	if (r == 0)
		r = check_counts(m, err);
	if (r == 0)
		r = check_index(m, head_len, err);
	if (r < 0) {
		ul_manifest_close(m);
		return r;
	}
	*ret = m;
	return 0;
}

int ul_manifest_open_memory(const void *data, size_t len, struct ul_manifest **ret, struct ul_error *err)
{
	const struct ul_manifest m = {.data = data, .head = data, .len = len, .fd = -1};

	return open_named(&m, "manifest", ret, err);
}

/* Bytes of header and index, by a header that nobody has checked yet: never more than the file has. */
static size_t head_and_index(const uint8_t *header, uint64_t file_len)
{
	uint64_t head = ul_get_le32(header + UL_HEAD_LEN);
	uint64_t all = head + (uint64_t)ul_get_le32(header + UL_HEAD_N_BATCHES) * UL_MANIFEST_INDEX;

	return (size_t)(all < file_len ? all : file_len);
}

/* Read what lies in front of the batches. */
static int read_head(struct ul_manifest *m, const char *path, struct ul_error *err)
{
	uint8_t header[UL_MANIFEST_HEAD] = {0};
	size_t first = m->len < sizeof(header) ? (size_t)m->len : sizeof(header), all;
	int r = ul_pread_full(m->fd, header, first, 0);

	all = r == 0 && memcmp(header, UL_MANIFEST_MAGIC, 8) == 0 ? head_and_index(header, m->len) : first;
	if (all < first)
		all = first;
	/* One byte more, so that there is one for an empty file too. */
	m->owned_head = r == 0 ? malloc(all + 1) : NULL;
	if (r == 0 && !m->owned_head)
		return ul_error_nomem(err, what);
	if (r == 0)
		r = ul_pread_full(m->fd, m->owned_head, all, 0);
	m->head = m->owned_head;
	return r < 0 ? ul_error_errno_of_lower(err, UL_E_MANIFEST, what, path, NULL, -r) : 0;
}

int ul_manifest_open_file(int dirfd, const char *path, struct ul_manifest **ret, struct ul_error *err)
{
	ul_autoclose int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct ul_manifest m = {.fd = fd};
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return ul_error_errno_of_lower(err, UL_E_SYSTEM, what, path, NULL, errno);
	if (!S_ISREG(st.st_mode))
		return ul_error_set(err, UL_E_MANIFEST, what, path, remake, "it is not a regular file");
	m.len = (uint64_t)st.st_size;
	r = read_head(&m, path, err);
	if (r < 0) {
		free(m.owned_head);
		return r;
	}
	(void)ul_steal_fd(&fd);
	return open_named(&m, path, ret, err);
}

void ul_manifest_close(struct ul_manifest *m)
{
	if (!m)
		return;
	ul_batch_reader_free(m->find_reader);
	free(m->tables.drv_outputs);
	free(m->tables.drv_output_texts);
	free(m->tables.realisations);
	free(m->tables.realisation_refs);
	free(m->tables.realisation_texts);
	free(m->batch_offset);
	free(m->store_dir);
	free(m->name);
	free(m->owned_head);
	if (m->fd >= 0)
		close(m->fd);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

const char *ul_manifest_store_dir(const struct ul_manifest *m)
{
	return m->store_dir;
}

uint32_t ul_manifest_n_paths(const struct ul_manifest *m)
{
	return m->n_paths;
}

uint64_t ul_manifest_n_refs(const struct ul_manifest *m)
{
	return m->n_refs;
}

uint32_t ul_manifest_n_batches(const struct ul_manifest *m)
{
	return m->n_batches;
}

uint64_t ul_manifest_sum(const struct ul_manifest *m)
{
	return ul_get_le64(m->head + UL_HEAD_SUM);
}

int ul_manifest_copy(const struct ul_manifest *m, struct ul_buffer *ret, struct ul_error *err)
{
	int r;

	if (m->len > SIZE_MAX || ul_buffer_reserve(ret, (size_t)m->len) < 0)
		return ul_error_nomem(err, what);
	r = ul_manifest_read(m, ret->data + ret->len, (size_t)m->len, 0, err);
	if (r == 0)
		ret->len += (size_t)m->len;
	return r;
}

static int hash_all(const struct ul_manifest *m, EVP_MD_CTX *ctx, uint8_t ret[32], struct ul_error *err)
{
	ul_autofree uint8_t *block = malloc(HASH_BLOCK);
	bool good = block && ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;
	int r = 0;

	for (uint64_t at = 0; good && r == 0 && at < m->len;) {
		size_t n = m->len - at < HASH_BLOCK ? (size_t)(m->len - at) : HASH_BLOCK;

		r = ul_manifest_read(m, block, n, at, err);
		good = r < 0 || EVP_DigestUpdate(ctx, block, n) == 1;
		at += n;
	}
	if (r == 0 && !(good && EVP_DigestFinal_ex(ctx, ret, NULL) == 1))
		r = ul_error_nomem(err, what);
	return r;
}

int ul_manifest_hash(const struct ul_manifest *m, uint8_t ret[32], struct ul_error *err)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int r;

	/* Zeros match no descriptor, for whoever did not ask what came of it. */
	memset(ret, 0, 32);
	r = hash_all(m, ctx, ret, err);
	EVP_MD_CTX_free(ctx);
	return r;
}
