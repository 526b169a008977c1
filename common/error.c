#include "common/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What error.h shows to the analyser in their place. */
#undef ul_error_set
#undef ul_error_errno
#undef ul_error_errno_of_lower
#undef ul_error_nomem

static const struct {
	enum ul_code code;
	const char *name;
	int exit_status;
} codes[] = {
#define UL_CODE_ROW(symbol, number, name, status, meaning) {UL_##symbol, name, status},
	UL_ERROR_CODES(UL_CODE_ROW)
#undef UL_CODE_ROW
};

void ul_escape_text(char *dst, size_t size, const char *src)
{
	static const char digits[] = "0123456789abcdef";
	size_t at = 0;

	if (size == 0)
		return;
	for (const unsigned char *p = (const unsigned char *)(src ? src : ""); *p; p++) {
		if (*p >= 0x20 && *p < 0x7f) {
			if (at + 1 >= size)
				break;
			dst[at++] = (char)*p;
			continue;
		}
		if (at + 4 >= size)
			break;
		dst[at++] = '\\';
		dst[at++] = 'x';
		dst[at++] = digits[*p >> 4];
		dst[at++] = digits[*p & 15];
	}
	dst[at] = '\0';
}

struct failure {
	enum ul_code code;
	int errnum;
	const char *what, *object, *why, *todo;
};

static void fill(struct ul_error *err, const struct failure *f)
{
	struct ul_error e = {.code = f->code, .errnum = f->errnum};

	/* The texts may be those of *err itself (a caller that rewords it): build, then copy. */
	ul_escape_text(e.what, sizeof(e.what), f->what);
	ul_escape_text(e.object, sizeof(e.object), f->object);
	ul_escape_text(e.why, sizeof(e.why), f->why);
	ul_escape_text(e.todo, sizeof(e.todo), f->todo);
	*err = e;
}

int ul_error_set(struct ul_error *err, enum ul_code code, const char *what, const char *object, const char *todo,
		 const char *format, ...)
{
	if (err) {
		char why[sizeof(err->why)];
		va_list args;

		va_start(args, format);
		vsnprintf(why, sizeof(why), format, args);
		va_end(args);
		fill(err, &(struct failure){code, 0, what, object, why, todo});
	}
	return -(int)code;
}

int ul_error_errno(struct ul_error *err, enum ul_code code, const char *what, const char *object, const char *todo,
		   int errnum)
{
	if (err)
		fill(err, &(struct failure){code, errnum, what, object, strerror(errnum), todo});
	return -(int)code;
}

int ul_error_errno_of_lower(struct ul_error *err, enum ul_code code, const char *what, const char *object,
			    const char *todo, int errnum)
{
	if (errnum != EIO)
		return ul_error_errno(err, code, what, object, todo, errnum);
	if (err)
		fill(err, &(struct failure){UL_E_CORRUPT, errnum, what, object, "a block does not match the hash tree",
					    "Write the image again."});
	return -UL_E_CORRUPT;
}

int ul_error_nomem(struct ul_error *err, const char *what)
{
	return ul_error_set(err, UL_E_MEMORY, what, NULL, "Give the machine more memory.", "out of memory");
}

char *ul_error_sentence(const struct ul_error *err, char *buf, size_t size)
{
	const char *colon = err->object[0] ? ": " : "";
	const char *space = err->todo[0] ? " " : "";

	snprintf(buf, size, "%s%s%s: %s.%s%s", err->what, colon, err->object, err->why, space, err->todo);
	return buf;
}

const char *ul_code_name(enum ul_code code)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].code == code)
			return codes[i].name;
	return "unknown";
}

int ul_code_exit_status(enum ul_code code)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].code == code)
			return codes[i].exit_status;
	return 3;
}
