/*
 * The policy: what the initramfs' own configuration (/etc/underlay/underlay.conf) demands, and what the
 * kernel command line may change of it. The configuration is part of the signed initramfs, the command
 * line is not: nothing on it weakens what the configuration demands.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/config.h"
#include "initrd/policy/cmdline.h"
#include "verity/format/descriptor.h"

enum ul_failure_action { UL_FAIL_REBOOT, UL_FAIL_POWEROFF, UL_FAIL_HALT, UL_FAIL_SHELL };
enum ul_database_mode {
	UL_DATABASE_AUTO,
	UL_DATABASE_ATTACH,
	UL_DATABASE_REBUILD,
	UL_DATABASE_NONE /* no setting: what becomes of an image without a manifest */
};
enum ul_upper_type { UL_UPPER_TMPFS, UL_UPPER_DISK };
enum ul_upper_prepare { UL_UPPER_PREPARE_NO, UL_UPPER_PREPARE_FORMAT };
/* What becomes of a boot whose disk upper is missing or damaged. */
enum ul_upper_missing { UL_UPPER_MISSING_FAIL, UL_UPPER_MISSING_TMPFS };
enum ul_system_from { UL_SYSTEM_FROM_IMAGE, UL_SYSTEM_FROM_PROFILE };

/*
 * [verify] mode = insecure: nothing is verified. It is no enum ul_verify_mode, so that the trust decision, which
 * only knows those, cannot be asked for it.
 */
#define UL_POLICY_INSECURE 4u

/* Strings and lists may be NULL: not set. */
struct ul_policy {
	unsigned int verify_mode;    /* enum ul_verify_mode, or UL_POLICY_INSECURE */
	char *root_hash;             /* hex; demanded in every mode */
	unsigned int descriptor;     /* 0: required, 1: optional */
	uint64_t rollback_min;       /* smallest rollback index accepted */
	unsigned int corruption;     /* enum ul_corruption_mode */
	unsigned int read_error;     /* likewise */
	char *name;                  /* of the image; NULL: any */
	unsigned int designator;     /* 0: usr, 1: root */
	char *file;                  /* image file: path in file_device, its last name a pattern */
	char *file_device;           /* of the filesystem it is on, as upper_device */
	char **disks;                /* device names ("vda") or paths; NULL: all */
	uint64_t timeout_us;         /* for the first slot to appear */
	uint64_t settle_us;          /* for another disk, once every slot found was refused */
	char **modules;              /* loaded after /etc/underlay/modules */
	bool coldplug;               /* load what the hardware's aliases ask for */
	char **filesystems;          /* of the lower */
	unsigned int manifest;       /* 0: required, 1: optional */
	char *registration;          /* in a foreign image; NULL: the usual places */
	char *lower_share;           /* "9p:TAG", where nothing is verified and never else */
	uint64_t root_size;          /* bytes of the root's tmpfs; 0: half of the memory */
	unsigned int upper_type;     /* enum ul_upper_type */
	uint64_t upper_size;         /* bytes of the tmpfs, or of what is made; 0: default */
	char *upper_device;          /* "PARTLABEL=x", "/dev/x"; see ul_upper_parse_name */
	char **upper_filesystems;    /* that it may have; the first is made; NULL: ext4 */
	unsigned int upper_prepare;  /* enum ul_upper_prepare */
	char *upper_label;           /* of what is made; NULL: UL_UPPER_LABEL */
	unsigned int upper_missing;  /* enum ul_upper_missing */
	bool upper_check;            /* run fsck */
	uint64_t upper_timeout_us;   /* for its device to appear */
	unsigned int database;       /* enum ul_database_mode */
	unsigned int database_check; /* 0: an unchanged one is trusted, 1: written anew always */
	unsigned int vanished;       /* 0: invalidate, 1: refuse */
	uint64_t quarantine_age_us;  /* 0: none is removed for its age */
	uint64_t quarantine_size;    /* bytes; 0: any number */
	char *nix_version;           /* of the Nix in the image: decides `auto` */
	char *remount_hook;          /* program that remounts the overlay; NULL: none */
	char *system;                /* store path; NULL: image.json's */
	unsigned int system_from;    /* enum ul_system_from */
	char *init;                  /* below the system; NULL: "init" */
	unsigned int action;         /* enum ul_failure_action */
	uint64_t delay_us;           /* before the action */
	bool remember;               /* keep the report for the next boot */
	char **allow;                /* parameters that the command line may set */
	unsigned int log_level;      /* index: error, warning, info, debug */

	/* What ul_policy_apply and ul_policy_finish make of the above. */
	uint8_t pinned[UL_ROOT_HASH_MAX];
	size_t pinned_len; /* bytes; 0: no root hash is demanded */
	bool pin_trusted;  /* the pin's source may decide what is trusted, not only demand more */
	char *wanted_init; /* init= of the command line: must be what is started anyway; NULL */
};

/* Section, key, kind and purpose of every setting: for the parser, the manual and the tests. */
extern const struct ul_config_key ul_policy_keys[];

void ul_policy_init(struct ul_policy *p);
void ul_policy_free(struct ul_policy *p);

/* Read the configuration's text over the defaults. -UL_E_CONFIG. */
int ul_policy_parse(struct ul_policy *p, const char *text, size_t len, const char *name, struct ul_error *err);

/* What a kernel parameter may do. */
enum ul_param_rule {
	UL_PARAM_FREE,       /* sets its setting: harmless, whoever does it */
	UL_PARAM_STRENGTHEN, /* may demand more than the policy does, never less */
	UL_PARAM_ALLOWED,    /* sets its setting where [cmdline] allow names it; else it is refused */
	UL_PARAM_REFUSED,    /* no policy can allow it */
	UL_PARAM_IGNORED,    /* is for others and has no effect on this program */
};

struct ul_param {
	const char *name; /* as on the command line; a '*' at the end: all that begin so */
	enum ul_param_rule rule;
	const char *section, *key; /* of the setting it stands for; NULL: none */
	const char *why;
};

/* Every parameter that this program knows; first match counts. Ended by name == NULL. */
extern const struct ul_param ul_params[];

/* The row that decides about a parameter of this name; NULL: it is none of ours. */
const struct ul_param *ul_param_find(const char *name);

/*
 * Merge the command line: one row of ul_params after the other decides. A parameter that asks for
 * what the policy forbids is refused, not passed over: whoever typed it must learn that it did nothing.
 * -UL_E_CMDLINE, -UL_E_CONFIG ([cmdline] allow names no parameter).
 */
int ul_policy_apply(struct ul_policy *p, const struct ul_cmdline *c, struct ul_error *err);

/*
 * The whole must make sense: a pinned mode has a pin, a signature mode has n_certificates > 0, and nobody demands of
 * the insecure one what it cannot hold. -UL_E_CONFIG, -UL_E_CMDLINE.
 */
int ul_policy_finish(struct ul_policy *p, size_t n_certificates, struct ul_error *err);
