/* The slot: its name goes, its bytes come, and its new name last. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "verity/disk/copy_range.h"
#include "verity/disk/update_job.h"
#include "verity/format/image_layout.h"
#include "verity/image/gpt_write.h"
#include "verity/image/hash_tree.h"
#include "verity/open/slot_pairs.h"

static const char WHAT[] = "updating";

/* ---- the slot's name ---- */

static int name_slot(struct ul_update_job *job, bool final, struct ul_error *err)
{
	struct ul_gpt_change changes[3];
	const struct ul_descriptor *d = &job->d;
	int r = 0;

	for (unsigned int i = 0; i < 3; i++) {
		changes[i] = (struct ul_gpt_change){.number = job->slot->part[i].number,
						    .label = final ? job->label : UL_SLOT_LABEL_FREE,
						    .read_only = final};
		if (!final && ul_update_work_uuid(d, i, changes[i].uuid) < 0)
			return ul_error_nomem(err, WHAT);
	}
	if (final && ul_image_partition_uuids(d->root_hash, d->root_hash_len, changes[UL_SLOT_DATA].uuid,
					      changes[UL_SLOT_HASH].uuid) < 0)
		return ul_error_set(err, UL_E_DESCRIPTOR, WHAT, job->o.image, NULL, "its root hash is too short");
	if (final && ul_image_signature_uuid(d->root_hash, d->root_hash_len, changes[UL_SLOT_SIG].uuid) < 0)
		return ul_error_nomem(err, WHAT);
	r = ul_gpt_change(job->table_fd, job->o.disk, job->slots.gpt.sector_size, changes, 3, err);
	if (r == 0 && fsync(job->table_fd) < 0)
		r = ul_error_errno(err, UL_E_SYSTEM, WHAT, job->o.disk, NULL, errno);
	return r;
}

static int take_name(struct ul_update_job *job, struct ul_error *err)
{
	return job->result->resumed ? 0 : name_slot(job, false, err);
}

static int give_name(struct ul_update_job *job, struct ul_error *err)
{
	return name_slot(job, true, err);
}

int ul_update_mend_table(struct ul_update_job *job, struct ul_error *err)
{
	struct ul_error damage;

	if (job->o.dry_run || ul_gpt_check_copies(job->disk.fd, job->o.disk, &damage) == 0)
		return 0;
	return give_name(job, err);
}

/* ---- its bytes ---- */

/* Where on the disk a stretch goes. */
struct target {
	struct ul_disk_writer *disk;
	uint64_t offset; /* bytes */
};

static int put(void *user, const uint8_t *bytes, size_t len, uint64_t offset)
{
	const struct target *t = user;

	return ul_disk_writer_put(t->disk, bytes, len, t->offset + offset);
}

static int interrupted(struct ul_update_job *job, struct ul_error *err)
{
	return ul_error_set(err, UL_E_SYSTEM, WHAT, job->o.disk, "The same command goes on from there.",
			    "interrupted; the slot has no name, and nothing starts it");
}

static int gave_back(struct ul_update_job *job, struct ul_error *err)
{
	return ul_error_set(err, UL_E_CORRUPT, WHAT, job->o.disk, "Check the disk and its cable.",
			    "at byte %llu it gives back something else than what was written; the slot has no name, "
			    "and nothing starts it",
			    (unsigned long long)job->disk.differs);
}

static int wrote(struct ul_update_job *job, int r, struct ul_error *err)
{
	if (r == -ECANCELED)
		return interrupted(job, err);
	if (r == -EILSEQ)
		return gave_back(job, err);
	if (r == -ENODATA && job->streamed)
		return ul_error_set(err, UL_E_INPUT, WHAT, "standard input", "Give all of it once more.",
				    "the image ends too soon; the slot has no name, and nothing starts it");
	return r < 0 ? ul_error_errno(err, UL_E_SYSTEM, WHAT, job->o.disk, NULL, -r) : 0;
}

static int copy(struct ul_update_job *job, enum ul_slot_role role, uint64_t offset, uint64_t size, struct ul_error *err)
{
	struct target target = {&job->disk, job->slot->part[role].offset};
	struct ul_copy_range range = {
		.from = job->image.fd,
		.offset = offset,
		.size = size,
		.step = role == UL_SLOT_HASH ? "writing the hash tree" : "writing the signature",
		.progress = job->o.progress,
		.cancelled = job->o.cancelled,
		.piece = put,
		.user = &target,
	};

	return wrote(job, ul_copy_range(&range), err);
}

/* First: where the data is cut short, no tree of an older image lies beside it. */
static int write_tree(struct ul_update_job *job, struct ul_error *err)
{
	return copy(job, UL_SLOT_HASH, job->image.slot->hash.offset, job->hash_size, err);
}

/* As they come; what they are is known when the last of them is there. */
static int write_stream(struct ul_update_job *job, struct ul_error *err)
{
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < UL_SLOT_ROLES; i++) {
		struct target target = {&job->disk, job->slot->part[i].offset};
		struct ul_stream_taker taker = {put, &target, job->o.progress, job->o.cancelled};

		r = ul_image_stream_take(&job->stream, i, &taker);
	}
	if (r == 0)
		ul_image_stream_drain(&job->stream);
	return wrote(job, r, err);
}

