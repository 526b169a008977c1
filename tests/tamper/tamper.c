/*
 * The attack on the disk: thousands of tampered images, each opened by the code that boots (slots, trust
 * decision, geometry), then read block by block as dm-verity reads with the parameters that were decided. Nothing may
 * be served that was not signed.
 *
 *     tamper [--flips N] [--others N] [--seed N] [--json FILE] IMAGE OTHER CERTIFICATE
 *
 * IMAGE and OTHER: two images signed by the certificate's key, stored uncompressed. N: cases of the policy "signed
 * descriptor"; of each of the three other policies there are two fifths as many. Exit status: 0, 1 where a case is
 * bad, 2 wrong usage.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"
#include "tests/tamper/cases.h"
#include "verity/open/slots.h"

enum outcome { REFUSED, READ_ERROR, HARMLESS, BAD, OUTCOMES };

static const char *const outcome_names[OUTCOMES] = {"refused", "read error", "harmless", "BAD"};

/* The policies under which an image is opened. */
static const struct mode {
	const char *name;
	enum ul_verify_mode verify;
	bool foreign;
} modes[] = {
	{"signed descriptor", UL_VERIFY_USER, false},
	{"signed, superblock", UL_VERIFY_USER, true},
	{"pinned, descriptor", UL_VERIFY_PINNED, false},
	{"pinned, superblock", UL_VERIFY_PINNED, true},
};

#define MODES UL_ARRAY_SIZE(modes)

/* The one disk that all cases are made on. */
static struct {
	int fd;
	char path[32];
	uint8_t *bytes;
} disk;

static struct ul_trust *trust;
static struct tamper_image images[MODES], other;
static unsigned long counts[MODES][TAMPER_KINDS][OUTCOMES];
static unsigned long by_code[64]; /* refusals by ul_code; [0]: at the first read */

static void die(const char *what)
{
	perror(what);
	exit(3);
}

static void open_disk(size_t size)
{
	disk.fd = memfd_create("disk", MFD_CLOEXEC);
	if (disk.fd < 0 || ftruncate(disk.fd, (off_t)size) < 0)
		die("memfd");
	snprintf(disk.path, sizeof(disk.path), "/proc/self/fd/%d", disk.fd);
	disk.bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, disk.fd, 0);
	if (disk.bytes == MAP_FAILED)
		die("mmap");
}

/* Nobody may be talked into another image than the one that its root hash is. */
static bool same_identity(const struct ul_seal *seal, const struct tamper_image *image, const struct mode *mode)
{
	const struct ul_descriptor *d = &seal->d;

	/* Where nobody vouches for one there is none. A splice may bring a descriptor that is signed. */
	if (mode->verify == UL_VERIFY_PINNED || !seal->from_descriptor)
		return mode != &modes[0] && d->name[0] == '\0' && d->rollback_index == 0;
	return strcmp(d->name, image->d.name) == 0 && strcmp(d->version, image->d.version) == 0 &&
	       d->rollback_index == image->d.rollback_index && d->data_blocks == image->d.data_blocks &&
	       memcmp(d->manifest_hash, image->d.manifest_hash, 32) == 0;
}

/* What an opened slot serves, block by block. */
static enum outcome read_slot(const struct ul_slot *slot, const struct ul_seal *seal, const struct mode *mode,
			      const struct tamper_image *image)
{
	const struct tamper_image *is = image;
	struct tamper_served served;

	if (memcmp(seal->d.root_hash, image->d.root_hash, image->d.root_hash_len) != 0) {
		if (mode->verify == UL_VERIFY_PINNED ||
		    memcmp(seal->d.root_hash, other.d.root_hash, other.d.root_hash_len) != 0)
			return BAD;
		is = &other;
	}
	if (!same_identity(seal, is, mode))
		return BAD;
	tamper_read(&seal->d, (struct tamper_bytes){disk.bytes + slot->data.offset, (size_t)slot->data.size},
		    (struct tamper_bytes){disk.bytes + slot->hash.offset, (size_t)slot->hash.size}, is, &served);
	if (served.bad)
		return BAD;
	if (!served.ends_good) {
		by_code[0]++;
		return REFUSED;
	}
	return served.errors ? READ_ERROR : HARMLESS;
}

