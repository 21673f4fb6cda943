/*
 * check_fault_calls.c - S2: every class of system calls and allocations of the real
 * server fails once, at the first, second, ... call (sampled in every run), while it
 * starts, serves and stops; libmicrohttpd, SQLite, jansson and OpenSSL fail with it.
 *
 * Then nothing may crash, no publish be acknowledged that is not there (or refused as
 * not stored that is), no request be left without answer or end, no stream miss an event
 * without a gap, no descriptor be lost; and the server goes on, or ends and says why.
 *
 * FANFARE_TEST_CLASS=name: that class alone, e.g. epoll_ctl.
 */
#include "config.h"

#include "harness.h"

#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault_control.h"

#define ACKS_MAX	64
#define KEPT		20		/* events per topic */
#define BATCH		25
#define HISTORY		"/history?topic=f/a&limit=5"
#define RECOVERY_MS	8000		/* a store that failed opens again in a second */

/* The server under test, and what was done to it last: told when it goes wrong. */
static struct server *sv;
static char doing[160];
static long log_mark;
static int64_t begun;

/* One publish of this pass. */
struct fate {
	char	 data[32];
	int64_t	 seq;		/* acknowledged; else 0 */
	bool	 refused;	/* "nothing was stored" */
};

/* A page that comes back with its cursor whenever its stream ends. */
struct follower {
	const char	*path;
	struct stream	*st;
	char		 first[64];	/* cursor of the first pass */
	char		 cursor[64];
	int64_t		 seen[ACKS_MAX];	/* of this pass */
	int		 nseen;
	int64_t		 last;
	bool		 gapped;	/* in this pass */
	int64_t		 next_try;
};

static struct follower followers[] = {
	{ .path = "/events?topic=f/a" },
	{ .path = "/events?topic=f/**&format=envelope" },
};
#define NFOLLOWERS	(sizeof followers / sizeof *followers)

/* Headers with a token that may read f/a, and with two that may not. */
static const char *good, *forged, *elsewhere;

static struct fate fates[ACKS_MAX];
static int nfates;

static long
log_size(void)
{
	struct stat sb;

	return stat(sv->log, &sb) == -1 ? 0 : (long)sb.st_size;
}

static const char *
said(void)
{
	const char *whole = read_whole(sv->log);

	return strlen(whole) < (size_t)log_mark ? whole : whole + log_mark;
}

/* Is its last word one about the end? */
static bool
last_word_tells(void)
{
	const char *all = said(), *line = all, *next;

	while ((next = strchr(line, '\n')) != NULL && next[1] != '\0')
		line = next + 1;
	return *line != '\0' && strstr(line, " info: ") == NULL &&
	    strstr(line, "every user of this machine") == NULL;
}

/* Nothing left it but an exit, with a code and a word on the reason. */
static void
ended_well(void)
{
	ck_assert_msg(WIFEXITED(sv->status), "%s: signal %d at %s:\n%s", doing,
	    WTERMSIG(sv->status), faults->site, said());
	ck_assert_msg(WEXITSTATUS(sv->status) != 0, "%s: exit code 0, at %s:\n%s", doing,
	    faults->site, said());
	ck_assert_msg(last_word_tells(), "%s: it ended without a word, at %s: %s", doing,
	    faults->site, said());
}

/* A request on a connection of its own: its answer, or NULL when the connection was
 * closed instead.  Neither must not be. */
static struct answer *
try_ask(int port, const char *method, const char *path, const char *headers,
    const char *body)
{
	struct server at = *sv;
	struct http *h;
	struct answer *a = NULL;

	at.port = port;
	if ((h = try_http_open(&at)) == NULL)
		return NULL;
	if (try_http_send(h, method, path, headers, body,
	    body == NULL ? 0 : strlen(body)) == 0) {
		a = try_http_receive(h, RECOVERY_MS);
		ck_assert_msg(a != NULL || try_http_feed(h) == -1,
		    "%s: no answer to %s %s, at %s:\n%s", doing, method, path,
		    faults->site, said());
	}
	http_close(h);
	return a;
}

