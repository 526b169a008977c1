/*
 * All that there is to know of the policy's settings and the kernel parameters, one row each. Data only: policy.c says
 * what the rules mean, policy.h how the fields are used. The manual pages, the fuzzers' words and the tests are held
 * against these rows (tests/tools/policy_rows.c, tests/docs/check_docs.sh).
 */
#include "initrd/policy/policy.h"

#include <stddef.h>

#include "verity/open/open.h"
#include "verity/trial/record.h"

#define WORD(constant, word) [constant] = (word),

const char *const ul_policy_mode_words[] = {UL_POLICY_MODE_LIST(WORD) NULL};
const char *const ul_designator_words[] = {UL_DESIGNATOR_LIST(WORD) NULL};
const char *const ul_database_mode_words[] = {UL_DATABASE_MODE_LIST(WORD) NULL};
const char *const ul_lower_filesystem_words[] = {UL_LOWER_FILESYSTEM_LIST(WORD) NULL};
const char *const ul_root_from_words[] = {UL_ROOT_FROM_LIST(WORD) NULL};
const char *const ul_upper_filesystem_words[] = {UL_UPPER_FILESYSTEM_LIST(WORD) NULL};
static const char *const ul_policy_corruption_words[] = {UL_POLICY_CORRUPTION_LIST(WORD) NULL};
static const char *const ul_demand_words[] = {UL_DEMAND_LIST(WORD) NULL};
static const char *const ul_upper_type_words[] = {UL_UPPER_TYPE_LIST(WORD) NULL};
static const char *const ul_upper_prepare_words[] = {UL_UPPER_PREPARE_LIST(WORD) NULL};
static const char *const ul_upper_guard_words[] = {UL_UPPER_GUARD_LIST(WORD) NULL};
static const char *const ul_upper_missing_words[] = {UL_UPPER_MISSING_LIST(WORD) NULL};
static const char *const ul_database_check_words[] = {UL_DATABASE_CHECK_LIST(WORD) NULL};
static const char *const ul_vanished_words[] = {UL_VANISHED_LIST(WORD) NULL};
static const char *const ul_system_from_words[] = {UL_SYSTEM_FROM_LIST(WORD) NULL};
static const char *const ul_failure_action_words[] = {UL_FAILURE_ACTION_LIST(WORD) NULL};
static const char *const ul_policy_log_words[] = {UL_POLICY_LOG_LIST(WORD) NULL};

/* verity/ knows these by its own names. */
_Static_assert((int)UL_POLICY_PINNED == (int)UL_VERIFY_PINNED, "pinned");
_Static_assert((int)UL_POLICY_USER == (int)UL_VERIFY_USER, "user");
_Static_assert((int)UL_POLICY_KERNEL == (int)UL_VERIFY_KERNEL, "kernel");
_Static_assert((int)UL_POLICY_BOTH == (int)UL_VERIFY_BOTH, "both");
_Static_assert((int)UL_POLICY_INSECURE > (int)UL_VERIFY_BOTH, "no mode of verity/open/open.h is insecure");
_Static_assert((int)UL_POLICY_EIO == (int)UL_CORRUPTION_EIO, "eio");
_Static_assert((int)UL_POLICY_RESTART == (int)UL_CORRUPTION_RESTART, "restart");
_Static_assert((int)UL_POLICY_PANIC == (int)UL_CORRUPTION_PANIC, "panic");

/* NOLINTBEGIN(bugprone-macro-parentheses): types take none. */
/* Kind and place of a row's field; a field of another type does not compile. */
#define FIELD(f, type) \
	.offset = _Generic(&((struct ul_policy *)0)->f, type * : offsetof(struct ul_policy, f)), .field = #f
#define STRING(f)       .kind = UL_CONFIG_STRING, FIELD(f, char *)
#define BOOL(f)         .kind = UL_CONFIG_BOOL, FIELD(f, bool)
#define UINT(f)         .kind = UL_CONFIG_UINT, FIELD(f, uint64_t)
#define SIZE(f)         .kind = UL_CONFIG_SIZE, FIELD(f, uint64_t)
#define DURATION(f)     .kind = UL_CONFIG_DURATION, FIELD(f, uint64_t)
#define ENUM(f, tag)    .kind = UL_CONFIG_ENUM, FIELD(f, enum tag), .choices = tag##_words
#define LIST(f)         .kind = UL_CONFIG_LIST, FIELD(f, char **)
#define LIST_OF(f, tag) LIST(f), .choices = tag##_words
/* NOLINTEND(bugprone-macro-parentheses) */

