/*
 * What an untrusted command line demands besides the policy: a root hash, a rollback floor, the program to start. It
 * can refuse what the policy accepts, and do nothing else: a decision that could read a demand might take it for the
 * policy's own and permit something for its sake. So what is demanded cannot be read outside demands.c. The policy
 * decides as if there were no command line, and what it accepted is then held against the demands.
 *
 * A NULL pointer demands nothing, and is what every struct begins as.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "verity/open/open.h"

struct ul_demands;

/*
 * Add a demand; *d is allocated by the first one. 0; -ENOMEM; -EEXIST: another root hash (len bytes, UL_ROOT_HASH_MAX
 * at most) is demanded already; -ERANGE: a higher floor is. Of two programs the later one counts.
 */
int ul_demand_root_hash(struct ul_demands **d, const uint8_t *root_hash, size_t len);
int ul_demand_rollback_min(struct ul_demands **d, uint64_t floor);
int ul_demand_init(struct ul_demands **d, const char *path);
void ul_demands_free(struct ul_demands *d);

/* Whether anything is demanded of the image, which is nothing that a mode that verifies none can hold. */
bool ul_demands_of_image(const struct ul_demands *d);

/* Whether the image whose seal the policy accepted meets them. -UL_E_ROOT_HASH, -UL_E_DESCRIPTOR, -UL_E_ROLLBACK. */
int ul_demands_meets_seal(const struct ul_demands *d, const struct ul_slot *slot, const struct ul_seal *seal,
			  struct ul_error *err);

/* Whether the program that is started (its path in the new root) is the demanded one. -UL_E_CMDLINE. */
int ul_demands_meets_init(const struct ul_demands *d, const char *path, struct ul_error *err);
