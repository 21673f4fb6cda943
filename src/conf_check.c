/*
 * conf_check.c - the forms that words of the configuration take: where to
 * listen, networks, origins, topics, cookie names.
 *
 * Each check says what would be right, since whoever reads it is looking at the
 * line.  Nothing here resolves a name or touches a file.
 */
#include "config.h"

#include "conf_internal.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "auth.h"
#include "text.h"
#include "topic.h"

#define LOWER	"abcdefghijklmnopqrstuvwxyz"
#define UPPER	"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS	"0123456789"

/* Copy `len` bytes as a string; false when they do not fit. */
static bool
copy(char *out, size_t size, const char *p, size_t len)
{
	if (len >= size)
		return false;
	memcpy(out, p, len);
	out[len] = '\0';
	return true;
}

/* 0 to 65535 in plain digits; -1 otherwise. */
static long
parse_port(const char *p)
{
	size_t len = strlen(p);
	uint64_t n;

	if (len == 0 || len > 5 || strspn(p, DIGITS) != len ||
	    text_parse_u64(p, len, &n) == -1 || n > 65535)
		return -1;
	return (long)n;
}

static int
parse_unix_parameter(const char *p, size_t len, struct conf_listen *out,
    char *why, size_t size)
{
	const char *v;
	size_t i;

	if (len > 5 && strncmp(p, "mode=", 5) == 0) {
		out->mode = 0;
		for (i = 5; i < len; i++) {
			if (p[i] < '0' || p[i] > '7' || i - 5 > 3)
				break;
			out->mode = out->mode * 8 + (unsigned int)(p[i] - '0');
		}
		if (i < len || len - 5 < 3 || out->mode > 0777)
			return conf_fail(why, size, "has a wrong mode; write "
			    "it in octal, such as mode=0660");
		return 0;
	}
	if (len > 6 && strncmp(p, "group=", 6) == 0) {
		v = p + 6;
		if (strspn(v, LOWER UPPER DIGITS "_.-") < len - 6 ||
		    !copy(out->group, sizeof out->group, v, len - 6))
			return conf_fail(why, size, "has a wrong group; write "
			    "group=www-data, for instance");
		return 0;
	}
	return conf_fail(why, size, "has an unknown parameter; mode=0660 and "
	    "group=NAME are the ones there are");
}

static int
parse_unix(const char *p, struct conf_listen *out, char *why, size_t size)
{
	size_t len = strcspn(p, "?");
	const char *q;

	out->is_unix = true;
	out->mode = 0660;
	if (*p != '/')
		return conf_fail(why, size, "wants a full path: "
		    "unix:/run/fanfare.sock");
	if (!copy(out->path, sizeof out->path, p, len))
		return conf_fail(why, size, "is too long: the path of a socket "
		    "has at most %zu bytes", sizeof out->path - 1);
	for (p += len; *p != '\0'; p = q) {
		p++;			/* the ? or & */
		q = p + strcspn(p, "&");
		if (parse_unix_parameter(p, (size_t)(q - p), out, why,
		    size) == -1)
			return -1;
	}
	return 0;
}

/* `host` is a name or an IPv4 address. */
static bool
is_host(const char *host)
{
	struct in_addr a;

	if (*host == '\0' || *host == '-' || *host == '.' ||
	    strspn(host, LOWER UPPER DIGITS "-._") != strlen(host))
		return false;
	return strspn(host, DIGITS ".") != strlen(host) ||
	    inet_pton(AF_INET, host, &a) == 1;
}