#define HOUR 3600000000ULL /* in microseconds */

/* What a setting needs to mean something. */
#define NEED(s, k, v)                                     \
	{                                                 \
		.section = (s), .key = (k), .values = (v) \
	}
#define IS(choice) UL_CONFIG_IS(UL_##choice)
#define SIGNED     NEED("verify", "mode", IS(POLICY_USER) | IS(POLICY_KERNEL) | IS(POLICY_BOTH))
#define AN_IMAGE   NEED("verify", "mode", IS(POLICY_PINNED) | IS(POLICY_USER) | IS(POLICY_KERNEL) | IS(POLICY_BOTH))
#define A_SHARE    NEED("verify", "mode", IS(POLICY_INSECURE))
#define A_ROOT     NEED("root", "from", IS(ROOT_TMPFS))
#define A_TMPFS    NEED("upper", "type", IS(UPPER_TMPFS))
#define A_DISK     NEED("upper", "type", IS(UPPER_DISK))
#define FORMATTED  NEED("upper", "prepare", IS(UPPER_PREPARE_FORMAT))
#define ATTACHED   NEED("database", "mode", IS(DATABASE_AUTO) | IS(DATABASE_ATTACH))
#define CHOSEN     NEED("database", "mode", IS(DATABASE_AUTO))

