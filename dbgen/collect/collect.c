/* See collect.h: the run as a whole, and what goes in one batch. */
#include "dbgen/collect/collect.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "common/clock.h"
#include "common/dir.h"
#include "common/file.h"
#include "dbgen/collect/graph.h"
#include "dbgen/collect/lock.h"
#include "dbgen/collect/removal.h"
#include "dbgen/collect/roots.h"
#include "dbgen/collect/rows.h"
#include "dbgen/collect/sealed.h"
#include "dbgen/collect/server.h"
#include "dbgen/layers/join.h"
#include "dbgen/layers/names.h"
#include "dbgen/layers/trash.h"

#define BATCH_PATHS  256
#define BATCH_INODES 5000 /* a builder that wants one of its paths waits for all of them */

static const char what[] = "collecting garbage";

struct collector {
	const struct ul_collect_options *o;
	struct ul_collect_result *result;
	struct ul_error *err;
	char *db_path;
	int state_fd;
	struct ul_collect_locks locks;
	struct ul_roots_server *server; /* NULL in a dry run */
	struct ul_store_dirs dirs;
	struct ul_collect_db db;
	struct ul_sealed sealed;
	struct ul_graph graph;
	struct ul_node_list order;
	size_t next;                      /* in order */
	uint64_t free_bytes, free_inodes; /* of the upper, at the beginning, with what comes back at the next boot */
	uint64_t dead_bytes;              /* of all that are dead, by their NAR sizes: for the progress */
};

static int nomem(const struct collector *c)
{
	return ul_error_nomem(c->err, what);
}

void ul_collect_result_free(struct ul_collect_result *r)
{
	for (size_t i = 0; i < r->items.n; i++) {
		free(r->items.at[i].name);
		free(r->items.at[i].trouble);
	}
	ul_vector_free(&r->items);
}

/* ---- what there is ---- */

/* What an earlier run took out of the view, and could not free: it comes back at the next boot. */
static void count_left(struct collector *c, const char *name)
{
	struct ul_store_size session, kept;

	(void)ul_store_measure(&c->dirs, name, &session, &kept);
	c->result->later_bytes += kept.bytes;
	c->result->later_inodes += kept.inodes;
	c->free_bytes += kept.bytes;
	c->free_inodes += kept.inodes;
}

/* Names of a layer's entries. A whiteout is not an entry, and .links has its own rules. */
static int list_layer(struct collector *c, int fd, struct ul_names *ret)
{
	ul_autodir DIR *dir = NULL;
	struct dirent *entry;
	struct stat st;
	int r = fd < 0 ? 0 : ul_dir_open(fd, ".", &dir);

	while (dir && r >= 0 && (r = ul_dir_next(dir, &entry)) > 0) {
		bool device = entry->d_type == DT_CHR;

		if (entry->d_type == DT_UNKNOWN)
			device = fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(st.st_mode);
		if (device || !strcmp(entry->d_name, UL_LAYER_LINKS_NAME))
			continue;
		if (fd == c->dirs.kept && ul_store_is_left(&c->dirs, entry->d_name))
			count_left(c, entry->d_name);
		else
			r = ul_names_add(ret, entry->d_name);
	}
	if (r == -ENOMEM)
		return nomem(c);
	return r < 0 ? ul_error_errno(c->err, UL_E_SYSTEM, what, "the upper's layers", NULL, -r) : 0;
}

static int load(struct collector *c)
{
	const struct ul_graph_options options = {c->o->at.store_dir, c->o->at.sealed_id, c->o->keep_outputs,
						 c->o->keep_derivations};
	ul_autonames struct ul_names entries = {0};
	/* Entries are listed before rows are read, so what is registered in between has a row. */
	int r = list_layer(c, c->dirs.session, &entries);

	if (r == 0)
		r = list_layer(c, c->dirs.kept, &entries);
	ul_names_sort(&entries, true);
	if (r == 0)
		r = ul_collect_db_open(c->db_path, c->o->dry_run, &c->db, c->err);
	return r < 0 ? r : ul_graph_load(c->db.db, &entries, &options, &c->graph, c->err);
}

/* ---- what is alive ---- */

struct found {
	struct ul_names permanent, temporary, running;
};

static void free_found(struct found *f)
{
	ul_names_free(&f->permanent);
	ul_names_free(&f->temporary);
	ul_names_free(&f->running);
}

