/* Small things that every user of SQLite's API here needs. */
#include <stdlib.h>
#include <string.h>

#include "common/sqlite.h"

int ul_sqlite_error(struct ul_error *err, sqlite3 *db, const char *work, const char *object)
{
	int code = db ? sqlite3_errcode(db) : SQLITE_NOMEM;

	if (code == SQLITE_NOMEM)
		return ul_error_nomem(err, work);
	if (code == SQLITE_FULL)
		return ul_error_set(err, UL_E_SYSTEM, work, object, "Make room there.", "no space left");
	return ul_error_set(err, UL_E_DATABASE, work, object, NULL, "%s", sqlite3_errmsg(db));
}

char *ul_sqlite_immutable_uri(const char *path)
{
	static const char prefix[] = "file:", suffix[] = "?immutable=1", digits[] = "0123456789abcdef";
	char *uri = malloc(sizeof(prefix) + 3 * strlen(path) + sizeof(suffix)), *at = uri;

	if (!uri)
		return NULL;
	memcpy(at, prefix, sizeof(prefix) - 1);
	at += sizeof(prefix) - 1;
	for (const unsigned char *p = (const unsigned char *)path; *p; p++) {
		if (*p != '%' && *p != '?' && *p != '#') {
			*at++ = (char)*p;
			continue;
		}
		*at++ = '%';
		*at++ = digits[*p >> 4];
		*at++ = digits[*p & 15];
	}
	memcpy(at, suffix, sizeof(suffix));
	return uri;
}

void ul_sqlite_harden(sqlite3 *db)
{
	/* A schema can hold code (triggers, views, functions in index expressions): none of it runs. */
	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	sqlite3_limit(db, SQLITE_LIMIT_LENGTH, 16 << 20);
	/* Fails only on a file that every later statement fails on too. */
	sqlite3_exec(db, "pragma cell_size_check = on", NULL, NULL, NULL);
}