static int write_data(struct ul_update_job *job, struct ul_error *err)
{
	const struct ul_slot *from = job->image.slot;
	struct ul_image_fds fds = {job->image.fd, from->data.offset, job->image.fd, from->hash.offset};
	struct target target = {&job->disk, job->slot->part[UL_SLOT_DATA].offset};
	struct ul_hash_tree_sink sink = {put, &target};
	struct ul_work work = {job->o.threads, job->o.progress, job->o.cancelled};
	int r = ul_hash_tree_hand_on(&fds, &job->d, &sink, &work, err);

	if (r == 0)
		return 0;
	if (job->disk.differs != UINT64_MAX)
		return gave_back(job, err);
	if (job->o.cancelled && job->o.cancelled())
		return interrupted(job, err);
	return r;
}

static int write_signature(struct ul_update_job *job, struct ul_error *err)
{
	return copy(job, UL_SLOT_SIG, job->image.slot->sig.offset, UL_SIG_PARTITION_SIZE, err);
}

static int sync_disk(struct ul_update_job *job, struct ul_error *err)
{
	int r = ul_disk_writer_sync(&job->disk);

	job->result->written = job->disk.written;
	job->result->kept = job->disk.kept;
	return r < 0 ? ul_error_errno(err, UL_E_SYSTEM, WHAT, job->o.disk, NULL, -r) : 0;
}

/* What is signed has to be what the slot was chosen for, and what its blocks were compared with. */
static int check_promised(const struct ul_update_job *job, const struct ul_descriptor *d, struct ul_error *err)
{
	uint8_t data[16], hash[16];

	if (!job->streamed && d->root_hash_len == job->d.root_hash_len &&
	    memcmp(d->root_hash, job->d.root_hash, d->root_hash_len) == 0)
		return 0;
	if (!job->streamed)
		return ul_error_set(err, UL_E_DESCRIPTOR, WHAT, job->o.image, "Give it once more.",
				    "it changed while it was read; the slot has no name, and nothing starts it");
	if (strcmp(d->name, job->d.name) == 0 && strcmp(d->version, job->d.version) == 0 &&
	    ul_image_partition_uuids(d->root_hash, d->root_hash_len, data, hash) == 0 &&
	    ul_uuid_is(job->stream.part[UL_SLOT_DATA].uuid, data) &&
	    ul_uuid_is(job->stream.part[UL_SLOT_HASH].uuid, hash))
		return 0;
	return ul_error_set(err, UL_E_DESCRIPTOR, WHAT, "standard input", NULL,
			    "what is signed is %s %s, and its partition table says %s %s, or has another root hash",
			    d->name, d->version, job->d.name, job->d.version);
}

int ul_update_judge(struct ul_update_job *job, const struct ul_extent *sig, struct ul_error *err)
{
	const struct ul_update_slot *s = job->slot;
	struct ul_slot slot = {
		.disk = (char *)job->o.disk,
		.data = {(char *)job->o.disk, s->part[UL_SLOT_DATA].offset, s->part[UL_SLOT_DATA].size},
		.hash = {(char *)job->o.disk, s->part[UL_SLOT_HASH].offset, s->part[UL_SLOT_HASH].size},
		.sig = *sig,
	};
	struct ul_seal seal = {0};
	int r;

	memcpy(slot.name, job->d.name, sizeof(slot.name));
	memcpy(slot.version, job->d.version, sizeof(slot.version));
	r = ul_judge_seal(&slot, job->o.demands, &seal, err);
	if (r == 0)
		r = check_promised(job, &seal.d, err);
	if (r == 0)
		job->d = seal.d;
	ul_seal_free(&seal);
	return r;
}

/*
 * The slot as the boot will find it: its signature; and every block, where it was not compared with the root hash
 * before it was written, or not read back behind the page cache.
 */
static int check_slot(struct ul_update_job *job, struct ul_error *err)
{
	const struct ul_partition *part = job->slot->part, *sig = &part[UL_SLOT_SIG];
	struct ul_image_fds fds = {job->disk.fd, part[UL_SLOT_DATA].offset, job->disk.fd, part[UL_SLOT_HASH].offset};
	struct ul_work work = {job->o.threads, job->o.progress, job->o.cancelled};
	int r = ul_update_judge(job, &(struct ul_extent){(char *)job->o.disk, sig->offset, sig->size}, err);

	if (r == 0 && (job->streamed || job->disk.by_cache))
		r = ul_hash_tree_check(&fds, &job->d, &work, NULL, err);
	return r;
}

const ul_update_step ul_update_file_steps[] = {
	take_name, write_tree, write_data, write_signature, sync_disk, check_slot, give_name, NULL,
};

const ul_update_step ul_update_stream_steps[] = {take_name, write_stream, sync_disk, check_slot, give_name, NULL};
