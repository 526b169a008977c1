#include "common/config.h"

#include <errno.h>
#include <ini.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/nearest.h"
#include "common/number.h"

struct unit {
	const char *suffix;
	uint64_t factor;
};

/* From the smallest up. */
static const struct unit durations[] = {{"us", 1},         {"ms", 1000},      {"s", 1000000},
					{"min", 60000000}, {"h", 3600000000}, {NULL, 0}};
static const struct unit sizes[] = {
	{"K", 1ULL << 10}, {"M", 1ULL << 20}, {"G", 1ULL << 30}, {"T", 1ULL << 40}, {NULL, 0}};
static const struct unit none[] = {{NULL, 0}};

/* plain: the factor of a number without a unit. */
static bool parse_number(const char *text, const struct unit *units, uint64_t plain, uint64_t *ret)
{
	uint64_t value, factor = plain;
	const char *p = text;

	if (!ul_take_number(&p, &value))
		return false;
	if (*p) {
		const struct unit *u = units;

		while (u->suffix && strcmp(u->suffix, p) != 0)
			u++;
		if (!u->suffix)
			return false;
		factor = u->factor;
	}
	return !__builtin_mul_overflow(value, factor, ret);
}

bool ul_parse_number(const char *text, uint64_t *ret)
{
	return parse_number(text, none, 1, ret);
}

bool ul_parse_size(const char *text, uint64_t *ret)
{
	return parse_number(text, sizes, 1, ret);
}

static const struct unit *units_of(enum ul_config_kind kind)
{
	return kind == UL_CONFIG_SIZE ? sizes : kind == UL_CONFIG_DURATION ? durations : none;
}

void ul_config_number_text(enum ul_config_kind kind, uint64_t number, char buf[32])
{
	const struct unit *best = NULL;

	for (const struct unit *u = units_of(kind); number && u->suffix; u++)
		if (number % u->factor == 0)
			best = u;
	snprintf(buf, 32, "%" PRIu64 "%s", best ? number / best->factor : number, best ? best->suffix : "");
}

static bool parse_bool(const char *text, bool *ret)
{
	static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};

	for (size_t i = 0; i < UL_ARRAY_SIZE(words); i++)
		if (!strcmp(text, words[i])) {
			*ret = i % 2;
			return true;
		}
	return false;
}

static int bad_value(const struct ul_config_key *key, const char *value, const char *where, const char *want,
		     struct ul_error *err)
{
	char what[128];

	snprintf(what, sizeof(what), "reading [%s] %s", key->section, key->key);
	return ul_error_set(err, UL_E_CONFIG, what, where, NULL, "\"%s\" is not %s", value, want);
}

static void list_choices(const struct ul_config_key *key, char buf[160])
{
	size_t at = (size_t)snprintf(buf, 160, "one of");

	for (unsigned int i = 0; key->choices[i] && at < 160; i++)
		at += (size_t)snprintf(buf + at, 160 - at, "%s %s", i ? "," : "", key->choices[i]);
}

static int set_number(const struct ul_config_key *key, const char *value, const char *where, uint64_t *field,
		      struct ul_error *err)
{
	const char *want = key->kind == UL_CONFIG_SIZE       ? "a size such as 64M"
			   : key->kind == UL_CONFIG_DURATION ? "a time such as 30s, 500ms or 2min"
							     : "a whole number such as 3";
	char range[96], min[32], max[32];
	uint64_t number;

	if (!parse_number(value, units_of(key->kind), key->kind == UL_CONFIG_DURATION ? 1000000 : 1, &number))
		return bad_value(key, value, where, want, err);
	if ((key->min || key->max) && (number < key->min || number > key->max)) {
		ul_config_number_text(key->kind, key->min, min);
		ul_config_number_text(key->kind, key->max, max);
		snprintf(range, sizeof(range), "between %s and %s", min, max);
		return bad_value(key, value, where, range, err);
	}
	*field = number;
	return 0;
}

/* The index of the word among the choices; -1: it is not there. */
static int find_choice(const struct ul_config_key *key, const char *word)
{
	for (int i = 0; key->choices[i]; i++)
		if (!strcmp(key->choices[i], word))
			return i;
	return -1;
}

static int set_enum(const struct ul_config_key *key, const char *value, const char *where, unsigned int *field,
		    struct ul_error *err)
{
	int i = find_choice(key, value);
	char want[160];

