/*
 * check_http_log.c - what the server's own log tells of a request (I2): one line for a
 * refusal, harmless to read, with the failing check and the ref; never a credential.
 */
#include "config.h"

#include "harness.h"
#include "rows.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define LINE_MAX_BYTES	2048

static bool
is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* One character of well-formed UTF-8: its length and what it is; 0: none. */
static size_t
character(const char *p, uint32_t *out)
{
	unsigned char c = (unsigned char)*p;
	size_t n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 :
	    c >= 0xf0 && c < 0xf5 ? 4 : 0;

	*out = n == 1 ? c : c & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if (!is_continuation(p[i]))
			return 0;
		*out = *out << 6 | ((unsigned char)p[i] & 0x3f);
	}
	return n;
}

static bool
is_utf8(const char *p)
{
	uint32_t c;
	size_t n;

	for (; *p != '\0'; p += n)
		if ((n = character(p, &c)) == 0 || (c >= 0xd800 && c <= 0xdfff) ||
		    c > 0x10ffff)
			return false;
	return true;
}

/* Lines alone, of 2 kB at most, of characters that neither act nor deceive. */
static void
is_harmless(const char *log, bool json)
{
	const char *line = log, *end, *p;
	uint32_t c;
	size_t n;

	for (; *line != '\0'; line = end + 1) {
		ck_assert_ptr_nonnull(end = strchr(line, '\n'));
		ck_assert_msg(end - line < LINE_MAX_BYTES, "a line of %d bytes: %.*s",
		    (int)(end - line), (int)(end - line), line);
		for (p = line; p < end; p += n) {
			ck_assert_msg((n = character(p, &c)) > 0, "no UTF-8: %.*s",
			    (int)(end - line), line);
			ck_assert_msg(c >= 0x20 && c != 0x7f && !(c >= 0x80 && c <= 0x9f) &&
			    c != 0xad && c != 0x61c && !(c >= 0x200b && c <= 0x200f) &&
			    !(c >= 0x2028 && c <= 0x202e) &&
			    !(c >= 0x2060 && c <= 0x206f) && c != 0xfeff &&
			    !(c >= 0xe0000 && c <= 0xe0fff), "U+%04X in %.*s",
			    (unsigned int)c, (int)(end - line), line);
		}
		if (json) {
			json_t *j = json_loadb(line, (size_t)(end - line), 0, NULL);

			ck_assert_msg(j != NULL, "no JSON: %.*s", (int)(end - line),
			    line);
			ck_assert_ptr_nonnull(json_string_value(json_object_get(j,
			    "time")));
			ck_assert_ptr_nonnull(json_string_value(json_object_get(j,
			    "level")));
			ck_assert_ptr_nonnull(json_string_value(json_object_get(j,
			    "message")));
			json_decref(j);
		} else {
			ck_assert_msg(line[0] == '2' && line[10] == 'T' &&
			    line[23] == 'Z', "no time: %.*s", (int)(end - line), line);
		}
	}
}

static int
count(const char *text, const char *word)
{
	int n = 0;

	for (; (text = strstr(text, word)) != NULL; text += strlen(word))
		n++;
	return n;
}

/* What a terminal, a line reader or an eye may trip over.  Not every value can stand
 * everywhere: a bare CR or LF in a header begins another header. */
static const char *const evil[] = {
	"\x1b[31mred", "\x1b]0;title\x07", "\x08\x08\x08", "\x7f", "\t", "\x01",
	("\xc2\x9b" "31m"), "\xc2\x85next", "\xe2\x80\xa8line", "\xe2\x80\xa9",
	"\xe2\x80\xaegnp.exe", "\xe2\x81\xa6in\xe2\x81\xa9", "\xe2\x80\x8bwidth",
	"\xef\xbb\xbf", "\xd8\x9c", "\xf3\xa0\x81\x81", "\xff\xfe", "\xc0\xaf",
	"\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x80", "\"}\\\",{\"level\":\"error\"}",
	"%s%n%99999999d", "$(reboot)`reboot`", "2026-01-01T00:00:00.000Z error: forged",
};
#define EVILS	(sizeof(evil) / sizeof(evil[0]))

