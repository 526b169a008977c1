#include "verity/open/damage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/config.h"
#include "common/number.h"
#include "verity/open/dm.h"

#define RECORD_MAX 8192 /* what the kernel gives at once, at most */

static void add_block(struct ul_damage_blocks *blocks, const char *text)
{
	uint64_t number;

	if (!ul_take_number(&text, &number))
		return;
	for (size_t i = 0; i < blocks->n; i++)
		if (blocks->numbers[i] == number)
			return;
	if (blocks->n < UL_DAMAGE_BLOCKS)
		blocks->numbers[blocks->n++] = number;
	else
		blocks->more = true;
}

/* What follows the words, or NULL where they do not begin the text. */
static const char *after(const char *text, const char *words)
{
	size_t len = strlen(words);

	return text && strncmp(text, words, len) == 0 ? text + len : NULL;
}

/* What follows "PREFIX: DEVICE: ". */
static const char *of_device(const struct ul_damage *damage, const char *message, const char *prefix)
{
	return after(after(after(message, prefix), damage->device), ": ");
}

/* "FUNCTION: 12 callbacks suppressed", as the kernel's rate limit says it. */
static bool is_suppressed(const char *message, const char *function, uint64_t *ret)
{
	const char *at = after(after(message, function), ": ");
	uint64_t n;

	if (!at || !ul_take_number(&at, &n) || !after(at, " callbacks suppressed"))
		return false;
	*ret = n;
	return true;
}

void ul_damage_take(struct ul_damage *damage, const char *record)
{
	const char *message = strchr(record, ';'), *rest;
	uint64_t priority, suppressed;

	if (!message++)
		return;
	/* Only the kernel may say so: a program's line has its facility in the bits from 3 on. */
	if (!ul_take_number(&record, &priority) || priority >> 3 != 0)
		return;
	rest = of_device(damage, message, "device-mapper: verity: ");
	if (after(rest, "data block ") && strstr(rest, " is corrupted"))
		add_block(&damage->data, after(rest, "data block "));
	else if (after(rest, "metadata block ") && strstr(rest, " is corrupted"))
		add_block(&damage->hash, after(rest, "metadata block "));
	if (damage->mended_exact)
		return;
	rest = of_device(damage, message, "device-mapper: verity-fec: ");
	if (after(rest, "FEC ") && strstr(rest, ": corrected "))
		damage->mended++;
	/* The repaired block does not match its hash: the line before does not count. */
	else if (after(rest, "FEC ") && strstr(rest, ": failed to correct ("))
		damage->mended -= damage->mended > 0;
	else if (is_suppressed(message, "fec_decode_bufs", &suppressed))
		damage->mended += suppressed;
	else if (is_suppressed(message, "fec_decode_rsb", &suppressed))
		damage->mended -= suppressed < damage->mended ? suppressed : damage->mended;
}

static bool read_number(const char *word, uint64_t max, uint64_t *ret)
{
	return ul_parse_number(word, ret) && *ret <= max;
}

bool ul_damage_take_table(struct ul_damage *damage, const char *table)
{
	enum { VERSION, DATA, HASH, DATA_SIZE, HASH_SIZE, BLOCKS, START, NAME, N_WORDS };
	ul_autofree char *copy = strdup(table);
	char *words[N_WORDS], *rest = copy;
	uint64_t data_size, hash_size, blocks, start;

	for (size_t i = 0; i < N_WORDS; i++) {
		words[i] = copy ? strsep(&rest, " ") : NULL;
		if (!words[i])
			return false;
	}
	if (strlen(words[DATA]) >= sizeof(damage->device) || strlen(words[NAME]) >= sizeof(damage->hash_name) ||
	    !read_number(words[DATA_SIZE], UINT32_MAX, &data_size) ||
	    !read_number(words[HASH_SIZE], UINT32_MAX, &hash_size) ||
	    !read_number(words[BLOCKS], UINT64_MAX, &blocks) || !read_number(words[START], UINT64_MAX, &start))
		return false;
	snprintf(damage->device, sizeof(damage->device), "%s", words[DATA]);
	snprintf(damage->hash_name, sizeof(damage->hash_name), "%s", words[NAME]);
	damage->data_block_size = (uint32_t)data_size;
	damage->hash_block_size = (uint32_t)hash_size;
	damage->data_blocks = blocks;
	damage->hash_start = start * hash_size;
	damage->fec = strstr(table, " use_fec_from_device ") != NULL;
	return true;
}

bool ul_damage_read_log(const char *kmsg, struct ul_damage *damage)
{
	ul_autoclose int fd = open(kmsg, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	char record[RECORD_MAX];
	ssize_t n;

	if (fd < 0)
		return false;
	for (;;) {
		n = read(fd, record, sizeof(record) - 1);
		if (n < 0 && (errno == EPIPE || errno == EINTR))
			continue; /* a record was overwritten before it was read: the next one */
		if (n <= 0)
			return n == 0 || errno == EAGAIN;
		record[n] = '\0';
		ul_damage_take(damage, record);
	}
}

int ul_damage_read(const char *mapping, const char *kmsg, struct ul_damage *ret, struct ul_error *err)
{
	static const char what[] = "asking dm-verity for damage";
	struct ul_dm_mapping m = {0};
	struct ul_damage damage = {.corrupt = false};
	int r = ul_dm_query(mapping, &m);

	if (r <= 0)
		return ul_error_errno(err, UL_E_VERITY, what, mapping,
				      r == -EACCES || r == -EPERM ? "Ask as root." : NULL, r < 0 ? -r : ENXIO);
	if (!m.verity || !ul_damage_take_table(&damage, m.table)) {
		ul_dm_mapping_free(&m);
		return ul_error_set(err, UL_E_VERITY, what, mapping, NULL, "it is not a dm-verity mapping");
	}
	damage.corrupt = m.status == 'C';
	damage.mended_exact = m.counted;
	damage.mended = m.counted ? m.corrected : 0;
	ul_dm_mapping_free(&m);
	damage.log_read = ul_damage_read_log(kmsg, &damage);
	*ret = damage;
	return 0;
}
