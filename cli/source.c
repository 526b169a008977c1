#include "cli/source.h"

#include <errno.h>
#include <string.h>

#include "cli/cli.h"
#include "dbgen/store/store_link.h"

int cli_import_text(struct ul_builder *b, cli_text_importer import, const char *file, struct ul_error *err)
{
	bool standard_input = !strcmp(file, "-");
	ul_autofclose FILE *opened = standard_input ? NULL : fopen(file, "re");

	if (!opened && !standard_input)
		return ul_error_errno(err, UL_E_SYSTEM, "reading the source", file, NULL, errno);
	return import(b, opened ? opened : stdin, standard_input ? "standard input" : file, err);
}

int cli_restrict(struct ul_builder *b, const struct cli_texts *roots, struct ul_error *err)
{
	ul_autonames struct ul_names found = {0};
	char path[UL_STORE_PATH_SIZE];
	int r = 0;

	for (size_t i = 0; i < roots->n && r == 0; i++) {
		r = ul_store_path_follow(ul_builder_store_dir(b), roots->at[i], path, err);
		if (r == 0 && ul_names_add(&found, path) < 0)
			r = ul_error_nomem(err, "taking the closure");
	}
	return r < 0 ? r : ul_builder_restrict(b, (const char *const *)found.at, found.n, err);
}

void cli_print_notes(const struct ul_builder *b)
{
	size_t n;
	const char *const *notes = ul_builder_notes(b, &n);

	if (n > 0)
		cli_progress_done();
	for (size_t i = 0; i < n; i++)
		fprintf(stderr, "underlay: note: %s.\n", notes[i]);
}