/* Each byte as %XX. */
static char *
all_encoded(const char *s)
{
	char *out = keep(malloc(3 * strlen(s) + 1), free), *o = out;

	ck_assert_ptr_nonnull(out);
	*o = '\0';
	for (; *s != '\0'; s++, o += 3)
		(void)snprintf(o, 4, "%%%02X", (unsigned int)(unsigned char)*s);
	return out;
}

/* A request as it is; its ref, or NULL when there is no answer of ours. */
static char *
raw(struct server *s, const char *request)
{
	struct http *h = http_open(s);
	struct answer *a = NULL;
	char *ref = NULL;
	json_t *j;

	if (try_http_write(h, request, strlen(request)) == 0)
		a = try_http_receive(h, SOON);
	if (a != NULL && (j = json_loads(a->body, 0, NULL)) != NULL) {
		ref = fmt("ref=%s", text_at(j, "ref"));
		json_decref(j);
	}
	if (a != NULL)
		answer_free(a);
	http_close(h);
	return ref;
}

#define REQUEST(method, target, headers)			\
	method " " target " HTTP/1.1\r\nHost: x\r\n" headers "\r\n"

static void
one_line_each(const char *format)
{
	static const char *const headers[] = { "User-Agent", "X-Forwarded-For",
	    "Last-Event-ID", "Origin", "Referer", "Cookie", "Authorization", "Forwarded",
	    "X-Request-ID" };
	struct server *s = server_start(fmt("--log.format=%s", format), NULL);
	char *refs[EVILS * 20], *log, *all;
	size_t n = 0, told = 0;

	for (size_t i = 0; i < EVILS; i++) {
		const char *e = evil[i];
		char *enc = all_encoded(e);

		refs[n++] = raw(s, fmt(REQUEST("GET", "/nope/%s", ""), e));
		refs[n++] = raw(s, fmt(REQUEST("GET", "/nope/%s", ""), enc));
		refs[n++] = raw(s, fmt(REQUEST("GET", "/events?topic=a&x=%s", ""), e));
		refs[n++] = raw(s, fmt(REQUEST("GET", "/events?topic=%s", ""), enc));
		refs[n++] = raw(s, fmt(REQUEST("GET", "/events?topic=a&token=%s", ""), enc));
		refs[n++] = raw(s, fmt(REQUEST("GET", "/events?topic=a&format=%s", ""), enc));
		refs[n++] = raw(s, fmt(REQUEST("EV%sIL", "/events?topic=a", ""), e));
		for (size_t k = 0; k < sizeof headers / sizeof *headers; k++)
			refs[n++] = raw(s, fmt(REQUEST("GET", "/events?topic=a",
			    "%s: %s\r\n"), headers[k], e));
		refs[n++] = raw(s, fmt(REQUEST("GET", "/events?topic=a", BEARER "%s\r\n"),
		    e));
		/* A claim is anybody's text too, in JSON. */
		if (!is_utf8(e))
			continue;
		refs[n++] = raw(s, fmt(REQUEST("GET", "/events?topic=b", BEARER "%s\r\n"),
		    token(HOUSE_KEY, fmt("{\"exp\":%lld,\"sub\":\"%s\",\"fanfare\":"
		    "{\"subscribe\":[\"a\"]}}", (long long)wall_s() + 600,
		    i < 6 || strchr(e, '"') != NULL ? "\\u001b[31m\\n" : e))));
		ck_assert_uint_le(n, sizeof refs / sizeof *refs);
	}
	ck_assert_int_eq(server_stop(s), 0);
	log = read_whole(s->log);
	is_harmless(log, strcmp(format, "json") == 0);
	for (size_t i = 0; i < n; i++) {
		if (refs[i] == NULL)
			continue;
		told++;
		ck_assert_msg(count(log, refs[i]) == 1, "%d lines of %s",
		    count(log, refs[i]), refs[i]);
	}
	/* And no line that nobody asked for. */
	ck_assert_msg(told > n / 2, "only %zu of %zu were answered", told, n);
	ck_assert_int_eq(count(log, "ref="), (int)told);
	all = strstr(log, "forged");
	for (; all != NULL; all = strstr(all + 1, "forged"))
		ck_assert_msg(all[-1] != '\n', "a forged line");
}

