/*
 * Which kernel modules go into the initramfs, and in which form: see initrd/layout/modules.h. Wanted
 * names become a closure over dependencies and soft dependencies; what is built in is left out.
 */
#pragma once

#include "initrd/pack/cpio.h"
#include "common/names.h"

/* The three ways to be loaded of initrd/layout/modules.h. */
enum ul_module_how { UL_MODULE_ALWAYS, UL_MODULE_BY_ALIAS, UL_MODULE_BY_NAME };

struct ul_module_want {
	const char *name;
	enum ul_module_how how;
	bool required;   /* in the tree or built in, else it is a failure */
	const char *why; /* a sentence's second half: "... is needed because WHY" */
};

/* What a boot needs where the user names nothing else; ended by a row without a name. */
extern const struct ul_module_want ul_module_defaults[];

/* What was packed, for the summary. Free it with ul_module_report_free. */
struct ul_module_report {
	char *kernel;            /* owned; the kernel's version; NULL: no module was packed */
	struct ul_names packed;  /* names, dependencies included */
	struct ul_names listed;  /* those that every boot loads, in order */
	struct ul_names builtin; /* wanted, but built in */
	struct ul_names missing; /* wanted, not required, and not there */
};

/*
 * Add the modules, their indexes and the list of modules to load to c. Returns 0; -UL_E_MODULE: a
 * required module, or the dependency of a module, is missing; -UL_E_INPUT; -UL_E_SYSTEM; -UL_E_MEMORY.
 */
int ul_pack_modules(struct ul_cpio *c, const char *dir, const struct ul_module_want *wants, size_t count,
		    struct ul_module_report *ret, struct ul_error *err);

void ul_module_report_free(struct ul_module_report *r);

#define ul_automodulereport UL_CLEANUP(ul_module_report_free)
