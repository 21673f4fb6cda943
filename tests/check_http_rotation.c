/*
 * check_http_rotation.c - J6: keys come and go by SIGHUP under load.  While the old and
 * the new key are both there both are good, no stream whose key stays loses anything, and
 * those whose key goes end.  Tokens that expire end theirs on time.
 */
#include "config.h"

#include "harness.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "token_maker.h"

#define OLD_API	"ffk_old-old-old-old-old-old"
#define NEW_API	"ffk_new-new-new-new-new-new"
#define EACH	10		/* streams of each key and phase */
#define ROUND	40		/* events of each phase, at the least */

enum { OLD_TOKEN, OLD_KEY, NEW_TOKEN, NEW_KEY, KINDS };

#define OLD_SECRET	"old-secret-of-the-tests-0123456789abcdef"
#define NEW_SECRET	"new-secret-of-the-tests-0123456789abcdef"

static struct server *sv;
static bool of_secrets;		/* all kinds are tokens made with one of these */
static char *set_file, *keys_file, *conf_file;
static void (*have_keys)(bool old, bool new);
static int published;

/* A stream, and the events that it must have: all, from its first on. */
static struct reader {
	struct stream	*st;
	int		 kind;
	int		 first, last;	/* numbers; 0: none yet */
	bool		 closed;
} readers[4 * KINDS * EACH];
static int n_readers;

/* Each a token of its own. */
static char *
credential(int kind)
{
	static int n;
	const char *kid = kind == OLD_TOKEN ? "old" : "new";
	char *header, *claims, *t;

	if (of_secrets)
		return fmt(BEARER "%s\r\n", token(kind <= OLD_KEY ? OLD_SECRET :
		    NEW_SECRET, fmt("{\"exp\":%lld,\"sub\":\"%d\",\"fanfare\":{"
		    "\"subscribe\":[\"a\"],\"publish\":[\"a\"]}}",
		    (long long)wall_s() + 600, ++n)));
	if (kind == OLD_KEY || kind == NEW_KEY)
		return fmt(BEARER "%s\r\n", kind == OLD_KEY ? OLD_API : NEW_API);
	header = fmt("{\"alg\":\"%s\",\"kid\":\"%s\"}", kind == OLD_TOKEN ?
	    "RS256" : "ES256", kid);
	claims = fmt("{\"exp\":%lld,\"sub\":\"%d\",\"fanfare\":{\"subscribe\":"
	    "[\"a\"],\"publish\":[\"a\"]}}", (long long)wall_s() + 600, ++n);
	t = keep(maker_token(header, claims, kind == OLD_TOKEN ? "RS256/RSA" :
	    "ES256/P256"), free);
	return fmt(BEARER "%s\r\n", t);
}

/* At once: a reload must never find half of it. */
static void
replace(const char *path, const char *text)
{
	char *beside = fmt("%s.new", path);

	write_whole(beside, text, strlen(text));
	ck_assert_int_eq(rename(beside, path), 0);
}

static void
write_keys(bool old, bool new)
{
	char *set = keep(maker_jwks(old && new ? "RSA=old P256=new" : old ?
	    "RSA=old" : "P256=new"), free);
	char *keys = fmt("%s%s", old ? "web:" OLD_API "\n" : "",
	    new ? "web:" NEW_API "\n" : "");

	replace(set_file, set);
	replace(keys_file, keys);
}

/* The lines of the manual for the time with two, with its paths here. */
static char *
lines_of_manual(void)
{
	const char *src = getenv("srcdir");
	char *text = read_whole(fmt("%s/src/fanfare-tokens.7", src != NULL ? src : "..")),
	    *at = strstr(text, ".Sh KEY ROTATION\n"), *end, *out = fmt("%s", "");

	ck_assert(at != NULL && (at = strstr(at, "\n[auth]\n")) != NULL &&
	    (end = strstr(at, ".Ed\n")) != NULL);
	for (*end = '\0'; (end = strstr(at, "/etc/fanfare")) != NULL; at = end + 12)
		out = fmt("%s%.*s%s", out, (int)(end - at), at, test_dir());
	return fmt("%s%s", out, at);
}

