/*
 * check_http_busy.c - more tokens to judge than may wait: each kind of client is told
 * in the way that it can hear.  The http thread runs in this process, with room for one.
 */
#include "config.h"

#include <sys/socket.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <jwt.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "auth.h"
#include "clock.h"
#include "http.h"
#include "hub.h"
#include "log.h"
#include "metrics.h"
#include "store.h"
#include "suite.h"

#define CROWD	60

static char dir[64], path[96], *public, *private;
static struct store *store;
static struct hub *hub;
static struct http *http;
static struct sockaddr_in address;
static int number;		/* no token comes twice */

static char *
bio_text(BIO *b)
{
	char *p, *copy;
	long n = BIO_get_mem_data(b, &p);

	copy = strndup(p, (size_t)n);
	ck_assert_ptr_nonnull(copy);
	BIO_free(b);
	return copy;
}

/* An RSA key whose public exponent is long, so that a check takes 2 ms and not 20 us:
 * the worker is behind whatever slows the other threads down. */
static void
make_key(void)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY *pk = NULL;
	BIGNUM *e = BN_new();
	BIO *b;

	ck_assert(ctx != NULL && e != NULL);
	ck_assert_int_eq(BN_generate_prime_ex(e, 1024, 0, NULL, NULL, NULL), 1);
	ck_assert_int_eq(EVP_PKEY_keygen_init(ctx), 1);
	ck_assert_int_eq(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048), 1);
	ck_assert_int_eq(EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, e), 1);
	ck_assert_int_eq(EVP_PKEY_keygen(ctx, &pk), 1);
	BN_free(e);
	EVP_PKEY_CTX_free(ctx);
	b = BIO_new(BIO_s_mem());
	ck_assert_int_eq(PEM_write_bio_PUBKEY(b, pk), 1);
	public = bio_text(b);
	b = BIO_new(BIO_s_mem());
	ck_assert_int_eq(PEM_write_bio_PrivateKey(b, pk, NULL, NULL, 0, NULL,
	    NULL), 1);
	private = bio_text(b);
	EVP_PKEY_free(pk);
}

static struct auth *
new_auth(void)
{
	struct auth_conf c = { .house.key = public };
	char err[512] = "";
	struct auth *a = auth_new(&c, err, sizeof err);

	ck_assert_msg(a != NULL, "%s", err);
	return a;
}

static void
set_up(void)
{
	static const char *const none[] = { NULL };
	struct store_conf sc = { .path = path, .max_queue_bytes = 1 << 20,
	    .max_page_bytes_total = 1 << 20 };
	struct hub_conf hc = { .threads = 1, .tail_bytes = 1 << 20,
	    .queue_bytes = 64 << 10, .max_replay = 100, .heartbeat_ms = 15000,
	    .retry_ms = 3000, .stall_ms = 30000 };
	struct http_conf pc = { .max_event_bytes = 1 << 16,
	    .max_body_bytes = 1 << 20, .max_replay = 100,
	    .max_connections = 200, .max_checks = 1,
	    .cors_origins = none, .trusted_proxies = none };
	struct store_hooks hooks = { .committed = hub_publish };
	socklen_t len = sizeof address;
	char err[512] = "";
	int fd;

	log_init(LOG_ERROR, false);
	make_key();
	snprintf(dir, sizeof dir, "/tmp/fanfare-busy-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/log.db", dir);
	store = store_open(&sc, err, sizeof err);
	ck_assert_msg(store != NULL, "%s", err);
	hc.store = pc.store = store;
	hub = hub_new(&hc);
	ck_assert_ptr_nonnull(hub);
	hooks.arg = pc.hub = hub;
	http = http_new(&pc, new_auth());
	ck_assert_ptr_nonnull(http);
	fd = listen_open_tcp("127.0.0.1", "0", err, sizeof err);
	ck_assert_msg(fd != -1, "%s", err);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	ck_assert_int_eq(http_serve(http, fd, false, false), 0);
	ck_assert_int_eq(hub_start(hub), 0);
	ck_assert_int_eq(store_start(store, &hooks), 0);
	ck_assert_int_eq(http_start(http), 0);
}

static void
tear_down(void)
{
	static const char *const ends[] = { "", "-wal", "-shm", ".lock" };
	char name[128];

	http_stop(http);
	hub_stop(hub);
	store_stop(store);
	http_free(http);
	hub_free(hub);
	store_close(store);
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		snprintf(name, sizeof name, "%s%s", path, ends[i]);
		unlink(name);
	}
	rmdir(dir);
	free(public);
	free(private);
}

static char *
new_token(void)
{
	char claims[160], *s;
	jwt_t *jwt;

	(void)snprintf(claims, sizeof claims, "{\"exp\":%lld,\"n\":%d,"
	    "\"fanfare\":{\"publish\":[\"**\"],\"subscribe\":[\"**\"]}}",
	    (long long)(clock_wall_ms() / 1000 + 600), number++);
	ck_assert_int_eq(jwt_new(&jwt), 0);
	ck_assert_int_eq(jwt_add_grants_json(jwt, claims), 0);
	ck_assert_int_eq(jwt_set_alg(jwt, JWT_ALG_RS256,
	    (const unsigned char *)private, (int)strlen(private)), 0);
	s = jwt_encode_str(jwt);
	jwt_free(jwt);
	return s;
}

