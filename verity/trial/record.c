/* The trials' record: its bytes, and what happens to an image's entry. */
#include "verity/trial/record.h"

#include <errno.h>
#include <string.h>

#include <openssl/evp.h>

#include "common/bytes.h"

static const char magic[8] = {'U', 'L', '-', 'T', 'R', 'I', 'A', 'L'};

#define FORMAT     1
#define ENTRIES    64  /* their offset */
#define ENTRY_SIZE 112 /* bytes */
#define DIGEST     (ENTRIES + UL_TRIALS_MAX * ENTRY_SIZE)
#define DIGEST_LEN 32

_Static_assert(DIGEST == 960 && DIGEST + DIGEST_LEN <= UL_TRIAL_RECORD_SIZE, "as record.h tells it");

static bool digest(const uint8_t *bytes, uint8_t ret[DIGEST_LEN])
{
	return EVP_Digest(bytes, DIGEST, ret, NULL, EVP_sha256(), NULL) == 1;
}

/* ---- reading ---- */

static bool parse_version(const uint8_t *p, char ret[UL_TRIAL_VERSION_SIZE])
{
	size_t len = strnlen((const char *)p, UL_TRIAL_VERSION_SIZE);

	if (len == UL_TRIAL_VERSION_SIZE || !ul_all_zero(p + len, UL_TRIAL_VERSION_SIZE - len))
		return false;
	for (size_t i = 0; i < len; i++)
		if (p[i] <= ' ' || p[i] > '~')
			return false;
	memcpy(ret, p, UL_TRIAL_VERSION_SIZE);
	return true;
}

static bool parse_entry(const uint8_t *p, uint64_t sequence, struct ul_trial *ret)
{
	struct ul_trial t = {
		.root_hash_len = p[64],
		.tries_left = p[66],
		.code = ul_get_le16(p + 68),
		.changed = ul_get_le64(p + 72),
	};

	if (t.root_hash_len != 32 && t.root_hash_len != 48 && t.root_hash_len != 64)
		return false;
	if (p[65] < UL_TRIAL_TRYING || p[65] > UL_TRIAL_BAD || p[67] >= UL_TRIAL_REASONS)
		return false;
	t.state = (enum ul_trial_state)p[65];
	t.reason = (enum ul_trial_reason)p[67];
	if (t.tries_left > (t.state == UL_TRIAL_TRYING ? UL_TRIAL_TRIES_MAX : 0u) || t.changed > sequence)
		return false;
	if (!ul_all_zero(p + t.root_hash_len, UL_ROOT_HASH_MAX - t.root_hash_len) || p[70] != 0 || p[71] != 0)
		return false;
	memcpy(t.root_hash, p, UL_ROOT_HASH_MAX);
	if (!parse_version(p + 80, t.version))
		return false;
	*ret = t;
	return true;
}

static bool same_hash(const struct ul_trial *t, const uint8_t *root_hash, size_t len)
{
	return t->root_hash_len == len && memcmp(t->root_hash, root_hash, len) == 0;
}

bool ul_trial_parse(const uint8_t bytes[UL_TRIAL_RECORD_SIZE], struct ul_trial_record *ret)
{
	struct ul_trial_record r = {.sequence = ul_get_le64(bytes + 16)};
	uint32_t n = ul_get_le32(bytes + 12), request = ul_get_le32(bytes + 24);
	uint8_t right[DIGEST_LEN];

	if (memcmp(bytes, magic, sizeof(magic)) != 0 || ul_get_le32(bytes + 8) != FORMAT || n > UL_TRIALS_MAX ||
	    r.sequence > UL_TRIAL_SEQUENCE_MAX || request >= UL_TRIAL_REQUESTS)
		return false;
	if (!digest(bytes, right) || memcmp(bytes + DIGEST, right, DIGEST_LEN) != 0)
		return false;
	if (!ul_all_zero(bytes + 28, ENTRIES - 28) ||
	    !ul_all_zero(bytes + ENTRIES + n * ENTRY_SIZE, (UL_TRIALS_MAX - n) * ENTRY_SIZE) ||
	    !ul_all_zero(bytes + DIGEST + DIGEST_LEN, UL_TRIAL_RECORD_SIZE - DIGEST - DIGEST_LEN))
		return false;
	r.request = (enum ul_trial_request)request;
	for (; r.n < n; r.n++) {
		struct ul_trial *t = &r.trials[r.n];

		if (!parse_entry(bytes + ENTRIES + r.n * ENTRY_SIZE, r.sequence, t))
			return false;
		for (size_t i = 0; i < r.n; i++)
			if (same_hash(&r.trials[i], t->root_hash, t->root_hash_len))
				return false;
	}
	*ret = r;
	return true;
}

/* ---- writing ---- */

static void format_entry(const struct ul_trial *t, uint8_t *p)
{
	memcpy(p, t->root_hash, t->root_hash_len);
	p[64] = (uint8_t)t->root_hash_len;
	p[65] = (uint8_t)t->state;
	p[66] = (uint8_t)t->tries_left;
	p[67] = (uint8_t)t->reason;
	ul_put_le16(p + 68, (uint16_t)t->code);
	ul_put_le64(p + 72, t->changed);
	memcpy(p + 80, t->version, strnlen(t->version, UL_TRIAL_VERSION_SIZE - 1));
}