	if (i < 0) {
		list_choices(key, want);
		return bad_value(key, value, where, want, err);
	}
	*field = (unsigned int)i;
	return 0;
}

/* The word is taken over, also on failure. */
static int append_word(const struct ul_config_key *key, char *word, const char *where, char ***list,
		       struct ul_error *err)
{
	ul_autofree char *owned = word;
	char want[160], **grown;
	size_t n = 0;

	if (!word)
		return ul_error_nomem(err, "reading configuration");
	if (key->choices && find_choice(key, word) < 0) {
		list_choices(key, want);
		return bad_value(key, word, where, want, err);
	}
	while (*list && (*list)[n])
		n++;
	grown = reallocarray(*list, n + 2, sizeof(char *));
	if (!grown)
		return ul_error_nomem(err, "reading configuration");
	grown[n] = ul_steal(owned);
	grown[n + 1] = NULL;
	*list = grown;
	return 0;
}

static int append_words(const struct ul_config_key *key, const char *value, const char *where, char ***list,
			struct ul_error *err)
{
	int r = 0;

	for (const char *p = value + strspn(value, " \t"); r == 0 && *p; p += strspn(p, " \t")) {
		size_t len = strcspn(p, " \t");

		r = append_word(key, strndup(p, len), where, list, err);
		p += len;
	}
	return r;
}

/* An empty text is as if it were not set. */
static int set_string(const struct ul_config_key *key, const char *value, char **field, struct ul_error *err)
{
	const char *text = *value ? value : key->def;
	char *copy = text ? strdup(text) : NULL;

	if (text && !copy)
		return ul_error_nomem(err, "reading configuration");
	free(*field);
	*field = copy;
	return 0;
}

int ul_config_set(const struct ul_config_key *key, const char *value, const char *where, void *target,
		  struct ul_error *err)
{
	void *field = (char *)target + key->offset;

	switch (key->kind) {
	case UL_CONFIG_BOOL:
		return parse_bool(value, field) ? 0 : bad_value(key, value, where, "yes or no", err);
	case UL_CONFIG_ENUM:
		return set_enum(key, value, where, field, err);
	case UL_CONFIG_LIST:
		return append_words(key, value, where, field, err);
	case UL_CONFIG_STRING:
		return set_string(key, value, field, err);
	case UL_CONFIG_UINT:
	case UL_CONFIG_SIZE:
	case UL_CONFIG_DURATION:
		break;
	}
	return set_number(key, value, where, field, err);
}

static void free_field(const struct ul_config_key *key, void *target)
{
	void *field = (char *)target + key->offset;

	if (key->kind == UL_CONFIG_STRING) {
		free(*(char **)field);
		*(char **)field = NULL;
	}
	if (key->kind == UL_CONFIG_LIST) {
		for (char **p = *(char ***)field; p && *p; p++)
			free(*p);
		free(*(char ***)field);
		*(char ***)field = NULL;
	}
}

void ul_config_free(const struct ul_config_key *keys, void *target)
{
	for (; keys->key; keys++)
		free_field(keys, target);
}

int ul_config_init(const struct ul_config_key *keys, void *target, struct ul_error *err)
{
	int result = 0;

	for (; keys->key; keys++) {
		int r = keys->def ? ul_config_set(keys, keys->def, "the default", target, err) : 0;

		if (result == 0)
			result = r;
	}
	return result;
}

bool ul_config_complete(const struct ul_config_key *keys, const void *target)
{
	for (; keys->key; keys++) {
		const void *field = (const char *)target + keys->offset;

		if (keys->def && (keys->kind == UL_CONFIG_STRING || keys->kind == UL_CONFIG_LIST) &&
		    !*(const void *const *)field)
			return false;
	}
	return true;
}

