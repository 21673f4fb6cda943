/*
 * store.c - opening the log: the lock, the schema, the epoch; and closing it.
 *
 * What can be wrong with a database is found here, before anybody listens: another
 * process, a file that is no database, one of somebody else's, one from a newer
 * fanfare, no permission.
 */
#include "config.h"

#include "store.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "store_internal.h"

#define FAULT_SIZE	256

static int
note_wal(void *arg, sqlite3 *h, const char *name, int pages)
{
	struct store *st = arg;

	(void)h, (void)name;
	st->n_wal = (uint64_t)pages;
	return SQLITE_OK;
}

/* The last one will do. */
static void
note_fault(void *arg, const char *text)
{
	(void)snprintf(arg, FAULT_SIZE, "%s", text);
}

int
store_open_writer(struct store *st, char *err, size_t err_size)
{
	char fault[FAULT_SIZE];
	int fd;

	/*
	 * Made by us so that strangers cannot read it; the files beside it take over
	 * its mode.  If it cannot be made SQLite says why.  One that exists is not
	 * opened: closing it again would drop the locks of SQLite's own descriptors.
	 */
	if (!st->is_ours && (fd = open(st->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
	    0640)) != -1)
		close(fd);
	/* One that is opened again is never made anew. */
	if (sqlite3_open_v2(st->path, &st->w.h, SQLITE_OPEN_READWRITE |
	    (st->is_ours ? 0 : SQLITE_OPEN_CREATE) | SQLITE_OPEN_NOMUTEX,
	    NULL) != SQLITE_OK ||
	    sqlite3_db_readonly(st->w.h, "main") == 1) {
		snprintf(err, err_size, "%s: cannot open for writing: %s",
		    st->path, st->w.h == NULL ? "no memory" :
		    sqlite3_errcode(st->w.h) == SQLITE_OK ?
		    "the file or its folder is read-only" :
		    sqlite3_errmsg(st->w.h));
		goto fail;
	}
	(void)sqlite3_busy_timeout(st->w.h, BUSY_MS);
	(void)sqlite3_db_config(st->w.h, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	if (store_identify(&st->w, st->path, err, err_size) == -1)
		goto fail;
	if (store_compare(&st->w, note_fault, fault) > 0) {
		snprintf(err, err_size, "%s: %s%s", st->path, fault, DAMAGED);
		goto fail;
	}
	st->is_ours = true;
	if (db_exec(&st->w, "PRAGMA journal_mode = WAL") != SQLITE_OK) {
		snprintf(err, err_size, "%s: %s", st->path,
		    sqlite3_errmsg(st->w.h));
		goto fail;
	}
	/* secure_delete would write zeros over all that is pruned; nothing here is
	 * more secret than what stands beside it. */
	if (db_exec(&st->w, st->conf.sync_full ? "PRAGMA synchronous = FULL" :
	    "PRAGMA synchronous = NORMAL") != SQLITE_OK ||
	    db_exec(&st->w, "PRAGMA secure_delete = OFF;"
	    "PRAGMA cache_size = -32768; PRAGMA temp_store = MEMORY;"
	    "PRAGMA journal_size_limit = 67108864") != SQLITE_OK) {
		snprintf(err, err_size, "%s: %s", st->path,
		    sqlite3_errmsg(st->w.h));
		goto fail;
	}
	(void)sqlite3_wal_autocheckpoint(st->w.h, 0);	/* before the hook: same slot */
	(void)sqlite3_wal_hook(st->w.h, note_wal, st);
	if (st->is_full)
		space_limit(st);
	return 0;

fail:
	db_close(&st->w);
	return -1;
}

static int
open_epoch(struct store *st, char *err, size_t err_size)
{
	uint32_t epoch = (uint32_t)clock_random(UINT32_MAX) + 1;
	struct epoch *grown;

	for (size_t i = 0; i < st->nepochs; i++)
		if (st->epochs[i].epoch == epoch)
			return open_epoch(st, err, err_size);
	if ((grown = realloc(st->epochs, (st->nepochs + 1) *
	    sizeof(*grown))) == NULL) {
		snprintf(err, err_size, "out of memory");
		return -1;
	}
	st->epochs = grown;
	st->epochs[st->nepochs].epoch = epoch;
	st->epochs[st->nepochs].first_seq = st->next_seq;
	st->nepochs++;
	if (db_run(&st->w, S_epoch_insert, 3, (int64_t)epoch,
	    (int64_t)st->next_seq, clock_wall_ms()) != SQLITE_DONE ||
	    db_run(&st->w, S_epoch_trim, 2, (int64_t)EPOCHS_KEPT,
	    (int64_t)st->oldest) != SQLITE_DONE) {
		snprintf(err, err_size, "%s: cannot write: %s", st->path,
		    sqlite3_errmsg(st->w.h));
		st->nepochs--;
		return -1;
	}
	return 0;
}

static int
open_log(struct store *st, char *err, size_t err_size)
{
	return store_load(st, err, err_size) == -1 ||
	    open_epoch(st, err, err_size) == -1 ? -1 : 0;
}

/* The lock is a file of its own: SQLite's belong to SQLite. */
static int
take_lock(struct store *st, char *err, size_t err_size)
{
	const struct timespec nap = { .tv_nsec = 20 * 1000000L };
	char name[4096], pid[32];
	int rc, tries = 5;
	ssize_t n;

	snprintf(name, sizeof(name), "%s.lock", st->path);
	if ((st->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0640)) == -1) {
		snprintf(err, err_size, "%s: %s; store.path must lie in a folder "
		    "that fanfare may write", name, strerror(errno));
		return -1;
	}
	/* A tool that asks whether somebody has it holds it for a moment. */
	while ((rc = flock(st->lock_fd, LOCK_EX | LOCK_NB)) == -1 && tries-- > 0)
		(void)nanosleep(&nap, NULL);
	if (rc == -1) {
		n = pread(st->lock_fd, pid, sizeof(pid) - 1, 0);
		pid[n > 0 ? n : 0] = '\0';
		pid[strcspn(pid, "\n")] = '\0';
		snprintf(err, err_size, "%s: in use by another fanfare (process %s)"
		    "; stop it or give this one a store.path of its own",
		    st->path, pid[0] != '\0' ? pid : "unknown");
		close(st->lock_fd);
		st->lock_fd = -1;
		return -1;
	}
	n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
	/* Only a message depends on it; and what was kept back is free (store_space.c). */
	if (ftruncate(st->lock_fd, 0) == -1 ||
	    pwrite(st->lock_fd, pid, (size_t)n, 0) != n)
		log_warn("store: write %s", name);
	return 0;
}

