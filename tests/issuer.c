/*
 * issuer.c - a login provider for tests: keys, sets of them, tokens, and an endpoint on
 * loopback that serves a set as well as its mood allows.
 *
 * Keys and signatures are OpenSSL's, HTTP is written by hand: nothing of the server's.
 */
#include "config.h"

#include "issuer.h"

#include <sys/socket.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>

#define N(a)	(sizeof(a) / sizeof((a)[0]))

/* ---- keys, sets, tokens ---- */

EVP_PKEY *
issuer_key(enum key_name name)
{
	static EVP_PKEY *keys[KEYS];

	if (keys[name] == NULL)
		keys[name] = name == P256 || name == P256_NEW ?
		    EVP_EC_gen("P-256") : name == P384 ? EVP_EC_gen("P-384") :
		    name == P521 ? EVP_EC_gen("P-521") :
		    EVP_RSA_gen(name == RSA1024 ? 1024 : 2048);
	ck_assert_ptr_nonnull(keys[name]);
	return keys[name];
}

char *
b64(const void *p, size_t len)
{
	char *out = keep(malloc(len * 4 / 3 + 8), free), *s;
	int n = EVP_EncodeBlock((unsigned char *)out, p, (int)len);

	while (n > 0 && out[n - 1] == '=')
		out[--n] = '\0';
	for (s = out; *s != '\0'; s++)
		*s = *s == '+' ? '-' : *s == '/' ? '_' : *s;
	return out;
}

static char *
number_of(EVP_PKEY *pk, const char *param, int len)
{
	unsigned char bytes[1024];
	BIGNUM *bn = NULL;
	int n;

	ck_assert_int_eq(EVP_PKEY_get_bn_param(pk, param, &bn), 1);
	n = len > 0 ? len : BN_num_bytes(bn);
	ck_assert_int_eq(BN_bn2binpad(bn, bytes, n), n);
	BN_free(bn);
	return b64(bytes, (size_t)n);
}

/* One JWK; `more` is ",\"use\":\"sig\"" and so on. */
char *
jwk(enum key_name name, const char *kid, const char *more)
{
	EVP_PKEY *pk = issuer_key(name);
	int len = (EVP_PKEY_get_bits(pk) + 7) / 8;
	char *id = kid != NULL ? fmt("\"kid\":\"%s\",", kid) : fmt("%s", "");

	if (name == RSA1 || name == RSA2 || name == RSA1024)
		return fmt("{%s\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"%s}", id,
		    number_of(pk, OSSL_PKEY_PARAM_RSA_N, 0),
		    number_of(pk, OSSL_PKEY_PARAM_RSA_E, 0), more);
	return fmt("{%s\"kty\":\"EC\",\"crv\":\"P-%d\",\"x\":\"%s\",\"y\":\"%s\"%s}",
	    id, EVP_PKEY_get_bits(pk), number_of(pk, OSSL_PKEY_PARAM_EC_PUB_X, len),
	    number_of(pk, OSSL_PKEY_PARAM_EC_PUB_Y, len), more);
}

char *
set_of(const char *keys)
{
	return fmt("{\"keys\":[%s]}", keys);
}

