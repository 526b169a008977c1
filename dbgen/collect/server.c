#include "dbgen/collect/server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/vector.h"

#define CLIENTS_MAX 512
#define LINE_MAX    (UL_STORE_PATH_SIZE + 1)

static const char what[] = "listening for roots";

struct client {
	int fd;
	size_t used;
	char line[LINE_MAX];
};

struct ul_roots_server {
	const char *store_dir;
	int socket, stop; /* stop: an eventfd */
	pthread_t thread;
	bool running;
	UL_VECTOR(struct client) clients; /* the thread's own */
	pthread_mutex_t mutex;            /* for all that follows */
	pthread_cond_t removed;
	struct ul_root_hash_list sent;
	const struct ul_root_hash *going;
	size_t n_going;
	bool stopping;
};

/* ---- the thread ---- */

static bool is_going(const struct ul_roots_server *s, const struct ul_root_hash *hash)
{
	for (size_t i = 0; i < s->n_going; i++)
		if (!memcmp(&s->going[i], hash, sizeof(*hash)))
			return true;
	return false;
}

/* A line that is not a store path is answered as well, as Nix does. false: no memory. */
static bool take_root(struct ul_roots_server *s, const char *path)
{
	uint8_t digest[UL_DIGEST_SIZE];
	const char *base = ul_store_path_parse(s->store_dir, path, digest);
	struct ul_root_hash hash;
	bool taken;

	if (!base)
		return true;
	memcpy(hash.digits, base, sizeof(hash.digits));
	pthread_mutex_lock(&s->mutex);
	taken = ul_vector_push(&s->sent, hash) == 0;
	while (is_going(s, &hash) && !s->stopping)
		pthread_cond_wait(&s->removed, &s->mutex);
	pthread_mutex_unlock(&s->mutex);
	return taken;
}

/* What a client sent: whole lines are roots. false: it is gone, or says what nobody says. */
static bool serve(struct ul_roots_server *s, struct client *c)
{
	ssize_t n = recv(c->fd, c->line + c->used, sizeof(c->line) - c->used, MSG_DONTWAIT);
	char *newline;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0)
		return false;
	c->used += (size_t)n;
	while ((newline = memchr(c->line, '\n', c->used))) {
		size_t len = (size_t)(newline - c->line) + 1;

		*newline = '\0';
		if (!take_root(s, c->line) || send(c->fd, "1", 1, MSG_NOSIGNAL) != 1)
			return false;
		c->used -= len;
		memmove(c->line, c->line + len, c->used);
	}
	return c->used < sizeof(c->line);
}

/* One too many tries again. */
static void accept_client(struct ul_roots_server *s)
{
	struct client c = {.fd = accept4(s->socket, NULL, NULL, SOCK_CLOEXEC)};

	if (c.fd >= 0 && (s->clients.n == CLIENTS_MAX || ul_vector_push(&s->clients, c) < 0))
		close(c.fd);
}

static void drop_client(struct ul_roots_server *s, size_t i)
{
	close(s->clients.at[i].fd);
	ul_vector_remove(&s->clients, i);
}

static void *run(void *argument)
{
	struct ul_roots_server *s = argument;
	struct pollfd fds[CLIENTS_MAX + 2];

	for (;;) {
		size_t n = s->clients.n;

		fds[0] = (struct pollfd){.fd = s->stop, .events = POLLIN};
		fds[1] = (struct pollfd){.fd = s->socket, .events = POLLIN};
		for (size_t i = 0; i < n; i++)
			fds[2 + i] = (struct pollfd){.fd = s->clients.at[i].fd, .events = POLLIN};
		if (poll(fds, 2 + n, -1) < 0)
			continue;
		if (fds[0].revents)
			return NULL;
		for (size_t i = n; i > 0; i--)
			if (fds[1 + i].revents && !serve(s, &s->clients.at[i - 1]))
				drop_client(s, i - 1);
		if (fds[1].revents)
			accept_client(s);
	}
}

/* ---- its life ---- */

/* A path of any length: a socket's address has room for 107 bytes, so the directory is named by a descriptor. */
static int listen_at(int state_fd)
{
	ul_autoclose int dir = -1, fd = -1;
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (mkdirat(state_fd, "gc-socket", 0755) < 0 && errno != EEXIST)
		return -errno;
	dir = openat(state_fd, "gc-socket", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 || (unlinkat(dir, "socket", 0) < 0 && errno != ENOENT))
		return -errno;
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/socket", dir);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    fchmodat(dir, "socket", 0666, 0) < 0 || listen(fd, 100) < 0)
		return -errno;
	return ul_steal_fd(&fd);
}

int ul_roots_server_start(int state_fd, const char *store_dir, struct ul_roots_server **ret, struct ul_error *err)
{
	struct ul_roots_server *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return ul_error_nomem(err, what);
	s->store_dir = store_dir;
	pthread_mutex_init(&s->mutex, NULL);
	pthread_cond_init(&s->removed, NULL);
	s->stop = eventfd(0, EFD_CLOEXEC);
	r = s->stop < 0 ? -errno : 0;
	s->socket = r < 0 ? -1 : listen_at(state_fd);
	if (r == 0 && s->socket < 0)
		r = s->socket;
	if (r == 0)
		r = -pthread_create(&s->thread, NULL, run, s);
	s->running = r == 0;
	if (r == 0) {
		*ret = s;
		return 0;
	}
	ul_roots_server_stop(s);
	return ul_error_errno(err, UL_E_SYSTEM, what, "gc-socket/socket", NULL, -r);
}

void ul_roots_server_stop(struct ul_roots_server *s)
{
	const uint64_t one = 1;

	if (!s)
		return;
	pthread_mutex_lock(&s->mutex);
	s->stopping = true;
	pthread_cond_broadcast(&s->removed);
	pthread_mutex_unlock(&s->mutex);
	if (s->running && write(s->stop, &one, sizeof(one)) == sizeof(one))
		pthread_join(s->thread, NULL);
	while (s->clients.n > 0)
		drop_client(s, s->clients.n - 1);
	if (s->socket >= 0)
		close(s->socket);
	if (s->stop >= 0)
		close(s->stop);
	ul_vector_free(&s->clients);
	ul_vector_free(&s->sent);
	free(s);
}

/* ---- the collector's side ---- */

void ul_roots_server_remove(struct ul_roots_server *s, const struct ul_root_hash *hashes, size_t n,
			    struct ul_root_hash_list *ret)
{
	pthread_mutex_lock(&s->mutex);
	s->going = hashes;
	s->n_going = n;
	*ret = s->sent;
	s->sent = (struct ul_root_hash_list){.n = 0};
	pthread_mutex_unlock(&s->mutex);
}

void ul_roots_server_removed(struct ul_roots_server *s)
{
	pthread_mutex_lock(&s->mutex);
	s->going = NULL;
	s->n_going = 0;
	pthread_cond_broadcast(&s->removed);
	pthread_mutex_unlock(&s->mutex);
}