/* Every slot that is found, as a boot tries one after the other: the worst that any does. */
static enum outcome open_image(const struct mode *mode, const struct tamper_image *image)
{
	struct ul_seal_policy policy = {
		.mode = mode->verify,
		.trust = trust,
		.descriptor_required = !mode->foreign && mode->verify != UL_VERIFY_PINNED,
	};
	enum outcome worst = REFUSED;
	struct ul_slot_list list = {0};
	struct ul_seal seal;
	struct ul_error err = {0};

	if (mode->verify == UL_VERIFY_PINNED) {
		policy.pinned_root_hash = image->d.root_hash;
		policy.pinned_root_hash_len = image->d.root_hash_len;
	}
	if (ul_slots_probe(disk.path, "/dev", "usr", NULL, &list, &err) < 0) {
		by_code[err.code]++;
		return REFUSED;
	}
	if (list.n == 0)
		by_code[UL_E_NO_IMAGE]++;
	ul_slots_sort(&list);
	for (size_t i = 0; i < list.n; i++) {
		enum outcome is = REFUSED;

		if (ul_seal_decide(&list.at[i], &policy, &seal, &err) < 0) {
			by_code[err.code]++;
		} else {
			is = read_slot(&list.at[i], &seal, mode, image);
			ul_seal_free(&seal);
		}
		if (is > worst)
			worst = is;
	}
	ul_slots_free(&list);
	return worst;
}

static void run_case(size_t m, enum tamper_region kind, uint64_t seed, uint64_t number)
{
	const struct tamper_image *image = &images[m];
	enum outcome is;
	size_t len;

	memcpy(disk.bytes, image->bytes, image->len);
	len = tamper_change(kind, seed + m, number, image, &other, disk.bytes);
	if (ftruncate(disk.fd, (off_t)len) < 0)
		die("truncate");
	is = open_image(&modes[m], image);
	counts[m][kind][is]++;
	if (is == BAD)
		fprintf(stderr, "BAD: policy %s, %s, seed %" PRIu64 ", case %" PRIu64 "\n", modes[m].name,
			tamper_names[kind], seed, number);
	if (ftruncate(disk.fd, (off_t)(image->len + TAMPER_ROOM)) < 0)
		die("truncate");
}

/* A policy's flips, shared out evenly over the regions that the image has; then the others. */
static void run_mode(size_t m, uint64_t seed, unsigned long flips, unsigned long others)
{
	unsigned int regions = 0, at = 0;

	for (int k = 0; k < TAMPER_REGIONS; k++)
		regions += images[m].regions[k].len > 0;
	for (int k = 0; k < TAMPER_KINDS; k++) {
		unsigned long n = others / (TAMPER_KINDS - TAMPER_REGIONS);

		if (k < TAMPER_REGIONS && images[m].regions[k].len == 0)
			continue;
		if (k < TAMPER_REGIONS)
			n = flips / regions + (at++ < flips % regions);
		for (unsigned long i = 0; i < n; i++)
			run_case(m, (enum tamper_region)k, seed, i);
	}
}

/* ---- telling ---- */

static unsigned long sum(size_t mode_from, size_t mode_to, int kind_from, int kind_to, enum outcome is)
{
	unsigned long n = 0;

	for (size_t m = mode_from; m < mode_to; m++)
		for (int k = kind_from; k < kind_to; k++)
			n += counts[m][k][is];
	return n;
}

static void print_row(const char *name, size_t from, size_t to, int kind_from, int kind_to)
{
	unsigned long n[OUTCOMES], all = 0;

	for (int o = 0; o < OUTCOMES; o++)
		all += n[o] = sum(from, to, kind_from, kind_to, (enum outcome)o);
	printf("%-32s %8lu %8lu %11lu %9lu %6lu\n", name, all, n[REFUSED], n[READ_ERROR], n[HARMLESS], n[BAD]);
}

