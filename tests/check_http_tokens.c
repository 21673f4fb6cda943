/*
 * check_http_tokens.c - J1, J2: the tables of credentials once more, brought to a real
 * server: as token= of a stream, and in the header of a poll and of a publish.
 */
#include "config.h"

#include "harness.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "fault_control.h"
#include "token_maker.h"
#include "token_table.h"

static struct token_table *tokens, *claims;

/* A server as the table describes it. */
static struct server *
start(const struct table_server *d)
{
	char *key = fmt("%s/key", test_dir()), *set;
	const char *p;
	size_t len;

	if (d->key != NULL) {
		p = maker_key(d->key, &len);
		write_whole(key, p, len);
	} else if (d->jwks != NULL) {
		set = keep(maker_jwks(d->jwks), free);
		write_whole(key, set, strlen(set));
	}
	return server_start(fmt("--auth.api_keys=%s", d->api_keys != NULL ?
	    d->api_keys : "test:" API_KEY),
	    d->jwks != NULL ? fmt("--auth.jwks=%s", key) :
	    d->key != NULL ? fmt("--auth.key_file=%s", key) : "--auth.key=",
	    d->issuer != NULL ? fmt("--auth.issuer=%s", d->issuer) : NULL,
	    fmt("--auth.audience=%s", d->audience), NULL);
}

static char *
percent(const char *p, size_t len)
{
	char *out = keep(calloc(3, len + 1), free), *to = out;

	for (size_t i = 0; i < len; i++)
		if (isalnum((unsigned char)p[i]) || p[i] == '.' || p[i] == '-')
			*to++ = p[i];
		else
			to += sprintf(to, "%%%02X", (unsigned char)p[i]);
	return out;
}

/* HTTP cuts off the white space around a header's value, and has no control bytes. */
static bool
fits_header(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)p[i] < ' ' || p[i] == '\x7f')
			return false;
	return len == 0 || (p[0] != ' ' && p[len - 1] != ' ');
}

/* Accepted, with or without a grant for the topic: 200 or 403.  A refusal goes to
 * *refs, to be looked for in the log. */
static void
is_as_the_table_says(const struct table_case *c, const struct answer *a,
    const char *how, bool is_odd, char **refs)
{
	const char *what = fmt("line %d, %s, %s", c->line, c->name, how);
	bool may = strcmp(c->claims, "good") == 0;

	if (strcmp(c->code, "accept") == 0) {
		ck_assert_msg(a->status == 200 || (a->status == 403 && !may),
		    "%s: %d %.300s", what, a->status, a->body);
		return;
	}
	if (is_odd) {
		is_problem(a, 400, "malformed", "NUL|UTF-8", what);
		return;
	}
	is_problem(a, 401, c->code, "", what);
	*refs = fmt("%s%s %d\n", *refs, text_at(body_json(a), "ref"), c->line);
}

static void
bring(struct server *s, const struct table_case *c, char **refs)
{
	size_t len;
	char *bytes = keep(table_make(c, wall_s(), &len), free), *bearer;
	struct stream *st = try_stream(s, fmt("/events?topic=a&token=%s",
	    percent(bytes, len)), "", 0);
	/* No query may hold these: they are a 400, not a 401. */
	bool is_odd = memchr(bytes, '\0', len) != NULL ||
	    memchr(bytes, 0xff, len) != NULL;
	struct answer *a, head;

	ck_assert_ptr_nonnull(st);
	if (strcmp(c->code, "accept") == 0) {
		ck_assert(stream_head(st, SOON));
		head = st->head;
		head.body = st->trace;
		is_as_the_table_says(c, &head, "a stream", is_odd, refs);
	} else {
		ck_assert_msg(stream_ended(st, SOON) || st->whole > 0,
		    "line %d, %s: a stream", c->line, c->name);
		a = get(s, fmt("/events?topic=a&token=%s", percent(bytes, len)), "");
		is_as_the_table_says(c, a, "a stream", is_odd, refs);
	}
	stream_close(st);
	if (!fits_header(bytes, len))
		return;
	bearer = fmt(BEARER "%s\r\n", bytes);
	is_as_the_table_says(c, get(s, "/history?topic=a", bearer), "a poll",
	    false, refs);
	is_as_the_table_says(c, post(s, "/publish?topic=a", bearer, "x"),
	    "a publish", false, refs);
}

