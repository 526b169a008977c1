#include "common/json_writer.h"

void ul_json_writer_begin(struct ul_json_writer *w)
{
	w->begun = false;
	fputc('{', w->out);
}

bool ul_json_writer_member(struct ul_json_writer *w, const char *key, struct json_object *value)
{
	ul_autojson struct json_object *owned = value, *name = ul_json_new_string(key);
	const char *name_text = ul_json_line(name), *text = ul_json_line(value);

	if (!name_text || !text)
		return false;
	if (w->begun)
		fputc(',', w->out);
	w->begun = true;
	fputs(name_text, w->out);
	fputc(':', w->out);
	fputs(text, w->out);
	return true;
}

void ul_json_writer_end(struct ul_json_writer *w)
{
	fputs("}\n", w->out);
}
