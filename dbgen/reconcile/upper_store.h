/* The upper's store/: which entries stay, and whether their files are those that were registered. */
#pragma once

#include "common/buffer.h"
#include "common/vector.h"
#include "dbgen/manifest/manifest.h"
#include "dbgen/reconcile/upper_dir.h"
#include "dbgen/store/store_path.h"

struct ul_upper_store {
	int fd;                          /* store/; -1: there is none */
	struct ul_buffer names;          /* texts of its entries */
	UL_VECTOR(const char *) entries; /* sorted; those that stay */
	bool shadowed;                   /* something with a sealed name was moved away */
	uint64_t checked;                /* paths whose NAR hash was computed */
};

/* An empty one: there is no store/. */
#define UL_UPPER_STORE_NONE ((struct ul_upper_store){.fd = -1})

/* shadow.c: nothing in store/ has a name of the lower afterwards; the entries are what stays. */
int ul_upper_store_scan(struct ul_upper_store *s, struct ul_upper_dir *u, struct ul_manifest *lower);
void ul_upper_store_close(struct ul_upper_store *s);

/* Whether there is an entry of this base name. */
bool ul_upper_store_has(const struct ul_upper_store *s, const char *base);

/*
 * The NAR of an entry. 1: it has this hash and size; 0: not; -UL_E_MEMORY. size: bytes, 0: not known. Any kind of
 * trouble with its files is a wrong hash.
 */
int ul_upper_store_check(struct ul_upper_store *s, const char *base, const uint8_t hash[UL_NAR_HASH_SIZE],
			 uint64_t size, struct ul_error *err);
