/*
 * store_copy.c - a log opened by a tool, and the copy of it that is a backup.
 *
 * A backup is made in one read transaction, so it is the log of one moment, and in
 * rollback mode, which its first server changes.  That tells it apart from the file it
 * may be put in the place of: a write-ahead log that is left over from that one would
 * spoil it (store_wal.c).
 */
#include "config.h"

#include "store_tools.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store_internal.h"

#define COPY_PAGES	4096		/* between two words about how far it is */

bool
store_is_held(const char *path, long *pid)
{
	char name[4096], text[32];
	bool held;
	ssize_t n;
	int fd;

	*pid = 0;
	(void)snprintf(name, sizeof(name), "%s.lock", path);
	if ((fd = open(name, O_RDONLY | O_CLOEXEC)) == -1)
		return false;
	held = flock(fd, LOCK_SH | LOCK_NB) == -1;
	if (held && (n = pread(fd, text, sizeof(text) - 1, 0)) > 0) {
		text[n] = '\0';
		*pid = strtol(text, NULL, 10);
	}
	close(fd);
	return held;
}

static int
open_at(struct db *db, const char *name, int flags)
{
	int rc;

	rc = sqlite3_open_v2(name, &db->h, SQLITE_OPEN_READONLY |
	    SQLITE_OPEN_NOMUTEX | flags, NULL);
	if (rc == SQLITE_OK) {
		(void)sqlite3_db_config(db->h, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1,
		    NULL);
		(void)sqlite3_wal_autocheckpoint(db->h, 0);
		(void)sqlite3_busy_timeout(db->h, 5000);
		rc = sqlite3_exec(db->h, "SELECT count(*) FROM sqlite_schema", NULL,
		    NULL, NULL);
	}
	return rc;
}

/* A log in a folder that may not be written, without a write-ahead log: nobody can be
 * using it. */
static int
open_still(struct db *db, const char *path)
{
	char name[3 * 4096 + 32] = "file:", *p = name + 5;
	char wal[4096];

	(void)snprintf(wal, sizeof(wal), "%s-wal", path);
	if (access(wal, F_OK) == 0 || strlen(path) > 4096)
		return SQLITE_CANTOPEN;
	for (; *path != '\0'; path++)
		if (strchr("?#%", *path) != NULL)
			p += sprintf(p, "%%%02X", (unsigned char)*path);
		else
			*p++ = *path;
	memcpy(p, "?immutable=1", sizeof("?immutable=1"));
	db_close(db);
	return open_at(db, name, SQLITE_OPEN_URI);
}

int
tool_open(struct db *db, const char *path, bool salvage, char *err, size_t err_size)
{
	struct stat sb;
	long pid;
	int rc, fd;

	*db = (struct db){ 0 };
	/* SQLite's own word for all of these is "unable to open database file". */
	if (stat(path, &sb) == -1) {
		/* store.path where $STATE_DIRECTORY is not set, as in a shell. */
		snprintf(err, err_size, "%s: %s%s", path, strerror(errno),
		    errno == ENOENT && *path != '/' ? "; a server that systemd "
		    "starts has its log in /var/lib/fanfare: name it with --db" : "");
		return -1;
	}
	if (!S_ISREG(sb.st_mode)) {
		snprintf(err, err_size, "%s: not a regular file; name the database "
		    "file itself", path);
		return -1;
	}
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1) {
		snprintf(err, err_size, "%s: %s; run this as the user whose file it is",
		    path, strerror(errno));
		return -1;
	}
	close(fd);
	if (!store_is_held(path, &pid) &&
	    (rc = wal_check(path, err, err_size)) < 0 && !(rc == -1 && salvage))
		return -1;
	rc = open_at(db, path, 0);
	if (rc == SQLITE_CANTOPEN || rc == SQLITE_READONLY)
		rc = open_still(db, path);
	if (rc == SQLITE_CANTOPEN || rc == SQLITE_READONLY) {
		snprintf(err, err_size, "%s: %s; run this as the user whose file it is",
		    path, sqlite3_errmsg(db->h));
		goto fail;
	}
	if (store_identify(db, path, err, err_size) == -1)
		goto fail;
	if (db_int(db, "PRAGMA user_version", -1) != store_schema()) {
		snprintf(err, err_size, "%s: %s", path, sb.st_size == 0 ?
		    "empty: no log yet" : "made by an older fanfare; a start of this "
		    "one's server brings it up to date");
		goto fail;
	}
	return 0;

fail:
	db_close(db);
	return -1;
}

static struct event_id
id_of(const struct epoch *epochs, size_t n, int64_t seq)
{
	struct event_id id = {
		.epoch = epoch_of(epochs, n, (uint64_t)seq), .seq = (uint64_t)seq,
	};

	return id;
}

