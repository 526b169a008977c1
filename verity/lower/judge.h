/*
 * Whether an image is one that may be started: the one judge, which the boot and `underlay image verify` ask. Nothing
 * is decided a second time elsewhere, so both end in the same verdict and say the same sentence.
 *
 *     ul_judge_label       a slot is one that the policy wants at all           (stage find)
 *     ul_judge_seal        its root hash, parameters and name are trusted       (stage verify, before dm-verity)
 *     ul_judge_filesystem  its filesystem is a permitted one                    (stage lower, on verified bytes)
 *     ul_judge_content     what it says of itself, its store and its manifest   (stage lower, mounted)
 *     ul_judge_system      the system that is to be started is in it            (stage lower, mounted)
 *     ul_judge_attached    its database is whole, where Nix is to attach it     (stage database)
 *
 * What the boot takes the signer's word for (the manifest's hash, the database's rows, every block of the data) is not
 * judged here: verity/image/check.h looks at that besides.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "common/error.h"
#include "dbgen/manifest/manifest.h"
#include "verity/format/image_info.h"
#include "verity/open/open.h"

/*
 * What is demanded of an image. Made of a policy (initrd/policy/requirements.h), or of options. Texts are the caller's;
 * NULL is not set, and an empty text does not occur.
 */
struct ul_requirements {
	struct ul_seal_policy seal; /* descriptor_required does not count where mode is pinned */
	const char *name;           /* of the image; NULL: any */
	/*
	 * Who decides what is trusted pins the root hash, so that it names the image where the image itself does not. A
	 * pin of the kernel command line is one more demand and never this.
	 */
	bool pin_names_image;
	char *const *filesystems; /* permitted, ended by NULL; NULL: erofs and squashfs */
	bool manifest_required;   /* of an image of another maker: a registration of its paths */
	const char *registration; /* file of such an image; NULL: the usual places */
	const char *system;       /* store path; NULL: image.json's */
	const char *init;         /* below the system; NULL: "init" */
	bool attach;              /* Nix is to read the image's database in place */
};

/* ---- the slot ---- */

/* Whether the policy wants a slot of this label at all. Nobody vouches for it: it only tells which to look at. */
bool ul_judge_label(const struct ul_slot *slot, const char *name);

/* Nothing but slots of other names: -UL_E_NO_IMAGE. where: what was looked at; other: the title of one of them. */
int ul_judge_no_label(const char *where, const char *other, struct ul_error *err);

/* ul_seal_decide, and the signed name. Its errors; -UL_E_NO_IMAGE: another name. ret: ul_seal_free. */
int ul_judge_seal(const struct ul_slot *slot, const struct ul_requirements *demands, struct ul_seal *ret,
		  struct ul_error *err);

/* ---- the filesystem ---- */

struct ul_judged_filesystem {
	const char *name;    /* the kernel's */
	const char *options; /* of a mount that writes nothing; NULL: none are needed */
};

/*
 * The filesystem that begins at byte `offset` of fd. device: for messages. -UL_E_FILESYSTEM: unknown, or not permitted;
 * -UL_E_CORRUPT: a block does not verify.
 */
int ul_judge_filesystem(int fd, uint64_t offset, const char *device, char *const *permitted,
			const struct ul_judged_filesystem **ret, struct ul_error *err);

/* The sentence for a mount(2) of it that failed by errnum. -UL_E_MODULE, -UL_E_FILESYSTEM, -UL_E_CORRUPT. */
int ul_judge_mount_failed(const char *type, const char *device, int errnum, struct ul_error *err);

/* ---- the content ---- */

/* A lower that is mounted, or a directory that a host shares. */
struct ul_lower_root {
	int fd;                     /* its root */
	const char *path;           /* of it */
	const char *device;         /* what is mounted there: for messages */
	const struct ul_slot *slot; /* its label names an image that does not name itself: for messages only */
	const struct ul_seal *seal; /* NULL: not sealed */
	bool shared;
};

/* What it is. Free with ul_judged_free. */
struct ul_judged {
	const char *store; /* from the root: "nix/store"; ".": all of it. Static */
	bool foreign;      /* not an image of ours: verity/lower/foreign.h tells what then holds */
	struct ul_image_info info;
	struct ul_manifest *manifest; /* NULL: foreign, and it does not register its paths */
	struct ul_buffer made;        /* the manifest's bytes, where it was made of a registration */
	char registration[160];       /* of which, for messages */
	char *system;                 /* store path that is started; NULL before ul_judge_system */
	char *remount_hook;           /* Nix's, in that system; NULL: the system does not have it */
};

/*
 * -UL_E_IMAGE_INFO: no image.json, a wrong one, one for another store directory, or a foreign image without a store;
 * -UL_E_NO_IMAGE: it is not the image that is wanted, or nothing sealed tells which it is; -UL_E_MANIFEST;
 * -UL_E_VERSION; -UL_E_CORRUPT.
 */
int ul_judge_content(const struct ul_lower_root *root, const struct ul_requirements *demands, struct ul_judged *ret,
		     struct ul_error *err);

/*
 * The system that is started: fills judged->system and ->remount_hook. Its links lead to /nix/store, so where the
 * lower's store lies elsewhere it is bound to PLACE/nix/store for as long as this takes, and they are followed with the
 * directory `place` as the root; else place is not looked at. -UL_E_NO_SYSTEM,
 * -UL_E_CORRUPT, -UL_E_SYSTEM.
 */
int ul_judge_system(const struct ul_lower_root *root, const struct ul_requirements *demands, const char *place,
		    struct ul_judged *judged, struct ul_error *err);

/* Nix opens a database read-only only if it is complete. root_path: of the lower. -UL_E_DATABASE. */
int ul_judge_attached(const char *root_path, struct ul_error *err);

void ul_judged_free(struct ul_judged *judged);
