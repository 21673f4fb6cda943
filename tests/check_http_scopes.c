/*
 * check_http_scopes.c - J5: what a credential opens, and nothing else:
 * tests/data/scopes.txt, asked of a real server in every way there is.
 */
#include "config.h"

#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "token_table.h"

#define NEWS_KEY	"ffk_5Nd8sKw0tPq2vRz7yBxLcMf3"

static struct scope {
	int	 line;
	char	*name, *who, *topic, *read, *publish;
} rows[300];
static size_t n_rows;

static void
read_rows(void)
{
	char *rest = table_text("scopes.txt"), *line;
	int number = 0;

	while ((line = table_line(&rest, &number)) != NULL) {
		struct scope *r = &rows[n_rows++];

		r->line = number;
		r->name = table_field(&line);
		r->who = table_field(&line);
		r->topic = table_field(&line);
		r->read = table_field(&line);
		r->publish = table_field(&line);
		if (r->publish == NULL || line != NULL || n_rows == 300) {
			fprintf(stderr, "scopes.txt, line %d\n", number);
			exit(EXIT_FAILURE);
		}
	}
}

static struct server *
start(void)
{
	return server_start("--auth.api_keys=news:" NEWS_KEY ":news/** a/*",
	    "--topics.public=public/**,scores/*",
	    "--topics.authenticated=user/{sub}/**,app/**,org/{org}/all,"
	    "org/{org}/members/{sub},own/{sub},x/{https://x.org/id}", NULL);
}

/* The header line that says who asks. */
static char *
bearer(const struct scope *r)
{
	if (strcmp(r->who, "nobody") == 0)
		return fmt("%s", "");
	if (strcmp(r->who, "key") == 0)
		return fmt(BEARER NEWS_KEY "\r\n");
	return fmt(BEARER "%s\r\n", token(HOUSE_KEY, fmt("{%s,\"exp\":%lld}",
	    r->who, (long long)wall_s() + 600)));
}

static int
status_of(const struct scope *r, const char *word)
{
	if (strcmp(word, "yes") == 0)
		return 200;
	if (strcmp(word, "400") == 0)
		return 400;
	return strcmp(r->who, "nobody") == 0 ? 401 : 403;
}

/* All of them, to be told together. */
static char *wrong;

static void
is_so(const struct scope *r, const char *how, int status, int expected,
    const char *said)
{
	if (status != expected)
		wrong = fmt("%sline %d, %s, %s: %d instead of %d: %.200s\n", wrong,
		    r->line, r->name, how, status, expected,
		    said != NULL ? said : "");
}

static void
may_read(struct server *s, const struct scope *r, const char *topic,
    const char *who)
{
	char *paths[] = {
		fmt("/events?topic=%s", topic),
		fmt("/events?topic=public/x&topic=%s", topic),
		fmt("/events?topic=%s&topic=public/x&replay=1", topic),
	};
	int expected = status_of(r, r->read);
	struct answer *a;

	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		struct stream *st = try_stream(s, paths[i], who, 0);

		ck_assert_ptr_nonnull(st);
		ck_assert(stream_head(st, SOON));
		is_so(r, paths[i], st->head.status, expected, st->trace);
		stream_close(st);
	}
	a = get(s, fmt("/history?topic=%s", topic), who);
	is_so(r, "/history", a->status, expected, a->body);
	a = get(s, fmt("/history?topic=public/x&topic=%s&replay=1", topic), who);
	is_so(r, "/history of two", a->status, expected, a->body);
}

static void
may_publish(struct server *s, const struct scope *r, const char *topic,
    const char *text, const char *who)
{
	int expected = status_of(r, r->publish);
	struct answer *a;
	char *quoted;
	json_t *j;

	a = post(s, fmt("/publish?topic=%s", topic), who, "x");
	is_so(r, "/publish?topic=", a->status, expected, a->body);
	if (text == NULL || (j = json_string(text)) == NULL)
		return;
	quoted = keep(json_dumps(j, JSON_ENCODE_ANY), free);
	json_decref(j);
	who = fmt("%s" AS_JSON, who);
	a = post(s, "/publish", who, fmt("{\"topic\":%s,\"data\":1}", quoted));
	is_so(r, "/publish", a->status, expected, a->body);
	a = post(s, "/publish", who, fmt("{\"topics\":[%s],\"data\":1}", quoted));
	is_so(r, "/publish of topics", a->status, expected, a->body);
	/* And a token in the query never publishes. */
	if (strncmp(who, BEARER, sizeof BEARER - 1) == 0)
		is_problem(post(s, fmt("/publish?topic=%s&token=%.*s", topic,
		    (int)strcspn(who + sizeof BEARER - 1, "\r"),
		    who + sizeof BEARER - 1), "", "x"), 401, "token_missing", "",
		    r->name);
}

START_TEST(J5_a_credential_opens_what_the_table_says_and_nothing_else)
{
	struct server *s = start();
	size_t len;

	wrong = fmt("%s", "");
	for (size_t i = 0; i < n_rows; i++) {
		const struct scope *r = &rows[i];
		char *who = bearer(r), *text = NULL, *topic = r->topic + 4;

		if (strncmp(r->topic, "raw:", 4) != 0) {
			text = keep(table_expand(r->topic, 0, &len), free);
			topic = url_encode(text);
		}
		may_read(s, r, topic, who);
		may_publish(s, r, topic, text, who);
	}
	ck_assert_msg(*wrong == '\0', "%s", wrong);
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("http_scopes");
	TCase *tc = harness_case(su, "scopes", 120);

	read_rows();
	tcase_add_test(tc,
	    J5_a_credential_opens_what_the_table_says_and_nothing_else);
	return su;
}

SUITE_MAIN
