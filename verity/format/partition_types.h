/*
 * Discoverable Partitions Specification (UAPI.2): types of a verity-protected usr (or root) partition, by
 * architecture.
 */
#pragma once

#include <stddef.h>

struct ul_partition_types {
	const char *architecture;               /* as the specification and uname -m name it: "x86-64", "arm64" */
	const char *machine;                    /* uname -m */
	const char *designator;                 /* "usr" or "root" */
	const char *data, *verity, *verity_sig; /* GPT type UUIDs, lower case */
};

/* The row for uname's machine (NULL: this machine) and designator; NULL: none. */
const struct ul_partition_types *ul_partition_types_find(const char *machine, const char *designator);

/* The row in which a type stands, of whichever of the three partitions; NULL: it is not a slot's. */
const struct ul_partition_types *ul_partition_types_of(const char *type);

/* All rows, ended by architecture == NULL. */
extern const struct ul_partition_types ul_partition_types[];
