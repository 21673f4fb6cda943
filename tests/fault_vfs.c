/*
 * fault_vfs.c - see fault_vfs.h.
 *
 * Real syncs are left out, for speed, but where a name is not durable yet: there the
 * default VFS is asked whether it syncs the folder (its openDirectory call is watched).
 */
#include "config.h"

#include "fault_vfs.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

#define SECTOR		512
#define WRITERS_MAX	64

struct op {			/* since the last sync */
	bool		 truncates;
	size_t		 at, len;	/* `at` is the new size of a truncation */
	unsigned char	*p;
};

struct image {
	unsigned char	*p;
	size_t		 len, cap;
};

/* One file, whatever it is called later. */
struct disk {
	struct disk	*next;
	char		*path;
	bool		 there;		/* its name stands in the folder */
	bool		 named;		/* and on the platter */
	struct image	 kept;		/* content on the platter */
	struct op	*ops;
	size_t		 n, cap;
};

struct vfs_file {
	sqlite3_file	 base;
	struct disk	*disk;		/* NULL: a temporary file */
	unsigned int	 handle;
	char		*path;
	sqlite3_file	*real;		/* right behind */
};

struct writer {
	struct disk	*disk;
	unsigned int	 handle;
	pthread_t	 thread;
};

static sqlite3_vfs shim, *under;
static pthread_mutex_t lock;		/* recursive */
static struct disk *disks;
static uint64_t rnd_state;
static struct vfs_fault fault;
static uint64_t fault_seen, fault_hits;
static enum vfs_loss loss;		/* of the sync that has just failed */
static char fault_said[128];
static int sync_delay_ms;
static uint64_t changes_left;		/* until the power goes; 0: it stays */
static bool is_cut;
static unsigned int handles;
static uint64_t opened;
static struct writer writers[WRITERS_MAX];
static size_t nwriters;
static int (*open_directory)(const char *, int *);

static const struct { const char *name; int rc; } calls[VFS_CALLS] = {
	[VFS_OPEN] = { "open", SQLITE_CANTOPEN },
	[VFS_DELETE] = { "delete", SQLITE_IOERR_DELETE },
	[VFS_ACCESS] = { "access", SQLITE_IOERR_ACCESS },
	[VFS_READ] = { "read", SQLITE_IOERR_READ },
	[VFS_WRITE] = { "write", SQLITE_IOERR_WRITE },
	[VFS_TRUNCATE] = { "truncate", SQLITE_IOERR_TRUNCATE },
	[VFS_SYNC] = { "sync", SQLITE_IOERR_FSYNC },
	[VFS_SIZE] = { "size", SQLITE_IOERR_FSTAT },
	[VFS_LOCK] = { "lock", SQLITE_IOERR_LOCK },
	[VFS_SHM_MAP] = { "shm map", SQLITE_IOERR_SHMMAP },
	[VFS_SHM_LOCK] = { "shm lock", SQLITE_IOERR_SHMLOCK },
};

static size_t
rnd(size_t n)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	rnd_state ^= rnd_state << 17;
	return (size_t)(rnd_state >> 16) % n;
}

static void *
must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

static bool
ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return m <= n && strcmp(s + n - m, end) == 0;
}

static void
enter(void)
{
	pthread_mutex_lock(&lock);
}

static int
leave(int rc)
{
	pthread_mutex_unlock(&lock);
	return rc;
}

/* Does this call fail?  Under the lock. */
static int
trial(enum vfs_call call, const char *path)
{
	int rc;

	if (!is_cut && changes_left > 0 && (call == VFS_WRITE ||
	    call == VFS_TRUNCATE || call == VFS_SYNC || call == VFS_DELETE) &&
	    --changes_left == 0)
		is_cut = true;
	if (is_cut)
		return calls[call].rc;
	if ((fault.calls & VFS_BIT(call)) == 0 || !ends_with(path, fault.file) ||
	    (++fault_seen != fault.nth && !(fault.stays && fault_seen > fault.nth)))
		return SQLITE_OK;
	fault_hits++;
	rc = fault.rc != 0 ? fault.rc : calls[call].rc;
	if (call == VFS_SYNC)
		loss = fault.loss;
	if (fault.then != NULL) {
		fault = *fault.then;
		fault_seen = 0;
	}
	path = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
	snprintf(fault_said, sizeof(fault_said), "%s %s", calls[call].name, path);
	return rc;
}