START_TEST(I2_whatever_a_request_holds_the_log_has_one_harmless_line)
{
	one_line_each("text");
}
END_TEST

START_TEST(I2_so_it_is_in_json_and_each_line_parses)
{
	one_line_each("json");
}
END_TEST

START_TEST(I2_a_megabyte_in_a_request_is_a_short_line_or_none)
{
	static const size_t sizes[] = { 1000, 3000, 8000, 16000, 100000, 1000000 };

	for (int json = 0; json < 2; json++) {
		struct server *s = server_start(json ? "--log.format=json" :
		    "--log.format=text", "--log.level=debug", NULL);
		char *log;

		for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
			char *x = repeat("\x1b", sizes[i]), *a = repeat("a", sizes[i]);

			(void)raw(s, fmt(REQUEST("GET", "/%s", ""), a));
			(void)raw(s, fmt(REQUEST("GET", "/%s", ""), x));
			(void)raw(s, fmt(REQUEST("GET", "/events?topic=%s", ""), a));
			(void)raw(s, fmt(REQUEST("%s", "/events", ""), a));
			(void)raw(s, fmt(REQUEST("GET", "/events?topic=a",
			    "Origin: %s\r\n"), x));
			(void)raw(s, fmt(REQUEST("GET", "/events?topic=a",
			    BEARER "%s\r\n"), a));
			(void)raw(s, fmt(REQUEST("GET", "/events?topic=a",
			    "X-Forwarded-For: %s\r\n"), a));
			is_problem(post(s, "/publish", AUTH, fmt("{\"topic\":\"a\",\"%s\":1}",
			    i < 5 ? a : "b")), 400, "malformed", "", "a long field");
			ck_assert(server_alive(s));
		}
		ck_assert_int_eq(server_stop(s), 0);
		log = read_whole(s->log);
		is_harmless(log, json == 1);
		ck_assert_ptr_null(strstr(log, repeat("a", 600)));
	}
}
END_TEST