/* The server's log gives each refusal its reason, and never the credential. */
static void
log_tells_why(struct server *s, const struct token_table *t, char *refs)
{
	char *log = read_whole(s->log), *line, *rest = refs, *end, ref[16];
	const struct table_case *c;
	int number;

	while ((line = strsep(&rest, "\n")) != NULL && *line != '\0') {
		ck_assert_int_eq(sscanf(line, "%15s %d", ref, &number), 2);
		for (c = t->cases; c->line != number; c++)
			;
		line = strstr(log, fmt("ref=%s ", ref));
		ck_assert_msg(line != NULL, "line %d, %s: no ref %s", number,
		    c->name, ref);
		ck_assert_ptr_nonnull(end = strchr(line, '\n'));
		ck_assert_msg(memmem(line, (size_t)(end - line), c->says,
		    strlen(c->says)) != NULL, "line %d, %s: %.*s", number, c->name,
		    (int)(end - line), line);
	}
}

static void
judge(const struct token_table *t, const struct table_server *d)
{
	struct server *s = start(d);
	char *refs = fmt("%s", "");

	for (size_t i = 0; i < t->n_cases; i++)
		if (t->cases[i].server == d && !t->cases[i].is_exact)
			bring(s, &t->cases[i], &refs);
	ck_assert_int_eq(server_stop(s), 0);
	log_tells_why(s, t, refs);
}

START_TEST(J1_a_server_judges_each_credential_as_the_table_says)
{
	judge(tokens, &tokens->servers[_i]);
}
END_TEST

START_TEST(J2_a_server_judges_each_claim_as_the_table_says)
{
	judge(claims, &claims->servers[_i]);
}
END_TEST

/* Whatever kid, jku and their like name, judging opens no file and makes no socket. */
START_TEST(J1_no_file_and_no_network_is_asked_about_a_key)
{
	static const char *const words[] = { "kid", "jku", "x5u", "x5c", "jwk", "iss" };
	const struct table_server *d = &tokens->servers[_i];
	int64_t opened, sockets;
	char *refs = fmt("%s", "");
	struct server *s;
	int judged = 0;

	if (!faults_possible())
		return;
	faults_begin();
	s = start(d);
	/* Once, so that what is opened for any answer is open. */
	for (size_t i = 0; i < tokens->n_cases; i++)
		if (tokens->cases[i].server == d)
			if (strcmp(tokens->cases[i].code, "accept") == 0)
				bring(s, &tokens->cases[i], &refs);
	opened = atomic_load(&faults->calls[FAULT_OPEN]);
	sockets = atomic_load(&faults->calls[FAULT_SOCKET]);
	ck_assert_int_gt(opened, 0);
	ck_assert_int_gt(sockets, 0);
	for (size_t i = 0; i < tokens->n_cases; i++) {
		const struct table_case *c = &tokens->cases[i];
		size_t j = 0;

		while (j < 6 && strncmp(c->name, words[j], 3) != 0)
			j++;
		if (c->server != d || j == 6)
			continue;
		bring(s, c, &refs);
		judged++;
	}
	ck_assert_int_eq(atomic_load(&faults->calls[FAULT_OPEN]), opened);
	ck_assert_int_eq(atomic_load(&faults->calls[FAULT_SOCKET]), sockets);
	ck_assert(judged > 3 || (strcmp(d->name, "HS64") != 0 &&
	    strcmp(d->name, "SET") != 0));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("http_tokens");
	TCase *tc = harness_case(su, "tokens", 120);

	tokens = table_read("tokens.txt");
	claims = table_read("claims.txt");
	tcase_add_loop_test(tc, J1_a_server_judges_each_credential_as_the_table_says,
	    0, (int)tokens->n_servers);
	tcase_add_loop_test(tc, J2_a_server_judges_each_claim_as_the_table_says,
	    0, (int)claims->n_servers);
	tcase_add_loop_test(tc, J1_no_file_and_no_network_is_asked_about_a_key,
	    0, (int)tokens->n_servers);
	return su;
}

SUITE_MAIN