/* --- the platter --- */

static void
image_size(struct image *m, size_t len)
{
	if (len > m->cap) {
		m->cap = len * 2;
		m->p = must(realloc(m->p, m->cap));
	}
	if (len > m->len)
		memset(m->p + m->len, 0, len - m->len);
	m->len = len;
}

static void
image_write(struct image *m, size_t at, const unsigned char *p, size_t len)
{
	if (m->len < at + len)
		image_size(m, at + len);
	if (len > 0)
		memcpy(m->p + at, p, len);
}

static void
apply(struct image *m, const struct op *op)
{
	if (op->truncates)
		image_size(m, op->at);
	else
		image_write(m, op->at, op->p, op->len);
}

/*
 * A piece of it.  SQLite counts on writes that go from one end to the other and leave
 * alone what lies beside them; where the file was shorter before, its new size may come
 * without the content: zeros, or rubbish.
 */
static void
apply_torn(struct image *m, const struct op *op, size_t before)
{
	unsigned char *p;
	size_t len = op->len, at = op->at;

	if (op->truncates) {
		if (rnd(2))
			apply(m, op);
		return;
	}
	switch (rnd(4)) {
	case 0:
		image_write(m, at, op->p, rnd(len + 1));
		break;
	case 1:
		len = (at + rnd(len + 1)) / SECTOR * SECTOR;
		if (len > at)
			image_write(m, at, op->p, len - at);
		break;
	default:
		if (at < before)
			at = before;
		if (at >= op->at + len)
			break;
		len -= at - op->at;
		p = must(calloc(1, len));
		if (rnd(2))
			for (size_t i = 0; i < len; i++)
				p[i] = (unsigned char)rnd(256);
		image_write(m, at, p, len);
		free(p);
	}
}

static void
drop_ops(struct disk *d, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(d->ops[i].p);
	d->n -= n;
	if (d->n > 0)
		memmove(d->ops, d->ops + n, d->n * sizeof(*d->ops));
}

static void
add_op(struct disk *d, bool truncates, size_t at, const void *p, size_t len)
{
	struct op *op;

	if (d->n == d->cap) {
		d->cap = d->cap == 0 ? 64 : d->cap * 2;
		d->ops = must(realloc(d->ops, d->cap * sizeof(*d->ops)));
	}
	op = &d->ops[d->n++];
	*op = (struct op){ .truncates = truncates, .at = at, .len = len };
	if (!truncates)
		op->p = memcpy(must(malloc(len + 1)), p, len);
}

static struct disk *
disk_of(const char *path)
{
	struct disk *d;

	for (d = disks; d != NULL; d = d->next)
		if (d->there && strcmp(d->path, path) == 0)
			return d;
	return NULL;
}

static struct disk *
disk_new(const char *path)
{
	struct disk *d = must(calloc(1, sizeof(*d)));

	d->path = must(strdup(path));
	d->there = true;
	d->next = disks;
	disks = d;
	return d;
}

static void
disk_free(struct disk *d)
{
	drop_ops(d, d->n);
	free(d->ops);
	free(d->kept.p);
	free(d->path);
	free(d);
}

/* The folder was synced: names are what they are. */
static int
watch_directory(const char *path, int *fd)
{
	enter();
	for (struct disk *d = disks; d != NULL; d = d->next)
		d->named = d->there;
	return leave(open_directory(path, fd));
}

