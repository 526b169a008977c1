/*
 * The error object: what failed, on which object, why, and what to do.
 *
 * Every function of Underlay that can fail takes a `struct ul_error *` as its last parameter and
 * returns 0, or the negative code (`-UL_E_...`) that it stored there. A library function explains
 * and returns; only a program (cli/, initrd/) prints. The one printed form is
 *
 *     what failed: object: why. What to do.
 *
 * A code is the stable name of a cause. Numbers and names never change and are never reused: boot
 * logs, state.json, pstore records and fleet monitoring quote them.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

/* X(symbol, number, name, exit status of the command line, one-line meaning) */
#define UL_ERROR_CODES(X)                                                                         \
	X(OK, 0, "ok", 0, "no failure")                                                           \
	X(E_USAGE, 1, "usage", 2, "wrong command-line use")                                       \
	X(E_SYSTEM, 2, "system", 3, "a system call or helper program failed")                     \
	X(E_MEMORY, 3, "out-of-memory", 3, "memory or tmpfs space ran out")                       \
	X(E_INPUT, 4, "bad-input", 1, "an input file is malformed")                               \
	X(E_EXISTS, 5, "exists", 3, "the output exists already and is not replaced")              \
	X(E_CHECK, 6, "check-failed", 1, "the thing checked differs from what it should be")      \
	X(E_CONFIG, 10, "bad-config", 1, "the configuration is malformed")                        \
	X(E_CMDLINE, 11, "cmdline-refused", 1, "a kernel parameter asks for what policy forbids") \
	X(E_MODULE, 12, "module-missing", 3, "a kernel module or feature is missing")             \
	X(E_DEVICE, 13, "device-missing", 3, "a device did not appear in time")                   \
	X(E_NO_IMAGE, 14, "no-image", 1, "no acceptable store image was found")                   \
	X(E_PARTITIONS, 15, "bad-partitions", 1, "the partition table is malformed or truncated") \
	X(E_DESCRIPTOR, 16, "bad-descriptor", 1, "the signed descriptor is malformed or missing") \
	X(E_ROOT_HASH, 17, "wrong-root-hash", 1, "the root hash is not the one demanded")         \
	X(E_SIGNATURE, 18, "bad-signature", 1, "the signature is missing, malformed or wrong")    \
	X(E_SIGNER, 19, "unknown-signer", 1, "signed by a key that is not trusted here")          \
	X(E_SUPERBLOCK, 20, "bad-superblock", 1, "the dm-verity superblock is malformed")         \
	X(E_CORRUPT, 21, "corrupt", 1, "a block does not match the hash tree")                    \
	X(E_ROLLBACK, 22, "rollback", 1, "the image is older than the policy's floor")            \
	X(E_FILESYSTEM, 23, "bad-filesystem", 1, "the lower filesystem cannot be mounted")        \
	X(E_IMAGE_INFO, 24, "bad-image-info", 1, "image.json is malformed or missing")            \
	X(E_MANIFEST, 25, "bad-manifest", 1, "the manifest is malformed or missing")              \
	X(E_DATABASE, 26, "bad-database", 1, "Nix's database is malformed or missing")            \
	X(E_UPPER, 27, "bad-upper", 3, "the upper cannot be prepared or mounted")                 \
	X(E_RECONCILE, 28, "reconcile-failed", 3, "the upper could not be made to agree")         \
	X(E_OVERLAY, 29, "overlay-failed", 3, "the overlay could not be mounted")                 \
	X(E_NO_SYSTEM, 30, "no-system", 1, "the system or its init does not exist")               \
	X(E_PIVOT, 31, "pivot-failed", 3, "the hand-over to the system failed")                   \
	X(E_VERITY, 32, "verity-failed", 3, "dm-verity could not be set up")                      \
	X(E_VERSION, 33, "unknown-version", 1, "made by a newer Underlay than this one")

enum ul_code {
#define UL_CODE_ENUM(symbol, number, name, status, meaning) UL_##symbol = (number),
	UL_ERROR_CODES(UL_CODE_ENUM)
#undef UL_CODE_ENUM
};

/*
 * All texts are NUL-terminated, cut to fit, and free of control characters (what came from a disk
 * is escaped as \xNN, so a hostile label cannot draw on the console). Plain old data: copy it by
 * assignment; nothing to free.
 */
struct ul_error {
	enum ul_code code;
	int errnum;       /* the positive errno behind the failure, 0 where there is none */
	char what[160];   /* "activating dm-verity" */
	char object[256]; /* "/dev/vda1" */
	char why[320];    /* "the root hash does not match the hash tree" */
	char todo[320];   /* "Write the image again."; may be empty */
};

/*
 * Fill *err and return -code. `err` may be NULL. A `why` from an errno: use ul_error_errno.
 * what, object and todo may be NULL (empty); format and what follows make `why`.
 */
int ul_error_set(struct ul_error *err, enum ul_code code, const char *what, const char *object, const char *todo,
		 const char *format, ...) __attribute__((format(printf, 6, 7)));

/*
 * ul_error_set with errnum's text as the reason. ENOMEM and ENOSPC keep the caller's code; the reason says which it
 * was. Pass errno's value, read right after the call that set it.
 */
int ul_error_errno(struct ul_error *err, enum ul_code code, const char *what, const char *object, const char *todo,
		   int errnum);

/*
 * ul_error_errno for what was read of the sealed lower: dm-verity answers a block that does not match with EIO, so that
 * is -UL_E_CORRUPT with a sentence of its own, whatever code and todo the caller has for the rest.
 */
int ul_error_errno_of_lower(struct ul_error *err, enum ul_code code, const char *what, const char *object,
			    const char *todo, int errnum);

/* A write, or what it must make, found no room: ENOSPC, EDQUOT. */
static inline bool ul_errno_is_full(int errnum)
{
	return errnum == ENOSPC || errnum == EDQUOT;
}

/* Allocation failed while doing `what`. Returns -UL_E_MEMORY. */
int ul_error_nomem(struct ul_error *err, const char *what);

#ifdef __clang_analyzer__
/*
 * The analyser reads one source file at a time, and follows paths on which these return 0, as if nothing had failed.
 * Here it sees what they return; no compiler does.
 */
static inline int ul_error_returns(int result, enum ul_code code)
{
	(void)result;
	return -(int)code;
}
#define ul_error_set(err, code, ...)            ul_error_returns(ul_error_set(err, code, __VA_ARGS__), code)
#define ul_error_errno(err, code, ...)          ul_error_returns(ul_error_errno(err, code, __VA_ARGS__), code)
#define ul_error_errno_of_lower(err, code, ...) ul_error_returns(ul_error_errno_of_lower(err, code, __VA_ARGS__), code)
#define ul_error_nomem(err, what)               ul_error_returns(ul_error_nomem(err, what), UL_E_MEMORY)
#endif

/* Write "what: object: why. todo" without a newline into buf (always terminated); returns buf. */
char *ul_error_sentence(const struct ul_error *err, char *buf, size_t size);

/* The stable name ("bad-signature") of a code; "unknown" for a number that is not a code. */
const char *ul_code_name(enum ul_code code);

/* Exit status of the command line for a code: 1 bad thing, 2 usage, 3 could not be done. */
int ul_code_exit_status(enum ul_code code);

/* Copy src to dst (size bytes), escaping control characters and bytes above 0x7e as \xNN. */
void ul_escape_text(char *dst, size_t size, const char *src);
