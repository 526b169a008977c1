/* What a reader of the whole manifest wants besides batches: counts beforehand, memory given back. */
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dbgen/manifest_internal.h"

uint64_t ul_manifest_batch_refs(const struct ul_manifest *m, uint32_t k)
{
	return ul_get_le64(m->index + (size_t)k * UL_MANIFEST_INDEX);
}

void ul_manifest_forget(struct ul_manifest *m, uint32_t k)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start, end;

	if (!m->mapped)
		return;
	/* Whole pages only; what the neighbours share goes with them. */
	start = ((uintptr_t)m->data + m->batch_offset[k] + page - 1) / page * page;
	end = ((uintptr_t)m->data + m->batch_offset[k + 1]) / page * page;
	if (start < end)
		madvise((void *)start, end - start, MADV_DONTNEED);
}
