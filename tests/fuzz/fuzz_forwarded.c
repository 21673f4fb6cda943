/*
 * fuzz_forwarded.c - X-Forwarded-For from a trusted proxy: the address that counts is
 * the nearest one that is not a proxy of ours, whatever a client wrote left of it.
 */
#include "config.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "http_internal.h"

static const char *const proxies[] = { "10.0.0.0/8", "192.168.7.9", "2001:db8::/33",
	NULL };
static const struct http_conf conf = { .trusted_proxies = proxies };

/* Is it one of those above, or loopback?  In host order, without masks. */
static bool
plain_trusted(const char *shown)
{
	struct in6_addr six;
	struct in_addr four;
	uint32_t a;

	if (inet_pton(AF_INET, shown, &four) == 1) {
		a = ntohl(four.s_addr);
		return a / 16777216 == 127 || a / 16777216 == 10 ||
		    strcmp(shown, "192.168.7.9") == 0;
	}
	if (inet_pton(AF_INET6, shown, &six) != 1)
		return false;
	return strcmp(shown, "::1") == 0 || (six.s6_addr[0] == 0x20 &&
	    six.s6_addr[1] == 0x01 && six.s6_addr[2] == 0x0d &&
	    six.s6_addr[3] == 0xb8 && six.s6_addr[4] < 0x80);
}

FUZZ(forwarded)
{
	struct input in = { bytes, size };
	char *list = fuzz_string(&in), *longer, *comma;
	char peer[ACCESS_PEER_SIZE] = "proxy", again[ACCESS_PEER_SIZE] = "proxy";
	unsigned char a[16];
	bool shown;

	(void)access_forwarded(&conf, list, peer);
	shown = strcmp(peer, "proxy") != 0;
	if (shown)
		MUST(inet_pton(strchr(peer, ':') != NULL ? AF_INET6 : AF_INET, peer,
		    a) == 1);
	/* What a client puts in front changes nothing, once it is not believed. */
	if (shown && !plain_trusted(peer)) {
		MUST(asprintf(&longer, "203.0.113.66, %s", list) > 0);
		(void)access_forwarded(&conf, longer, again);
		MUST(strcmp(peer, again) == 0);
		free(longer);
		/* Nor does what a trusted proxy behind it adds. */
		memcpy(again, "proxy", 6);
		MUST(asprintf(&longer, "%s,10.1.2.3", list) > 0);
		(void)access_forwarded(&conf, longer, again);
		MUST(strcmp(peer, again) == 0);
		free(longer);
	}
	/* It is the last item that is read first, and an empty one is none. */
	if ((comma = strrchr(list, ',')) != NULL &&
	    comma[1 + strspn(comma + 1, " \t\n\v\f\r")] != '\0') {
		memcpy(again, "proxy", 6);
		(void)access_forwarded(&conf, comma + 1, again);
		if (strcmp(again, "proxy") == 0 || !plain_trusted(again))
			MUST(strcmp(peer, again) == 0);
	}
	free(list);
	return 0;
}
