/*
 * `underlay uki build` and `sign`: a unified kernel image, which is systemd's stub with these sections appended, in
 * this order, so that firmware starts and checks one file:
 *
 *     .osrel    os-release text: what a boot menu shows
 *     .cmdline  the kernel's command line. Always there, a blank at least: without it the stub would take the
 *               boot loader's words, under Secure Boot too
 *     .uname    the kernel's version, where the kernel says it
 *     .initrd   the initramfs
 *     .linux    the kernel; the last one, since kernels without the EFI handover's successor unpack behind it
 *
 * The stub's own sections stay, .sbat among them: what it may be revoked by.
 * The same inputs give the same bytes. A signature holds its time (sbsign puts it there), so that two
 * signed files differ in the signature and in nothing else.
 *
 * Before: nothing. After: the output file is whole, or as it was before.
 */
#pragma once

#include "initrd/pack/pe.h"
#include "verity/image/signer.h"

#define UL_UKI_PART_MAX    (512u << 20) /* bytes of kernel, of one initramfs */
#define UL_UKI_CMDLINE_MAX 2047         /* bytes; COMMAND_LINE_SIZE less its NUL, on x86 and aarch64 */

struct ul_uki_options {
	const char *kernel;
	const char *const *initrds; /* one behind the other: an early one with microcode first */
	size_t initrd_count;
	const char *cmdline;    /* text; NULL or empty: a blank */
	const char *os_release; /* a file; NULL: a text that names Underlay and the kernel's version */
	const char *uname;      /* NULL: what the kernel says of itself */
	const char *stub;       /* NULL: systemd's, for the kernel's architecture */
};

/* What was built. Plain data. */
struct ul_uki_report {
	char stub[128], uname[128];
	const char *machine;     /* "x86-64" */
	uint64_t kernel, initrd; /* bytes */
};

/*
 * The unsigned image, appended to *ret. -UL_E_INPUT: a part is not what it should be; -UL_E_CMDLINE: the
 * command line is too long, or has an `underlay.` parameter that no policy lets pass; -UL_E_SYSTEM.
 */
int ul_uki_build(const struct ul_uki_options *o, struct ul_buffer *ret, struct ul_uki_report *ret_report,
		 struct ul_error *err);

/*
 * Sign an image for Secure Boot by sbsign; appended to *ret. The key goes to sbsign through memory: no
 * unencrypted copy of it touches a disk. cert_path: the signer's certificate, PEM. A signature that is there
 * already stays, a second one is put behind it.
 */
int ul_uki_sign(const struct ul_buffer *image, struct ul_signer *signer, const char *cert_path, struct ul_buffer *ret,
		struct ul_error *err);

/* Whether a signature of the file is by the certificate (asks sbverify). -UL_E_SIGNATURE: none is. */
int ul_uki_verify(const char *path, const char *cert_path, struct ul_error *err);
