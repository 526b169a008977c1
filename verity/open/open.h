/*
 * Opening a sealed image: the trust decision, then dm-verity. The one code that boots, that
 * `underlay image verify` runs and that the tamper tests attack.
 *
 *   1. ul_seal_decide   reads the signature partition, decides by the policy, yields verity parameters
 *   2. ul_verity_activate   sets dm-verity up by libcryptsetup from these parameters alone, reads a block,
 *      asks for status `V`; else takes the mapping down and fails
 */
#pragma once

#include <stdbool.h>

#include "common/error.h"
#include "verity/format/descriptor.h"
#include "verity/open/slots.h"
#include "verity/open/trust.h"

enum ul_verify_mode {
	UL_VERIFY_PINNED, /* the root hash of the policy, no signature asked */
	UL_VERIFY_USER,   /* PKCS#7 by a certificate of /etc/verity.d, checked here */
	UL_VERIFY_KERNEL, /* the kernel checks the root hash's signature by its keyrings */
	UL_VERIFY_BOTH,   /* user and kernel */
};

enum ul_corruption_mode { UL_CORRUPTION_EIO, UL_CORRUPTION_RESTART, UL_CORRUPTION_PANIC };

struct ul_seal_policy {
	enum ul_verify_mode mode;
	const struct ul_trust *trust;    /* for user and both */
	const uint8_t *pinned_root_hash; /* for pinned (and, where set, demanded in all modes); NULL */
	size_t pinned_root_hash_len;
	bool descriptor_required; /* false: foreign images, whose superblock is then read and checked */
	uint64_t rollback_min;    /* smallest rollback index accepted; > 0 needs a descriptor */
};

/* What was decided to be true of an image. Plain data. */
struct ul_seal {
	struct ul_descriptor d;               /* parameters; d.name and version empty for a foreign image */
	bool from_descriptor;                 /* false: from the superblock, checked for sanity */
	bool vouched;                         /* the descriptor's signature was checked: d says who the image is */
	struct ul_signer_name by;             /* who signed (user, both); empty else */
	struct ul_buffer root_hash_signature; /* DER, for the kernel; freed by ul_seal_free */
	/*
	 * Set by who has the mapping made: whose key the kernel found it signed by (it looks by issuer and
	 * serial); empty where the kernel was not asked.
	 */
	struct ul_signer_claim kernel_by;
};

/*
 * The trust decision for a slot. Reads at most UL_SIGNATURE_PARTITION_MAX bytes of the signature partition
 * and, for a foreign image only, the superblock. Also checks that data and hash extents are large enough for the
 * parameters. Errors: -UL_E_SIGNATURE, -UL_E_SIGNER, -UL_E_DESCRIPTOR, -UL_E_ROOT_HASH,
 * -UL_E_SUPERBLOCK, -UL_E_ROLLBACK, -UL_E_PARTITIONS (too small), -UL_E_VERSION (a descriptor of a newer form),
 * -UL_E_SYSTEM (I/O).
 */
int ul_seal_decide(const struct ul_slot *slot, const struct ul_seal_policy *policy, struct ul_seal *ret,
		   struct ul_error *err);
void ul_seal_free(struct ul_seal *seal);

/* The mapping that is wanted. */
struct ul_verity_want {
	const struct ul_slot *slot;         /* data and hash must be block devices at offset 0 */
	const struct ul_seal *seal;         /* what ul_seal_decide yielded for it */
	bool kernel_signature;              /* the kernel is to check the root hash's signature */
	enum ul_corruption_mode corruption; /* what it does at a corrupt block */
};

/*
 * Activate /dev/mapper/NAME over the slot's devices: first and last block are
 * read, and the kernel must say `V`. An existing mapping of that name is used only if it is verity with the same
 * parameters, devices, corruption mode and signature state; it is checked alike. Errors: -UL_E_VERITY,
 * -UL_E_DEVICE, -UL_E_CORRUPT (root hash and tree do not fit), -UL_E_SYSTEM (the disk fails to read),
 * -UL_E_SIGNATURE and -UL_E_SIGNER (refused by the kernel, naming the keyrings), -UL_E_MODULE (dm-verity is
 * missing). On failure no mapping that was made here stays behind.
 */
int ul_verity_activate(const char *name, const struct ul_verity_want *want, struct ul_error *err);
int ul_verity_deactivate(const char *name, struct ul_error *err);

/* Libraries' own log lines (libcryptsetup) go to this function; NULL: dropped. */
void ul_verity_set_log(void (*log)(const char *line));
