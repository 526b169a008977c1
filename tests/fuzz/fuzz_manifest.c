/*
 * A manifest of any bytes: opened, read whole, searched. So that the fuzzer gets past the checksums, they
 * are made right first wherever the lengths allow it.
 */
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "dbgen/store/checksum.h"
#include "dbgen/manifest/manifest.h"
#include "dbgen/manifest/format.h"
#include "tests/fuzz/fuzz.h"

static void seal(uint8_t *d, size_t size)
{
	static const size_t tails[] = {UL_HEAD_DRV_OUTPUTS, UL_HEAD_REALISATIONS};
	uint64_t head, at;
	uint32_t n;

	if (size < UL_MANIFEST_HEAD)
		return;
	head = ul_get_le32(d + UL_HEAD_LEN);
	n = ul_get_le32(d + UL_HEAD_N_BATCHES);
	at = head + (uint64_t)n * UL_MANIFEST_INDEX;
	if (head < UL_MANIFEST_HEAD || at > size)
		return;
	ul_put_le64(d + UL_HEAD_FILE_LEN, size);
	for (uint64_t i = 0; i < (uint64_t)n * UL_SECTION_COUNT + 2; i++) {
		uint8_t *e = i < (uint64_t)n * UL_SECTION_COUNT ? d + head + i / UL_SECTION_COUNT * UL_MANIFEST_INDEX +
									  8 + i % UL_SECTION_COUNT * UL_MANIFEST_ENTRY
								: d + tails[i - (uint64_t)n * UL_SECTION_COUNT];
		uint64_t stored = ul_get_le32(e + 4);

		if (at + stored > size)
			break;
		ul_put_le64(e + 8, ul_checksum(d + at, stored));
		at += stored;
	}
	ul_put_le64(d + UL_HEAD_INDEX_SUM, ul_checksum(d + head, (size_t)n * UL_MANIFEST_INDEX));
	ul_put_le64(d + UL_HEAD_SUM, 0);
	ul_put_le64(d + UL_HEAD_SUM, ul_checksum(d, head));
}

const struct fuzz_memory fuzz_memory = {.fixed = 1048576, .per_byte = 1200};

void fuzz_one(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + 1);
	struct ul_manifest_totals totals;
	struct ul_manifest *m;
	struct ul_error err;
	uint32_t number;

	if (!copy)
		return;
	memcpy(copy, data, size);
	seal(copy, size);
	if (ul_manifest_open_memory(copy, size, &m, &err) == 0) {
		(void)ul_manifest_count(m, &totals, &err);
		(void)ul_manifest_find(m, "00000000000000000000000000000000-a", &number, &err);
		ul_manifest_close(m);
	}
	free(copy);
}
