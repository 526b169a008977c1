/*
 * The choices of the policy's settings. Each list makes an enum here and the words of its row in initrd/policy/table.c,
 * so a choice is one line: X(CONSTANT, "word"). The default is the row's.
 */
#pragma once

#define UL_CHOICE_CONSTANT(constant, word) constant,

/*
 * [verify] mode. The first four are those of enum ul_verify_mode. UL_POLICY_INSECURE, which verifies nothing, is not
 * among them, so that the trust decision cannot be asked for it.
 */
#define UL_POLICY_MODE_LIST(X)        \
	X(UL_POLICY_PINNED, "pinned") \
	X(UL_POLICY_USER, "user")     \
	X(UL_POLICY_KERNEL, "kernel") \
	X(UL_POLICY_BOTH, "both")     \
	X(UL_POLICY_INSECURE, "insecure")

/* [verify] corruption and read-error: those of enum ul_corruption_mode. */
#define UL_POLICY_CORRUPTION_LIST(X)    \
	X(UL_POLICY_EIO, "eio")         \
	X(UL_POLICY_RESTART, "restart") \
	X(UL_POLICY_PANIC, "panic")

/* [verify] descriptor, [lower] manifest: whether an image must have one. */
#define UL_DEMAND_LIST(X)          \
	X(UL_REQUIRED, "required") \
	X(UL_OPTIONAL, "optional")

#define UL_DESIGNATOR_LIST(X)       \
	X(UL_DESIGNATOR_USR, "usr") \
	X(UL_DESIGNATOR_ROOT, "root")

/* [lower] filesystems. */
#define UL_LOWER_FILESYSTEM_LIST(X)      \
	X(UL_LOWER_EROFS, "erofs")       \
	X(UL_LOWER_SQUASHFS, "squashfs") \
	X(UL_LOWER_EXT4, "ext4")

/* [root] from. */
#define UL_ROOT_FROM_LIST(X)      \
	X(UL_ROOT_TMPFS, "tmpfs") \
	X(UL_ROOT_MOUNTED, "mounted")

#define UL_UPPER_TYPE_LIST(X)      \
	X(UL_UPPER_TMPFS, "tmpfs") \
	X(UL_UPPER_DISK, "disk")

/* [upper] filesystem. */
#define UL_UPPER_FILESYSTEM_LIST(X) \
	X(UL_UPPER_EXT4, "ext4")    \
	X(UL_UPPER_XFS, "xfs")      \
	X(UL_UPPER_BTRFS, "btrfs")  \
	X(UL_UPPER_F2FS, "f2fs")

#define UL_UPPER_PREPARE_LIST(X)     \
	X(UL_UPPER_PREPARE_NO, "no") \
	X(UL_UPPER_PREPARE_FORMAT, "format")

/* [upper] guard: what keeps the disk's old contents out of the session. See initrd/upper/guard.c. */
#define UL_UPPER_GUARD_LIST(X)               \
	X(UL_UPPER_GUARD_AUTO, "auto")       \
	X(UL_UPPER_GUARD_CHECKED, "checked") \
	X(UL_UPPER_GUARD_ANEW, "anew")       \
	X(UL_UPPER_GUARD_NONE, "none")

/* [upper] on-missing: what becomes of a boot whose disk upper is missing or damaged. */
#define UL_UPPER_MISSING_LIST(X)         \
	X(UL_UPPER_MISSING_FAIL, "fail") \
	X(UL_UPPER_MISSING_TMPFS, "tmpfs")

#define UL_DATABASE_MODE_LIST(X)        \
	X(UL_DATABASE_AUTO, "auto")     \
	X(UL_DATABASE_ATTACH, "attach") \
	X(UL_DATABASE_REBUILD, "rebuild")

/* [database] check, of one that is unchanged. */
#define UL_DATABASE_CHECK_LIST(X)           \
	X(UL_DATABASE_CHECK_TRUST, "trust") \
	X(UL_DATABASE_CHECK_ALWAYS, "always")

/* [reconcile] vanished. */
#define UL_VANISHED_LIST(X)                     \
	X(UL_VANISHED_INVALIDATE, "invalidate") \
	X(UL_VANISHED_REFUSE, "refuse")

#define UL_SYSTEM_FROM_LIST(X)           \
	X(UL_SYSTEM_FROM_IMAGE, "image") \
	X(UL_SYSTEM_FROM_PROFILE, "profile")

#define UL_FAILURE_ACTION_LIST(X)       \
	X(UL_FAIL_REBOOT, "reboot")     \
	X(UL_FAIL_POWEROFF, "poweroff") \
	X(UL_FAIL_HALT, "halt")         \
	X(UL_FAIL_SHELL, "shell")

/* [log] level, from the least on. */
#define UL_POLICY_LOG_LIST(X)               \
	X(UL_POLICY_LOG_ERROR, "error")     \
	X(UL_POLICY_LOG_WARNING, "warning") \
	X(UL_POLICY_LOG_INFO, "info")       \
	X(UL_POLICY_LOG_DEBUG, "debug")

enum ul_policy_mode { UL_POLICY_MODE_LIST(UL_CHOICE_CONSTANT) };
enum ul_policy_corruption { UL_POLICY_CORRUPTION_LIST(UL_CHOICE_CONSTANT) };
enum ul_demand { UL_DEMAND_LIST(UL_CHOICE_CONSTANT) };
enum ul_designator { UL_DESIGNATOR_LIST(UL_CHOICE_CONSTANT) };
enum ul_lower_filesystem { UL_LOWER_FILESYSTEM_LIST(UL_CHOICE_CONSTANT) };
enum ul_root_from { UL_ROOT_FROM_LIST(UL_CHOICE_CONSTANT) };
enum ul_upper_type { UL_UPPER_TYPE_LIST(UL_CHOICE_CONSTANT) };
enum ul_upper_filesystem { UL_UPPER_FILESYSTEM_LIST(UL_CHOICE_CONSTANT) };
enum ul_upper_prepare { UL_UPPER_PREPARE_LIST(UL_CHOICE_CONSTANT) };
enum ul_upper_guard { UL_UPPER_GUARD_LIST(UL_CHOICE_CONSTANT) };
enum ul_upper_missing { UL_UPPER_MISSING_LIST(UL_CHOICE_CONSTANT) };
enum ul_database_mode {
	UL_DATABASE_MODE_LIST(UL_CHOICE_CONSTANT)
	/* Not a setting: what becomes of an image without a manifest. */
	UL_DATABASE_NONE
};
enum ul_database_check { UL_DATABASE_CHECK_LIST(UL_CHOICE_CONSTANT) };
enum ul_vanished { UL_VANISHED_LIST(UL_CHOICE_CONSTANT) };
enum ul_system_from { UL_SYSTEM_FROM_LIST(UL_CHOICE_CONSTANT) };
enum ul_failure_action { UL_FAILURE_ACTION_LIST(UL_CHOICE_CONSTANT) };
enum ul_policy_log { UL_POLICY_LOG_LIST(UL_CHOICE_CONSTANT) };

/* The words of a list by their constants, ended by NULL. */
extern const char *const ul_policy_mode_words[];
extern const char *const ul_designator_words[];
extern const char *const ul_database_mode_words[];
extern const char *const ul_lower_filesystem_words[];
extern const char *const ul_root_from_words[];
extern const char *const ul_upper_filesystem_words[];
