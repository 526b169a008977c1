/* Registration text: records of lines, as `nix-store --dump-db` prints and `--load-db` reads them. */
#include "dbgen/exchange/import.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/config.h"
#include "common/vector.h"
#include "dbgen/store/hash_text.h"

static const char what[] = "reading the registration";

struct reader {
	char *at, *end; /* a copy of the text, in which ends of lines become NULs */
	unsigned long line;
	const char *name;
	UL_VECTOR(const char *) refs;
	struct ul_error *err;
};

static int refuse(const struct reader *r, const char *why)
{
	return ul_error_set(r->err, UL_E_INPUT, what, r->name, "Give what `nix-store --dump-db` or closureInfo wrote.",
			    "line %lu: %s", r->line, why);
}

/* The next line, terminated; NULL (explained): the text ends before it does. */
static char *next_line(struct reader *r)
{
	char *line = r->at, *end;

	r->line++;
	end = line < r->end ? memchr(line, '\n', (size_t)(r->end - line)) : NULL;
	if (!end) {
		(void)refuse(r, "it is cut off here");
		return NULL;
	}
	if (memchr(line, '\0', (size_t)(end - line))) {
		(void)refuse(r, "it holds a NUL byte");
		return NULL;
	}
	*end = '\0';
	r->at = end + 1;
	return line;
}

/* A line that is a decimal number, at most max. */
static int next_number(struct reader *r, uint64_t max, const char *why, uint64_t *ret)
{
	const char *line = next_line(r);
	uint64_t v = 0;

	if (!line)
		return -UL_E_INPUT;
	if (!ul_parse_number(line, &v) || v > max)
		return refuse(r, why);
	*ret = v;
	return 0;
}

static int read_refs(struct reader *r, struct ul_path_info *info)
{
	uint64_t n = 0;
	/* A reference takes more than two bytes, which bounds the count that is believed. */
	int res = next_number(r, (uint64_t)(r->end - r->at) / 2, "the number of references is not possible", &n);

	if (res < 0)
		return res;
	r->refs.n = 0;
	if (ul_vector_reserve(&r->refs, n) < 0)
		return ul_error_nomem(r->err, what);
	for (uint64_t i = 0; i < n; i++) {
		const char *line = next_line(r);

		if (!line)
			return -UL_E_INPUT;
		r->refs.at[r->refs.n++] = line;
	}
	info->refs = r->refs.at;
	info->n_refs = n;
	return 0;
}

static int read_record(struct reader *r, struct ul_builder *b)
{
	struct ul_path_info info = {.path = next_line(r)};
	const char *hash = info.path ? next_line(r) : NULL;
	int res;

	if (!hash)
		return -UL_E_INPUT;
	if (*hash == '\0' || *hash == '/')
		return refuse(r, "it gives no NAR hash (as `nix-store --register-validity` reads "
				 "it without --hash-given), and a manifest needs one");
	if (!ul_sha256_parse(hash, strlen(hash), info.nar_hash))
		return refuse(r, "this is not a SHA-256 hash");
	res = next_number(r, INT64_MAX, "the NAR size is not possible", &info.nar_size);
	if (res < 0)
		return res;
	info.deriver = next_line(r);
	if (!info.deriver)
		return -UL_E_INPUT;
	res = read_refs(r, &info);
	return res < 0 ? res : ul_builder_add(b, &info, r->err);
}

int ul_import_registration(struct ul_builder *b, const char *text, size_t len, const char *name, struct ul_error *err)
{
	ul_autofree char *copy = malloc(len + 1);
	struct reader r = {.at = copy, .name = name, .err = err};
	int res = 0;

	if (!copy)
		return ul_error_nomem(err, what);
	if (len > 0)
		memcpy(copy, text, len);
	r.end = copy + len;
	while (res == 0 && r.at < r.end)
		res = read_record(&r, b);
	ul_vector_free(&r.refs);
	return res;
}
