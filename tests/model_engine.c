/*
 * model_engine.c - the real log, hub, shards and sockets, driven by dice.
 *
 * One thread publishes, connects, reads, stalls, cuts and restarts, a step at a time;
 * the engine's threads run beside it as they like.  What a client is given is judged by
 * model.c after each read, and now and then everything waits until all that is owed has
 * come: so a seed that fails is likely to fail again.
 *
 * A power cut is a copy of the files, taken while nothing is being written, that is put
 * in their place after a stop; an older copy stands for a log that was rolled back.
 */
#include "config.h"

#include "model_engine.h"

#include <sys/socket.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <semaphore.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "hub.h"
#include "log.h"
#include "metrics.h"
#include "model.h"
#include "store.h"
#include "suite.h"

#define CLIENTS		10
#define KEYS		64
#define BURST		6		/* publishes under way at once */
#define MANY		3		/* in how many of them lie ... */
#define WAL_QUIET	1000		/* pages: the log does not copy itself yet */

struct key {
	uint32_t	 key, content;
	uint64_t	 first, n;
};

/* A publish under way. */
struct post {
	struct append	 a;
	struct frame	*frames[1000];
	struct fact	 facts[1000];
	sem_t		*done;
};

static char dir[64], path[96];
static struct store *st;
static struct hub *hub;
static struct store_conf sconf;
static struct hub_conf hconf;
static struct truth truth, saved;
static bool is_saved;
static struct key keys[KEYS];
static size_t nkeys, saved_nkeys;
static struct client clients[CLIENTS];
static struct post posts[BURST];
static uint32_t state, salt, hot;	/* hot: so many topics are published to */
static int patience_ms;
static bool drains;

static uint32_t
rnd(uint32_t n)
{
	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return (uint32_t)(((uint64_t)state * n) >> 32);
}

/* --- the engine --- */

/* Is a reader that stalls, or that we are too busy to be, cut off in this round? */
static bool
may_stall(void)
{
	return hconf.stall_ms < patience_ms;
}

static void
look_at_log(void)
{
	uint64_t oldest = store_oldest(st);

	if (truth.pruned_below < oldest)
		truth.pruned_below = oldest;
}

static void
open_engine(void)
{
	struct store_hooks hooks = { .committed = hub_publish };
	struct id epoch;
	char err[512] = "";

	if ((st = store_open(&sconf, err, sizeof(err))) == NULL)
		wrong(-1, "%s", err);
	hconf.store = st;
	hub = hub_new(&hconf);
	ck_assert_ptr_nonnull(hub);
	hooks.arg = hub;
	ck_assert_int_eq(hub_start(hub), 0);
	ck_assert_int_eq(store_start(st, &hooks), 0);
	drains = false;
	if (store_head(st).seq != truth.head)
		wrong(-1, "acknowledged up to %" PRIu64 ", and the log ends at %" PRIu64,
		    truth.head, store_head(st).seq);
	epoch.epoch = store_head(st).epoch;
	epoch.seq = truth.head + 1;
	truth.epochs[truth.nepochs++] = epoch;
	trace(-1, "open: epoch %08" PRIx32 " begins at %" PRIu64, epoch.epoch, epoch.seq);
}

static void	read_client(struct client *c, size_t max);

static void
hang_up(struct client *c)
{
	close(c->fd);
	c->fd = -1;
}

/* Stop; what the sockets still hold is judged too. */
static void
close_engine(void)
{
	hub_stop(hub);
	store_stop(st);
	look_at_log();
	for (int i = 0; i < CLIENTS; i++)
		if (clients[i].fd != -1) {
			clients[i].draining = true;	/* its end needs no word */
			read_client(&clients[i], SIZE_MAX);
			if (clients[i].fd != -1)
				hang_up(&clients[i]);
		}
	hub_free(hub);
	store_close(st);
	hub = NULL;
	st = NULL;
}

/* Files of the log to or from their copies.  By another process: closing a file here
 * would drop the locks that SQLite holds on it. */
