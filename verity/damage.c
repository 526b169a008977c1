#include "verity/damage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "verity/dm.h"

#define RECORD_MAX 8192 /* what the kernel gives at once, at most */

static void add_block(struct ul_damage_blocks *blocks, const char *text)
{
	uint64_t number = strtoull(text, NULL, 10);

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
static const char *of_device(const struct ul_damage *damage, const char *message,
			     const char *prefix)
{
	return after(after(after(message, prefix), damage->device), ": ");
}

void ul_damage_take(struct ul_damage *damage, const char *record)
{
	const char *message = strchr(record, ';'), *rest;
	unsigned long suppressed;

	if (!message++)
		return;
	/* Only the kernel may say so: a program's line has its facility, or none, in the bits from 3 on. */
	if (strtoul(record, NULL, 10) >> 3 != 0)
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
	/* What was made of the block is not what its hash wants: the line before was no repair. */
	else if (after(rest, "FEC ") && strstr(rest, ": failed to correct ("))
		damage->mended -= damage->mended > 0;
	else if (sscanf(message, "fec_decode_bufs: %lu callbacks suppressed", &suppressed) == 1)
		damage->mended += suppressed;
	else if (sscanf(message, "fec_decode_rsb: %lu callbacks suppressed", &suppressed) == 1)
		damage->mended -= suppressed < damage->mended ? suppressed : damage->mended;
}

bool ul_damage_take_table(struct ul_damage *damage, const char *table)
{
	uint64_t start;

	if (sscanf(table, "%*u %31s %*s %" SCNu32 " %" SCNu32 " %" SCNu64 " %" SCNu64 " %15s",
		   damage->device, &damage->data_block_size, &damage->hash_block_size,
		   &damage->data_blocks, &start, damage->hash_name) != 6)
		return false;
	damage->hash_start = start * damage->hash_block_size;
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

int ul_damage_read(const char *mapping, const char *kmsg, struct ul_damage *ret,
		   struct ul_error *err)
{
	static const char what[] = "asking dm-verity for damage";
	struct ul_dm_mapping m = {0};
	struct ul_damage damage = {.corrupt = false};
	int r = ul_dm_query(mapping, &m);

	if (r <= 0)
		return ul_error_errno(err, UL_E_VERITY, what, mapping,
				      r == -EACCES || r == -EPERM ? "Ask as root." : NULL,
				      r < 0 ? -r : ENXIO);
	if (!m.verity || !ul_damage_take_table(&damage, m.table)) {
		ul_dm_mapping_free(&m);
		return ul_error_set(err, UL_E_VERITY, what, mapping, NULL, "it is no dm-verity");
	}
	damage.corrupt = m.status == 'C';
	damage.mended_exact = m.counted;
	damage.mended = m.counted ? m.corrected : 0;
	ul_dm_mapping_free(&m);
	damage.log_read = ul_damage_read_log(kmsg, &damage);
	*ret = damage;
	return 0;
}
