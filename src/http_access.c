/*
 * http_access.c - who asks: the client's address and its credential.
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

/* --- addresses --- */

/* An address as 16 bytes; IPv4 mapped. */
static bool
parse_address(const char *text, size_t len, unsigned char out[16])
{
	static const unsigned char mapped[12] =
	    { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
	char copy[64];

	while (len > 0 && isspace((unsigned char)*text)) {
		text++;
		len--;
	}
	while (len > 0 && isspace((unsigned char)text[len - 1]))
		len--;
	if (len > 1 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (len == 0 || len >= sizeof(copy))
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	/* a.b.c.d:port, as some proxies write it */
	if (strchr(copy, '.') != NULL && strchr(copy, ':') == strrchr(copy, ':'))
		copy[strcspn(copy, ":")] = '\0';
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

static enum MHD_Result
last_value(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
	(void)kind;
	if (strcasecmp(key, "X-Forwarded-For") == 0 && value != NULL)
		*(const char **)cls = value;
	return MHD_YES;
}

static void
show_address(const unsigned char a[16], char out[ACCESS_PEER_SIZE])
{
	static const unsigned char mapped[12] =
	    { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

	if (memcmp(a, mapped, sizeof(mapped)) == 0)
		(void)inet_ntop(AF_INET, a + 12, out, ACCESS_PEER_SIZE);
	else
		(void)inet_ntop(AF_INET6, a, out, ACCESS_PEER_SIZE);
}

/* From the right: each trusted proxy vouches for the one before it. */
void
access_forwarded(const struct http_conf *c, const char *list, char peer[ACCESS_PEER_SIZE])
{
	const char *end, *start;
	unsigned char a[16];

	for (end = list + strlen(list);; end = start - 1) {
		for (start = end; start > list && start[-1] != ','; start--)
			;
		if (!parse_address(start, (size_t)(end - start), a))
			return;
		show_address(a, peer);
		if (start == list || !is_trusted(c, a))
			return;
	}
}

const char *
access_peer(struct request *rq)
{
	const union MHD_ConnectionInfo *info;
	const struct sockaddr *sa;
	unsigned char a[16];
	const char *list = NULL;
	bool trusted = true;

	if (rq->peer[0] != '\0')
		return rq->peer;
	info = MHD_get_connection_info(rq->conn,
	    MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	sa = info != NULL ? info->client_addr : NULL;
	(void)snprintf(rq->peer, sizeof(rq->peer), "unix");
	if (sa != NULL && (sa->sa_family == AF_INET ||
	    sa->sa_family == AF_INET6)) {
		if (sa->sa_family == AF_INET) {
			memset(a, 0, 10);
			a[10] = a[11] = 0xff;
			memcpy(a + 12, &((const struct sockaddr_in *)
			    (const void *)sa)->sin_addr, 4);
		} else
			memcpy(a, &((const struct sockaddr_in6 *)
			    (const void *)sa)->sin6_addr, 16);
		show_address(a, rq->peer);
		trusted = is_trusted(&rq->http->conf, a);
	}
	if (!trusted)
		return rq->peer;
	(void)MHD_get_connection_values(rq->conn, MHD_HEADER_KIND, last_value,
	    &list);
	if (list != NULL)
		access_forwarded(&rq->http->conf, list, rq->peer);
	return rq->peer;
}

/* --- credentials --- */

/* A cookie's value, in place. */
static struct auth_credential
find_cookie(const char *header, const char *name)
{
	struct auth_credential none = { NULL, 0 };
	size_t name_len = strlen(name), len;
	const char *p = header;

	while (*p != '\0') {
		while (*p == ' ' || *p == ';')
			p++;
		len = strcspn(p, ";");
		if (len > name_len && p[name_len] == '=' &&
		    memcmp(p, name, name_len) == 0) {
			p += name_len + 1;
			len -= name_len + 1;
			while (len > 0 && p[len - 1] == ' ')
				len--;
			if (len > 1 && p[0] == '"' && p[len - 1] == '"') {
				p++;
				len -= 2;
			}
			return (struct auth_credential){ p, len };
		}
		p += len;
	}
	return none;
}

struct auth_credential
access_credential(struct request *rq, bool publish)
{
	struct auth_credential none = { NULL, 0 };
	const struct query_pair *token;
	const char *h;

	if ((h = rq_header(rq, "Authorization")) != NULL &&
	    strncasecmp(h, "Bearer", 6) == 0 && (h[6] == ' ' || h[6] == '\0')) {
		for (h += 6; *h == ' '; h++)
			;
		if (*h != '\0')
			return (struct auth_credential){ h, strlen(h) };
	}
	if (publish)
		return none;
	if ((token = query_get(&rq->q, "token")) != NULL && token->value_len > 0)
		return (struct auth_credential){ token->value, token->value_len };
	if (rq->http->conf.cookie != NULL &&
	    (h = rq_header(rq, "Cookie")) != NULL && origin_vouches(rq))
		return find_cookie(h, rq->http->conf.cookie);
	return none;
}
