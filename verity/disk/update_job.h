/* One update: what its steps share. update.c has their order and the checks, update_write.c what is written. */
#pragma once

#include "verity/disk/checked_write.h"
#include "verity/disk/image_stream.h"
#include "verity/disk/source_image.h"
#include "verity/disk/update.h"

struct ul_update_job {
	struct ul_update_options o;
	struct ul_update_result *result;

	bool streamed; /* by standard input: `stream` is its source, else `image` */
	struct ul_source_image image;
	struct ul_image_stream stream;
	const struct ul_partition_types *types; /* of its partitions */
	struct ul_descriptor d;                 /* streamed: what the table says, until all of it is there */
	char label[2 * UL_NAME_SIZE];           /* NAME_VERSION */
	uint64_t data_size, hash_size;          /* bytes, of what goes into the two partitions */

	struct ul_disk_writer disk;
	int table_fd; /* O_SYNC: the order of the table's two copies is kept */
	struct ul_update_slots slots;
	bool listed;
	struct ul_update_slot *slot; /* of slots */
	int held[3];                 /* its partitions' devices, claimed; -1 */
	struct ul_update_uki uki;
};

typedef int (*ul_update_step)(struct ul_update_job *job, struct ul_error *err);

/* What is written to the slot, in this order. Ended by NULL. */
extern const ul_update_step ul_update_file_steps[], ul_update_stream_steps[];

/* Where the disk has the image: the update before may have been cut off between the table's two copies. */
int ul_update_mend_table(struct ul_update_job *job, struct ul_error *err);

/*
 * ul_judge_seal of the chosen slot with this signature partition; job->d is then what was signed. Its errors;
 * -UL_E_DESCRIPTOR: it is not what a stream's table said.
 */
int ul_update_judge(struct ul_update_job *job, const struct ul_extent *sig, struct ul_error *err);
