/*
 * store_space.c - what is kept back for the day when the disk is full.
 *
 * The lock file holds some space that nobody needs.  A commit that meets a full disk
 * gives it back: the checkpoint then has room for those pages that stand in the WAL
 * alone, and the WAL is written from its beginning again.  From then on, until there is
 * a reserve again, the database may not grow: events take the pages that retention
 * frees, and no later checkpoint needs room that is not there.  The reserve outlives the
 * process, so that a start on a full disk has room too (take_lock() frees it).
 */
#include "config.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "log.h"
#include "store_internal.h"

#define RESERVE_MAX	(8 * 1024 * 1024)	/* two WALs as they commonly are */
#define RESERVE_MIN	(128 * 1024)		/* less is none */
#define LOCK_TEXT	32			/* what the lock file is for */

/* As much as the WAL may hold, and on a small disk half of what is free. */
static off_t
reserve_wanted(const struct store *st)
{
	struct statvfs sv;
	struct stat sb;
	char wal[4096];
	off_t bytes = 0;

	snprintf(wal, sizeof(wal), "%s-wal", st->path);
	if (stat(wal, &sb) == 0)
		bytes = sb.st_size;
	if (fstatvfs(st->lock_fd, &sv) == 0 &&
	    (off_t)(sv.f_bavail * sv.f_frsize / 2) > bytes)
		bytes = (off_t)(sv.f_bavail * sv.f_frsize / 2);
	return bytes < RESERVE_MAX ? bytes : RESERVE_MAX;
}

void
space_reserve(struct store *st)
{
	off_t bytes;

	if (st->has_reserve || (bytes = reserve_wanted(st)) < RESERVE_MIN)
		return;
	if (posix_fallocate(st->lock_fd, 0, bytes) != 0) {
		/* Part of it may have been had.  If not even this works, so be it. */
		(void)!ftruncate(st->lock_fd, LOCK_TEXT);
		return;
	}
	st->has_reserve = true;
	if (!st->is_full)
		return;
	st->is_full = false;
	space_limit(st);
	log_info("store: %s: there is room on the disk again", st->path);
}

void
space_release(struct store *st)
{
	if (!st->is_full) {
		log_warnx("store: %s: the disk is full; until there is room only "
		    "what retention frees can be written", st->path);
		st->is_full = true;
		space_limit(st);
	}
	space_free(st);
}

void
space_free(struct store *st)
{
	if (st->has_reserve && ftruncate(st->lock_fd, LOCK_TEXT) == -1)
		log_warn("store: %s.lock: free what is kept back", st->path);
	st->has_reserve = false;
}

void
space_limit(struct store *st)
{
	/* Never less than the pages there are. */
	if (db_exec(&st->w, st->is_full ? "PRAGMA max_page_count = 1" :
	    "PRAGMA max_page_count = 4294967294") != SQLITE_OK)
		log_warnx("store: %s: limit the database: %s", st->path,
		    sqlite3_errmsg(st->w.h));
}
