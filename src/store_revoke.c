/*
 * store_revoke.c - revocations of tokens in the database: written with the log's own
 * transactions, read at the start, saved from a damaged log as far as they can be.
 *
 * Each row has a sum: one that is damaged would let a token live again, so a log with one
 * is not opened.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "store_internal.h"
#include "store_tools.h"

#define KINDS	16

bool
revoke_read(sqlite3_stmt *q, struct store_revocation *r)
{
	const void *key = sqlite3_column_blob(q, 0);

	if (key == NULL || sqlite3_column_bytes(q, 0) != STORE_HASH_BYTES)
		return false;
	memcpy(r->key, key, STORE_HASH_BYTES);
	r->kind = sqlite3_column_int(q, 1);
	r->time_ms = sqlite3_column_int64(q, 2);
	return r->kind >= 0 && r->kind < KINDS && r->time_ms > 0 &&
	    revocation_sum(r) == sqlite3_column_int64(q, 3);
}

static int
put(struct store *st, const struct store_revocation *r)
{
	sqlite3_stmt *q;
	int rc;

	if ((q = db_stmt(&st->w, S_revoke_put)) == NULL)
		return SQLITE_ERROR;
	(void)sqlite3_bind_blob(q, 1, r->key, STORE_HASH_BYTES, SQLITE_STATIC);
	(void)sqlite3_bind_int64(q, 2, r->kind);
	(void)sqlite3_bind_int64(q, 3, r->time_ms);
	(void)sqlite3_bind_int64(q, 4, revocation_sum(r));
	rc = sqlite3_step(q);
	(void)sqlite3_reset(q);
	return rc;
}

int
revoke_stage(struct store *st, const struct append *a)
{
	int rc = SQLITE_DONE;

	if (a->revocation != NULL)
		rc = put(st, a->revocation);
	if (rc == SQLITE_DONE && a->forget_ms > 0 &&
	    (rc = db_run(&st->w, S_revoke_note, 2, INT64_C(0), a->forget_ms)) ==
	    SQLITE_DONE)
		rc = db_run(&st->w, S_revoke_forget, 1, a->forget_ms);
	return rc;
}

static int
load(struct db *db, const char *path, int (*take)(void *arg,
    const struct store_revocation *r), void *arg, int64_t *forgotten_ms, char *err,
    size_t err_size)
{
	struct store_revocation r;
	sqlite3_stmt *q;
	int rc;

	if ((q = db_stmt(db, S_revoke_state)) == NULL ||
	    sqlite3_step(q) != SQLITE_ROW)
		goto fail;
	*forgotten_ms = sqlite3_column_int64(q, 0);
	(void)sqlite3_reset(q);
	if ((q = db_stmt(db, S_revoke_all)) == NULL)
		goto fail;
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		if (!revoke_read(q, &r)) {
			(void)sqlite3_reset(q);
			snprintf(err, err_size, "%s: a revocation is damaged%s",
			    path, DAMAGED);
			return -1;
		}
		if (take(arg, &r) == -1) {
			(void)sqlite3_reset(q);
			snprintf(err, err_size, "out of memory");
			return -1;
		}
	}
	(void)sqlite3_reset(q);
	if (rc == SQLITE_DONE)
		return 0;
fail:
	snprintf(err, err_size, "%s: its revocations: %s%s", path, db_why(db),
	    db_is_damaged(db) ? DAMAGED : "");
	return -1;
}

int
store_load_revocations(struct store *st, int (*take)(void *arg,
    const struct store_revocation *r), void *arg, int64_t *forgotten_ms, char *err,
    size_t err_size)
{
	return load(&st->w, st->path, take, arg, forgotten_ms, err, err_size);
}

int
store_read_revocations(const char *path, int (*take)(void *arg,
    const struct store_revocation *r), void *arg, int64_t *forgotten_ms, char *err,
    size_t err_size)
{
	struct db db;
	int ret;

	if (tool_open(&db, path, false, err, err_size) == -1)
		return -1;
	ret = load(&db, path, take, arg, forgotten_ms, err, err_size);
	db_close(&db);
	return ret;
}

int
store_import_revocations(struct store *st, const struct store_revocation *v, size_t n,
    int64_t forgotten_ms, char *err, size_t err_size)
{
	int rc;

	if ((rc = db_run(&st->w, S_begin_write, 0)) != SQLITE_DONE)
		goto fail;
	for (size_t i = 0; i < n; i++)
		if ((rc = put(st, &v[i])) != SQLITE_DONE)
			goto fail;
	if ((rc = db_run(&st->w, S_revoke_note, 2, forgotten_ms, INT64_C(0))) !=
	    SQLITE_DONE ||
	    (rc = db_run(&st->w, S_commit, 0)) != SQLITE_DONE)
		goto fail;
	return 0;

fail:
	snprintf(err, err_size, "%s: %s", st->path, sqlite3_errstr(rc));
	if (sqlite3_get_autocommit(st->w.h) == 0)
		(void)db_exec(&st->w, "ROLLBACK");
	return -1;
}

/* From one end on, as far as it can be read. */
static bool
salvage_from(struct db *db, const char *sql, void (*take)(void *arg,
    const struct store_revocation *r), void *arg)
{
	struct store_revocation r;
	sqlite3_stmt *q;
	bool whole = true;
	int rc;

	if (sqlite3_prepare_v2(db->h, sql, -1, &q, NULL) != SQLITE_OK)
		return false;
	while ((rc = sqlite3_step(q)) == SQLITE_ROW)
		if (revoke_read(q, &r))
			take(arg, &r);
		else
			whole = false;
	(void)sqlite3_finalize(q);
	return whole && rc == SQLITE_DONE;
}

bool
revoke_salvage(struct db *db, void (*take)(void *arg, const struct store_revocation *r),
    void *arg, int64_t *forgotten_ms)
{
	bool whole;

	*forgotten_ms = db_int(db, "SELECT revoked FROM state", -1);
	whole = salvage_from(db, "SELECT key, kind, time, sum FROM revocation "
	    "ORDER BY key", take, arg);
	/* What stands behind the damage. */
	if (!whole)
		(void)salvage_from(db, "SELECT key, kind, time, sum FROM revocation "
		    "ORDER BY key DESC", take, arg);
	if (*forgotten_ms >= 0)
		return whole;
	*forgotten_ms = 0;
	return false;
}
