#include "verity/open/slot_pairs.h"

#include <string.h>

#include "common/encoding.h"
#include "verity/format/descriptor.h"
#include "verity/format/image_layout.h"

struct pairing {
	const struct ul_slot_candidates *c;
	struct ul_slot_parts *slots; /* of the data partitions */
	bool taken[UL_SLOT_ROLES][UL_SLOT_PARTS_MAX];
};

struct ul_slot_uuids ul_slot_uuids_of(const char *root_hash)
{
	struct ul_slot_uuids uuids = {"", ""};
	uint8_t bytes[UL_ROOT_HASH_MAX], data[16], hash[16];
	size_t len = root_hash ? strlen(root_hash) / 2 : 0;

	if (len > sizeof(bytes) || !root_hash || !ul_hex_decode(root_hash, 2 * len, bytes, len) ||
	    ul_image_partition_uuids(bytes, len, data, hash) < 0)
		return uuids;
	ul_uuid_format(data, uuids.data);
	ul_uuid_format(hash, uuids.hash);
	return uuids;
}

/* ---- the rules: whether a partition of the role may belong to the slot ---- */

static bool names(const struct ul_slot_uuids *u, const struct ul_slot_parts *slot, const struct ul_partition *hash)
{
	return u->data[0] && !strcmp(u->data, slot->data->uuid) && (!hash || !strcmp(u->hash, hash->uuid));
}

static bool by_root_hash(const struct pairing *p, const struct ul_slot_parts *slot, enum ul_slot_role role, size_t i)
{
	const struct ul_slot_candidates *c = p->c;
	const struct ul_partition *hash = role == UL_SLOT_HASH ? c->part[role][i] : slot->hash;

	if (role == UL_SLOT_SIG)
		return names(&c->named[i], slot, hash);
	if (names(&c->known, slot, hash))
		return true;
	for (size_t k = 0; k < c->n[UL_SLOT_SIG]; k++)
		if (names(&c->named[k], slot, hash))
			return true;
	return false;
}

static bool by_label(const struct pairing *p, const struct ul_slot_parts *slot, enum ul_slot_role role, size_t i)
{
	return slot->data->label[0] && !strcmp(slot->data->label, p->c->part[role][i]->label);
}

/* What another root hash names is another slot's. */
static bool by_place(const struct pairing *p, const struct ul_slot_parts *slot, enum ul_slot_role role, size_t i)
{
	(void)slot;
	return role != UL_SLOT_SIG || !p->c->named[i].data[0] || p->c->n[role] == 1;
}

/* ---- where to look ---- */

/* Bytes: up to where slot number d reaches, the next data partition's begin. */
static uint64_t reach(const struct ul_slot_candidates *c, size_t d)
{
	return d + 1 < c->n[UL_SLOT_DATA] ? c->part[UL_SLOT_DATA][d + 1]->offset : UINT64_MAX;
}

typedef bool (*rule)(const struct pairing *p, const struct ul_slot_parts *slot, enum ul_slot_role role, size_t i);

/* The first that is free, lies there, and fits; NULL. */
static const struct ul_partition *take(struct pairing *p, size_t d, enum ul_slot_role role, rule fits, bool near)
{
	const struct ul_slot_candidates *c = p->c;
	const struct ul_slot_parts *slot = &p->slots[d];

	for (size_t i = 0; i < c->n[role]; i++) {
		const struct ul_partition *part = c->part[role][i];

		if (p->taken[role][i] || (near && (part->offset < slot->data->offset || part->offset >= reach(c, d))) ||
		    !fits(p, slot, role, i))
			continue;
		p->taken[role][i] = true;
		return part;
	}
	return NULL;
}

static const struct ul_partition **member(struct ul_slot_parts *slot, enum ul_slot_role role)
{
	return role == UL_SLOT_HASH ? &slot->hash : &slot->sig;
}

static void assign(struct pairing *p, enum ul_slot_role role, rule fits, bool near)
{
	for (size_t d = 0; d < p->c->n[UL_SLOT_DATA]; d++) {
		const struct ul_partition **at = member(&p->slots[d], role);

		if (!*at && (role == UL_SLOT_HASH || p->slots[d].hash))
			*at = take(p, d, role, fits, near);
	}
}

void ul_slot_pair(const struct ul_slot_candidates *c, struct ul_slot_parts ret[UL_SLOT_PARTS_MAX])
{
	struct pairing p = {.c = c, .slots = ret};

	for (size_t d = 0; d < c->n[UL_SLOT_DATA]; d++)
		ret[d] = (struct ul_slot_parts){.data = c->part[UL_SLOT_DATA][d]};
	for (enum ul_slot_role role = UL_SLOT_HASH; role < UL_SLOT_ROLES; role++) {
		assign(&p, role, by_root_hash, true);
		assign(&p, role, by_root_hash, false);
		assign(&p, role, by_label, true);
		assign(&p, role, by_label, false);
		assign(&p, role, by_place, true);
		/* The only one, wherever it lies. */
		if (c->n[UL_SLOT_DATA] == 1 && c->n[role] == 1)
			assign(&p, role, by_place, false);
	}
}