/* The file says which check must be named for which request. */
START_TEST(each_refusal_names_the_failing_check_in_the_log_and_keeps_it_from_the_answer)
{
	struct server *s = server_start("--topics.public=public/**",
	    "--auth.audience=us", NULL);
	struct row *rows, *r;
	char *log;
	size_t n;

	rows = rows_read("refusals.txt", 5, &n);
	for (r = rows; r < rows + n; r++) {
		char *jwt = NULL, *credential = fmt("%s", ""), *ref, *line, *what;
		const char *method = r->cell[0], *body = NULL;
		char *path = fmt("%s", r->cell[0] + strcspn(r->cell[0], " ") + 1), *p;
		struct answer *a;
		json_t *j;

		what = fmt("line %u", r->line);
		if (strncmp(r->cell[1], "claims ", 7) == 0) {
			char claims[512];
			const char *at = strstr(r->cell[1], "NOW");
			char *end;

			/* NOW+600, NOW-60 */
			(void)snprintf(claims, sizeof(claims), "%s", r->cell[1] + 7);
			if (at != NULL) {
				long long offset = strtoll(at + 3, &end, 10);

				(void)snprintf(claims, sizeof(claims), "%.*s%lld%s",
				    (int)(at - (r->cell[1] + 7)), r->cell[1] + 7,
				    (long long)wall_s() + offset, end);
			}
			jwt = token(HOUSE_KEY, claims);
			credential = fmt(BEARER "%s\r\n", jwt);
		} else if (strcmp(r->cell[1], "key") == 0)
			credential = fmt(AUTH);
		else if (strcmp(r->cell[1], "-") != 0)
			credential = fmt(BEARER "%s\r\n", r->cell[1]);
		if ((p = strstr(path, " < ")) != NULL) {
			*p = '\0';
			body = p + 3;
		}
		a = ask(s, fmt("%.*s", (int)strcspn(method, " "), method), path,
		    credential, body, body != NULL ? strlen(body) : 0);
		ck_assert_msg(a->status == atoi(r->cell[2]), "%s: %d %s", what, a->status,
		    a->body);
		j = body_json(a);
		ck_assert_msg(strcmp(text_at(j, "code"), r->cell[3]) == 0, "%s: %s", what,
		    a->body);
		ref = fmt("ref=%s ", text_at(j, "ref"));
		log = read_whole(s->log);
		ck_assert_msg((line = strstr(log, ref)) != NULL && count(log, ref) == 1,
		    "%s: %s is not in the log once", what, ref);
		line[strcspn(line, "\n")] = '\0';
		ck_assert_msg(strstr(line, r->cell[4]) != NULL, "%s: %s does not say %s",
		    what, line, r->cell[4]);
		/* A 401 is the same for whatever was wrong. */
		if (a->status == 401)
			ck_assert_msg(strstr(a->body, r->cell[4]) == NULL,
			    "%s: the answer tells: %s", what, a->body);
	}
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- no credential anywhere ---- */

static void
has_none(const char *text, char *const *marks, const char *where)
{
	for (; *marks != NULL; marks++)
		ck_assert_msg(strstr(text, *marks) == NULL, "%s in %s: %.300s", *marks,
		    where, strstr(text, *marks));
}

START_TEST(I2_no_token_is_in_a_log_a_metric_an_answer_or_the_list_of_processes)
{
	static const char *const targets[] = { "/events?topic=a",
	    "/events?topic=a&errors=event", "/history?topic=a", "/publish?topic=b", "/healthz?x=1",
	    "/fanfare.js?x=1", "/nowhere?x=1", "/nowhere/%s?x=1", "/events/%s?x=1",
	    "/events?topic=%%zz&x=1", "/?x=1" };
	static const char *const methods[] = { "GET", "POST", "PUT", "OPTIONS" };
	char *file = fmt("%s/keys", test_dir()), *key_file = fmt("%s/key", test_dir());
	char *bad, *old, *good, *tokens[5], *marks[20], *seen, *cmdline;
	struct server *s;
	size_t n = 0;
	FILE *f;

	/* By files, and one of them on the command line after all. */
	write_whole(file, "test:" API_KEY "\n", strlen("test:" API_KEY "\n"));
	write_whole(key_file, HOUSE_KEY, strlen(HOUSE_KEY));
	s = server_start("--log.level=debug", fmt("--auth.api_keys_file=%s", file),
	    fmt("--auth.key_file=%s", key_file), "--server.cors_origins=*",
	    "--auth.api_keys=other:ffk_marked-on-the-command-line-0123456789", NULL);
	bad = token("another-secret-of-32-bytes-or-more", "{\"exp\":9999999999,"
	    "\"jti\":\"marked-bad\"}");
	old = token_for(-600, "**", "**");
	good = token_for(600, "a", "a");
	tokens[0] = bad;
	tokens[1] = old;
	tokens[2] = good;
	tokens[3] = fmt("ffk_marked-and-unknown-0123456789abcdef");
	tokens[4] = fmt("%s", API_KEY);
	for (int i = 0; i < 3; i++) {
		marks[n++] = strrchr(tokens[i], '.') + 1;
		marks[n++] = fmt("%.*s", 24, strchr(tokens[i], '.') + 1);
	}
	marks[n++] = fmt("marked-and-unknown");
	marks[n++] = fmt("marked-on-the-command-line");
	marks[n++] = fmt("%s", &API_KEY[4]);
	marks[n++] = fmt("%s", HOUSE_KEY);
	marks[n] = NULL;
	for (int i = 0; i < 5; i++)
		for (size_t t = 0; t < sizeof targets / sizeof *targets; t++)
			for (size_t m = 0; m < 4; m++) {
				const char *mark = strstr(targets[t], "%s");
				char *target = mark == NULL ? fmt("%s", targets[t]) :
				    fmt("%.*s%s%s", (int)(mark - targets[t]), targets[t],
				    tokens[i], mark + 2);
				char *places[] = {
				    fmt("%s %s&token=%s HTTP/1.1\r\nHost: x\r\n",
				    methods[m], target, tokens[i]),
				    fmt("%s http://u:%s@x%s&token=%s HTTP/1.1\r\nHost: x\r\n",
				    methods[m], tokens[i], target, tokens[i]),
				    fmt("%s %s HTTP/1.1\r\nHost: x\r\n" BEARER "%s\r\n",
				    methods[m], target, tokens[i]),
				    fmt("%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\n"
				    "Proxy-Authorization: Bearer %s\r\nX-API-Key: %s\r\n",
				    methods[m], target, tokens[i], tokens[i], tokens[i]),
				    fmt("%s %s HTTP/1.1\r\nHost: x\r\nCookie: "
				    "fanfare_token=%s; session=%s\r\nReferer: "
				    "https://x.example/?token=%s\r\n", methods[m],
				    target, tokens[i], tokens[i], tokens[i]),
				};

				for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
					struct http *h = http_open(s);
					char *body = fmt("topic=a&data=x&token=%s",
					    tokens[i]);
					char *rq = fmt("%sContent-Length: %zu\r\n"
					    "Content-Type: application/x-www-form-urlencoded"
					    "\r\nConnection: close\r\n\r\n%s", places[p],
					    m == 0 || m == 3 ? (size_t)0 : strlen(body),
					    m == 0 || m == 3 ? "" : body);
					struct answer *a = NULL;

					/* A stream that opens is not waited for. */
					if (try_http_write(h, rq, strlen(rq)) == 0 &&
					    !(m == 0 && i != 0 && i != 1 && i != 3 &&
					    strncmp(targets[t], "/events?topic=a", 15) == 0))
						a = try_http_receive(h, SOON);
					if (a != NULL && t != 7 && t != 8) {
						has_none(a->head, marks, "a head");
						has_none(a->body, marks, "an answer");
					}
					if (a != NULL)
						answer_free(a);
					http_close(h);
				}
			}
	seen = fmt("/proc/%d/cmdline", (int)s->pid);
	ck_assert_ptr_nonnull(f = fopen(seen, "r"));
	cmdline = keep(calloc(1, 65536), free);
	n = fread(cmdline, 1, 65535, f);
	(void)fclose(f);
	for (size_t i = 0; i + 1 < n; i++)
		if (cmdline[i] == '\0')
			cmdline[i] = ' ';
	ck_assert_ptr_nonnull(strstr(cmdline, "auth.api_keys"));
	has_none(cmdline, marks, "the list of processes");
	{
		int port = s->port;

		s->port = s->admin_port;
		has_none(get(s, "/metrics", "")->body, marks, "/metrics");
		has_none(get(s, "/stats", "")->body, marks, "/stats");
		s->port = port;
	}
	ck_assert_int_eq(server_stop(s), 0);
	has_none(read_whole(s->log), marks, "the log");
	ck_assert_ptr_null(strstr(read_whole(s->log), "?token="));
	ck_assert_ptr_null(strstr(read_whole(s->log), "&token="));
	ck_assert_ptr_null(strstr(read_whole(s->log), "topic=a"));
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("http_log");
	TCase *tc = harness_case(su, "log", 120);

	tcase_add_test(tc, I2_whatever_a_request_holds_the_log_has_one_harmless_line);
	tcase_add_test(tc, I2_so_it_is_in_json_and_each_line_parses);
	tcase_add_test(tc, I2_a_megabyte_in_a_request_is_a_short_line_or_none);
	tcase_add_test(tc,
	    each_refusal_names_the_failing_check_in_the_log_and_keeps_it_from_the_answer);
	tcase_add_test(tc,
	    I2_no_token_is_in_a_log_a_metric_an_answer_or_the_list_of_processes);
	return su;
}

SUITE_MAIN
