/*
 * ledger.c - see ledger.h.
 */
#include "config.h"

#include "ledger.h"

#include <sys/wait.h>

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PAUSE_MS	25	/* after a refusal */
#define DATA_MAX	65536

static void
ledger_release(void *p)
{
	struct ledger *l = p;

	for (int k = 0; k < l->publishers; k++)
		free(l->pub[k].fates);
	free(l->cursor);
	free(l);
}

struct ledger *
ledger_new(struct server *s, int publishers, size_t pad)
{
	struct ledger *l = keep(calloc(1, sizeof *l), ledger_release);

	ck_assert(publishers <= PUBLISHERS_MAX && pad < DATA_MAX - 200);
	l->s = s;
	l->publishers = publishers;
	l->pad = pad;
	l->cursor = strdup(text_at(history(s, "topic=**"), "cursor"));
	return l;
}

static void
send_next(struct ledger *l, int k)
{
	static char body[DATA_MAX];
	struct publisher *p = &l->pub[k];
	int len;

	if (p->n == p->cap) {
		p->cap = p->cap * 2 + 1024;
		p->fates = realloc(p->fates, (size_t)p->cap * sizeof *p->fates);
		ck_assert_ptr_nonnull(p->fates);
	}
	memset(&p->fates[p->n], 0, sizeof *p->fates);
	len = snprintf(body, sizeof body, "{\"topic\":\"load/%d\",\"data\":"
	    "\"%d:%d ", k, k, p->n);
	/* What cannot be pressed together, should somebody try. */
	for (size_t i = 0; i < l->pad; i++)
		body[len++] = (char)('a' + dice(26));
	len += snprintf(body + len, sizeof body - (size_t)len, "\"}");
	p->n++;
	p->waits = true;
	p->sent_ms = now_ms();
	(void)try_http_send(p->h, "POST", "/publish", AUTH AS_JSON, body,
	    (size_t)len);
}

/* A 503: which, and was it allowed? */
static void
take_refusal(struct ledger *l, struct fate *f, const struct answer *a)
{
	const char *code = strstr(a->body, "\"code\":\"");

	ck_assert_msg(a->status == 503 && (l->may_refuse || l->stopping),
	    "publish under load: %d %s", a->status, a->body);
	ck_assert_msg(header(a, "Retry-After") != NULL, "no Retry-After: %s", a->head);
	ck_assert_msg(code != NULL, "no code: %s", a->body);
	snprintf(l->last_code, sizeof l->last_code, "%.*s",
	    (int)strcspn(code + 8, "\""), code + 8);
	f->refused = strcmp(l->last_code, "store_unknown") != 0;
	l->full += strcmp(l->last_code, "store_full") == 0;
	l->busy += strcmp(l->last_code, "store_busy") == 0;
	l->vague += !f->refused;
}

/* Take the answer that stands.  False: the connection is gone. */
static bool
take_answer(struct ledger *l, struct publisher *p)
{
	struct fate *f = &p->fates[p->n - 1];
	int64_t now = now_ms(), ms = now - p->sent_ms;
	int rc = try_http_feed(p->h);
	struct answer *a;
	const char *id;

	if (rc != 1)
		return rc == 0;
	a = try_http_receive(p->h, 0);
	ck_assert_ptr_nonnull(a);
	p->waits = false;
	l->latency[ms < LATENCIES ? ms : LATENCIES - 1]++;
	if (a->status == 200) {
		id = strstr(a->body, "\"id\":\"");
		ck_assert_ptr_nonnull(id);
		f->acked = strtoll(id + 15, NULL, 10);
		ck_assert_int_gt(f->acked, 0);
		l->stored++;
	} else {
		take_refusal(l, f, a);
		p->pause_ms = now + PAUSE_MS;
	}
	answer_free(a);
	return true;
}

static struct fate *
fate_of(struct ledger *l, const char *data)
{
	int k, n;

	ck_assert_msg(sscanf(data, "%d:%d ", &k, &n) == 2 && k >= 0 &&
	    k < l->publishers && n >= 0 && n < l->pub[k].n, "never sent: %.80s", data);
	return &l->pub[k].fates[n];
}

