/* Registration text: records of lines, as `nix-store --dump-db` prints and `--load-db` reads them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/block.h"
#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/config.h"
#include "common/vector.h"
#include "dbgen/exchange/import.h"
#include "dbgen/store/hash_text.h"

static const char what[] = "reading the registration";

struct reader {
	struct ul_block block; /* it holds the longest line that is believed: Nix's have less than 1,000 bytes */
	unsigned long line;
	const char *name;
	struct ul_buffer texts;     /* of one record, each terminated */
	UL_VECTOR(size_t) refs;     /* offsets in texts */
	UL_VECTOR(const char *) to; /* the same as pointers, once no more text is to come */
	bool bad;                   /* the record can be read, but not used: *err says why */
	struct ul_error *err;
};

static int refuse(const struct reader *r, const char *why)
{
	return ul_error_set(r->err, UL_E_INPUT, what, r->name, "Give what `nix-store --dump-db` or closureInfo wrote.",
			    "line %lu: %s", r->line, why);
}

/* Note the record's first defect; the lines behind it are read all the same. */
static void find_bad(struct reader *r, const char *why)
{
	if (!r->bad)
		(void)refuse(r, why);
	r->bad = true;
}

static int fill(struct reader *r)
{
	int res = ul_block_fill(&r->block);

	return res < 0 ? ul_error_errno(r->err, UL_E_SYSTEM, what, r->name, NULL, -res) : 0;
}

/* 1: there is a byte more, 0: the text has ended, negative: failure. */
static int has_more(struct reader *r)
{
	int res = 0;

	while (res == 0 && r->block.at == r->block.len && !r->block.ended)
		res = fill(r);
	return res < 0 ? res : r->block.at < r->block.len;
}

/* The next line, terminated, valid until the next call. */
static int next_line(struct reader *r, char **ret)
{
	struct ul_block *b = &r->block;
	char *end = NULL;
	int res;

	r->line++;
	while (!(end = memchr(b->bytes + b->at, '\n', b->len - b->at))) {
		if (b->ended)
			return refuse(r, "it is cut off here");
		if (b->at == 0 && b->len == UL_BLOCK_SIZE)
			return refuse(r, "the line is longer than any that Nix writes");
		res = fill(r);
		if (res < 0)
			return res;
	}
	*end = '\0';
	*ret = b->bytes + b->at;
	b->at = (size_t)(end - b->bytes) + 1;
	if (strlen(*ret) != (size_t)(end - *ret))
		find_bad(r, "it holds a NUL byte");
	return 0;
}

/* The next line, as an offset in r->texts. */
static int keep_line(struct reader *r, size_t *ret_offset)
{
	size_t offset = r->texts.len;
	char *line;
	int res = next_line(r, &line);

	if (res < 0)
		return res;
	*ret_offset = offset;
	return ul_buffer_append(&r->texts, line, strlen(line) + 1) < 0 ? ul_error_nomem(r->err, what) : 0;
}

static int read_hash(struct reader *r, struct ul_path_info *info)
{
	char *hash;
	int res = next_line(r, &hash);

	if (res < 0)
		return res;
	if (*hash == '\0' || *hash == '/')
		return refuse(r, "it gives no NAR hash (as `nix-store --register-validity` reads "
				 "it without --hash-given), and a manifest needs one");
	if (!ul_sha256_parse(hash, strlen(hash), info->nar_hash))
		find_bad(r, "the NAR hash is not a SHA-256 hash");
	return 0;
}

static int read_size(struct reader *r, struct ul_path_info *info)
{
	char *line;
	int res = next_line(r, &line);

	if (res == 0 && (!ul_parse_number(line, &info->nar_size) || info->nar_size > INT64_MAX))
		find_bad(r, "the NAR size is not a number from 0 to 2^63 - 1");
	return res;
}

/* Without a count that can be believed nobody knows where the next record begins. */
static int read_refs(struct reader *r)
{
	uint64_t n = 0;
	char *line;
	int res = next_line(r, &line);

	if (res == 0 && (!ul_parse_number(line, &n) || n > UINT32_MAX))
		return refuse(r, "the number of references is not a number below 2^32");
	r->refs.n = 0;
	for (uint64_t i = 0; i < n && res == 0; i++) {
		size_t offset = 0;

		res = keep_line(r, &offset);
		if (res == 0 && ul_vector_push(&r->refs, offset) < 0)
			res = ul_error_nomem(r->err, what);
	}
	return res;
}

/* Add a path whose texts are in place; the path itself is the first of them. */
static int add(struct reader *r, struct ul_builder *b, struct ul_path_info *info, size_t deriver)
{
	const char *texts = (const char *)r->texts.data;
	int res = -UL_E_INPUT;

	info->path = texts;
	if (!r->bad) {
		r->to.n = 0;
		if (ul_vector_reserve(&r->to, r->refs.n) < 0)
			return ul_error_nomem(r->err, what);
		for (size_t i = 0; i < r->refs.n; i++)
			r->to.at[r->to.n++] = texts + r->refs.at[i];
		info->deriver = texts + deriver;
		info->refs = r->to.at;
		info->n_refs = r->to.n;
		res = ul_builder_add(b, info, r->err);
	}
	return res < 0 ? ul_builder_put_aside(b, info->path, r->err) : 0;
}

static int read_record(struct reader *r, struct ul_builder *b)
{
	struct ul_path_info info = {.path = NULL};
	size_t path, deriver = 0;
	int res;

	r->texts.len = 0;
	r->bad = false;
	res = keep_line(r, &path);
	if (res == 0)
		res = read_hash(r, &info);
	if (res == 0)
		res = read_size(r, &info);
	if (res == 0)
		res = keep_line(r, &deriver);
	if (res == 0)
		res = read_refs(r);
	return res < 0 ? res : add(r, b, &info, deriver);
}

int ul_import_registration(struct ul_builder *b, FILE *in, const char *name, struct ul_error *err)
{
	struct ul_error ignored = {0};
	struct reader r = {.name = name, .err = err ? err : &ignored};
	int res = ul_block_open(&r.block, in) == 0 ? 1 : ul_error_nomem(err, what);

	while (res > 0 && (res = has_more(&r)) > 0) {
		res = read_record(&r, b);
		res = res < 0 ? res : 1;
	}
	ul_block_close(&r.block);
	ul_buffer_free(&r.texts);
	ul_vector_free(&r.refs);
	ul_vector_free(&r.to);
	return res;
}
