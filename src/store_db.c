/*
 * store_db.c - a connection to the database and the statements prepared on it.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "log.h"
#include "sql_text.h"
#include "store_internal.h"

static const char *const statement_sql[STATEMENT_COUNT] = {
#define X(name) [S_##name] = sql_##name,
	STATEMENTS(X)
#undef X
};

sqlite3_stmt *
db_stmt(struct db *db, enum statement s)
{
	sqlite3_stmt **p = &db->stmts[s];

	if (*p != NULL) {
		/* Its outcome was seen by whoever stepped it. */
		(void)sqlite3_reset(*p);
		return *p;
	}
	if (sqlite3_prepare_v3(db->h, statement_sql[s], -1,
	    SQLITE_PREPARE_PERSISTENT, p, NULL) != SQLITE_OK) {
		log_warnx("store: %s", sqlite3_errmsg(db->h));
		return NULL;
	}
	return *p;
}

int
db_run(struct db *db, enum statement s, int nargs, ...)
{
	sqlite3_stmt *q;
	va_list ap;
	int rc;

	if ((q = db_stmt(db, s)) == NULL)
		return sqlite3_errcode(db->h);
	va_start(ap, nargs);
	for (int i = 1; i <= nargs; i++)
		(void)sqlite3_bind_int64(q, i, va_arg(ap, int64_t));
	va_end(ap);
	rc = sqlite3_step(q);
	(void)sqlite3_reset(q);
	return rc;
}

int
db_exec(struct db *db, const char *sql)
{
	return sqlite3_exec(db->h, sql, NULL, NULL, NULL);
}

bool
db_is_damaged(const struct db *db)
{
	int rc = db->h != NULL ? sqlite3_errcode(db->h) : SQLITE_OK;

	return rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB;
}

void
db_close(struct db *db)
{
	for (size_t i = 0; i < STATEMENT_COUNT; i++) {
		(void)sqlite3_finalize(db->stmts[i]);
		db->stmts[i] = NULL;
	}
	if (db->h != NULL && sqlite3_close(db->h) != SQLITE_OK)
		log_warnx("store: close: %s", sqlite3_errmsg(db->h));
	db->h = NULL;
}

bool
db_is_busy(int rc)
{
	return (rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_LOCKED;
}

const char *
db_why(const struct db *db)
{
	int rc = sqlite3_errcode(db->h);	/* NOMEM without a handle */

	return rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE ?
	    "out of memory" : sqlite3_errmsg(db->h);
}

int64_t
db_int(struct db *db, const char *sql, int64_t missing)
{
	sqlite3_stmt *q;
	int64_t v = missing;

	if (sqlite3_prepare_v2(db->h, sql, -1, &q, NULL) != SQLITE_OK)
		return missing;
	if (sqlite3_step(q) == SQLITE_ROW)
		v = sqlite3_column_int64(q, 0);
	(void)sqlite3_finalize(q);
	return v;
}

int
db_open_reader(struct db *db, const char *path)
{
	if (sqlite3_open_v2(path, &db->h, SQLITE_OPEN_READONLY |
	    SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
		log_warnx("store: open %s for reading: %s", path,
		    db->h != NULL ? sqlite3_errmsg(db->h) : "no memory");
		db_close(db);
		return -1;
	}
	/* A reader never checkpoints: one connection both writes and does that. */
	(void)sqlite3_db_config(db->h, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	(void)sqlite3_wal_autocheckpoint(db->h, 0);
	(void)sqlite3_busy_timeout(db->h, 5000);
	return 0;
}

int
db_sync_folder(const char *path)
{
	sqlite3_vfs *v = sqlite3_vfs_find(NULL);
	char name[4096];
	int fd;

	(void)snprintf(name, sizeof(name), "%s-folder", path);
	if ((fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) == -1)
		return errno == ENOSPC ? SQLITE_FULL : SQLITE_CANTOPEN;
	close(fd);
	return v->xDelete(v, name, 1);
}