static bool
publish_one(const char *headers)
{
	struct fate *f = &fates[nfates++];
	struct answer *a;
	const char *id;

	ck_assert_int_lt(nfates, ACKS_MAX);
	*f = (struct fate){ 0 };
	snprintf(f->data, sizeof f->data, "%d.%u", nfates, dice(1000000000));
	a = try_ask(sv->port, "POST", "/publish?topic=f/a", headers, f->data);
	if (a != NULL && a->status == 200) {
		ck_assert_ptr_nonnull(id = strstr(a->body, "\"id\":\""));
		f->seq = strtoll(id + 15, NULL, 10);
	}
	f->refused = a != NULL && a->status == 503 &&
	    strstr(a->body, "store_unknown") == NULL;
	answer_free(a);
	return f->seq > 0;
}

static void
publish_batch(void)
{
	char body[BATCH * 32 + 8];
	int n = 0;

	for (int i = 0; i < BATCH; i++)
		n += snprintf(body + n, sizeof body - (size_t)n,
		    "%c{\"topic\":\"p/x\",\"data\":%d}", i == 0 ? '[' : ',', i);
	snprintf(body + n, sizeof body - (size_t)n, "]");
	answer_free(try_ask(sv->port, "POST", "/publish", AUTH AS_JSON, body));
}

static void
follower_leave(struct follower *f)
{
	if (f->st == NULL)
		return;
	if (f->st->last_id[0] != '\0')
		snprintf(f->cursor, sizeof f->cursor, "%s", f->st->last_id);
	stream_close(f->st);
	f->st = NULL;
}

static void
follower_pump(struct follower *f)
{
	struct event *e;
	int64_t seq;

	if (f->st == NULL && now_ms() >= f->next_try) {
		f->next_try = now_ms() + 20;
		f->st = try_stream(sv, f->path, f->cursor[0] == '\0' ?
		    AUTH ACCEPT_SSE : fmt(AUTH ACCEPT_SSE "Last-Event-ID: %s\r\n",
		    f->cursor), 0);
	}
	if (f->st == NULL)
		return;
	stream_feed(f->st);
	while ((e = stream_pop(f->st)) != NULL) {
		if (strcmp(e->name, "fanfare.gap") == 0)
			f->gapped = true;
		if (is_control(e))
			continue;
		seq = id_seq(e->id);
		ck_assert_msg(seq > f->last, "%s: %s saw %lld after %lld", doing,
		    f->path, (long long)seq, (long long)f->last);
		f->last = seq;
		ck_assert_int_lt(f->nseen, ACKS_MAX);
		f->seen[f->nseen++] = seq;
	}
	if (f->st->eof)
		follower_leave(f);
}

static bool
follower_has(const struct follower *f, int64_t seq)
{
	for (int i = 0; i < f->nseen; i++)
		if (f->seen[i] == seq)
			return true;
	return false;
}

static int64_t
follower_lacks(const struct follower *f)
{
	for (int i = 0; i < nfates && !f->gapped; i++)
		if (fates[i].seq > 0 && !follower_has(f, fates[i].seq))
			return fates[i].seq;
	return 0;
}

static void
pump_all(void)
{
	for (size_t i = 0; i < NFOLLOWERS; i++)
		follower_pump(&followers[i]);
}

static void
followers_settle(void)
{
	int64_t end = now_ms() + patience(RECOVERY_MS), lacks;

	for (size_t i = 0; i < NFOLLOWERS; i++) {
		while ((lacks = follower_lacks(&followers[i])) != 0 ||
		    followers[i].st == NULL || followers[i].st->last_id[0] == '\0') {
			ck_assert_msg(now_ms() < end, "%s: %s never had %lld, at %s:\n%s",
			    doing, followers[i].path, (long long)lacks, faults->site,
			    said());
			pump_all();
			poll(NULL, 0, 1);
		}
	}
}

/* Whatever fails, nobody is let in for it. */
static void
stays_out(const char *headers)
{
	struct answer *a = try_ask(sv->port, "GET", HISTORY, headers, NULL);

	ck_assert_msg(a == NULL || a->status != 200, "%s: let in with %s, at %s", doing,
	    headers, faults->site);
	answer_free(a);
}

