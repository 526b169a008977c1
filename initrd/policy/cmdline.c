#include "initrd/policy/cmdline.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

/* The kernel's letters are Latin-1: there a space that does not break is one (lib/ctype.c). */
static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || (unsigned char)c == 0xa0;
}

/* Cut one word off at text; returns where the next one may begin. */
static char *next_word(char *text, struct ul_cmdline_arg *ret)
{
	bool in_quotes = false, quoted = false;
	char *equals = NULL, *p;

	if (*text == '"') {
		text++;
		in_quotes = quoted = true;
	}
	for (p = text; *p && (in_quotes || !is_space(*p)); p++) {
		if (*p == '=' && !equals)
			equals = p;
		if (*p == '"')
			in_quotes = !in_quotes;
	}
	ret->name = text;
	ret->value = NULL;
	if (equals) {
		*equals = '\0';
		ret->value = equals + 1;
		if (equals[1] == '"') {
			ret->value++;
			if (p - 1 > equals + 1 && p[-1] == '"')
				p[-1] = '\0';
		}
	}
	if (quoted && p > text && p[-1] == '"')
		p[-1] = '\0';
	if (*p)
		*p++ = '\0';
	return p;
}

int ul_cmdline_parse(const char *text, size_t len, struct ul_cmdline *ret, struct ul_error *err)
{
	static const char what[] = "reading the kernel command line";
	ul_autofree struct ul_cmdline_arg *args = NULL;
	ul_autofree char *copy = NULL;
	size_t n = 0;

	if (len > UL_CMDLINE_MAX)
		return ul_error_set(err, UL_E_CMDLINE, what, NULL, "Shorten it.", "it is longer than %d bytes",
				    UL_CMDLINE_MAX);
	if (memchr(text, '\0', len))
		return ul_error_set(err, UL_E_CMDLINE, what, NULL, NULL, "it holds a NUL byte");
	copy = strndup(text, len);
	/* A word takes two bytes at least, the space before it counted. */
	args = calloc(len / 2 + 1, sizeof(*args));
	if (!copy || !args)
		return ul_error_nomem(err, what);
	for (char *p = copy;;) {
		while (is_space(*p))
			p++;
		if (!*p)
			break;
		p = next_word(p, &args[n]);
		if (!args[n].value && !strcmp(args[n].name, "--"))
			break;
		n++;
	}
	ret->args = ul_steal(args);
	ret->n = n;
	ret->text = ul_steal(copy);
	return 0;
}

void ul_cmdline_free(struct ul_cmdline *c)
{
	free(c->args);
	free(c->text);
	*c = (struct ul_cmdline){0};
}

bool ul_cmdline_is(const char *name, const char *pattern)
{
	for (;; name++, pattern++) {
		if (*pattern == '*' && !pattern[1])
			return true;
		if (*name != *pattern && !((*name == '-' || *name == '_') && (*pattern == '-' || *pattern == '_')))
			return false;
		if (!*name)
			return true;
	}
}
