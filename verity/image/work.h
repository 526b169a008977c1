/* What long work over a whole image is given. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/progress.h"

/* Where data and hash partition begin; both may be of one file. */
struct ul_image_fds {
	int data_fd;
	uint64_t data_offset; /* bytes */
	int hash_fd;
	uint64_t hash_offset; /* bytes */
};

struct ul_work {
	unsigned int threads; /* 0: one for each processor */
	struct ul_progress *progress;
	bool (*cancelled)(void); /* asked now and then, by any thread; NULL: nobody wants it to end early */
};