static void
write_secrets(bool old, bool new)
{
	char *key = fmt("%s/token-key", test_dir()), *text = lines_of_manual();

	replace(key, new ? NEW_SECRET "\n" : OLD_SECRET "\n");
	replace(fmt("%s-before", key), OLD_SECRET "\n");
	if (!old || !new)
		text = fmt("[auth]\nkey_file = %s\n", key);
	/* As in EXAMPLES of fanfare.conf(5): a rule that a second section could not share. */
	replace(conf_file, fmt("%s[topics]\nauthenticated = user/{sub}/**\n", text));
}

static void
open_readers(int kind)
{
	for (int i = 0; i < EACH; i++) {
		struct reader *r = &readers[n_readers++];

		*r = (struct reader){ .kind = kind };
		r->st = stream_open(sv, "/events?topic=a", credential(kind));
	}
}

/* Take what has come: numbers one after the other, and no control but these. */
static void
feed(struct reader *r)
{
	struct event *e;
	int n;

	stream_feed(r->st);
	while ((e = stream_pop(r->st)) != NULL) {
		ck_assert_msg(!r->closed, "%s after the close", e->name);
		if (strcmp(e->name, "fanfare.live") == 0)
			continue;
		if (strcmp(e->name, "fanfare.close") == 0) {
			ck_assert_msg(strstr(e->data, "\"revoked\"") != NULL, "%s",
			    e->data);
			r->closed = true;
			continue;
		}
		ck_assert_str_eq(e->name, "message");
		n = atoi(e->data);
		if (r->first == 0)
			r->first = n;
		else
			ck_assert_msg(n == r->last + 1, "%d after %d", n, r->last);
		r->last = n;
	}
	ck_assert_msg(!r->st->eof || r->closed, "a stream ended without a word");
}

static void
feed_all(void)
{
	for (int i = 0; i < n_readers; i++)
		if (!readers[i].closed)
			feed(&readers[i]);
}

/* One more event, by whichever key. */
static void
publish_one(const char *who)
{
	struct answer *a = post(sv, "/publish?topic=a", who, fmt("%d",
	    published + 1));

	ck_assert_msg(a->status == 200, "%d %s", a->status, a->body);
	published++;
	feed_all();
}

static int
status_for(int kind)
{
	return get(sv, "/history?topic=a&limit=1", credential(kind))->status;
}

/* Go on publishing, with reloads that change nothing, until both kinds are answered so;
 * then for a round. */
static void
publish_until(int kind, int status, int by)
{
	int64_t end = now_ms() + patience(SOON);

	while (status_for(kind) != status || status_for(kind + 1) != status) {
		ck_assert_msg(now_ms() < end, "kind %d: not %d yet", kind, status);
		publish_one(credential(by));
	}
	for (int i = 0; i < ROUND; i++) {
		if (i % 8 == 0)
			server_signal(sv, SIGHUP);
		publish_one(credential(i % 2 == 0 ? by : by + 1));
	}
}

/* From the old ones over both to the new ones. */
static void
rotate(void)
{
	int64_t end;

	n_readers = published = 0;
	open_readers(OLD_TOKEN);
	open_readers(OLD_KEY);
	publish_until(NEW_TOKEN, 401, OLD_TOKEN);
	/* The new ones beside the old. */
	have_keys(true, true);
	server_signal(sv, SIGHUP);
	publish_until(NEW_TOKEN, 200, OLD_TOKEN);
	for (int kind = 0; kind < KINDS; kind++)
		open_readers(kind);
	publish_until(OLD_TOKEN, 200, NEW_TOKEN);
	/* The old ones go. */
	have_keys(false, true);
	server_signal(sv, SIGHUP);
	publish_until(OLD_TOKEN, 401, NEW_TOKEN);
	open_readers(NEW_TOKEN);
	publish_until(NEW_TOKEN, 200, NEW_TOKEN);

	end = now_ms() + patience(SOON);
	for (int i = 0; i < n_readers; i++) {
		struct reader *r = &readers[i];
		bool stays = r->kind == NEW_TOKEN || r->kind == NEW_KEY;

		while (now_ms() < end && (stays ? r->last < published :
		    !r->closed || !r->st->eof)) {
			poll(NULL, 0, 5);
			if (r->closed)
				stream_feed(r->st);
			else
				feed(r);
		}
		ck_assert_msg(r->closed == !stays, "reader %d of kind %d: closed %d",
		    i, r->kind, r->closed);
		ck_assert_msg(r->first > 0 && (!stays || r->last == published),
		    "reader %d of kind %d: %d to %d of %d", i, r->kind, r->first,
		    r->last, published);
		ck_assert(!stays || !r->st->eof);
	}
	ck_assert_int_gt(published, 4 * ROUND);
	ck_assert_int_eq(server_stop(sv), 0);
	ck_assert_ptr_null(strstr(read_whole(sv->log), NEW_API));
	ck_assert_ptr_null(strstr(read_whole(sv->log), NEW_SECRET));
}

