/*
 * The trials' record: what became of each image that was started, so that one which verifies and then does not come up
 * is not started for ever. An entry belongs to a root hash, never to a partition: whatever writes slots, an image is
 * what it was. Pure: where the record lies, store.h says.
 *
 * Whoever is root in the system, or has the disk, can write it. So it is parsed strictly, and believed in nothing but
 * the order in which images are tried that are signed and above the policy's floor: see decide.h.
 *
 * Format 1, UL_TRIAL_RECORD_SIZE bytes, little-endian; what is not named is zero:
 *
 *     0     8   "UL-TRIAL"
 *     8     4   1
 *     12    4   number of entries, at most UL_TRIALS_MAX
 *     16    8   sequence, at most UL_TRIAL_SEQUENCE_MAX: the copy with the larger one is the newer
 *     24    4   request (enum ul_trial_request)
 *     64        entries of 112 bytes, no two of one root hash:
 *               0   64  root hash, zeros behind it
 *               64  1   its length in bytes: 32, 48 or 64
 *               65  1   state (enum ul_trial_state)
 *               66  1   tries left; 0 but for the state trying
 *               67  1   reason (enum ul_trial_reason)
 *               68  2   code: of the failure that is the reason (enum ul_code); else 0
 *               72  8   sequence of the entry's last change
 *               80  32  version, for people: as in the descriptor, cut to 31 characters; zeros behind it
 *     960   32  SHA-256 of the first 960 bytes
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "verity/format/descriptor.h"

#define UL_TRIAL_RECORD_SIZE  1024
#define UL_TRIALS_MAX         8
#define UL_TRIAL_TRIES_MAX    15
#define UL_TRIAL_VERSION_SIZE 32
#define UL_TRIAL_SEQUENCE_MAX (1ull << 62) /* more than any flash can be written; the next one is a number, too */

/* An image without an entry is new. */
enum ul_trial_state {
	UL_TRIAL_TRYING = 1, /* started, and not yet called good */
	UL_TRIAL_GOOD,
	UL_TRIAL_BAD,
};

/* Why the last start did not end in "good", as far as anybody knows. */
enum ul_trial_reason {
	UL_TRIAL_UNKNOWN,     /* it ended, and nobody said why: a crash, a reset, the power */
	UL_TRIAL_WATCHDOG,    /* the hardware's watchdog ended it */
	UL_TRIAL_BOOT_FAILED, /* the boot itself failed; `code` has the cause */
	UL_TRIAL_ROLLED_BACK, /* by command, to an older one */
	UL_TRIAL_REASONS,
};

/* What the running system asks of the next boot. */
enum ul_trial_request {
	UL_TRIAL_NO_REQUEST,
	UL_TRIAL_RESET,       /* make the upper anew */
	UL_TRIAL_RESET_BEGUN, /* the same, and a boot has begun with it */
	UL_TRIAL_REQUESTS,
};

struct ul_trial {
	uint8_t root_hash[UL_ROOT_HASH_MAX];
	size_t root_hash_len; /* bytes */
	enum ul_trial_state state;
	unsigned int tries_left; /* 0 but for UL_TRIAL_TRYING */
	enum ul_trial_reason reason;
	unsigned int code; /* enum ul_code; 0: none */
	uint64_t changed;  /* sequence */
	char version[UL_TRIAL_VERSION_SIZE];
};

struct ul_trial_record {
	uint64_t sequence;
	enum ul_trial_request request;
	struct ul_trial trials[UL_TRIALS_MAX];
	size_t n;
};

/* Whether the bytes are a record; ret is written only where they are. */
bool ul_trial_parse(const uint8_t bytes[UL_TRIAL_RECORD_SIZE], struct ul_trial_record *ret);

/* 0 or -ENOTSUP: there is no SHA-256. */
int ul_trial_format(const struct ul_trial_record *record, uint8_t ret[UL_TRIAL_RECORD_SIZE]);

/* An image, as its seal (or who claims to be it) names it. */
struct ul_trial_image {
	const uint8_t *root_hash;
	size_t root_hash_len; /* bytes */
	const char *version;  /* for people; may be "" */
};

/* Its entry; NULL: it is new. */
const struct ul_trial *ul_trial_find(const struct ul_trial_record *record, const struct ul_trial_image *image);

/*
 * Changes. Each makes an entry where there is none; where there is no room for it, a bad one goes, else any: the one
 * that was longest without a change. The sequence grows with the next ul_trial_store_write.
 */

/* One start more: `tries` are left for a new image, one less than before for another. A good or a bad one stays. */
void ul_trial_begin(struct ul_trial_record *record, const struct ul_trial_image *image, unsigned int tries);

/* The start did not take place, for a reason that is not the image's: it gets its try back. */
void ul_trial_return(struct ul_trial_record *record, const struct ul_trial_image *image);

/*
 * A boot begins, so every start before it has ended: what has no tries left is bad, for the reason that is known.
 * Whether anything changed.
 */
bool ul_trial_settle(struct ul_trial_record *record);

/* Why a trial that began has ended. Nothing, where none is under way. */
void ul_trial_explain(struct ul_trial_record *record, const struct ul_trial_image *image, enum ul_trial_reason reason,
		      unsigned int code);

void ul_trial_set_good(struct ul_trial_record *record, const struct ul_trial_image *image);
void ul_trial_set_bad(struct ul_trial_record *record, const struct ul_trial_image *image, enum ul_trial_reason reason);

/* Make it new again. false: it was. */
bool ul_trial_forget(struct ul_trial_record *record, const struct ul_trial_image *image);