static void
copy_files(bool back)
{
	char line[512];

	snprintf(line, sizeof(line), back ?
	    "cd %s && rm -f log.db log.db-wal log.db-shm && cp saved.db log.db && "
	    "{ [ ! -f saved.db-wal ] || cp saved.db-wal log.db-wal; }" :
	    "cd %s && rm -f saved.db saved.db-wal && cp log.db saved.db && "
	    "{ [ ! -f log.db-wal ] || cp log.db-wal saved.db-wal; }", dir);
	ck_assert_int_eq(system(line), 0);
}

/* A copy of the log as a power cut would leave it now.  False: not now. */
static bool
save(void)
{
	struct store_stats stats;
	sqlite3 *db;
	bool quiet;

	ck_assert_int_eq(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL),
	    SQLITE_OK);
	(void)sqlite3_busy_timeout(db, patience_ms);
	(void)sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	/* The writer waits while this holds the lock. */
	ck_assert_int_eq(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL),
	    SQLITE_OK);
	store_stats(st, &stats);
	if ((quiet = stats.wal_pages < WAL_QUIET)) {
		copy_files(false);
		look_at_log();
		saved = truth;
		saved_nkeys = nkeys;
		is_saved = true;
	}
	(void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	(void)sqlite3_close(db);
	return quiet;
}

/* --- publishing --- */

static void
acknowledge(struct append *a)
{
	sem_post(a->owner);
}

static uint32_t
random_size(void)
{
	switch (rnd(20)) {
	case 0:
		return 1000 + rnd(8000);
	case 1:
		return rnd(4) == 0 ? 20000 + rnd(40000) : 3000;
	default:
		return rnd(150);
	}
}

static void
prepare(struct post *p, size_t n, int topic)
{
	struct append *a = &p->a;
	const char *data;
	struct fact *f;
	size_t len;

	memset(a, 0, sizeof(*a));
	for (size_t i = 0; i < n; i++) {
		f = &p->facts[i];
		*f = (struct fact){ .salt = ++salt, .size = n > 50 ? 10 : random_size(),
			.named = rnd(4) == 0, .json = rnd(4) == 0 };
		f->topic = topic >= 0 && rnd(3) != 0 ? topic : (int)rnd(hot);
		data = fact_data(f, &len);
		p->frames[i] = frame_new(model_topics[f->topic],
		    strlen(model_topics[f->topic]), "goal", f->named ? 4 : 0, data, len,
		    f->json ? EVENT_JSON : 0);
		a->bytes += p->frames[i]->bytes;
		(void)frame_ref(p->frames[i]);	/* to ask it for its time */
	}
	a->frames = p->frames;
	a->n = n;
	a->done = acknowledge;
	a->owner = p->done;
}

/* The answer to a publish is right, and now it is the truth. */
static void
record(struct post *p)
{
	struct append *a = &p->a;
	enum append_result want = APPEND_OK;
	uint32_t key, content;
	struct key *k = NULL;
	struct fact *f;

	memcpy(&key, a->key, sizeof(key));
	memcpy(&content, a->content, sizeof(content));
	for (size_t i = 0; i < nkeys && a->has_key; i++)
		if (keys[i].key == key)
			k = &keys[i];
	if (k != NULL)
		want = k->content == content && k->n == a->n ? APPEND_DUPLICATE :
		    APPEND_CONFLICT;
	if (a->result != want)
		wrong(-1, "a publish was answered %d, not %d", (int)a->result, (int)want);
	if (want == APPEND_DUPLICATE && (a->first.seq != k->first ||
	    a->first.epoch != truth.facts[k->first].epoch))
		wrong(-1, "a repeat of %" PRIu64 " was answered with %" PRIu64, k->first,
		    a->first.seq);
	if (want == APPEND_OK) {
		if (a->first.seq != truth.head + 1 ||
		    a->first.epoch != truth.epochs[truth.nepochs - 1].epoch)
			wrong(-1, "an event got %" PRIu64 " after %" PRIu64, a->first.seq,
			    truth.head);
		for (size_t i = 0; i < a->n; i++) {
			f = &truth.facts[++truth.head];
			*f = p->facts[i];
			f->epoch = a->first.epoch;
			f->nth = ++truth.nth[f->topic];
			f->wall_ms = p->frames[i]->wall_ms;
		}
		if (a->has_key && nkeys < KEYS)
			keys[nkeys++] = (struct key){ key, content, a->first.seq, a->n };
		trace(-1, "publish %" PRIu64 " to %" PRIu64 ": %s%s", a->first.seq,
		    truth.head, model_topics[p->facts[0].topic], a->n > 1 ? "..." : "");
	}
	for (size_t i = 0; i < a->n; i++)
		frame_unref(p->frames[i]);
}

