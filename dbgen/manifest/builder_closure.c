/*
 * First the closure, then the rows: what a source holds beside the closure that is wanted is not judged. Its bad rows
 * are put aside as they come, and are an error only where the closure turns out to need them.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "dbgen/manifest/builder_internal.h"
#include "dbgen/store/store_path.h"

static const char what[] = "taking the closure";

/* Notes of one kind, after which the rest is only counted. */
#define NOTES_MAX 5

/* ---- rows put aside ---- */

static const char *keep(struct ul_builder *b, const char *text)
{
	return ul_builder_keep_text(b, text, strlen(text));
}

int ul_builder_put_aside(struct ul_builder *b, const char *path, struct ul_error *err)
{
	struct ul_builder_bad bad = {.entry = UL_NO_RECORD, .code = err->code};
	struct ul_error ignored;

	if (!b->restricted || err->code == UL_E_MEMORY)
		return -(int)err->code;
	if (path && ul_builder_intern(b, path, &bad.entry, &ignored) == -UL_E_MEMORY)
		return ul_error_nomem(err, what);
	/* Several rows of one path, and all rows without a path, are told by the first of them. */
	if (bad.entry == UL_NO_RECORD && b->nameless_bad++ > 0)
		return 0;
	if (bad.entry != UL_NO_RECORD && b->entries.at[bad.entry].bad)
		return 0;
	if (bad.entry != UL_NO_RECORD)
		b->entries.at[bad.entry].bad = true;
	bad.what = keep(b, err->what);
	bad.object = keep(b, err->object);
	bad.why = keep(b, err->why);
	bad.todo = keep(b, err->todo);
	if (!bad.what || !bad.object || !bad.why || !bad.todo || ul_vector_push(&b->bad, bad) < 0)
		return ul_error_nomem(err, what);
	return 0;
}

static bool is_needed(const struct ul_builder *b, uint32_t entry)
{
	return entry != UL_NO_RECORD && b->entries.at[entry].kept;
}

/* The first row that was put aside and is wanted after all. */
static int refuse_needed(const struct ul_builder *b, struct ul_error *err)
{
	for (size_t i = 0; i < b->bad.n; i++) {
		const struct ul_builder_bad *bad = &b->bad.at[i];

		if (is_needed(b, bad->entry))
			return ul_error_set(err, bad->code, bad->what, bad->object, bad->todo, "%s", bad->why);
	}
	return 0;
}

/* ---- the closure ---- */

int ul_builder_restrict(struct ul_builder *b, const char *const *roots, size_t n, struct ul_error *err)
{
	for (size_t i = 0; i < n; i++) {
		const char *root = keep(b, roots[i]);

		if (!root || ul_vector_push(&b->roots, root) < 0)
			return ul_error_nomem(err, what);
	}
	b->restricted = true;
	return 0;
}

/* Mark what the entries on the stack refer to; each entry is put there once. */
static void mark(struct ul_builder *b, uint32_t *stack, size_t n)
{
	while (n > 0) {
		const struct ul_builder_record *r = &b->records.at[b->entries.at[stack[--n]].record];

		for (uint32_t i = 0; i < r->n_refs; i++) {
			struct ul_builder_entry *e = &b->entries.at[b->refs.at[r->first_ref + i]];

			/* A dangling reference is found, and named, when the manifest is written. */
			if (!e->kept && e->record != UL_NO_RECORD)
				stack[n++] = b->refs.at[r->first_ref + i];
			e->kept = true;
		}
	}
}

