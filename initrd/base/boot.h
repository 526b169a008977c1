/*
 * One boot: what goes in, and what the stages leave behind for each other.
 *
 * Every place that a stage looks at is a parameter, so that it runs in a test without being PID 1. All
 * paths are seen from the initramfs; what the running system will see lies below `root`.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/names.h"
#include "dbgen/layers/join.h"
#include "dbgen/manifest/manifest.h"
#include "dbgen/reconcile/reconcile.h"
#include "initrd/policy/policy.h"
#include "initrd/base/uevent.h"
#include "verity/format/image_info.h"
#include "verity/open/open.h"
#include "verity/open/trust.h"
#include "verity/open/slots.h"
#include "verity/trial/store.h"

/*
 * Lowers that a boot has room for. Today's stages open one. It is a list because add-ons (further sealed images that
 * lean on the first one) come as further elements: what loops over it today needs no change then.
 */
#define UL_BOOT_LOWERS 4

#define UL_BOOT_REFUSALS 16 /* refused slots that are remembered for the report */
#define UL_BOOT_FILES    16 /* image files that are looked at */
#define UL_BOOT_STAGES   16
#define UL_BOOT_RECORDS  4  /* of trials: of the disks that images are found on, and the firmware's */
#define UL_BOOT_LOADING  64 /* drivers that are loaded for devices */

/* One lower: a slot, what was decided about it, and where it is now; or a shared directory: initrd/policy/share.h. */
struct ul_lower {
	struct ul_slot slot;
	bool has_slot;
	bool shared; /* a directory of the host's: no slot, never sealed; device is "9p:TAG" */
	struct ul_seal seal;
	bool sealed;            /* seal is filled */
	char mapping[64];       /* name of the dm-verity mapping; empty: not active */
	char device[128];       /* what is mounted: "/dev/mapper/underlay" */
	const char *filesystem; /* "erofs"; NULL: not mounted */
	const char *mount;      /* in the new root: "/nix/.ro" */
	const char *store;      /* from the lower's root: "nix/store"; ".": all of it */
	bool foreign;           /* not an image of ours: verity/lower/foreign.h tells what then holds */
	struct ul_image_info info;
	struct ul_manifest *manifest; /* NULL: foreign, and it does not register its paths */
	struct ul_buffer made;        /* the manifest's bytes, where it was made at boot */
	char registration[160];       /* from what, for the log */
	char *system;                 /* store path that is started; owned */
	char *remount_hook;           /* Nix's, in that system; owned; NULL: the system does not have it */
	uint64_t mended;              /* times that error correction mended a block, until the system was started */
	bool mended_exact;            /* by the kernel's count; else at least so often, by its log */
};

/* A slot that was not used. */
struct ul_refusal {
	char slot[UL_TITLE_SIZE]; /* "demo 1.2 on /dev/vda1" */
	const char *stage;
	struct ul_error err;
};

/* What keeps this boot's session apart from what the disk held before: initrd/upper/guard.c. */
enum ul_guarded {
	UL_GUARDED_NOT,
	UL_GUARDED_NEW,     /* the filesystem was made in this boot */
	UL_GUARDED_CHECKED, /* it was checked whole */
	UL_GUARDED_ANEW,    /* var/ is made anew, before the session is */
};

/* The writable layer. Whatever lies on a persistent one is hostile: the disk may have been written elsewhere. */
struct ul_upper {
	bool persistent;     /* false: a tmpfs, lost at the next boot */
	bool fresh;          /* prepared in this boot: nothing of an earlier one is on it */
	bool fallback;       /* the policy wants a persistent one; `why` tells what became of it */
	bool mounted;        /* stage upper ran: it has nothing to do when the next slot runs it again */
	uint32_t n_mended;   /* directories, attributes and files that were not what they must be */
	char device[128];    /* "/dev/vdb1"; empty: tmpfs */
	char filesystem[16]; /* "tmpfs", "ext4"; empty: not mounted */
	int fd;              /* root directory of the upper's filesystem; -1: none */
	int lock_fd;         /* held from here until the system's init is started; -1: none */
	enum ul_guarded guarded;
	bool kept_lost;               /* what earlier boots kept is not there any more */
	uint64_t check_us;            /* that fsck took; 0: none ran */
	uint64_t anew_us;             /* that making var/ anew took; 0: it was not made anew */
	struct ul_error why;          /* fallback: what was wrong */
	struct ul_names left_out;     /* "var/log/x: why": the first of what the var/ made anew lacks */
	uint64_t n_left_out;          /* all of it */
	char left_in[40];             /* where that lies until the next boot, from the upper's root; empty: nowhere */
	struct ul_join_report joined; /* what earlier sessions left */
	char session[64];             /* this boot's, from the upper's root; empty: not made yet */
};

/* What an earlier boot left of its failure: initrd/report/last_failure.h. */
struct ul_last_failure {
	const char *from; /* "efi", "pstore"; NULL: nothing was left */
	unsigned int code;
	char name[40], stage[24], sentence[700], underlay[24];
	unsigned long long when; /* seconds since 1970; 0: not known */
	char pstore_file[64];    /* the file that had it */
};

