/*
 * The signed descriptor's text. Parsing is strict in the simplest way there is: what was read is written
 * again, and must be the same bytes; so there is one text for one meaning.
 */
#include "verity/format/descriptor.h"

#include <stdbool.h>
#include <string.h>

#include "common/encoding.h"
#include "common/number.h"
#include "verity/format/fec_geometry.h"
#include "verity/format/hash_tree_geometry.h"
#include "verity/format/version.h"

#define TODO_BUILD "Build the image again."

/* The rule that a field breaks; NULL: none. */
static const char *defect(const struct ul_descriptor *d)
{
	struct ul_hash_tree_geometry tree;
	uint64_t end;

	if (!strcmp(d->hash, "sha256") ? d->root_hash_len != 32
				       : strcmp(d->hash, "sha512") != 0 || d->root_hash_len != 64)
		return "hash is neither sha256 nor sha512 with a root hash of its length";
	if (d->salt_len > UL_SALT_MAX)
		return "the salt is longer than 256 bytes";
	if (!ul_block_size_valid(d->data_block_size) || !ul_block_size_valid(d->hash_block_size))
		return "a block size is not 512, 1024, 2048 or 4096";
	if (!ul_hash_tree_measure(d, &tree))
		return "data-blocks is zero or too large";
	if (d->hash_start % d->hash_block_size != 0 || __builtin_add_overflow(d->hash_start, tree.size, &end) ||
	    end > INT64_MAX)
		return "hash-start is not a multiple of the hash block's size, or too large";
	if (d->fec_roots == 0 ? d->fec_start != 0 : d->fec_roots < UL_FEC_ROOTS_MIN || d->fec_roots > UL_FEC_ROOTS_MAX)
		return "fec-roots is neither 0 nor 2 to 24, or fec-start stands without it";
	if (d->fec_roots > 0 && (d->data_block_size != d->hash_block_size || d->fec_start < end ||
				 d->fec_start > INT64_MAX || d->fec_start % d->hash_block_size != 0))
		return "fec-start is not at a block behind the hash tree, or block sizes differ";
	if (!ul_image_name_valid(d->name) || !ul_image_version_valid(d->version))
		return "name or version is empty or has characters that are not allowed";
	return NULL;
}

static void write_hex(struct ul_buffer *b, int *r, const char *key, const uint8_t *data, size_t len)
{
	char hex[2 * UL_SALT_MAX + 1];

	ul_hex_encode(data, len, hex);
	if (*r == 0)
		*r = ul_buffer_printf(b, "%s=%s\n", key, hex);
}

int ul_descriptor_format(const struct ul_descriptor *d, struct ul_buffer *ret, struct ul_error *err)
{
	static const char what[] = "writing the descriptor";
	ul_autobuffer struct ul_buffer text = {0};
	const char *why = defect(d);
	int r = 0;

	if (why)
		return ul_error_set(err, UL_E_INPUT, what, NULL, NULL, "%s", why);
	r = ul_buffer_printf(&text, "underlay-descriptor=1\n");
	write_hex(&text, &r, "root-hash", d->root_hash, d->root_hash_len);
	if (r == 0)
		r = ul_buffer_printf(&text, "hash=%s\n", d->hash);
	write_hex(&text, &r, "salt", d->salt, d->salt_len);
	if (r == 0)
		r = ul_buffer_printf(&text,
				     "data-block-size=%u\nhash-block-size=%u\ndata-blocks=%llu\n"
				     "hash-start=%llu\nfec-roots=%u\nfec-start=%llu\n"
				     "name=%s\nversion=%s\nrollback-index=%llu\n",
				     d->data_block_size, d->hash_block_size, (unsigned long long)d->data_blocks,
				     (unsigned long long)d->hash_start, d->fec_roots, (unsigned long long)d->fec_start,
				     d->name, d->version, (unsigned long long)d->rollback_index);
	write_hex(&text, &r, "manifest", d->manifest_hash, d->has_manifest ? sizeof(d->manifest_hash) : 0);
	if (r < 0 || ul_buffer_append(ret, text.data, text.len) < 0)
		return ul_error_nomem(err, what);
	return 0;
}

/* The lines that are not read yet. bad: the key whose line is wrong. */
struct reader {
	const char *at, *end;
	const char *bad;
};

