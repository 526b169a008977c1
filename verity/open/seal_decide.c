/*
 * The trust decision. Before: a slot, nothing in which is believed. After: dm-verity's parameters, among them a
 * root hash that the policy vouches for; or a refusal.
 *
 *   mode     the root hash is vouched for by             the descriptor is believed when
 *   pinned   the policy itself                           never: its parameters are hints
 *   user     a trusted certificate, checked here         a trusted certificate signed it, checked here
 *   kernel   the kernel, when the mapping is made        trust is given and one of it signed; else hints
 *   both     a trusted certificate here, then the kernel a trusted certificate signed it, checked here
 *
 * Why hints are harmless. Block sizes, salt, algorithm, number of blocks and place of the tree decide how
 * dm-verity computes, never what result it accepts: each block that it hands out was hashed, level by level, up
 * to the one root hash. Salt and block cannot be shifted against each other, as a salt (256 bytes at most)
 * is shorter than any two block sizes are apart (512 at least). So other parameters make the first read fail, or
 * show fewer blocks than there are, or blocks of the tree as if they were data: nothing of an attacker's
 * making, and no filesystem. What remains is the harm that bad numbers do to a parser: hints are bounded
 * exactly as signed parameters are. What a hint says of identity (name, version, rollback index, manifest
 * hash) is dropped, as nothing vouches for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encoding.h"
#include "common/file.h"
#include "verity/format/fec_geometry.h"
#include "verity/format/hash_tree_geometry.h"
#include "verity/format/signature.h"
#include "verity/format/superblock.h"
#include "verity/open/open.h"

static const char TODO_WRITE[] = "Write the image again.";

/* All that the steps of one decision share. */
struct decision {
	const struct ul_slot *slot;
	const struct ul_seal_policy *policy;
	struct ul_signature_blob blob; /* of the signature partition; zero without have_blob */
	bool have_blob;
	struct ul_error no_blob; /* why have_blob is false */
	uint8_t root_hash[UL_ROOT_HASH_MAX];
	size_t root_hash_len; /* 0: not known yet */
	struct ul_seal seal;
};

static int read_extent(const struct ul_extent *e, void *buf, size_t len, const char *what, struct ul_error *err)
{
	ul_autoclose int fd = open(e->device, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int r = fd < 0 ? -errno : ul_pread_full(fd, buf, len, e->offset);

	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, what, e->device, "Check the disk and its cable.", -r);
	return 0;
}

static int no_signature(struct decision *k, const char *why)
{
	return ul_error_set(&k->no_blob, UL_E_SIGNATURE, "reading the signature",
			    k->slot->sig.device ? k->slot->sig.device : k->slot->disk,
			    "Sign the image (underlay image sign).", "%s", why);
}

/* 0 also without a usable signature: the mode decides whether one is needed. */
static int read_blob(struct decision *k, struct ul_error *err)
{
	const struct ul_extent *e = &k->slot->sig;
	ul_autofree uint8_t *bytes = NULL;
	size_t len = e->size < UL_SIGNATURE_PARTITION_MAX ? (size_t)e->size : UL_SIGNATURE_PARTITION_MAX;
	int r;

	if (!e->device) {
		no_signature(k, "the image has no signature partition");
		return 0;
	}
	if (len == 0) {
		no_signature(k, "the signature partition has no size");
		return 0;
	}
	bytes = malloc(len);
	if (!bytes)
		return ul_error_nomem(err, "reading the signature");
	r = read_extent(e, bytes, len, "reading the signature", err);
	if (r < 0)
		return r;
	r = ul_signature_parse(bytes, len, &k->blob, &k->no_blob);
	if (r == -UL_E_MEMORY) {
		if (err)
			*err = k->no_blob;
		return r;
	}
	if (r == 0)
		k->have_blob = true;
	else if (!k->no_blob.object[0])
		ul_escape_text(k->no_blob.object, sizeof(k->no_blob.object), e->device);
	return 0;
}

static int need_blob(struct decision *k, struct ul_error *err)
{
	if (k->have_blob)
		return 0;
	if (err)
		*err = k->no_blob;
	return -(int)k->no_blob.code;
}