const struct ul_config_key *ul_config_find(const struct ul_config_key *keys, const char *section, const char *key)
{
	for (; keys->key; keys++)
		if (!strcmp(keys->section, section) && !strcmp(keys->key, key))
			return keys;
	return NULL;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool same_list(char *const *a, char *const *b)
{
	while (a && b && *a && *b)
		if (strcmp(*a++, *b++) != 0)
			return false;
	return !(a && *a) && !(b && *b);
}

bool ul_config_same(const struct ul_config_key *key, const void *a, const void *b)
{
	const void *x = (const char *)a + key->offset, *y = (const char *)b + key->offset;

	switch (key->kind) {
	case UL_CONFIG_STRING:
		return same_text(*(char *const *)x, *(char *const *)y);
	case UL_CONFIG_LIST:
		return same_list(*(char **const *)x, *(char **const *)y);
	case UL_CONFIG_BOOL:
		return *(const bool *)x == *(const bool *)y;
	case UL_CONFIG_ENUM:
		return *(const unsigned int *)x == *(const unsigned int *)y;
	case UL_CONFIG_UINT:
	case UL_CONFIG_SIZE:
	case UL_CONFIG_DURATION:
		break;
	}
	return *(const uint64_t *)x == *(const uint64_t *)y;
}

bool ul_config_meets(const struct ul_config_key *keys, const struct ul_config_need *need, const void *target)
{
	const struct ul_config_key *key = ul_config_find(keys, need->section, need->key);
	unsigned int value = key ? *(const unsigned int *)(const void *)((const char *)target + key->offset) : 0;

	return key && (need->values & UL_CONFIG_IS(value));
}

/* What inih reads: a text, a line at a time. inih does not tell its handler the line; this does. */
struct lines {
	const char *at, *end;
	unsigned int number; /* of the line that was read last, from 1 on */
};

/* An ini_reader. check_lines has seen to it that each line has room. */
static char *next_line(char *buf, int size, void *stream)
{
	struct lines *lines = stream;
	size_t len = (size_t)(lines->end - lines->at);
	const char *newline = len ? memchr(lines->at, '\n', len) : NULL;

	if (len == 0)
		return NULL;
	if (newline)
		len = (size_t)(newline + 1 - lines->at);
	if (len >= (size_t)size)
		len = (size_t)size - 1;
	memcpy(buf, lines->at, len);
	buf[len] = '\0';
	lines->at += len;
	lines->number++;
	return buf;
}

struct parse_state {
	const struct ul_config_key *keys;
	const char *name;
	void *target;
	struct ul_error *err;
	struct lines lines;
	bool *seen; /* one flag a key */
	int result;
	unsigned int failed; /* the line of a result < 0 */
};

/* A setting that no row has: what of it is wrong, and what was meant. */
static int unknown(const struct parse_state *state, const char *section, const char *name, const char *where)
{
	struct ul_nearest near_section = {.word = section}, near_key = {.word = name};
	const char *elsewhere = NULL;
	bool section_known = false;
	char what[128], todo[160] = "Correct its spelling, or remove it.";

	for (const struct ul_config_key *key = state->keys; key->key; key++) {
		bool here = !strcmp(key->section, section);

		section_known |= here;
		ul_nearest_offer(&near_section, key->section);
		if (here)
			ul_nearest_offer(&near_key, key->key);
		if (!elsewhere && !strcmp(key->key, name))
			elsewhere = key->section;
	}
	snprintf(what, sizeof(what), "reading [%s] %s", section, name);
	if (!*section) {
		snprintf(what, sizeof(what), "reading %s", name);
		snprintf(todo, sizeof(todo), "Write its section%s%s%s on a line above it.",
			 elsewhere ? ", such as [" : " in brackets", elsewhere ? elsewhere : "", elsewhere ? "]," : "");
		return ul_error_set(state->err, UL_E_CONFIG, what, where, todo, "it stands before the first [section]");
	}
	if (!section_known) {
		if (near_section.best)
			snprintf(todo, sizeof(todo), "Did you mean [%s]? Correct its spelling, or remove it.",
				 near_section.best);
		return ul_error_set(state->err, UL_E_CONFIG, what, where, todo, "there is no section [%.64s]", section);
	}
	if (elsewhere)
		snprintf(todo, sizeof(todo), "It is a setting of [%s]: move it there, or remove it.", elsewhere);
	else if (near_key.best)
		snprintf(todo, sizeof(todo), "Did you mean \"%s\"? Correct its spelling, or remove it.", near_key.best);
	return ul_error_set(state->err, UL_E_CONFIG, what, where, todo, "there is no such setting");
}

static int set_once(struct parse_state *state, const struct ul_config_key *key, const char *text, const char *where)
{
	bool *seen = &state->seen[key - state->keys];
	bool list = key->kind == UL_CONFIG_LIST;
	char what[128];

	if (*seen && !list) {
		snprintf(what, sizeof(what), "reading [%s] %s", key->section, key->key);
		return ul_error_set(state->err, UL_E_CONFIG, what, where, "Keep one of them.",
				    "the setting is given twice");
	}
	/* The first words of a list take the place of its default. */
	if (list && *text && !*seen)
		free_field(key, state->target);
	*seen |= !list || *text;
	return ul_config_set(key, text, where, state->target, state->err);
}

static int handle(void *user, const char *section, const char *name, const char *value)
{
	struct parse_state *state = user;
	const struct ul_config_key *key = ul_config_find(state->keys, section, name);
	char where[256];

	if (state->result < 0)
		return 0;
	snprintf(where, sizeof(where), "%s:%u", state->name, state->lines.number);
	state->result = key ? set_once(state, key, value ? value : "", where) : unknown(state, section, name, where);
	state->failed = state->result < 0 ? state->lines.number : 0;
	return state->result == 0;
}

/* inih cuts long lines, and of a line that it cannot parse it tells the number only: so check first. */
static int check_lines(const char *text, size_t len, const char *name, struct ul_error *err)
{
	size_t line = 1, start = 0;
	char where[256];

	for (size_t i = 0; i <= len; i++) {
		if (i < len && text[i] == '\0') {
			snprintf(where, sizeof(where), "%s:%zu", name, line);
			return ul_error_set(err, UL_E_CONFIG, "reading the configuration", where, NULL,
					    "the line holds a NUL byte");
		}
		if (i < len && text[i] != '\n')
			continue;
		if (i - start > 190) {
			snprintf(where, sizeof(where), "%s:%zu", name, line);
			return ul_error_set(err, UL_E_CONFIG, "reading the configuration", where,
					    "Shorten it; a list may be given on several lines.",
					    "the line is longer than 190 characters");
		}
		start = i + 1;
		line++;
	}
	return 0;
}

int ul_config_parse(const struct ul_config_key *keys, const char *text, size_t len, const char *name, void *target,
		    struct ul_error *err)
{
	struct parse_state state = {
		.keys = keys, .name = name, .target = target, .err = err, .lines = {.at = text, .end = text + len}};
	ul_autofree bool *seen = NULL;
	char where[256];
	size_t n = 0;
	int r;

	if (len > UL_CONFIG_MAX)
		return ul_error_set(err, UL_E_CONFIG, "reading the configuration", name, NULL,
				    "it is larger than %d bytes", UL_CONFIG_MAX);
	r = check_lines(text, len, name, err);
	if (r < 0)
		return r;
	while (keys[n].key)
		n++;
	seen = calloc(n + 1, sizeof(*seen));
	if (!seen)
		return ul_error_nomem(err, "reading the configuration");
	state.seen = seen;
	r = ini_parse_stream(next_line, &state.lines, handle, &state);
	if (r < 0)
		return ul_error_nomem(err, "reading the configuration");
	/* inih reads on after a wrong line, and tells the first: a setting below a broken [section] is no cause. */
	if (r == 0 || r == (int)state.failed)
		return state.result;
	snprintf(where, sizeof(where), "%s:%d", name, r);
	return ul_error_set(err, UL_E_CONFIG, "reading the configuration", where,
			    "Write [section], key = value, or a comment.",
			    "the line is neither a section nor a setting");
}

struct line_search {
	struct lines lines;
	const char *section, *key, *word;
	unsigned int found;
};

static bool has_word(const char *value, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = value + strspn(value, " \t"); *p; p += strspn(p, " \t")) {
		size_t n = strcspn(p, " \t");

		if (n == len && !memcmp(p, word, n))
			return true;
		p += n;
	}
	return false;
}

static int look(void *user, const char *section, const char *name, const char *value)
{
	struct line_search *search = user;

	if (!search->found && !strcmp(section, search->section) && !strcmp(name, search->key) &&
	    (!search->word || has_word(value, search->word)))
		search->found = search->lines.number;
	return 1;
}

unsigned int ul_config_line(const char *text, size_t len, const struct ul_config_key *key, const char *word)
{
	struct line_search search = {{.at = text, .end = text + len}, key->section, key->key, word, 0};

	return ini_parse_stream(next_line, &search.lines, look, &search) == 0 ? search.found : 0;
}