/* A record of trials that this boot looks at: initrd/trial. */
struct ul_boot_record {
	char *disk; /* whose it is; "": the firmware's; owned */
	struct ul_trial_store store;
	bool changed; /* it differs from what is kept */
};

/* An image that was not started although no newer one was, and why. */
struct ul_passed {
	char slot[UL_TITLE_SIZE];
	char why[200];
};

struct ul_stage_time {
	const char *name;
	uint64_t start_us; /* since the start of /init */
	uint64_t took_us;
};

/* A driver that a device asks for. */
struct ul_loading {
	char name[64];
	pid_t pid; /* of the process that loads it; 0: it is done; -1: it has not begun */
};

struct ul_boot {
	/* ---- inputs: set before the first stage, changed by none ---- */
	bool pid1;                /* else --prepare-root */
	const char *conf_dir;     /* prefix of /etc/underlay and /etc/verity.d: "" */
	const char *root;         /* the new root, "/sysroot" */
	const char *dev_dir;      /* "/dev" */
	const char *sys_dir;      /* "/sys" */
	const char *proc_dir;     /* "/proc" */
	const char *run_dir;      /* "/run/underlay" */
	const char *handover_dir; /* becomes the system's /run: "/run" */
	const char *modules_dir;  /* NULL: /lib/modules/RELEASE */
	const char *cmdline;      /* text; NULL: read proc_dir/cmdline */
	uint64_t start_us;        /* CLOCK_MONOTONIC when /init was started */

	/* ---- what the stages leave behind, in their order ---- */
	bool no_new_code;              /* the kernel refuses it (initrd/base/harden.h) */
	bool root_is_ours;             /* a tmpfs that stage root mounted */
	bool root_known;               /* stage root has decided */
	struct ul_names root_unsealed; /* what of a root that is not ours lies on no memory: "/ (ext4, /dev/sda2)" */
	struct ul_policy policy;
	struct ul_trust *trust;
	int uevent_fd;
	struct kmod_ctx *kmod;
	struct ul_loading loading[UL_BOOT_LOADING];
	size_t n_loading;
	bool slow_drivers;            /* they are wanted, too */
	struct ul_slot_list slots;    /* found and not yet tried, best first */
	struct ul_names disks_done;   /* disks whose slots were listed */
	bool files_found;             /* the filesystem with the image files is mounted */
	struct ul_names files;        /* their paths, newest name first; at most UL_BOOT_FILES */
	int loops[2 * UL_BOOT_FILES]; /* devices of their partitions: without another user they go with these */
	size_t n_loops;
	uint64_t deadline_us; /* CLOCK_MONOTONIC; 0: the search has not begun */
	struct ul_boot_record records[UL_BOOT_RECORDS];
	size_t n_records;
	bool firmware_record;          /* it was looked for */
	bool no_record_told;           /* that the machine keeps none */
	struct ul_boot_record *record; /* that knows the last of `lowers`; NULL: its starts are not counted */
	bool trial_begun;              /* it has one try less by this boot */
	unsigned int watchdog_s;       /* after so many seconds the hardware restarts the machine; 0: it does not */
	bool watchdog_reset;           /* the hardware's watchdog ended the boot before this one */
	struct ul_passed passed[UL_BOOT_REFUSALS];
	size_t n_passed;
	struct ul_lower lowers[UL_BOOT_LOWERS];
	size_t n_lowers;
	struct ul_upper upper;
	enum ul_database_mode database; /* attach, rebuild or none, once decided */
	char database_why[160];
	uint64_t database_us;
	struct ul_reconcile_report reconcile; /* of a persistent upper */
	bool reconciled;                      /* stage reconcile filled it */
	uint32_t n_gcroots;
	char *profile;               /* system of the upper's profile, which is started; owned; NULL: the image's */
	struct ul_error profile_why; /* why it is not, where the policy wants it */

	/* ---- the record ---- */
	struct ul_refusal refusals[UL_BOOT_REFUSALS];
	size_t n_refusals;
	struct ul_stage_time times[UL_BOOT_STAGES];
	size_t n_times;
	const char *failed_stage; /* NULL: none */
	struct ul_error failure;
	bool failure_logged;                 /* its sentence stands in the log already */
	struct ul_last_failure last_failure; /* of an earlier boot */
};

/* All inputs as PID 1 has them; then change what a test wants otherwise. */
void ul_boot_init(struct ul_boot *b);

/* What is mounted stays: the running system uses it. */
void ul_boot_free(struct ul_boot *b);

/* What a lower that is not used left: unmount it, take its mapping down, forget its slot. */
void ul_lower_release(struct ul_boot *b, struct ul_lower *lower);

/* Forget what stage reconcile found: another upper has taken the place of the one that it looked at. */
void ul_boot_forget_reconcile(struct ul_boot *b);
