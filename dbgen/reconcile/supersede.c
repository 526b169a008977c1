/*
 * The upper built a path, and then an image comes that has it sealed. The sealed one is served, whatever the kept layer
 * has (dbgen/layers/names.h); and the database's row of it takes this lower's word. Should the machine go on to an
 * image that does not have the path, the kept entry would be seen again, behind a row that speaks of other contents. So
 * it goes, before the row changes: a cut in between costs nothing that is not sealed.
 *
 * Only over another lower than the recorded one. Over the same one the join brings no sealed name into the kept layer.
 */
#include "dbgen/reconcile/supersede.h"

#include "common/dir.h"
#include "common/names.h"

/* Names are taken down first: entries leave the directory that is read. */
static int find(struct ul_agreement *a, int layer, struct ul_names *ret)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	uint32_t number;
	int r = ul_dir_open(layer, ".", &dir), sealed;

	while (r >= 0 && (r = ul_dir_next(dir, &entry)) > 0) {
		sealed = ul_manifest_find(a->lower.manifest, entry->d_name, &number, a->upper.err);
		if (sealed < 0)
			return sealed;
		if (sealed)
			r = ul_names_add(ret, entry->d_name);
	}
	if (r == -ENOMEM)
		return ul_upper_dir_nomem(&a->upper);
	return r < 0 ? ul_upper_dir_fail(&a->upper, "kept", -r) : 0;
}

static int supersede_in(struct ul_agreement *a, int layer)
{
	ul_autonames struct ul_names names = {0};
	int r = find(a, layer, &names);

	for (size_t i = 0; r == 0 && i < names.n; i++) {
		r = ul_upper_dir_report(&a->upper, UL_RECONCILE_SWEPT, names.at[i], "this lower has it");
		if (r == 0)
			r = ul_upper_dir_discard(&a->upper, layer, names.at[i]);
	}
	return r;
}

int ul_supersede(struct ul_agreement *a)
{
	const struct ul_entries *e = &a->store.entries;
	int r = e->kept < 0 ? 0 : supersede_in(a, e->kept);

	for (size_t i = 0; r == 0 && i < e->sessions.n; i++)
		r = supersede_in(a, e->sessions.at[i]);
	return r;
}
