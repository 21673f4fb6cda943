/*
 * check_http_control.c - what an application may ask and order with its API key: /stats,
 * /streams and /revoke on the public listener.
 */
#include "config.h"

#include "harness.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <sqlite3.h>

#define NARROW		"ffk_narrow0123456789abcdefghijklmnopqrstuvwxyz"
#define LOGIN_KEY	"login-key-of-the-tests-0123456789abcdef"

static int64_t
wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* A header line with a token of the house for what is below u/, and with these claims. */
static char *
house(const char *sub, const char *more)
{
	return fmt(BEARER "%s\r\n", token(HOUSE_KEY, fmt("{\"exp\":%lld,\"sub\":\"%s\","
	    "\"fanfare\":{\"publish\":[\"u/**\"],\"subscribe\":[\"u/**\"]}%s}",
	    (long long)wall_s() + 600, sub, more)));
}

/* The same, issued now. */
static char *
login(const char *sub)
{
	return house(sub, fmt(",\"iat\":%lld", (long long)wall_s()));
}

static struct stream *
listen_to(struct server *s, const char *topic, const char *as)
{
	struct stream *st = stream_open(s, fmt("/events?topic=%s", topic), as);

	expect_live(st, false);
	return st;
}

/* With the API key; how many streams ended. */
static int64_t
revoke_it(struct server *s, const char *body)
{
	struct answer *a = post(s, "/revoke", AUTH AS_JSON, body);

	ck_assert_msg(a->status == 200, "%s: %d %s", body, a->status, a->body);
	return json_integer_value(json_object_get(body_json(a), "ended"));
}

static json_t *
streams(struct server *s, const char *query)
{
	struct answer *a = get(s, fmt("/streams%s", query), AUTH);

	ck_assert_msg(a->status == 200, "%s: %d %s", query, a->status, a->body);
	return body_json(a);
}

static int64_t
count(struct server *s, const char *query)
{
	return json_integer_value(json_object_get(streams(s, query), "count"));
}

static void
is_refused(struct server *s, const char *as, const char *what)
{
	is_problem(get(s, "/history?topic=u/1", as), 401, "token_invalid", "", what);
	is_problem(get(s, "/events?topic=u/1", as), 401, "token_invalid", "", what);
	is_problem(post(s, "/publish?topic=u/1", as, "x"), 401, "token_invalid", "",
	    what);
}

static void
is_good(struct server *s, const char *as, const char *what)
{
	struct answer *a = get(s, "/history?topic=u/1", as);
	int64_t before = count(s, ""), end = now_ms() + patience(SOON);

	ck_assert_msg(a->status == 200, "%s: %d %s", what, a->status, a->body);
	stream_close(listen_to(s, "u/1", as));
	/* Or the next revocation may count it. */
	while (count(s, "") > before)
		ck_assert_int_lt(now_ms(), end);
	a = post(s, "/publish?topic=u/2", as, "x");
	ck_assert_msg(a->status == 200, "%s: %d %s", what, a->status, a->body);
}

/* ---- who may ---- */

START_TEST(control_is_for_api_keys_without_patterns_in_the_authorization_header)
{
	static const struct { const char *method, *path, *body; } rows[] = {
		{ "GET", "/stats", NULL }, { "GET", "/streams", NULL },
		{ "POST", "/revoke", "{\"sub\":\"42\"}" },
	};
	struct server *s = server_start(fmt("--auth.api_keys=all:" API_KEY ","
	    "narrow:" NARROW ":u/** *"), NULL);

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const char *m = rows[i].method, *p = rows[i].path, *b = rows[i].body;
		size_t n = b == NULL ? 0 : strlen(b);

		is_problem(ask(s, m, p, "", b, n), 401, "token_missing", "API key", p);
		is_problem(ask(s, m, p, BEARER "ffk_wrong\r\n", b, n), 401,
		    "token_invalid", "", p);
		is_problem(ask(s, m, p, BEARER NARROW "\r\n", b, n), 403,
		    "key_required", "patterns", p);
		is_problem(ask(s, m, p, login("1"), b, n), 403, "key_required",
		    "not for tokens", p);
		is_problem(ask(s, m, fmt("%s?token=" API_KEY, p), "", b, n), 401,
		    "token_missing", "for the rest", "in the query");
		is_problem(ask(s, m, p, "Cookie: fanfare_token=" API_KEY "\r\n", b, n),
		    401, "token_missing", "", "in a cookie");
		ck_assert_int_eq(ask(s, m, p, AUTH, b, n)->status, 200);
	}
	ck_assert_ptr_nonnull(json_object_get(body_json(get(s, "/stats", AUTH)),
	    "streams_opened"));
	is_problem(ask(s, "POST", "/streams", AUTH, "", 0), 405, "method_not_allowed",
	    "GET", "POST /streams");
	is_problem(get(s, "/revoke", AUTH), 405, "method_not_allowed", "POST",
	    "GET /revoke");
	ck_assert_ptr_null(strstr(read_whole(s->log), API_KEY));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- /streams ---- */

