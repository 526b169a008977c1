#include "verity/disk/split.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buffer.h"
#include "common/cleanup.h"
#include "common/encoding.h"
#include "common/file.h"
#include "common/leftover.h"
#include "verity/disk/copy_range.h"
#include "verity/disk/source_image.h"
#include "verity/disk/transfer_files.h"
#include "verity/format/image_layout.h"

static const char WHAT[] = "splitting the image";

#define SUMS_MAX (1 << 20) /* bytes of SHA256SUMS */
#define SUMS     "SHA256SUMS"

struct job {
	struct ul_split_options o;
	struct ul_split_result *result;
	struct ul_source_image image;
	int dir;
	char digests[UL_SPLIT_FILES_MAX][65]; /* of the result's files, in hex */
};

/* ---- one file ---- */

struct source {
	int fd;
	uint64_t offset, size; /* bytes */
};

/* Where a file's bytes go: onto the disk and into the sum. */
struct sink {
	int fd;
	EVP_MD_CTX *sum;
};

static int put(void *user, const uint8_t *bytes, size_t len, uint64_t done)
{
	const struct sink *s = user;
	int r = ul_pwrite_full(s->fd, bytes, len, done);

	return r == 0 && EVP_DigestUpdate(s->sum, bytes, len) != 1 ? -ENOMEM : r;
}

static int copy(struct job *job, const struct source *from, struct sink *to)
{
	return ul_copy_range(&(struct ul_copy_range){
		.from = from->fd,
		.offset = from->offset,
		.size = from->size,
		.step = "writing",
		.progress = job->o.progress,
		.cancelled = job->o.cancelled,
		.piece = put,
		.user = to,
	});
}

/* 0, -errno, or -ECANCELED. digest: in hex. */
static int copy_and_hash(struct job *job, const struct source *from, int to, char digest[65])
{
	struct sink sink = {to, EVP_MD_CTX_new()};
	uint8_t bytes[32];
	int r = sink.sum && EVP_DigestInit_ex(sink.sum, EVP_sha256(), NULL) == 1 ? copy(job, from, &sink) : -ENOMEM;

	if (r == 0 && EVP_DigestFinal_ex(sink.sum, bytes, NULL) != 1)
		r = -ENOMEM;
	if (r == 0)
		ul_hex_encode(bytes, sizeof(bytes), digest);
	EVP_MD_CTX_free(sink.sum);
	return r;
}

/* The file of the result's next name, whole: it appears under that name when all of it is on the disk. */
static int write_file(struct job *job, const struct source *from, struct ul_error *err)
{
	const char *name = job->result->files[job->result->n_files];
	struct ul_leftover *leftover;
	char temporary[280];
	ul_autoclose int to = -1;
	int r;

	snprintf(temporary, sizeof(temporary), ".%s.tmp", name);
	leftover = ul_leftover_add(job->dir, temporary);
	to = openat(job->dir, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	r = to < 0 ? -errno : copy_and_hash(job, from, to, job->digests[job->result->n_files]);
	if (r == 0 && (fsync(to) < 0 || renameat(job->dir, temporary, job->dir, name) < 0))
		r = -errno;
	if (r < 0 && to >= 0)
		unlinkat(job->dir, temporary, 0);
	ul_leftover_drop(leftover);
	if (r == -ECANCELED)
		return ul_error_set(err, UL_E_SYSTEM, WHAT, job->o.directory, NULL, "interrupted");
	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, name, NULL, -r);
	job->result->n_files++;
	return 0;
}

/* ---- the parts ---- */

/* uuid: in the order of the text. A name of a file has it without dashes. */
static int write_part(struct job *job, const struct ul_extent *extent, uint64_t size, const char *suffix,
		      const uint8_t uuid[16], struct ul_error *err)
{
	const struct source from = {job->image.fd, extent->offset, size};
	char hex[33];

	ul_hex_encode(uuid, 16, hex);
	snprintf(job->result->files[job->result->n_files], sizeof(job->result->files[0]), "%s_%s.%s-%s%s.raw",
		 job->image.label, hex, job->image.types->designator, job->image.types->architecture, suffix);
	return write_file(job, &from, err);
}

static int write_image(struct job *job, struct ul_error *err)
{
	const struct ul_descriptor *d = &job->image.d;
	const struct ul_slot *s = job->image.slot;
	uint8_t data[16], hash[16], sig[16];
	int r;

	if (ul_image_partition_uuids(d->root_hash, d->root_hash_len, data, hash) < 0)
		return ul_error_set(err, UL_E_DESCRIPTOR, WHAT, job->o.image, NULL, "its root hash is too short");
	if (ul_image_signature_uuid(d->root_hash, d->root_hash_len, sig) < 0)
		return ul_error_nomem(err, WHAT);
	r = write_part(job, &s->data, job->image.data_size, "", data, err);
	if (r == 0)
		r = write_part(job, &s->hash, job->image.hash_size, "-verity", hash, err);
	return r < 0 ? r : write_part(job, &s->sig, UL_SIG_PARTITION_SIZE, "-verity-sig", sig, err);
}

