#include "verity/disk/disk_content.h"

#include <blkid/blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/cleanup.h"
#include "common/file.h"
#include "verity/format/image_layout.h"
#include "verity/locate/image_view.h"

#define MIB UL_IMAGE_ALIGN

static void cleanup_probe(blkid_probe *pr)
{
	blkid_free_probe(*pr);
}

static const char *value_of(blkid_probe pr, const char *name)
{
	const char *value = NULL;

	return blkid_probe_lookup_value(pr, name, &value, NULL) == 0 ? value : NULL;
}

/* ---- a list that ends in time ---- */

#define TAIL 24 /* bytes that "; and NNN more" needs */

struct list {
	char *text;
	size_t len, size, n, left_out;
};

static void add(struct list *l, const char *separator, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void add(struct list *l, const char *separator, const char *format, ...)
{
	char item[256];
	va_list args;
	int len;

	va_start(args, format);
	vsnprintf(item, sizeof(item), format, args);
	va_end(args);
	len = snprintf(NULL, 0, "%s%s", l->n ? separator : "", item);
	if (l->left_out || l->len + (size_t)len + TAIL > l->size) {
		l->left_out++;
		return;
	}
	l->len += (size_t)snprintf(l->text + l->len, l->size - l->len, "%s%s", l->n ? separator : "", item);
	l->n++;
}

static void end(struct list *l)
{
	if (l->left_out)
		snprintf(l->text + l->len, l->size - l->len, "%s%zu more", l->n ? "; and " : "", l->left_out);
}

/* ---- partitions ---- */

/* Its label, and what is in it; where neither tells, its type. */
static void add_partition(struct list *l, int fd, blkid_partition p)
{
	const char *label = blkid_partition_get_name(p), *type = blkid_partition_get_type_string(p);
	int n = blkid_partition_get_partno(p);
	char content[32];

	/* libblkid counts in sectors of 512 bytes, as the kernel does. */
	ul_content_type(fd, (uint64_t)blkid_partition_get_start(p) * 512, (uint64_t)blkid_partition_get_size(p) * 512,
			content);
	label = label ? label : "";
	if (content[0])
		add(l, "; ", "%d%s%s: %s", n, *label ? " " : "", label, content);
	else if (*label)
		add(l, "; ", "%d %s", n, label);
	else if (type)
		add(l, "; ", "%d: of type %s", n, type);
	else
		add(l, "; ", "%d: of type %#x", n, (unsigned int)blkid_partition_get_type(p));
}

static blkid_probe new_probe(int fd, uint32_t sector)
{
	blkid_probe pr = blkid_new_probe();

	if (!pr)
		errno = ENOMEM;
	/* After the device, which brings its own. */
	if (pr && blkid_probe_set_device(pr, fd, 0, 0) == 0 && blkid_probe_set_sectorsize(pr, sector) == 0)
		return pr;
	if (pr)
		blkid_free_probe(pr);
	return NULL;
}

static int list_partitions(int fd, uint32_t sector, const char *type, char *ret, size_t size)
{
	UL_CLEANUP(cleanup_probe) blkid_probe pr = new_probe(fd, sector);
	struct list l = {.text = ret, .size = size - 1};
	blkid_partlist list;
	int n;

	if (!pr)
		return errno ? -errno : -EIO;
	blkid_probe_enable_superblocks(pr, 0);
	blkid_probe_enable_partitions(pr, 1);
	list = blkid_probe_get_partitions(pr);
	n = list ? blkid_partlist_numof_partitions(list) : 0;
	l.len = (size_t)snprintf(ret, size, "a %s table with %d partition%s%s", type, n, n == 1 ? "" : "s",
				 n > 0 ? " (" : "");
	for (int i = 0; i < n; i++)
		add_partition(&l, fd, blkid_partlist_get_partition(list, i));
	end(&l);
	if (n > 0)
		snprintf(ret + strlen(ret), size - strlen(ret), ")");
	return 0;
}

/* ---- marks, of any kind ---- */

struct marks {
	struct list list;
	char table[32];  /* the type of the table that was found; "": none yet */
	bool protective; /* there is a protective MBR; what it protects is perhaps for other sectors */
};

/* Sectors of another size may show the same again. */
static int add_table(struct marks *m, int fd, uint32_t sector, const char *type)
{
	char item[224];
	int r;

	if (!strcmp(type, "PMBR")) {
		m->protective = true;
		return 0;
	}
	if (!strcmp(m->table, type))
		return 0;
	snprintf(m->table, sizeof(m->table), "%s", type);
	r = list_partitions(fd, sector, type, item, sizeof(item));
	if (r == 0)
		add(&m->list, " and ", "%s", item);
	return r;
}

static void add_mark(struct marks *m, const char *type, const char *label)
{
	char item[160];

	if (label)
		snprintf(item, sizeof(item), "%s \"%s\"", type, label);
	else
		snprintf(item, sizeof(item), "%s", type);
	if (!strstr(m->list.text, item))
		add(&m->list, " and ", "%s", item);
}

static int add_marks(struct marks *m, int fd, uint32_t sector)
{
	UL_CLEANUP(cleanup_probe) blkid_probe pr = new_probe(fd, sector);
	int r;

	if (!pr)
		return errno ? -errno : -EIO;
	blkid_probe_enable_superblocks(pr, 1);
	blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL | BLKID_SUBLKS_MAGIC |
						      BLKID_SUBLKS_BADCSUM);
	blkid_probe_enable_partitions(pr, 1);
	errno = 0;
	while ((r = blkid_do_probe(pr)) == 0) {
		const char *type = value_of(pr, "TYPE"), *table = value_of(pr, "PTTYPE");

		if (type)
			add_mark(m, type, value_of(pr, "LABEL"));
		else if (table && (r = add_table(m, fd, sector, table)) < 0)
			return r;
	}
	return r == 1 ? 0 : errno ? -errno : -EIO;
}