int ul_trial_format(const struct ul_trial_record *record, uint8_t ret[UL_TRIAL_RECORD_SIZE])
{
	memset(ret, 0, UL_TRIAL_RECORD_SIZE);
	memcpy(ret, magic, sizeof(magic));
	ul_put_le32(ret + 8, FORMAT);
	ul_put_le32(ret + 12, (uint32_t)record->n);
	ul_put_le64(ret + 16, record->sequence);
	ul_put_le32(ret + 24, (uint32_t)record->request);
	for (size_t i = 0; i < record->n; i++)
		format_entry(&record->trials[i], ret + ENTRIES + i * ENTRY_SIZE);
	return digest(ret, ret + DIGEST) ? 0 : -ENOTSUP;
}

/* ---- what happens to an entry ---- */

static struct ul_trial *find(struct ul_trial_record *record, const struct ul_trial_image *image)
{
	for (size_t i = 0; i < record->n; i++)
		if (same_hash(&record->trials[i], image->root_hash, image->root_hash_len))
			return &record->trials[i];
	return NULL;
}

const struct ul_trial *ul_trial_find(const struct ul_trial_record *record, const struct ul_trial_image *image)
{
	for (size_t i = 0; i < record->n; i++)
		if (same_hash(&record->trials[i], image->root_hash, image->root_hash_len))
			return &record->trials[i];
	return NULL;
}

/* The one that goes where there is no room: a bad one before others, then the one that did not change for longest. */
static size_t least_needed(const struct ul_trial_record *record)
{
	size_t least = 0;

	for (size_t i = 1; i < record->n; i++) {
		const struct ul_trial *t = &record->trials[i], *l = &record->trials[least];
		bool bad = t->state == UL_TRIAL_BAD, least_bad = l->state == UL_TRIAL_BAD;

		if (bad != least_bad ? bad : t->changed < l->changed)
			least = i;
	}
	return least;
}

static void take_out(struct ul_trial_record *record, size_t i)
{
	memmove(&record->trials[i], &record->trials[i + 1], (record->n - i - 1) * sizeof(record->trials[0]));
	record->n--;
	record->trials[record->n] = (struct ul_trial){0};
}

/* The entry, made where there is none; is_new says so. It counts as changed by the write that comes. */
static struct ul_trial *touch(struct ul_trial_record *record, const struct ul_trial_image *image, bool *is_new)
{
	struct ul_trial *t = find(record, image);

	*is_new = !t;
	if (!t) {
		if (record->n == UL_TRIALS_MAX)
			take_out(record, least_needed(record));
		t = &record->trials[record->n++];
		*t = (struct ul_trial){.root_hash_len = image->root_hash_len, .state = UL_TRIAL_TRYING};
		memcpy(t->root_hash, image->root_hash, image->root_hash_len);
	}
	/* What people read: it may be told better today than it was. */
	memset(t->version, 0, sizeof(t->version));
	memcpy(t->version, image->version, strnlen(image->version, sizeof(t->version) - 1));
	t->changed = record->sequence + 1;
	return t;
}

void ul_trial_begin(struct ul_trial_record *record, const struct ul_trial_image *image, unsigned int tries)
{
	bool is_new;
	const struct ul_trial *there = ul_trial_find(record, image);
	struct ul_trial *t;

	if (there && there->state != UL_TRIAL_TRYING)
		return;
	t = touch(record, image, &is_new);
	if (is_new)
		t->tries_left = tries < UL_TRIAL_TRIES_MAX ? tries : UL_TRIAL_TRIES_MAX;
	if (t->tries_left > 0)
		t->tries_left--;
	t->reason = UL_TRIAL_UNKNOWN;
	t->code = 0;
}

void ul_trial_return(struct ul_trial_record *record, const struct ul_trial_image *image)
{
	struct ul_trial *t = find(record, image);

	if (!t || t->state != UL_TRIAL_TRYING || t->tries_left == UL_TRIAL_TRIES_MAX)
		return;
	t->tries_left++;
	t->changed = record->sequence + 1;
}

bool ul_trial_settle(struct ul_trial_record *record)
{
	bool changed = false;

	for (size_t i = 0; i < record->n; i++) {
		struct ul_trial *t = &record->trials[i];

		if (t->state != UL_TRIAL_TRYING || t->tries_left > 0)
			continue;
		t->state = UL_TRIAL_BAD;
		t->changed = record->sequence + 1;
		changed = true;
	}
	return changed;
}

void ul_trial_explain(struct ul_trial_record *record, const struct ul_trial_image *image, enum ul_trial_reason reason,
		      unsigned int code)
{
	struct ul_trial *t = find(record, image);

	if (!t || t->state != UL_TRIAL_TRYING)
		return;
	t->reason = reason;
	t->code = code;
	t->changed = record->sequence + 1;
}

static void set(struct ul_trial_record *record, const struct ul_trial_image *image, enum ul_trial_state state,
		enum ul_trial_reason reason)
{
	bool is_new;
	struct ul_trial *t = touch(record, image, &is_new);

	t->state = state;
	t->tries_left = 0;
	t->reason = reason;
	t->code = 0;
}

void ul_trial_set_good(struct ul_trial_record *record, const struct ul_trial_image *image)
{
	set(record, image, UL_TRIAL_GOOD, UL_TRIAL_UNKNOWN);
}

void ul_trial_set_bad(struct ul_trial_record *record, const struct ul_trial_image *image, enum ul_trial_reason reason)
{
	set(record, image, UL_TRIAL_BAD, reason);
}

bool ul_trial_forget(struct ul_trial_record *record, const struct ul_trial_image *image)
{
	struct ul_trial *t = find(record, image);

	if (t)
		take_out(record, (size_t)(t - record->trials));
	return t != NULL;
}