/* What the power cut leaves of a file. */
static void
crash(struct disk *d)
{
	size_t all, before = d->kept.len;

	switch (rnd(5)) {
	case 0:
		break;
	case 1:
		for (size_t i = 0; i < d->n; i++)
			apply(&d->kept, &d->ops[i]);
		break;
	case 2:
		all = rnd(d->n + 1);
		for (size_t i = 0; i < all; i++)
			apply(&d->kept, &d->ops[i]);
		if (all < d->n)
			apply_torn(&d->kept, &d->ops[all], before);
		break;
	case 3:
		for (size_t i = 0; i < d->n; i++)
			if (rnd(2))
				apply(&d->kept, &d->ops[i]);
		break;
	default:
		for (size_t i = 0; i < d->n; i++)
			switch (rnd(3)) {
			case 0:
				apply(&d->kept, &d->ops[i]);
				break;
			case 1:
				apply_torn(&d->kept, &d->ops[i], before);
				break;
			}
	}
}

static void
put_file(const struct disk *d)
{
	size_t done = 0;
	ssize_t n;
	int fd;

	if ((fd = open(d->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640)) == -1)
		abort();
	for (; done < d->kept.len; done += (size_t)n)
		if ((n = write(fd, d->kept.p + done, d->kept.len - done)) <= 0)
			abort();
	close(fd);
}

static void
remove_beside(const char *db, const char *end)
{
	char name[512];

	snprintf(name, sizeof(name), "%s%s", db, end);
	(void)unlink(name);
}

/* --- files --- */

static struct vfs_file *
of(sqlite3_file *f)
{
	return (struct vfs_file *)(void *)f;
}

static int
file_close(sqlite3_file *base)
{
	struct vfs_file *f = of(base);
	int rc = f->real->pMethods->xClose(f->real);

	free(f->path);
	return rc;
}

static int
file_read(sqlite3_file *base, void *p, int n, sqlite3_int64 at)
{
	struct vfs_file *f = of(base);
	int rc;

	enter();
	if ((rc = trial(VFS_READ, f->path)) == SQLITE_OK)
		rc = f->real->pMethods->xRead(f->real, p, n, at);
	return leave(rc);
}

static void
note_writer(const struct vfs_file *f)
{
	pthread_t me = pthread_self();

	for (size_t i = 0; i < nwriters; i++)
		if (writers[i].disk == f->disk &&
		    writers[i].handle == f->handle &&
		    pthread_equal(writers[i].thread, me))
			return;
	if (nwriters < WRITERS_MAX)
		writers[nwriters++] = (struct writer){ f->disk, f->handle, me };
}

static int
file_write(sqlite3_file *base, const void *p, int n, sqlite3_int64 at)
{
	struct vfs_file *f = of(base);
	int rc;

	enter();
	rc = trial(VFS_WRITE, f->path);
	if (rc == SQLITE_FULL)
		n /= 2;		/* as much as there was room for */
	else if (rc != SQLITE_OK)
		return leave(rc);
	if (n > 0 && f->real->pMethods->xWrite(f->real, p, n, at) != SQLITE_OK)
		abort();
	if (f->disk != NULL && n > 0) {
		note_writer(f);
		add_op(f->disk, false, (size_t)at, p, (size_t)n);
	}
	return leave(rc);
}

static int
file_truncate(sqlite3_file *base, sqlite3_int64 size)
{
	struct vfs_file *f = of(base);
	int rc;

	enter();
	if ((rc = trial(VFS_TRUNCATE, f->path)) == SQLITE_OK &&
	    (rc = f->real->pMethods->xTruncate(f->real, size)) == SQLITE_OK &&
	    f->disk != NULL) {
		note_writer(f);
		add_op(f->disk, true, (size_t)size, NULL, 0);
	}
	return leave(rc);
}

#define PIECE	65536		/* the default VFS takes no more than twice that */

static size_t
piece(size_t at, size_t len)
{
	return len - at < PIECE ? len - at : PIECE;
}