struct store *
store_open(const struct store_conf *conf, char *err, size_t err_size)
{
	struct store *st;
	struct stat sb;
	bool damaged;
	int wal, rc;

	if ((st = calloc(1, sizeof(*st))) == NULL) {
		snprintf(err, err_size, "out of memory");
		return NULL;
	}
	st->conf = *conf;
	if (st->conf.checkpoint_pages == 0)
		st->conf.checkpoint_pages = WAL_PAGES_CHECKPOINT;
	if (st->conf.retry_ms == 0)
		st->conf.retry_ms = RETRY_MS;
	st->lock_fd = -1;
	st->next_seq = 1;
	TAILQ_INIT(&st->lru);
	TAILQ_INIT(&st->late);
	TAILQ_INIT(&st->idems);
	st->queue_tail = &st->queue;
	st->jobs_tail = &st->jobs;
	(void)pthread_mutex_init(&st->lock, NULL);
	(void)pthread_mutex_init(&st->queue_lock, NULL);
	(void)pthread_mutex_init(&st->read_lock, NULL);
	(void)pthread_cond_init(&st->queue_cond, NULL);
	(void)pthread_cond_init(&st->read_cond, NULL);
	(void)pthread_cond_init(&st->held_cond, NULL);
	st->held = true;		/* until the reader runs */
	if ((st->path = strdup(conf->path)) == NULL ||
	    (st->marks = map_new()) == NULL ||
	    (st->marks_by_id = map_new()) == NULL ||
	    (st->idem = map_new()) == NULL ||
	    (st->cache = cache_new((size_t)(conf->max_page_bytes_total /
	    CACHE_PART))) == NULL) {
		snprintf(err, err_size, "out of memory");
		goto fail;
	}
	if (stat(st->path, &sb) == 0 && !S_ISREG(sb.st_mode)) {
		snprintf(err, err_size, "%s: not a regular file; store.path "
		    "names the database file itself", st->path);
		goto fail;
	}
	if (take_lock(st, err, err_size) == -1)
		goto fail;
	/* With durability normal a lost end is what was chosen. */
	if ((wal = wal_check(st->path, err, err_size)) < 0) {
		if (wal == -2 || conf->sync_full)
			goto fail;
		log_warnx("store: %s", err);
	}
	if (store_open_writer(st, err, err_size) == -1)
		goto fail;
	/* Or the remains of several crashes would look like damage one day. */
	if (wal != 0 && sqlite3_wal_checkpoint_v2(st->w.h, NULL,
	    SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) != SQLITE_OK)
		log_warnx("store: %s: checkpoint: %s", st->path,
		    sqlite3_errmsg(st->w.h));
	if (store_migrate(&st->w, st->path, err, err_size) == -1)
		goto fail;
	if ((st->epochs = store_epochs(&st->w, &st->nepochs, &damaged)) == NULL) {
		snprintf(err, err_size, "%s: %s%s", st->path, damaged ?
		    "its epochs do not rise" : sqlite3_errmsg(st->w.h),
		    damaged || db_is_damaged(&st->w) ? DAMAGED : "");
		goto fail;
	}
	/* On a full disk there is room in the WAL, once it begins anew. */
	if (open_log(st, err, err_size) == -1 &&
	    (sqlite3_errcode(st->w.h) != SQLITE_FULL ||
	    sqlite3_wal_checkpoint_v2(st->w.h, NULL, SQLITE_CHECKPOINT_RESTART,
	    NULL, NULL) != SQLITE_OK || open_log(st, err, err_size) == -1))
		goto fail;
	/* Whoever made the files may have ended before their names were durable. */
	if ((rc = db_sync_folder(st->path)) != SQLITE_OK && rc != SQLITE_FULL) {
		snprintf(err, err_size, "%s: its folder cannot be synced: %s", st->path,
		    sqlite3_errstr(rc));
		goto fail;
	}
	space_reserve(st);
	if (!st->has_reserve)
		space_release(st);
	st->head = st->next_seq - 1;
	return st;

fail:
	store_close(st);
	return NULL;
}