static void
publish(size_t n_posts, size_t max_events)
{
	sem_t done;
	uint32_t id;
	size_t n;

	sem_init(&done, 0, 0);
	for (size_t i = 0; i < n_posts; i++) {
		n = rnd(MANY) == 0 ? 1 + rnd((uint32_t)max_events) : 1;
		posts[i].done = &done;
		id = 0;
		if (nkeys > 0 && rnd(12) == 0) {
			id = 1 + rnd((uint32_t)nkeys);
			n = keys[id - 1].n;
		}
		prepare(&posts[i], n, rnd(2) ? (int)rnd(hot) : -1);
		if (id > 0 || (nkeys + n_posts < KEYS && rnd(6) == 0)) {
			posts[i].a.has_key = true;
			if (id > 0 && rnd(4) != 0) {		/* a repeat */
				memcpy(posts[i].a.key, &keys[id - 1].key, 4);
				memcpy(posts[i].a.content, &keys[id - 1].content, 4);
			} else if (id > 0) {			/* of something else */
				memcpy(posts[i].a.key, &keys[id - 1].key, 4);
				memcpy(posts[i].a.content, &salt, 4);
			} else {
				memcpy(posts[i].a.key, &salt, 4);
				memcpy(posts[i].a.content, &salt, 4);
			}
		}
	}
	for (size_t i = 0; i < n_posts; i++)
		ck_assert_int_eq(store_append(st, &posts[i].a), 0);
	for (size_t i = 0; i < n_posts; i++)
		while (sem_wait(&done) == -1)
			;
	/* In the order of the log: as they were given. */
	for (size_t i = 0; i < n_posts; i++)
		record(&posts[i]);
	sem_destroy(&done);
}

/* --- clients --- */

static void
choose_page(struct client *c)
{
	static const char *const asks[][MODEL_NAMES] = {
		{ "a" }, { "n//9" }, { "a", "b", "c" }, { "a/1", "a/2" }, { "a/*" },
		{ "a/**" }, { "**" }, { "**" }, { "*" }, { "*/1", "b/2" },
		{ "a/*/x", "b/**" }, { "n/*", "a" },
		{ "n/0", "n/1", "n/2", "n/3", "n/4", "n/5", "n/6", "n/7", "n/8", "n//9" },
		{ "a", "a/**", "**" }, { "nobody/comes", "a/1/y" }, { "*/*/*" },
		{ "caf\303\251/\303\274", "nobody/*" }, { "b", "n/0", "c" },
	};
	size_t which = rnd(sizeof(asks) / sizeof(asks[0]));

	for (c->nnames = 0; c->nnames < MODEL_NAMES && asks[which][c->nnames] != NULL;
	    c->nnames++)
		c->names[c->nnames] = asks[which][c->nnames];
	client_sets_topics(c);
	c->replay = 0;
	c->since_ms = 0;
	switch (rnd(4)) {
	case 0:
		c->replay = 1 + rnd(30);
		break;
	case 1:
		c->since_ms = 1 + rnd(400);
		break;
	default:
		break;
	}
	c->envelope = rnd(4) == 0;
	c->beats = rnd(3) == 0;
	c->ngiven = 0;
}

