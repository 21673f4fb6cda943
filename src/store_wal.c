/*
 * store_wal.c - is the write-ahead log beside a database the one that belongs there, and
 * can all of it be read?
 *
 * SQLite reads such a log up to the first frame whose sum is wrong and takes what follows
 * for the torn end of a crash.  That is right for one transaction, the one that nobody
 * has acknowledged; when whole commits stand behind such a frame, a disk has damaged what
 * was acknowledged, and somebody must be told before they are overwritten.  For that to
 * hold, a torn end is cleared away before anything is written behind it (store_open).
 * The index beside it (-shm) says how far the log went when its last writer was killed;
 * it is never synced, so after a loss of power it says nothing.
 *
 * Layouts: SQLite's "WAL-mode File Format".  Nothing here writes.
 */
#include "config.h"

#include <sys/stat.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store_internal.h"

#define HEADER		32
#define FRAME		24
#define INDEX		136
#define WAL_MAGIC	0x377f0682u	/* and one more: sums of big-endian words */
#define WAL_VERSION	3007000u
#define RECOVER		"restore a backup, or save what can be read with \"fanfare " \
			"recover\""

/* A log as it is walked. */
struct wal {
	int		 fd;
	size_t		 page;		/* bytes */
	bool		 big;
	uint32_t	 s1, s2;	/* the running sum */
	uint32_t	 size;		/* of the database after `committed`, in pages */
	unsigned char	 salt[8];
	unsigned char	*frame;		/* one, with its header */
	uint32_t	 n;		/* frames read */
	uint32_t	 whole;		/* whose sum is right, from the first */
	uint32_t	 committed;	/* the last of these that ends a commit */
	uint32_t	 behind;	/* commits behind the first that is wrong */
};

static uint32_t
be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t
native32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static void
add_sum(struct wal *w, const unsigned char *p, size_t len)
{
	uint32_t a, b;

	for (size_t i = 0; i + 8 <= len; i += 8) {
		a = be32(p + i);
		b = be32(p + i + 4);
		if (!w->big) {
			a = __builtin_bswap32(a);
			b = __builtin_bswap32(b);
		}
		w->s1 += a + w->s2;
		w->s2 += b + w->s1;
	}
}

static int
open_beside(const char *path, const char *end)
{
	char name[4096];

	if (snprintf(name, sizeof(name), "%s%s", path, end) >= (int)sizeof(name))
		return -1;
	return open(name, O_RDONLY | O_CLOEXEC);
}

/* Is the next frame of this log, and its sum right?  Steps on. */
static bool
take_frame(struct wal *w)
{
	const unsigned char *f = w->frame;

	if (be32(f) == 0 || memcmp(f + 8, w->salt, sizeof(w->salt)) != 0)
		return false;
	add_sum(w, f, 8);
	add_sum(w, f + FRAME, w->page);
	return w->s1 == be32(f + 16) && w->s2 == be32(f + 20);
}

/* Every frame there is, behind a header that is right. */
static void
walk(struct wal *w)
{
	size_t size = FRAME + w->page;
	off_t at = HEADER;
	bool good = true;

	for (; pread(w->fd, w->frame, size, at) == (ssize_t)size; at += (off_t)size) {
		w->n++;
		if (good && (good = take_frame(w))) {
			w->whole = w->n;
			if (be32(w->frame + 4) != 0) {
				w->committed = w->n;
				w->size = be32(w->frame + 4);
			}
		} else if (!good && be32(w->frame) != 0 && be32(w->frame + 4) != 0 &&
		    memcmp(w->frame + 8, w->salt, sizeof(w->salt)) == 0)
			w->behind++;
	}
}

/* The header is wrong, and the index knows of nothing in it.  Does the first frame go with
 * the sum in it, or with the sum of the rest of it?  Then it is a log that was in use; else
 * the torn beginning of one. */
static bool
was_in_use(struct wal *w, const unsigned char *head)
{
	size_t size = FRAME + w->page;
	uint32_t s1, s2;

	if (pread(w->fd, w->frame, size, HEADER) != (ssize_t)size)
		return false;
	memcpy(w->salt, w->frame + 8, sizeof(w->salt));
	for (int big = 0; big < 2; big++)
		for (int own = 0; own < 2; own++) {
			w->big = big != 0;
			w->s1 = w->s2 = 0;
			if (own)
				add_sum(w, head, 24);
			else {
				w->s1 = be32(head + 24);
				w->s2 = be32(head + 28);
			}
			s1 = w->s1;
			s2 = w->s2;
			if (take_frame(w)) {
				w->s1 = s1;
				w->s2 = s2;
				return true;
			}
		}
	return false;
}

/* Does the database hold all that was committed to this log?  Then it was about to begin
 * anew, which it does for no other reason, when the machine went down. */
