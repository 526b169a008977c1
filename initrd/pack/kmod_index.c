/* Writing libkmod's index files. */
#include "initrd/pack/kmod_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/compare.h"
#include "common/bytes.h"

#define MAGIC           0xB007F457u
#define VERSION         0x00020001u
#define NODE_PREFIX     0x80000000u
#define NODE_VALUES     0x40000000u
#define NODE_CHILDREN   0x20000000u
#define NODE_OFFSET_MAX 0x0fffffffu
#define KEY_MAX         1024

static int compare(const void *a, const void *b)
{
	const struct ul_kmod_pair *x = a, *y = b;
	int c = strcmp(x->key, y->key);

	if (c == 0)
		c = ul_order(x->priority, y->priority);
	return c ? c : strcmp(x->value, y->value);
}

static int put_be32(struct ul_buffer *b, uint32_t v)
{
	uint8_t bytes[sizeof(v)];

	ul_put_be32(bytes, v);
	return ul_buffer_append(b, bytes, sizeof(bytes));
}

/* The characters from depth on that all keys of the sorted range share. */
static size_t common_prefix(const struct ul_kmod_pair *pairs, size_t count, size_t depth)
{
	const char *first = pairs[0].key + depth, *last = pairs[count - 1].key + depth;
	size_t n = 0;

	while (first[n] && first[n] == last[n])
		n++;
	return n;
}

static int write_values(const struct ul_kmod_pair *pairs, size_t count, struct ul_buffer *ret)
{
	int r = put_be32(ret, (uint32_t)count);

	for (size_t i = 0; r == 0 && i < count; i++) {
		r = put_be32(ret, pairs[i].priority);
		if (r == 0)
			r = ul_buffer_append(ret, pairs[i].value, strlen(pairs[i].value) + 1);
	}
	return r;
}

/*
 * Write the subtree of the sorted range, whose keys agree in their first `depth` characters; children
 * first, since a node holds their offsets. Recursion is as deep as the longest key at most.
 */
static int write_node(const struct ul_kmod_pair *pairs, size_t count, size_t depth, struct ul_buffer *ret,
		      uint32_t *ret_reference)
{
	size_t prefix = common_prefix(pairs, count, depth), end = depth + prefix, here = 0;
	uint32_t children[128] = {0}, reference;
	unsigned first = 0, last = 0;
	int r = 0;

	while (here < count && pairs[here].key[end] == '\0')
		here++;
	for (size_t i = here, n; r == 0 && i < count; i += n) {
		unsigned ch = (unsigned char)pairs[i].key[end];

		for (n = 1; i + n < count && (unsigned char)pairs[i + n].key[end] == ch;)
			n++;
		first = i == here ? ch : first;
		last = ch;
		r = write_node(pairs + i, n, end + 1, ret, &children[ch]);
	}
	if (r < 0 || ret->len > NODE_OFFSET_MAX)
		return r < 0 ? r : -EINVAL;
	reference = (uint32_t)ret->len;
	if (prefix > 0) {
		reference |= NODE_PREFIX;
		r = ul_buffer_append(ret, pairs[0].key + depth, prefix);
		if (r == 0)
			r = ul_buffer_append(ret, "", 1);
	}
	if (r == 0 && here < count) {
		reference |= NODE_CHILDREN;
		r = ul_buffer_append(ret, (uint8_t[]){(uint8_t)first, (uint8_t)last}, 2);
		for (unsigned ch = first; r == 0 && ch <= last; ch++)
			r = put_be32(ret, children[ch]);
	}
	if (r == 0 && here > 0) {
		reference |= NODE_VALUES;
		r = write_values(pairs, here, ret);
	}
	*ret_reference = reference;
	return r;
}

int ul_kmod_index_write(struct ul_kmod_pair *pairs, size_t count, struct ul_buffer *ret)
{
	struct ul_buffer b = {0};
	/* An empty index has a root without parts, which libkmod reads as "no children". */
	uint32_t root = 12;
	int r;

	for (size_t i = 0; i < count; i++) {
		size_t len = strlen(pairs[i].key);

		if (len > KEY_MAX)
			return -EINVAL;
		for (size_t k = 0; k < len; k++)
			if ((unsigned char)pairs[i].key[k] > 126)
				return -EINVAL;
	}
	if (count > 0)
		qsort(pairs, count, sizeof(*pairs), compare);
	r = put_be32(&b, MAGIC);
	if (r == 0)
		r = put_be32(&b, VERSION);
	if (r == 0)
		r = put_be32(&b, root);
	if (r == 0 && count > 0)
		r = write_node(pairs, count, 0, &b, &root);
	if (r == 0) {
		ul_put_be32(b.data + 8, root);
		r = ul_buffer_append(ret, b.data, b.len);
	}
	ul_buffer_free(&b);
	return r;
}