static void print_table(uint64_t seed)
{
	printf("seed %" PRIu64 "\n%-32s %8s %8s %11s %9s %6s\n", seed, "region", "cases", outcome_names[0],
	       outcome_names[1], outcome_names[2], outcome_names[3]);
	for (int k = 0; k < TAMPER_KINDS; k++)
		print_row(tamper_names[k], 0, MODES, k, k + 1);
	for (size_t m = 0; m < MODES; m++)
		print_row(modes[m].name, m, m + 1, 0, TAMPER_KINDS);
	print_row("all flips", 0, MODES, 0, TAMPER_REGIONS);
	print_row("all others", 0, MODES, TAMPER_REGIONS, TAMPER_KINDS);
	printf("refused by:");
	for (size_t c = 0; c < UL_ARRAY_SIZE(by_code); c++)
		if (by_code[c])
			printf(" %s %lu", c ? ul_code_name((enum ul_code)c) : "first-read", by_code[c]);
	printf("\n");
}

static void write_json(const char *path, uint64_t seed)
{
	FILE *f = fopen(path, "we");
	const char *comma = "";

	if (!f)
		die(path);
	fprintf(f, "{\"seed\":%" PRIu64 ",\"rows\":[", seed);
	for (size_t m = 0; m < MODES; m++)
		for (int k = 0; k < TAMPER_KINDS; k++) {
			if (images[m].regions[k < TAMPER_REGIONS ? k : 0].len == 0)
				continue;
			fprintf(f, "%s\n{\"policy\":\"%s\",\"region\":\"%s\"", comma, modes[m].name, tamper_names[k]);
			for (int o = 0; o < OUTCOMES; o++)
				fprintf(f, ",\"%s\":%lu", outcome_names[o], counts[m][k][o]);
			fprintf(f, "}");
			comma = ",";
		}
	fprintf(f, "\n]}\n");
	if (fclose(f) != 0)
		die(path);
}

/* ---- */

static bool load(char **argv)
{
	struct ul_error err;

	if (ul_trust_load_file(argv[2], &trust, &err) < 0) {
		fprintf(stderr, "tamper: %s: %s\n", argv[2], err.why);
		return false;
	}
	if (!tamper_load(argv[1], &other))
		return false;
	for (size_t m = 0; m < MODES; m++)
		if (!tamper_load(argv[0], &images[m]) || (modes[m].foreign && !tamper_make_foreign(&images[m])))
			return false;
	open_disk(images[0].len + TAMPER_ROOM);
	return true;
}

/* A judge that refuses everything would find nothing bad: the untouched image opens under every policy. */
static bool control(void)
{
	for (size_t m = 0; m < MODES; m++) {
		memcpy(disk.bytes, images[m].bytes, images[m].len);
		if (ftruncate(disk.fd, (off_t)images[m].len) < 0)
			die("truncate");
		if (open_image(&modes[m], &images[m]) != HARMLESS) {
			fprintf(stderr, "tamper: the untouched image does not open: %s\n", modes[m].name);
			return false;
		}
		if (ftruncate(disk.fd, (off_t)(images[m].len + TAMPER_ROOM)) < 0)
			die("truncate");
	}
	return true;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"flips", required_argument, NULL, 'f'},
		{"others", required_argument, NULL, 'o'},
		{"seed", required_argument, NULL, 's'},
		{"json", required_argument, NULL, 'j'},
		{NULL, 0, NULL, 0},
	};
	unsigned long flips = 10000, others = 500;
	const char *json = NULL;
	uint64_t seed = 5;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (c) {
		case 'f':
			flips = strtoul(optarg, NULL, 10);
			break;
		case 'o':
			others = strtoul(optarg, NULL, 10);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 10);
			break;
		case 'j':
			json = optarg;
			break;
		default:
			return 2;
		}
	}
	if (argc - optind != 3)
		return 2;
	if (!load(argv + optind) || !control())
		return 3;
	for (size_t m = 0; m < MODES; m++)
		run_mode(m, seed, m ? flips * 2 / 5 : flips, m ? others * 2 / 5 : others);
	print_table(seed);
	if (json)
		write_json(json, seed);
	return sum(0, MODES, 0, TAMPER_KINDS, BAD) ? 1 : 0;
}