static void
fail_sync(struct vfs_file *f)
{
	const struct image *m = &f->disk->kept;
	struct disk *d = f->disk;

	for (size_t i = 0; i < d->n; i++)
		if (loss == VFS_REACHED || (loss == VFS_EITHER && rnd(2)))
			apply(&d->kept, &d->ops[i]);
	drop_ops(d, d->n);
	if (loss != VFS_FORGOTTEN)
		return;
	if (f->real->pMethods->xTruncate(f->real, 0) != SQLITE_OK)
		abort();
	for (size_t at = 0; at < m->len; at += piece(at, m->len))
		if (f->real->pMethods->xWrite(f->real, m->p + at,
		    (int)piece(at, m->len), (sqlite3_int64)at) != SQLITE_OK)
			abort();
}

static int
file_sync(sqlite3_file *base, int flags)
{
	struct vfs_file *f = of(base);
	struct timespec nap = { 0 };
	size_t n;
	int rc;

	enter();
	if ((rc = trial(VFS_SYNC, f->path)) != SQLITE_OK) {
		if (!is_cut && f->disk != NULL)
			fail_sync(f);
		return leave(rc);
	}
	if (f->disk == NULL)
		return leave(SQLITE_OK);
	n = f->disk->n;
	if (sync_delay_ms > 0) {
		nap.tv_sec = sync_delay_ms / 1000;
		nap.tv_nsec = (long)(sync_delay_ms % 1000) * 1000000;
		(void)leave(0);
		nanosleep(&nap, NULL);
		enter();
		if (is_cut)
			return leave(SQLITE_IOERR_FSYNC);
	}
	if (!f->disk->named && (rc = f->real->pMethods->xSync(f->real,
	    flags)) != SQLITE_OK)
		return leave(rc);
	for (size_t i = 0; i < n; i++)
		apply(&f->disk->kept, &f->disk->ops[i]);
	drop_ops(f->disk, n);
	return leave(SQLITE_OK);
}

static int
file_size(sqlite3_file *base, sqlite3_int64 *size)
{
	struct vfs_file *f = of(base);
	int rc;

	enter();
	if ((rc = trial(VFS_SIZE, f->path)) == SQLITE_OK)
		rc = f->real->pMethods->xFileSize(f->real, size);
	return leave(rc);
}

static int
file_lock(sqlite3_file *base, int level)
{
	struct vfs_file *f = of(base);
	int rc;

	enter();
	if ((rc = trial(VFS_LOCK, f->path)) == SQLITE_OK)
		rc = f->real->pMethods->xLock(f->real, level);
	return leave(rc);
}

static int
file_unlock(sqlite3_file *base, int level)
{
	return of(base)->real->pMethods->xUnlock(of(base)->real, level);
}

static int
file_check_lock(sqlite3_file *base, int *out)
{
	return of(base)->real->pMethods->xCheckReservedLock(of(base)->real, out);
}

static int
file_control(sqlite3_file *base, int op, void *arg)
{
	return of(base)->real->pMethods->xFileControl(of(base)->real, op, arg);
}

static int
file_sector_size(sqlite3_file *base)
{
	return of(base)->real->pMethods->xSectorSize(of(base)->real);
}

static int
file_character(sqlite3_file *base)
{
	return of(base)->real->pMethods->xDeviceCharacteristics(of(base)->real);
}

static int
file_shm_map(sqlite3_file *base, int page, int size, int extend,
    void volatile **out)
{
	struct vfs_file *f = of(base);
	int rc;

	enter();
	if ((rc = trial(VFS_SHM_MAP, f->path)) == SQLITE_OK)
		rc = f->real->pMethods->xShmMap(f->real, page, size, extend, out);
	return leave(rc);
}

static int
file_shm_lock(sqlite3_file *base, int offset, int n, int flags)
{
	struct vfs_file *f = of(base);
	int rc = SQLITE_OK;

	enter();
	if (flags & SQLITE_SHM_LOCK)	/* giving back does not fail */
		rc = trial(VFS_SHM_LOCK, f->path);
	if (rc == SQLITE_OK)
		rc = f->real->pMethods->xShmLock(f->real, offset, n, flags);
	return leave(rc);
}

