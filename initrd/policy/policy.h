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
#include "common/names.h"
#include "initrd/policy/choices.h"
#include "initrd/policy/cmdline.h"
#include "initrd/policy/demands.h"
#include "verity/format/descriptor.h"
#include "verity/open/open.h"

/*
 * One field for each row of ul_policy_keys. Strings and lists may be NULL: not set. A string is never "". Units are in
 * the names: *_us microseconds, *_bytes bytes.
 */
struct ul_policy {
	enum ul_policy_mode verify_mode;
	char *root_hash; /* hex; demanded in every mode */
	enum ul_demand descriptor;
	uint64_t rollback_min; /* smallest rollback index accepted */
	enum ul_policy_corruption corruption;
	enum ul_policy_corruption read_error;
	char *name; /* of the image; NULL: any */
	enum ul_designator designator;
	char *file;          /* image file: path in file_device, its last name a pattern */
	char *file_device;   /* of the filesystem it is on; see ul_upper_parse_name */
	char **disks;        /* device names ("vda") or paths; NULL: all */
	uint64_t timeout_us; /* for the first slot to appear */
	uint64_t tries;      /* starts of a new image until it is called good; 0: they are not counted */
	uint64_t settle_us;  /* for another disk, once every slot found was refused */
	char **modules;      /* loaded after /etc/underlay/modules */
	bool coldplug;       /* load what the hardware's aliases ask for */
	char **filesystems;  /* of the lower */
	enum ul_demand manifest;
	char *registration; /* in a foreign image; NULL: the usual places */
	char *lower_share;  /* "9p:TAG": see ul_share_parse. Set exactly where verify_mode is UL_POLICY_INSECURE */
	enum ul_root_from root_from;
	uint64_t root_size_bytes; /* of the root's tmpfs; 0: half of the memory */
	enum ul_upper_type upper_type;
	uint64_t upper_size_bytes; /* of the tmpfs, or of what is made; 0: half of the memory, or the device */
	char *upper_device;        /* "PARTLABEL=x", "/dev/x"; see ul_upper_parse_name */
	char **upper_filesystems;  /* that it may have; the first is made */
	enum ul_upper_prepare upper_prepare;
	char *upper_label; /* of what is made */
	enum ul_upper_missing upper_missing;
	bool upper_check; /* run fsck */
	enum ul_upper_guard upper_guard;
	uint64_t upper_timeout_us; /* for its device to appear */
	enum ul_database_mode database;
	enum ul_database_check database_check;
	enum ul_vanished vanished;
	uint64_t quarantine_age_us;     /* 0: nothing is removed for its age */
	uint64_t quarantine_size_bytes; /* 0: any amount */
	char *nix_version;              /* of the Nix in the image: decides `auto` */
	char *remount_hook;             /* program that remounts the overlay; NULL: the system's own */
	char *system;                   /* store path; NULL: image.json's */
	enum ul_system_from system_from;
	char *init; /* below the system */
	enum ul_failure_action action;
	uint64_t delay_us;    /* before the action */
	uint64_t watchdog_us; /* until the hardware restarts a machine that hangs; 0: it does not */
	bool remember;        /* keep the report for the next boot */
	char **allow;         /* parameters that the command line may set */
	enum ul_policy_log log_level;

	/* What ul_policy_apply and ul_policy_parse make of the above. */

	/* root_hash in bytes, or that of a parameter which `allow` names: what may decide that an image is trusted. */
	uint8_t pinned[UL_ROOT_HASH_MAX];
	size_t pinned_len; /* bytes; 0: the policy pins none */

	/* What a command line that is not trusted demands: nothing above holds any of it. NULL: nothing. */
	struct ul_demands *demands;
};

/* Everything there is to know of every setting: for the parser, the manual and the tests. */
extern const struct ul_config_key ul_policy_keys[];

/*
 * The defaults of the rows. Numbers, choices and switches always hold; a text for which there was no memory is
 * missing, which ul_policy_parse and ul_policy_finish then report.
 */
void ul_policy_init(struct ul_policy *p);
void ul_policy_free(struct ul_policy *p);

/*
 * Read the configuration's text over the defaults. -UL_E_CONFIG with the line, also for what no boot could do, whatever
 * its machine and command line: `initrd build` packs only what passes here. -UL_E_MEMORY.
 */
int ul_policy_parse(struct ul_policy *p, const char *text, size_t len, const char *name, struct ul_error *err);

/* Whether a setting has the value that it has in no policy at all. false also where there is no memory. */
bool ul_policy_is_default(const struct ul_policy *p, const char *section, const char *key);

/* What a kernel parameter may do. */
enum ul_param_rule {
	UL_PARAM_FREE,       /* sets its setting: harmless, whoever does it */
	UL_PARAM_STRENGTHEN, /* is demanded besides what the policy demands, and changes nothing of that: demands.h */
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

/* The row that decides about a parameter of this name; NULL: it is not one of ours. */
const struct ul_param *ul_param_find(const char *name);

/*
 * Merge the command line: one row of ul_params after the other decides. A parameter that asks for
 * what the policy forbids is refused, not passed over: whoever typed it must learn that it did nothing.
 * -UL_E_CMDLINE, -UL_E_MEMORY.
 */
int ul_policy_apply(struct ul_policy *p, const struct ul_cmdline *c, struct ul_error *err);

/* Whether its mode trusts what the certificates in UL_PATH_CERTS signed, and so nothing where there are none. */
bool ul_policy_wants_certificates(const struct ul_policy *p);

/*
 * The whole must make sense: a pinned mode has a pin, a signature mode has n_certificates > 0, and nobody demands of
 * the insecure one what it cannot hold. -UL_E_CONFIG, -UL_E_CMDLINE, -UL_E_MEMORY.
 */
int ul_policy_finish(struct ul_policy *p, size_t n_certificates, struct ul_error *err);

/*
 * Settings that differ from their default although nothing looks at them, because a setting that they need has another
 * value: a sentence for each is appended to ret. They are not a failure: a policy is often one text with its [upper]
 * type switched to and fro, and one that booted yesterday boots after an update. What would look like a demand that
 * holds (a root hash where nothing is verified) is refused by ul_policy_parse instead. 0, -UL_E_MEMORY.
 */
int ul_policy_idle(const struct ul_policy *p, struct ul_names *ret, struct ul_error *err);