static int find_roots(struct collector *c, struct found *ret)
{
	const struct ul_roots_options options = {
		.root = c->o->at.root,
		.store_dir = c->o->at.store_dir,
		.state_fd = c->state_fd,
		.sealed = c->sealed.stores.at,
		.n_sealed = c->sealed.stores.n,
		.tidy = !c->o->dry_run,
	};
	uint64_t start = ul_now_us();
	int r;

	ul_progress_report(c->o->progress, "finding roots", 0, 0);
	r = ul_roots_permanent(&options, &ret->permanent, c->err);
	if (r == 0)
		r = ul_roots_temporary(&options, &ret->temporary, c->err);
	if (r == 0)
		r = ul_roots_running(&options, "/proc", &ret->running, c->err);
	c->result->roots_us = ul_now_us() - start;
	return r;
}

/* valid: only those that have a row. */
static int mark_named(struct ul_graph *g, const struct ul_names *names, bool valid)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < names->n; i++) {
		struct ul_node *node = ul_graph_find(g, names->at[i]);

		r = node && (node->id || !valid) ? ul_graph_mark(g, node) : 0;
	}
	return r;
}

static int mark_roots(struct collector *c, const struct found *f)
{
	struct ul_graph *g = &c->graph;
	int r = mark_named(g, &f->permanent, true);

	for (size_t i = 0; r == 0 && i < f->temporary.n; i++)
		r = ul_graph_mark_hash(g, f->temporary.at[i]);
	if (r == 0)
		r = mark_named(g, &f->running, false);
	return r < 0 ? nomem(c) : ul_sealed_mark(&c->sealed, c->o, c->db.db, g, c->err);
}

static int judge(struct collector *c)
{
	struct found found = {0};
	int r = find_roots(c, &found);
	uint64_t start = ul_now_us();

	if (r == 0)
		r = load(c);
	if (r == 0)
		r = mark_roots(c, &found);
	free_found(&found);
	for (size_t i = 0; r == 0 && i < c->graph.nodes.n; i++) {
		struct ul_node *node = &c->graph.nodes.at[i];

		if (node->foreign && !node->alive)
			node->alive = !ul_store_is_abandoned(&c->dirs, ul_graph_name(&c->graph, node));
		c->result->own += node->id != 0;
		c->result->alive += node->id != 0 && node->alive;
		c->result->dead += !node->alive && !node->foreign;
		c->dead_bytes += node->alive ? 0 : node->nar_size;
	}
	if (r == 0 && ul_graph_order(&c->graph, &c->order) < 0)
		r = nomem(c);
	c->result->graph_us = ul_now_us() - start;
	return r;
}

/* ---- limits ---- */

static bool enough(const struct collector *c)
{
	const struct ul_collect_options *o = c->o;
	const struct ul_collect_result *r = c->result;
	bool bytes = o->keep_free == UL_COLLECT_NO_LIMIT, inodes = o->keep_inodes == UL_COLLECT_NO_LIMIT;

	if (r->bytes >= o->max_freed || r->inodes >= o->max_inodes)
		return true;
	if (bytes && inodes)
		return false;
	return (bytes || c->free_bytes + r->bytes >= o->keep_free) &&
	       (inodes || c->free_inodes + r->inodes >= o->keep_inodes);
}

static int ask_free(struct collector *c)
{
	struct statvfs fs;

	if (fstatvfs(c->dirs.session, &fs) < 0)
		return ul_error_errno(c->err, UL_E_SYSTEM, what, c->o->at.upper, NULL, errno);
	c->free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	/* Some filesystems have no limit. */
	c->free_inodes = fs.f_files > 0 ? fs.f_favail : UINT64_MAX / 2;
	return 0;
}

/* ---- a batch ---- */

struct batch {
	struct ul_root_hash hashes[BATCH_PATHS];
	uint32_t nodes[BATCH_PATHS];
	struct ul_collect_item items[BATCH_PATHS];
	size_t n;
};

static void count(struct collector *c, struct ul_collect_item *item)
{
	struct ul_store_size session, kept;

	item->kept = ul_store_measure(&c->dirs, item->name, &session, &kept);
	item->bytes = session.bytes + kept.bytes;
	item->inodes = session.inodes + kept.inodes;
	item->kept_bytes = kept.bytes;
	item->kept_inodes = kept.inodes;
	c->result->bytes += item->bytes;
	c->result->inodes += item->inodes;
	if (!c->result->later)
		return;
	c->result->later_bytes += item->kept_bytes;
	c->result->later_inodes += item->kept_inodes;
}

