/* Signing an image that is there already: at once, or in two steps for a key that is kept elsewhere. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encoding.h"
#include "common/file.h"
#include "verity/image/build.h"
#include "verity/image/hash_tree.h"
#include "verity/image/seal_write.h"
#include "verity/locate/image_view.h"

static const char WHAT[] = "signing the image";
#define SIGNATURE_MAX 16384 /* bytes of a file with a PKCS#7 */

/* An image that is to be signed. */
struct open_image {
	const char *path;
	struct ul_slot_list list;
	struct ul_slot *slot;
	struct ul_tbs tbs;
	struct ul_descriptor d;
	int fd;
};

static void close_image(struct open_image *i)
{
	ul_slots_free(&i->list);
	ul_tbs_free(&i->tbs);
	if (i->fd >= 0)
		close(i->fd);
}

static int find_slot(struct open_image *i, struct ul_error *err)
{
	int r = ul_image_slots(i->path, NULL, &i->list, err);

	if (r < 0)
		return r;
	r = ul_image_one_slot(&i->list, WHAT, i->path, "Sign each image before it is copied to a disk.", err);
	if (r < 0)
		return r;
	i->slot = &i->list.at[0];
	if (!i->slot->sig.device || i->slot->sig.size < UL_SIG_PARTITION_SIZE)
		return ul_error_set(err, UL_E_PARTITIONS, WHAT, i->path, "Build the image by `underlay image build`.",
				    "it has no signature partition of %u bytes", UL_SIG_PARTITION_SIZE);
	return 0;
}

/*
 * A signature says that the image is good, so nothing is signed that is not: the descriptor is read from where
 * anybody could have written it.
 */
static int check_contents(struct open_image *i, struct ul_progress *progress, struct ul_error *err)
{
	const struct ul_slot *slot = i->slot;
	uint8_t data[16], hash[16];
	struct ul_image_fds fds = {i->fd, slot->data.offset, i->fd, slot->hash.offset};
	struct ul_work work = {.progress = progress};

	if (ul_image_partition_uuids(i->d.root_hash, i->d.root_hash_len, data, hash) < 0)
		return ul_error_set(err, UL_E_DESCRIPTOR, WHAT, i->path, NULL, "its root hash is too short");
	if (!ul_uuid_is(slot->data_uuid, data) || !ul_uuid_is(slot->hash_uuid, hash))
		return ul_error_set(err, UL_E_CHECK, WHAT, i->path, "Build the image again.",
				    "the partition UUIDs are not those of the root hash");
	if (i->d.data_blocks > slot->data.size / i->d.data_block_size)
		return ul_error_set(err, UL_E_CHECK, WHAT, i->path, "Build the image again.",
				    "the data partition is smaller than the descriptor says");
	return ul_hash_tree_check(&fds, &i->d, &work, NULL, err);
}

/* Open, find, read; *ret is set in any case and to be closed. */
static int open_image(const char *path, bool writable, struct open_image *ret, struct ul_error *err)
{
	int r;

	*ret = (struct open_image){.path = path, .fd = -1};
	r = find_slot(ret, err);
	if (r < 0)
		return r;
	ret->fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY);
	if (ret->fd < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, path, NULL, errno);
	return ul_tbs_pread(ret->fd, ret->slot->sig.offset, path, &ret->tbs, &ret->d, err);
}

static int write_partition(struct open_image *i, const struct ul_buffer *partition, struct ul_error *err)
{
	int r = ul_pwrite_full(i->fd, partition->data, partition->len, i->slot->sig.offset);

	if (r == 0 && fsync(i->fd) < 0)
		r = -errno;
	return r < 0 ? ul_error_errno(err, UL_E_SYSTEM, WHAT, i->path, NULL, -r) : 0;
}