/* A cursor for the next connection, and its text. */
static bool
choose_cursor(const struct client *c, struct id *id, char *text, size_t size)
{
	static const char *const odd[] = { "7", "-", "0000000g-1", "00000001-01",
		"6f3a9c2e-1042x" };
	size_t n = c->ngiven < MODEL_GIVEN ? c->ngiven : MODEL_GIVEN;

	*id = (struct id){ 0, 0 };
	switch (rnd(16)) {
	case 0:
		return false;
	case 1:
		snprintf(text, size, "%s", odd[rnd(5)]);
		return true;
	case 2:					/* beyond the end, or nowhere */
		id->epoch = truth.epochs[rnd((uint32_t)truth.nepochs)].epoch;
		id->seq = truth.head + rnd(3);
		break;
	case 15:				/* about where an epoch ends */
		n = rnd((uint32_t)truth.nepochs);
		id->epoch = truth.epochs[n].epoch;
		id->seq = (n + 1 < truth.nepochs ? truth.epochs[n + 1].seq :
		    truth.head + 1) - rnd(2);
		break;
	case 3:
		id->epoch = rnd(1000000);
		id->seq = rnd(100);
		break;
	case 4: case 5: case 6:			/* anywhere in what there is */
		id->epoch = truth.epochs[rnd((uint32_t)truth.nepochs)].epoch;
		id->seq = rnd((uint32_t)truth.head + 1);
		break;
	default:
		if (n == 0)
			return false;
		*id = c->given[rnd(3) == 0 ? rnd((uint32_t)n) :
		    (c->ngiven - 1) % MODEL_GIVEN];
	}
	snprintf(text, size, "%08" PRIx32 "-%" PRIu64, id->epoch, id->seq);
	return true;
}

/* As http_subscribe.c does it. */
static void
subscribe(struct client *c, const char *text, int64_t since_wall_ms, int fd)
{
	struct stream_ask ask = { .replay = c->replay, .since_ms = since_wall_ms,
		.envelope = c->envelope, .visible_heartbeat = c->beats };
	struct topic_name names[MODEL_NAMES];
	struct stream *s;
	struct event_id id;
	uint64_t upto;

	for (size_t i = 0; i < c->nnames; i++)
		names[i] = (struct topic_name){ strdup(c->names[i]),
			strlen(c->names[i]), false };
	ask.topics = topics_new(names, c->nnames);
	for (size_t i = 0; i < c->nnames; i++)
		free(names[i].p);
	if (text != NULL) {
		ask.has_cursor = true;
		snprintf(ask.requested, sizeof(ask.requested), "%s", text);
		if (event_id_parse(text, strlen(text), &id) == -1)
			ask.cursor_fault = GAP_UNKNOWN;
		else if (!store_cursor_is_good(st, id))
			ask.cursor_fault = GAP_RESET;
		else {
			ask.cursor_is_good = true;
			ask.cursor = id.seq;
			if (store_missed_nothing(st, ask.topics, ask.cursor, &upto))
				ask.cursor = upto;
		}
	}
	if (c->expires)
		ask.expires_ms = clock_wall_ms() + 20 + rnd(300);
	ck_assert_int_eq(hub_admit(hub, &(struct guest){ 0 }), ADMITTED);
	s = stream_new(&ask);
	ck_assert_ptr_nonnull(s);
	s->fd = fd;
	hub_adopt(hub, s);
}

static void
connect_client(struct client *c)
{
	static const size_t speeds[] = { 1, 40, 300, 700, 5000, SIZE_MAX, SIZE_MAX };
	const int small = 4096;
	enum fault fault = FAULT_NONE;
	char text[64], what[200] = "";
	bool has_cursor;
	int64_t since;
	struct id id;
	int fds[2];

	if (c->nnames == 0 || rnd(3) == 0)
		choose_page(c);
	has_cursor = choose_cursor(c, &id, text, sizeof(text));
	if (has_cursor && id.epoch == 0 && id.seq == 0)
		fault = FAULT_UNKNOWN;
	else if (has_cursor && !truth_is_good(&truth, id))
		fault = FAULT_RESET;
	c->speed = speeds[rnd(7)];
	c->stalled = false;
	c->expires = rnd(25) == 0;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	if (rnd(3) != 0)
		ck_assert_int_eq(setsockopt(fds[1], SOL_SOCKET, SO_RCVBUF, &small,
		    sizeof(small)), 0);
	since = c->since_ms > 0 ? clock_wall_ms() - c->since_ms : 0;
	for (size_t i = 0; i < c->nnames; i++)
		snprintf(what + strlen(what), sizeof(what) - strlen(what), " %s",
		    c->names[i]);
	trace(c->number, "%d: connect to%s, cursor %s%s, replay %zu, since %" PRId64
	    ", speed %zu", c->number, what, has_cursor ? text : "none",
	    fault == FAULT_NONE ? "" : " (bad)", c->replay, since, c->speed);
	client_begin(&truth, c, has_cursor ? text : NULL, fault, id, since);
	c->fd = fds[1];
	c->draining = drains;
	subscribe(c, has_cursor ? text : NULL, since, fds[0]);
}

