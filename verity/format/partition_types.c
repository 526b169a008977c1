/*
 * The rows of the Discoverable Partitions Specification (UAPI.2, as systemd's sd-gpt.h spells them) that
 * Underlay knows. Another architecture is two more rows; no code knows one by name.
 */
#include "verity/format/partition_types.h"

#include <string.h>
#include <sys/utsname.h>

const struct ul_partition_types ul_partition_types[] = {
	{"x86-64", "x86_64", "usr", "8484680c-9521-48c6-9c11-b0720656f69e", "77ff5f63-e7b6-4633-acf4-1565b864c0e6",
	 "e7bb33fb-06cf-4e81-8273-e543b413e2e2"},
	{"x86-64", "x86_64", "root", "4f68bce3-e8cd-4db1-96e7-fbcaf984b709", "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5",
	 "41092b05-9fc8-4523-994f-2def0408b176"},
	{"arm64", "aarch64", "usr", "b0e01050-ee5f-4390-949a-9101b17104e9", "6e11a4e7-fbca-4ded-b9e9-e1a512bb664e",
	 "c23ce4ff-44bd-4b00-b2d4-b41b3419e02a"},
	{"arm64", "aarch64", "root", "b921b045-1df0-41c3-af44-4c6f280d3fae", "df3300ce-d69f-4c92-978c-9bfb0f38d820",
	 "6db69de6-29f4-4758-a7a5-962190f00ce3"},
	{"riscv64", "riscv64", "usr", "beaec34b-8442-439b-a40b-984381ed097d", "8f1056be-9b05-47c4-81d6-be53128e5b54",
	 "d2f9000a-7a18-453f-b5cd-4d32f77a7b32"},
	{"riscv64", "riscv64", "root", "72ec70a6-cf74-40e6-bd49-4bda08e8f224", "b6ed5582-440b-4209-b8da-5ff7c419ea3d",
	 "efe0f087-ea8d-4469-821a-4c2a96a8386a"},
	{NULL, NULL, NULL, NULL, NULL, NULL},
};

const struct ul_partition_types *ul_partition_types_find(const char *machine, const char *designator)
{
	struct utsname name;

	if (!machine) {
		if (uname(&name) < 0)
			return NULL;
		machine = name.machine;
	}
	for (const struct ul_partition_types *t = ul_partition_types; t->architecture; t++)
		if (!strcmp(t->machine, machine) && !strcmp(t->designator, designator))
			return t;
	return NULL;
}

const struct ul_partition_types *ul_partition_types_of(const char *type)
{
	for (const struct ul_partition_types *t = ul_partition_types; t->architecture; t++)
		if (!strcmp(type, t->data) || !strcmp(type, t->verity) || !strcmp(type, t->verity_sig))
			return t;
	return NULL;
}
