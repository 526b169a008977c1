/* See upper_store.h. */
#include "dbgen/reconcile/upper_store.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "dbgen/reconcile/quarantine.h"
#include "dbgen/store/nar.h"

int ul_upper_store_open(struct ul_upper_store *s, struct ul_upper_dir *u)
{
	int r = ul_entries_open(u->fd, &s->entries);

	u->report->sessions = s->entries.sessions.n;
	if (r == -ENOMEM)
		return ul_upper_dir_nomem(u);
	return r < 0 ? ul_upper_dir_fail(u, "kept", -r) : 0;
}

void ul_upper_store_close(struct ul_upper_store *s)
{
	ul_entries_close(&s->entries);
	ul_names_free(&s->coming);
	*s = UL_UPPER_STORE_NONE;
}

bool ul_upper_store_has(const struct ul_upper_store *s, const char *base)
{
	struct ul_entry entry;
	int r = ul_names_find(&s->coming, base) ? -EEXIST : ul_entries_find(&s->entries, base, &entry);

	return r < 0 || (r > 0 && (S_ISDIR(entry.mode) || S_ISREG(entry.mode) || S_ISLNK(entry.mode)));
}

int ul_upper_store_check(struct ul_upper_store *s, const char *base, const uint8_t hash[UL_NAR_HASH_SIZE],
			 uint64_t size, struct ul_error *err)
{
	uint8_t found[UL_NAR_HASH_SIZE];
	uint64_t found_size = 0;
	struct ul_error trouble;
	struct ul_entry entry;
	int r;

	if (ul_names_find(&s->coming, base))
		return 1;
	s->checked++;
	r = ul_entries_find(&s->entries, base, &entry);
	if (r <= 0)
		return r < 0;
	if (entry.partial)
		return 1;
	/* A sparse file may claim any size: what is larger than the row says is read no further. */
	r = ul_nar_hash_of_size(entry.dirfd, base, size ? size : UINT64_MAX, found, &found_size, &trouble);
	if (r == -UL_E_MEMORY) {
		*err = trouble;
		return r;
	}
	return r == 0 && (size == 0 || size == found_size) && !memcmp(hash, found, UL_NAR_HASH_SIZE);
}

int ul_upper_store_quarantine(struct ul_upper_store *s, struct ul_upper_dir *u, const char *base)
{
	struct ul_entry entry;

	return ul_entries_find(&s->entries, base, &entry) > 0 ? ul_quarantine_move(u, entry.dirfd, base) : 0;
}
