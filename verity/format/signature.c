/*
 * The verity-sig partition's JSON: read with bounds, written with its members in one order. Nothing of it is
 * believed here; verity/open/trust.c decides.
 */
#include "verity/format/signature.h"

#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/encoding.h"
#include "common/json.h"
#include "verity/format/descriptor.h"
#include "verity/format/pkcs7.h"

/* The JSON's length: two signatures and a descriptor at their greatest in base64, and room for more. */
#define JSON_MAX (256 * 1024)

static const char WHAT[] = "reading the signature partition";
static const char advice[] = "Sign the image again.";

static const char *decode(const char *text, size_t max, struct ul_buffer *ret)
{
	size_t len = strlen(text), got;

	if (len == 0 || len > ul_base64_length(max))
		return "a signature or the descriptor is empty or too long";
	if (ul_buffer_reserve(ret, len / 4 * 3 + 3) < 0)
		return "out of memory";
	if (!ul_base64_decode(text, len, ret->data, &got))
		return "a signature or the descriptor is not base64";
	if (got > max)
		return "a signature or the descriptor is too long";
	ret->len = got;
	return NULL;
}

static bool is_root_hash(const char *text)
{
	size_t len = strlen(text);

	return (len == 64 || len == 128) && strspn(text, "0123456789abcdef") == len;
}

static const char *read_underlay(struct json_object *json, struct ul_signature_blob *blob)
{
	struct json_object *ours;
	const char *descriptor, *signature, *why;

	if (!json_object_object_get_ex(json, "underlay", &ours))
		return NULL;
	descriptor = ul_json_string(ours, "descriptor");
	signature = ul_json_string(ours, "signature");
	if (!descriptor || !signature)
		return "\"underlay\" has no \"descriptor\" or no \"signature\"";
	why = decode(descriptor, UL_DESCRIPTOR_MAX, &blob->descriptor);
	return why ? why : decode(signature, UL_PKCS7_MAX, &blob->descriptor_signature);
}

static const char *read_members(struct json_object *json, struct ul_signature_blob *blob)
{
	const char *root_hash = ul_json_string(json, "rootHash");
	const char *signature = ul_json_string(json, "signature");
	const char *fingerprint = ul_json_string(json, "certificateFingerprint");
	const char *why;

	/* What a build leaves that was given no key: verity/image/seal_write.h. */
	if (!root_hash && !signature && json_object_object_get(json, "underlay"))
		return "the image is not signed yet";
	if (!root_hash || !is_root_hash(root_hash))
		return "\"rootHash\" is missing or not 64 or 128 lower-case hex digits";
	if (!signature)
		return "\"signature\" is missing";
	blob->has_fingerprint = fingerprint != NULL;
	if (fingerprint ? !ul_hex_decode(fingerprint, strlen(fingerprint), blob->fingerprint, sizeof(blob->fingerprint))
			: json_object_object_get_ex(json, "certificateFingerprint", NULL))
		return "\"certificateFingerprint\" is not 64 hex digits";
	blob->root_hash = strdup(root_hash);
	if (!blob->root_hash)
		return "out of memory";
	why = decode(signature, UL_PKCS7_MAX, &blob->signature);
	return why ? why : read_underlay(json, blob);
}

int ul_signature_parse(const void *data, size_t len, struct ul_signature_blob *ret, struct ul_error *err)
{
	ul_autojson struct json_object *json = NULL;
	struct ul_signature_blob blob = {0};
	size_t text_len = strnlen(data, len);
	const char *why;

	if (text_len == 0 && ul_all_zero(data, len))
		return ul_error_set(err, UL_E_SIGNATURE, WHAT, NULL, advice,
				    "the partition is empty: the image was never signed, or its signature was erased");
	if (len > UL_SIGNATURE_PARTITION_MAX || text_len > JSON_MAX)
		return ul_error_set(err, UL_E_SIGNATURE, WHAT, NULL, advice, "the signature is longer than %d bytes",
				    JSON_MAX);
	if (!ul_all_zero((const uint8_t *)data + text_len, len - text_len))
		return ul_error_set(err, UL_E_SIGNATURE, WHAT, NULL, advice,
				    "other bytes than zeros follow the signature");
	json = ul_json_parse(data, text_len, &why);
	if (!json)
		return ul_error_set(err, UL_E_SIGNATURE, WHAT, NULL, advice, "it is not JSON: %s", why);
	why = read_members(json, &blob);
	if (why) {
		ul_signature_free(&blob);
		return ul_error_set(err, UL_E_SIGNATURE, WHAT, NULL, advice, "%s", why);
	}
	*ret = blob;
	return 0;
}

void ul_signature_free(struct ul_signature_blob *blob)
{
	free(blob->root_hash);
	ul_buffer_free(&blob->signature);
	ul_buffer_free(&blob->descriptor);
	ul_buffer_free(&blob->descriptor_signature);
	*blob = (struct ul_signature_blob){0};
}

static bool add_base64(struct json_object *json, const char *key, const struct ul_buffer *data)
{
	return ul_json_add_base64(json, key, data->data, data->len);
}

static bool add_underlay(struct json_object *json, const struct ul_signature_blob *blob)
{
	struct json_object *ours = json_object_new_object();

	return ul_json_add(json, "underlay", ours) && add_base64(ours, "descriptor", &blob->descriptor) &&
	       add_base64(ours, "signature", &blob->descriptor_signature);
}

int ul_signature_format(const struct ul_signature_blob *blob, struct ul_buffer *ret, struct ul_error *err)
{
	static const char what[] = "writing the signature's JSON";
	ul_autojson struct json_object *json = NULL;
	char fingerprint[2 * sizeof(blob->fingerprint) + 1];
	const char *text;

	if (!blob->root_hash || !is_root_hash(blob->root_hash) || blob->signature.len == 0 ||
	    blob->signature.len > UL_PKCS7_MAX || blob->descriptor.len > UL_DESCRIPTOR_MAX ||
	    blob->descriptor_signature.len > UL_PKCS7_MAX ||
	    (blob->descriptor.len > 0) != (blob->descriptor_signature.len > 0))
		return ul_error_set(err, UL_E_INPUT, what, NULL, NULL,
				    "the root hash, a signature or the descriptor is missing or too long");
	ul_hex_encode(blob->fingerprint, sizeof(blob->fingerprint), fingerprint);
	json = json_object_new_object();
	if (!json || !ul_json_add_string(json, "rootHash", blob->root_hash) ||
	    !ul_json_add_string(json, "certificateFingerprint", blob->has_fingerprint ? fingerprint : NULL) ||
	    !add_base64(json, "signature", &blob->signature) || (blob->descriptor.len > 0 && !add_underlay(json, blob)))
		return ul_error_nomem(err, what);
	text = ul_json_line(json);
	if (!text || ul_buffer_append(ret, text, strlen(text)) < 0)
		return ul_error_nomem(err, what);
	return 0;
}
