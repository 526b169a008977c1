#include "common/names.h"

#include "common/compare.h"

int ul_names_take(struct ul_names *names, char *text)
{
	int r = text ? ul_vector_push(names, text) : -ENOMEM;

	if (r < 0)
		free(text);
	return r;
}

int ul_names_add(struct ul_names *names, const char *text)
{
	return ul_names_take(names, strdup(text));
}

int ul_names_add_n(struct ul_names *names, const char *text, size_t len)
{
	return ul_names_take(names, strndup(text, len));
}

int ul_names_add_new(struct ul_names *names, const char *text)
{
	int r;

	if (ul_names_has(names, text))
		return 0;
	r = ul_names_add(names, text);
	return r < 0 ? r : 1;
}

void ul_names_sort(struct ul_names *names, bool unique)
{
	size_t kept = 0;

	ul_vector_sort(names, ul_compare_texts);
	if (!unique)
		return;
	for (size_t i = 0; i < names->n; i++) {
		if (kept > 0 && !strcmp(names->at[kept - 1], names->at[i]))
			free(names->at[i]);
		else
			names->at[kept++] = names->at[i];
	}
	names->n = kept;
}

bool ul_names_has(const struct ul_names *names, const char *text)
{
	for (size_t i = 0; i < names->n; i++)
		if (!strcmp(names->at[i], text))
			return true;
	return false;
}

bool ul_names_find(const struct ul_names *names, const char *text)
{
	return names->n > 0 && bsearch(&text, names->at, names->n, sizeof(*names->at), ul_compare_texts);
}

void ul_names_free(struct ul_names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->at[i]);
	ul_vector_free(names);
}
