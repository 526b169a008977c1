/*
 * Where things lie in a store image, and what they are called: pure arithmetic, no I/O.
 *
 *     0                 protective MBR, primary GPT
 *     1 MiB             data       the filesystem; partition UUID = first 128 bits of the root hash
 *     next MiB          verity     superblock (4096 bytes), hash tree, FEC area (if any); UUID = last 128 bits
 *     next MiB          verity-sig JSON, then NULs to UL_SIG_PARTITION_SIZE
 *     end of last MiB   backup GPT
 *
 * Every partition starts on a whole MiB and has exactly its content's size (a multiple of 4096 bytes); the
 * image ends on a whole MiB, so that it can be written to a disk as it is.
 *
 * Identifiers that the root hash does not give (disk GUID, UUID of the signature partition, of the
 * superblock and the filesystem, salt) are SHA-256 over a label and what the image is, so that the
 * same input gives the same image. A salt that can be foreseen costs nothing here: it is to keep one search for
 * collisions from serving many images, for which it need only differ between images; it is not a secret in any
 * case, since every reader of the device has it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "verity/format/descriptor.h"

#define UL_IMAGE_ALIGN        (1024u * 1024)
#define UL_IMAGE_BLOCK        4096u
#define UL_SIG_PARTITION_SIZE 16384u /* bytes, as systemd-repart makes it */
#define UL_IMAGE_SALT_SIZE    32u
#define UL_GPT_LABEL_MAX      36u /* UTF-16 units that an entry's name has room for */

struct ul_image_layout {
	uint64_t data_offset, data_size; /* bytes */
	uint64_t hash_offset, hash_size;
	uint64_t sig_offset, sig_size;
	uint64_t image_size;
};

/*
 * Lay out a filesystem of fs_size bytes (rounded up to whole blocks) with a hash area (superblock, tree, FEC area)
 * of hash_size bytes. 0 or -EOVERFLOW.
 */
int ul_image_layout(uint64_t fs_size, uint64_t hash_size, struct ul_image_layout *ret);

/* out = SHA-256("underlay-" label NUL seed). 0 or -ENOMEM. */
int ul_image_derive(const char *label, const void *seed, size_t len, uint8_t out[32]);

/* ul_image_derive, cut to a UUID of version 4's form. */
int ul_image_derive_uuid(const char *label, const void *seed, size_t len, uint8_t out[16]);

/* "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" of bytes in the order of the text. */
void ul_uuid_format(const uint8_t uuid[16], char out[37]);

/* Whether the text, in lower case, is that of these bytes. */
bool ul_uuid_is(const char *text, const uint8_t uuid[16]);

/*
 * Partition UUIDs as the Discoverable Partitions Specification derives them. -EINVAL: root_hash is
 * shorter than two UUIDs.
 */
int ul_image_partition_uuids(const uint8_t *root_hash, size_t len, uint8_t ret_data[16], uint8_t ret_hash[16]);

/* The signature partition's, which the specification leaves open: it differs between images. 0 or -ENOMEM. */
int ul_image_signature_uuid(const uint8_t *root_hash, size_t len, uint8_t ret[16]);