static void
file_shm_barrier(sqlite3_file *base)
{
	of(base)->real->pMethods->xShmBarrier(of(base)->real);
}

static int
file_shm_unmap(sqlite3_file *base, int delete)
{
	return of(base)->real->pMethods->xShmUnmap(of(base)->real, delete);
}

static const sqlite3_io_methods methods = {
	.iVersion = 2,		/* no mapping of files: every byte passes here */
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_unlock,
	.xCheckReservedLock = file_check_lock,
	.xFileControl = file_control,
	.xSectorSize = file_sector_size,
	.xDeviceCharacteristics = file_character,
	.xShmMap = file_shm_map,
	.xShmLock = file_shm_lock,
	.xShmBarrier = file_shm_barrier,
	.xShmUnmap = file_shm_unmap,
};

/* --- the VFS --- */

static struct disk *
find_disk(struct vfs_file *f)
{
	struct disk *d;
	sqlite3_int64 size = 0;

	if ((d = disk_of(f->path)) != NULL)
		return d;
	d = disk_new(f->path);
	if (f->real->pMethods->xFileSize(f->real, &size) != SQLITE_OK)
		abort();
	if (size == 0)		/* made just now, by whomever */
		return d;
	d->named = true;
	image_size(&d->kept, (size_t)size);
	for (size_t at = 0; at < d->kept.len; at += piece(at, d->kept.len))
		if (f->real->pMethods->xRead(f->real, d->kept.p + at,
		    (int)piece(at, d->kept.len), (sqlite3_int64)at) != SQLITE_OK)
			abort();
	return d;
}

static int
vfs_open(sqlite3_vfs *v, const char *name, sqlite3_file *base, int flags, int *out)
{
	struct vfs_file *f = of(base);
	int rc;

	(void)v;
	memset(f, 0, sizeof(*f));
	f->real = (sqlite3_file *)(void *)(f + 1);
	enter();
	if ((rc = trial(VFS_OPEN, name != NULL ? name : "")) != SQLITE_OK)
		return leave(rc);
	rc = under->xOpen(under, name, f->real, flags, out);
	if (rc != SQLITE_OK)
		return leave(rc);
	f->path = must(strdup(name != NULL ? name : ""));
	f->handle = ++handles;
	opened += (flags & SQLITE_OPEN_MAIN_DB) != 0;
	if (name != NULL && flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL |
	    SQLITE_OPEN_MAIN_JOURNAL))
		f->disk = find_disk(f);
	f->base.pMethods = &methods;
	return leave(SQLITE_OK);
}

static int
vfs_delete(sqlite3_vfs *v, const char *name, int sync_folder)
{
	struct disk *d;
	int rc;

	(void)v;
	enter();
	if ((rc = trial(VFS_DELETE, name)) != SQLITE_OK)
		return leave(rc);
	if ((d = disk_of(name)) != NULL)
		d->there = false;
	rc = under->xDelete(under, name, sync_folder);
	if (rc != SQLITE_OK && rc != SQLITE_IOERR_DELETE_NOENT && d != NULL)
		d->there = true;
	return leave(rc);
}

static int
vfs_access(sqlite3_vfs *v, const char *name, int flags, int *out)
{
	int rc;

	(void)v;
	enter();
	if ((rc = trial(VFS_ACCESS, name)) == SQLITE_OK)
		rc = under->xAccess(under, name, flags, out);
	return leave(rc);
}

void
vfs_install(void)
{
	pthread_mutexattr_t recursive;

	if (under != NULL)
		return;
	pthread_mutexattr_init(&recursive);
	pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&lock, &recursive);
	under = must(sqlite3_vfs_find(NULL));
	open_directory = (int (*)(const char *, int *))(void (*)(void))
	    under->xGetSystemCall(under, "openDirectory");
	if (open_directory == NULL || under->xSetSystemCall(under, "openDirectory",
	    (sqlite3_syscall_ptr)(void (*)(void))watch_directory) != SQLITE_OK)
		abort();
	shim = *under;
	shim.iVersion = 2;
	shim.pNext = NULL;
	shim.zName = "fault";
	shim.szOsFile = (int)sizeof(struct vfs_file) + under->szOsFile;
	shim.xOpen = vfs_open;
	shim.xDelete = vfs_delete;
	shim.xAccess = vfs_access;
	if (sqlite3_vfs_register(&shim, 1) != SQLITE_OK)
		abort();
	vfs_reset(1);
}