START_TEST(streams_tells_who_listens_to_what_since_when_and_how_far_behind)
{
	struct server *s = server_start("--topics.public=p/**", NULL);
	json_t *all, *one;

	listen_to(s, "u/1", house("42", ",\"jti\":\"j1\""));
	listen_to(s, "u/1&topic=u/2/**", house("42", ",\"jti\":\"j2\""));
	listen_to(s, "u/3", house("43\\u00e9\\\"", ""));
	listen_to(s, "p/1", "");
	listen_to(s, "u/1", AUTH);
	all = streams(s, "");
	ck_assert_int_eq(json_integer_value(json_object_get(all, "count")), 5);
	ck_assert_uint_eq(json_array_size(json_object_get(all, "streams")), 5);
	ck_assert(json_is_false(json_object_get(all, "truncated")));
	one = streams(s, "?jti=j2");
	ck_assert_int_eq(json_integer_value(json_object_get(one, "count")), 1);
	one = json_array_get(json_object_get(one, "streams"), 0);
	ck_assert_str_eq(text_at(one, "sub"), "42");
	ck_assert_str_eq(text_at(one, "jti"), "j2");
	ck_assert_str_eq(text_at(one, "issuer"), "auth");
	ck_assert_str_eq(text_at(one, "address"), "127.0.0.1");
	ck_assert_uint_eq(json_array_size(json_object_get(one, "topics")), 2);
	ck_assert_str_eq(json_string_value(json_array_get(json_object_get(one,
	    "topics"), 1)), "u/2/**");
	ck_assert_int_eq(json_integer_value(json_object_get(one, "lag")), 0);
	ck_assert_int_lt(json_integer_value(json_object_get(one, "age_ms")), 60000);
	ck_assert_uint_eq(strlen(text_at(one, "opened")), 24);
	ck_assert_int_eq(count(s, "?sub=42"), 2);
	ck_assert_int_eq(count(s, "?sub=42&jti=j1"), 1);
	ck_assert_int_eq(count(s, "?sub=43%C3%A9%22"), 1);
	ck_assert_int_eq(count(s, "?sub=4"), 0);
	ck_assert_int_eq(count(s, "?topic=u/1"), 3);
	ck_assert_int_eq(count(s, "?topic=u/2/**"), 1);
	ck_assert_int_eq(count(s, "?topic=u/2/x"), 0);
	is_problem(get(s, "/streams?user=42", AUTH), 400, "malformed", "user",
	    "an unknown parameter");
	is_problem(get(s, "/streams?sub=", AUTH), 400, "malformed", "sub", "empty");
	is_problem(get(s, "/streams?sub=1&sub=2", AUTH), 400, "malformed", "sub",
	    "twice");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* One who does not read owes events, and its lag says so. */
START_TEST(streams_tells_the_lag_of_one_who_does_not_read)
{
	struct server *s = server_start("--log.level=info", NULL);
	struct stream *slow = try_stream(s, "/events?topic=u/1", login("slow"), 4096);
	char *big = repeat("0123456789", 5000);
	int64_t end = now_ms() + patience(SOON), lag = 0;

	ck_assert(stream_head(slow, SOON));
	while (count(s, "") == 0 && now_ms() < end)
		poll(NULL, 0, 20);
	for (int i = 0; i < 200; i++)
		publish(s, "u/1", big);
	while (lag < 1 && now_ms() < end) {
		json_t *rows = json_object_get(streams(s, "?sub=slow"), "streams");

		lag = json_integer_value(json_object_get(json_array_get(rows, 0), "lag"));
	}
	ck_assert_int_ge(lag, 1);
	ck_assert_int_eq(revoke_it(s, "{\"sub\":\"slow\"}"), 1);
	/* It never reads, and has gone all the same. */
	end = now_ms() + patience(2000);
	while (server_metric(s, "streams") > 0 && now_ms() < end)
		poll(NULL, 0, 20);
	ck_assert_int_eq(server_metric(s, "streams"), 0);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(streams_counts_all_and_lists_a_thousand)
{
	struct server *s = server_start("--topics.public=p/**", NULL);
	json_t *all;

	for (int i = 0; i < 1100; i++)
		ck_assert_ptr_nonnull(try_stream(s, "/events?topic=p/1", "", 0));
	for (int64_t end = now_ms() + patience(SOON); count(s, "") < 1100;)
		ck_assert_int_lt(now_ms(), end);
	all = streams(s, "");
	ck_assert_int_eq(json_integer_value(json_object_get(all, "count")), 1100);
	ck_assert_uint_eq(json_array_size(json_object_get(all, "streams")), 1000);
	ck_assert(json_is_true(json_object_get(all, "truncated")));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- /revoke ---- */

START_TEST(revoke_ends_open_streams_within_a_second_and_a_new_login_works)
{
	struct server *s = server_start("--log.level=info", NULL);
	char *one = login("42"), *two = login("42"), *other = login("43"), *fresh;
	struct stream *st[2], *stays = listen_to(s, "u/1", other);
	const char *what = "{\"sub\":\"42\"}";
	struct http *h = http_open(s);
	struct answer *a;
	int64_t asked;

	st[0] = listen_to(s, "u/1", one);
	st[1] = listen_to(s, "u/9/**", two);
	asked = now_ms();
	/* They do not wait for the answer, which comes when the second is over. */
	ck_assert_int_eq(try_http_send(h, "POST", "/revoke", AUTH AS_JSON, what,
	    strlen(what)), 0);
	for (int i = 0; i < 2; i++) {
		expect_close(st[i], "revoked", SOON);
		ck_assert_msg(st[i]->eof_ms - asked < patience(1000),
		    "ended after %d ms", (int)(st[i]->eof_ms - asked));
	}
	a = try_http_receive(h, patience(SOON));
	ck_assert(a != NULL && a->status == 200);
	ck_assert_int_eq(json_integer_value(json_object_get(body_json(a), "ended")), 2);
	answer_free(a);
	http_close(h);
	fresh = login("42");		/* issued behind the answer */
	is_refused(s, one, "revoked");
	is_refused(s, two, "revoked");
	is_good(s, fresh, "a new login");
	is_good(s, other, "somebody else");
	publish(s, "u/1", "still there");
	while (strcmp(stream_next(stays, SOON)->data, "still there") != 0)
		;
	/* The log says which check it was, and nobody's name. */
	ck_assert_ptr_nonnull(strstr(read_whole(s->log), "the token is revoked"));
	ck_assert_int_eq(server_metric(s, "revocations_total"), 1);
	ck_assert_int_eq(server_metric(s, "streams_revoked_total"), 2);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(revoke_of_a_jti_takes_that_token_alone_and_for_ever)
{
	struct server *s = server_start("--log.level=info", NULL);
	char *one = house("42", ",\"jti\":\"one\",\"iat\":1");
	char *two = house("42", ",\"jti\":\"two\",\"iat\":1");
	char *later;
	struct stream *st = listen_to(s, "u/1", one), *stays = listen_to(s, "u/1", two);

	ck_assert_int_eq(revoke_it(s, "{\"jti\":\"one\"}"), 1);
	expect_close(st, "revoked", SOON);
	later = house("42", fmt(",\"jti\":\"one\",\"iat\":%lld", (long long)wall_s()));
	is_refused(s, one, "that jti");
	is_refused(s, later, "that jti with a later iat");
	is_good(s, two, "another jti");
	is_refused(s, house("x", ",\"jti\":\"one\""), "whosever it is");
	ck_assert(stream_quiet(stays, 50) || !stays->eof);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(revoke_with_an_issuer_leaves_the_subjects_of_others)
{
	struct server *s = server_start("--auth.login.key=" LOGIN_KEY,
	    "--auth.login.issuer=https://login.example.com", NULL);
	char *ours = login("42"), *theirs = fmt(BEARER "%s\r\n", token(LOGIN_KEY,
	    fmt("{\"iss\":\"https://login.example.com\",\"exp\":%lld,\"sub\":\"42\","
	    "\"iat\":%lld,\"fanfare\":{\"subscribe\":[\"u/**\"]}}",
	    (long long)wall_s() + 600, (long long)wall_s())));
	struct stream *a = listen_to(s, "u/1", ours), *b = listen_to(s, "u/1", theirs);

	is_problem(post(s, "/revoke", AUTH, "{\"sub\":\"42\",\"issuer\":\"logins\"}"),
	    400, "malformed", "no issuer", "an issuer that is none");
	ck_assert_int_eq(revoke_it(s, "{\"sub\":\"42\",\"issuer\":\"login\"}"), 1);
	expect_close(b, "revoked", SOON);
	is_problem(get(s, "/history?topic=u/1", theirs), 401, "token_invalid", "",
	    "the login's");
	is_good(s, ours, "the house's");
	ck_assert(!a->eof);
	ck_assert_int_eq(revoke_it(s, "{\"sub\":\"42\",\"issuer\":\"auth\"}"), 1);
	is_refused(s, ours, "the house's");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* /revoke {"issuer"} names a section, and an open stream has the name of before. */
START_TEST(revoke_with_an_issuer_reaches_streams_of_a_section_that_was_renamed)
{
	static const char *const names[] = { "login", "accounts" };
	char *conf = fmt("%s/fanfare.conf", test_dir()), *text[2], *theirs;
	struct server *s;
	struct stream *st;

	for (int i = 0; i < 2; i++)
		text[i] = fmt("[auth.%s]\nkey = " LOGIN_KEY "\n"
		    "issuer = https://login.example.com\n", names[i]);
	theirs = fmt(BEARER "%s\r\n", token(LOGIN_KEY,
	    fmt("{\"iss\":\"https://login.example.com\",\"exp\":%lld,\"sub\":\"42\","
	    "\"iat\":%lld,\"fanfare\":{\"subscribe\":[\"u/**\"]}}",
	    (long long)wall_s() + 600, (long long)wall_s())));
	write_whole(conf, text[0], strlen(text[0]));
	s = server_start(fmt("-c%s", conf), "--log.level=info", NULL);
	st = listen_to(s, "u/1", theirs);
	write_whole(conf, text[1], strlen(text[1]));
	server_signal(s, SIGHUP);
	for (int64_t end = now_ms() + patience(SOON);
	    strstr(read_whole(s->log), "are reloaded") == NULL; poll(NULL, 0, 20))
		ck_assert_int_lt(now_ms(), end);
	revoke_it(s, "{\"sub\":\"42\",\"issuer\":\"accounts\"}");
	expect_close(st, "revoked", SOON);
	is_problem(get(s, "/history?topic=u/1", theirs), 401, "token_invalid", "",
	    "after the new name");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* One that is wrong is refused, and says what to mend. */
START_TEST(revoke_refuses_what_it_does_not_understand)
{
	static const struct { const char *body, *word; } rows[] = {
		{ "", "empty" },
		{ "42", "object" },
		{ "[]", "object" },
		{ "{}", "missing" },
		{ "{\"sub\":\"1\"", "JSON" },
		{ "sub=1", "an object such as" },
		{ "{\"sub\":\"1\"} {}", "nothing else" },
		{ "{\"sub\":\"1\",\"jti\":\"2\"}", "both" },
		{ "{\"sub\":42}", "sub must be a string" },
		{ "{\"sub\":null}", "sub must be a string" },
		{ "{\"jti\":[\"1\"]}", "jti must be a string" },
		{ "{\"sub\":\"\"}", "sub must not be empty" },
		{ "{\"sub\":\"1\",\"sub\":\"2\"}", "twice" },
		{ "{\"user\":\"1\"}", "no field \"user\"" },
		{ "{\"sub\":\"1\",\"issuer\":\"\"}", "issuer must not be empty" },
		{ "{\"sub\":\"1\",\"issuer\":1}", "issuer must be a string" },
		{ "{\"sub\":\"1\",\"issuer\":\"nobody\"}", "no issuer nobody" },
		{ "{\"sub\":\"a\\u0000b\"}", "no token can hold" },
		{ "{\"sub\":\"\\ud800\"}", "no token can hold" },
	};
	struct server *s = server_start("--log.level=info", NULL);
	char *jwt = login("1");
	struct stream *st = listen_to(s, "u/1", jwt);

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		is_problem(post(s, "/revoke", AUTH AS_JSON, rows[i].body), 400,
		    "malformed", rows[i].word, rows[i].body);
	is_problem(post(s, "/revoke", AUTH, fmt("{\"sub\":\"%s\"}",
	    repeat("x", 8193))), 400, "malformed", "8193", "too long");
	is_good(s, jwt, "after all that");
	ck_assert(!st->eof);
	ck_assert_int_eq(server_metric(s, "revocations_total"), 0);
	/* The longest that a token could hold is taken. */
	revoke_it(s, fmt("{\"sub\":\"%s\"}", repeat("x", 8192)));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* A token without iat counts as issued before everything; one from the future is none. */
START_TEST(no_iat_is_the_oldest_and_one_in_the_future_is_refused)
{
	struct server *s = server_start("--auth.leeway=2s", NULL);
	char *none = house("42", ""), *ahead;

	is_good(s, none, "without iat");
	is_refused(s, house("42", fmt(",\"iat\":%lld", (long long)wall_s() + 60)),
	    "from the future");
	is_refused(s, house("42", ",\"iat\":\"1\""), "an iat in quotes");
	/* Within the leeway it is good, opens a stream, and does not dodge. */
	ahead = house("42", fmt(",\"iat\":%lld", (long long)wall_s() + 2));
	listen_to(s, "u/1", ahead);
	ck_assert_int_eq(revoke_it(s, "{\"sub\":\"42\"}"), 1);
	is_refused(s, none, "without iat, revoked");
	ck_assert_ptr_nonnull(strstr(read_whole(s->log), "has no iat"));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

START_TEST(revocations_survive_restarts_kills_reloads_and_are_backed_up)
{
	char *backup = fmt("%s/backup.db", test_dir());
	struct server *s = server_start("--log.level=info", NULL);
	char *old = login("42"), *jti = house("1", ",\"jti\":\"j\""), *said;

	revoke_it(s, "{\"sub\":\"42\"}");
	revoke_it(s, "{\"sub\":\"42\"}");		/* again: nothing new */
	revoke_it(s, "{\"jti\":\"j\"}");
	server_kill(s);
	server_restart(s);
	is_refused(s, old, "after a kill");
	is_refused(s, jti, "after a kill");
	server_signal(s, SIGHUP);
	for (int64_t end = now_ms() + patience(SOON);
	    strstr(read_whole(s->log), "are reloaded") == NULL; poll(NULL, 0, 20))
		ck_assert_int_lt(now_ms(), end);
	is_refused(s, old, "after a reload");
	is_good(s, login("42"), "a new login");
	ck_assert_int_eq(program_run(&said, NULL, NULL, "backup", "--store.path",
	    s->store, backup, NULL), 0);
	ck_assert_int_eq(program_run(&said, NULL, NULL, "verify", backup, NULL), 0);
	ck_assert_msg(strstr(said, "2 revocations") != NULL, "%s", said);
	ck_assert_int_eq(server_stop(s), 0);
	log_is_whole(s);
	server_restart(s);
	is_refused(s, old, "after a stop");
	is_refused(s, jti, "after a stop");
	ck_assert_int_eq(server_stop(s), 0);
	/* What is saved from a log that is damaged. */
	ck_assert_int_eq(program_run(&said, NULL, NULL, "recover", s->store,
	    fmt("%s/saved.db", test_dir()), NULL), 0);
	ck_assert_int_eq(program_run(&said, NULL, NULL, "verify",
	    fmt("%s/saved.db", test_dir()), NULL), 0);
	ck_assert_msg(strstr(said, "2 revocations") != NULL, "%s", said);
}
END_TEST

/* What `fanfare explain` says of the token in this header line, by that log. */
static int
explained(const char *store, const char *header, char **said)
{
	char *text = fmt("%s", header), *err;

	text[strcspn(text, "\r\n")] = '\0';
	return program_run(said, &err, NULL, "explain", "--auth.key=" HOUSE_KEY,
	    fmt("--store.path=%s", store), text, NULL);
}

START_TEST(explain_knows_what_was_revoked_beside_the_server_and_without_it)
{
	struct server *s = server_start(NULL, NULL);
	char *old = login("42"), *other = login("43"), *said;

	ck_assert_int_eq(explained(s->store, old, &said), 0);
	revoke_it(s, "{\"sub\":\"42\"}");
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(explained(s->store, old, &said), 1);
		ck_assert_msg(strstr(said, "Refused with 401 token_invalid: the token is "
		    "revoked: those of its sub were") != NULL, "%s", said);
		ck_assert_int_eq(explained(s->store, other, &said), 0);
		ck_assert_msg(strstr(said, "\nAccepted; ") != NULL &&
		    strstr(said, "revoked") == NULL, "%s", said);
		if (i == 0)
			ck_assert_int_eq(server_stop(s), 0);
	}
	log_is_whole(s);
	/* Where there is no log, it does not claim to know, nor make one. */
	ck_assert_int_eq(explained(fmt("%s/none.db", test_dir()), old, &said), 0);
	ck_assert_msg(strstr(said, "Whether it was revoked is not known: ") != NULL &&
	    strstr(said, "none.db: No such file") != NULL, "%s", said);
	ck_assert_int_ne(access(fmt("%s/none.db", test_dir()), F_OK), 0);
}
END_TEST

/* Another program holds the database's lock. */
START_TEST(a_revocation_that_cannot_be_stored_holds_all_the_same_and_is_told)
{
	struct server *s = server_start("--log.level=info", NULL);
	char *jwt = login("42");
	struct stream *st = listen_to(s, "u/1", jwt);
	struct answer *a;
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(s->store, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL),
	    SQLITE_OK);
	is_problem(post(s, "/revoke", AUTH, "{\"sub\":\"42\"}"), 503, "store_busy",
	    "until the server is restarted", "not stored");
	expect_close(st, "revoked", SOON);
	is_problem(get(s, "/history?topic=u/1", jwt), 401, "token_invalid", "",
	    "not stored");
	ck_assert_int_eq(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	for (int64_t end = now_ms() + patience(SOON);;) {
		a = post(s, "/revoke", AUTH, "{\"sub\":\"42\"}");
		if (a->status == 200)
			break;
		ck_assert_int_lt(now_ms(), end);
	}
	server_kill(s);
	server_restart(s);
	is_refused(s, jwt, "stored by the repeat");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* auth.max_life lets old ones go, and no token of that time comes to life by it. */
START_TEST(revocations_go_when_no_token_can_live_any_more_and_none_comes_to_life)
{
	struct server *s = server_start("--auth.max_life=10s", "--auth.leeway=0", NULL);
	char *life = house("42", fmt(",\"iat\":%lld", (long long)wall_s()));
	char *none = house("42", ""), *old, *said;
	int64_t at;

	is_refused(s, life, "lives for ten minutes");
	is_refused(s, none, "does not say how long");
	old = fmt(BEARER "%s\r\n", token(HOUSE_KEY, fmt("{\"exp\":%lld,\"iat\":%lld,"
	    "\"sub\":\"42\",\"fanfare\":{\"publish\":[\"u/**\"],"
	    "\"subscribe\":[\"u/**\"]}}", (long long)wall_s() + 9,
	    (long long)wall_s())));
	is_good(s, old, "ten seconds are allowed");
	at = wall_s();
	life = house("42", fmt(",\"iat\":%lld", (long long)at));
	revoke_it(s, "{\"sub\":\"42\"}");
	is_refused(s, old, "revoked");
	ck_assert_int_eq(server_stop(s), 0);
	while (wall_s() <= at + 12)
		poll(NULL, 0, 100);
	/* The start drops it ... */
	server_restart(s);
	for (int64_t end = now_ms() + patience(SOON);; poll(NULL, 0, 50)) {
		ck_assert_int_eq(program_run(&said, NULL, NULL, "verify", s->store,
		    NULL), 0);
		if (strstr(said, "revocations") == NULL)
			break;
		ck_assert_int_lt(now_ms(), end);
	}
	is_refused(s, life, "it lives too long");
	ck_assert_int_eq(server_stop(s), 0);
	/* ... and one without that limit knows that something was dropped. */
	for (int i = 0; i < s->nargs; i++)
		if (strncmp(s->args[i], "--auth.max_life", 15) == 0)
			s->args[i] = fmt("--auth.max_life=0");
	server_restart(s);
	is_refused(s, life, "issued before it was dropped");
	is_refused(s, none, "issued nobody knows when");
	ck_assert_ptr_nonnull(strstr(read_whole(s->log), "not known any more"));
	is_good(s, login("42"), "a new login");
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- the races ---- */

/* Heads of streams, bodies of publishes and pages of history that were on their way when
 * the revocation came. */
START_TEST(what_was_under_way_when_the_revocation_came_is_refused_or_ended)
{
	struct server *s = server_start("--log.level=info", NULL);
	char *jwt = login("42");
	struct answer *a;
	struct http *h = http_open(s);

	/* The head of a publish is here and judged, its body is not. */
	ck_assert_int_eq(try_http_send(h, "POST", "/publish?topic=u/1",
	    fmt("Transfer-Encoding: chunked\r\n%s", jwt), NULL, 0), 0);
	ck_assert_int_eq(try_http_write(h, "1\r\nx\r\n", 6), 0);
	poll(NULL, 0, 100);
	revoke_it(s, "{\"sub\":\"42\"}");
	ck_assert_int_eq(try_http_write(h, "0\r\n\r\n", 5), 0);
	a = try_http_receive(h, SOON);
	ck_assert_ptr_nonnull(a);
	is_problem(a, 401, "token_invalid", "", "a body that took its time");
	answer_free(a);
	ck_assert_uint_eq(json_array_size(json_object_get(history(s, "topic=u/1"),
	    "events")), 0);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/*
 * Many come while one is revoked, again and again: whoever got a stream before the answer
 * has lost it soon after, and nobody gets one with a token of before.
 */
START_TEST(no_stream_outlives_a_revocation_under_load)
{
	enum { ROUNDS = 6, CROWD = 60 };
	struct server *s = server_start("--server.threads=2", NULL);
	int64_t end;

	for (int round = 0; round < ROUNDS; round++) {
		struct stream *st[CROWD];
		char *sub = fmt("r%d", round), *jwt = login(sub);
		struct http *h = http_open(s);
		char *body = fmt("{\"sub\":\"%s\"}", sub);
		struct answer *a;

		for (int i = 0; i < CROWD; i++) {
			if (i == CROWD / 2)
				ck_assert_int_eq(try_http_send(h, "POST", "/revoke",
				    AUTH, body, strlen(body)), 0);
			/* Each second one with a token that nobody has seen yet. */
			st[i] = try_stream(s, "/events?topic=u/1", i & 1 ? jwt :
			    house(sub, fmt(",\"iat\":%lld,\"n\":%d",
			    (long long)wall_s() - 1, i)), 0);
			ck_assert_ptr_nonnull(st[i]);
			if (i % 7 == 0)
				publish(s, "u/1", "x");
		}
		a = try_http_receive(h, SOON);
		ck_assert_ptr_nonnull(a);
		ck_assert_int_eq(a->status, 200);
		answer_free(a);
		is_refused(s, jwt, "before the answer");
		end = now_ms() + patience(2000);
		for (int i = 0; i < CROWD; i++)
			ck_assert_msg(stream_ended(st[i], (int)(end - now_ms() < 1 ? 1 :
			    end - now_ms())), "round %d: stream %d lives", round, i);
		ck_assert_int_eq(count(s, fmt("?sub=%s", sub)), 0);
		for (int i = 0; i < CROWD; i++)
			stream_close(st[i]);
		http_close(h);
	}
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* A reload and a revocation at the same moment. */
START_TEST(revocations_hold_while_keys_are_reloaded)
{
	struct server *s = server_start("--log.level=info", NULL);

	for (int i = 0; i < 5; i++) {
		char *sub = fmt("r%d", i), *jwt = login(sub);
		struct stream *st = listen_to(s, "u/1", jwt);

		server_signal(s, SIGHUP);
		ck_assert_int_eq(revoke_it(s, fmt("{\"sub\":\"%s\"}", sub)), 1);
		server_signal(s, SIGHUP);
		expect_close(st, "revoked", SOON);
		is_refused(s, jwt, sub);
	}
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* The answer waits for the second to end, and a stop waits for the answer. */
START_TEST(a_stop_answers_the_revocations_that_wait)
{
	struct server *s = server_start("--log.level=info", NULL);
	struct http *h = http_open(s), *left = http_open(s);
	static const char body[] = "{\"sub\":\"42\"}";
	struct answer *a;

	while (wall_ms() % 1000 > 300)
		poll(NULL, 0, 10);
	ck_assert_int_eq(try_http_send(h, "POST", "/revoke", AUTH, body,
	    strlen(body)), 0);
	/* One who does not wait for it. */
	ck_assert_int_eq(try_http_send(left, "POST", "/revoke", AUTH, body,
	    strlen(body)), 0);
	poll(NULL, 0, 50);
	http_close(left);
	server_signal(s, SIGTERM);
	a = try_http_receive(h, SOON);
	ck_assert_ptr_nonnull(a);
	ck_assert_int_eq(a->status, 200);
	answer_free(a);
	ck_assert_int_eq(server_wait(s, patience(SOON)), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("http_control");
	TCase *tc;

	tc = harness_case(s, "who", 60);
	tcase_add_test(tc,
	    control_is_for_api_keys_without_patterns_in_the_authorization_header);
	tc = harness_case(s, "streams", 60);
	tcase_add_test(tc,
	    streams_tells_who_listens_to_what_since_when_and_how_far_behind);
	tcase_add_test(tc, streams_tells_the_lag_of_one_who_does_not_read);
	tcase_add_test(tc, streams_counts_all_and_lists_a_thousand);
	tc = harness_case(s, "revoke", 60);
	tcase_add_test(tc, revoke_ends_open_streams_within_a_second_and_a_new_login_works);
	tcase_add_test(tc, revoke_of_a_jti_takes_that_token_alone_and_for_ever);
	tcase_add_test(tc, revoke_with_an_issuer_leaves_the_subjects_of_others);
	tcase_add_test(tc,
	    revoke_with_an_issuer_reaches_streams_of_a_section_that_was_renamed);
	tcase_add_test(tc, revoke_refuses_what_it_does_not_understand);
	tcase_add_test(tc, no_iat_is_the_oldest_and_one_in_the_future_is_refused);
	tc = harness_case(s, "kept", 90);
	tcase_add_test(tc, revocations_survive_restarts_kills_reloads_and_are_backed_up);
	tcase_add_test(tc,
	    explain_knows_what_was_revoked_beside_the_server_and_without_it);
	tcase_add_test(tc,
	    revocations_go_when_no_token_can_live_any_more_and_none_comes_to_life);
	tcase_add_test(tc, a_revocation_that_cannot_be_stored_holds_all_the_same_and_is_told);
	tc = harness_case(s, "races", 120);
	tcase_add_test(tc, what_was_under_way_when_the_revocation_came_is_refused_or_ended);
	tcase_add_test(tc, no_stream_outlives_a_revocation_under_load);
	tcase_add_test(tc, revocations_hold_while_keys_are_reloaded);
	tcase_add_test(tc, a_stop_answers_the_revocations_that_wait);
	return s;
}

SUITE_MAIN