static int write_uki(struct job *job, struct ul_error *err)
{
	ul_autoclose int fd = -1;
	struct source from = {.fd = -1};
	int r;

	if (!job->o.uki)
		return 0;
	fd = open(job->o.uki, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	r = fd < 0 ? -errno : ul_file_size(fd, &from.size);
	if (r < 0)
		return ul_error_errno(err, UL_E_SYSTEM, WHAT, job->o.uki, NULL, -r);
	from.fd = fd;
	snprintf(job->result->files[job->result->n_files], sizeof(job->result->files[0]), "%s.efi", job->image.label);
	return write_file(job, &from, err);
}

/* ---- the list of sums ---- */

/* Whether a line is that of one of the files that were written: "DIGEST  NAME", or "DIGEST *NAME". */
static bool is_ours(const struct job *job, const char *line, size_t len)
{
	for (size_t i = 0; i < job->result->n_files; i++) {
		size_t n = strlen(job->result->files[i]);

		if (len == 66 + n && !memcmp(line + 66, job->result->files[i], n))
			return true;
	}
	return false;
}

static int keep_others(const struct job *job, struct ul_buffer *old, struct ul_buffer *sums)
{
	const char *text = ul_buffer_string(old), *end;
	int r = text ? 0 : -ENOMEM;

	for (; r == 0 && *text; text = *end ? end + 1 : end) {
		end = strchrnul(text, '\n');
		if (end == text || is_ours(job, text, (size_t)(end - text)))
			continue;
		r = ul_buffer_append(sums, text, (size_t)(end - text));
		if (r == 0)
			r = ul_buffer_append(sums, "\n", 1);
	}
	return r;
}

static int write_sums(struct job *job, struct ul_error *err)
{
	ul_autobuffer struct ul_buffer old = {0}, sums = {0};
	int r = ul_read_file(job->dir, SUMS, SUMS_MAX, &old);

	r = r == -ENOENT ? 0 : r < 0 ? r : keep_others(job, &old, &sums);
	for (size_t i = 0; r == 0 && i < job->result->n_files; i++) {
		char line[400];
		int n = snprintf(line, sizeof(line), "%s  %s\n", job->digests[i], job->result->files[i]);

		r = ul_buffer_append(&sums, line, (size_t)n);
	}
	if (r == 0)
		r = ul_write_file_atomic(job->dir, SUMS, 0644, sums.data, sums.len);
	return r < 0 ? ul_error_errno(err, UL_E_SYSTEM, WHAT, SUMS, NULL, -r) : 0;
}

static int write_transfers(struct job *job, struct ul_error *err)
{
	const struct ul_transfer_request q = {
		.name = job->image.d.name,
		.types = job->image.types,
		.source = job->o.source,
		.device = job->o.device,
		.uki = job->o.uki != NULL,
		.tries = job->o.tries,
	};
	int r = ul_transfer_files_write(job->dir, &q);

	return r < 0 ? ul_error_errno(err, UL_E_SYSTEM, WHAT, "sysupdate.d", NULL, -r) : 0;
}

/* ---- the whole ---- */

static int open_image(struct job *job, struct ul_error *err)
{
	int r = ul_source_image_open(job->o.image, WHAT, &job->image, err);

	if (r < 0)
		return r;
	snprintf(job->result->name, sizeof(job->result->name), "%s", job->image.d.name);
	snprintf(job->result->version, sizeof(job->result->version), "%s", job->image.d.version);
	job->result->is_signed = job->image.is_signed;
	return job->o.uki ? ul_source_image_check_uki(&job->image, WHAT, job->o.uki, job->o.uki_architecture, err) : 0;
}

static int open_directory(struct job *job, struct ul_error *err)
{
	int r = ul_mkdir_parents(AT_FDCWD, job->o.directory, 0755);

	job->dir = r < 0 ? r : open(job->o.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/*
	 * Two at once would write the same temporary names, and each would lose the other's lines of the sums. A
	 * filesystem without such locks (NFS has none of directories) is no reason to write nothing.
	 */
	if (job->dir >= 0 && (flock(job->dir, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK))
		return 0;
	r = r < 0 ? -r : errno;
	if (r == EWOULDBLOCK)
		return ul_error_set(err, UL_E_EXISTS, WHAT, job->o.directory, "Wait for the other one.",
				    "another process writes into it");
	return ul_error_errno(err, UL_E_SYSTEM, WHAT, job->o.directory, NULL, r);
}

/* The sums come behind the files that they name: who downloads reads them first. */
static int (*const steps[])(struct job *job, struct ul_error *err) = {
	open_image, open_directory, write_image, write_uki, write_sums, write_transfers,
};

int ul_image_split(const struct ul_split_options *options, struct ul_split_result *ret, struct ul_error *err)
{
	struct job job = {.o = *options, .result = ret, .image = {.fd = -1}, .dir = -1};
	int r = 0;

	*ret = (struct ul_split_result){.n_files = 0};
	for (size_t i = 0; r == 0 && i < UL_ARRAY_SIZE(steps); i++)
		r = steps[i](&job, err);
	ul_source_image_close(&job.image);
	ul_cleanup_close(&job.dir);
	return r;
}
