/*
 * The loader and the shared libraries that a program needs, found as ld.so would find them and laid in
 * the initramfs so that ld.so finds them there without a cache:
 *
 *   - the loader at the very path that the program names;
 *   - a library found by an absolute DT_RUNPATH or DT_RPATH (all of them in a Nix store) at the path where
 *     it was found, since the same search path leads there in the initramfs;
 *   - every other one (found by a default directory or one of /etc/ld.so.conf) in the directory that
 *     libc was found in, which is a default directory of the loader: so it needs one look each.
 *
 * Libraries of another machine or class are passed over, as ld.so passes them over. What a program
 * loads by dlopen is not seen here; underlay-init needs none of that.
 */
#pragma once

#include "initrd/pack/cpio.h"

/* Largest file of /etc/ld.so.conf's tree that is read, in bytes, and how deep its includes go. */
#define UL_LD_CONF_MAX   65536
#define UL_LD_CONF_DEPTH 4

/* Most libraries that a closure may have. */
#define UL_LIBS_MAX 512

/*
 * Add to c what the ELF file data (len bytes, read from `path` on the build machine) needs. sysroot:
 * the directory in which libraries and /etc/ld.so.conf are looked for, "" for the machine's own. Static
 * programs and other files need nothing. Returns 0, -UL_E_INPUT (a library is
 * missing or malformed: the sentence says who needs it), -UL_E_SYSTEM, -UL_E_MEMORY, -UL_E_EXISTS.
 */
int ul_pack_libs(struct ul_cpio *c, const uint8_t *data, size_t len, const char *path, const char *sysroot,
		 struct ul_error *err);
