/*
 * A disk that loses its power: serves FILE to one QEMU over the NBD protocol, counts the write requests, and at the
 * N-th one answers no more, kills that QEMU (SIGKILL) and leaves in FILE what a real disk with a volatile cache
 * might have kept.
 *
 *   cut_disk SOCKET FILE [--cut N] [--keep all|none|SEED] [--log FILE]
 *
 * What was written since the last flush that was asked for is in the cache, which is memory here; the file is
 * written at flushes only. At the cut
 *   all    every cached request reaches the file, the N-th too
 *   none   nothing of the cache does
 *   SEED   a number: of each cached request, by a generator with that seed, all, nothing, or single sectors
 *          (512 bytes, what a disk writes whole); later ones may arrive without the earlier ones
 * Without --cut, or where the guest ends before, everything is written. --log gets one line at the end:
 *
 *   writes N flushes N cached N bytes N end cut|disconnect
 *
 * It speaks the part of NBD that QEMU needs: fixed newstyle negotiation, NBD_OPT_GO, READ, WRITE, FLUSH and DISC.
 * Forced unit access, trim and write-zeroes are not offered, so each is a write or a flush here. One
 * connection is served, then the program ends: 0; 3: what went wrong is on standard error.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/file.h"

#define NBD_MAGIC        0x4e42444d41474943ULL /* "NBDMAGIC" */
#define NBD_OPTION       0x49484156454f5054ULL /* "IHAVEOPT" */
#define NBD_OPTION_REPLY 0x3e889045565a9ULL
#define NBD_REQUEST      0x25609513u
#define NBD_REPLY        0x67446698u
#define NBD_FIXED        1u /* both sides: fixed newstyle */
#define NBD_HAS_FLAGS    1u
#define NBD_SEND_FLUSH   4u
#define NBD_OPT_ABORT    2u
#define NBD_OPT_GO       7u
#define NBD_REP_ACK      1u
#define NBD_REP_INFO     3u
#define NBD_REP_UNSUP    0x80000001u
#define NBD_INFO_EXPORT  0u
#define REQUEST_MAX      (64u << 20) /* bytes; QEMU's own limit is 32 MiB */
#define SECTOR           512u

enum { CMD_READ, CMD_WRITE, CMD_DISC, CMD_FLUSH };
enum keep { KEEP_ALL, KEEP_NONE, KEEP_SOME };

/* One request in the cache. */
struct cached {
	struct cached *next;
	uint64_t offset;
	uint32_t len;
	uint8_t data[];
};

struct disk {
	int fd;
	uint64_t size; /* bytes */
	uint8_t *now;  /* what a read sees: a private mapping of the file, with the cache in it */
	struct cached *first, **last;
	uint64_t cut; /* number of the write request, from 1; 0: none */
	enum keep keep;
	uint64_t random; /* state of the generator */
	uint64_t writes, flushes, n_cached, bytes;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "cut_disk: %s: %s\n", what, strerror(errno));
	exit(3);
}

