#include "verity/open/read_error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/number.h"
#include "verity/open/dm.h"

#define FIXED_WORDS 10 /* version, two devices, two block sizes, blocks, start, hash, root hash, salt */

/* linux/keyctl.h */
#define THREAD_KEYRING (-1)
#define KEYCTL_UNLINK  9

static const char WHAT[] = "setting what dm-verity does at a read error";
static const char KEY_WORD[] = " root_hash_sig_key_desc ";

static const char *word_of(enum ul_corruption_mode mode)
{
	return mode == UL_CORRUPTION_RESTART ? "restart_on_error"
	       : mode == UL_CORRUPTION_PANIC ? "panic_on_error"
					     : NULL;
}

char *ul_verity_table_add(const char *table, const char *word)
{
	const char *rest = table;
	int fixed;
	uint64_t options = 0;
	char *made;

	for (int i = 0; i < FIXED_WORDS; i++) {
		rest += strcspn(rest, " ");
		if (i + 1 < FIXED_WORDS && *rest++ != ' ')
			return NULL;
	}
	fixed = (int)(rest - table);
	if (*rest && (*rest++ != ' ' || !ul_take_number(&rest, &options) || options > 64))
		return NULL;
	return asprintf(&made, "%.*s %" PRIu64 "%s %s", fixed, table, options + 1, rest, word) < 0 ? NULL : made;
}

static bool has_word(const char *table, const char *word)
{
	const char *at = strstr(table, word);
	size_t len = strlen(word);

	return at && at > table && at[-1] == ' ' && (at[len] == ' ' || !at[len]);
}

/*
 * The kernel checks the signature of every table anew, and looks for it in the caller's keyrings under the name that
 * the table has; libcryptsetup took its key away when it was done. The key's number, 0: none is needed, or -errno.
 */
static long lend_key(const char *table, const struct ul_seal *seal)
{
	const char *at = strstr(table, KEY_WORD);
	char name[256];
	long key;

	if (!at)
		return 0;
	at += sizeof(KEY_WORD) - 1;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, " "), at);
	key = syscall(SYS_add_key, "user", name, seal->root_hash_signature.data, seal->root_hash_signature.len,
		      THREAD_KEYRING);
	return key < 0 ? -errno : key;
}

static int replace(const char *name, const struct ul_dm_mapping *mapping, const char *word, const struct ul_seal *seal,
		   struct ul_error *err)
{
	ul_autofree char *table = ul_verity_table_add(mapping->table, word);
	long key;
	int r;

	if (!table)
		return ul_error_nomem(err, WHAT);
	key = lend_key(mapping->table, seal);
	if (key < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, name, NULL, (int)-key);
	r = ul_dm_reload(name, mapping->sectors, table);
	if (key > 0)
		(void)syscall(SYS_keyctl, KEYCTL_UNLINK, key, THREAD_KEYRING);
	if (r == -EINVAL)
		return ul_error_set(err, UL_E_MODULE, WHAT, name,
				    "Use kernel 6.12 or newer, or set [verify] read-error to eio.",
				    "this kernel's dm-verity has no %s", word);
	return r < 0 ? ul_error_errno(err, UL_E_VERITY, WHAT, name, NULL, -r) : 0;
}

int ul_verity_set_read_error(const char *name, const struct ul_seal *seal, enum ul_corruption_mode mode,
			     struct ul_error *err)
{
	struct ul_dm_mapping mapping = {0};
	const char *word = word_of(mode);
	int r;

	if (!word)
		return 0;
	r = ul_dm_query(name, &mapping);
	if (r <= 0)
		return ul_error_errno(err, UL_E_VERITY, WHAT, name, NULL, r < 0 ? -r : ENXIO);
	r = has_word(mapping.table, word) ? 0 : replace(name, &mapping, word, seal, err);
	ul_dm_mapping_free(&mapping);
	if (r < 0)
		return r;
	/* What the kernel has now, by its own words. */
	r = ul_dm_query(name, &mapping);
	if (r <= 0 || !has_word(mapping.table, word) || mapping.status != 'V')
		r = ul_error_set(err, UL_E_VERITY, WHAT, name, NULL, "the kernel does not report the new table");
	else
		r = 0;
	ul_dm_mapping_free(&mapping);
	return r;
}