static void drop(struct collector *c, struct ul_collect_item *item)
{
	if (!item->name)
		return;
	c->result->bytes -= item->bytes;
	c->result->inodes -= item->inodes;
	if (c->result->later) {
		c->result->later_bytes -= item->kept_bytes;
		c->result->later_inodes -= item->kept_inodes;
	}
	free(item->name);
	item->name = NULL;
}

/* The next paths, as many as the limits allow. */
static int choose(struct collector *c, struct batch *b)
{
	struct ul_graph *g = &c->graph;
	uint64_t inodes = 0;

	b->n = 0;
	while (c->next < c->order.n && b->n < BATCH_PATHS && inodes < BATCH_INODES && !enough(c)) {
		uint32_t number = c->order.at[c->next++];
		struct ul_node *node = &g->nodes.at[number];
		struct ul_collect_item *item = &b->items[b->n];

		if (node->alive)
			continue;
		*item = (struct ul_collect_item){.name = strdup(ul_graph_name(g, node)), .valid = node->id != 0};
		if (!item->name)
			return nomem(c);
		count(c, item);
		inodes += item->inodes;
		/* Behind a shorter name there are zeros, which are not digits of a hash. */
		memset(&b->hashes[b->n], 0, sizeof(b->hashes[b->n]));
		memcpy(b->hashes[b->n].digits, item->name, strnlen(item->name, sizeof(b->hashes[b->n].digits)));
		b->nodes[b->n++] = number;
	}
	return 0;
}

/* What builders have named meanwhile stays, with all that it needs. */
static int mark_sent(struct collector *c, const struct ul_root_hash_list *sent)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < sent->n; i++)
		r = ul_graph_mark_hash(&c->graph, sent->at[i].digits);
	return r < 0 ? nomem(c) : 0;
}

/* One row, or the lack of one. An item that may not go after all is dropped. */
static int delete_row(struct collector *c, struct batch *b, size_t i)
{
	struct ul_node *node = &c->graph.nodes.at[b->nodes[i]];
	char path[UL_STORE_PATH_SIZE];
	int r = 1;

	if (node->foreign)
		return 0;
	snprintf(path, sizeof(path), "%s/%s", c->o->at.store_dir, b->items[i].name);
	if (node->id) {
		r = ul_collect_db_delete(&c->db, node->id, path, c->err);
	} else {
		r = ul_collect_db_has(&c->db, path, c->err);
		r = r < 0 ? r : !r;
	}
	if (r != 0)
		return r < 0 ? r : 0;
	drop(c, &b->items[i]);
	return ul_graph_mark(&c->graph, node) < 0 ? nomem(c) : 0;
}

static int delete_rows(struct collector *c, struct batch *b)
{
	int r = ul_collect_db_begin(&c->db, c->err);

	for (size_t i = 0; r == 0 && i < b->n; i++)
		/* A builder has named it since, or its referrer. */
		if (c->graph.nodes.at[b->nodes[i]].alive)
			drop(c, &b->items[i]);
		else
			r = delete_row(c, b, i);
	return r < 0 ? r : ul_collect_db_commit(&c->db, c->err);
}

static void remove_files(struct collector *c, struct batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		struct ul_collect_item *item = &b->items[i];
		int r = item->name ? ul_store_remove(&c->dirs, item->name) : 0;

		if (r == 0)
			continue;
		c->result->troubles++;
		item->trouble = strdup(strerror(-r));
	}
}

/* The items are the result's, or freed. */
static int keep_items(struct collector *c, struct batch *b)
{
	int r = 0;

	for (size_t i = 0; i < b->n; i++) {
		if (!b->items[i].name)
			continue;
		if (r == 0)
			r = ul_vector_push(&c->result->items, b->items[i]);
		if (r < 0) {
			free(b->items[i].name);
			free(b->items[i].trouble);
		}
	}
	b->n = 0;
	return r < 0 ? nomem(c) : 0;
}

static int remove_batch(struct collector *c, struct batch *b)
{
	struct ul_root_hash_list sent;
	int r;

	ul_roots_server_remove(c->server, b->hashes, b->n, &sent);
	r = mark_sent(c, &sent);
	ul_vector_free(&sent);
	if (r == 0)
		r = delete_rows(c, b);
	if (r == 0)
		remove_files(c, b);
	ul_roots_server_removed(c->server);
	return r;
}