static int mark_roots(struct ul_builder *b, struct ul_error *err)
{
	ul_autofree uint32_t *stack = NULL;
	size_t depth = 0;

	/* Roots that the source does not have get an entry too, so the stack is made after them. */
	for (size_t i = 0; i < b->roots.n; i++) {
		struct ul_builder_entry *e;
		uint32_t entry = 0;
		int r = ul_builder_intern(b, b->roots.at[i], &entry, err);

		if (r < 0)
			return r;
		e = &b->entries.at[entry];
		if (e->record == UL_NO_RECORD && !e->bad)
			return ul_error_set(err, UL_E_INPUT, what, b->roots.at[i],
					    "Give a store path that the source holds.",
					    "the source does not have this path");
	}
	stack = calloc(b->entries.n + 1, sizeof(*stack));
	if (!stack)
		return ul_error_nomem(err, what);
	for (size_t i = 0; i < b->roots.n; i++) {
		uint32_t entry = 0;
		int r = ul_builder_intern(b, b->roots.at[i], &entry, err);

		if (r < 0)
			return r;
		if (!b->entries.at[entry].kept && b->entries.at[entry].record != UL_NO_RECORD)
			stack[depth++] = entry;
		b->entries.at[entry].kept = true;
	}
	mark(b, stack, depth);
	return 0;
}

int ul_builder_take_closure(struct ul_builder *b, struct ul_error *err)
{
	int r = b->restricted ? mark_roots(b, err) : 0;

	return r < 0 ? r : refuse_needed(b, err);
}

/* ---- notes ---- */

static int note(struct ul_builder *b, const char *object, const char *why)
{
	ul_autobuffer struct ul_buffer text = {0};
	char clean[512];

	ul_escape_text(clean, sizeof(clean), why);
	if (ul_buffer_printf(&text, "%s%s%s", object, *object ? ": " : "", clean) < 0 || !ul_buffer_string(&text))
		return -ENOMEM;
	return ul_names_add(&b->notes, (const char *)text.data);
}

static int note_derivers(struct ul_builder *b)
{
	char path[UL_STORE_PATH_SIZE], why[400];
	uint64_t n = 0;
	int r = 0;

	for (size_t i = 0; i < b->odd_derivers.n && r == 0; i++) {
		const struct ul_builder_odd_deriver *odd = &b->odd_derivers.at[i];
		const struct ul_builder_entry *e = &b->entries.at[odd->entry];

		if (!ul_builder_keeps(b, e) || n++ >= NOTES_MAX)
			continue;
		snprintf(why, sizeof(why), "its deriver \"%s\" is not a store path, so it is left out", odd->text);
		r = note(b, ul_builder_path(b, e, path), why);
	}
	if (r < 0 || n <= NOTES_MAX)
		return r;
	snprintf(why, sizeof(why), "%" PRIu64 " derivers more are left out", n - NOTES_MAX);
	return note(b, "", why);
}

/* Rows that the closure does not need are one note: the first of them, and how many more there are. */
static int note_bad(struct ul_builder *b)
{
	uint64_t n = b->nameless_bad;
	char why[512];
	int len;

	for (size_t i = 0; i < b->bad.n; i++)
		n += b->bad.at[i].entry != UL_NO_RECORD;
	if (n == 0)
		return 0;
	len = snprintf(why, sizeof(why), "%s; the closure does not need it", b->bad.at[0].why);
	if (n > 1 && len > 0 && (size_t)len < sizeof(why))
		snprintf(why + len, sizeof(why) - (size_t)len, ", nor %" PRIu64 " more such rows", n - 1);
	return note(b, b->bad.at[0].object, why);
}

/* As it is where the program that should have written them failed: its pipe was empty. */
static int note_empty(struct ul_builder *b)
{
	for (size_t i = 0; i < b->entries.n; i++)
		if (ul_builder_keeps(b, &b->entries.at[i]))
			return 0;
	return note(b, "", "no store path was given");
}

int ul_builder_write_notes(struct ul_builder *b, struct ul_error *err)
{
	int r = note_empty(b);

	if (r == 0)
		r = note_derivers(b);

	if (r == 0)
		r = note_bad(b);
	return r < 0 ? ul_error_nomem(err, what) : 0;
}

const char *const *ul_builder_notes(const struct ul_builder *b, size_t *ret_n)
{
	*ret_n = b->notes.n;
	return (const char *const *)b->notes.at;
}
