#include "common/config.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"

struct unit {
	const char *suffix;
	uint64_t factor;
};

static bool parse_number(const char *text, const struct unit *units, uint64_t plain, uint64_t *ret)
{
	uint64_t value = 0, factor = plain;
	const char *p = text;

	if (!isdigit((unsigned char)*p))
		return false;
	for (; isdigit((unsigned char)*p); p++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
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

bool ul_parse_duration(const char *text, uint64_t *ret_us)
{
	static const struct unit units[] = {{"us", 1},         {"ms", 1000},      {"s", 1000000},
					    {"min", 60000000}, {"h", 3600000000}, {NULL, 0}};

	return parse_number(text, units, 1000000, ret_us);
}

bool ul_parse_size(const char *text, uint64_t *ret_bytes)
{
	static const struct unit units[] = {
		{"K", 1ULL << 10}, {"M", 1ULL << 20}, {"G", 1ULL << 30}, {"T", 1ULL << 40}, {NULL, 0}};

	return parse_number(text, units, 1, ret_bytes);
}

bool ul_parse_number(const char *text, uint64_t *ret)
{
	return parse_number(text, &(struct unit){NULL, 0}, 1, ret);
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

/* Append the words of value to the NULL-terminated list. */
static int append_words(char ***list, const char *value)
{
	size_t n = 0;

	while (*list && (*list)[n])
		n++;
	for (const char *p = value; *p;) {
		size_t skip = strspn(p, " \t"), len = strcspn(p + skip, " \t");
		char **grown;

		p += skip;
		if (len == 0)
			break;
		grown = realloc(*list, (n + 2) * sizeof(char *));
		if (!grown)
			return -ENOMEM;
		*list = grown;
		grown[n + 1] = NULL;
		grown[n] = strndup(p, len);
		if (!grown[n])
			return -ENOMEM;
		n++;
		p += len;
	}
	return 0;
}

static int bad_value(const struct ul_config_key *key, const char *value, const char *where, const char *want,
		     struct ul_error *err)
{
	char what[128];

	snprintf(what, sizeof(what), "reading [%s] %s", key->section, key->key);
	return ul_error_set(err, UL_E_CONFIG, what, where, NULL, "\"%s\" is not %s", value, want);
}

static int set_number(const struct ul_config_key *key, const char *value, const char *where, uint64_t *field,
		      struct ul_error *err)
{
	const char *want = "a whole number such as 3";
	char range[96];
	uint64_t number;
	bool ok;

	if (key->kind == UL_CONFIG_SIZE) {
		want = "a size such as 64M";
		ok = ul_parse_size(value, &number);
	} else if (key->kind == UL_CONFIG_DURATION) {
		want = "a time such as 30s, 500ms or 2min";
		ok = ul_parse_duration(value, &number);
	} else {
		ok = ul_parse_number(value, &number);
	}
	if (!ok)
		return bad_value(key, value, where, want, err);
	if ((key->min || key->max) && (number < key->min || number > key->max)) {
		snprintf(range, sizeof(range), "between %llu and %llu%s", (unsigned long long)key->min,
			 (unsigned long long)key->max, key->kind == UL_CONFIG_DURATION ? " microseconds" : "");
		return bad_value(key, value, where, range, err);
	}
	*field = number;
	return 0;
}

static int set_enum(const struct ul_config_key *key, const char *value, const char *where, unsigned int *field,
		    struct ul_error *err)
{
	char want[160] = "one of";

	for (unsigned int i = 0; key->choices[i]; i++) {
		size_t len = strlen(want);

		if (!strcmp(key->choices[i], value)) {
			*field = i;
			return 0;
		}
		snprintf(want + len, sizeof(want) - len, "%s %s", i ? "," : "", key->choices[i]);
	}
	return bad_value(key, value, where, want, err);
}

int ul_config_set(const struct ul_config_key *key, const char *value, const char *where, void *target,
		  struct ul_error *err)
{
	void *field = (char *)target + key->offset;

	switch (key->kind) {
	case UL_CONFIG_BOOL:
		if (!parse_bool(value, field))
			return bad_value(key, value, where, "yes or no", err);
		return 0;
	case UL_CONFIG_ENUM:
		return set_enum(key, value, where, field, err);
	case UL_CONFIG_LIST:
		return append_words(field, value) < 0 ? ul_error_nomem(err, "reading configuration") : 0;
	case UL_CONFIG_STRING: {
		char *copy = strdup(value);

		if (!copy)
			return ul_error_nomem(err, "reading configuration");
		free(*(char **)field);
		*(char **)field = copy;
		return 0;
	}
	default:
		return set_number(key, value, where, field, err);
	}
}

struct parse_state {
	const struct ul_config_key *keys;
	const char *name;
	void *target;
	struct ul_error *err;
	bool *seen; /* one flag a key */
	int result;
};

/* inih tells no line here; ul_config_parse adds it, from inih's result, to the message. */
static int handle(void *user, const char *section, const char *name, const char *value)
{
	struct parse_state *state = user;
	const struct ul_config_key *key = state->keys;
	char what[128];

	if (state->result < 0)
		return 0;
	while (key->key && (strcmp(key->section, section) != 0 || strcmp(key->key, name) != 0))
		key++;
	snprintf(what, sizeof(what), "reading [%s] %s", section, name);
	if (!key->key) {
		state->result = ul_error_set(state->err, UL_E_CONFIG, what, state->name,
					     "Remove it or correct its spelling.", "there is no such setting");
		return 0;
	}
	if (state->seen[key - state->keys] && key->kind != UL_CONFIG_LIST) {
		state->result = ul_error_set(state->err, UL_E_CONFIG, what, state->name, "Keep one of them.",
					     "the setting is given twice");
		return 0;
	}
	state->seen[key - state->keys] = true;
	state->result = ul_config_set(key, value ? value : "", state->name, state->target, state->err);
	return state->result == 0;
}

/* inih cuts long lines and takes what it cannot parse as a line number only: check first. */
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
	struct parse_state state = {.keys = keys, .name = name, .target = target, .err = err};
	ul_autofree bool *seen = NULL;
	ul_autofree char *copy = NULL;
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
	copy = strndup(text, len);
	if (!seen || !copy)
		return ul_error_nomem(err, "reading the configuration");
	state.seen = seen;
	r = ini_parse_string(copy, handle, &state);
	snprintf(where, sizeof(where), "%s:%d", name, r);
	if (state.result < 0) {
		if (err && r > 0)
			ul_escape_text(err->object, sizeof(err->object), where);
		return state.result;
	}
	if (r != 0)
		return ul_error_set(err, UL_E_CONFIG, "reading the configuration", where,
				    "Write [section], key = value, or a comment.",
				    "the line is neither a section nor a setting");
	return 0;
}

void ul_config_free(const struct ul_config_key *keys, void *target)
{
	for (; keys->key; keys++) {
		void *field = (char *)target + keys->offset;

		if (keys->kind == UL_CONFIG_STRING) {
			free(*(char **)field);
			*(char **)field = NULL;
		}
		if (keys->kind == UL_CONFIG_LIST) {
			for (char **p = *(char ***)field; p && *p; p++)
				free(*p);
			free(*(char ***)field);
			*(char ***)field = NULL;
		}
	}
}
