#include "verity/image/seal_write.h"

#include <string.h>

#include "common/cleanup.h"
#include "common/encoding.h"
#include "common/file.h"
#include "common/json.h"

static const char WHAT[] = "writing the signature partition";

void ul_tbs_free(struct ul_tbs *tbs)
{
	ul_buffer_free(&tbs->descriptor);
}

int ul_tbs_make(const struct ul_descriptor *d, struct ul_tbs *ret, struct ul_error *err)
{
	struct ul_tbs tbs = {.descriptor = {0}};
	int r = ul_descriptor_format(d, &tbs.descriptor, err);

	if (r < 0) {
		ul_tbs_free(&tbs);
		return r;
	}
	ul_hex_encode(d->root_hash, d->root_hash_len, tbs.root_hash);
	*ret = tbs;
	return 0;
}

static int no_descriptor(const char *image, const char *why, struct ul_error *err)
{
	return ul_error_set(err, UL_E_DESCRIPTOR, "reading the signature partition", image,
			    "Build the image by `underlay image build`.", "%s", why);
}

/* The descriptor of a draft or of a signed partition, appended to *ret. */
static int find_descriptor(const char *text, size_t len, const char *image, struct ul_buffer *ret, struct ul_error *err)
{
	ul_autojson struct json_object *json = NULL;
	struct json_object *ours = NULL;
	const char *why = "", *encoded;
	size_t n;

	json = len <= UL_SIG_PARTITION_SIZE ? ul_json_parse(text, len, &why) : NULL;
	if (!json)
		return no_descriptor(image, len ? "it holds no JSON" : "it is empty", err);
	if (!json_object_object_get_ex(json, "underlay", &ours) || !(encoded = ul_json_string(ours, "descriptor")))
		return no_descriptor(image, "it holds no descriptor: another tool made the image", err);
	if (ul_buffer_reserve(ret, strlen(encoded) / 4 * 3) < 0)
		return ul_error_nomem(err, WHAT);
	if (!ul_base64_decode(encoded, strlen(encoded), ret->data, &n))
		return no_descriptor(image, "its descriptor is not base64", err);
	ret->len = n;
	return 0;
}

int ul_tbs_read(const void *partition, size_t len, const char *image, struct ul_tbs *ret, struct ul_descriptor *ret_d,
		struct ul_error *err)
{
	struct ul_tbs tbs = {.descriptor = {0}};
	struct ul_descriptor d;
	int r = find_descriptor(partition, strnlen(partition, len), image, &tbs.descriptor, err);

	if (r == 0)
		r = ul_descriptor_parse(tbs.descriptor.data, tbs.descriptor.len, &d, err);
	if (r < 0) {
		ul_tbs_free(&tbs);
		return r;
	}
	ul_hex_encode(d.root_hash, d.root_hash_len, tbs.root_hash);
	*ret = tbs;
	*ret_d = d;
	return 0;
}

int ul_tbs_pread(int fd, uint64_t offset, const char *image, struct ul_tbs *ret, struct ul_descriptor *ret_d,
		 struct ul_error *err)
{
	uint8_t partition[UL_SIG_PARTITION_SIZE];
	int r = ul_pread_full(fd, partition, sizeof(partition), offset);

	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, "reading the signature partition", image, NULL, -r);
	return ul_tbs_read(partition, sizeof(partition), image, ret, ret_d, err);
}

static int pad(struct ul_buffer *b, struct ul_error *err)
{
	if (b->len > UL_SIG_PARTITION_SIZE)
		return ul_error_set(err, UL_E_INPUT, WHAT, NULL, "Sign with a smaller key.",
				    "the signatures take %zu bytes, the partition has %u", b->len,
				    UL_SIG_PARTITION_SIZE);
	if (ul_buffer_reserve(b, UL_SIG_PARTITION_SIZE - b->len) < 0)
		return ul_error_nomem(err, WHAT);
	memset(b->data + b->len, 0, UL_SIG_PARTITION_SIZE - b->len);
	b->len = UL_SIG_PARTITION_SIZE;
	return 0;
}

static int finish(struct ul_buffer *text, int r, struct ul_buffer *ret, struct ul_error *err)
{
	if (r == 0)
		r = pad(text, err);
	if (r < 0) {
		ul_buffer_free(text);
		return r;
	}
	*ret = *text;
	return 0;
}

int ul_seal_draft(const struct ul_tbs *tbs, struct ul_buffer *ret, struct ul_error *err)
{
	ul_autojson struct json_object *json = json_object_new_object();
	struct json_object *ours = json_object_new_object();
	const struct ul_buffer *d = &tbs->descriptor;
	struct ul_buffer buffer = {0};
	bool ok = ul_json_add(json, "underlay", ours) && ul_json_add_base64(ours, "descriptor", d->data, d->len);
	const char *text = ok ? ul_json_line(json) : NULL;

	if (!text || ul_buffer_append(&buffer, text, strlen(text)) < 0)
		return ul_error_nomem(err, WHAT);
	return finish(&buffer, 0, ret, err);
}

int ul_seal_join(const struct ul_tbs *tbs, const struct ul_buffer *root_hash_signature,
		 const struct ul_buffer *descriptor_signature, const uint8_t fingerprint[32], struct ul_buffer *ret,
		 struct ul_error *err)
{
	/* Borrowed throughout: never freed as a blob. */
	struct ul_signature_blob blob = {
		.root_hash = (char *)tbs->root_hash,
		.has_fingerprint = true,
		.signature = *root_hash_signature,
		.descriptor = tbs->descriptor,
		.descriptor_signature = *descriptor_signature,
	};
	struct ul_buffer text = {0};

	memcpy(blob.fingerprint, fingerprint, sizeof(blob.fingerprint));
	return finish(&text, ul_signature_format(&blob, &text, err), ret, err);
}

int ul_seal_sign(const struct ul_tbs *tbs, struct ul_signer *signer, struct ul_buffer *ret, struct ul_error *err)
{
	ul_autobuffer struct ul_buffer root_hash = {0}, descriptor = {0};
	uint8_t fingerprint[32];
	int r;

	if (!ul_signer_fingerprint(signer, fingerprint))
		return ul_error_nomem(err, WHAT);
	r = ul_signer_sign(signer, tbs->root_hash, strlen(tbs->root_hash), &root_hash, err);
	if (r == 0)
		r = ul_signer_sign(signer, tbs->descriptor.data, tbs->descriptor.len, &descriptor, err);
	return r < 0 ? r : ul_seal_join(tbs, &root_hash, &descriptor, fingerprint, ret, err);
}
