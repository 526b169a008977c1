/*
 * What the policy's settings and the kernel parameters are, one row each, with the reason. Data only:
 * initrd/policy/policy.c says what the rules mean; the manual pages and the tests are held against these rows.
 */
#include "initrd/policy/policy.h"

#include <stddef.h>

#define SECOND   1000000ULL
#define FIELD(f) offsetof(struct ul_policy, f)

static const char *const modes[] = {"pinned", "user", "kernel", "both", "insecure", NULL};
static const char *const descriptors[] = {"required", "optional", NULL};
static const char *const corruptions[] = {"eio", "restart", "panic", NULL};
static const char *const designators[] = {"usr", "root", NULL};
static const char *const manifests[] = {"required", "optional", NULL};
static const char *const uppers[] = {"tmpfs", "disk", NULL};
static const char *const prepares[] = {"no", "format", NULL};
static const char *const missings[] = {"fail", "tmpfs", NULL};
static const char *const systems[] = {"image", "profile", NULL};
static const char *const databases[] = {"auto", "attach", "rebuild", NULL};
static const char *const checks[] = {"trust", "always", NULL};
static const char *const vanishing[] = {"invalidate", "refuse", NULL};
static const char *const actions[] = {"reboot", "poweroff", "halt", "shell", NULL};
static const char *const levels[] = {"error", "warning", "info", "debug", NULL};

#define ROW(s, k, kind_, f, c, lo, hi, w)                                                                  \
	{                                                                                                  \
		.section = (s), .key = (k), .kind = UL_CONFIG_##kind_, .offset = FIELD(f), .choices = (c), \
		.min = (lo), .max = (hi), .why = (w)                                                       \
	}