struct frame *
store_row_frame(struct store *st, sqlite3_stmt *s, uint64_t seq,
    const char *topic, size_t topic_len, bool *damaged)
{
	char id[EVENT_ID_SIZE];
	struct frame *f;
	struct row r;

	row_read(s, &r);
	r.id = store_id_of(st, seq);
	r.topic = topic;
	r.topic_len = topic_len;
	*damaged = false;
	/* SQLite says "no memory" with a NULL, too. */
	if (sqlite3_errcode(sqlite3_db_handle(s)) == SQLITE_NOMEM)
		return NULL;
	if ((*damaged = topic == NULL || !row_is_whole(&r, st->summed))) {
		(void)event_id_format(id, r.id);
		log_warnx("store: %s: event %s is damaged and counts as lost; "
		    "\"fanfare verify\" says more", st->path, id);
		return NULL;
	}
	if ((f = frame_new(topic, topic_len, r.name, r.name_len, r.data, r.data_len,
	    (unsigned int)r.flags)) != NULL)
		frame_stamp(f, r.id, r.prev, r.nth, r.time);
	return f;
}

int
store_load_tail(struct store *st, size_t max_bytes, void (*sink)(void *arg,
    struct frame **frames, size_t n, uint64_t floor), void *arg)
{
	struct frame **v = NULL, **grown, *f;
	size_t n = 0, cap = 0, left = max_bytes;
	uint64_t floor = st->head;
	bool damaged = false;
	sqlite3_stmt *q;
	int rc;

	if ((q = db_stmt(&st->w, S_event_newest)) == NULL)
		return -1;
	(void)sqlite3_bind_int64(q, 1, INT64_MAX);
	while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
		f = store_row_frame(st, q, (uint64_t)sqlite3_column_int64(q, 7),
		    (const char *)sqlite3_column_text(q, 8),
		    (size_t)sqlite3_column_bytes(q, 8), &damaged);
		if (f != NULL && n == cap) {
			cap = cap == 0 ? 1024 : cap * 2;
			if ((grown = realloc(v,
			    cap * sizeof(struct frame *))) != NULL)
				v = grown;
			else {
				frame_unref(f);
				f = NULL;
			}
		}
		if (f == NULL || f->bytes > left) {
			rc = f != NULL || damaged ? SQLITE_DONE : SQLITE_NOMEM;
			frame_unref(f);
			break;
		}
		left -= f->bytes;
		v[n++] = f;
	}
	(void)sqlite3_reset(q);
	if (rc != SQLITE_DONE)
		log_warnx("store: %s: load the newest events: %s", st->path,
		    sqlite3_errstr(rc));
	/* Everything above the floor is in, whatever became of the rest. */
	if (n > 0)
		floor = v[n - 1]->id.seq - 1;
	for (size_t i = 0; i < n / 2; i++) {
		f = v[i];
		v[i] = v[n - 1 - i];
		v[n - 1 - i] = f;
	}
	sink(arg, v, n, floor);
	free(v);
	return rc == SQLITE_DONE ? 0 : -1;
}

