/* The ids of the upper's rows, for lower.json: over another lower they tell what it lacks from what is damaged. */
#include "common/names.h"
#include "dbgen/reconcile/rows.h"

static const char what[] = "recording the ids of the upper's rows";

void ul_rows_upper_ids(const struct ul_rows *rows, struct ul_id_ranges *ret)
{
	int64_t start = 1, last = 0;

	ret->known = true;
	ret->n = 0;
	for (size_t i = 0; i < rows->list.n; i++) {
		const struct ul_row *row = &rows->list.at[i];

		/* No id of Nix's; nor is one that has no successor. */
		if (row->id < 1 || row->id == INT64_MAX)
			continue;
		last = row->id;
		if (!row->lower)
			continue;
		/* With the ids that no row has: they are not the lower's. */
		ul_id_ranges_add(ret, start, last);
		start = last + 1;
	}
	ul_id_ranges_add(ret, start, last + 1);
}

int ul_rows_written_ids(const struct ul_rows *rows, struct ul_manifest *m, struct ul_id_ranges *ret,
			struct ul_error *err)
{
	ul_autonames struct ul_names names = {0};
	int r = 1;

	ret->known = false;
	ret->n = 0;
	for (size_t i = 0; i < rows->list.n; i++)
		if (rows->list.at[i].fate == UL_FATE_KEPT && !rows->list.at[i].lower &&
		    ul_names_add(&names, ul_rows_text(rows, rows->list.at[i].base)) < 0)
			return ul_error_nomem(err, what);
	/* The order of base names is that of the manifest's numbers. */
	ul_names_sort(&names, true);
	for (size_t i = 0; r > 0 && i < names.n; i++) {
		uint32_t number;

		r = ul_manifest_find(m, names.at[i], &number, err);
		if (r > 0)
			ul_id_ranges_add(ret, (int64_t)number + 1, (int64_t)number + 2);
	}
	ret->known = r > 0;
	return r < 0 ? r : 0;
}