/* What a server is asked for in a minute, in a tenth of a second. */
static void
session(void)
{
	struct stream *st;

	(void)publish_one(fmt(AUTH "Idempotency-Key: k%u\r\n", dice(1000000000)));
	pump_all();
	if ((st = try_stream(sv, "/events?topic=f/a&replay=3", AUTH ACCEPT_SSE,
	    0)) != NULL)
		(void)stream_head(st, 50);
	publish_batch();
	pump_all();
	answer_free(try_ask(sv->port, "GET", HISTORY, AUTH, NULL));
	server_signal(sv, SIGHUP);
	(void)publish_one(AUTH);
	if (st != NULL)
		stream_close(st);
	/* A page that comes back from afar. */
	if ((st = try_stream(sv, "/events?topic=f/a&topic=p/*", fmt(AUTH ACCEPT_SSE
	    "Last-Event-ID: %s\r\n", followers[0].first), 0)) != NULL) {
		(void)stream_head(st, 50);
		stream_close(st);
	}
	answer_free(try_ask(sv->port, "GET", HISTORY, good, NULL));
	stays_out(forged);
	stays_out(elsewhere);
	stays_out("");
	answer_free(try_ask(sv->port, "GET", "/healthz", "", NULL));
	answer_free(try_ask(sv->admin_port, "GET", "/metrics", "", NULL));
	(void)publish_one(AUTH);
	pump_all();
}

/* What was acknowledged is there, what was refused is not; nothing else is wrong. */
static void
log_is_right(void)
{
	json_t *page = history(sv, "topic=f/a&replay=20"), *e;
	json_t *events = json_object_get(page, "events");
	size_t i;

	for (int k = 0; k < nfates; k++) {
		bool found = false;

		json_array_foreach(events, i, e)
			found |= strcmp(text_at(e, "data"), fates[k].data) == 0;
		ck_assert_msg(found || fates[k].seq == 0, "%s: %s was acknowledged and "
		    "is not there, at %s:\n%s", doing, fates[k].data, faults->site,
		    said());
		ck_assert_msg(!found || !fates[k].refused, "%s: %s was refused and is "
		    "there, at %s:\n%s", doing, fates[k].data, faults->site, said());
	}
	log_is_whole(sv);
}

static void
begin_pass(const char *where, enum fault_class class, int64_t nth, int64_t times)
{
	FILE *f;

	snprintf(doing, sizeof doing, "%s, %s %lld and %lld more", where,
	    fault_name(class), (long long)nth, (long long)times - 1);
	/* For whoever reads the log of a failed test. */
	if ((f = fopen(sv->log, "a")) != NULL) {
		fprintf(f, "---- %s\n", doing);
		fclose(f);
	}
	log_mark = log_size();
	nfates = 0;
	for (size_t i = 0; i < NFOLLOWERS; i++) {
		followers[i].gapped = false;
		followers[i].nseen = 0;
	}
}

/* Publishing works again, soon. */
static void
comes_back(void)
{
	int64_t end = now_ms() + patience(RECOVERY_MS);

	while (!publish_one(AUTH)) {
		ck_assert_msg(now_ms() < end && server_alive(sv),
		    "%s: no publish is taken any more, at %s:\n%s", doing, faults->site,
		    said());
		poll(NULL, 0, 50);
		nfates--;
		ck_assert(!fates[nfates].seq);
	}
}

static void
descriptors_come_back(int before)
{
	int64_t end = now_ms() + patience(RECOVERY_MS);

	while (server_descriptors(sv) > before) {
		if (now_ms() > end)
			server_show_descriptors(sv);
		ck_assert_msg(now_ms() < end, "%s: %d descriptors instead of %d, at %s",
		    doing, server_descriptors(sv), before, faults->site);
		pump_all();
		poll(NULL, 0, 2);
	}
}

/* One session in which calls of the class fail; how many did. */
static int64_t
pass(enum fault_class class, int64_t nth, int64_t times, int descriptors)
{
	int64_t fired;

	begin_pass("serving", class, nth, times);
	faults_arm(class, nth, times);
	session();
	fired = faults_disarm();
	if (!server_alive(sv)) {
		ended_well();
		printf("%s: ended with %d, at %s\n", doing, WEXITSTATUS(sv->status),
		    faults->site);
		server_restart(sv);
	}
	comes_back();
	followers_settle();
	log_is_right();
	descriptors_come_back(descriptors);
	return fired;
}

static void
serve(void)
{
	sv = server_start(fmt("--store.retain_events_per_topic=%d", KEPT),
	    "--server.threads=2", "--stream.heartbeat=1s", NULL);
	for (size_t i = 0; i < NFOLLOWERS; i++)
		followers[i] = (struct follower){ .path = followers[i].path };
	good = fmt(BEARER "%s\r\n", token_for(3600, NULL, "f/a"));
	elsewhere = fmt(BEARER "%s\r\n", token_for(3600, NULL, "f/b"));
	forged = fmt(BEARER "%s\r\n", token("another-key-0123456789-0123456789-0123",
	    fmt("{\"exp\":%lld,\"fanfare\":{\"subscribe\":[\"f/a\"]}}",
	    (long long)wall_s() + 3600)));
	ck_assert_int_eq(get(sv, HISTORY, good)->status, 200);
}

