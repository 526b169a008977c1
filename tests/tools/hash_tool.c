/*
 * What the command does not show by itself, for the tests and benchmarks that compare it with other programs:
 *
 *   hash_tool nar PATH                        NAR hash and size
 *   hash_tool tree DATA HASH ALGORITHM DATA-BLOCK HASH-BLOCK SALT UUID THREADS
 *   hash_tool check DATA HASH ALGORITHM DATA-BLOCK HASH-BLOCK SALT ROOT-HASH THREADS
 *   hash_tool read FILE THREADS               read a file as tree does, without hashing it
 *
 * SALT, UUID and ROOT-HASH in hex digits; "-" is the empty salt.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/encoding.h"
#include "common/file.h"
#include "common/workers.h"
#include "dbgen/store/nar.h"
#include "verity/image/hash_tree.h"

static int fail(const struct ul_error *err)
{
	char text[1200];

	fprintf(stderr, "hash_tool: %s\n", ul_error_sentence(err, text, sizeof(text)));
	return ul_code_exit_status(err->code);
}

static int nar(const char *path)
{
	struct ul_error err;
	uint8_t hash[32];
	uint64_t size;
	char hex[65];

	if (ul_nar_hash(AT_FDCWD, path, hash, &size, &err) < 0)
		return fail(&err);
	ul_hex_encode(hash, 32, hex);
	printf("%s %llu\n", hex, (unsigned long long)size);
	return 0;
}

static int tree(bool check, char **arg)
{
	ul_autoclose int data = open(arg[0], O_RDONLY | O_CLOEXEC);
	ul_autoclose int hash = open(arg[1], (check ? O_RDONLY : O_RDWR | O_CREAT) | O_CLOEXEC, 0644);
	struct ul_descriptor d = {.data_block_size = (uint32_t)atoi(arg[3]),
				  .hash_block_size = (uint32_t)atoi(arg[4]),
				  .hash_start = (uint64_t)atoi(arg[4])};
	const char *salt = strcmp(arg[5], "-") ? arg[5] : "";
	struct ul_image_fds fds = {.data_fd = data, .hash_fd = hash};
	struct ul_work work = {.threads = (unsigned int)atoi(arg[7])};
	char hex[2 * UL_ROOT_HASH_MAX + 1];
	uint64_t size, bad = 0;
	struct ul_error err;
	uint8_t uuid[16];

	d.salt_len = strlen(salt) / 2;
	d.root_hash_len = check ? strlen(arg[6]) / 2 : 0;
	snprintf(d.hash, sizeof(d.hash), "%s", arg[2]);
	if (data < 0 || hash < 0 || d.data_block_size == 0 || d.salt_len > UL_SALT_MAX ||
	    d.root_hash_len > UL_ROOT_HASH_MAX || ul_file_size(data, &size) < 0 ||
	    !ul_hex_decode(salt, strlen(salt), d.salt, d.salt_len) ||
	    !ul_hex_decode(arg[6], strlen(arg[6]), check ? d.root_hash : uuid, check ? d.root_hash_len : 16)) {
		fprintf(stderr, "hash_tool: bad arguments\n");
		return 2;
	}
	d.data_blocks = size / d.data_block_size;
	if (check) {
		if (ul_hash_tree_check(&fds, &d, &work, &bad, &err) == 0)
			return 0;
		printf("%lld\n", (long long)bad);
		return fail(&err);
	}
	if (ul_hash_tree_write(&fds, uuid, &d, &work, &err) < 0)
		return fail(&err);
	ul_hex_encode(d.root_hash, d.root_hash_len, hex);
	puts(hex);
	return 0;
}

struct reading {
	int fd;
	_Atomic uint64_t at;
};

static void read_pieces(void *context, unsigned int i)
{
	struct reading *r = context;
	static _Thread_local char buffer[256 * 1024];

	(void)i;
	while (pread(r->fd, buffer, sizeof(buffer), (off_t)atomic_fetch_add(&r->at, sizeof(buffer))) > 0)
		;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "nar"))
		return nar(argv[2]);
	if (argc == 10 && (!strcmp(argv[1], "tree") || !strcmp(argv[1], "check")))
		return tree(!strcmp(argv[1], "check"), argv + 2);
	if (argc == 4 && !strcmp(argv[1], "read")) {
		struct reading r = {.fd = open(argv[2], O_RDONLY | O_CLOEXEC)};

		if (r.fd < 0)
			return 3;
		ul_workers_run(ul_workers_count((unsigned int)atoi(argv[3])), read_pieces, &r);
		close(r.fd);
		return 0;
	}
	fprintf(stderr, "usage: see the top of tests/tools/hash_tool.c\n");
	return 2;
}
