/* References must not run in a circle: Nix does not register such paths, and they cannot be built. */
#include <stdlib.h>

#include "common/cleanup.h"
#include "dbgen/manifest/builder_internal.h"
#include "dbgen/store/store_path.h"

static const char what[] = "checking the references";

enum state { UNSEEN, OPEN, DONE };

/* A path whose references are being followed, and how many of them have been. */
struct frame {
	uint32_t entry, followed;
};

static int refuse_cycle(const struct ul_builder *b, uint32_t from, uint32_t to, struct ul_error *err)
{
	char from_text[UL_STORE_PATH_SIZE], to_text[UL_STORE_PATH_SIZE];

	return ul_error_set(err, UL_E_INPUT, what, ul_builder_path(b, &b->entries.at[to], to_text),
			    "Mend the source: Nix does not take such paths.",
			    "its references lead in a circle, back from %s",
			    ul_builder_path(b, &b->entries.at[from], from_text));
}

/* Depth first from one path; the stack has room for every path once. */
static int follow(const struct ul_builder *b, uint32_t start, uint8_t *state, struct frame *stack, struct ul_error *err)
{
	size_t depth = 0;

	stack[depth++] = (struct frame){.entry = start};
	state[start] = OPEN;
	while (depth > 0) {
		struct frame *top = &stack[depth - 1];
		const struct ul_builder_record *record = &b->records.at[b->entries.at[top->entry].record];
		uint32_t to;

		if (top->followed == record->n_refs) {
			state[top->entry] = DONE;
			depth--;
			continue;
		}
		to = b->refs.at[record->first_ref + top->followed++];
		if (to == top->entry || state[to] == DONE)
			continue;
		if (state[to] == OPEN)
			return refuse_cycle(b, top->entry, to, err);
		state[to] = OPEN;
		stack[depth++] = (struct frame){.entry = to};
	}
	return 0;
}

int ul_builder_check_cycles(const struct ul_builder *b, const uint32_t *order, size_t n, struct ul_error *err)
{
	ul_autofree uint8_t *state = calloc(b->entries.n + 1, sizeof(*state));
	ul_autofree struct frame *stack = calloc(n + 1, sizeof(*stack));
	int r = 0;

	if (!state || !stack)
		return ul_error_nomem(err, what);
	for (size_t i = 0; i < n && r == 0; i++)
		if (state[order[i]] == UNSEEN)
			r = follow(b, order[i], state, stack, err);
	return r;
}
