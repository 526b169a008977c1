/*
 * Half-written paths: what a power cut left of a path that was registered but not on the disk yet. Only paths registered
 * since the last clean mark are hashed. Their files are not believed: any kind of trouble with them is a wrong hash.
 */
#include <stdio.h>
#include <string.h>

#include "dbgen/store/nar.h"
#include "dbgen/reconcile/internal.h"

int ul_rc_check_nar(struct ul_rc *c, const char *base, const uint8_t hash[UL_NAR_HASH_SIZE], uint64_t size)
{
	uint8_t found[UL_NAR_HASH_SIZE];
	uint64_t found_size = 0;
	struct ul_error err;
	int r = ul_nar_hash(c->store_fd, base, found, &found_size, &err);

	c->report->checked++;
	if (r == -UL_E_MEMORY) {
		*c->err = err;
		return r;
	}
	return r == 0 && (size == 0 || size == found_size) && !memcmp(hash, found, UL_NAR_HASH_SIZE);
}

int ul_rc_remove_broken(struct ul_rc *c, const char *base)
{
	/* Nix deletes what lies in the way of a path that it builds; what cannot be deleted would be in its way. */
	return ul_rc_quarantine(c, c->store_fd, base);
}
