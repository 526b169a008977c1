#include "initrd/pack/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int ul_words_add(struct ul_words *w, const char *text, size_t len)
{
	char *copy;

	if (w->count == w->size) {
		size_t size = w->size ? w->size * 2 : 8;
		char **list = reallocarray(w->list, size, sizeof(*list));

		if (!list)
			return -ENOMEM;
		w->list = list;
		w->size = size;
	}
	copy = strndup(text, len);
	if (!copy)
		return -ENOMEM;
	w->list[w->count++] = copy;
	return 0;
}

bool ul_words_has(const struct ul_words *w, const char *text)
{
	for (size_t i = 0; i < w->count; i++)
		if (!strcmp(w->list[i], text))
			return true;
	return false;
}

int ul_words_add_once(struct ul_words *w, const char *text)
{
	return ul_words_has(w, text) ? 0 : ul_words_add(w, text, strlen(text));
}

void ul_words_free(struct ul_words *w)
{
	for (size_t i = 0; i < w->count; i++)
		free(w->list[i]);
	free(w->list);
	*w = (struct ul_words){0};
}