int
tool_extent(struct db *db, struct store_extent *out, const char **why)
{
	struct epoch *epochs;
	bool damaged;
	size_t n;

	if ((epochs = store_epochs(db, &n, &damaged)) == NULL) {
		*why = damaged ? "its epochs do not rise" DAMAGED : sqlite3_errmsg(db->h);
		return -1;
	}
	*out = (struct store_extent){
		.epochs = n,
		.topics = (uint64_t)db_int(db, "SELECT count(*) FROM topic", 0),
		.topics_empty = (uint64_t)db_int(db,
		    "SELECT count(*) FROM topic WHERE empty = 1", 0),
		.segments = (uint64_t)db_int(db, "SELECT count(*) FROM segment", 0),
		.keys = (uint64_t)db_int(db, "SELECT count(*) FROM idempotency", 0),
		.revocations = (uint64_t)db_int(db, "SELECT count(*) FROM revocation", 0),
		.pruned = (uint64_t)db_int(db, "SELECT pruned FROM state", 0),
		.oldest_ms = db_int(db, "SELECT time FROM event ORDER BY seq LIMIT 1", 0),
		.newest_ms = db_int(db,
		    "SELECT time FROM event ORDER BY seq DESC LIMIT 1", 0),
		.file_bytes = (uint64_t)(db_int(db, "PRAGMA page_count", 0) *
		    db_int(db, "PRAGMA page_size", 0)),
	};
	if (n > 0) {
		out->oldest = id_of(epochs, n, db_int(db,
		    "SELECT min(seq) FROM event", 0));
		out->newest = id_of(epochs, n, db_int(db,
		    "SELECT max(seq) FROM event", 0));
	}
	free(epochs);
	return 0;
}

/* All pages, the snapshot being open.  SQLITE_DONE or an error. */
static int
copy_pages(struct db *from, sqlite3 *to, const struct store_progress *p)
{
	sqlite3_backup *b;
	int rc;

	if ((b = sqlite3_backup_init(to, "main", from->h, "main")) == NULL)
		return sqlite3_errcode(to);
	do {
		rc = sqlite3_backup_step(b, COPY_PAGES);
		if (p != NULL)
			p->show(p->arg, "copying", (uint64_t)(sqlite3_backup_pagecount(b)
			    - sqlite3_backup_remaining(b)),
			    (uint64_t)sqlite3_backup_pagecount(b));
	} while (rc == SQLITE_OK);
	(void)sqlite3_backup_finish(b);
	return rc;
}

/* The file's bytes, and then its name. */
static int
settle_file(const char *part, const char *to)
{
	char dir[4096];
	int fd, rc;

	if ((fd = open(part, O_RDONLY | O_CLOEXEC)) == -1)
		return -1;
	rc = fsync(fd);
	close(fd);
	if (rc == -1)
		return -1;
	/* Not rename(): somebody may have made the file meanwhile. */
	if (renameat2(AT_FDCWD, part, AT_FDCWD, to, RENAME_NOREPLACE) == -1) {
		if (errno != EINVAL && errno != ENOSYS)
			return -1;
		if (access(to, F_OK) == 0) {
			errno = EEXIST;
			return -1;
		}
		if (rename(part, to) == -1)
			return -1;
	}
	(void)snprintf(dir, sizeof(dir), "%s", to);
	if ((fd = open(dirname(dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return -1;
	rc = fsync(fd);
	close(fd);
	return rc;
}

int
store_backup(const char *path, const char *to, const struct store_progress *p,
    struct store_extent *out, char *err, size_t err_size)
{
	char part[4096];
	struct db db;
	sqlite3 *copy = NULL;
	const char *why;
	int fd, rc;

	if (snprintf(part, sizeof(part), "%s.part", to) >= (int)sizeof(part)) {
		snprintf(err, err_size, "%s: too long a name", to);
		return -1;
	}
	if (access(to, F_OK) == 0) {
		snprintf(err, err_size, "%s: is there already; a backup overwrites "
		    "nothing", to);
		return -1;
	}
	if (tool_open(&db, path, false, err, err_size) == -1)
		return -1;
	/* Ours alone from the first byte, as the log is. */
	if ((fd = open(part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640)) == -1) {
		if (errno == EEXIST)
			snprintf(err, err_size, "%s: is there already: another backup is "
			    "under way, or one was cut short; then remove it", part);
		else
			snprintf(err, err_size, "%s: %s", part, strerror(errno));
		db_close(&db);
		return -1;
	}
	close(fd);
	if (sqlite3_open_v2(part, &copy, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
	    NULL) != SQLITE_OK || sqlite3_exec(copy, "PRAGMA synchronous = OFF;"
	    "PRAGMA journal_mode = OFF", NULL, NULL, NULL) != SQLITE_OK)
		goto fail_copy;
	if ((rc = db_run(&db, S_begin_read, 0)) == SQLITE_DONE &&
	    tool_extent(&db, out, &why) == -1) {
		snprintf(err, err_size, "%s: %s", path, why);
		goto fail;
	}
	if (rc != SQLITE_DONE || (rc = copy_pages(&db, copy, p)) != SQLITE_DONE) {
		snprintf(err, err_size, "%s: %s", sqlite3_errcode(copy) != SQLITE_OK ?
		    part : path, sqlite3_errstr(rc));
		goto fail;
	}
	/* What a log never is: see the top. */
	if (sqlite3_exec(copy, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL) !=
	    SQLITE_OK)
		goto fail_copy;
	(void)db_run(&db, S_commit, 0);		/* it has only read */
	db_close(&db);
	if (sqlite3_close(copy) != SQLITE_OK || settle_file(part, to) == -1) {
		snprintf(err, err_size, "%s: %s", to, errno == EEXIST ?
		    "is there already; a backup overwrites nothing" :
		    strerror(errno));
		(void)unlink(part);
		return -1;
	}
	return 0;

fail_copy:
	snprintf(err, err_size, "%s: %s", part, copy != NULL ? sqlite3_errmsg(copy) :
	    "no memory");
fail:
	(void)sqlite3_close(copy);
	db_close(&db);
	(void)unlink(part);
	return -1;
}