static void
read_client(struct client *c, size_t max)
{
	char bytes[16384];
	size_t got = 0, room;
	ssize_t n;

	while (got < max) {
		room = max - got < sizeof(bytes) ? max - got : sizeof(bytes);
		if ((n = recv(c->fd, bytes, room, MSG_DONTWAIT)) == -1)
			return;
		if (n == 0) {
			if (!c->closed && !c->draining && !may_stall())
				wrong(c->number, "dropped without a word");
			trace(c->number, "%d: the end, %zu bytes into a block", c->number,
			    c->in_len);
			hang_up(c);
			return;
		}
		got += (size_t)n;
		look_at_log();
		client_feed(&truth, c, bytes, (size_t)n);
	}
}

static size_t
names_that_match(int topic)
{
	size_t n = 0;
	struct client one = { .nnames = 1 };

	for (int i = 0; i < CLIENTS; i++)
		for (size_t k = 0; clients[i].fd != -1 && k < clients[i].nnames; k++) {
			one.names[0] = clients[i].names[k];
			client_sets_topics(&one);
			n += one.topics >> topic & 1;
		}
	return n;
}

/* Everybody who listens (or everybody) gets all that is owed; then the hub counts the
 * streams there are, no more and no less. */
static void
calm(bool everybody)
{
	int64_t until = clock_mono_ms() + patience_ms;
	struct pollfd fds[CLIENTS];
	struct client *c, *owed;
	size_t open, n;
	bool sure;

	/* One who holds a page while memory for pages is short holds up the others. */
	if (sconf.max_page_bytes_total < 1 << 20)
		everybody = true;
	trace(-1, "calm%s", everybody ? ", everybody" : "");
	for (;;) {
		owed = NULL;
		open = n = 0;
		sure = true;
		for (int i = 0; i < CLIENTS; i++) {
			c = &clients[i];
			if (everybody)
				c->stalled = false;
			if (c->fd != -1 && !c->stalled)
				read_client(c, SIZE_MAX);
			if (c->fd == -1)
				continue;
			open++;
			sure = sure && !c->expires && c->live && !may_stall();
			if (c->stalled)
				continue;
			if (c->closed || client_is_owed(&truth, c))
				owed = c;
			fds[n].fd = c->fd;
			fds[n++].events = POLLIN;
		}
		if (owed == NULL && (!sure || hub_streams(hub) == open))
			break;
		if (clock_mono_ms() > until) {
			if (owed == NULL)
				wrong(-1, "%zu streams, and the hub counts %zu", open,
				    hub_streams(hub));
			wrong(owed->number, "waits in vain, at %" PRIu64 " of %" PRIu64
			    ", %zu gaps", owed->pos, truth.head, owed->gaps);
		}
		(void)poll(fds, n, 10);
	}
	for (int i = 0; i < CLIENTS; i++)
		if (clients[i].fd != -1 && !clients[i].stalled)
			client_settle(&truth, &clients[i]);
	if (!sure || drains)
		return;
	publish(1, 1);
	n = names_that_match(posts[0].facts[0].topic);
	if (posts[0].a.result == APPEND_OK && posts[0].a.subscribers != n)
		wrong(-1, "an event goes to %zu, and the hub says %u", n,
		    posts[0].a.subscribers);
}

