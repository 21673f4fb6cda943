/*
 * http_guard.c - the rules for heads of requests, and a reader that cuts them out of
 * bytes.
 *
 * libmicrohttpd 0.9 is lenient: it takes the first of two lengths, a Transfer-Encoding
 * it does not know for "until the connection ends", a space before the colon for part of
 * the name, a NUL for the end of a value, a lone LF for a line end.  Each of these has
 * been a way to hide a request from a proxy in the body of another (RFC 9112, 11.2).
 */
#include "config.h"

#include "http_guard.h"

#include <string.h>
#include <strings.h>

#define METHOD_MAX	32
#define LENGTH_DIGITS	15	/* of a Content-Length: a petabyte */
#define TLS_HANDSHAKE	0x16	/* the first byte of a ClientHello */

static bool
refuse(struct guard *g, enum problem p, const char *detail)
{
	g->problem = p;
	g->detail = detail;
	return false;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_alnum(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* tchar of RFC 9110, 5.6.2 */
static bool
is_tchar(char c)
{
	return is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool
is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f;
}

static bool
is_token(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!is_tchar(p[i]))
			return false;
	return len > 0;
}

static bool
same(const char *p, size_t len, const char *word)
{
	return strlen(word) == len && strncasecmp(p, word, len) == 0;
}

/* In how many parts do these cut it? */
static size_t
count_parts(const char *p, size_t len, const char *marks)
{
	size_t n = 1;

	for (size_t i = 0; i < len; i++)
		n += p[i] != '\0' && strchr(marks, p[i]) != NULL;
	return n;
}

/* --- the request line --- */

/* uri-host [":" port] of RFC 3986 */
static bool
is_authority(const char *p, size_t len)
{
	size_t i = 0;

	if (len > 0 && p[0] == '[') {
		for (i = 1; i < len && p[i] != ']'; i++)
			if (!is_alnum(p[i]) && p[i] != ':' && p[i] != '.')
				return false;
		if (i == len || i == 1)
			return false;
		i++;
	} else
		for (; i < len && p[i] != ':'; i++)
			if (!is_alnum(p[i]) && (p[i] == '\0' ||
			    strchr("-._~%!$&'()*+;=", p[i]) == NULL))
				return false;
	if (i == len)
		return true;
	if (p[i++] != ':')
		return false;
	for (; i < len; i++)
		if (!is_digit(p[i]))
			return false;
	return true;
}

static bool
judge_target(struct guard *g, const char *method, size_t method_len, const char *p,
    size_t len)
{
	size_t scheme;

	for (size_t i = 0; i < len; i++)
		if (is_control(p[i]) || p[i] == ' ' || p[i] == '#')
			return refuse(g, PROBLEM_MALFORMED, p[i] == '#' ? "a fragment "
			    "is not part of what is sent; write %23 for a # in a topic"
			    : "a control character or a space in the address; write "
			    "%20 for a space");
	if (same(method, method_len, "CONNECT"))
		return refuse(g, PROBLEM_NOT_IMPLEMENTED, "this is no proxy; there "
		    "is no CONNECT");
	if (len > 0 && p[0] == '/')
		return true;
	if (len == 1 && p[0] == '*' && same(method, method_len, "OPTIONS"))
		return true;
	scheme = len > 7 && strncasecmp(p, "http://", 7) == 0 ? 7 :
	    len > 8 && strncasecmp(p, "https://", 8) == 0 ? 8 : 0;
	if (scheme == 0)
		return refuse(g, PROBLEM_MALFORMED, "the address does not begin with "
		    "a slash");
	g->authority = p + scheme;
	while (g->authority_len < len - scheme &&
	    strchr("/?", g->authority[g->authority_len]) == NULL)
		g->authority_len++;
	if (g->authority_len == 0 || !is_authority(g->authority, g->authority_len))
		return refuse(g, PROBLEM_MALFORMED, "the address has no good host");
	return true;
}

bool
guard_begin(struct guard *g, const char *method, size_t method_len, const char *target,
    size_t target_len, const char *version, size_t version_len)
{
	memset(g, 0, sizeof(*g));
	if (!is_token(method, method_len))
		return refuse(g, PROBLEM_MALFORMED, "this is no HTTP request: the "
		    "method is no word");
	if (method_len > METHOD_MAX)
		return refuse(g, PROBLEM_NOT_IMPLEMENTED, "there is no such method");
	if (version_len != 8 || memcmp(version, "HTTP/", 5) != 0 ||
	    !is_digit(version[5]) || version[6] != '.' || !is_digit(version[7]))
		return refuse(g, PROBLEM_MALFORMED, "the request line does not end in "
		    "HTTP/1.1, after one space");
	if (version[5] != '1' || version[7] > '1')
		return refuse(g, PROBLEM_VERSION, "use HTTP/1.1 here; HTTP/2 is for "
		    "the proxy in front");
	g->http11 = version[7] == '1';
	if (target_len > GUARD_LINE_MAX)
		return refuse(g, PROBLEM_URI_TOO_LONG, "the address has more than 14 kB");
	g->parts = GUARD_PART * count_parts(target, target_len, "&");
	return judge_target(g, method, method_len, target, target_len);
}

/* --- fields --- */

enum field_kind {
	FIELD_ONCE, FIELD_HOST, FIELD_LENGTH, FIELD_CODING, FIELD_EXPECT
};

/* Fields of which a second one would leave open which counts. */
static const struct {
	const char	*name, *twice;
	enum field_kind	 kind;
} fields[] = {
	{ "Host", "two Host headers; send one", FIELD_HOST },
	{ "Content-Length", "two Content-Length headers; send one", FIELD_LENGTH },
	{ "Transfer-Encoding", "two Transfer-Encoding headers; send one",
	    FIELD_CODING },
	{ "Authorization", "two Authorization headers; send one", FIELD_ONCE },
	{ "Content-Type", "two Content-Type headers; send one", FIELD_ONCE },
	{ "Idempotency-Key", "two Idempotency-Key headers; send one", FIELD_ONCE },
	{ "Expect", "two Expect headers; send one", FIELD_EXPECT },
};
#define SEEN_HOST	0x1u
#define SEEN_LENGTH	0x2u
#define SEEN_CODING	0x4u

static bool
judge_length(struct guard *g, const char *p, size_t len)
{
	/* Some would take 010 for eight. */
	if (len == 0 || (len > 1 && p[0] == '0'))
		return refuse(g, PROBLEM_MALFORMED, len == 0 ? "the Content-Length is "
		    "empty" : "the Content-Length begins with a zero");
	for (size_t i = 0; i < len; i++)
		if (!is_digit(p[i]))
			return refuse(g, PROBLEM_MALFORMED, "the Content-Length is "
			    "not one number of plain digits");
	if (len > LENGTH_DIGITS)
		return refuse(g, PROBLEM_TOO_LARGE, "the Content-Length is beyond "
		    "all measure");
	return true;
}

/* Ended by chunked, the body can be found, though not read; else it has no end. */
static bool
judge_coding(struct guard *g, const char *p, size_t len)
{
	const char *last = memrchr(p, ',', len);

	g->chunked = true;
	if (same(p, len, "chunked"))
		return true;
	if (last != NULL) {
		for (last++; last < p + len && (*last == ' ' || *last == '\t'); last++)
			;
		if (same(last, (size_t)(p + len - last), "chunked"))
			return refuse(g, PROBLEM_NOT_IMPLEMENTED, "the only "
			    "Transfer-Encoding here is chunked, by itself");
	}
	return refuse(g, PROBLEM_MALFORMED, "the Transfer-Encoding is not chunked");
}

static bool
judge_field(struct guard *g, enum field_kind kind, const char *p, size_t len)
{
	switch (kind) {
	case FIELD_ONCE:
		return true;
	case FIELD_HOST:
		g->host = p;
		g->host_len = len;
		return (len > 0 && is_authority(p, len)) || refuse(g, PROBLEM_MALFORMED, "the Host "
		    "header is no host name, with a port or without");
	case FIELD_LENGTH:
		return judge_length(g, p, len);
	case FIELD_CODING:
		return judge_coding(g, p, len);
	case FIELD_EXPECT:
		return same(p, len, "100-continue") || refuse(g, PROBLEM_EXPECTATION,
		    "the only Expect here is 100-continue");
	}
	return true;
}

bool
guard_field(struct guard *g, const char *name, size_t name_len, const char *value,
    size_t value_len)
{
	if (++g->fields > GUARD_FIELDS_MAX)
		return refuse(g, PROBLEM_HEAD_TOO_LARGE, "more than 100 headers");
	g->parts += GUARD_PART;
	if (same(name, name_len, "Cookie"))
		g->parts += value_len + GUARD_PART * count_parts(value, value_len, ";,");
	if (!is_token(name, name_len))
		return refuse(g, PROBLEM_MALFORMED, "the name of a header has a space "
		    "or another character that no name has");
	for (size_t i = 0; i < value_len; i++)
		if (is_control(value[i]) && value[i] != '\t')
			return refuse(g, PROBLEM_MALFORMED, "a control character in a "
			    "header");
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (!same(name, name_len, fields[i].name))
			continue;
		if (g->seen & 1u << i)
			return refuse(g, PROBLEM_MALFORMED, fields[i].twice);
		g->seen |= 1u << i;
		return judge_field(g, fields[i].kind, value, value_len);
	}
	return true;
}