const struct ul_config_key ul_policy_keys[] = {
	{"verify", "mode", ENUM(verify_mode, ul_policy_mode), .def = "user",
	 .why = "who decides that an image is trusted: a root hash named here, a signature checked here (user), "
		"by the kernel, or by both; insecure, for development: nobody, and the lower is a shared "
		"directory"},
	{"verify", "root-hash", STRING(root_hash), .needs = {AN_IMAGE},
	 .why = "the one root hash that is accepted, in hex; in every mode"},
	{"verify", "descriptor", ENUM(descriptor, ul_demand), .def = "required", .needs = {SIGNED},
	 .why = "optional: images without Underlay's signed descriptor are opened too; their dm-verity "
		"superblock is then read"},
	{"verify", "rollback-min", UINT(rollback_min), .def = "0", .needs = {AN_IMAGE},
	 .why = "smallest rollback index that is accepted"},
	{"verify", "corruption", ENUM(corruption, ul_policy_corruption), .def = "eio", .needs = {AN_IMAGE},
	 .why = "what dm-verity does at a corrupt block that error correction does not mend: an I/O error, a "
		"restart, a panic"},
	{"verify", "read-error", ENUM(read_error, ul_policy_corruption), .def = "eio", .needs = {AN_IMAGE},
	 .why = "what dm-verity does where the disk fails to read a block; restart and panic want kernel 6.12"},
	{"image", "name", STRING(name), .why = "name of the image to start; not set: any"},
	{"image", "designator", ENUM(designator, ul_designator), .def = "usr", .needs = {AN_IMAGE},
	 .why = "partition types to look for: usr or root of the Discoverable Partitions"},
	{"image", "disks", LIST(disks), .needs = {AN_IMAGE}, .why = "disks to look at, by name or path; not set: all"},
	{"image", "file", STRING(file), .needs = {AN_IMAGE},
	 .why = "the image is a file: its path on the filesystem of file-device; * and ? in its name stand for "
		"several files; the newest version is tried first"},
	{"image", "file-device", STRING(file_device), .needs = {AN_IMAGE},
	 .why = "device whose filesystem (vfat, ext4 or ISO 9660) holds the file: PARTLABEL=, PARTUUID=, "
		"LABEL=, UUID= or a path"},
	{"image", "timeout", DURATION(timeout_us), .def = "30s", .min = 1, .max = HOUR,
	 .why = "how long to wait for an image, or a shared directory, to appear"},
	{"image", "settle", DURATION(settle_us), .def = "2s", .min = 0, .max = HOUR, .needs = {AN_IMAGE},
	 .why = "how long to wait for another disk when every image found was refused"},
	{"slots", "tries", UINT(tries), .def = "3", .min = 0, .max = UL_TRIAL_TRIES_MAX, .needs = {AN_IMAGE},
	 .why = "how often a new image is started until the system calls it good; then an older one is, if there is one; "
		"0: starts are not counted"},
	{"modules", "load", LIST(modules),
	 .why = "kernel modules to load, in order, after those of /etc/underlay/modules"},
	{"modules", "coldplug", BOOL(coldplug), .def = "yes",
	 .why = "load the modules that the machine's devices ask for"},
	{"lower", "filesystems", LIST_OF(filesystems, ul_lower_filesystem), .def = "erofs squashfs",
	 .needs = {AN_IMAGE},
	 .why = "filesystems the lower may have; the driver of ext4 is larger and trusts its disks more than "
		"the other two, so it has to be asked for"},
	{"lower", "manifest", ENUM(manifest, ul_demand), .def = "required",
	 .why = "optional: an image of another maker that registers none of its paths is started too; Nix then "
		"has no database of them and must not collect garbage"},
	{"lower", "registration", STRING(registration),
	 .why = "file in an image of another maker that registers its paths, as nix-store --dump-db writes it; "
		"not set: the usual places"},
	{"lower", "share", STRING(lower_share), .needs = {A_SHARE},
	 .why = "the lower is a directory that the virtual machine's host shares, instead of an image: "
		"virtiofs:TAG or 9p:TAG"},
	{"root", "from", ENUM(root_from, ul_root_from), .def = "tmpfs",
	 .why = "tmpfs: a new one, whatever lies where it is to be; mounted, for another initramfs: what lies there; its "
		"/etc is as trustworthy as whoever can write it"},
	{"root", "size", SIZE(root_size_bytes), .def = "0", .needs = {A_ROOT},
	 .why = "size of the tmpfs that is the root; 0: half of the memory"},
	{"upper", "type", ENUM(upper_type, ul_upper_type), .def = "tmpfs",
	 .why = "what the upper lies on; a tmpfs is lost at the next boot"},
	{"upper", "size", SIZE(upper_size_bytes), .def = "0", .needs = {A_TMPFS, FORMATTED}, .any_need = true,
	 .why = "size of the upper's tmpfs (0: half of the memory), or of the filesystem that is made on its "
		"disk (0: all of it)"},
	{"upper", "device", STRING(upper_device), .needs = {A_DISK},
	 .why = "the disk's device: PARTLABEL=, PARTUUID=, PARTTYPE=, LABEL=, UUID= or a path"},
	{"upper", "filesystem", LIST_OF(upper_filesystems, ul_upper_filesystem), .def = "ext4", .needs = {A_DISK},
	 .why = "filesystems that the disk may have; the first is the one that is made; each one more is attack "
		"surface more"},
	{"upper", "prepare", ENUM(upper_prepare, ul_upper_prepare), .def = "no", .needs = {A_DISK},
	 .why = "format: make the filesystem where the device is empty"},
	{"upper", "label", STRING(upper_label), .def = "nix-upper", .needs = {A_DISK, FORMATTED},
	 .why = "label of a filesystem that is made"},
	{"upper", "check", BOOL(upper_check), .def = "yes", .needs = {A_DISK},
	 .why = "run the filesystem's fsck before it is mounted"},
	{"upper", "guard", ENUM(upper_guard, ul_upper_guard), .def = "auto", .needs = {A_DISK},
	 .why = "what keeps the disk's old contents out of the layer that this boot writes: a filesystem that "
		"was checked whole, /nix/var made anew, or none; auto: checked where that can be, else anew"},
	{"upper", "timeout", DURATION(upper_timeout_us), .def = "30s", .min = 1, .max = HOUR, .needs = {A_DISK},
	 .why = "how long to wait for the device to appear"},
	{"upper", "on-missing", ENUM(upper_missing, ul_upper_missing), .def = "fail", .needs = {A_DISK},
	 .why = "what to do where the disk's upper is missing or damaged: fail, or start with a tmpfs and say "
		"so"},
	{"database", "mode", ENUM(database, ul_database_mode), .def = "auto",
	 .why = "attach: Nix reads the image's database; rebuild: it is written from the manifest; auto: attach "
		"where nix-version is 2.22 or later"},
	{"database", "nix-version", STRING(nix_version), .needs = {CHOSEN},
	 .why = "version of the Nix inside the image, such as 2.26"},
	{"database", "remount-hook", STRING(remount_hook), .needs = {ATTACHED},
	 .why = "program of the image that Nix calls to have the overlay remounted; not set: the system's own "
		"underlay-remount, where it has one"},
	{"database", "check", ENUM(database_check, ul_database_check), .def = "trust", .needs = {A_DISK},
	 .why = "database of a persistent upper, while the image is the same and the last shutdown was clean: trust "
		"keeps it; always compares an attached one with the image, and writes a rebuilt one anew"},
	{"reconcile", "vanished", ENUM(vanished, ul_vanished), .def = "invalidate", .needs = {A_DISK},
	 .why = "paths of a persistent upper that refer to what a new image no longer has: invalidate them, or "
		"refuse the image and try the next one"},
	{"reconcile", "quarantine-age", DURATION(quarantine_age_us), .def = "720h", .needs = {A_DISK},
	 .why = "how long what was moved to the upper's quarantine is kept; 0: without end"},
	{"reconcile", "quarantine-size", SIZE(quarantine_size_bytes), .def = "1G", .needs = {A_DISK},
	 .why = "how much the quarantine may hold before the oldest goes; 0: any amount"},
	{"system", "path", STRING(system), .why = "store path to start; not set: the one the image names"},
	{"system", "from", ENUM(system_from, ul_system_from), .def = "image", .needs = {A_DISK},
	 .why = "profile: start the system profile of the upper where it is valid, else the image's system"},
	{"system", "init", STRING(init), .def = "init", .why = "the program to start, below the system's path"},
	{"failure", "action", ENUM(action, ul_failure_action), .def = "reboot",
	 .why = "what to do when the boot fails"},
	{"failure", "delay", DURATION(delay_us), .def = "10s", .min = 0, .max = HOUR,
	 .why = "how long the message stands before that"},
	{"failure", "watchdog", DURATION(watchdog_us), .def = "0", .min = 0, .max = HOUR,
	 .why = "after how long the hardware's watchdog restarts a machine that hangs, until the system takes it over; 0: "
		"never"},
	{"failure", "remember", BOOL(remember), .def = "yes",
	 .why = "keep the report of a failed boot in an EFI variable or pstore until the next good boot"},
	{"cmdline", "allow", LIST(allow), .why = "kernel parameters that may change their setting"},
	{"log", "level", ENUM(log_level, ul_policy_log), .def = "info", .why = "how much is told on the console"},
	{.key = NULL},
};

