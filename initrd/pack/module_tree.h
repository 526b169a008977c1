/*
 * A tree of kernel modules on the build machine: /lib/modules/VERSION, or any directory that holds
 * *.ko files and the kernel's modules.builtin. depmod's files are not needed (a kernel package that is
 * unpacked, not installed, has none): what they hold stands in the modules themselves.
 */
#pragma once

#include "common/buffer.h"
#include "common/error.h"
#include "common/names.h"

/* Bounds on a tree: Debian's general kernel has some 4,500 modules, the largest 12 MiB. */
#define UL_MODULE_TREE_MAX  65536
#define UL_MODULE_FILE_MAX  (64u << 20)
#define UL_MODULE_DEPTH_MAX 16
#define UL_BUILTIN_MAX      (8u << 20)

struct ul_module_file {
	char *name; /* owned; as the kernel says it: '-' is '_' */
	char *path; /* owned; below the tree, with its .ko.xz or other ending */
};

/* Zero-initialised and opened by ul_module_tree_open; free it with ul_module_tree_free. */
struct ul_module_tree {
	char *dir;                              /* owned */
	UL_VECTOR(struct ul_module_file) files; /* sorted by name */
	struct ul_names builtin;                /* names of what is built in */
	struct ul_buffer builtin_modinfo;       /* modules.builtin.modinfo: "NAME.KEY=VALUE" NUL ... */
	struct ul_buffer aliases;               /* modules.alias, where depmod has run */
};

/* A module that was read: uncompressed bytes, and what its .modinfo says. */
struct ul_module {
	char *name;            /* owned */
	char *path;            /* owned; below the tree, ending in .ko */
	struct ul_buffer data; /* the ELF file, signature included */
	struct ul_names depends;
	struct ul_names aliases;
	struct ul_names pre, post; /* soft dependencies, loaded before and after */
	struct ul_names weak;      /* modules that it may ask for */
	char *kernel;              /* owned; the version that vermagic begins with */
};

int ul_module_tree_open(const char *dir, struct ul_module_tree *ret, struct ul_error *err);
void ul_module_tree_free(struct ul_module_tree *tree);

/* The file of that name ('-' and '_' are one character); NULL: the tree does not have it. */
const struct ul_module_file *ul_module_tree_find(const struct ul_module_tree *tree, const char *name);

/* Is a module of that name, or one that has it as an alias, built into the kernel? */
bool ul_module_tree_builtin(const struct ul_module_tree *tree, const char *name);

/* The module that has `alias` literally, by modules.alias; NULL: none, or depmod has not run. Owned. */
char *ul_module_tree_alias(const struct ul_module_tree *tree, const char *alias);

/* Read and uncompress (.ko, .ko.xz, .ko.zst). Returns 0, -UL_E_INPUT, -UL_E_SYSTEM, -UL_E_MEMORY. */
int ul_module_read(const struct ul_module_tree *tree, const struct ul_module_file *file, struct ul_module *ret,
		   struct ul_error *err);

/* Parse .modinfo (NUL-terminated "key=value" texts) into m. Returns 0, -UL_E_INPUT, -UL_E_MEMORY. */
int ul_modinfo_parse(const uint8_t *info, size_t len, struct ul_module *m, struct ul_error *err);

void ul_module_free(struct ul_module *m);

/* '-' to '_', as the kernel and libkmod compare names; in aliases not between '[' and ']'. */
void ul_module_normalise(char *name);

#define ul_automoduletree UL_CLEANUP(ul_module_tree_free)