int ul_image_sign(const char *image, struct ul_signer *signer, struct ul_progress *progress, struct ul_error *err)
{
	UL_CLEANUP(close_image) struct open_image i;
	ul_autobuffer struct ul_buffer partition = {0};
	int r = open_image(image, true, &i, err);

	if (r == 0)
		r = check_contents(&i, progress, err);
	if (r == 0)
		r = ul_seal_sign(&i.tbs, signer, &partition, err);
	return r < 0 ? r : write_partition(&i, &partition, err);
}

static int export_file(const char *dir, const char *name, const void *data, size_t len, struct ul_error *err)
{
	ul_autofree char *path = ul_path_join(dir, name);

	return path ? ul_write_output("writing what is to be signed", path, data, len, err)
		    : ul_error_nomem(err, "writing what is to be signed");
}

int ul_image_export_tbs(const char *image, const char *dir, struct ul_progress *progress, struct ul_error *err)
{
	UL_CLEANUP(close_image) struct open_image i;
	int r = open_image(image, false, &i, err);

	if (r == 0)
		r = check_contents(&i, progress, err);
	if (r < 0)
		return r;
	r = ul_mkdir_parents(AT_FDCWD, dir, 0755);
	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, "writing what is to be signed", dir, NULL, -r);
	r = export_file(dir, "root-hash", i.tbs.root_hash, strlen(i.tbs.root_hash), err);
	return r < 0 ? r : export_file(dir, "descriptor", i.tbs.descriptor.data, i.tbs.descriptor.len, err);
}

static int read_signature(const char *path, struct ul_buffer *ret, struct ul_error *err)
{
	int r = ul_read_file(AT_FDCWD, path, SIGNATURE_MAX, ret);

	return r < 0 ? ul_error_errno(err, UL_E_SYSTEM, "reading the signature", path, NULL, -r) : 0;
}

static void free_trust(struct ul_trust **trust)
{
	ul_trust_free(*trust);
}

/* Both signatures must be by the one certificate; says who that is. */
static int verify_signatures(const struct open_image *i, const struct ul_buffer *root_hash,
			     const struct ul_buffer *descriptor, const char *cert_path, struct ul_signer_name *ret_by,
			     struct ul_error *err)
{
	const struct ul_signed both[] = {
		{"root hash", i->tbs.root_hash, strlen(i->tbs.root_hash), root_hash->data, root_hash->len},
		{"descriptor", i->tbs.descriptor.data, i->tbs.descriptor.len, descriptor->data, descriptor->len},
	};
	UL_CLEANUP(free_trust) struct ul_trust *trust = NULL;
	int r = ul_trust_load_file(cert_path, &trust, err);

	for (size_t k = 0; r == 0 && k < UL_ARRAY_SIZE(both); k++)
		r = ul_trust_verify(trust, &both[k], ret_by, err);
	return r;
}

int ul_image_add_signatures(const char *image, const char *root_hash_p7s, const char *descriptor_p7s,
			    const char *cert_path, struct ul_signer_name *ret_by, struct ul_error *err)
{
	UL_CLEANUP(close_image) struct open_image i;
	ul_autobuffer struct ul_buffer root_hash = {0}, descriptor = {0}, partition = {0};
	struct ul_signer_name by;
	uint8_t fingerprint[32];
	int r = open_image(image, true, &i, err);

	if (r == 0)
		r = read_signature(root_hash_p7s, &root_hash, err);
	if (r == 0)
		r = read_signature(descriptor_p7s, &descriptor, err);
	if (r == 0)
		r = verify_signatures(&i, &root_hash, &descriptor, cert_path, &by, err);
	if (r < 0)
		return r;
	if (!ul_hex_decode(by.fingerprint, strlen(by.fingerprint), fingerprint, sizeof(fingerprint)))
		return ul_error_set(err, UL_E_SIGNATURE, WHAT, cert_path, NULL, "its fingerprint is not a SHA-256");
	r = ul_seal_join(&i.tbs, &root_hash, &descriptor, fingerprint, &partition, err);
	if (r == 0)
		r = write_partition(&i, &partition, err);
	if (r == 0)
		*ret_by = by;
	return r;
}