/* --- a round --- */

static void
restart(void)
{
	bool back;

	if (truth.nepochs + 2 >= MODEL_EPOCHS)
		return;
	switch (rnd(4)) {
	case 0:				/* a stop that is told */
		trace(-1, "drain");
		drains = true;
		for (int i = 0; i < CLIENTS; i++)
			clients[i].draining = true;
		hub_drain(hub, rnd(100));
		if (rnd(2))
			usleep(rnd(50000));
		close_engine();
		break;
	case 1:				/* a power cut, nothing lost */
		back = save();
		trace(-1, "power cut%s", back ? "" : " (not now)");
		close_engine();
		if (back) {
			copy_files(true);
			truth = saved;
			nkeys = saved_nkeys;
		}
		break;
	case 2:				/* an older log */
		if (is_saved) {
			trace(-1, "roll back to %" PRIu64, saved.head);
			close_engine();
			copy_files(true);
			truth = saved;
			nkeys = saved_nkeys;
			break;
		}
		/* FALLTHROUGH */
	default:
		trace(-1, "restart");
		close_engine();
	}
	open_engine();
}

static void
choose_engine(unsigned int seed)
{
	static const size_t tails[] = { 2 << 10, 16 << 10, 64 << 10, 64 << 20 };
	static const size_t queues[] = { 600, 4 << 10, 32 << 10, 256 << 10 };
	static const size_t pages[] = { 400, 4 << 10, 0 };
	static const size_t boxes[] = { 3 << 10, 40 << 10, 0, 0 };
	static const size_t behind[] = { 15, 100, 10000, 10000 };
	static const uint64_t kept[] = { 3, 20, 100 };

	hot = rnd(2) ? 2 + rnd(6) : MODEL_TOPICS;
	sconf = (struct store_conf){ .path = path, .max_queue_bytes = 64 << 20,
		.max_page_bytes_total = rnd(5) == 0 ? 16 << 10 : 64 << 20 };
	switch (rnd(5)) {
	case 0: case 1:
		sconf.retain_events_per_topic = kept[rnd(3)];
		break;
	case 2:
		sconf.retain_bytes = 5000 + rnd(100000);
		break;
	case 3:
		sconf.retain_age_ms = 20 + rnd(1000);
		break;
	default:
		break;
	}
	hconf = (struct hub_conf){
		.threads = 1 + (int)rnd(3), .tail_bytes = tails[rnd(4)],
		.queue_bytes = queues[rnd(4)], .max_replay = behind[rnd(4)],
		.heartbeat_ms = rnd(3) == 0 ? 60 : 15000, .retry_ms = 3000,
		.stall_ms = rnd(8) == 0 ? 300 : 300000,
		.limits = { .page_bytes = pages[rnd(3)], .mailbox_bytes = boxes[rnd(4)],
			.send_bytes = rnd(4) != 0 ? 2048 : 0,
			.hold_ms = rnd(2) == 0 ? 1 + rnd(50) : 0 },
	};
	truth.per_topic = sconf.retain_events_per_topic;
	truth.max_replay = hconf.max_replay;
	truth.heartbeat_ms = hconf.heartbeat_ms;
	trace_begin("FANFARE_TEST_SEED=%u: %d shards, tail %zu, queue %zu, pages %zu, "
	    "mailbox %zu, socket %d, page memory %" PRIu64 ", max_replay %zu, hold %"
	    PRId64 ", heartbeat %" PRId64 ", stall %" PRId64 ", topics %" PRIu32
	    ", keeps %" PRIu64 " a topic, %" PRIu64 " bytes, %" PRId64 " ms", seed,
	    hconf.threads, hconf.tail_bytes,
	    hconf.queue_bytes, hconf.limits.page_bytes, hconf.limits.mailbox_bytes,
	    hconf.limits.send_bytes, sconf.max_page_bytes_total, hconf.max_replay,
	    hconf.limits.hold_ms, hconf.heartbeat_ms, hconf.stall_ms, hot,
	    sconf.retain_events_per_topic, sconf.retain_bytes, sconf.retain_age_ms);
}