static bool
is_in_database(struct wal *w, int db)
{
	size_t size = FRAME + w->page, most;
	unsigned char *page = malloc(w->page);
	uint32_t *last, no, i;
	bool same;

	walk(w);
	most = (size_t)lseek(db, 0, SEEK_END) / w->page + w->committed;
	last = calloc(most + 1, sizeof(*last));
	same = page != NULL && last != NULL;
	for (i = 1; same && i <= w->committed; i++) {
		same = pread(w->fd, w->frame, FRAME, HEADER + (off_t)((i - 1) * size)) ==
		    FRAME && (no = be32(w->frame)) <= most;
		if (same)
			last[no] = i;
	}
	for (no = 1; same && no <= most && no <= w->size; no++)
		if (last[no] != 0)
			same = pread(w->fd, w->frame, w->page, HEADER + FRAME +
			    (off_t)((last[no] - 1) * size)) == (ssize_t)w->page &&
			    pread(db, page, w->page, (off_t)((no - 1) * w->page)) ==
			    (ssize_t)w->page && memcmp(page, w->frame, w->page) == 0;
	free(page);
	free(last);
	return same;
}

/* When this machine was started. */
static time_t
boot_time(void)
{
	struct timespec now, up;

	if (clock_gettime(CLOCK_REALTIME, &now) == -1 ||
	    clock_gettime(CLOCK_BOOTTIME, &up) == -1)
		return 0;
	return now.tv_sec - up.tv_sec;
}

/* What the index knows: how many frames of which log the database does not hold yet. */
struct index {
	uint32_t	frames;
	unsigned char	salt[8];
};

static void
read_index(const char *path, struct index *x)
{
	unsigned char b[INDEX];
	uint32_t max, done;
	struct stat sb;
	ssize_t n;
	int fd;

	memset(x, 0, sizeof(*x));
	if ((fd = open_beside(path, "-shm")) == -1)
		return;
	n = pread(fd, b, sizeof(b), 0);
	if (fstat(fd, &sb) == -1 || sb.st_mtime <= boot_time())
		n = 0;
	close(fd);
	/* Its header stands there twice. */
	if (n != INDEX || memcmp(b, b + 48, 48) != 0 ||
	    native32(b) != WAL_VERSION || b[12] == 0)
		return;
	memcpy(x->salt, b + 32, sizeof(x->salt));
	max = native32(b + 16);
	done = native32(b + 96);
	x->frames = max > done ? max : 0;
}

static int
check_frames(const char *path, int db, struct wal *w, off_t size, char *err,
    size_t err_size)
{
	unsigned char head[HEADER];
	struct index x;

	read_index(path, &x);
	if (size <= HEADER || pread(w->fd, head, HEADER, 0) != HEADER) {
		if (x.frames == 0)
			return 0;
		snprintf(err, err_size, "%s-wal: %s, but %s-shm knows of %u pages of "
		    "committed events in it; put it back, or %s", path,
		    size == -1 ? "missing" : "cut off", path, x.frames, RECOVER);
		return -1;
	}
	w->big = (be32(head) & 1) != 0;
	add_sum(w, head, 24);
	if ((be32(head) & ~1u) != WAL_MAGIC || be32(head + 4) != WAL_VERSION ||
	    w->s1 != be32(head + 24) || w->s2 != be32(head + 28)) {
		if (x.frames == 0 && (!was_in_use(w, head) || is_in_database(w, db)))
			return 0;
		snprintf(err, err_size, "%s-wal: damaged at its beginning, and its "
		    "events cannot be read; %s", path, RECOVER);
		return -1;
	}
	memcpy(w->salt, head + 16, sizeof(w->salt));
	walk(w);
	if (w->behind > 1) {
		snprintf(err, err_size, "%s-wal: damaged at page %u, with %u commits "
		    "behind it that cannot be read; %s", path, w->whole + 1, w->behind,
		    RECOVER);
		return -1;
	}
	if (x.frames > w->committed &&
	    memcmp(x.salt, w->salt, sizeof(w->salt)) == 0) {
		snprintf(err, err_size, "%s-wal: damaged or cut off behind page %u of %u; "
		    "%s", path, w->committed, x.frames, RECOVER);
		return -1;
	}
	return w->behind > 0 ? 1 : 0;
}

int
wal_check(const char *path, char *err, size_t err_size)
{
	struct wal w = { .fd = open_beside(path, "-wal") };
	unsigned char db[100] = { 0 };
	off_t size = -1;
	bool is_copy;
	int fd, rc = 0;

	/* What cannot be read here, SQLite will say. */
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1 ||
	    pread(fd, db, sizeof(db), 0) != sizeof(db) ||
	    memcmp(db, "SQLite format 3", 16) != 0)
		goto out;
	if (w.fd != -1)
		size = lseek(w.fd, 0, SEEK_END);
	is_copy = db[18] == 1 && db[19] == 1;
	if (is_copy && size > 0) {
		snprintf(err, err_size, "%s-wal: left over from another database than "
		    "%s, which is a restored backup; remove %s-wal and %s-shm", path,
		    path, path, path);
		rc = -2;
		goto out;
	}
	w.page = (size_t)db[16] << 8 | db[17];
	if (w.page == 1)
		w.page = 65536;
	if (is_copy || w.page < 512 || (w.page & (w.page - 1)) != 0)
		goto out;
	if ((w.frame = malloc(FRAME + w.page)) == NULL) {
		snprintf(err, err_size, "out of memory");
		rc = -1;
		goto out;
	}
	rc = check_frames(path, fd, &w, size, err, err_size);
out:
	free(w.frame);
	if (fd != -1)
		close(fd);
	if (w.fd != -1)
		close(w.fd);
	return rc;
}