static bool
is_wanted(enum fault_class class)
{
	const char *only = getenv("FANFARE_TEST_CLASS");

	return only == NULL || *only == '\0' ||
	    strcmp(only, fault_name(class)) == 0;
}

/* The k-th of `n` numbers spread over 1..total; all of them when there are no more. */
static int64_t
sample(int64_t total, int k, int n)
{
	int64_t step;

	if (total <= n)
		return k + 1;
	step = total / n;
	return 1 + k * step + dice((uint32_t)step);
}

static void
tell(const char *where, enum fault_class class, int64_t total, int64_t fired, int ended)
{
	printf("%s: %s: %lld calls, %lld failed", where, fault_name(class),
	    (long long)total, (long long)fired);
	if (ended > 0)
		printf(", %d times it ended", ended);
	printf("; %lld ms\n", (long long)(now_ms() - begun));
}

START_TEST(S2_a_call_that_fails_at_start_is_survived_or_told)
{
	enum fault_class class = (enum fault_class)_i;
	int64_t total, fired = 0, before, nth;
	int n = size_of_run(4, 100000), ended = 0;

	if (!is_wanted(class))
		return;
	faults_begin();
	begun = now_ms();
	serve();
	ck_assert_int_eq(server_stop(sv), 0);
	before = faults->calls[class];
	server_restart(sv);
	total = faults->calls[class] - before;
	publish(sv, "f/a", "before");
	ck_assert_int_eq(server_stop(sv), 0);
	for (int k = 0; k < n && k < total; k++) {
		nth = sample(total, k, n);
		begin_pass("start", class, nth, 1);
		faults_arm(class, nth, 1);
		if (try_server_restart(sv) == -1) {
			ended_well();
			ended++;
		} else {
			comes_back();
			ck_assert_msg(server_stop(sv) == 0, "%s: it did not stop, at "
			    "%s:\n%s", doing, faults->site, said());
		}
		fired += faults_disarm();
	}
	tell("start", class, total, fired, ended);
}
END_TEST

START_TEST(S2_a_call_that_fails_while_serving_harms_nobody_else)
{
	enum fault_class class = (enum fault_class)_i;
	int64_t total, fired = 0;
	int n = size_of_run(2, 100000), descriptors;
	struct http *idle;

	if (!is_wanted(class))
		return;
	faults_begin();
	begun = now_ms();
	serve();
	/* As a proxy keeps one. */
	idle = http_open(sv);
	ck_assert_int_eq(try_http_send(idle, "GET", "/healthz", "", NULL, 0), 0);
	answer_free(try_http_receive(idle, SOON));
	followers_settle();
	snprintf(followers[0].first, sizeof followers[0].first, "%s",
	    followers[0].st->last_id);
	(void)pass(class, INT64_MAX, 1, 100);
	(void)pass(class, INT64_MAX, 1, 100);
	poll(NULL, 0, 200);
	descriptors = server_descriptors(sv);
	total = faults->calls[class];
	(void)pass(class, INT64_MAX, 1, 100);
	total = faults->calls[class] - total;
	/* Alone, and with the next two: who tries again meets it again. */
	for (int k = 0; k < n && k < total; k++)
		for (int times = 1; times <= 3; times += 2)
			if (n >= total || (k & 1) == (times > 1))
				fired += pass(class, sample(total, k, n), times,
				    descriptors);
	/* And when not one of them works for a while; accept is tried once a second. */
	if (total > 0)
		fired += pass(class, sample(total, 0, 3),
		    class == FAULT_ACCEPT ? 3 : 50, descriptors);
	tell("serving", class, total, fired, 0);
	ck_assert_int_eq(server_stop(sv), 0);
}
END_TEST