void
vfs_reset(uint64_t seed)
{
	struct disk *d;

	enter();
	while ((d = disks) != NULL) {
		disks = d->next;
		disk_free(d);
	}
	rnd_state = seed * 2654435761u + 88172645463325252u;
	is_cut = false;
	changes_left = 0;
	sync_delay_ms = 0;
	nwriters = 0;
	opened = 0;
	vfs_heal();
	(void)leave(0);
}

void
vfs_fail(const struct vfs_fault *f)
{
	enter();
	fault = *f;
	fault_seen = fault_hits = 0;
	(void)leave(0);
}

void
vfs_heal(void)
{
	enter();
	fault = (struct vfs_fault){ .file = "" };
	(void)leave(0);
}

uint64_t
vfs_seen(void)
{
	uint64_t n;

	enter();
	n = fault_seen;
	(void)leave(0);
	return n;
}

uint64_t
vfs_hits(void)
{
	uint64_t n;

	enter();
	n = fault_hits;
	(void)leave(0);
	return n;
}

const char *
vfs_struck(void)
{
	return fault_said;
}

void
vfs_delay_syncs(int ms)
{
	enter();
	sync_delay_ms = ms;
	(void)leave(0);
}

void
vfs_cut_power(uint64_t nth)
{
	enter();
	changes_left = nth;
	is_cut = nth == 0;
	(void)leave(0);
}

bool
vfs_power_is_cut(void)
{
	bool cut;

	enter();
	cut = is_cut;
	(void)leave(0);
	return cut;
}

void
vfs_power_on(void)
{
	struct disk **at, *d, *o;

	enter();
	/* A folder that was not synced is as it was, or as it had become. */
	for (d = disks; d != NULL; d = d->next)
		if (d->there != d->named && rnd(2)) {
			for (o = disks; o != NULL; o = o->next)
				if (strcmp(o->path, d->path) == 0)
					o->named = o->there;
		}
	for (d = disks; d != NULL; d = d->next)
		if (d->there) {
			(void)unlink(d->path);
			if (ends_with(d->path, ".db"))
				remove_beside(d->path, "-shm");	/* is memory */
		}
	for (at = &disks; (d = *at) != NULL;) {
		if (!d->named) {
			*at = d->next;
			disk_free(d);
			continue;
		}
		crash(d);
		drop_ops(d, d->n);
		put_file(d);
		d->there = true;
		at = &d->next;
	}
	is_cut = false;
	changes_left = 0;
	vfs_heal();
	(void)leave(0);
}

uint64_t
vfs_opened(void)
{
	uint64_t n;

	enter();
	n = opened;
	(void)leave(0);
	return n;
}

void
vfs_watch_writers(void)
{
	enter();
	nwriters = 0;
	(void)leave(0);
}

void
vfs_writers(const char *file, size_t *nhandles, size_t *threads)
{
	bool same_handle, same_thread;

	*nhandles = *threads = 0;
	enter();
	for (size_t i = 0; i < nwriters; i++) {
		if (!ends_with(writers[i].disk->path, file))
			continue;
		same_handle = same_thread = false;
		for (size_t k = 0; k < i; k++) {
			if (!ends_with(writers[k].disk->path, file))
				continue;
			same_handle |= writers[k].handle == writers[i].handle;
			same_thread |= pthread_equal(writers[k].thread,
			    writers[i].thread) != 0;
		}
		*nhandles += !same_handle;
		*threads += !same_thread;
	}
	(void)leave(0);
}