static bool is_pinned(const struct ul_seal_policy *policy, const uint8_t *root_hash, size_t len)
{
	return policy->pinned_root_hash_len == len && memcmp(policy->pinned_root_hash, root_hash, len) == 0;
}

static int wrong_root_hash(struct decision *k, const uint8_t *root_hash, size_t len, struct ul_error *err)
{
	char hex[2 * UL_ROOT_HASH_MAX + 1], wanted[2 * UL_ROOT_HASH_MAX + 1];

	ul_hex_encode(root_hash, len, hex);
	ul_hex_encode(k->policy->pinned_root_hash, k->policy->pinned_root_hash_len, wanted);
	return ul_error_set(err, UL_E_ROOT_HASH, "checking the root hash", k->slot->disk,
			    "Install the image that the policy names.",
			    "the image has %.16s..., the policy demands %.16s...", hex, wanted);
}

/* The root hash that the signature partition names, as bytes. */
static int decode_root_hash(struct decision *k, struct ul_error *err)
{
	size_t digits = k->blob.root_hash ? strlen(k->blob.root_hash) : 0;

	if ((digits != 64 && digits != 128) || !ul_hex_decode(k->blob.root_hash, digits, k->root_hash, digits / 2))
		return ul_error_set(err, UL_E_SIGNATURE, "reading the signature", k->slot->sig.device, TODO_WRITE,
				    "its root hash is neither SHA-256 nor SHA-512 in hex");
	k->root_hash_len = digits / 2;
	return 0;
}

static bool checks_here(const struct ul_seal_policy *policy)
{
	return policy->mode == UL_VERIFY_USER || policy->mode == UL_VERIFY_BOTH;
}

static bool has_trust(const struct ul_seal_policy *policy)
{
	return policy->trust && ul_trust_count(policy->trust) > 0;
}

/* The parsers do not know the partition: name it in an error that has no object yet. */
static int at_signature(const struct decision *k, int r, struct ul_error *err)
{
	if (r < 0 && err && !err->object[0])
		ul_escape_text(err->object, sizeof(err->object), k->slot->sig.device);
	return r;
}

static int verify(const struct decision *k, const struct ul_signed *s, struct ul_signer_name *ret_by,
		  struct ul_error *err)
{
	return at_signature(k, ul_trust_verify(k->policy->trust, s, ret_by, err), err);
}

static struct ul_signed signed_root_hash(const struct ul_signature_blob *blob)
{
	return (struct ul_signed){"root hash", blob->root_hash, strlen(blob->root_hash), blob->signature.data,
				  blob->signature.len};
}

static struct ul_signed signed_descriptor(const struct ul_signature_blob *blob)
{
	return (struct ul_signed){"descriptor", blob->descriptor.data, blob->descriptor.len,
				  blob->descriptor_signature.data, blob->descriptor_signature.len};
}

/* After this: k->root_hash is set, and vouched for as far as it is by the mode before activation. */
static int decide_root_hash(struct decision *k, struct ul_error *err)
{
	const struct ul_seal_policy *policy = k->policy;
	struct ul_signed s;
	int r;

	if (policy->mode == UL_VERIFY_PINNED) {
		if (policy->pinned_root_hash_len != 32 && policy->pinned_root_hash_len != 64)
			return ul_error_set(err, UL_E_CONFIG, "checking the root hash", NULL,
					    "Set root-hash in the policy.", "the policy pins no root hash");
		/* What the image says of itself is not proof, but it tells "another image" from "damaged". */
		if (k->have_blob && decode_root_hash(k, NULL) == 0 &&
		    !is_pinned(policy, k->root_hash, k->root_hash_len))
			return wrong_root_hash(k, k->root_hash, k->root_hash_len, err);
		k->root_hash_len = policy->pinned_root_hash_len;
		memcpy(k->root_hash, policy->pinned_root_hash, k->root_hash_len);
		return 0;
	}
	r = need_blob(k, err);
	if (r == 0)
		r = decode_root_hash(k, err);
	if (r == 0 && checks_here(policy)) {
		if (!has_trust(policy))
			return ul_error_set(err, UL_E_SIGNER, "checking the signature", k->slot->sig.device,
					    "Put the signer's certificate into /etc/verity.d.",
					    "no certificate is trusted here");
		s = signed_root_hash(&k->blob);
		r = verify(k, &s, &k->seal.by, err);
	}
	if (r < 0)
		return r;
	if (policy->pinned_root_hash && !is_pinned(policy, k->root_hash, k->root_hash_len))
		return wrong_root_hash(k, k->root_hash, k->root_hash_len, err);
	return 0;
}

