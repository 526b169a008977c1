/*
 * The order of versions (UAPI.10). Where the specification's prose and systemd's strverscmp_improved
 * disagree (a version that has ended, against one that goes on with '~'), systemd's order is taken: a
 * pre-release `1~rc1` comes before `1`, which is what the tilde is for.
 */
#include "verity/format/version.h"

#include <stddef.h>
#include <string.h>

#include "common/compare.h"
#include "verity/format/descriptor.h"

#define NAME_CHARACTERS "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.+~^-"

static bool only_of(const char *text, const char *allowed)
{
	size_t len = strnlen(text, UL_NAME_SIZE);

	return len > 0 && len < UL_NAME_SIZE && strspn(text, allowed) == len;
}

bool ul_image_name_valid(const char *name)
{
	return only_of(name, NAME_CHARACTERS);
}

bool ul_image_version_valid(const char *version)
{
	return only_of(version, NAME_CHARACTERS "_");
}

/* The locale must not matter: no isdigit(3). */
static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static const char *skip_others(const char *s)
{
	while (*s && !is_digit(*s) && !is_letter(*s) && !strchr("~-^.", *s))
		s++;
	return s;
}

static size_t span(const char *s, bool (*is_member)(char))
{
	size_t n = 0;

	while (is_member(s[n]))
		n++;
	return n;
}

/* A number of any length, without its value: no digits < fewer digits < more digits < greater digits. */
static int compare_numbers(const char **a, const char **b)
{
	size_t len_a = span(*a, is_digit), len_b = span(*b, is_digit);
	const char *end_a = *a + len_a, *end_b = *b + len_b, *from_a = *a, *from_b = *b;
	int r = ul_order(len_a > 0, len_b > 0);

	*a = end_a;
	*b = end_b;
	if (r != 0)
		return r;
	from_a += strspn(from_a, "0");
	from_b += strspn(from_b, "0");
	r = ul_order((size_t)(end_a - from_a), (size_t)(end_b - from_b));
	return r != 0 ? r : memcmp(from_a, from_b, (size_t)(end_a - from_a));
}

static int compare_words(const char **a, const char **b)
{
	size_t len_a = span(*a, is_letter), len_b = span(*b, is_letter);
	int r = ul_compare_bytes(*a, len_a, *b, len_b);

	*a += len_a;
	*b += len_b;
	return r;
}

int ul_version_compare(const char *a, const char *b)
{
	a = a ? a : "";
	b = b ? b : "";
	for (;;) {
		/* A sign that only one side has makes that side older; both have it: it is passed. */
		static const char signs[] = "~-^.";
		int r;

		a = skip_others(a);
		b = skip_others(b);
		for (const char *sign = signs; *sign; sign++) {
			/* Only the tilde comes before the end of the text. */
			if (sign == signs + 1 && (!*a || !*b))
				return ul_order(*a != '\0', *b != '\0');
			if (*a != *sign && *b != *sign)
				continue;
			if (*a != *b)
				return *a == *sign ? -1 : 1;
			a++;
			b++;
		}
		if (is_digit(*a) || is_digit(*b))
			r = compare_numbers(&a, &b);
		else
			r = compare_words(&a, &b);
		if (r != 0)
			return r < 0 ? -1 : 1;
	}
}
