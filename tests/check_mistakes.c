/*
 * check_mistakes.c - tests/data/mistakes.txt against a real server and `fanfare explain`:
 * the first 401 is solved by what one reads next.
 */
#include "config.h"

#include "harness.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define N(a)	(sizeof(a) / sizeof((a)[0]))
#define LINES	12

/* One block of the table; what it does not say is NULL. */
struct mistake {
	char	*name, *secret, *claims, *ask, *header, *answer, *says, *log, *paste,
		*start;
	int	 exit;
	char	*with[LINES], *explain[LINES];
	size_t	 nwith, nexplain;
	int	 line;
	char	*token;
};

/* ---- the table ---- */

static char *
replace(const char *text, const char *what, const char *by)
{
	const char *at = strstr(text, what);

	return at == NULL ? fmt("%s", text) : fmt("%.*s%s%s", (int)(at - text), text, by,
	    replace(at + strlen(what), what, by));
}

static char *
filled(const struct mistake *m, const char *text)
{
	char *s = replace(replace(text, "$LF", "\n"), "$CR", "\r");

	return replace(replace(s, "$KEY", API_KEY), "$TOKEN", m->token != NULL ?
	    m->token : "");
}

/* <+600>, <-60>, <ms+600> */
static char *
with_times(const char *text)
{
	const char *at = strchr(text, '<'), *end = at != NULL ? strchr(at, '>') : NULL;
	bool ms = end != NULL && strncmp(at, "<ms", 3) == 0;
	long s;

	if (end == NULL)
		return fmt("%s", text);
	s = wall_s() + strtol(at + (ms ? 3 : 1), NULL, 10);
	return fmt("%.*s%ld%s%s", (int)(at - text), text, s, ms ? "000" : "",
	    with_times(end + 1));
}

static void
take_line(struct mistake *m, const char *key, const char *value, int line)
{
	const struct {
		const char	*name;
		char		**to;
	} fields[] = {
		{ "secret", &m->secret }, { "token", &m->claims }, { "ask", &m->ask },
		{ "header", &m->header }, { "answer", &m->answer }, { "says", &m->says },
		{ "log", &m->log }, { "paste", &m->paste }, { "start", &m->start },
	};

	if (strcmp(key, "with") == 0) {
		ck_assert_uint_lt(m->nwith, LINES - 1);
		m->with[m->nwith++] = fmt("%s", value);
		return;
	}
	if (strcmp(key, "explain") == 0) {
		ck_assert_uint_lt(m->nexplain, LINES);
		m->explain[m->nexplain++] = fmt("%s", value);
		return;
	}
	if (strcmp(key, "exit") == 0) {
		m->exit = atoi(value);
		return;
	}
	for (size_t i = 0; i < N(fields); i++)
		if (strcmp(fields[i].name, key) == 0) {
			ck_assert_msg(*fields[i].to == NULL, "line %d: twice", line);
			*fields[i].to = fmt("%s", value);
			return;
		}
	ck_abort_msg("line %d: what is \"%s\"?", line, key);
}

/* Each block, in turn. */
static void
for_each(void (*run)(struct mistake *m), int *count)
{
	const char *src = getenv("srcdir");
	char *text = read_whole(fmt("%s/tests/data/mistakes.txt", src != NULL ? src :
	    "..")), *line, *end, *colon;
	struct mistake m = { .exit = 1 };
	int n = 0;

	ck_assert_msg(*text != '\0', "tests/data/mistakes.txt is not there");
	for (line = text; line != NULL && *line != '\0'; line = end) {
		n++;
		if ((end = strchr(line, '\n')) != NULL)
			*end++ = '\0';
		if (*line == '#' || *line == '\0')
			continue;
		ck_assert_msg((colon = strchr(line, ':')) != NULL, "line %d", n);
		*colon++ = '\0';
		colon += *colon == ' ';
		if (strcmp(line, "mistake") != 0) {
			take_line(&m, line, colon, n);
			continue;
		}
		if (m.name != NULL) {
			run(&m);
			(*count)++;
		}
		m = (struct mistake){ .name = fmt("%s", colon), .exit = 1, .line = n };
	}
	run(&m);
	(*count)++;
}

/* ---- what is read next ---- */

/* One of the words between bars. */
static bool
has(const char *text, const char *words)
{
	const char *bar = strchr(words, '|');

	if (bar == NULL)
		return strstr(text, words) != NULL;
	return has(text, fmt("%.*s", (int)(bar - words), words)) || has(text, bar + 1);
}

static bool
logged(struct server *s, const char *words)
{
	int64_t end = now_ms() + patience(SOON);

	while (!has(read_whole(s->log), words)) {
		if (now_ms() > end)
			return false;
		poll(NULL, 0, 10);
	}
	return true;
}

static struct server *
server_of(const struct mistake *m, const char *more)
{
	const char *w[LINES + 1] = { NULL };

	for (size_t i = 0; i < m->nwith; i++)
		w[i] = filled(m, m->with[i]);
	w[m->nwith] = more;
	return server_start(w[0], w[1], w[2], w[3], w[4], NULL);
}

static struct answer *
asked(struct server *s, const struct mistake *m, const char *ask)
{
	char *what = filled(m, ask), *path = strchr(what, ' '), *h;

	*path++ = '\0';
	h = m->header == NULL ? fmt(BEARER "%s\r\n", m->token) :
	    strcmp(m->header, "none") == 0 ? fmt("%s", "") :
	    fmt("%s\r\n", filled(m, m->header));
	return strcmp(what, "POST") == 0 ? post(s, path, h, "x") : get(s, path, h);
}

