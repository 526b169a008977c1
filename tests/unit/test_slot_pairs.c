/* Which partitions form a slot. A disk is told as a text: a partition a word, in the order of their places. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "verity/open/slot_pairs.h"

/* Root hashes: of 64 equal digits each, so that both UUIDs of one are alike. */
static const char *hash_of(char digit)
{
	static char text[65];

	memset(text, digit, 64);
	return text;
}

/*
 * ROLE UUID LABEL of each partition: "d1x" is a data partition with the UUIDs of root hash 1 and the label x; "h1x" a
 * hash partition, "s1x" a signature partition that names root hash 1. "-": no UUID, label or name of any.
 */
struct disk {
	struct ul_partition parts[16];
	size_t n;
	struct ul_slot_candidates c;
};

static void tell(struct disk *d, const char *text)
{
	static const char roles[] = "dhs";

	*d = (struct disk){.n = 0};
	while (*text) {
		struct ul_partition *p = &d->parts[d->n++];
		enum ul_slot_role role = (enum ul_slot_role)(strchr(roles, text[0]) - roles);
		struct ul_slot_uuids uuids = ul_slot_uuids_of(text[1] == '-' ? NULL : hash_of(text[1]));

		p->number = (unsigned int)d->n;
		p->offset = d->n * 1000;
		snprintf(p->label, sizeof(p->label), "%.*s", text[2] != '-', text + 2);
		if (role == UL_SLOT_DATA)
			memcpy(p->uuid, uuids.data, sizeof(p->uuid));
		else if (role == UL_SLOT_HASH)
			memcpy(p->uuid, uuids.hash, sizeof(p->uuid));
		else
			d->c.named[d->c.n[role]] = uuids;
		d->c.part[role][d->c.n[role]++] = p;
		text += 3;
		text += *text == ' ';
	}
}

/* "1:2,3 4:5,-": the numbers of data, hash and signature partition of each slot. */
static void assert_pairs(const char *disk, const char *known, const char *wanted)
{
	struct ul_slot_parts slots[UL_SLOT_PARTS_MAX];
	char got[256] = "";
	struct disk d;

	tell(&d, disk);
	d.c.known = ul_slot_uuids_of(known);
	ul_slot_pair(&d.c, slots);
	for (size_t i = 0; i < d.c.n[UL_SLOT_DATA]; i++)
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%u:%u,%u", i ? " " : "",
			 slots[i].data->number, slots[i].hash ? slots[i].hash->number : 0,
			 slots[i].sig ? slots[i].sig->number : 0);
	if (strcmp(got, wanted) != 0)
		fail_msg("%s: %s instead of %s", disk, got, wanted);
}

static void one_of_each(void **state)
{
	(void)state;
	assert_pairs("d1x h1x s1x", NULL, "1:2,3");
	/* Wherever they lie, whatever they are called. */
	assert_pairs("s1a h1b d1c", NULL, "3:2,1");
	assert_pairs("h2- d1-", NULL, "2:1,0");
	assert_pairs("d1x", NULL, "1:0,0");
	assert_pairs("h1x s1x", NULL, "");
}

static void two_versions(void **state)
{
	(void)state;
	assert_pairs("d1x h1x s1x d2y h2y s2y", NULL, "1:2,3 4:5,6");
	/* By the root hash alone, across the disk. */
	assert_pairs("d1- d2- h2- h1- s2- s1-", NULL, "1:4,6 2:3,5");
	/* By the label alone. */
	assert_pairs("d-x d-y h-y h-x s-y s-x", NULL, "1:4,6 2:3,5");
	/* The root hash counts more than the label, which anybody may have changed. */
	assert_pairs("d1x h2x s2x d2y h1y s1y", NULL, "1:5,6 4:2,3");
}

/* uapi-group/specifications#167: UUIDs and labels are there twice. */
static void one_image_twice(void **state)
{
	(void)state;
	assert_pairs("d1x h1x s1x d1x h1x s1x", NULL, "1:2,3 4:5,6");
	/* A slot that lost a part does not take the other's. */
	assert_pairs("d1x s1x d1x h1x s1x", NULL, "1:0,0 3:4,5");
	assert_pairs("d1x h1x d1x h1x s1x", NULL, "1:2,0 3:4,5");
	assert_pairs("d1x h1x s1x d1x s1x", NULL, "1:2,3 4:0,0");
}

/* systemd/systemd#39655: mkosi's labels are NAME and NAME_verity, and nothing is signed. */
static void neither_labels_nor_signatures(void **state)
{
	(void)state;
	assert_pairs("d1a h1b d2c h2d", NULL, "1:2,0 3:4,0");
	assert_pairs("d1- h1- d2- h2-", NULL, "1:2,0 3:4,0");
	/* Not behind their data: only who knows the root hash finds it. */
	assert_pairs("d1a d2b h2c h1d", NULL, "1:0,0 2:3,0");
	assert_pairs("d1a d2b h2c h1d", hash_of('1'), "1:4,0 2:3,0");
}

static void nobody_shares(void **state)
{
	(void)state;
	assert_pairs("d1x d1x h1x s1x", NULL, "1:0,0 2:3,4");
	assert_pairs("d-- d-- h--", NULL, "1:0,0 2:3,0");
	/* What names another slot's root hash is not taken for its place. */
	assert_pairs("d1x h1x s2y d2y h2y", NULL, "1:2,0 4:5,3");
}

static void root_hashes_of_any_length(void **state)
{
	(void)state;
	assert_string_equal(ul_slot_uuids_of(hash_of('a')).data, "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa");
	assert_string_equal(ul_slot_uuids_of("abcd").data, "");
	assert_string_equal(ul_slot_uuids_of("").data, "");
	assert_string_equal(ul_slot_uuids_of(NULL).hash, "");
	assert_string_equal(ul_slot_uuids_of("no hash").hash, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_of_each),     cmocka_unit_test(two_versions),
		cmocka_unit_test(one_image_twice), cmocka_unit_test(neither_labels_nor_signatures),
		cmocka_unit_test(nobody_shares),   cmocka_unit_test(root_hashes_of_any_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