/* Note what the subscriber saw; ids rise and nothing comes twice. */
static void
take_events(struct ledger *l)
{
	struct event *e;

	while ((e = stream_pop(l->st)) != NULL) {
		struct fate *f;

		ck_assert_msg(strcmp(e->name, "fanfare.gap") != 0 || l->may_prune,
		    "%s", e->data);
		if (is_control(e))
			continue;
		f = fate_of(l, e->data);
		ck_assert_msg(f->streamed == 0, "%.40s came twice", e->data);
		f->streamed = id_seq(e->id);
		ck_assert_int_gt(f->streamed, l->seen);
		l->seen = f->streamed;
	}
}

void
ledger_connect(struct ledger *l)
{
	l->st = stream_open(l->s, "/events?topic=load/*", l->st == NULL ? AUTH :
	    fmt(AUTH "Last-Event-ID: %s\r\n", l->st->last_id));
	for (int k = 0; k < l->publishers; k++) {
		l->pub[k].h = http_open(l->s);
		send_next(l, k);
	}
}

/* One look at everything, for at most so long.  How many answers came. */
static int
turn(struct ledger *l, int ms, bool again)
{
	struct pollfd pfd[PUBLISHERS_MAX + 1];
	struct publisher *p;
	int answers = 0;

	for (int k = 0; k < l->publishers; k++) {
		p = &l->pub[k];
		if (again && p->h != NULL && !p->waits && now_ms() >= p->pause_ms)
			send_next(l, k);
		pfd[k] = (struct pollfd){ p->h != NULL && p->waits ? http_fd(p->h) : -1,
		    POLLIN, 0 };
	}
	pfd[l->publishers] = (struct pollfd){ l->st->fd, POLLIN, 0 };
	poll(pfd, (nfds_t)l->publishers + 1, ms);
	for (int k = 0; k < l->publishers; k++) {
		p = &l->pub[k];
		if (pfd[k].revents == 0)
			continue;
		if (take_answer(l, p)) {
			answers += !p->waits;
			continue;
		}
		ck_assert_msg(l->stopping, "publisher %d was cut off", k);
		http_close(p->h);
		p->h = NULL;
	}
	stream_feed(l->st);
	take_events(l);
	ck_assert_msg(!l->st->eof || l->stopping, "the stream ended");
	return answers;
}

void
ledger_run(struct ledger *l, int64_t ms, int publishes)
{
	int64_t end = now_ms() + ms;
	int answers = 0;

	while (now_ms() < end && (publishes == 0 || answers < publishes))
		answers += turn(l, 5, true);
}

static bool
is_idle(const struct ledger *l)
{
	for (int k = 0; k < l->publishers; k++)
		if (l->pub[k].h != NULL && l->pub[k].waits)
			return false;
	return true;
}

/* Everything acked was shown, too. */
static bool
is_shown(const struct ledger *l)
{
	for (int k = 0; k < l->publishers; k++)
		for (int i = l->pub[k].judged; i < l->pub[k].n; i++)
			if (l->pub[k].fates[i].acked > l->seen && !l->may_prune)
				return false;
	return true;
}

static void
close_publishers(struct ledger *l)
{
	for (int k = 0; k < l->publishers; k++) {
		if (l->pub[k].h != NULL)
			http_close(l->pub[k].h);
		l->pub[k].h = NULL;
		l->pub[k].waits = false;
	}
}

void
ledger_quiesce(struct ledger *l)
{
	int64_t end = now_ms() + patience(4 * SOON);

	while ((!is_idle(l) || !is_shown(l)) && now_ms() < end)
		turn(l, 5, false);
	ck_assert_msg(is_idle(l), "publishes are not answered");
	ck_assert_msg(is_shown(l), "what was acked was not shown");
	close_publishers(l);
}

void
ledger_disconnect(struct ledger *l)
{
	int64_t end = now_ms() + patience(SOON);
	bool before = l->stopping;

	l->stopping = true;
	while (!is_idle(l) && now_ms() < end)
		turn(l, 1, false);
	close_publishers(l);
	ck_assert(stream_ended(l->st, SOON));
	take_events(l);
	l->stopping = before;
}