static void
is_answered(struct server *s, const struct mistake *m)
{
	struct answer *a = asked(s, m, m->ask != NULL ? m->ask : "GET /history?topic=a/1");
	char *space = strchr(m->answer, ' ');

	ck_assert_msg(a->status == atoi(m->answer), "%d: %s: %d %s", m->line, m->name,
	    a->status, a->body);
	if (space != NULL)
		is_problem(a, a->status, space + 1, m->says != NULL ? m->says : "",
		    m->name);
	/* Neither answer nor log repeat the credential or the key. */
	for (int i = 0; i < 2; i++) {
		const char *said = i == 0 ? a->body : read_whole(s->log);

		ck_assert_msg(m->token == NULL || strstr(said, m->token) == NULL, "%s",
		    m->name);
		ck_assert_msg(strstr(said, API_KEY) == NULL &&
		    strstr(said, HOUSE_KEY) == NULL, "%s", m->name);
	}
	if (m->log != NULL)
		ck_assert_msg(logged(s, m->log), "%d: %s: %s", m->line, m->name,
		    read_whole(s->log));
}

static void
is_explained(const struct mistake *m)
{
	char *input = fmt("%s/pasted", test_dir()), *paste = filled(m, m->paste != NULL ?
	    m->paste : "$TOKEN"), *out, *err;
	const char *w[LINES] = { NULL };
	size_t n = 0;
	bool has_key = false;
	int code;

	for (; n < m->nwith; n++) {
		w[n] = filled(m, m->with[n]);
		has_key = has_key || strncmp(w[n], "--auth.key=", 11) == 0;
	}
	w[n++] = "--auth.api_keys=test:" API_KEY;
	if (!has_key)
		w[n++] = "--auth.key=" HOUSE_KEY;
	write_whole(input, paste, strlen(paste));
	code = program_run(&out, &err, input, "explain", "-", w[0], w[1], w[2], w[3],
	    w[4], w[5], NULL);
	ck_assert_msg(code == m->exit, "%d: %s: %d: %s%s", m->line, m->name, code, out, err);
	for (size_t i = 0; i < m->nexplain; i++)
		ck_assert_msg(strstr(out, m->explain[i]) != NULL, "%d: %s: not \"%s\" in\n%s",
		    m->line, m->name, m->explain[i], out);
	ck_assert_msg(strstr(out, HOUSE_KEY) == NULL && strstr(out, API_KEY) == NULL &&
	    (m->secret == NULL || strstr(out, m->secret) == NULL) &&
	    (m->token == NULL || strstr(out, strrchr(m->token, '.')) == NULL), "%s: %s",
	    m->name, out);
}

static void
sign(struct mistake *m)
{
	if (m->claims != NULL)
		m->token = token(m->secret != NULL ? filled(m, m->secret) : HOUSE_KEY,
		    with_times(m->claims));
}

static void
run_mistake(struct mistake *m)
{
	struct server *s;
	char *said;
	const char *w[LINES] = { NULL };

	sign(m);
	if (m->start != NULL) {
		for (size_t i = 0; i < m->nwith; i++)
			w[i] = filled(m, m->with[i]);
		ck_assert_int_eq(server_refused(&said, w[0], w[1], NULL), 2);
		ck_assert_msg(strstr(said, m->start) != NULL, "%d: %s: %s", m->line,
		    m->name, said);
		return;
	}
	s = server_of(m, NULL);
	is_answered(s, m);
	ck_assert_int_eq(server_stop(s), 0);
	if (m->paste == NULL || strcmp(m->paste, "none") != 0)
		is_explained(m);
}

START_TEST(each_mistake_is_solved_by_what_one_reads_next)
{
	int n = 0;

	for_each(run_mistake, &n);
	ck_assert_int_ge(n, 60);
}
END_TEST

/* With --dev the answer to a bad token says what the log says. */
static void
run_in_dev(struct mistake *m)
{
	struct server *s;
	struct answer *a;

	sign(m);
	if (m->start != NULL || m->log == NULL || m->token == NULL ||
	    m->header != NULL || m->ask != NULL || strncmp(m->answer, "401", 3) != 0 ||
	    strncmp(m->log, "auth.", 5) == 0)
		return;
	s = server_of(m, "--dev");
	a = asked(s, m, "POST /publish?topic=a/1");
	ck_assert_msg(a->status == 401 && has(text_at(body_json(a), "detail"), m->log),
	    "%d: %s: %s", m->line, m->name, a->body);
	ck_assert_int_eq(server_stop(s), 0);
}

START_TEST(in_dev_the_answer_names_the_check_too)
{
	int n = 0;

	for_each(run_in_dev, &n);
}
END_TEST

START_TEST(explain_without_the_servers_configuration_says_so)
{
	char *out, *err;

	ck_assert_int_eq(program_run(&out, &err, NULL, "explain", "a.b.c", NULL), 2);
	ck_assert_ptr_nonnull(strstr(err, "fanfare explain reads the configuration of the "
	    "server: give it the same -c FILE"));
	ck_assert_int_eq(program_run(&out, &err, NULL, "token", "--sub=ann", NULL), 2);
	ck_assert_ptr_nonnull(strstr(err, "A server with --dev has keys of that run alone"));
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("mistakes");
	TCase *t = harness_case(s, "mistakes", 240);

	tcase_add_test(t, each_mistake_is_solved_by_what_one_reads_next);
	tcase_add_test(t, in_dev_the_answer_names_the_check_too);
	tcase_add_test(t, explain_without_the_servers_configuration_says_so);
	return s;
}

SUITE_MAIN