struct ask {
	const char	*line, *headers, *body;
	const char	*good;		/* is in a good answer */
};

/* Ask on a new connection; frees the token. */
static int
send_request(const struct ask *q, char *t)
{
	struct timeval patience = { .tv_sec = 20 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char *rq;
	ssize_t len;

	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
	    sizeof patience), 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address,
	    sizeof address), 0);
	len = asprintf(&rq, "%s HTTP/1.1\r\nHost: x\r\n%s"
	    "Authorization: Bearer %s\r\n\r\n%s", q->line, q->headers, t,
	    q->body);
	ck_assert_int_gt(len, 0);
	ck_assert_int_eq(write(fd, rq, (size_t)len), len);
	free(rq);
	free(t);
	return fd;
}

/* Many at once, each with a new token; those are made before the first one asks. */
static void
send_crowd(const struct ask *q, int fd[static CROWD])
{
	char *t[CROWD];

	for (int i = 0; i < CROWD; i++)
		t[i] = new_token();
	for (int i = 0; i < CROWD; i++)
		fd[i] = send_request(q, t[i]);
}

/* Read until one of the words stands there: which. */
static int
read_until(int fd, char *text, size_t size, const char *const *words)
{
	size_t at = 0;
	ssize_t n;

	for (;;) {
		n = read(fd, text + at, size - 1 - at);
		ck_assert_msg(n > 0, "no answer: %.*s", (int)at, text);
		at += (size_t)n;
		text[at] = '\0';
		for (int i = 0; words[i] != NULL; i++)
			if (strstr(text, words[i]) != NULL)
				return i;
	}
}

/* Crowds, until somebody was told that we are busy, in an answer with this word: that
 * answer. */
static void
crowd(const struct ask *q, const char *word, char *busy, size_t size)
{
	const char *const words[] = { q->good, word, NULL };
	int64_t end = clock_mono_ms() + 30000, counted;
	int fd[CROWD], good = 0, told = 0;
	char text[2048];

	counted = metric_get(METRIC_AUTH_BUSY);
	while (told == 0 || good == 0) {
		ck_assert_msg(clock_mono_ms() < end, "%d good, %d told", good,
		    told);
		send_crowd(q, fd);
		for (int i = 0; i < CROWD; i++) {
			if (read_until(fd[i], text, sizeof text, words) == 0)
				good++;
			else if (told++ == 0)
				(void)snprintf(busy, size, "%s", text);
			close(fd[i]);
		}
	}
	ck_assert_int_eq(metric_get(METRIC_AUTH_BUSY) - counted, told);
}

static const struct ask event_source = { "GET /events?topic=a",
	"Accept: text/event-stream\r\n", "", "event: fanfare.live" };

START_TEST(an_event_source_is_told_in_a_stream)
{
	char text[2048], *retry;

	crowd(&event_source, "\"reason\":\"overload\"", text, sizeof text);
	ck_assert_int_eq(strncmp(text, "HTTP/1.1 200", 12), 0);
	ck_assert_ptr_nonnull(strstr(text, "event: fanfare.close"));
	retry = strstr(text, "\nretry: ");
	ck_assert_ptr_nonnull(retry);
	ck_assert_int_ge(strtol(retry + 8, NULL, 10), 5000);
	ck_assert_int_gt(metric_get(METRIC_STREAMS_REFUSED), 0);
}
END_TEST

START_TEST(others_are_told_503_and_when_to_come_back)
{
	static const struct ask rows[] = {
		{ "GET /events?topic=a", "", "", "event: fanfare.live" },
		{ "GET /history?topic=a", "Accept: text/event-stream, */*\r\n",
		    "", "\"cursor\":" },
		{ "POST /publish?topic=a", "Content-Length: 4\r\n", "body",
		    "\"subscribers\":" },
	};
	char text[2048];

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		crowd(&rows[i], "\"code\":\"overload\"", text, sizeof text);
		ck_assert_int_eq(strncmp(text, "HTTP/1.1 503", 12), 0);
		ck_assert_ptr_nonnull(strcasestr(text, "\nRetry-After: "));
		ck_assert_ptr_nonnull(strstr(text, "tokens wait"));
	}
}
END_TEST

START_TEST(the_thread_ends_with_tokens_unjudged)
{
	static const char *const words[] = { "event: fanfare.", NULL };
	char text[2048];
	int fd[CROWD];

	/* One of them is in by then, and most are not. */
	send_crowd(&event_source, fd);
	ck_assert_int_eq(read_until(fd[0], text, sizeof text, words), 0);
	http_stop(http);
	ck_assert_int_eq(metric_get(METRIC_AUTH_WAITING), 0);
	for (int i = 0; i < CROWD; i++)
		close(fd[i]);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("http_busy");
	TCase *tc = tcase_create("busy");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, an_event_source_is_told_in_a_stream);
	tcase_add_test(tc, others_are_told_503_and_when_to_come_back);
	tcase_add_test(tc, the_thread_ends_with_tokens_unjudged);
	suite_add_tcase(su, tc);
	return su;
}

SUITE_MAIN