/* Walk the log behind the cursor and note what is there. */
static void
read_log(struct ledger *l)
{
	struct http *h = http_open(l->s);

	for (size_t n = 1; n > 0;) {
		char path[128];
		struct answer *a;
		json_t *page, *e, *gap;
		size_t i;

		snprintf(path, sizeof path, "/history?topic=load/*&limit=1000"
		    "&after=%s", l->cursor);
		ck_assert_int_eq(try_http_send(h, "GET", path, AUTH, NULL, 0), 0);
		a = try_http_receive(h, SOON);
		ck_assert_ptr_nonnull(a);
		page = json_loadb(a->body, a->len, 0, NULL);
		ck_assert_msg(page != NULL && a->status == 200, "%d %.400s", a->status,
		    a->body);
		gap = json_object_get(page, "gap");
		ck_assert_msg(json_is_null(gap) || l->may_prune, "a gap after %s: %s",
		    l->cursor, (char *)keep(json_dumps(gap, JSON_ENCODE_ANY), free));
		if (json_is_object(gap))
			l->pruned = id_seq(text_at(gap, "oldest"));
		n = json_array_size(json_object_get(page, "events"));
		json_array_foreach(json_object_get(page, "events"), i, e) {
			struct fate *f = fate_of(l, text_at(e, "data"));
			int64_t seq = id_seq(text_at(e, "id"));

			ck_assert_int_gt(seq, l->last);
			l->last = seq;
			ck_assert_msg(f->logged == 0, "%.40s is there twice",
			    text_at(e, "data"));
			f->logged = seq;
		}
		free(l->cursor);
		l->cursor = strdup(text_at(page, "cursor"));
		json_decref(page);
		answer_free(a);
	}
	http_close(h);
}

static void
judge_one(const struct ledger *l, const struct fate *f, int k, int i)
{
	ck_assert_msg(!f->refused || f->logged == 0,
	    "%d:%d was refused and is %lld", k, i, (long long)f->logged);
	if (f->logged == 0 && (f->acked == 0 || f->acked < l->pruned) &&
	    f->streamed < l->pruned)
		return;
	ck_assert_msg(f->acked == 0 || f->logged == f->acked,
	    "%d:%d was acked as %lld and is %lld", k, i, (long long)f->acked,
	    (long long)f->logged);
	ck_assert_msg(f->streamed == 0 || f->logged == f->streamed,
	    "%d:%d was seen as %lld and is %lld", k, i, (long long)f->streamed,
	    (long long)f->logged);
}

void
ledger_judge(struct ledger *l)
{
	read_log(l);
	for (int k = 0; k < l->publishers; k++)
		for (; l->pub[k].judged < l->pub[k].n; l->pub[k].judged++) {
			struct fate *f = &l->pub[k].fates[l->pub[k].judged];

			judge_one(l, f, k, l->pub[k].judged);
			l->acked += f->acked != 0;
			l->refused += f->refused;
			l->unknown += f->acked == 0 && !f->refused;
		}
}

int
ledger_latency(struct ledger *l, int percent)
{
	int64_t all = 0, at = 0;
	int ms;

	for (ms = 0; ms < LATENCIES; ms++)
		all += l->latency[ms];
	for (ms = 0; ms < LATENCIES - 1; ms++)
		if ((at += l->latency[ms]) * 100 >= all * percent)
			break;
	memset(l->latency, 0, sizeof l->latency);
	return ms;
}

/* ---- sqlite3 ---- */

char *
sqlite_cli(const char *path, const char *sql, int *code)
{
	char *out = fmt("%s/sqlite3.said", test_dir());
	pid_t pid;
	int status;

	fflush(NULL);		/* else the child tells it again */
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		if (freopen(out, "w", stdout) == NULL ||
		    dup2(STDOUT_FILENO, STDERR_FILENO) == -1)
			_exit(126);
		execlp("sqlite3", "sqlite3", "-batch", "-init", "/dev/null", "-cmd",
		    ".dbconfig no_ckpt_on_close on", path, sql, (char *)NULL);
		_exit(127);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	*code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	ck_assert_msg(*code < 126, "there is no sqlite3 program");
	return read_whole(out);
}

void
store_is_whole(const char *path)
{
	int code;
	char *said = sqlite_cli(path, "PRAGMA integrity_check", &code);

	ck_assert_msg(code == 0 && strlen(said) > 3 &&
	    strcmp(said + strlen(said) - 4, "\nok\n") == 0, "%s: %s", path, said);
	file_is_whole(path);
}
