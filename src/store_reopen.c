/*
 * store_reopen.c - the writer's new connection after one that failed: what did the disk
 * really take?
 *
 * What stands above the head was stored, though its publishers were told that nobody
 * knows: it is announced, once.  Should what was announced be gone, nothing is served as
 * if it had never been, until a restart tells everybody.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "log.h"
#include "store_internal.h"

/* Announce what stands above the head: durable, though its publishers were told that
 * nobody knows. */
static int
announce_found(struct store *st)
{
	unsigned int subscribers;
	struct frame *f;
	sqlite3_stmt *q;
	bool damaged;
	int rc;

	if ((q = db_stmt(&st->w, S_event_above)) == NULL)
		return -1;
	(void)sqlite3_bind_int64(q, 1, (int64_t)st->head);
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		f = store_row_frame(st, q, (uint64_t)sqlite3_column_int64(q, 7),
		    (const char *)sqlite3_column_text(q, 8),
		    (size_t)sqlite3_column_bytes(q, 8), &damaged);
		if (f == NULL) {
			rc = damaged ? SQLITE_CORRUPT : SQLITE_NOMEM;
			break;
		}
		st->n_rows++;
		st->stored = f->id.seq;
		atomic_store_explicit(&st->head, st->stored, memory_order_release);
		st->hooks.committed(st->hooks.arg, &f, 1, &subscribers);
	}
	(void)sqlite3_reset(q);
	return rc == SQLITE_DONE ? 0 : -1;
}

/*
 * Write the WAL again as it reads, and sync that.  After a sync that failed the kernel
 * takes pages for written that are not, and the next sync would say so too; what has
 * been written anew it has to write.
 */
static int
rewrite_wal(struct store *st)
{
	sqlite3_file *f;
	sqlite3_int64 size, at;
	unsigned char *buf;
	const int cap = 1 << 16;
	int n, rc;

	if ((rc = sqlite3_file_control(st->w.h, "main",
	    SQLITE_FCNTL_JOURNAL_POINTER, &f)) != SQLITE_OK)
		return rc;
	if (f->pMethods == NULL)
		return SQLITE_OK;
	if ((buf = malloc((size_t)cap)) == NULL)
		return SQLITE_NOMEM;
	/* Nobody begins the WAL anew meanwhile. */
	if ((rc = db_run(&st->w, S_begin_write, 0)) != SQLITE_DONE)
		goto done;
	rc = f->pMethods->xFileSize(f, &size);
	for (at = 0; rc == SQLITE_OK && at < size; at += n) {
		n = size - at < cap ? (int)(size - at) : cap;
		if ((rc = f->pMethods->xRead(f, buf, n, at)) == SQLITE_OK)
			rc = f->pMethods->xWrite(f, buf, n, at);
	}
	if (rc == SQLITE_OK)
		rc = f->pMethods->xSync(f, SQLITE_SYNC_NORMAL);
	(void)db_run(&st->w, S_commit, 0);	/* of nothing */
done:
	free(buf);
	return rc;
}

/* Is all there that was announced?  -1: it cannot be told now. */
static int
nothing_is_gone(struct store *st)
{
	uint64_t last, pruned;
	sqlite3_stmt *q;
	bool ours;
	int rc;

	/* Of a new log that was never checkpointed not even the tables may be left. */
	if ((q = db_stmt(&st->w, S_event_last_seq)) == NULL)
		return sqlite3_errcode(st->w.h) == SQLITE_ERROR ? 0 : -1;
	if (sqlite3_step(q) != SQLITE_ROW)
		return -1;
	last = (uint64_t)sqlite3_column_int64(q, 0);
	if ((q = db_stmt(&st->w, S_state_get)) == NULL ||
	    sqlite3_step(q) != SQLITE_ROW)
		return -1;
	pruned = (uint64_t)sqlite3_column_int64(q, 0);
	/* Before a run's first event its epoch, part of every sum to come, is all that
	 * it has stored. */
	if ((q = db_stmt(&st->w, S_epoch_newest)) == NULL ||
	    ((rc = sqlite3_step(q)) != SQLITE_ROW && rc != SQLITE_DONE))
		return -1;
	ours = rc == SQLITE_ROW && sqlite3_column_int64(q, 0) ==
	    st->epochs[st->nepochs - 1].epoch;
	for (size_t i = 0; i < STATEMENT_COUNT; i++)
		(void)sqlite3_reset(st->w.stmts[i]);
	return ours && (last > pruned ? last : pruned) >= st->stored;
}

/* A new connection, which says what the old one really stored.  0, or -1 (logged). */
static int
open_again(struct store *st)
{
	char err[512];
	int there, rc;

	db_close(&st->w);
	if (store_open_writer(st, err, sizeof(err)) == -1) {
		log_warnx("store: reopen: %s", err);
		return -1;
	}
	if ((there = nothing_is_gone(st)) == 0) {
		log_error("store: %s: the disk has lost events that were "
		    "acknowledged; a restart tells every reader", st->path);
		st->trouble = "the disk has lost events: restart fanfare";
		st->gone = true;
		if (st->hooks.lost != NULL)
			st->hooks.lost(st->hooks.arg);
		return -1;
	}
	/* Our readers are waiting. */
	(void)sqlite3_busy_timeout(st->w.h, CHECKPOINT_BUSY_MS);
	/* What memory holds of the topics stays until it can be loaded again: it was
	 * right at the last commit. */
	if (there == -1)
		rc = db_is_damaged(&st->w) ? SQLITE_CORRUPT : SQLITE_IOERR;
	else if ((rc = rewrite_wal(st)) == SQLITE_OK &&
	    (rc = db_sync_folder(st->path)) == SQLITE_OK)
		rc = writer_checkpoint(st, SQLITE_CHECKPOINT_TRUNCATE);
	if (rc != SQLITE_OK)
		snprintf(err, sizeof(err), "%s: %s", st->path, sqlite3_errstr(rc));
	else if (store_load(st, err, sizeof(err)) == -1)
		rc = sqlite3_errcode(st->w.h);
	else
		return 0;
	log_warnx("store: reopen: %s", err);
	st->trouble = (rc & 0xff) == SQLITE_FULL ? full_trouble :
	    db_is_busy(rc) ? busy_trouble : write_trouble;
	/* The next try has the room. */
	if ((rc & 0xff) == SQLITE_FULL)
		space_release(st);
	return -1;
}

void
store_reopen(struct store *st)
{
	int rc;

	if (st->gone || clock_mono_ms() - st->broken_since < st->conf.retry_ms)
		return;
	/* With the last connection goes SQLite's index of the WAL: what is there is
	 * then read from the file, by its checksums, not from memory. */
	reader_hold(st);
	rc = open_again(st);
	reader_release(st);
	if (rc == 0 && announce_found(st) == -1) {
		log_warnx("store: reopen %s: %s", st->path,
		    sqlite3_errmsg(st->w.h));
		rc = -1;
	}
	st->broken_since = clock_mono_ms();
	if (rc == -1)
		return;
	log_info("store: %s: reopened, at seq %llu", st->path,
	    (unsigned long long)st->stored);
	st->broken_since = 0;
	st->trouble = NULL;
}