int
conf_parse_listen(const char *text, struct conf_listen *out, char *why,
    size_t size)
{
	struct in6_addr a6;
	char address[INET6_ADDRSTRLEN];
	const char *p, *colon;
	size_t len;
	long port;

	memset(out, 0, sizeof *out);
	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(text + 5, out, why, size);
	if (strstr(text, "://") != NULL)
		return conf_fail(why, size, "is a URL; write host:port alone");
	if (*text == '[') {
		p = text + 1;
		len = strcspn(p, "]");
		if (p[len] != ']' || p[len + 1] != ':')
			return conf_fail(why, size, "is not [address]:port");
		colon = p + len + 1;
		/* A zone (%eth0) is for getaddrinfo to judge. */
		if (!copy(address, sizeof address, p, strcspn(p, "%]")) ||
		    inet_pton(AF_INET6, address, &a6) != 1 ||
		    !copy(out->host, sizeof out->host, p, len))
			return conf_fail(why, size, "holds no IPv6 address "
			    "between [ and ]");
	} else {
		if ((colon = strchr(text, ':')) == NULL) {
			if (*text != '\0' &&
			    strspn(text, DIGITS) == strlen(text))
				return conf_fail(why, size, "is a port alone; "
				    "write 127.0.0.1:%s, or 0.0.0.0:%s for "
				    "every address", text, text);
			return conf_fail(why, size, "has no port; write "
			    "host:port, [IPv6]:port or unix:/path");
		}
		if (strchr(colon + 1, ':') != NULL)
			return conf_fail(why, size, "has more than one colon; "
			    "an IPv6 address is written [::1]:8080");
		if (colon == text)
			return conf_fail(why, size, "has no host; write "
			    "127.0.0.1%s, or 0.0.0.0%s for every address", text,
			    text);
		if (!copy(out->host, sizeof out->host, text,
		    (size_t)(colon - text)) || !is_host(out->host))
			return conf_fail(why, size, "has no host name or "
			    "address before the colon");
	}
	if ((port = parse_port(colon + 1)) == -1)
		return conf_fail(why, size, "has a wrong port; 0 to 65535 are "
		    "ports");
	(void)snprintf(out->port, sizeof out->port, "%u",
	    (unsigned int)port & 0xffff);	/* always fits */
	return 0;
}

bool
conf_listen_is_loopback(const struct conf_listen *l)
{
	struct in6_addr a6;
	struct in_addr a;

	if (l->is_unix || strcmp(l->host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, l->host, &a) == 1)
		return ntohl(a.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, l->host, &a6) == 1 &&
	    IN6_IS_ADDR_LOOPBACK(&a6);
}

bool
conf_check_listen(const char *word, char *why, size_t size)
{
	struct conf_listen l;

	return conf_parse_listen(word, &l, why, size) == 0;
}

bool
conf_check_net(const char *word, char *why, size_t size)
{
	static const char *const names[] = { "loopback", "unix", "private" };
	unsigned char a[sizeof(struct in6_addr)];
	char address[INET6_ADDRSTRLEN];
	size_t len = strcspn(word, "/"), i;
	unsigned int max;
	uint64_t bits;

	for (i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strcmp(word, names[i]) == 0)
			return true;
	if (copy(address, sizeof address, word, len) &&
	    inet_pton(AF_INET, address, a) == 1)
		max = 32;
	else if (copy(address, sizeof address, word, len) &&
	    inet_pton(AF_INET6, address, a) == 1)
		max = 128;
	else {
		(void)conf_fail(why, size, "is neither an address, a network "
		    "such as 10.0.0.0/8 nor the word private");
		return false;
	}
	if (word[len] == '/' && (text_parse_u64(word + len + 1,
	    strlen(word + len + 1), &bits) == -1 || bits > max)) {
		(void)conf_fail(why, size, "has a wrong length behind the /; 0 "
		    "to %u", max);
		return false;
	}
	return true;
}

/* The host of an origin: labels, one * in the first of them. */
static int
check_origin_host(const char *p, size_t len, char *why, size_t size)
{
	const char *star = memchr(p, '*', len), *dot = memchr(p, '.', len);
	size_t i;

	if (len == 0 || p[0] == '.' || p[len - 1] == '.')
		return conf_fail(why, size, "has no host name that a browser "
		    "would send");
	for (i = 0; i < len; i++) {
		if (p[i] >= 'A' && p[i] <= 'Z')
			return conf_fail(why, size, "has capitals; browsers "
			    "send origins in small letters");
		if ((unsigned char)p[i] >= 0x80)
			return conf_fail(why, size, "is not ASCII; write the "
			    "name in its xn-- form");
		if (strchr(LOWER DIGITS "-_.*", p[i]) == NULL)
			return conf_fail(why, size, "is not scheme://host or "
			    "scheme://host:port");
		if (p[i] == '.' && p[i + 1] == '.')
			return conf_fail(why, size, "has an empty label");
	}
	if (star == NULL)
		return 0;
	if (dot == NULL || star > dot ||
	    memchr(star + 1, '*', len - (size_t)(star + 1 - p)) != NULL)
		return conf_fail(why, size, "may hold one * inside the "
		    "leftmost label of a host name, such as "
		    "https://app-*-team.vercel.app");
	return 0;
}

