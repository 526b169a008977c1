/*
 * nix.conf: lines of "name = value", a # begins a comment; "include PATH" and "!include PATH", of which the second may
 * be missing, paths from the file's own directory.
 */
#include "dbgen/collect/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/file.h"

#define CONF_MAX  (1 << 20) /* bytes of one file */
#define DEPTH_MAX 16

static const char what[] = "reading Nix's settings";

struct reader {
	const char *root;
	struct ul_collect_settings *to;
	struct ul_error *err;
};

static bool is(const char *word, size_t len, const char *wanted)
{
	return strlen(wanted) == len && !memcmp(word, wanted, len);
}

/* Older names are still understood by Nix. */
static bool *setting_of(struct ul_collect_settings *s, const char *name, size_t len)
{
	if (is(name, len, "keep-outputs") || is(name, len, "gc-keep-outputs"))
		return &s->keep_outputs;
	if (is(name, len, "keep-derivations") || is(name, len, "gc-keep-derivations"))
		return &s->keep_derivations;
	return NULL;
}

static int read_text(const struct reader *r, char *text, const char *from, unsigned int depth);

static int read_conf(const struct reader *r, const char *path, bool needed, unsigned int depth)
{
	ul_autobuffer struct ul_buffer text = {0};
	char place[2 * PATH_MAX];
	int code;

	if (depth > DEPTH_MAX)
		return ul_error_set(r->err, UL_E_SYSTEM, what, path, NULL, "files include each other in a circle");
	snprintf(place, sizeof(place), "%s%s", r->root, path);
	code = ul_read_file(AT_FDCWD, place, CONF_MAX, &text);
	if (code == -ENOENT && !needed)
		return 0;
	if (code < 0)
		return ul_error_errno(r->err, UL_E_SYSTEM, what, place, NULL, -code);
	if (!ul_buffer_string(&text))
		return ul_error_nomem(r->err, what);
	return read_text(r, (char *)text.data, path, depth);
}

static int include(const struct reader *r, const char *name, size_t len, const char *from, bool needed,
		   unsigned int depth)
{
	const char *slash = strrchr(from, '/');
	char path[PATH_MAX];

	if (*name == '/')
		snprintf(path, sizeof(path), "%.*s", (int)len, name);
	else
		snprintf(path, sizeof(path), "%.*s/%.*s", slash ? (int)(slash - from) : 0, from, (int)len, name);
	return read_conf(r, path, needed, depth + 1);
}

/* One line without its comment: at most three words count. */
static int read_line(const struct reader *r, const char *line, const char *from, unsigned int depth)
{
	static const char space[] = " \t\r";
	const char *word[3];
	size_t len[3];
	bool *setting;

	for (int i = 0; i < 3; i++) {
		line += strspn(line, space);
		word[i] = line;
		len[i] = strcspn(line, space);
		line += len[i];
	}
	if (is(word[0], len[0], "include") || is(word[0], len[0], "!include"))
		return len[1] > 0 ? include(r, word[1], len[1], from, *word[0] == 'i', depth) : 0;
	setting = is(word[1], len[1], "=") ? setting_of(r->to, word[0], len[0]) : NULL;
	if (setting && (is(word[2], len[2], "true") || is(word[2], len[2], "yes") || is(word[2], len[2], "1")))
		*setting = true;
	else if (setting && (is(word[2], len[2], "false") || is(word[2], len[2], "no") || is(word[2], len[2], "0")))
		*setting = false;
	return 0;
}

static int read_text(const struct reader *r, char *text, const char *from, unsigned int depth)
{
	char *save = NULL;
	int code = 0;

	for (char *line = strtok_r(text, "\n", &save); code == 0 && line; line = strtok_r(NULL, "\n", &save)) {
		line[strcspn(line, "#")] = '\0';
		code = read_line(r, line, from, depth);
	}
	return code;
}

int ul_collect_settings_read(const char *root, const char *config, struct ul_collect_settings *ret,
			     struct ul_error *err)
{
	struct ul_collect_settings settings = {.keep_derivations = true};
	const struct reader r = {root, &settings, err};
	ul_autofree char *text = NULL;
	int code = read_conf(&r, "/etc/nix/nix.conf", false, 0);

	if (code == 0 && config) {
		text = strdup(config);
		code = text ? read_text(&r, text, "/", 0) : ul_error_nomem(err, what);
	}
	if (code == 0)
		*ret = settings;
	return code;
}
