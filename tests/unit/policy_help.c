#include "tests/unit/policy_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

void policy_dump(const struct ul_policy *p, char *buf, size_t size)
{
	size_t at = 0;

	for (const struct ul_config_key *k = ul_policy_keys; k->key; k++) {
		const void *field = (const char *)p + k->offset;

		at += (size_t)snprintf(buf + at, size - at, "%s.%s=", k->section, k->key);
		switch (k->kind) {
		case UL_CONFIG_STRING: {
			const char *text = *(char *const *)field;

			at += (size_t)snprintf(buf + at, size - at, "%s", text ? text : "-");
			break;
		}
		case UL_CONFIG_BOOL:
			at += (size_t)snprintf(buf + at, size - at, "%d", *(const bool *)field);
			break;
		case UL_CONFIG_ENUM:
			at += (size_t)snprintf(buf + at, size - at, "%u", *(const unsigned int *)field);
			break;
		case UL_CONFIG_LIST:
			for (char *const *w = *(char **const *)field; w && *w; w++)
				at += (size_t)snprintf(buf + at, size - at, "%s ", *w);
			break;
		default:
			at += (size_t)snprintf(buf + at, size - at, "%llu",
					       (unsigned long long)*(const uint64_t *)field);
		}
		at += (size_t)snprintf(buf + at, size - at, "\n");
	}
	at += (size_t)snprintf(buf + at, size - at, "pin=%zu:%02x", p->pinned_len, p->pinned[0]);
	assert_true(at < size);
}

const char *policy_other_value(const struct ul_config_key *key)
{
	static const struct {
		const char *key, *value;
	} texts[] = {{"root-hash", HASH_A}, {"name", "something"}, {"nix-version", "2.26"}};

	switch (key->kind) {
	case UL_CONFIG_BOOL:
		return strcmp(key->def, "yes") != 0 ? "yes" : "no";
	case UL_CONFIG_UINT:
		return strcmp(key->def, "7") != 0 ? "7" : "8";
	case UL_CONFIG_SIZE:
		return strcmp(key->def, "7M") != 0 ? "7M" : "8M";
	case UL_CONFIG_DURATION:
		return strcmp(key->def, "77s") != 0 ? "77s" : "78s";
	case UL_CONFIG_ENUM:
	case UL_CONFIG_LIST:
		for (size_t i = 0; key->choices && key->choices[i]; i++)
			if (strcmp(key->choices[i], key->def) != 0)
				return key->choices[i];
		return "something";
	case UL_CONFIG_STRING:
		break;
	}
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (!strcmp(key->key, texts[i].key))
			return texts[i].value;
	return "/something";
}

void policy_append(char *text, size_t size, const struct ul_config_key *key, const char *value)
{
	size_t at = strlen(text);

	assert_true((size_t)snprintf(text + at, size - at, "[%s]\n%s = %s\n", key->section, key->key, value) <
		    size - at);
}

int policy_apply(struct ul_policy *p, const char *cmdline, struct ul_error *err)
{
	struct ul_cmdline c = {0};
	int r;

	assert_int_equal(ul_cmdline_parse(cmdline, strlen(cmdline), &c, err), 0);
	r = ul_policy_apply(p, &c, err);
	ul_cmdline_free(&c);
	return r;
}