/* splitmix64. */
static uint64_t next_random(struct disk *d)
{
	uint64_t z = d->random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

/* ---- the cache ----------------------------------------------------------------------------------- */

static void to_file(const struct disk *d, const struct cached *c, uint32_t from, uint32_t len)
{
	int r = ul_pwrite_full(d->fd, c->data + from, len, c->offset + from);

	if (r < 0) {
		errno = -r;
		die("writing the file");
	}
}

static void forget(struct disk *d)
{
	struct cached *c;

	while ((c = d->first)) {
		d->first = c->next;
		free(c);
	}
	d->last = &d->first;
	d->n_cached = 0;
}

static void flush(struct disk *d)
{
	for (const struct cached *c = d->first; c; c = c->next)
		to_file(d, c, 0, c->len);
	forget(d);
}

static void lose_power(struct disk *d)
{
	for (const struct cached *c = d->first; c && d->keep == KEEP_SOME; c = c->next) {
		unsigned int fate = (unsigned int)(next_random(d) % 3);

		if (fate == 0)
			to_file(d, c, 0, c->len);
		for (uint32_t at = 0; fate == 1 && at < c->len; at += SECTOR)
			if (next_random(d) & 1)
				to_file(d, c, at, c->len - at < SECTOR ? c->len - at : SECTOR);
	}
	if (d->keep == KEEP_ALL)
		flush(d);
}

/* ---- the connection ------------------------------------------------------------------------------- */

/* False: the other side is gone, which is how a killed guest ends. */
static bool get(int fd, void *buf, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = read(fd, (char *)buf + at, len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

static bool put(int fd, const void *buf, size_t len)
{
	return ul_write_full(fd, buf, len) == 0;
}

static bool put_option_reply(int fd, uint32_t option, uint32_t type, const void *data, uint32_t len)
{
	struct __attribute__((packed)) {
		uint64_t magic;
		uint32_t option, type, len;
	} head = {htobe64(NBD_OPTION_REPLY), htobe32(option), htobe32(type), htobe32(len)};

	return put(fd, &head, sizeof(head)) && put(fd, data, len);
}

static bool negotiate(int fd, const struct disk *d)
{
	struct __attribute__((packed)) {
		uint64_t magic, option;
		uint16_t flags;
	} hello = {htobe64(NBD_MAGIC), htobe64(NBD_OPTION), htobe16(NBD_FIXED)};
	struct __attribute__((packed)) {
		uint16_t type;
		uint64_t size;
		uint16_t flags;
	} export = {htobe16(NBD_INFO_EXPORT), htobe64(d->size), htobe16(NBD_HAS_FLAGS | NBD_SEND_FLUSH)};
	struct __attribute__((packed)) {
		uint64_t magic;
		uint32_t option, len;
	} asked;
	uint8_t data[4096];
	uint32_t flags;

	if (!put(fd, &hello, sizeof(hello)) || !get(fd, &flags, sizeof(flags)))
		return false;
	while (get(fd, &asked, sizeof(asked))) {
		uint32_t option = be32toh(asked.option), len = be32toh(asked.len);

		if (be64toh(asked.magic) != NBD_OPTION || len > sizeof(data) || !get(fd, data, len))
			return false;
		if (option == NBD_OPT_GO)
			return put_option_reply(fd, option, NBD_REP_INFO, &export, sizeof(export)) &&
			       put_option_reply(fd, option, NBD_REP_ACK, NULL, 0);
		if (!put_option_reply(fd, option, option == NBD_OPT_ABORT ? NBD_REP_ACK : NBD_REP_UNSUP, NULL, 0))
			return false;
	}
	return false;
}

/* False: the connection is at its end, or this was the write request that the power does not survive. */
static bool take_write(int fd, struct disk *d, uint64_t offset, uint32_t len)
{
	struct cached *c = malloc(sizeof(*c) + len);

	if (!c)
		die("caching a write");
	*c = (struct cached){.offset = offset, .len = len};
	if (!get(fd, c->data, len)) {
		free(c);
		return false;
	}
	*d->last = c;
	d->last = &c->next;
	d->n_cached++;
	d->writes++;
	d->bytes += len;
	memcpy(d->now + offset, c->data, len);
	return d->writes != d->cut;
}

static void serve(int fd, struct disk *d)
{
	struct __attribute__((packed)) {
		uint32_t magic;
		uint16_t flags, type;
		uint64_t handle, offset;
		uint32_t len;
	} request;
	struct __attribute__((packed)) {
		uint32_t magic, error;
		uint64_t handle;
	} reply = {.magic = htobe32(NBD_REPLY)};

	while (get(fd, &request, sizeof(request))) {
		uint64_t offset = be64toh(request.offset);
		unsigned int type = be16toh(request.type);
		uint32_t len = be32toh(request.len);
		bool data = type == CMD_READ || type == CMD_WRITE;

		reply.handle = request.handle;
		if (be32toh(request.magic) != NBD_REQUEST || type == CMD_DISC ||
		    (data && (len > REQUEST_MAX || offset > d->size || len > d->size - offset)))
			return;
		if (type == CMD_WRITE && !take_write(fd, d, offset, len))
			return;
		if (type == CMD_FLUSH) {
			flush(d);
			d->flushes++;
		}
		if (!put(fd, &reply, sizeof(reply)) || (type == CMD_READ && !put(fd, d->now + offset, len)))
			return;
	}
}

/* ---- the program ---------------------------------------------------------------------------------- */

static int accept_one(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	ul_autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int peer;

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		die(path);
	}
	strcpy(address.sun_path, path);
	(void)unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0)
		die(path);
	peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	if (peer < 0)
		die(path);
	(void)unlink(path);
	return peer;
}

static void parse(struct disk *d, const char **ret_log, int argc, char **argv)
{
	for (int i = 3; i + 1 < argc; i += 2) {
		const char *value = argv[i + 1];

		if (!strcmp(argv[i], "--cut")) {
			d->cut = strtoull(value, NULL, 10);
		} else if (!strcmp(argv[i], "--log")) {
			*ret_log = value;
		} else if (!strcmp(argv[i], "--keep")) {
			d->keep = !strcmp(value, "all") ? KEEP_ALL : !strcmp(value, "none") ? KEEP_NONE : KEEP_SOME;
			d->random = strtoull(value, NULL, 10);
		} else {
			errno = EINVAL;
			die(argv[i]);
		}
	}
}

static void write_log(const char *path, const struct disk *d, bool cut, uint64_t cached)
{
	ul_autofclose FILE *f = path ? fopen(path, "we") : NULL;

	if (!path)
		return;
	if (!f || fprintf(f, "writes %" PRIu64 " flushes %" PRIu64 " cached %" PRIu64 " bytes %" PRIu64 " end %s\n",
			  d->writes, d->flushes, cached, d->bytes, cut ? "cut" : "disconnect") < 0)
		die(path);
}

int main(int argc, char **argv)
{
	struct disk d = {.keep = KEEP_ALL, .last = &d.first};
	const char *log = NULL;
	struct ucred peer;
	socklen_t len = sizeof(peer);
	uint64_t cached;
	bool cut;
	int fd;

	if (argc < 3 || argc % 2 == 0) {
		fputs("usage: see the top of tests/tools/cut_disk.c\n", stderr);
		return 2;
	}
	parse(&d, &log, argc, argv);
	(void)signal(SIGPIPE, SIG_IGN);
	d.fd = open(argv[2], O_RDWR | O_CLOEXEC);
	if (d.fd < 0 || ul_file_size(d.fd, &d.size) < 0)
		die(argv[2]);
	d.now = mmap(NULL, d.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, d.fd, 0);
	if (d.now == MAP_FAILED)
		die(argv[2]);
	fd = accept_one(argv[1]);
	/* Who is at the other end: the process that loses its power with us. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		die("SO_PEERCRED");
	if (negotiate(fd, &d))
		serve(fd, &d);
	cut = d.cut && d.writes == d.cut;
	cached = d.n_cached;
	if (cut) {
		(void)kill(peer.pid, SIGKILL);
		lose_power(&d);
	} else {
		flush(&d);
	}
	forget(&d);
	write_log(log, &d, cut, cached);
	close(fd);
	return 0;
}