int
store_start(struct store *st, const struct store_hooks *hooks)
{
	st->hooks = *hooks;
	if ((errno = pthread_create(&st->writer, NULL, writer_main, st)) != 0) {
		log_warn("store: start the writer");
		return -1;
	}
	if ((errno = pthread_create(&st->reader, NULL, reader_main, st)) != 0) {
		log_warn("store: start the reader");
		pthread_mutex_lock(&st->queue_lock);
		st->stopping = true;
		pthread_cond_signal(&st->queue_cond);
		pthread_mutex_unlock(&st->queue_lock);
		(void)pthread_join(st->writer, NULL);
		return -1;
	}
	st->started = true;
	return 0;
}

void
store_stop(struct store *st)
{
	if (!st->started)
		return;
	st->started = false;
	pthread_mutex_lock(&st->read_lock);
	st->read_stopping = true;
	pthread_cond_signal(&st->read_cond);
	pthread_mutex_unlock(&st->read_lock);
	pthread_mutex_lock(&st->queue_lock);
	st->stopping = true;
	pthread_cond_signal(&st->queue_cond);
	pthread_mutex_unlock(&st->queue_lock);
	(void)pthread_join(st->reader, NULL);
	(void)pthread_join(st->writer, NULL);
}

void
store_close(struct store *st)
{
	if (st == NULL)
		return;
	assert(!st->started);
	if (st->w.h != NULL && st->is_ours && st->trouble == NULL &&
	    sqlite3_wal_checkpoint_v2(st->w.h, NULL, SQLITE_CHECKPOINT_TRUNCATE,
	    NULL, NULL) != SQLITE_OK)
		log_warnx("store: %s: the last checkpoint: %s; the next start does it",
		    st->path, sqlite3_errmsg(st->w.h));
	db_close(&st->w);
	if (st->marks != NULL && st->marks_by_id != NULL)
		marks_clear(st);
	if (st->idem != NULL)
		idem_clear(st);
	map_free(st->marks);
	map_free(st->marks_by_id);
	map_free(st->idem);
	cache_free(st->cache);
	free(st->segs);
	free(st->front);
	free(st->epochs);
	if (st->lock_fd != -1)
		close(st->lock_fd);
	free(st->path);
	free(st);
}

int
store_close_alone(struct store *st)
{
	bool alone;

	assert(!st->started);
	/* In trouble the disk is not trusted with a checkpoint. */
	alone = st->trouble == NULL &&
	    db_exec(&st->w, "PRAGMA journal_mode = DELETE") == SQLITE_OK;
	if (!alone)
		log_warnx("store: %s: cannot be closed as a file alone: %s", st->path,
		    st->trouble != NULL ? st->trouble : sqlite3_errmsg(st->w.h));
	space_free(st);		/* no server may ever come */
	store_close(st);
	return alone ? 0 : -1;
}

struct event_id
store_head(const struct store *st)
{
	struct event_id id = {
		.epoch = st->epochs[st->nepochs - 1].epoch,
		.seq = atomic_load_explicit(&st->head, memory_order_acquire),
	};

	return id;
}

uint64_t
store_oldest(const struct store *st)
{
	return st->oldest;
}

bool
store_cursor_is_good(const struct store *st, struct event_id id)
{
	for (size_t i = st->nepochs; i-- > 0;) {
		if (st->epochs[i].epoch != id.epoch)
			continue;
		if (i + 1 < st->nepochs)
			return id.seq < st->epochs[i + 1].first_seq;
		return id.seq <= store_head(st).seq;
	}
	return false;
}

struct event_id
store_id_of(const struct store *st, uint64_t seq)
{
	struct event_id id = {
		.epoch = epoch_of(st->epochs, st->nepochs, seq), .seq = seq,
	};

	return id;
}

const char *
store_trouble(const struct store *st)
{
	return st->trouble;
}

void
store_stats(struct store *st, struct store_stats *out)
{
	*out = (struct store_stats) {
		.events = st->n_events,
		.bytes = st->n_bytes,
		.segments = st->n_segments,
		.oldest_seq = st->oldest,
		.pruned_seq = st->pruned,
		.forgotten_seq = st->forgotten,
		.commits = st->n_commits,
		.rows = st->n_rows,
		.duplicates = st->n_dups,
		.pruned_age = st->n_pruned[PRUNE_AGE],
		.pruned_topic = st->n_pruned[PRUNE_TOPIC],
		.pruned_bytes = st->n_pruned[PRUNE_BYTES],
		.last_prune_ms = st->last_prune_ms,
		.oldest_event = st->oldest_event,
		.oldest_ms = st->oldest_ms,
		.pages = st->n_pages,
		.wal_pages = st->n_wal,
		.queued_bytes = st->queue_bytes,
		.page_bytes = st->page_budget.bytes,
	};
	pthread_mutex_lock(&st->lock);
	out->topics_in_memory = map_count(st->marks);
	pthread_mutex_unlock(&st->lock);
}
