/* See db_schema.h. A schema is judged by its texts: nothing of it has run, and none of its code will. */
#include "dbgen/reconcile/db_schema.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/sqlite.h"
#include "dbgen/database/rows/schema.h"

/* Objects that a released Nix makes and this program does not. */
static const struct ul_db_object older[] = {
	{
		.type = "index", /* up to Nix 2.34, Determinate Nix 3.21, and Lix */
		.name = "IndexReferrer",
		.table = "Refs",
		.sql = "CREATE INDEX IndexReferrer on Refs(referrer)",
		.tree = UL_TREE_NONE,
	},
};

static const char *const needed_tables[] = {"ValidPaths", "Refs", "DerivationOutputs"};
static const char *const needed_besides[] = {"IndexReference", "IndexDerivationOutputs", "DeleteSelfRefs"};

/* ---- texts ---- */

/*
 * Without comments, white space and quotes, in lower case: versions of Nix differ in these, and SQLite quotes the name
 * of a table that was renamed. NULL: no memory.
 */
static char *normalised(const char *sql)
{
	char *text = calloc(1, strlen(sql) + 1), *at = text;

	if (!text)
		return NULL;
	for (const char *p = sql; *p; p++) {
		if (p[0] == '-' && p[1] == '-')
			p += strcspn(p, "\n");
		if (!*p)
			break;
		if (!strchr(" \t\n\v\f\r\"", *p))
			*at++ = (char)tolower((unsigned char)*p);
	}
	while (at > text && at[-1] == ';')
		at--;
	*at = '\0';
	return text;
}

/* Words and commas: a column's name, type and simplest constraints; no expression. */
static bool is_columns(const char *text, size_t len)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789_,.'+-";

	return strspn(text, plain) >= len && memchr(text, ',', len);
}

/* The known text, or that with columns put in at one place, as `alter table add column` does. */
static bool same_table(const char *known, const char *text)
{
	size_t n = strlen(known), len = strlen(text), same = 0;

	if (len < n)
		return false;
	while (same < n && text[same] == known[same])
		same++;
	return (same == n && len == n) ||
	       (!strcmp(known + same, text + len - (n - same)) && is_columns(text + same, len - n));
}

/* ValidPaths without the column that ours has already. */
static char *known_text(const struct ul_db_object *object)
{
	char *text = normalised(object->sql);
	size_t len = text ? strlen(text) : 0, cut = sizeof(",provenancetext)") - 1;

	if (text && object->tree == UL_TREE_VALID_PATHS && len > cut && !strcmp(text + len - cut, ",provenancetext)"))
		memcpy(text + len - cut, ")", 2);
	return text;
}

static bool same_sql(const struct ul_db_object *object, const char *sql)
{
	ul_autofree char *known = object->sql ? known_text(object) : NULL, *text = sql ? normalised(sql) : NULL;

	if (!object->sql || !sql)
		return !object->sql && !sql;
	if (!known || !text)
		return false;
	return object->type[0] == 't' && object->type[1] == 'a' ? same_table(known, text) : !strcmp(known, text);
}

/* An index over columns, which says nothing of what their values may be. */
static bool is_plain_index(const char *sql)
{
	ul_autofree char *text = normalised(sql);
	const char *list = text ? strchr(text, '(') : NULL;

	return list && !strncmp(text, "createindex", 11) && strcspn(list + 1, "()") == strlen(list + 1) - 1 &&
	       text[strlen(text) - 1] == ')';
}

/* ---- objects ---- */

static const struct ul_db_object *find_in(const struct ul_db_object *list, size_t n, const char *type, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i].type, type) && !strcmp(list[i].name, name))
			return &list[i];
	return NULL;
}

static const struct ul_db_object *find_object(const char *type, const char *name)
{
	const struct ul_db_object *object = find_in(ul_db_objects, ul_db_n_objects, type, name);

	return object ? object : find_in(older, UL_ARRAY_SIZE(older), type, name);
}

/* A row of sqlite_schema. */
struct schema_row {
	const char *type, *name, *table, *sql;
};

/* What is wrong with it; NULL: nothing. */
static const char *find_fault(const struct schema_row *row)
{
	const struct ul_db_object *object;

	if (!row->type || !row->name || !row->table)
		return "is not one";
	object = find_object(row->type, row->name);
	if (object)
		return !strcmp(object->table, row->table) && same_sql(object, row->sql) ? NULL
											: "is not as Nix makes it";
	if (!strcmp(row->type, "table"))
		return row->sql && strncasecmp(row->sql, "create virtual", 14) != 0 ? NULL : "is virtual";
	if (!strcmp(row->type, "index"))
		return !row->sql || !find_object("table", row->table) || is_plain_index(row->sql)
			       ? NULL
			       : "limits what Nix can write";
	return "is code that no Nix makes";
}

static bool is_in(const char *const *list, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i], name))
			return true;
	return false;
}

bool ul_db_schema_fits(sqlite3 *db, char *why_not, size_t size)
{
	ul_autostatement sqlite3_stmt *rows = NULL;
	size_t found = 0;
	int code;

	snprintf(why_not, size, "its schema cannot be read");
	if (sqlite3_prepare_v2(db, "select type, name, tbl_name, sql from sqlite_schema", -1, &rows, NULL) != SQLITE_OK)
		return false;
	while ((code = sqlite3_step(rows)) == SQLITE_ROW) {
		const struct schema_row row = {(const char *)sqlite3_column_text(rows, 0),
					       (const char *)sqlite3_column_text(rows, 1),
					       (const char *)sqlite3_column_text(rows, 2),
					       (const char *)sqlite3_column_text(rows, 3)};
		const char *fault = find_fault(&row);

		if (fault) {
			snprintf(why_not, size, "its %.20s %.100s %s", row.type ? row.type : "object",
				 row.name ? row.name : "without a name", fault);
			return false;
		}
		found += !strcmp(row.type, "table") && is_in(needed_tables, UL_ARRAY_SIZE(needed_tables), row.name);
	}
	if (code != SQLITE_DONE)
		return false;
	if (found == UL_ARRAY_SIZE(needed_tables))
		return true;
	snprintf(why_not, size, found == 0 ? "it is empty: it has none of Nix's tables" : "it lacks tables of Nix");
	return false;
}

static int has(sqlite3 *db, const char *name, bool *ret)
{
	ul_autostatement sqlite3_stmt *row = NULL;
	int code = sqlite3_prepare_v2(db, "select 1 from sqlite_schema where name = ?", -1, &row, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_bind_text(row, 1, name, -1, SQLITE_STATIC);
	if (code == SQLITE_OK)
		code = sqlite3_step(row);
	*ret = code == SQLITE_ROW;
	return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

int ul_db_schema_mend(sqlite3 *db, const char **ret_made)
{
	int code = SQLITE_OK;

	*ret_made = NULL;
	for (size_t i = 0; code == SQLITE_OK && i < ul_db_n_objects; i++) {
		const struct ul_db_object *object = &ul_db_objects[i];
		bool there = true;

		if (!is_in(needed_besides, UL_ARRAY_SIZE(needed_besides), object->name))
			continue;
		code = has(db, object->name, &there);
		if (code != SQLITE_OK || there)
			continue;
		code = sqlite3_exec(db, object->sql, NULL, NULL, NULL);
		*ret_made = object->name;
	}
	return code;
}
