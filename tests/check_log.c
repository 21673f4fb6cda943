/*
 * check_log.c - the promises of the log, from outside.  Names as in the list
 * of faults: D1 kill -9 under load, D3 the sync before the answer, D4 nothing
 * seen that vanishes, D5 ids are never used twice, D7 one order for all.  D6
 * is in check_log_resume.c, D8 in check_http_publish.c, D9 in
 * check_http_resume.c; more of them and at full size in check_fault_disk.c and
 * check_fault_load.c.
 *
 * FANFARE_TEST_KILLS: how often to kill, when not as often as size_of_run() says.
 */
#include "config.h"

#include "ledger.h"

#include <sys/wait.h>

#include <ctype.h>
#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PUBLISHERS	8

START_TEST(D1_D4_nothing_acked_or_seen_is_lost_by_kill_9)
{
	struct server *s = server_start(_i == 0 ? "--store.durability=full" :
	    "--store.durability=normal", "--stream.max_replay=1000000", NULL);
	int kills = setting("FANFARE_TEST_KILLS", size_of_run(20, 500)) / 2;
	struct ledger *l = ledger_new(s, PUBLISHERS, 0);
	int64_t slowest = 0, loaded = 0, begun, ms;

	for (int round = 0; round <= kills; round++) {
		ledger_connect(l);
		begun = now_ms();
		ledger_run(l, 50 + dice(250), 0);
		loaded += now_ms() - begun;
		/* Now and then it is asked to stop instead. */
		l->stopping = round % 5 == 4;
		if (l->stopping)
			ck_assert_int_eq(server_stop(s), 0);
		server_kill(s);
		/* What was on its way counts. */
		ledger_disconnect(l);
		store_is_whole(s->store);
		ms = server_restart(s);
		slowest = ms > slowest ? ms : slowest;
		ledger_judge(l);
	}
	printf("kill -9 x %d, durability %s: %d acked (%d/s), %d unknown, ready in "
	    "%d ms\n", kills + 1, _i == 0 ? "full" : "normal", l->acked,
	    (int)(l->acked * (int64_t)1000 / loaded), l->unknown, (int)slowest);
	ck_assert_int_ge(l->acked * (int64_t)patience(1000), loaded * 1000);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* How long it ran on processors. */
static int64_t
processor_ms(pid_t pid)
{
	char *p = strrchr(read_whole(fmt("/proc/%d/stat", (int)pid)), ')');
	long user, kernel;

	ck_assert(p != NULL && sscanf(p, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u "
	    "%ld %ld", &user, &kernel) == 2);
	return (user + kernel) * 1000 / sysconf(_SC_CLK_TCK);
}

START_TEST(D1_a_long_log_is_ready_soon_after_kill_9)
{
	struct server *s = server_start(NULL, NULL);
	int rows = size_of_run(100000, 1000000);
	char *body = malloc(300000), *p = body, *last = NULL;
	struct http *h = http_open(s);
	int64_t ms, used;

	keep(body, free);
	for (int i = 0; i < 1000; i++)
		p += sprintf(p, "%c{\"topic\":\"t/%d\",\"data\":\"%0100d\"}",
		    i == 0 ? '[' : ',', i % 8, i);
	*p++ = ']';
	for (int n = 0; n < rows; n += 1000) {
		struct answer *a;

		ck_assert_int_eq(try_http_send(h, "POST", "/publish",
		    AUTH AS_JSON, body, (size_t)(p - body)), 0);
		a = try_http_receive(h, SOON);
		ck_assert_ptr_nonnull(a);
		ck_assert_int_eq(a->status, 200);
		answer_free(a);
	}
	last = publish(s, "last", "x");
	server_kill(s);
	ms = server_restart(s);
	used = processor_ms(s->pid);
	printf("%d events in the log: ready in %d ms, %d ms of a processor\n", rows,
	    (int)ms, (int)used);
	/* What others do on this machine meanwhile is not the server's fault. */
	ck_assert_int_lt(used, patience(2000));
	ck_assert_int_lt(ms, patience(8000));
	ck_assert_str_eq(text_at(json_array_get(json_object_get(history(s,
	    "topic=last"), "events"), 0), "id"), last);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- D3 ---- */

static pid_t
trace(struct server *s, const char *file)
{
	char pid_arg[16];
	int64_t end = now_ms() + patience(SOON);
	pid_t pid;
	int traced, all;

	snprintf(pid_arg, sizeof pid_arg, "%d", (int)s->pid);
	if ((pid = fork()) == 0) {
		execlp("strace", "strace", "-f", "-q", "-y", "-s", "24", "-e",
		    "trace=fdatasync,fsync,pwrite64,write,writev,sendto,"
		    "sendmsg,recvfrom,recvmsg,read", "-o", file, "-p", pid_arg,
		    (char *)NULL);
		_exit(127);
	}
	do {
		DIR *d = opendir(fmt("/proc/%d/task", (int)s->pid));
		struct dirent *de;
		int status;

		if (waitpid(pid, &status, WNOHANG) == pid)
			return -1;
		ck_assert_ptr_nonnull(d);
		for (all = traced = 0; (de = readdir(d)) != NULL;) {
			char *st;

			if (!isdigit((unsigned char)de->d_name[0]))
				continue;
			st = read_whole(fmt("/proc/%d/task/%s/status",
			    (int)s->pid, de->d_name));
			st = strstr(st, "TracerPid:");
			all++;
			traced += st != NULL && atoi(st + 10) == (int)pid;
		}
		closedir(d);
		poll(NULL, 0, 10);
	} while ((all == 0 || traced < all) && now_ms() < end);
	ck_assert_msg(traced == all, "strace holds %d of %d threads", traced,
	    all);
	return pid;
}

#define FDS	256

struct trace_state {
	long	line;
	long	wal_written;	/* line of the last write to the WAL */
	long	wal_synced;	/* the last such write that a sync covers */
	long	asked[FDS];	/* when the request on that socket was read */
	struct { int pid; char call[16]; int fd; long wal; } pending[64];
	int	npending;
	int	answers, bad, unsynced;
};

/* One complete or half system call. */
static void
trace_call(struct trace_state *t, int pid, const char *call, int fd,
    const char *args, bool unfinished)
{
	bool wal = strstr(args, "-wal>") != NULL;
	bool sync = strcmp(call, "fdatasync") == 0 ||
	    strcmp(call, "fsync") == 0;

	if (strcmp(call, "pwrite64") == 0 && wal)
		t->wal_written = t->line;
	if (strstr(args, "\"HTTP/1.1 200") != NULL && fd >= 0 && fd < FDS) {
		t->answers++;
		t->bad += t->wal_synced <= t->asked[fd];
		t->unsynced += t->wal_synced != t->wal_written;
	}
	if (strstr(args, "\"POST /publish") != NULL && fd >= 0 && fd < FDS)
		t->asked[fd] = t->line;
	if (unfinished && t->npending < 64) {
		t->pending[t->npending].pid = pid;
		t->pending[t->npending].fd = fd;
		t->pending[t->npending].wal = sync && wal ? t->wal_written : 0;
		snprintf(t->pending[t->npending++].call, 16, "%s", call);
	} else if (sync && wal && strstr(args, "= 0") != NULL) {
		t->wal_synced = t->wal_written;
	}
}

static void
trace_resumed(struct trace_state *t, int pid, const char *args)
{
	for (int i = 0; i < t->npending; i++) {
		if (t->pending[i].pid != pid)
			continue;
		/* What was written while it ran is not covered by it. */
		if (t->pending[i].wal > t->wal_synced &&
		    strstr(args, "= 0") != NULL)
			t->wal_synced = t->pending[i].wal;
		if (strstr(args, "\"POST /publish") != NULL &&
		    t->pending[i].fd < FDS)
			t->asked[t->pending[i].fd] = t->line;
		t->pending[i] = t->pending[--t->npending];
		return;
	}
}

static void
read_trace(const char *file, struct trace_state *t)
{
	FILE *f = fopen(file, "r");
	char line[4096];

	memset(t, 0, sizeof *t);
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof line, f) != NULL) {
		char call[16];
		int pid, fd = -1, at = 0;

		t->line++;
		if (sscanf(line, "%d <... %15[a-z0-9] resumed>%n", &pid, call,
		    &at) == 2 && at > 0)
			trace_resumed(t, pid, line + at);
		else if (sscanf(line, "%d %15[a-z0-9](%d", &pid, call,
		    &fd) >= 2)
			trace_call(t, pid, call, fd, line,
			    strstr(line, "<unfinished ...>") != NULL);
	}
	fclose(f);
}