START_TEST(J6_keys_rotate_by_sighup_under_load_and_valid_streams_lose_nothing)
{
	set_file = fmt("%s/set", test_dir());
	keys_file = fmt("%s/keys", test_dir());
	have_keys = write_keys;
	of_secrets = false;
	write_keys(true, false);
	sv = server_start(fmt("--auth.jwks=%s", set_file),
	    fmt("--auth.api_keys_file=%s", keys_file),
	    "--auth.api_keys=spare:ffk_spare-spare-spare-spare", NULL);
	rotate();
}
END_TEST

START_TEST(
    J6_a_secret_rotates_by_the_lines_of_the_manual_and_valid_streams_lose_nothing)
{
	conf_file = fmt("%s/fanfare.conf", test_dir());
	have_keys = write_secrets;
	of_secrets = true;
	write_secrets(true, false);
	sv = server_start(fmt("-c%s", conf_file), "--auth.key=", NULL);
	rotate();
	ck_assert_ptr_nonnull(strstr(read_whole(sv->log),
	    "auth.key_before_file: an HMAC secret of 40 bytes, fingerprint"));
}
END_TEST

static int64_t
wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Of many streams each ends at its own time: never before exp + grace, and within a second
 * behind it, with events coming all the while. */
START_TEST(J6_an_expired_stream_is_closed_within_a_second_of_exp_and_grace)
{
	struct { struct stream *st; int64_t due_ms, closed_ms; } v[30];
	const int n = (int)(sizeof v / sizeof *v);
	int64_t begun = wall_s(), end, late = 0;
	int open = n, events = 0;
	struct event *e;
	struct server *s;
	char *t;

	s = server_start("--auth.grace=2s", NULL);
	for (int i = 0; i < n; i++) {
		t = token(HOUSE_KEY, fmt("{\"exp\":%lld.%d,\"fanfare\":{"
		    "\"subscribe\":[\"a\"]}}", (long long)begun + 1 + i / 10, i % 10));
		v[i].due_ms = (begun + 1 + i / 10) * 1000 + i % 10 * 100 + 2000;
		v[i].closed_ms = 0;
		v[i].st = stream_open(s, "/events?topic=a", fmt(BEARER "%s\r\n", t));
	}
	end = v[n - 1].due_ms + patience(SOON);
	while (open > 0 && wall_ms() < end) {
		publish(s, "a", "x");
		for (int i = 0; i < n; i++) {
			if (v[i].closed_ms != 0)
				continue;
			stream_feed(v[i].st);
			while ((e = stream_pop(v[i].st)) != NULL) {
				events += strcmp(e->name, "message") == 0;
				if (strcmp(e->name, "fanfare.close") != 0)
					continue;
				ck_assert_ptr_nonnull(strstr(e->data, "\"expired\""));
				v[i].closed_ms = wall_ms();
				open--;
			}
		}
		poll(NULL, 0, 5);
	}
	ck_assert_int_eq(open, 0);
	for (int i = 0; i < n; i++) {
		/* A millisecond for rounding. */
		ck_assert_msg(v[i].closed_ms >= v[i].due_ms - 1, "%d ms too soon",
		    (int)(v[i].due_ms - v[i].closed_ms));
		if (v[i].closed_ms - v[i].due_ms > late)
			late = v[i].closed_ms - v[i].due_ms;
	}
	ck_assert_msg(late <= patience(1000), "%d ms late", (int)late);
	ck_assert_int_gt(events, n);
	if (setting("FANFARE_TEST_SHOW", 0))
		printf("the last to end was %d ms late\n", (int)late);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("http_rotation");
	TCase *tc = harness_case(su, "rotation", 120);

	tcase_add_test(tc,
	    J6_keys_rotate_by_sighup_under_load_and_valid_streams_lose_nothing);
	tcase_add_test(tc,
	    J6_a_secret_rotates_by_the_lines_of_the_manual_and_valid_streams_lose_nothing);
	tcase_add_test(tc,
	    J6_an_expired_stream_is_closed_within_a_second_of_exp_and_grace);
	return su;
}

SUITE_MAIN