/* A token over these texts. */
char *
sign_token(enum key_name name, const char *header, const char *claims)
{
	EVP_PKEY *pk = issuer_key(name);
	const EVP_MD *md = strstr(header, "384\"") != NULL ? EVP_sha384() :
	    strstr(header, "512\"") != NULL ? EVP_sha512() : EVP_sha256();
	char *text = fmt("%s.%s", b64(header, strlen(header)),
	    b64(claims, strlen(claims)));
	unsigned char sig[1024], raw[256];
	const unsigned char *p = sig;
	size_t len = sizeof sig;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	ECDSA_SIG *es;
	int half;

	ck_assert_int_eq(EVP_DigestSignInit(ctx, NULL, md, NULL, pk), 1);
	ck_assert_int_eq(EVP_DigestSign(ctx, sig, &len, (unsigned char *)text,
	    strlen(text)), 1);
	EVP_MD_CTX_free(ctx);
	if (EVP_PKEY_get_base_id(pk) != EVP_PKEY_EC)
		return fmt("%s.%s", text, b64(sig, len));
	half = (EVP_PKEY_get_bits(pk) + 7) / 8;
	es = d2i_ECDSA_SIG(NULL, &p, (long)len);
	ck_assert_ptr_nonnull(es);
	ck_assert_int_eq(BN_bn2binpad(ECDSA_SIG_get0_r(es), raw, half), half);
	ck_assert_int_eq(BN_bn2binpad(ECDSA_SIG_get0_s(es), raw + half, half), half);
	ECDSA_SIG_free(es);
	return fmt("%s.%s", text, b64(raw, (size_t)half * 2));
}

static const char *const alg_of[KEYS] = {
	"RS256", "RS256", "ES256", "ES256", "ES384", "ES512", "RS256"
};

/* A header line with a token of this issuer and subject. */
char *
bearer(enum key_name name, const char *kid, const char *iss, const char *sub)
{
	char *header = kid == NULL ? fmt("{\"alg\":\"%s\"}", alg_of[name]) :
	    fmt("{\"alg\":\"%s\",\"kid\":\"%s\"}", alg_of[name], kid);

	return fmt(BEARER "%s\r\n", sign_token(name, header, fmt("{\"iss\":\"%s\","
	    "\"sub\":\"%s\",\"exp\":%lld,\"fanfare\":{\"publish\":[\"**\"],"
	    "\"subscribe\":[\"a/**\"]}}", iss, sub, (long long)wall_s() + 600)));
}

/* ---- the endpoint ---- */

static void
send_all(int fd, const char *p, size_t len)
{
	ssize_t n;

	for (; len > 0; p += n, len -= (size_t)n)
		if ((n = send(fd, p, len, MSG_NOSIGNAL)) <= 0)
			return;
}

static void
say(int fd, const char *status, const char *headers, const char *body)
{
	char head[512];
	int n = snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n"
	    "Connection: close\r\n%s\r\n", status, strlen(body), headers);

	send_all(fd, head, (size_t)n);
	send_all(fd, body, strlen(body));
}

/* False: the connection is held. */
static bool
answer(struct endpoint *e, int fd)
{
	char junk[16384];
	struct timeval second = { 2, 0 };
	int i;

	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof second);
	switch ((enum mood)e->mood) {
	case GOOD:
		pthread_mutex_lock(&e->lock);
		say(fd, "200 OK", e->headers != NULL ? e->headers : "", e->body);
		pthread_mutex_unlock(&e->lock);
		return true;
	case MISSING:
		say(fd, "404 Not Found", "", "nothing");
		return true;
	case BROKEN:
		say(fd, "500 Internal Server Error", "", "{\"keys\":[]}");
		return true;
	case REDIRECTS:
		snprintf(junk, sizeof junk, "Location: http://127.0.0.1:%d/other\r\n",
		    e->port);
		say(fd, "302 Found", junk, "");
		return true;
	case HTML:
		say(fd, "200 OK", "Content-Type: text/html\r\n",
		    "\n<!DOCTYPE html><p>Sign in</p>");
		return true;
	case HUGE_BODY:
		send_all(fd, "HTTP/1.1 200 OK\r\n\r\n{\"keys\":[", 28);
		memset(junk, ' ', sizeof junk);
		for (i = 0; i < 256; i++)
			send_all(fd, junk, sizeof junk);
		return true;
	case NOTHING_OF_USE:
		say(fd, "200 OK", "", "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
		    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}");
		return true;
	case EMPTY:
		say(fd, "200 OK", "", "{\"keys\":[]}");
		return true;
	case HUGE_HEAD:
		send_all(fd, "HTTP/1.1 200 OK\r\n", 17);
		for (i = 0; i < 4096; i++)
			send_all(fd, "X-Padding: 0123456789012345678901234567890123456789\r\n",
			    53);
		return true;
	case CONTINUES:
		for (i = 0; i < 8192; i++)
			send_all(fd, "HTTP/1.1 100 Continue\r\n\r\n", 25);
		return true;
	case GZIP:
		/* 64 MB of spaces, were it unpacked; the packed bytes are never JSON. */
		memset(junk, 0, sizeof junk);
		send_all(fd, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
		    "Content-Length: 10000\r\n\r\n\x1f\x8b\x08", 69);
		send_all(fd, junk, 9997);
		return true;
	case TO_FILE:
		say(fd, "302 Found", "Location: file:///etc/passwd\r\n", "");
		return true;
	case CUT:
		pthread_mutex_lock(&e->lock);
		snprintf(junk, sizeof junk, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n"
		    "\r\n%s", strlen(e->body) + 1, e->body);
		pthread_mutex_unlock(&e->lock);
		send_all(fd, junk, strlen(junk));
		return true;
	case SECRETS:
		say(fd, "200 OK", "", "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"k\",\"alg\":"
		    "\"HS256\",\"k\":\"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0\"}]}");
		return true;
	case DRIPS:
		send_all(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", 44);
		break;
	case DRIBBLES:
		send_all(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"ke", 44);
		break;
	case HANGS:
	case DOWN:
	case MOODS:
		break;
	}
	return false;
}

