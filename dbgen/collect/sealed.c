#include "dbgen/collect/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/sqlite.h"

static const char what[] = "asking the sealed store";

static int open_store(struct ul_sealed *s, const char *path, struct ul_error *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return ul_error_errno_of_lower(err, UL_E_SYSTEM, what, path, NULL, errno);
	if (ul_vector_push(&s->stores, fd) == 0)
		return 0;
	close(fd);
	return ul_error_nomem(err, what);
}

static int open_database(struct ul_sealed *s, const char *path, struct ul_error *err)
{
	sqlite3 *db = NULL;
	int r;

	if (ul_sqlite_open_immutable(path, &db) != SQLITE_OK) {
		r = ul_sqlite_error(err, db, what, path);
	} else if (ul_vector_push(&s->databases, db) == 0) {
		ul_sqlite_trust_length(db);
		return 0;
	} else {
		r = ul_error_nomem(err, what);
	}
	sqlite3_close(db);
	return r;
}

int ul_sealed_open(const struct ul_collect_layout *at, struct ul_sealed *ret, struct ul_error *err)
{
	int r = 0;

	*ret = (struct ul_sealed){.stores = {.n = 0}};
	for (size_t i = 0; r == 0 && i < at->n_sealed; i++)
		r = open_store(ret, at->sealed[i], err);
	for (size_t i = 0; r == 0 && i < at->n_databases; i++)
		r = open_database(ret, at->databases[i], err);
	return r;
}

void ul_sealed_close(struct ul_sealed *s)
{
	for (size_t i = 0; i < s->stores.n; i++)
		close(s->stores.at[i]);
	for (size_t i = 0; i < s->databases.n; i++)
		sqlite3_close(s->databases.at[i]);
	ul_vector_free(&s->stores);
	ul_vector_free(&s->databases);
}

/* 1: a sealed store has an entry of this name; 0: none has. */
static int has(const struct ul_sealed *s, const char *name, struct ul_error *err)
{
	struct stat st;

	for (size_t i = 0; i < s->stores.n; i++) {
		if (fstatat(s->stores.at[i], name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			return 1;
		if (errno != ENOENT)
			return ul_error_errno_of_lower(err, UL_E_SYSTEM, what, name, NULL, errno);
	}
	return 0;
}

/* ---- questions to the sealed databases ---- */

struct question {
	const char *sql; /* its parameters: a path, the greatest id */
	UL_VECTOR(sqlite3_stmt *) in;
};

static void finalize(struct question *q)
{
	for (size_t i = 0; i < q->in.n; i++)
		sqlite3_finalize(q->in.at[i]);
	ul_vector_free(&q->in);
}

static int prepare_in(struct question *q, sqlite3 *db, int64_t max_id, struct ul_error *err)
{
	sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(db, q->sql, -1, &statement, NULL) != SQLITE_OK)
		return ul_sqlite_error(err, db, what, sqlite3_db_filename(db, "main"));
	sqlite3_bind_int64(statement, 2, max_id);
	if (ul_vector_push(&q->in, statement) == 0)
		return 0;
	sqlite3_finalize(statement);
	return ul_error_nomem(err, what);
}

/* db: the upper's, whose rows up to sealed_id are sealed, too; 0: none is. */
static int prepare(const struct ul_sealed *s, sqlite3 *db, int64_t sealed_id, struct question *q, struct ul_error *err)
{
	int r = sealed_id > 0 ? prepare_in(q, db, sealed_id, err) : 0;

	for (size_t i = 0; r == 0 && i < s->databases.n; i++)
		r = prepare_in(q, s->databases.at[i], INT64_MAX, err);
	return r;
}

/* 1: a row answers, whose first column is `wanted` where that is a text; 0; negative. */
static int ask(const struct question *q, const char *path, const char *wanted, struct ul_error *err)
{
	int found = 0;

	for (size_t i = 0; !found && i < q->in.n; i++) {
		sqlite3_stmt *statement = q->in.at[i];
		sqlite3 *db = sqlite3_db_handle(statement);
		int code;

		sqlite3_bind_text(statement, 1, path, -1, SQLITE_STATIC);
		code = sqlite3_step(statement);
		if (code == SQLITE_ROW) {
			const char *text = (const char *)sqlite3_column_text(statement, 0);

			found = !wanted || (text && !strcmp(text, wanted));
		} else if (code != SQLITE_DONE) {
			found = ul_sqlite_error(err, db, what, sqlite3_db_filename(db, "main"));
		}
		sqlite3_reset(statement);
	}
	return found;
}

static void print_path(const struct ul_graph *g, size_t name, char out[UL_STORE_PATH_SIZE])
{
	snprintf(out, UL_STORE_PATH_SIZE, "%s/%s", g->store_dir, (const char *)g->texts.data + name);
}

/* ---- what is alive ---- */

/* Take the answer for a node: positive: it is alive; 0: not known to be; negative: failure. */
static int take_answer(struct ul_graph *g, struct ul_node *node, int answer, struct ul_error *err)
{
	if (answer <= 0)
		return answer;
	return ul_graph_mark(g, node) < 0 ? ul_error_nomem(err, what) : 0;
}

static int mark_derivers(const struct ul_sealed *s, sqlite3 *db, int64_t sealed_id, struct ul_graph *g,
			 struct ul_error *err)
{
	struct question q = {.sql = "select deriver from ValidPaths where path = ? and id <= ?"};
	char output[UL_STORE_PATH_SIZE], drv[UL_STORE_PATH_SIZE];
	int r = prepare(s, db, sealed_id, &q, err);

	for (size_t i = 0; r == 0 && i < g->outputs.n; i++) {
		struct ul_node *node = &g->nodes.at[g->outputs.at[i].drv];

		if (node->alive)
			continue;
		print_path(g, g->outputs.at[i].path, output);
		print_path(g, node->name, drv);
		r = take_answer(g, node, ask(&q, output, drv, err), err);
	}
	finalize(&q);
	return r;
}

static int mark_outputs(const struct ul_sealed *s, sqlite3 *db, int64_t sealed_id, struct ul_graph *g,
			struct ul_error *err)
{
	struct question q = {.sql = "select 1 from DerivationOutputs where path = ? and drv <= ?"};
	char path[UL_STORE_PATH_SIZE];
	int r = prepare(s, db, sealed_id, &q, err);

	for (size_t i = 0; r == 0 && i < g->n_rows; i++) {
		struct ul_node *node = &g->nodes.at[i];

		if (node->alive)
			continue;
		print_path(g, node->name, path);
		r = take_answer(g, node, ask(&q, path, NULL, err), err);
	}
	finalize(&q);
	return r;
}

int ul_sealed_mark(const struct ul_sealed *s, const struct ul_collect_options *o, sqlite3 *db, struct ul_graph *g,
		   struct ul_error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < g->nodes.n; i++) {
		struct ul_node *node = &g->nodes.at[i];

		if (!node->alive)
			r = take_answer(g, node, has(s, ul_graph_name(g, node), err), err);
	}
	if (r == 0 && o->keep_derivations)
		r = mark_derivers(s, db, o->at.sealed_id, g, err);
	if (r == 0 && o->keep_outputs)
		r = mark_outputs(s, db, o->at.sealed_id, g, err);
	return r;
}