/* ---- what libblkid does not know ---- */

static bool is_own_header(const uint8_t *header, const uint8_t own[16])
{
	static const uint8_t on_disk[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

	for (size_t i = 0; i < sizeof(on_disk); i++)
		if (header[56 + i] != own[on_disk[i]])
			return false;
	return memcmp(header, "EFI PART", 8) == 0;
}

/* All zero, or all ones as erased flash reads. */
static bool is_blank(const uint8_t *bytes, size_t len)
{
	return (bytes[0] == 0x00 || bytes[0] == 0xff) && memcmp(bytes, bytes + 1, len - 1) == 0;
}

/* UEFI specification 2.10, 5.3: the header is in the second sector, its copy in the last one. */
static int look_at_edges(int fd, const struct ul_disk_bounds *b, struct list *l)
{
	ul_autofree uint8_t *bytes = malloc(2 * (size_t)MIB);
	uint8_t *last = bytes + MIB;
	bool no_first_sector;
	int r = bytes ? 0 : -ENOMEM;

	if (r == 0)
		r = ul_pread_full(fd, bytes, MIB, 0);
	if (r == 0)
		r = ul_pread_full(fd, last, MIB, b->size - MIB);
	if (r < 0)
		return r;
	no_first_sector = ul_all_zero(bytes, b->sector);
	if (!is_blank(bytes, MIB) && !(no_first_sector && is_own_header(bytes + b->sector, b->own_table)))
		add(l, " and ", "something unknown in its first MiB");
	if (!is_blank(last, MIB) && !(no_first_sector && is_own_header(last + MIB - b->sector, b->own_table)))
		add(l, " and ", "something unknown in its last MiB");
	return 0;
}

int ul_disk_content(int fd, const struct ul_disk_bounds *bounds, char *ret, size_t size)
{
	static const uint32_t sectors[] = {512, 4096};
	struct marks m = {.list = {.text = ret, .size = size}};
	struct list *l = &m.list;
	int r = 0;

	ret[0] = '\0';
	for (size_t i = 0; r == 0 && i < UL_ARRAY_SIZE(sectors); i++)
		r = add_marks(&m, fd, sectors[i]);
	if (r == 0 && l->n == 0 && m.protective)
		add(l, " and ", "a protective MBR, and no table that it protects");
	if (r == 0 && l->n == 0 && bounds->size >= 2 * (uint64_t)MIB)
		r = look_at_edges(fd, bounds, l);
	/* libblkid had the kernel read nothing ahead. */
	(void)!posix_fadvise(fd, 0, 0, POSIX_FADV_NORMAL);
	if (r < 0)
		return r;
	end(l);
	return l->n > 0 || l->left_out > 0;
}
