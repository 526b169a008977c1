/*
 * The trials' record, which whoever has the disk or the firmware can write: what is read can be written again as it
 * was, and every change of it is a record, too. The sum is made right, or nothing would get past it; with an odd last
 * byte it is not.
 */
#include <stdint.h>
#include <string.h>

#include <openssl/evp.h>

#include "tests/fuzz/fuzz.h"
#include "verity/trial/decide.h"
#include "verity/trial/record.h"

const struct fuzz_memory fuzz_memory = {.fixed = 256 << 10, .per_byte = 4};

static void check(const struct ul_trial_record *record)
{
	uint8_t bytes[UL_TRIAL_RECORD_SIZE];
	struct ul_trial_record next = *record, back;

	next.sequence++;
	FUZZ_WANT(ul_trial_format(&next, bytes) == 0);
	FUZZ_WANT(ul_trial_parse(bytes, &back) == (next.sequence <= UL_TRIAL_SEQUENCE_MAX));
}

static void change(const struct ul_trial_record *record, const struct ul_trial_image *image)
{
	struct ul_trial_record r = *record;

	(void)ul_trial_standing(&r, image);
	ul_trial_settle(&r);
	ul_trial_begin(&r, image, 3);
	FUZZ_WANT(ul_trial_find(&r, image) != NULL);
	check(&r);
	ul_trial_explain(&r, image, UL_TRIAL_BOOT_FAILED, 0xffff);
	ul_trial_return(&r, image);
	check(&r);
	ul_trial_set_bad(&r, image, UL_TRIAL_ROLLED_BACK);
	FUZZ_WANT(ul_trial_standing(&r, image) == UL_STANDING_SPENT);
	check(&r);
	ul_trial_set_good(&r, image);
	FUZZ_WANT(ul_trial_standing(&r, image) == UL_STANDING_GOOD);
	check(&r);
	FUZZ_WANT(ul_trial_forget(&r, image));
	check(&r);
}

void fuzz_one(const uint8_t *data, size_t size)
{
	static const uint8_t other[32] = {1, 2, 3};
	uint8_t bytes[UL_TRIAL_RECORD_SIZE] = {0}, again[UL_TRIAL_RECORD_SIZE];
	struct ul_trial_record r;

	memcpy(bytes, data, size < sizeof(bytes) ? size : sizeof(bytes));
	if (size == 0 || data[size - 1] % 2 == 0)
		FUZZ_WANT(EVP_Digest(bytes, 960, bytes + 960, NULL, EVP_sha256(), NULL) == 1);
	if (!ul_trial_parse(bytes, &r))
		return;
	FUZZ_WANT(r.n <= UL_TRIALS_MAX);
	FUZZ_WANT(ul_trial_format(&r, again) == 0 && memcmp(bytes, again, sizeof(bytes)) == 0);
	change(&r, &(struct ul_trial_image){other, sizeof(other), "a-version-that-is-longer-than-the-room-for-it"});
	for (size_t i = 0; i < r.n; i++) {
		struct ul_trial t = r.trials[i];

		FUZZ_WANT(memchr(t.version, '\0', sizeof(t.version)) != NULL);
		change(&r, &(struct ul_trial_image){t.root_hash, t.root_hash_len, t.version});
	}
}
