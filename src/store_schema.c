/*
 * store_schema.c - is a database ours, which release made it, and what its tables are.
 *
 * Nothing is changed before all of that is known; then migrations bring it up to date.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sql_text.h"
#include "store_internal.h"

#define APPLICATION_ID	0x66616e66	/* "fanf", in the database's header */

/* Appended to only.  Each is one transaction; user_version counts them. */
static const char *const migrations[] = {
	sql_0001_log,
	sql_0002_sum,
	sql_0003_revocation,
};
#define NMIGRATIONS	((int)(sizeof(migrations) / sizeof(migrations[0])))

int
store_schema(void)
{
	return NMIGRATIONS;
}

int
store_identify(struct db *db, const char *path, char *err, size_t err_size)
{
	int64_t version = db_int(db, "PRAGMA user_version", INT64_MIN);
	int64_t app = db_int(db, "PRAGMA application_id", INT64_MIN);
	int64_t tables = db_int(db, "SELECT count(*) FROM sqlite_schema", -1);

	if (version == INT64_MIN || app == INT64_MIN || tables == -1) {
		if (sqlite3_errcode(db->h) == SQLITE_NOTADB)
			snprintf(err, err_size, "%s: this is not a database; give "
			    "store.path another file", path);
		else
			snprintf(err, err_size, "%s: %s; if this is fanfare's log, "
			    "restore it from a backup, save what can be read with "
			    "\"fanfare recover\", or move it away", path,
			    sqlite3_errmsg(db->h));
		return -1;
	}
	if (tables > 0 && app != APPLICATION_ID) {
		snprintf(err, err_size, "%s: this database belongs to another "
		    "program; give store.path another file", path);
		return -1;
	}
	if (version > NMIGRATIONS) {
		snprintf(err, err_size, "%s: made by a newer fanfare (schema %"
		    PRId64 ", this one knows %d); use that one", path,
		    version, NMIGRATIONS);
		return -1;
	}
	return 0;
}

static int
migrate(struct db *db, int64_t to, const char *path, char *err, size_t err_size)
{
	int64_t version = db_int(db, "PRAGMA user_version", -1);
	char sql[128];

	if (version < 0) {
		snprintf(err, err_size, "%s: cannot read its version: %s", path,
		    sqlite3_errmsg(db->h));
		return -1;
	}
	for (int64_t i = version; i < to; i++) {
		snprintf(sql, sizeof(sql), "PRAGMA application_id = %d;"
		    "PRAGMA user_version = %d", APPLICATION_ID, (int)i + 1);
		if (db_exec(db, "BEGIN IMMEDIATE") != SQLITE_OK ||
		    db_exec(db, migrations[i]) != SQLITE_OK ||
		    db_exec(db, sql) != SQLITE_OK ||
		    db_exec(db, "COMMIT") != SQLITE_OK) {
			snprintf(err, err_size, "%s: schema %d: %s", path,
			    (int)i + 1, sqlite3_errmsg(db->h));
			return -1;
		}
	}
	return 0;
}

int
store_migrate(struct db *db, const char *path, char *err, size_t err_size)
{
	return migrate(db, NMIGRATIONS, path, err, err_size);
}

#define SCHEMA_SQL	"SELECT name, coalesce(sql, '') FROM sqlite_schema"

int
store_compare(struct db *db, void (*fault)(void *arg, const char *text), void *arg)
{
	struct db ours = { 0 };
	sqlite3_stmt *q = NULL, *theirs = NULL;
	const char *name, *sql;
	char text[256];
	int faults = 0, n = 0;

	if (sqlite3_open(":memory:", &ours.h) != SQLITE_OK ||
	    migrate(&ours, db_int(db, "PRAGMA user_version", 0), "memory", text,
	    sizeof(text)) == -1 ||
	    sqlite3_prepare_v2(ours.h, SCHEMA_SQL, -1, &q, NULL) != SQLITE_OK ||
	    sqlite3_prepare_v2(db->h, SCHEMA_SQL " WHERE name = ?1", -1, &theirs, NULL)
	    != SQLITE_OK) {
		fault(arg, "schema: cannot be read");
		faults++;
		goto out;
	}
	for (; sqlite3_step(q) == SQLITE_ROW; n++) {
		name = (const char *)sqlite3_column_text(q, 0);
		(void)sqlite3_bind_text(theirs, 1, name, -1, SQLITE_TRANSIENT);
		sql = sqlite3_step(theirs) == SQLITE_ROW ?
		    (const char *)sqlite3_column_text(theirs, 1) : NULL;
		if (sql == NULL || strcmp(sql,
		    (const char *)sqlite3_column_text(q, 1)) != 0) {
			(void)snprintf(text, sizeof(text), "schema: %s is %s", name,
			    sql == NULL ? "missing" : "not as fanfare makes it");
			fault(arg, text);
			faults++;
		}
		(void)sqlite3_reset(theirs);
	}
	if (faults == 0 && db_int(db, "SELECT count(*) FROM sqlite_schema", -1) != n) {
		fault(arg, "schema: there is something that fanfare has not made");
		faults = -1;
	}
out:
	(void)sqlite3_finalize(q);
	(void)sqlite3_finalize(theirs);
	(void)sqlite3_close(ours.h);
	return faults;
}