START_TEST(D3_every_2xx_comes_after_the_sync_of_its_commit)
{
	struct server *s = server_start(NULL, NULL);
	struct http *h[PUBLISHERS];
	struct trace_state t;
	int n = 1000, many = 125, status;
	pid_t pid;

	for (int round = 0; round < 2; round++) {
		char *file = fmt("%s/trace-%d", test_dir(), round);

		for (int k = 0; k < PUBLISHERS; k++)
			h[k] = http_open(s);
		if ((pid = trace(s, file)) == -1) {
			printf("strace cannot trace here: D3 not tested\n");
			return;
		}
		for (int i = 0; i < (round == 0 ? n : many); i++) {
			int used = round == 0 ? 1 : PUBLISHERS;

			for (int k = 0; k < used; k++)
				ck_assert_int_eq(try_http_send(h[k], "POST",
				    "/publish?topic=a", AUTH, "x", 1), 0);
			for (int k = 0; k < used; k++) {
				struct answer *a = try_http_receive(h[k],
				    4 * SOON);

				ck_assert_ptr_nonnull(a);
				ck_assert_int_eq(a->status, 200);
				answer_free(a);
			}
		}
		kill(pid, SIGTERM);
		waitpid(pid, &status, 0);
		read_trace(file, &t);
		printf("strace, %d at a time: %d answers, %d before their sync,"
		    " %d with a later write not synced\n",
		    round == 0 ? 1 : PUBLISHERS, t.answers, t.bad, t.unsynced);
		ck_assert_int_eq(t.answers, round == 0 ? n : many * PUBLISHERS);
		ck_assert_int_eq(t.bad, 0);
		if (round == 0)
			ck_assert_int_eq(t.unsynced, 0);
		for (int k = 0; k < PUBLISHERS; k++)
			http_close(h[k]);
	}
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- D5 ---- */

START_TEST(D5_ids_are_never_used_twice)
{
	struct server *s = server_start("--store.retain_age=1s", NULL);
	char *first = publish(s, "a", "1"), *id = NULL;
	int64_t last, end;
	struct stream *st;

	for (int i = 0; i < 5; i++)
		publish(s, "a", "x");
	for (end = now_ms() + patience(20000); now_ms() < end;) {
		id = publish(s, "tick", "x");
		if (json_array_size(json_object_get(history(s, "topic=a"),
		    "events")) == 0)
			break;
		poll(NULL, 0, 100);
	}
	ck_assert_msg(now_ms() < end, "events of 1 s are kept for 20");
	last = id_seq(id);
	for (int i = 0; i < 3; i++) {
		/* By now all of them are old enough to go at the next start. */
		for (end = now_ms() + 1200; now_ms() < end;)
			poll(NULL, 0, 50);
		server_kill(s);
		server_restart(s);
		id = publish(s, "a", "new");
		ck_assert_msg(id_seq(id) > last, "%s after %d", id, (int)last);
		last = id_seq(id);
	}
	st = stream_open(s, "/events?topic=a", fmt(AUTH "Last-Event-ID: %s\r\n",
	    first));
	expect_gap(st, "expired");
	stream_close(st);
	/* And when the file is gone: another epoch, whatever the number. */
	server_kill(s);
	unlink(s->store);
	unlink(fmt("%s-wal", s->store));
	unlink(fmt("%s-shm", s->store));
	server_restart(s);
	id = publish(s, "a", "1");
	ck_assert_int_ne(strncmp(id, first, 9), 0);
	st = stream_open(s, "/events?topic=a", fmt(AUTH "Last-Event-ID: %s\r\n",
	    first));
	expect_gap(st, "reset");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- D7 ---- */

#define READERS	50
#define EACH	250

START_TEST(D7_everybody_sees_one_order_and_it_is_that_of_the_ids)
{
	struct server *s = server_start(NULL, NULL);
	struct stream *st[READERS];
	int64_t order[PUBLISHERS * EACH], before[PUBLISHERS] = { 0 };
	struct http *h[PUBLISHERS];
	int left = PUBLISHERS, done[PUBLISHERS] = { 0 };

	for (int i = 0; i < READERS; i++) {
		st[i] = stream_open(s, i % 2 ? "/events?topic=load/**" :
		    "/events?topic=load/one&topic=x", AUTH);
		expect_live(st[i], false);
	}
	for (int k = 0; k < PUBLISHERS; k++) {
		h[k] = http_open(s);
		ck_assert_int_eq(try_http_send(h[k], "POST",
		    "/publish?topic=load/one", AUTH, "x", 1), 0);
	}
	while (left > 0)
		for (int k = 0; k < PUBLISHERS; k++) {
			struct answer *a;
			int64_t seq;

			if (done[k] == EACH)
				continue;
			a = try_http_receive(h[k], SOON);
			ck_assert_ptr_nonnull(a);
			ck_assert_msg(a->status == 200, "%s", a->body);
			/* A publisher's own answers rise. */
			seq = strtoll(strstr(a->body, "\"id\":\"") + 15, NULL,
			    10);
			ck_assert_int_gt(seq, before[k]);
			before[k] = seq;
			answer_free(a);
			if (++done[k] == EACH)
				left--;
			else
				ck_assert_int_eq(try_http_send(h[k], "POST",
				    "/publish?topic=load/one", AUTH, "x", 1),
				    0);
		}
	for (int i = 0; i < READERS; i++)
		for (int n = 0; n < PUBLISHERS * EACH; n++) {
			int64_t seq = id_seq(expect_event(st[i], "message",
			    "x")->id);

			if (i == 0) {
				ck_assert(n == 0 || seq > order[n - 1]);
				order[n] = seq;
			}
			ck_assert_int_eq(seq, order[n]);
		}
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("log");
	int kills = setting("FANFARE_TEST_KILLS", size_of_run(20, 500));
	TCase *tc = harness_case(su, "kill", 60 + kills * 3);

	tcase_add_loop_test(tc, D1_D4_nothing_acked_or_seen_is_lost_by_kill_9, 0, 2);
	tc = harness_case(su, "log", 120);
	tcase_add_test(tc, D1_a_long_log_is_ready_soon_after_kill_9);
	tcase_add_test(tc, D3_every_2xx_comes_after_the_sync_of_its_commit);
	tcase_add_test(tc, D5_ids_are_never_used_twice);
	tcase_add_test(tc,
	    D7_everybody_sees_one_order_and_it_is_that_of_the_ids);
	return su;
}

SUITE_MAIN