START_TEST(S2_a_call_that_fails_while_stopping_keeps_nothing_from_the_end)
{
	enum fault_class class = (enum fault_class)_i;
	int64_t total, fired = 0, nth;
	int n = size_of_run(2, 100000), ended = 0;

	if (!is_wanted(class))
		return;
	faults_begin();
	begun = now_ms();
	serve();
	followers_settle();
	begin_pass("stopping", class, 0, 1);
	session();
	total = faults->calls[class];
	ck_assert_int_eq(server_stop(sv), 0);
	total = faults->calls[class] - total;
	for (int k = 0; k < n && k < total; k++) {
		server_restart(sv);
		nth = sample(total, k, n);
		begin_pass("stopping", class, nth, 1);
		followers_settle();
		session();
		faults_arm(class, nth, 1);
		server_signal(sv, SIGTERM);
		(void)server_wait(sv, 10000);
		ck_assert_msg(!server_alive(sv), "%s: it does not end, at %s:\n%s", doing,
		    faults->site, said());
		fired += faults_disarm();
		if (!WIFEXITED(sv->status) || WEXITSTATUS(sv->status) != 0) {
			ended_well();
			ended++;
		}
		server_restart(sv);
		log_is_right();
		followers_settle();
		ck_assert_int_eq(server_stop(sv), 0);
	}
	tell("stopping", class, total, fired, ended);
}
END_TEST

#define TWO_KEYS	"one:" API_KEY "1\ntwo:" API_KEY "2\n"
#define ONE_KEY		"one:" API_KEY "1\n"
#define SECOND		BEARER API_KEY "2\r\n"

/* Reload with these keys, and wait until it has said what came of it. */
static void
reload(const char *path, const char *keys)
{
	int64_t end = now_ms() + patience(SOON);

	log_mark = log_size();
	write_whole(path, keys, strlen(keys));
	server_signal(sv, SIGHUP);
	while (strstr(said(), "are reloaded") == NULL &&
	    strstr(said(), " warning: ") == NULL && strstr(said(), " error: ") == NULL &&
	    strstr(said(), "memory") == NULL) {
		ck_assert_msg(now_ms() < end, "nothing came of a reload, at %s: %s",
		    faults->site, said());
		poll(NULL, 0, 1);
	}
}

START_TEST(S2_a_reload_without_memory_leaves_no_stream_to_a_key_that_is_gone)
{
	int n = size_of_run(24, 100000), stayed = 0, left = 0;
	char *keys = fmt("%s/keys", test_dir());
	struct stream *st;
	int64_t total;

	if (!is_wanted(FAULT_MEMORY))
		return;
	faults_begin();
	write_whole(keys, TWO_KEYS, strlen(TWO_KEYS));
	sv = server_start(fmt("--auth.api_keys_file=%s", keys), "--server.threads=2",
	    NULL);
	reload(keys, ONE_KEY);
	total = faults->calls[FAULT_MEMORY];
	reload(keys, TWO_KEYS);
	total = faults->calls[FAULT_MEMORY] - total;
	/* From the last on: those tell the stream threads. */
	for (int64_t nth = total + 2; nth > 0 && total + 2 - nth < n; nth--) {
		snprintf(doing, sizeof doing, "reload, malloc %lld", (long long)nth);
		st = stream_open(sv, "/events?topic=a", SECOND);
		expect_live(st, false);
		faults_arm(FAULT_MEMORY, nth, 1);
		reload(keys, ONE_KEY);
		(void)faults_disarm();
		ck_assert_msg(server_alive(sv), "%s: it ended, at %s", doing,
		    faults->site);
		if (get(sv, "/history?topic=a", SECOND)->status == 200)
			stayed++;
		else {
			left++;
			ck_assert_msg(stream_ended(st, SOON), "%s: the key is gone, its "
			    "stream is not, at %s", doing, faults->site);
		}
		stream_close(st);
		reload(keys, TWO_KEYS);
	}
	printf("reload: %lld allocations, %d times the old keys stayed, %d times not\n",
	    (long long)total, stayed, left);
	ck_assert_int_gt(stayed, 0);
	ck_assert_int_eq(server_stop(sv), 0);
}
END_TEST

/* One of its threads whose name begins so. */
static pid_t
thread_of(const char *name)
{
	char *dir = fmt("/proc/%d/task", (int)sv->pid);
	struct dirent *de;
	pid_t tid = 0;
	DIR *d = opendir(dir);

	ck_assert_ptr_nonnull(d);
	while (tid == 0 && (de = readdir(d)) != NULL)
		if (de->d_name[0] != '.' && strncmp(read_whole(fmt("%s/%s/comm", dir,
		    de->d_name)), name, strlen(name)) == 0)
			tid = (pid_t)strtol(de->d_name, NULL, 10);
	closedir(d);
	ck_assert_int_gt(tid, 0);
	return tid;
}

