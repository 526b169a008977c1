/*
 * set_trial DISK ROOT-HASH VERSION good|bad|begin...: an entry of the disk's record of trials, as boots and commands
 * would leave it; each "begin" is one start, with 3 tries for a new image.
 */
#include <stdio.h>
#include <string.h>

#include "common/encoding.h"
#include "verity/trial/store.h"

static bool change(struct ul_trial_record *record, const struct ul_trial_image *image, const char *word)
{
	if (!strcmp(word, "good"))
		ul_trial_set_good(record, image);
	else if (!strcmp(word, "bad"))
		ul_trial_set_bad(record, image, UL_TRIAL_UNKNOWN);
	else if (!strcmp(word, "begin"))
		ul_trial_begin(record, image, 3);
	else
		return false;
	return true;
}

int main(int argc, char **argv)
{
	uint8_t hash[UL_ROOT_HASH_MAX];
	struct ul_trial_image image = {.root_hash = hash};
	struct ul_trial_store store = {.fd = -1};
	struct ul_error err;
	bool ok = argc >= 5 && strlen(argv[2]) <= 2 * sizeof(hash) &&
		  ul_hex_decode(argv[2], strlen(argv[2]), hash, strlen(argv[2]) / 2) &&
		  ul_trial_store_open(argv[1], UL_TRIAL_CHANGE, &store, &err) == 0 && store.place == UL_TRIAL_PARTITION;

	if (ok) {
		image.root_hash_len = strlen(argv[2]) / 2;
		image.version = argv[3];
	}
	for (int i = 4; ok && i < argc; i++)
		ok = change(&store.record, &image, argv[i]);
	ok = ok && ul_trial_store_write(&store, &err) == 0;
	ul_trial_store_close(&store);
	if (!ok)
		fputs("usage: set_trial DISK ROOT-HASH VERSION good|bad|begin...\n", stderr);
	return !ok;
}