static int run_batch(struct collector *c, struct batch *b)
{
	int r = choose(c, b);

	if (r == 0 && b->n > 0 && !c->o->dry_run)
		r = remove_batch(c, b);
	for (size_t i = 0; r < 0 && i < b->n; i++)
		drop(c, &b->items[i]);
	ul_progress_report(c->o->progress, c->o->dry_run ? "measuring" : "removing", c->result->bytes,
			   c->dead_bytes > c->result->bytes ? c->dead_bytes : c->result->bytes);
	return r < 0 ? r : keep_items(c, b);
}

static int run_batches(struct collector *c)
{
	ul_autofree struct batch *b = calloc(1, sizeof(*b));
	int r = b ? 0 : nomem(c);

	while (r == 0 && c->next < c->order.n && !enough(c)) {
		c->result->stopped = c->o->stop && c->o->stop();
		if (c->result->stopped)
			return 0;
		r = run_batch(c, b);
	}
	c->result->limited = r == 0 && c->next < c->order.n;
	return r;
}

/* ---- the run ---- */

/* The file that Nix keeps for this: room in which SQLite can work where the disk is full. Nix makes it again. */
static void give_reserve_up(const struct collector *c)
{
	(void)unlinkat(c->state_fd, "db/reserved", 0);
}

static int tidy_up(struct collector *c)
{
	struct ul_trash trash = {.fd = -1};
	int64_t links = ul_store_remove_links(&c->dirs);
	bool empty;

	if (links < 0)
		return ul_error_errno(c->err, UL_E_SYSTEM, what, UL_LAYER_LINKS_NAME, NULL, (int)-links);
	c->result->links = (uint64_t)links;
	/* What boots threw away, and did not wait for. */
	if (c->o->at.persistent && c->o->at.may_free && faccessat(c->dirs.upper, UL_TRASH, F_OK, 0) == 0 &&
	    ul_trash_open(c->dirs.upper, UL_TRASH, &trash) >= 0)
		(void)ul_trash_empty(&trash, UINT_MAX, &empty);
	ul_trash_close(&trash);
	return 0;
}

static int open_all(struct collector *c)
{
	const struct ul_collect_layout *at = &c->o->at;
	int r;

	c->state_fd = open(at->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->state_fd < 0)
		return ul_error_errno(c->err, UL_E_SYSTEM, what, at->state_dir, NULL, errno);
	c->db_path = ul_path_join(at->state_dir, "db/db.sqlite");
	if (!c->db_path)
		return nomem(c);
	/* This makes a mount namespace, which must be done before the first thread. */
	r = ul_store_dirs_open(at, !c->o->dry_run, &c->dirs, c->err);
	if (r == 0)
		r = ul_sealed_open(at, &c->sealed, c->err);
	if (r == 0)
		r = ask_free(c);
	ul_progress_report(c->o->progress, "waiting for Nix's lock", 0, 0);
	if (r == 0)
		r = ul_collect_lock(c->state_fd, c->o->dry_run, &c->locks, c->err);
	if (r < 0 || c->o->dry_run)
		return r;
	r = ul_roots_server_start(c->state_fd, at->store_dir, &c->server, c->err);
	if (r == 0)
		give_reserve_up(c);
	return r;
}

static void close_all(struct collector *c)
{
	ul_roots_server_stop(c->server);
	ul_collect_unlock(&c->locks);
	ul_collect_db_close(&c->db);
	ul_sealed_close(&c->sealed);
	ul_store_dirs_close(&c->dirs);
	ul_graph_free(&c->graph);
	ul_vector_free(&c->order);
	ul_cleanup_close(&c->state_fd);
	free(c->db_path);
}

int ul_collect(const struct ul_collect_options *o, struct ul_collect_result *ret, struct ul_error *err)
{
	struct collector c = {
		.o = o,
		.result = ret,
		.err = err,
		.state_fd = -1,
		.locks = UL_COLLECT_LOCKS_NONE,
		.dirs = UL_STORE_DIRS_NONE,
	};
	uint64_t start = ul_now_us();
	int r;

	*ret = (struct ul_collect_result){.later = o->at.persistent && !o->at.may_free};
	r = open_all(&c);
	if (r == 0)
		r = judge(&c);
	if (r == 0)
		r = run_batches(&c);
	if (r == 0 && !o->dry_run)
		r = tidy_up(&c);
	close_all(&c);
	ret->total_us = ul_now_us() - start;
	return r;
}