static bool
comes_to(const char *path, int status)
{
	int64_t end = now_ms() + patience(15000);

	while (get(sv, path, "")->status != status && now_ms() < end)
		poll(NULL, 0, 200);
	return now_ms() < end;
}

START_TEST(R13_a_stream_thread_that_hangs_fails_the_probe_that_restarts)
{
	pid_t tid;

	sv = server_start("--server.threads=2", NULL);
	tid = thread_of("fanfare-stream");
	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) == -1) {
		printf("nothing may be traced here\n");
		return;
	}
	ck_assert_int_eq(get(sv, "/healthz?live", "")->status, 200);
	ck_assert_int_eq((int)ptrace(PTRACE_INTERRUPT, tid, NULL, NULL), 0);
	ck_assert_int_eq(waitpid(tid, NULL, __WALL), tid);
	ck_assert(comes_to("/healthz?live", 503));
	ck_assert_str_eq(get(sv, "/healthz", "")->body, "a stream thread hangs\n");
	ck_assert_int_eq((int)ptrace(PTRACE_DETACH, tid, NULL, NULL), 0);
	ck_assert(comes_to("/healthz?live", 200));
	ck_assert_int_eq(server_stop(sv), 0);
}
END_TEST

/* All the syncs fail until the WAL is gone, as on a disk that took none of it: of a new
 * log even the tables, of one that was there before what came since. */
START_TEST(S3_a_server_whose_disk_lost_events_ends_and_its_successor_tells)
{
	struct stream *st;
	struct answer *a;
	char *cursor;

	faults_begin();
	sv = server_start("--store.durability=full", NULL);
	if (_i == 1) {
		ck_assert_int_eq(server_stop(sv), 0);
		server_restart(sv);
	}
	cursor = fmt("%s", publish(sv, "f/a", "0"));
	for (int i = 1; i < 5; i++)
		cursor = fmt("%s", publish(sv, "f/a", fmt("%d", i)));
	st = stream_open(sv, "/events?topic=f/a", AUTH);
	expect_live(st, false);
	faults_arm(FAULT_SYNC, 1, 1000000);
	a = post(sv, "/publish?topic=f/a", AUTH, "unknown");
	is_problem(a, 503, "store_unknown", "open", "a sync that fails");
	ck_assert_int_eq(truncate(fmt("%s-wal", sv->store), 0), 0);
	(void)faults_disarm();
	ck_assert_int_eq(server_wait(sv, SOON + RECOVERY_MS), 1);
	ck_assert(stream_ended(st, SOON));
	stream_close(st);
	ck_assert_ptr_nonnull(strstr(read_whole(sv->log), "the disk has lost events"));
	server_restart(sv);
	st = stream_open(sv, "/events?topic=f/a", fmt(AUTH "Last-Event-ID: %s\r\n", cursor));
	expect_gap(st, "reset");
	stream_close(st);
	publish(sv, "f/a", "on it goes");
	ck_assert_int_eq(server_stop(sv), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("fault_calls");
	int seconds = size_of_run(60, 4 * 3600);
	TCase *tc;

	if (!faults_possible())
		exit(77);
	tc = harness_case(s, "start", seconds);
	tcase_add_loop_test(tc, S2_a_call_that_fails_at_start_is_survived_or_told, 0,
	    FAULT_COUNT);
	tc = harness_case(s, "serving", seconds);
	tcase_add_loop_test(tc, S2_a_call_that_fails_while_serving_harms_nobody_else, 0,
	    FAULT_COUNT);
	tcase_add_test(tc,
	    S2_a_reload_without_memory_leaves_no_stream_to_a_key_that_is_gone);
	tcase_add_test(tc,
	    R13_a_stream_thread_that_hangs_fails_the_probe_that_restarts);
	tcase_add_loop_test(tc,
	    S3_a_server_whose_disk_lost_events_ends_and_its_successor_tells, 0, 2);
	tc = harness_case(s, "stopping", seconds);
	tcase_add_loop_test(tc,
	    S2_a_call_that_fails_while_stopping_keeps_nothing_from_the_end, 0,
	    FAULT_COUNT);
	return s;
}
SUITE_MAIN