const struct ul_config_key ul_policy_keys[] = {
	ROW("verify", "mode", ENUM, verify_mode, modes, 0, 0,
	    "who decides that an image is trusted: a root hash named here, a signature checked here "
	    "(user), by the kernel, or by both; insecure, for development: nobody, of a shared directory"),
	ROW("verify", "root-hash", STRING, root_hash, NULL, 0, 0,
	    "the one root hash that is accepted, in hex; in every mode"),
	ROW("verify", "descriptor", ENUM, descriptor, descriptors, 0, 0,
	    "optional: images without Underlay's signed descriptor are opened too; their dm-verity "
	    "superblock is then read. Where mode is pinned none is asked for"),
	ROW("verify", "rollback-min", UINT, rollback_min, NULL, 0, 0, "smallest rollback index that is accepted"),
	ROW("verify", "corruption", ENUM, corruption, corruptions, 0, 0,
	    "what dm-verity does at a corrupt block: an I/O error, a restart, a panic"),
	ROW("verify", "read-error", ENUM, read_error, corruptions, 0, 0,
	    "what dm-verity does where the disk fails to read a block; restart and panic want "
	    "kernel 6.12"),
	ROW("image", "name", STRING, name, NULL, 0, 0, "name of the image to start; empty: any"),
	ROW("image", "designator", ENUM, designator, designators, 0, 0,
	    "partition types to look for: usr or root of the Discoverable Partitions"),
	ROW("image", "disks", LIST, disks, NULL, 0, 0, "disks to look at, by name or path; empty: all"),
	ROW("image", "file", STRING, file, NULL, 0, 0,
	    "the image is a file: its path on the filesystem of file-device; * and ? in its name stand "
	    "for several files, of which the newest version is taken first"),
	ROW("image", "file-device", STRING, file_device, NULL, 0, 0,
	    "device whose filesystem (vfat, ext4 or ISO 9660) holds the file: PARTLABEL=, PARTUUID=, "
	    "LABEL=, UUID= or a path"),
	ROW("image", "timeout", DURATION, timeout_us, NULL, 1, 3600 * SECOND,
	    "how long to wait for an image to appear"),
	ROW("image", "settle", DURATION, settle_us, NULL, 0, 3600 * SECOND,
	    "how long to wait for another disk when every image found was refused"),
	ROW("modules", "load", LIST, modules, NULL, 0, 0,
	    "kernel modules to load, in order, after those of /etc/underlay/modules"),
	ROW("modules", "coldplug", BOOL, coldplug, NULL, 0, 0, "load the modules that the machine's devices ask for"),
	ROW("lower", "filesystems", LIST, filesystems, NULL, 0, 0,
	    "filesystems the lower may have, of erofs, squashfs and ext4; empty: erofs and squashfs"),
	ROW("lower", "manifest", ENUM, manifest, manifests, 0, 0,
	    "optional: an image of another maker that registers none of its paths is started too; Nix "
	    "then has no database of them"),
	ROW("lower", "registration", STRING, registration, NULL, 0, 0,
	    "file in an image of another maker that registers its paths, as nix-store --dump-db writes "
	    "it; empty: the usual places"),
	ROW("lower", "share", STRING, lower_share, NULL, 0, 0,
	    "the lower is no image but a directory that the virtual machine's host shares: virtiofs:TAG "
	    "or 9p:TAG; only where mode is insecure"),
	ROW("root", "size", SIZE, root_size, NULL, 0, 0, "size of the tmpfs that is the root; 0: half of the memory"),
	ROW("upper", "type", ENUM, upper_type, uppers, 0, 0, "what the upper lies on"),
	ROW("upper", "size", SIZE, upper_size, NULL, 0, 0,
	    "size of the upper's tmpfs (0: half of the memory), or of the filesystem that is made on "
	    "its disk (0: all of it)"),
	ROW("upper", "device", STRING, upper_device, NULL, 0, 0,
	    "the disk's device: PARTLABEL=, PARTUUID=, PARTTYPE=, LABEL=, UUID= or a path"),
	ROW("upper", "filesystem", LIST, upper_filesystems, NULL, 0, 0,
	    "filesystems that it may have, of ext4, xfs, btrfs and f2fs; the first is the one that is "
	    "made; empty: ext4"),
	ROW("upper", "prepare", ENUM, upper_prepare, prepares, 0, 0,
	    "format: make the filesystem where the device is empty"),
	ROW("upper", "label", STRING, upper_label, NULL, 0, 0, "label of a filesystem that is made; empty: nix-upper"),
	ROW("upper", "check", BOOL, upper_check, NULL, 0, 0, "run the filesystem's fsck before it is mounted"),
	ROW("upper", "timeout", DURATION, upper_timeout_us, NULL, 1, 3600 * SECOND,
	    "how long to wait for the device to appear"),
	ROW("upper", "on-missing", ENUM, upper_missing, missings, 0, 0,
	    "what to do where the disk's upper is missing or damaged: fail, or start with a tmpfs and "
	    "say so"),
	ROW("database", "mode", ENUM, database, databases, 0, 0,
	    "attach: Nix reads the image's database; rebuild: it is written from the manifest; auto: "
	    "attach where nix-version is 2.22 or later"),
	ROW("database", "nix-version", STRING, nix_version, NULL, 0, 0,
	    "version of the Nix inside the image, such as 2.26"),
	ROW("database", "remount-hook", STRING, remount_hook, NULL, 0, 0,
	    "program of the image that Nix calls to have the overlay remounted; empty: the system's own "
	    "underlay-remount, where it has one"),
	ROW("database", "check", ENUM, database_check, checks, 0, 0,
	    "rebuilt database of a persistent upper, while the image is the same and the last shutdown "
	    "was clean: trust keeps it, always writes it anew"),
	ROW("reconcile", "vanished", ENUM, vanished, vanishing, 0, 0,
	    "paths of a persistent upper that refer to what a new image no longer has: invalidate "
	    "them, or refuse the image and try the next one"),
	ROW("reconcile", "quarantine-age", DURATION, quarantine_age_us, NULL, 0, 0,
	    "how long what was moved to the upper's quarantine is kept; 0: without end"),
	ROW("reconcile", "quarantine-size", SIZE, quarantine_size, NULL, 0, 0,
	    "how much the quarantine may hold before the oldest goes; 0: any amount"),
	ROW("system", "path", STRING, system, NULL, 0, 0, "store path to start; empty: the one the image names"),
	ROW("system", "from", ENUM, system_from, systems, 0, 0,
	    "profile: start the system profile of the upper where it is valid, else the image's system"),
	ROW("system", "init", STRING, init, NULL, 0, 0, "the program to start, below the system's path; empty: init"),
	ROW("failure", "action", ENUM, action, actions, 0, 0, "what to do when the boot fails"),
	ROW("failure", "delay", DURATION, delay_us, NULL, 0, 3600 * SECOND, "how long the message stands before that"),
	ROW("failure", "remember", BOOL, remember, NULL, 0, 0,
	    "keep the report of a failed boot in an EFI variable or pstore until the next good boot"),
	ROW("cmdline", "allow", LIST, allow, NULL, 0, 0, "kernel parameters that may change their setting"),
	ROW("log", "level", ENUM, log_level, levels, 0, 0, "how much is told on the console"),
	{.key = NULL},
};

const struct ul_param ul_params[] = {
	{"quiet", UL_PARAM_FREE, NULL, NULL,
	 "shows warnings and errors only, as it does for the kernel; nothing is hidden from the log"},
	{"underlay.log", UL_PARAM_FREE, "log", "level", "how much is told; no message holds a secret"},
	{"usrhash", UL_PARAM_STRENGTHEN, "verify", "root-hash",
	 "systemd's pin of a usr image: one more demand on what the signature already allows"},
	{"roothash", UL_PARAM_STRENGTHEN, "verify", "root-hash", "systemd's pin of a root image: likewise"},
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
	 "likewise: none of the three is the stronger one for every machine"},
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
	{"GLIBC_TUNABLES", UL_PARAM_IGNORED, NULL, NULL, "likewise, and read by libc itself"},
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