static void drop_identity(struct ul_descriptor *d)
{
	memset(d->name, 0, sizeof(d->name));
	memset(d->version, 0, sizeof(d->version));
	memset(d->manifest_hash, 0, sizeof(d->manifest_hash));
	d->has_manifest = 0;
	d->rollback_index = 0;
}

static int take_descriptor(struct decision *k, struct ul_error *err)
{
	const struct ul_buffer *text = &k->blob.descriptor;
	struct ul_signed s = signed_descriptor(&k->blob);
	struct ul_descriptor *d = &k->seal.d;
	int r = 0;

	k->seal.vouched = checks_here(k->policy) || (k->policy->mode == UL_VERIFY_KERNEL && has_trust(k->policy));
	if (k->seal.vouched)
		r = verify(k, &s, checks_here(k->policy) ? NULL : &k->seal.by, err);
	if (r == 0)
		r = at_signature(k, ul_descriptor_parse(text->data, text->len, d, err), err);
	if (r < 0)
		return r;
	if (d->root_hash_len != k->root_hash_len || memcmp(d->root_hash, k->root_hash, k->root_hash_len) != 0)
		return ul_error_set(err, UL_E_DESCRIPTOR, "reading the descriptor", k->slot->sig.device, TODO_WRITE,
				    "it belongs to an image with another root hash");
	if (!k->seal.vouched)
		drop_identity(d);
	k->seal.from_descriptor = true;
	return 0;
}

static int take_superblock(struct decision *k, struct ul_error *err)
{
	const struct ul_extent *e = &k->slot->hash;
	uint8_t bytes[UL_SUPERBLOCK_SIZE];
	struct ul_descriptor *d = &k->seal.d;
	int r;

	if (e->size < sizeof(bytes))
		return ul_error_set(err, UL_E_PARTITIONS, "reading the dm-verity superblock", e->device, TODO_WRITE,
				    "the hash partition is too small");
	r = read_extent(e, bytes, sizeof(bytes), "reading the dm-verity superblock", err);
	if (r == 0)
		r = ul_superblock_parse(bytes, e->device, d, NULL, err);
	if (r < 0)
		return r;
	d->root_hash_len = k->root_hash_len;
	memcpy(d->root_hash, k->root_hash, k->root_hash_len);
	return 0;
}

static int decide_parameters(struct decision *k, struct ul_error *err)
{
	static const char what[] = "reading the descriptor";
	const struct ul_seal_policy *policy = k->policy;
	const char *object = k->slot->sig.device ? k->slot->sig.device : k->slot->disk;
	int r;

	if (k->have_blob && k->blob.descriptor.len > 0) {
		r = take_descriptor(k, err);
	} else if (policy->descriptor_required || policy->rollback_min > 0) {
		return ul_error_set(
			err, UL_E_DESCRIPTOR, what, object,
			"Build the image by `underlay image build`, or let the policy accept foreign images.", "%s: %s",
			policy->descriptor_required ? "the policy wants one" : "the policy has a rollback floor",
			k->have_blob ? "the signature partition holds none" : k->no_blob.why);
	} else {
		r = take_superblock(k, err);
	}
	if (r < 0 || policy->rollback_min == 0)
		return r;
	/*
	 * An index that nobody vouches for says nothing: the kernel checks the root hash alone, and the
	 * descriptor of an old image can be edited.
	 */
	if (!k->seal.vouched)
		return ul_error_set(err, UL_E_DESCRIPTOR, what, object,
				    "Let the policy verify in user space too (user or both).",
				    "its signature is not checked in this mode, so that its "
				    "rollback index says nothing");
	if (k->seal.d.rollback_index < policy->rollback_min)
		return ul_error_set(err, UL_E_ROLLBACK, "checking the rollback index", object, "Install a newer image.",
				    "the image has %" PRIu64 ", the policy's floor is %" PRIu64,
				    k->seal.d.rollback_index, policy->rollback_min);
	return 0;
}