bool
guard_end(struct guard *g)
{
	if (g->parts > GUARD_PARTS_MAX)
		return refuse(g, PROBLEM_HEAD_TOO_LARGE, "too many cookies, headers and "
		    "parameters: 64 bytes for each, and those of the cookies, make more "
		    "than 18 kB");
	if (g->http11 && !(g->seen & SEEN_HOST))
		return refuse(g, PROBLEM_MALFORMED, "HTTP/1.1 needs a Host header");
	if (g->seen & SEEN_HOST && g->authority != NULL &&
	    (g->authority_len != g->host_len ||
	    strncasecmp(g->authority, g->host, g->host_len) != 0))
		return refuse(g, PROBLEM_MALFORMED, "the Host header is not the host "
		    "of the address");
	if (g->seen & SEEN_CODING && g->seen & SEEN_LENGTH)
		return refuse(g, PROBLEM_MALFORMED, "Content-Length and "
		    "Transfer-Encoding in one request; send one of them");
	if (g->seen & SEEN_CODING && !g->http11)
		return refuse(g, PROBLEM_MALFORMED, "there is no Transfer-Encoding in "
		    "HTTP/1.0");
	return true;
}

/* --- bytes --- */

/* METHOD SP target SP version */
static bool
judge_line(struct guard *g, const char *p, size_t len)
{
	const char *target = memchr(p, ' ', len), *version;
	size_t method_len = target != NULL ? (size_t)(target - p) : len, rest;

	if (target == NULL)
		return guard_begin(g, p, len, "", 0, "", 0);
	target++;
	rest = len - method_len - 1;
	version = memchr(target, ' ', rest);
	if (version == NULL)
		return guard_begin(g, p, method_len, target, rest, "", 0);
	version++;
	return guard_begin(g, p, method_len, target, (size_t)(version - 1 - target),
	    version, (size_t)(p + len - version));
}

