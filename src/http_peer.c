/*
 * http_peer.c - the client's address: that of the socket, or, from a trusted proxy, the
 * one that X-Forwarded-For names.
 *
 * The list is read from the right: each trusted proxy vouches for the one that it wrote
 * down last.  The first address that is not a proxy of ours is the client, and what
 * stands left of it anybody may have written.  Where a trusted proxy wrote something that
 * is no address ("unknown"), nobody knows more than that it was behind this proxy, which
 * is then what counts.
 */
#include "config.h"

#include <sys/socket.h>

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http_internal.h"

#define HEADERS_MAX	32	/* of X-Forwarded-For; the last of them */

static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

/* Take a port away that stands behind the address: 192.0.2.1:80, [2001:db8::1]:80.
 * False: what stands there is none. */
static bool
cut_port(char *text)
{
	char *colon = strrchr(text, ':'), *p;

	if (*text == '[') {
		if ((p = strchr(text, ']')) == NULL || (p[1] != '\0' && p + 1 != colon))
			return false;
		*p = '\0';
		memmove(text, text + 1, (size_t)(p - text));
		if (p + 1 != colon)
			return true;
	} else if (colon == NULL || colon != strchr(text, ':') ||
	    strchr(text, '.') == NULL)
		return true;		/* no port: IPv4 alone, or IPv6 */
	*colon = '\0';
	for (p = colon + 1; isdigit((unsigned char)*p); p++)
		;
	return *p == '\0' && p - colon <= 6;
}

/* An address as 16 bytes; IPv4 mapped. */
static bool
parse_address(const char *text, size_t len, unsigned char out[16])
{
	char copy[64];

	while (len > 0 && isspace((unsigned char)*text)) {
		text++;
		len--;
	}
	while (len > 0 && isspace((unsigned char)text[len - 1]))
		len--;
	if (len == 0 || len >= sizeof(copy))
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (!cut_port(copy))
		return false;
	if (inet_pton(AF_INET6, copy, out) == 1)
		return true;
	memcpy(out, mapped, sizeof(mapped));
	return inet_pton(AF_INET, copy, out + 12) == 1;
}

static bool
in_network(const unsigned char a[16], const char *cidr)
{
	unsigned char net[16];
	const char *slash = strchr(cidr, '/');
	size_t len = slash != NULL ? (size_t)(slash - cidr) : strlen(cidr);
	unsigned int bits = 128;

	if (!parse_address(cidr, len, net))
		return false;
	if (slash != NULL) {
		bits = (unsigned int)strtoul(slash + 1, NULL, 10);
		if (memchr(cidr, ':', len) == NULL)
			bits += 96;
	}
	for (unsigned int i = 0; i < 16 && bits > 0; i++) {
		unsigned int n = bits < 8 ? bits : 8;
		unsigned char mask = (unsigned char)(0xff << (8 - n));

		if ((a[i] & mask) != (net[i] & mask))
			return false;
		bits -= n;
	}
	return true;
}

static bool
is_trusted(const struct http_conf *c, const unsigned char a[16])
{
	static const char *const private_nets[] = { "10.0.0.0/8",
	    "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", NULL };

	if (in_network(a, "127.0.0.0/8") || in_network(a, "::1"))
		return true;
	for (const char *const *p = c->trusted_proxies; *p != NULL; p++) {
		if (strcmp(*p, "private") == 0) {
			for (const char *const *n = private_nets; *n != NULL; n++)
				if (in_network(a, *n))
					return true;
		} else if (in_network(a, *p))
			return true;
	}
	return false;
}

static void
show_address(const unsigned char a[16], char out[ACCESS_PEER_SIZE])
{
	if (memcmp(a, mapped, sizeof(mapped)) == 0)
		(void)inet_ntop(AF_INET, a + 12, out, ACCESS_PEER_SIZE);
	else
		(void)inet_ntop(AF_INET6, a, out, ACCESS_PEER_SIZE);
}

static bool
is_blank(const char *p, const char *end)
{
	while (p < end && isspace((unsigned char)*p))
		p++;
	return p == end;
}

bool
access_forwarded(const struct http_conf *c, const char *list, char peer[ACCESS_PEER_SIZE])
{
	const char *end, *start;
	unsigned char a[16];

	for (end = list + strlen(list);; end = start - 1) {
		for (start = end; start > list && start[-1] != ','; start--)
			;
		/* Empty elements are to be passed over: RFC 9110 5.6.1. */
		if (!is_blank(start, end)) {
			if (!parse_address(start, (size_t)(end - start), a))
				return false;
			show_address(a, peer);
			if (!is_trusted(c, a))
				return false;
		}
		if (start == list)
			return true;
	}
}

void
access_name_peer(const struct http_conf *c, const struct sockaddr *sa,
    const char *const *lists, size_t n, char peer[ACCESS_PEER_SIZE])
{
	unsigned char a[16];

	(void)snprintf(peer, ACCESS_PEER_SIZE, "unix");
	if (sa != NULL && (sa->sa_family == AF_INET || sa->sa_family == AF_INET6)) {
		if (sa->sa_family == AF_INET) {
			memcpy(a, mapped, sizeof(mapped));
			memcpy(a + 12, &((const struct sockaddr_in *)
			    (const void *)sa)->sin_addr, 4);
		} else
			memcpy(a, &((const struct sockaddr_in6 *)
			    (const void *)sa)->sin6_addr, 16);
		show_address(a, peer);
		if (!is_trusted(c, a))
			return;
	}
	/* Several headers are one list: RFC 9110 5.2. */
	while (n > 0 && access_forwarded(c, lists[n - 1], peer))
		n--;
}

/* The headers in their order; of too many the last. */
struct found {
	const char	*lists[HEADERS_MAX];
	size_t		 n;
};

static enum MHD_Result
find_list(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
	struct found *f = cls;

	(void)kind;
	if (strcasecmp(key, "X-Forwarded-For") != 0 || value == NULL)
		return MHD_YES;
	if (f->n == HEADERS_MAX)
		memmove(f->lists, f->lists + 1, --f->n * sizeof(f->lists[0]));
	f->lists[f->n++] = value;
	return MHD_YES;
}

const char *
access_peer(struct request *rq)
{
	const union MHD_ConnectionInfo *info;
	struct found f = { .n = 0 };

	if (rq->peer[0] != '\0')
		return rq->peer;
	info = MHD_get_connection_info(rq->conn,
	    MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	(void)MHD_get_connection_values(rq->conn, MHD_HEADER_KIND, find_list, &f);
	access_name_peer(&rq->http->conf, info != NULL ? info->client_addr : NULL,
	    f.lists, f.n, rq->peer);
	return rq->peer;
}

void
access_block(const char *peer, char out[ACCESS_PEER_SIZE])
{
	unsigned char a[16];
	size_t len;

	memcpy(out, peer, ACCESS_PEER_SIZE);
	if (inet_pton(AF_INET6, peer, a) != 1)
		return;
	memset(a + 8, 0, 8);
	(void)inet_ntop(AF_INET6, a, out, ACCESS_PEER_SIZE);
	len = strlen(out);
	(void)snprintf(out + len, ACCESS_PEER_SIZE - len, "/64");
}