static int too_small(const struct ul_extent *e, const char *which, uint64_t want, struct ul_error *err)
{
	return ul_error_set(err, UL_E_PARTITIONS, "checking the geometry", e->device, TODO_WRITE,
			    "the %s partition has %" PRIu64 " bytes, the image needs %" PRIu64 ": it is truncated",
			    which, e->size, want);
}

/*
 * Signed parameters are checked like any others: whoever signs may err. A number that cannot be is the fault
 * of its source, descriptor or superblock; a size that does not fit is the partition table's.
 */
static int check_geometry(const struct decision *k, struct ul_error *err)
{
	const struct ul_descriptor *d = &k->seal.d;
	const struct ul_extent *data = &k->slot->data, *hash = &k->slot->hash;
	enum ul_code code = k->seal.from_descriptor ? UL_E_DESCRIPTOR : UL_E_SUPERBLOCK;
	size_t digest = strcmp(d->hash, "sha256") == 0 ? 32 : strcmp(d->hash, "sha512") == 0 ? 64 : 0;
	uint64_t data_end, tree, tree_end;
	const char *why = NULL;

	if (digest == 0 || d->root_hash_len != digest)
		why = "hash algorithm and root hash do not fit each other";
	else if (!ul_block_size_valid(d->data_block_size) || !ul_block_size_valid(d->hash_block_size))
		why = "a block size is not 512, 1024, 2048 or 4096";
	else if (d->salt_len > UL_SALT_MAX)
		why = "the salt is too long";
	else if (d->data_blocks == 0 || __builtin_mul_overflow(d->data_blocks, d->data_block_size, &data_end) ||
		 data_end > INT64_MAX)
		why = "the number of data blocks is 0 or too large";
	else if (d->hash_start % d->hash_block_size != 0)
		why = "the hash tree does not start at a hash block";
	if (why)
		return ul_error_set(err, code, "checking the geometry", k->slot->disk, TODO_WRITE, "%s", why);
	if (data_end > data->size)
		return too_small(data, "data", data_end, err);
	/* The tree of a partition that exists is small enough to be computed without overflow. */
	tree = ul_hash_tree_size(d);
	if ((tree == 0 && d->data_blocks > 1) || __builtin_add_overflow(d->hash_start, tree, &tree_end) ||
	    tree_end > INT64_MAX)
		return ul_error_set(err, code, "checking the geometry", k->slot->disk, TODO_WRITE,
				    "the hash tree would end beyond 2^63 bytes");
	if (tree_end > hash->size)
		return too_small(hash, "hash", tree_end, err);
	if (d->fec_roots != 0 && !ul_fec_fits(d, tree_end, hash->size))
		return ul_error_set(err, code, "checking the geometry", k->slot->disk, TODO_WRITE,
				    "the FEC area does not fit the hash partition");
	return 0;
}

int ul_seal_decide(const struct ul_slot *slot, const struct ul_seal_policy *policy, struct ul_seal *ret,
		   struct ul_error *err)
{
	struct decision k = {.slot = slot, .policy = policy};
	int r;

	/* An unknown mode would pass for "the kernel will check it", and nobody would ask the kernel. */
	if ((unsigned int)policy->mode > UL_VERIFY_BOTH)
		return ul_error_set(err, UL_E_CONFIG, "choosing what to verify", slot->disk, NULL,
				    "mode %u verifies nothing", (unsigned int)policy->mode);
	r = read_blob(&k, err);
	if (r == 0)
		r = decide_root_hash(&k, err);
	if (r == 0)
		r = decide_parameters(&k, err);
	if (r == 0)
		r = check_geometry(&k, err);
	if (r == 0) {
		k.seal.root_hash_signature = k.blob.signature;
		k.blob.signature = (struct ul_buffer){0};
		*ret = k.seal;
	}
	ul_signature_free(&k.blob);
	return r;
}

void ul_seal_free(struct ul_seal *seal)
{
	ul_buffer_free(&seal->root_hash_signature);
	*seal = (struct ul_seal){0};
}
