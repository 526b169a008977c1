#include "common/buffer.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

int ul_buffer_reserve(struct ul_buffer *b, size_t more)
{
	size_t want, size = b->size ? b->size : 256;
	uint8_t *data;

	if (__builtin_add_overflow(b->len, more, &want) || want > SIZE_MAX / 2)
		return -ENOMEM;
	if (want <= b->size)
		return 0;
	while (size < want)
		size *= 2;
	data = realloc(b->lent ? NULL : b->data, size);
	if (!data)
		return -ENOMEM;
	if (b->lent)
		memcpy(data, b->data, b->len);
	b->data = data;
	b->size = size;
	b->lent = false;
	return 0;
}

int ul_buffer_append(struct ul_buffer *b, const void *data, size_t len)
{
	int r = ul_buffer_reserve(b, len);

	if (r < 0)
		return r;
	if (len > 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	return 0;
}

int ul_buffer_printf(struct ul_buffer *b, const char *format, ...)
{
	va_list args;
	int n, r;

	va_start(args, format);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (n < 0)
		return -ENOMEM;
	r = ul_buffer_reserve(b, (size_t)n + 1);
	if (r < 0)
		return r;
	va_start(args, format);
	vsnprintf((char *)b->data + b->len, (size_t)n + 1, format, args);
	va_end(args);
	b->len += (size_t)n;
	return 0;
}

char *ul_buffer_string(struct ul_buffer *b)
{
	if (ul_buffer_reserve(b, 1) < 0)
		return NULL;
	b->data[b->len] = '\0';
	return (char *)b->data;
}

void ul_buffer_lend(struct ul_buffer *b, void *memory, size_t size)
{
	*b = (struct ul_buffer){.data = memory, .size = size, .lent = true};
}

void ul_buffer_free(struct ul_buffer *b)
{
	if (!b->lent)
		free(b->data);
	*b = (struct ul_buffer){0};
}
