/*
 * A seeded generator of stores that look like real ones: few libraries that nearly everything refers
 * to, mostly short lists of references and a few long ones, names from families, signatures of a
 * cache on most paths and none on what was built here, content addresses on sources, self-references,
 * derivations with their outputs. The same seed and options give the same store.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "dbgen/manifest/manifest.h"

struct random_store_options {
	const char *store_dir;     /* NULL: /nix/store */
	unsigned int signed_share; /* percent of paths with a cache's signature */
	unsigned int drv_share;    /* percent of paths that are derivations (with outputs) */
	unsigned int mean_refs;    /* references of a path, on average */
	unsigned int none_share;   /* percent of paths without any; 0: as it comes */
	unsigned int realisations; /* how many; at most the number of paths */
	unsigned int odd_share;    /* percent of texts in rare forms (literal derivers, two keys) */
};

/* What real stores have: 70 % signed, no derivations (as in a sealed image), 7 references. */
extern const struct random_store_options random_store_real;

/* A graph as counted in a builder's store of 63,678 paths: 4.2 references a path, 3 in the median, none in a tenth. */
extern const struct random_store_options random_store_builder;

struct random_store_output {
	const char *drv, *id, *path;
};

struct random_store_realisation {
	const char *drv_path, *output_name, *output_path, *signatures;
	size_t ref; /* another realisation; its own number: none */
};

struct random_store {
	struct ul_path_info *paths;
	size_t n;
	struct random_store_output *outputs;
	size_t n_outputs;
	struct random_store_realisation *realisations;
	size_t n_realisations;
	struct random_store_chunk *chunks;
	const char *store_dir;
};

/* NULL: no memory. Free with random_store_free. */
struct random_store *random_store_new(uint64_t seed, size_t n, const struct random_store_options *options);
void random_store_free(struct random_store *s);

/* Give everything to a builder. */
int random_store_fill(const struct random_store *s, struct ul_builder *b, struct ul_error *err);

/* The generator's numbers (splitmix64), for tests that want more of them. */
uint64_t random_next(uint64_t *state);