static int
check_origin(const char *word, char *why, size_t size)
{
	const char *host, *end, *port;
	struct in6_addr a6;
	char address[INET6_ADDRSTRLEN];
	size_t scheme_len;
	long n;

	if (strcmp(word, "*") == 0)
		return 0;
	if (strcmp(word, "null") == 0)
		return conf_fail(why, size, "is the origin of every sandboxed "
		    "page; it cannot be trusted");
	scheme_len = strspn(word, LOWER DIGITS "+.-");
	if (scheme_len == 0 || strncmp(word + scheme_len, "://", 3) != 0)
		return conf_fail(why, size, "is not an origin; write "
		    "https://www.example.com");
	host = word + scheme_len + 3;
	if (strpbrk(host, "/?#") != NULL)
		return conf_fail(why, size, "has a path; an origin ends behind "
		    "the host or port, without even a /");
	if (strchr(host, '@') != NULL)
		return conf_fail(why, size, "has a user name; an origin has "
		    "none");
	if (*host == '[') {
		end = host + strcspn(host, "]");
		if (*end != ']' || !copy(address, sizeof address, host + 1,
		    (size_t)(end - host - 1)) ||
		    inet_pton(AF_INET6, address, &a6) != 1)
			return conf_fail(why, size, "holds no IPv6 address "
			    "between [ and ]");
		end++;
	} else {
		end = host + strcspn(host, ":");
		if (check_origin_host(host, (size_t)(end - host), why,
		    size) == -1)
			return -1;
	}
	if (*end == '\0')
		return 0;
	port = end + 1;
	if (*end != ':')
		return conf_fail(why, size, "is not scheme://host or "
		    "scheme://host:port");
	if (strcmp(port, "*") == 0)
		return conf_fail(why, size, "leaves the port open, which --dev "
		    "alone may");
	if ((n = parse_port(port)) <= 0 || *port == '0')
		return conf_fail(why, size, "has a wrong port; 1 to 65535 are "
		    "ports");
	if ((n == 80 && scheme_len == 4 && strncmp(word, "http", 4) == 0) ||
	    (n == 443 && scheme_len == 5 && strncmp(word, "https", 5) == 0))
		return conf_fail(why, size, "names its scheme's own port, "
		    "which browsers leave out; write %.*s", (int)(end - word),
		    word);
	return 0;
}

bool
conf_check_origin(const char *word, char *why, size_t size)
{
	return check_origin(word, why, size) == 0;
}

bool
conf_check_topic(const char *word, char *why, size_t size)
{
	const char *phrase;

	if (topic_classify(word, strlen(word), &phrase) != TOPIC_INVALID)
		return true;
	(void)conf_fail(why, size, "is no pattern of topics: it %s", phrase);
	return false;
}

bool
conf_check_cookie(const char *word, char *why, size_t size)
{
	/* token of RFC 9110, which is what RFC 6265 allows as a name */
	if (strspn(word, LOWER UPPER DIGITS "!#$%&'*+-.^_`|~") == strlen(word))
		return true;
	(void)conf_fail(why, size, "cannot be a cookie's name; letters, "
	    "digits, - and _ are safe");
	return false;
}

bool
conf_check_jwks(const char *word, char *why, size_t size)
{
	return conf_check_text(word, why, size) &&
	    (!auth_is_url(word) || auth_url_is_good(word, why, size));
}

bool
conf_check_text(const char *word, char *why, size_t size)
{
	if (text_is_utf8(word, strlen(word)) &&
	    !text_has_control(word, strlen(word)))
		return true;
	(void)conf_fail(why, size, "holds a control character or is not UTF-8");
	return false;
}