static bool
judge_header(struct guard *g, const char *p, size_t len)
{
	const char *colon = memchr(p, ':', len), *value, *end = p + len;

	if (*p == ' ' || *p == '\t')
		return refuse(g, PROBLEM_MALFORMED, "a header goes on in the next "
		    "line; write it in one");
	if (colon == NULL)
		return refuse(g, PROBLEM_MALFORMED, "a header without a colon");
	value = colon + 1;
	while (value < end && (*value == ' ' || *value == '\t'))
		value++;
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	return guard_field(g, p, (size_t)(colon - p), value, (size_t)(end - value));
}

static const char no_http[] = "this is no HTTP request; is it TLS?  That is for a proxy "
    "in front";

/* Nothing that begins so can become a request line: TLS, say, or binary.  Told at once,
 * not when the time is up. */
static bool
may_begin_line(const char *p, size_t len)
{
	for (size_t i = 0; i < len && i <= METHOD_MAX; i++) {
		if (p[i] == ' ')
			return i > 0;
		if (!is_tchar(p[i]) && p[i] != '\r')
			return false;
	}
	return true;
}

static enum guard_verdict
judge_unended(struct guard *g, const char *line, size_t line_len, size_t len, bool first)
{
	const char *cr = memchr(line, '\r', line_len);

	if (cr != NULL && cr + 1 < line + line_len)
		(void)refuse(g, PROBLEM_MALFORMED, "a line ends in CR alone; end each "
		    "in CR LF");
	else if (first && !may_begin_line(line, line_len))
		(void)refuse(g, PROBLEM_MALFORMED, no_http);
	else if (first && line_len > GUARD_LINE_MAX)
		(void)refuse(g, PROBLEM_URI_TOO_LONG, "the request line has more than "
		    "14 kB");
	else if (len > GUARD_HEAD_MAX)
		(void)refuse(g, PROBLEM_HEAD_TOO_LARGE, "the headers have more than "
		    "16 kB");
	else
		return GUARD_MORE;
	return GUARD_REFUSE;
}

enum guard_verdict
guard_judge(struct guard *g, const char *p, size_t len, size_t *head_len)
{
	const char *at = p, *end = p + len, *lf;
	size_t n;
	bool first = true, ok;

	/* Whatever line ends the rest may seem to hold. */
	if (len > 0 && *p == TLS_HANDSHAKE) {
		(void)refuse(g, PROBLEM_MALFORMED, no_http);
		return GUARD_REFUSE;
	}
	for (;; at = lf + 1) {
		lf = memchr(at, '\n', (size_t)(end - at));
		if (lf == NULL)
			return judge_unended(g, at, (size_t)(end - at), len, first);
		n = (size_t)(lf - at);
		if (n == 0 || at[n - 1] != '\r') {
			(void)refuse(g, PROBLEM_MALFORMED, "a line ends in LF alone; "
			    "end each in CR LF");
			return GUARD_REFUSE;
		}
		n--;
		if (first && n == 0 && (size_t)(lf - p) < GUARD_HEAD_MAX)
			continue;		/* RFC 9112, 2.2 */
		if (first && n > GUARD_LINE_MAX)
			ok = refuse(g, PROBLEM_URI_TOO_LONG, "the request line has "
			    "more than 14 kB");
		else if ((size_t)(lf + 1 - p) > GUARD_HEAD_MAX)
			ok = refuse(g, PROBLEM_HEAD_TOO_LARGE, "the headers have more "
			    "than 16 kB");
		else if (first)
			ok = judge_line(g, at, n);
		else if (n == 0)
			break;
		else
			ok = judge_header(g, at, n);
		if (!ok)
			return GUARD_REFUSE;
		first = false;
	}
	*head_len = (size_t)(lf + 1 - p);
	return guard_end(g) ? GUARD_PASS : GUARD_REFUSE;
}