const struct ul_param ul_params[] = {
	{"quiet", UL_PARAM_FREE, NULL, NULL,
	 "shows warnings and errors only, as it does for the kernel; nothing is hidden from the log"},
	{"underlay.log", UL_PARAM_FREE, "log", "level", "how much is told; no message holds a secret"},
	{"usrhash", UL_PARAM_STRENGTHEN, "verify", "root-hash",
	 "systemd's pin of a usr image: one more demand on what the signature already allows"},
	{"roothash", UL_PARAM_STRENGTHEN, "verify", "root-hash", "systemd's pin of a root image: one more demand too"},
	{"underlay.root-hash", UL_PARAM_STRENGTHEN, "verify", "root-hash", "our word for the pin"},
	{"underlay.rollback-min", UL_PARAM_STRENGTHEN, "verify", "rollback-min",
	 "may raise the floor; a lower one would let an old image with known holes in"},
	{"underlay.name", UL_PARAM_ALLOWED, "image", "name",
	 "another image of the same signer is signed, but perhaps not meant for this machine"},
	{"underlay.disks", UL_PARAM_ALLOWED, "image", "disks",
	 "could point past the newest image to an older one on another disk"},
	{"underlay.timeout", UL_PARAM_ALLOWED, "image", "timeout",
	 "could keep the machine from ever reaching its failure action"},
	{"underlay.modules", UL_PARAM_ALLOWED, "modules", "load",
	 "a module runs in the kernel, and drivers have holes"},
	{"underlay.upper-size", UL_PARAM_ALLOWED, "upper", "size",
	 "could take all memory, or leave too little to work"},
	{"underlay.database", UL_PARAM_ALLOWED, "database", "mode", "the wrong mode leaves Nix without its paths"},
	{"underlay.system", UL_PARAM_ALLOWED, "system", "path",
	 "any program of the sealed store, a root shell too, could be started instead"},
	{"init", UL_PARAM_ALLOWED, "system", "init",
	 "the same; naming what is started anyway (as NixOS' boot loaders do) is always permitted"},
	{"underlay.failure", UL_PARAM_ALLOWED, "failure", "action",
	 "could keep a machine off; a shell is never granted by the command line"},
	{"underlay.delay", UL_PARAM_ALLOWED, "failure", "delay", "could keep the machine from its failure action"},
	{"underlay.corruption", UL_PARAM_ALLOWED, "verify", "corruption",
	 "neither error, restart nor panic is the stronger one for every machine"},
	{"underlay.read-error", UL_PARAM_ALLOWED, "verify", "read-error",
	 "neither error, restart nor panic is the stronger one for every machine"},
	{"underlay.verify", UL_PARAM_REFUSED, "verify", "mode", "who decides what is trusted is the policy's alone"},
	{"underlay.descriptor", UL_PARAM_REFUSED, "verify", "descriptor",
	 "without the descriptor, unsigned bytes steer dm-verity"},
	{"underlay.designator", UL_PARAM_REFUSED, "image", "designator",
	 "which partitions hold the image is decided when the initramfs is built"},
	{"underlay.filesystems", UL_PARAM_REFUSED, "lower", "filesystems",
	 "each filesystem driver more is attack surface more"},
	{"underlay.share", UL_PARAM_REFUSED, "lower", "share",
	 "a shared directory is verified by nobody: only the initramfs' own policy may want one"},
	{"underlay.allow", UL_PARAM_REFUSED, "cmdline", "allow", "the command line cannot grant itself anything"},
	{"underlay.*", UL_PARAM_REFUSED, NULL, NULL,
	 "there is no such parameter; a misspelt one must not look as if it worked"},
	{"dm_verity.require_signatures", UL_PARAM_STRENGTHEN, NULL, NULL,
	 "the kernel may demand signatures of its own; switching that off is refused"},
	{"rdinit", UL_PARAM_IGNORED, NULL, NULL,
	 "makes the kernel start another program than this one: only a signed command line (a UKI) "
	 "keeps it out"},
	{"rd.*", UL_PARAM_IGNORED, NULL, NULL,
	 "dracut's and systemd's initramfs words; rd.break and rd.shell open no shell here"},
	{"systemd.*", UL_PARAM_IGNORED, NULL, NULL, "systemd's; systemd.verity=no does not switch dm-verity off here"},
	{"LD_*", UL_PARAM_IGNORED, NULL, NULL,
	 "the kernel makes an environment of it, which /init clears before a library is loaded"},
	{"GLIBC_TUNABLES", UL_PARAM_IGNORED, NULL, NULL, "an environment variable like those, read by libc itself"},
	{"dm_mod.create", UL_PARAM_IGNORED, NULL, NULL,
	 "the kernel's: makes mappings; one of our name is used only if all of it is this image's"},
	{"lockdown", UL_PARAM_IGNORED, NULL, NULL,
	 "the kernel's: its own protection lies below this program, and only a signed command line "
	 "(a UKI) keeps it"},
	{"root", UL_PARAM_IGNORED, NULL, NULL, "the root is what the policy says"},
	{"console", UL_PARAM_IGNORED, NULL, NULL, "the kernel's: where messages are shown"},
	{"panic", UL_PARAM_IGNORED, NULL, NULL, "the kernel's: what it does after its own panic"},
	{.name = NULL},
};