/* The value of the next line, which must be key's. */
static bool next_value(struct reader *r, const char *key, const char **ret, size_t *ret_len)
{
	size_t key_len = strlen(key), left = (size_t)(r->end - r->at);
	const char *newline = memchr(r->at, '\n', left);

	if (r->bad)
		return false;
	r->bad = key;
	if (!newline || (size_t)(newline - r->at) < key_len + 1 || memcmp(r->at, key, key_len) != 0 ||
	    r->at[key_len] != '=')
		return false;
	*ret = r->at + key_len + 1;
	*ret_len = (size_t)(newline - *ret);
	r->at = newline + 1;
	r->bad = NULL;
	return true;
}

static uint64_t read_number(struct reader *r, const char *key, uint64_t max)
{
	uint64_t value = 0;
	const char *text;
	size_t len;

	if (!next_value(r, key, &text, &len))
		return 0;
	/* One text for each number: no zeros in front. */
	if (!ul_parse_digits(text, len, &value) || (len > 1 && text[0] == '0') || value > max)
		r->bad = key;
	return value;
}

static size_t read_hex(struct reader *r, const char *key, uint8_t *out, size_t max)
{
	const char *text;
	size_t len;

	if (!next_value(r, key, &text, &len))
		return 0;
	if (len % 2 != 0 || len / 2 > max || !ul_hex_decode(text, len, out, len / 2)) {
		r->bad = key;
		return 0;
	}
	return len / 2;
}

static void read_text(struct reader *r, const char *key, char *out, size_t size)
{
	const char *text;
	size_t len;

	if (!next_value(r, key, &text, &len))
		return;
	if (len >= size || memchr(text, '\0', len)) {
		r->bad = key;
		return;
	}
	memcpy(out, text, len);
	out[len] = '\0';
}

static void read_fields(struct reader *r, struct ul_descriptor *d)
{
	size_t manifest_len;

	d->root_hash_len = read_hex(r, "root-hash", d->root_hash, sizeof(d->root_hash));
	read_text(r, "hash", d->hash, sizeof(d->hash));
	d->salt_len = read_hex(r, "salt", d->salt, sizeof(d->salt));
	d->data_block_size = (uint32_t)read_number(r, "data-block-size", UINT32_MAX);
	d->hash_block_size = (uint32_t)read_number(r, "hash-block-size", UINT32_MAX);
	d->data_blocks = read_number(r, "data-blocks", UINT64_MAX);
	d->hash_start = read_number(r, "hash-start", UINT64_MAX);
	d->fec_roots = (uint32_t)read_number(r, "fec-roots", UINT32_MAX);
	d->fec_start = read_number(r, "fec-start", UINT64_MAX);
	read_text(r, "name", d->name, sizeof(d->name));
	read_text(r, "version", d->version, sizeof(d->version));
	d->rollback_index = read_number(r, "rollback-index", UINT64_MAX);
	manifest_len = read_hex(r, "manifest", d->manifest_hash, sizeof(d->manifest_hash));
	if (!r->bad && manifest_len != 0 && manifest_len != sizeof(d->manifest_hash))
		r->bad = "manifest";
	d->has_manifest = manifest_len != 0;
}

int ul_descriptor_parse(const void *text, size_t len, struct ul_descriptor *ret, struct ul_error *err)
{
	static const char what[] = "reading the descriptor";
	struct reader r = {.at = text, .end = (const char *)text + len};
	ul_autobuffer struct ul_buffer again = {0};
	struct ul_descriptor d = {0};
	const char *why;
	uint64_t format;

	if (len == 0 || len > UL_DESCRIPTOR_MAX)
		return ul_error_set(err, UL_E_DESCRIPTOR, what, NULL, TODO_BUILD, "it is empty or longer than %d bytes",
				    UL_DESCRIPTOR_MAX);
	format = read_number(&r, "underlay-descriptor", UINT64_MAX);
	if (!r.bad && format != 1)
		return ul_error_set(err, UL_E_VERSION, what, NULL,
				    "Use an Underlay as new as the one that built the image.",
				    "its format is %llu, this Underlay knows 1", (unsigned long long)format);
	read_fields(&r, &d);
	if (r.bad)
		return ul_error_set(err, UL_E_DESCRIPTOR, what, NULL, TODO_BUILD,
				    "the line \"%s=\" is missing, misplaced or has a value that is not allowed", r.bad);
	why = defect(&d);
	if (why)
		return ul_error_set(err, UL_E_DESCRIPTOR, what, NULL, TODO_BUILD, "%s", why);
	if (ul_descriptor_format(&d, &again, err) < 0)
		return -UL_E_MEMORY;
	if (again.len != len || memcmp(again.data, text, len) != 0)
		return ul_error_set(err, UL_E_DESCRIPTOR, what, NULL, TODO_BUILD,
				    "it is not in the one form of a descriptor (capitals, or text "
				    "behind the last line)");
	*ret = d;
	return 0;
}
