/* For a reader of the whole manifest, beside batches: counts beforehand, memory given back. */
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dbgen/manifest/internal.h"

uint64_t ul_manifest_batch_refs(const struct ul_manifest *m, uint32_t k)
{
	return ul_get_le64(m->index + (size_t)k * UL_MANIFEST_INDEX);
}

void ul_manifest_forget(struct ul_manifest *m, uint32_t k)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	/*
	 * From the file's start: the kernel maps whole folios around a page that is touched, so pages of
	 * batches forgotten earlier have come back.
	 */
	if (m->mapped)
		madvise(m->mapped, m->batch_offset[k + 1] / page * page, MADV_DONTNEED);
}
