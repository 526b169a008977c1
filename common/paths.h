/*
 * The paths that two parts of Underlay share: one line each with who writes and who reads.
 * Paths of the running system are written without the new root's prefix (/sysroot, /newroot).
 */
#pragma once

/* In the initramfs. Written by `underlay initrd build` (or the NixOS module), read by underlay-init. */
#define UL_PATH_CONF         "/etc/underlay/underlay.conf" /* the policy */
#define UL_PATH_CERTS        "/etc/verity.d"               /* *.crt: PEM, trusted to sign root hashes */
#define UL_PATH_MODULES_LOAD "/etc/underlay/modules"       /* modules to load, one name a line, in order */

/* In the lower, from its root. Written by `underlay image build`, read by underlay-init. */
#define UL_LOWER_STORE    "nix/store"
#define UL_LOWER_DB       "nix/var/nix/db" /* db.sqlite, schema */
#define UL_LOWER_OWN      "nix/.underlay"  /* what makes an image ours */
#define UL_LOWER_MANIFEST "nix/.underlay/manifest"
#define UL_LOWER_INFO     "nix/.underlay/image.json"
#define UL_LOWER_ROOTS    "nix/.underlay/roots" /* what the collector starts from; see dbgen/manifest/root_path.h */
#define UL_LOWER_NAMES    "nix/.underlay/names" /* the names layer; see dbgen/layers/names.h */

/* In the running system. Written by underlay-init, read by Nix and by `underlay status`. */
#define UL_PATH_LOWER     "/nix/.ro"     /* mount of the lower's filesystem */
#define UL_PATH_UPPER     "/nix/.rw"     /* mount of the upper's filesystem */
#define UL_PATH_UPPER_VAR "/nix/.rw/var" /* bound to /nix/var */
#define UL_PATH_NAMES     "/nix/.names"  /* names layers of lowers without one: a tmpfs, made at boot */
#define UL_PATH_STORE     "/nix/store"   /* the overlay */
#define UL_PATH_VAR       "/nix/var"
#define UL_PATH_GCROOTS   "/nix/var/nix/gcroots/underlay" /* the lower's roots of the collector: a tmpfs */
#define UL_PATH_RUN       "/run/underlay"
#define UL_PATH_HOST      "/run/underlay/host"       /* filesystem whose file the lower is; read-only */
#define UL_PATH_STATE     "/run/underlay/state.json" /* what the boot did */
#define UL_PATH_NIX_CONF  "/run/underlay/nix.conf"   /* for who opens the store: root, or the nix-daemon */
#define UL_PATH_NIX_USERS "/run/underlay/users.conf" /* for everybody, where there is a nix-daemon */
