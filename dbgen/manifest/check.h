/* Check a store directory against a manifest: every path's NAR, in parallel. */
#pragma once

#include "common/progress.h"
#include "dbgen/manifest/manifest.h"

enum ul_check_finding {
	UL_CHECK_BAD,     /* the NAR hash or size differs */
	UL_CHECK_MISSING, /* in the manifest, not in the store */
	UL_CHECK_EXTRA,   /* in the store, not in the manifest */
};

struct ul_check_options {
	unsigned int threads; /* 0: two for each processor, since some wait for the disk */
	bool ignore_extra;
	struct ul_progress *progress;
	/* Called once a finding, from one thread at a time, in path order. */
	void (*found)(void *user, enum ul_check_finding kind, const char *path, const char *detail);
	void *user;
};

struct ul_check_result {
	uint64_t paths, bytes;        /* checked */
	uint64_t bad, missing, extra; /* found */
};

/* 0 also where there are findings (see *ret); negative: the check could not be done. */
int ul_store_check(struct ul_manifest *m, int store_dirfd, const struct ul_check_options *options,
		   struct ul_check_result *ret, struct ul_error *err);
