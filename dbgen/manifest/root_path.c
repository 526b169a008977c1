/* See root_path.h. */
#include "dbgen/manifest/root_path.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encoding.h"
#include "dbgen/manifest/builder_internal.h"
#include "dbgen/manifest/roots.h"

static const char what[] = "adding the root path";

#define HASH_SIZE 32

/* The hash and size of a NAR that holds a regular file with UL_ROOT_PATH_CONTENTS. */
#define NAR_SIZE 192
static const uint8_t nar_hash[UL_NAR_HASH_SIZE] = {0xc6, 0x01, 0x79, 0x5c, 0x69, 0xbb, 0x4c, 0x24, 0xe4, 0xfe, 0xf5,
						   0x08, 0xdd, 0x75, 0xd1, 0x40, 0x85, 0xb9, 0x1b, 0x65, 0x07, 0x70,
						   0x1d, 0x10, 0xad, 0x49, 0x24, 0xd8, 0x12, 0xd0, 0x8e, 0x2f};

/* The top-level paths, in full and in path order. */
struct tops {
	struct ul_buffer text; /* base names, each ended by NUL */
	struct ul_buffer paths;
	UL_VECTOR(const char *) list; /* into paths */
};

static void free_tops(struct tops *t)
{
	ul_buffer_free(&t->text);
	ul_buffer_free(&t->paths);
	ul_vector_free(&t->list);
}

/* From lines of base names. */
static int list_tops(const char *store_dir, struct tops *t, struct ul_error *err)
{
	size_t dir = strlen(store_dir), n = 0, size;
	const char *at = (const char *)t->text.data;

	for (size_t i = 0; i < t->text.len; i++)
		if (t->text.data[i] == '\n') {
			t->text.data[i] = '\0';
			n++;
		}
	size = t->text.len + n * (dir + 1);
	/* All at once: pointers into it are kept. */
	if (ul_buffer_reserve(&t->paths, size) < 0)
		return ul_error_nomem(err, what);
	for (size_t i = 0; i < n; i++, at += strlen(at) + 1) {
		if (ul_vector_push(&t->list, (const char *)t->paths.data + t->paths.len) < 0)
			return ul_error_nomem(err, what);
		(void)ul_buffer_append(&t->paths, store_dir, dir);
		(void)ul_buffer_append(&t->paths, "/", 1);
		(void)ul_buffer_append(&t->paths, at, strlen(at) + 1);
	}
	return 0;
}

static bool sha256(const void *data, size_t len, uint8_t out[HASH_SIZE])
{
	return EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL) == 1;
}

/* path: UL_STORE_PATH_SIZE bytes; contents: the hash of UL_ROOT_PATH_CONTENTS. false: no memory. */
static bool name_it(const char *store_dir, const struct tops *t, const uint8_t contents[HASH_SIZE], char *path)
{
	ul_autobuffer struct ul_buffer text = {0};
	uint8_t hash[HASH_SIZE], folded[UL_DIGEST_SIZE] = {0};
	char hex[2 * HASH_SIZE + 1], digits[UL_HASH_DIGITS + 1];
	bool ok = ul_buffer_printf(&text, "text") == 0;

	for (size_t i = 0; ok && i < t->list.n; i++)
		ok = ul_buffer_append(&text, ":", 1) == 0 &&
		     ul_buffer_append(&text, t->list.at[i], strlen(t->list.at[i])) == 0;
	ul_hex_encode(contents, HASH_SIZE, hex);
	ok = ok && ul_buffer_printf(&text, ":sha256:%s:%s:" UL_ROOT_PATH_NAME, hex, store_dir) == 0 &&
	     sha256(text.data, text.len, hash);
	if (!ok)
		return false;
	for (size_t i = 0; i < HASH_SIZE; i++)
		folded[i % UL_DIGEST_SIZE] ^= hash[i];
	ul_nix32_encode(folded, sizeof(folded), digits);
	snprintf(path, UL_STORE_PATH_SIZE, "%s/%s-" UL_ROOT_PATH_NAME, store_dir, digits);
	return true;
}

static int add(struct ul_builder *b, const struct tops *t, char *path, struct ul_error *err)
{
	uint8_t contents[HASH_SIZE];
	char ca[100] = "text:sha256:";
	struct ul_path_info info = {
		.path = path, .nar_size = NAR_SIZE, .ca = ca, .refs = t->list.at, .n_refs = t->list.n};

	if (!sha256(UL_ROOT_PATH_CONTENTS, strlen(UL_ROOT_PATH_CONTENTS), contents) ||
	    !name_it(ul_builder_store_dir(b), t, contents, path))
		return ul_error_nomem(err, what);
	ul_nix32_encode(contents, sizeof(contents), ca + strlen(ca));
	memcpy(info.nar_hash, nar_hash, sizeof(nar_hash));
	return ul_builder_add(b, &info, err);
}

static int write_with(struct ul_manifest *m, const struct tops *t, char *path, struct ul_buffer *bytes,
		      struct ul_error *err)
{
	ul_autobuilder struct ul_builder *b = ul_builder_new(ul_manifest_store_dir(m));
	int r = b ? ul_builder_add_manifest(b, m, err) : ul_error_nomem(err, what);

	if (r == 0)
		r = add(b, t, path, err);
	return r < 0 ? r : ul_builder_finish(b, bytes, err);
}

int ul_root_path_add(struct ul_manifest *m, struct ul_buffer *bytes, struct ul_manifest **ret,
		     char base[UL_BASE_NAME_MAX + 1], struct ul_error *err)
{
	UL_CLEANUP(free_tops) struct tops tops = {.text = {0}};
	const char *dir = ul_manifest_store_dir(m);
	char path[UL_STORE_PATH_SIZE] = "";
	struct ul_manifest *with = NULL;
	int r = ul_roots_list(m, &tops.text, err);

	if (r == 0)
		r = list_tops(dir, &tops, err);
	if (r < 0)
		return r;
	if (tops.list.n == 1)
		snprintf(path, sizeof(path), "%s", tops.list.at[0]);
	if (tops.list.n > 1) {
		r = write_with(m, &tops, path, bytes, err);
		if (r == 0)
			r = ul_manifest_open_memory(bytes->data, bytes->len, &with, err);
	}
	if (r < 0)
		return r;
	snprintf(base, UL_BASE_NAME_MAX + 1, "%s", *path ? path + strlen(dir) + 1 : "");
	*ret = with;
	return 0;
}