static void *
endpoint_main(void *arg)
{
	struct endpoint *e = arg;
	struct pollfd p = { .fd = e->fd, .events = POLLIN };
	char head[4096];
	ssize_t n;
	size_t len;
	int fd;

	while (!e->stop) {
		for (int i = 0; e->mood == DRIPS && i < e->nheld; i++)
			(void)!send(e->held[i], " ", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (poll(&p, 1, 20) != 1 || (fd = accept(e->fd, NULL, NULL)) == -1)
			continue;
		if (e->mood == DOWN) {
			close(fd);
			continue;
		}
		for (len = 0; len < sizeof head - 1 && (n = recv(fd, head + len,
		    sizeof head - 1 - len, 0)) > 0;) {
			head[len += (size_t)n] = '\0';
			if (strstr(head, "\r\n\r\n") != NULL)
				break;
		}
		if (strncmp(head, "GET /jwks ", 10) == 0)
			e->hits++;
		else
			e->other_hits++;
		if (answer(e, fd) || e->nheld == (int)N(e->held))
			close(fd);
		else
			e->held[e->nheld++] = fd;
	}
	return NULL;
}

static void
endpoint_end(void *arg)
{
	struct endpoint *e = arg;

	e->stop = true;
	pthread_join(e->thread, NULL);
	while (e->nheld > 0)
		close(e->held[--e->nheld]);
	close(e->fd);
	free(e->body);
	free(e->headers);
	free(e);
}

void
endpoint_serve(struct endpoint *e, const char *body)
{
	pthread_mutex_lock(&e->lock);
	free(e->body);
	e->body = strdup(body);
	pthread_mutex_unlock(&e->lock);
}

/* In the mood DOWN connections end without an answer. */
struct endpoint *
endpoint(const char *body)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof sin;
	struct endpoint *e = calloc(1, sizeof *e);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	e->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(e->fd, (struct sockaddr *)&sin, sizeof sin), 0);
	ck_assert_int_eq(listen(e->fd, 100), 0);
	ck_assert_int_eq(getsockname(e->fd, (struct sockaddr *)&sin, &len), 0);
	e->port = ntohs(sin.sin_port);
	pthread_mutex_init(&e->lock, NULL);
	endpoint_serve(e, body);
	ck_assert_int_eq(pthread_create(&e->thread, NULL, endpoint_main, e), 0);
	return keep(e, endpoint_end);
}
