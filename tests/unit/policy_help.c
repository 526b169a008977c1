#include "tests/unit/policy_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

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
	at += (size_t)snprintf(buf + at, size - at, "pin=%zu trusted=%d init=%s", p->pinned_len, p->pin_trusted,
			       p->wanted_init ? p->wanted_init : "-");
	assert_true(at < size);
}