static void
one_step(void)
{
	struct client *c = &clients[rnd(CLIENTS)];
	size_t n;

	switch (rnd(40)) {
	case 0: case 1: case 2: case 3: case 4: case 5: case 6: case 7: case 8:
		if (truth.head + BURST * 1000 < MODEL_EVENTS)
			publish(1 + (rnd(3) == 0 ? rnd(BURST) : 0), 20);
		break;
	case 9:
		if (truth.head + BURST * 1000 < MODEL_EVENTS && rnd(6) == 0)
			publish(1 + rnd(2), 1000);
		break;
	case 10: case 11: case 12:
		if (c->fd == -1) {
			connect_client(c);
			break;
		}
		if (rnd(3) != 0)
			break;
		trace(c->number, "%d: cut, %zu bytes into a block", c->number, c->in_len);
		hang_up(c);
		break;
	case 13: case 18:
		c->stalled = !c->stalled;
		trace(c->number, "%d: %s", c->number, c->stalled ? "stalls" : "reads on");
		break;
	case 14:
		if (rnd(5) == 0)
			calm(false);
		break;
	case 15:
		if (rnd(15) == 0)
			restart();
		else if (rnd(40) == 0)
			(void)save();
		break;
	case 16:
		usleep(rnd(2000));
		break;
	case 17:
		if (rnd(30) == 0)
			usleep(20000 + rnd(150000));	/* for what goes by the clock */
		break;
	default:
		if (c->fd == -1 || c->stalled)
			break;
		n = c->speed == SIZE_MAX ? 1 + rnd(20000) : c->speed;
		read_client(c, n);
	}
}

void
engine_report(bool all)
{
	static const struct { enum metric m; const char *what; } counts[] = {
		{ METRIC_STREAMS_OPENED, "connections" },
		{ METRIC_DELIVERIES, "events delivered" },
		{ METRIC_GAPS, "gaps" },
		{ METRIC_STREAMS_OVERRUN, "queues overrun" },
		{ METRIC_NEWS_SKIPPED, "shards sent to the log" },
		{ METRIC_TAIL_PAGES, "pages from memory" },
		{ METRIC_LOG_PAGES, "pages from the log" },
		{ METRIC_STREAMS_EXPIRED, "ends by credential" },
	};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		printf("%s%" PRId64 " %s", i > 0 ? ", " : "", metric_get(counts[i].m),
		    counts[i].what);
		ck_assert(!all || metric_get(counts[i].m) > 0);
	}
	printf("\n");
}

void
engine_clean(void)
{
	char line[160];

	if (dir[0] == '\0')
		return;
	snprintf(line, sizeof(line), "rm -rf %s", dir);
	(void)!system(line);
	dir[0] = '\0';
}

void
engine_round(unsigned int seed, int steps, int patience)
{
	log_init(LOG_ERROR, false);
	snprintf(dir, sizeof(dir), "/tmp/fanfare-model-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/log.db", dir);
	state = seed * 2654435761u + 1;
	if (state == 0)
		state = 1;
	for (int i = 0; i < 4; i++)
		(void)rnd(2);
	salt = 0;
	patience_ms = patience;
	memset(&truth, 0, sizeof(truth));
	truth.facts = calloc(MODEL_EVENTS + 1, sizeof(struct fact));
	truth.facts[0].topic = -1;
	is_saved = false;
	nkeys = 0;
	choose_engine(seed);
	for (int i = 0; i < CLIENTS; i++)
		client_init(&clients[i], i);
	open_engine();
	for (int i = 0; i < steps; i++)
		one_step();
	calm(true);
	/* And nothing is left that somebody who was cut off could miss. */
	for (int i = 0; i < CLIENTS; i++)
		if (clients[i].fd == -1)
			connect_client(&clients[i]);
	calm(true);
	close_engine();
	for (int i = 0; i < CLIENTS; i++)
		client_fini(&clients[i]);
	free(truth.facts);
	truth.facts = NULL;
	engine_clean();
}
