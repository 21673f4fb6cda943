/*
 * check_auth_pool.c - tokens judged on other threads: who waits, who shares, what a
 * reload, a crowd and an end in the middle of it do.
 *
 * A pool that is not started yet is a queue at rest, so most of this needs no luck.
 */
#include "config.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <jwt.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "auth.h"
#include "auth_internal.h"
#include "auth_pool.h"
#include "clock.h"
#include "log.h"
#include "mailbox.h"
#include "metrics.h"
#include "suite.h"

#define NOW	INT64_C(1750000000000)
#define API_KEY	"ffk_0123456789abcdefghijklmnopqrstuvwxyzABCDEF"
#define SECRET	"a secret of the house, of forty bytes..."
#define GOOD	"{\"exp\":1750000600,\"sub\":\"%d\",\"fanfare\":"		\
	"{\"publish\":[\"p/**\"],\"subscribe\":[\"s/**\"]}}"

enum key_name { K_EC, K_EC_OTHER, K_RSA, K_NAMES };
static char *publics[K_NAMES], *privates[K_NAMES];

static struct mailbox *box;
static struct auth_pool *pool;
static unsigned int woken;		/* how many of struct asker */
static int64_t end_ms = NOW;		/* what time it is when a job ends */

/* One who asks. */
struct asker {
	struct auth_wait wait;
	unsigned int	 woken;
	unsigned int	 order;		/* woken as the how many-th */
};

static char *
bio_text(BIO *b)
{
	char *p, *copy;
	long n = BIO_get_mem_data(b, &p);

	ck_assert_int_gt(n, 0);
	copy = strndup(p, (size_t)n);
	ck_assert_ptr_nonnull(copy);
	BIO_free(b);
	return copy;
}

static void
keep_key(enum key_name name, EVP_PKEY *pk)
{
	BIO *b = BIO_new(BIO_s_mem());

	ck_assert_ptr_nonnull(pk);
	ck_assert_int_eq(PEM_write_bio_PUBKEY(b, pk), 1);
	publics[name] = bio_text(b);
	b = BIO_new(BIO_s_mem());
	ck_assert_int_eq(PEM_write_bio_PrivateKey(b, pk, NULL, NULL, 0, NULL,
	    NULL), 1);
	privates[name] = bio_text(b);
	EVP_PKEY_free(pk);
}

static void
make_keys(void)
{
	log_init(LOG_ERROR, false);
	keep_key(K_EC, EVP_EC_gen("P-256"));
	keep_key(K_EC_OTHER, EVP_EC_gen("P-256"));
	keep_key(K_RSA, EVP_RSA_gen(2048));
}

static void
drop_keys(void)
{
	for (size_t i = 0; i < K_NAMES; i++) {
		free(publics[i]);
		free(privates[i]);
	}
}

static char *
signed_token(const char *key, jwt_alg_t alg, const char *claims)
{
	jwt_t *jwt;
	char *s;

	ck_assert_int_eq(jwt_new(&jwt), 0);
	ck_assert_int_eq(jwt_add_grants_json(jwt, claims), 0);
	ck_assert_int_eq(jwt_set_alg(jwt, alg, (const unsigned char *)key,
	    (int)strlen(key)), 0);
	s = jwt_encode_str(jwt);
	ck_assert_ptr_nonnull(s);
	jwt_free(jwt);
	return s;
}

/* A good ES256 token, a different one for each number. */
static char *
es256(enum key_name key, int number)
{
	char claims[256];

	(void)snprintf(claims, sizeof claims, GOOD, number);
	return signed_token(privates[key], JWT_ALG_ES256, claims);
}

static struct auth *
auth_with(const char *key)
{
	static const char *const api_keys[] = { "one:" API_KEY, NULL };
	struct auth_conf c = {
		.api_keys = api_keys, .house.key = key, .house.leeway_ms = 5000,
		.house.grace_ms = 60000,
	};
	char err[512] = "";
	struct auth *a = auth_new(&c, err, sizeof err);

	ck_assert_msg(a != NULL, "%s", err);
	return a;
}

static void
post(void *arg, struct msg *m)
{
	mailbox_post(arg, m, true);
}

static void
not_fetched(void *arg, const char *url)
{
	(void)arg, (void)url;
}

static void
open_pool(unsigned int threads, size_t max_waiting)
{
	struct auth_pool_conf c = { .threads = threads,
	    .max_waiting = max_waiting, .done = post, .fetch = not_fetched };

	box = mailbox_new();
	ck_assert_ptr_nonnull(box);
	c.arg = box;
	pool = auth_pool_new(&c);
	ck_assert_ptr_nonnull(pool);
	woken = 0;
}

static void
wake(void *owner)
{
	struct asker *k = owner;

	k->woken++;
	k->order = ++woken;
}

static void
take_mail(void)
{
	struct msg *m, *next;

	for (m = mailbox_take(box); m != NULL; m = next) {
		next = m->next;
		auth_job_end(m, end_ms, wake);
	}
}

/* Until so many have been woken. */
static void
wait_woken(unsigned int n)
{
	struct pollfd pfd = { mailbox_fd(box), POLLIN, 0 };
	int64_t end = clock_mono_ms() + 20000;

	while (woken < n) {
		ck_assert_msg(clock_mono_ms() < end, "%u of %u woken", woken, n);
		(void)poll(&pfd, 1, 100);
		take_mail();
	}
	ck_assert_uint_eq(woken, n);
}

static void
close_pool(void)
{
	auth_pool_stop(pool);
	take_mail();
	auth_pool_free(pool);
	mailbox_free(box);
}

static struct auth_credential
credential(const char *text)
{
	return (struct auth_credential){ text, strlen(text) };
}

static enum auth_ask
ask(struct auth *a, const char *token, enum auth_use use, struct asker *k)
{
	k->wait.owner = k;
	return auth_pool_ask(pool, a, credential(token), use, &k->wait);
}

/* Once judged: 0, or the problem. */
static int
verdict(struct asker *k, enum auth_use use, int64_t now_ms, char why[256])
{
	struct auth_identity id;
	enum problem problem = PROBLEM_INTERNAL;

	if (auth_verify_judged(&k->wait, use, now_ms, &id, &problem, why,
	    256) == -1)
		return (int)problem;
	ck_assert_ptr_nonnull(id.grants);
	ck_assert(id.key_id != 0 && id.principal != 0 && !id.is_api_key);
	ck_assert_ptr_nonnull(id.sub);
	ck_assert_int_eq(id.expires_ms, id.exp_ms + 60000);
	auth_identity_fini(&id);
	return 0;
}

START_TEST(what_is_quick_is_not_put_off)
{
	struct auth *ec = auth_with(publics[K_EC]), *hmac = auth_with(SECRET);
	struct auth *none = auth_with(NULL);
	char *slow = es256(K_EC, 1);
	char *quick = signed_token(SECRET, JWT_ALG_HS256,
	    "{\"exp\":1750000600}");
	const char *const broken[] = { "", "x", "a.b", "a.b.c.d", "a.b.=",
	    API_KEY, "ffk_unknown" };
	struct asker k = { .woken = 0 };
	struct auth_credential nothing = { NULL, 0 };

	open_pool(1, 10);
	for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
		ck_assert_int_eq(ask(ec, broken[i], AUTH_SUBSCRIBE, &k),
		    AUTH_ASK_NOW);
	ck_assert_int_eq(auth_pool_ask(pool, ec, nothing, AUTH_PUBLISH, &k.wait),
	    AUTH_ASK_NOW);
	ck_assert_int_eq(ask(hmac, quick, AUTH_PUBLISH, &k), AUTH_ASK_NOW);
	ck_assert_int_eq(ask(hmac, slow, AUTH_PUBLISH, &k), AUTH_ASK_NOW);
	ck_assert_int_eq(ask(none, slow, AUTH_PUBLISH, &k), AUTH_ASK_NOW);
	ck_assert_ptr_null(k.wait.job);
	free(slow);
	free(quick);
	auth_free(ec);
	auth_free(hmac);
	auth_free(none);
	close_pool();
}
END_TEST

START_TEST(a_slow_token_is_judged_and_then_known)
{
	static const struct { enum key_name key; jwt_alg_t alg; } rows[] = {
		{ K_EC, JWT_ALG_ES256 }, { K_RSA, JWT_ALG_RS256 },
		{ K_RSA, JWT_ALG_RS512 },
	};
	char claims[256], why[256] = "", *t;
	struct auth_identity id;
	enum problem problem;
	struct auth *a;

	(void)snprintf(claims, sizeof claims, GOOD, 42);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct asker k = { .woken = 0 }, later = { .woken = 0 };

		a = auth_with(publics[rows[i].key]);
		t = signed_token(privates[rows[i].key], rows[i].alg, claims);
		open_pool(1, 10);
		ck_assert_int_eq(auth_pool_start(pool), 0);
		ck_assert_int_eq(ask(a, t, AUTH_SUBSCRIBE, &k), AUTH_ASK_LATER);
		wait_woken(1);
		ck_assert_int_eq(ask(a, t, AUTH_SUBSCRIBE, &k),
		    AUTH_ASK_JUDGED);
		ck_assert_int_eq(auth_verify_judged(&k.wait, AUTH_SUBSCRIBE, NOW,
		    &id, &problem, why, sizeof why), 0);
		ck_assert_str_eq(id.sub, "42");
		ck_assert(auth_may_subscribe(a, &id, "s/1", 3));
		ck_assert(!auth_may_subscribe(a, &id, "p/1", 3));
		auth_identity_fini(&id);
		ck_assert_uint_eq(auth_cache_count(a), 1);
		ck_assert_int_eq(ask(a, t, AUTH_PUBLISH, &later), AUTH_ASK_NOW);
		ck_assert_int_eq(auth_verify(a, credential(t), AUTH_PUBLISH, NOW,
		    &id, &problem, why, sizeof why), 0);
		ck_assert(auth_may_publish(a, &id, "p/1", 3));
		auth_identity_fini(&id);
		auth_wait_fini(&k.wait);
		ck_assert_uint_eq(a->refs, 1);
		auth_free(a);
		close_pool();
		free(t);
	}
}
END_TEST

START_TEST(a_refusal_says_what_it_says_without_threads)
{
	struct auth *a = auth_with(publics[K_EC]);
	char *t[] = {
		es256(K_EC_OTHER, 1),
		signed_token(privates[K_RSA], JWT_ALG_RS256, "{}"),
		signed_token(SECRET, JWT_ALG_HS256, "{}"),
		signed_token(privates[K_EC], JWT_ALG_ES256, "{}"),
		signed_token(privates[K_EC], JWT_ALG_ES256, "{\"exp\":1}"),
		signed_token(privates[K_EC], JWT_ALG_ES256,
		    "{\"exp\":1750000600,\"nbf\":1750000500}"),
		signed_token(privates[K_EC], JWT_ALG_ES256,
		    "{\"exp\":1750000600,\"fanfare\":7}"),
	};
	struct auth_identity id;
	enum problem problem;
	char sync[256], why[256];

	open_pool(1, 100);
	ck_assert_int_eq(auth_pool_start(pool), 0);
	for (unsigned int i = 0; i < sizeof t / sizeof *t; i++) {
		struct asker k = { .woken = 0 };

		ck_assert_int_eq(auth_verify(a, credential(t[i]), AUTH_SUBSCRIBE,
		    NOW, &id, &problem, sync, sizeof sync), -1);
		ck_assert_int_eq(ask(a, t[i], AUTH_SUBSCRIBE, &k),
		    AUTH_ASK_LATER);
		wait_woken(i + 1);
		ck_assert_int_eq(ask(a, t[i], AUTH_SUBSCRIBE, &k),
		    AUTH_ASK_JUDGED);
		ck_assert_int_eq(verdict(&k, AUTH_SUBSCRIBE, NOW, why),
		    (int)problem);
		ck_assert_str_eq(why, sync);
		auth_wait_fini(&k.wait);
		free(t[i]);
	}
	ck_assert_uint_eq(auth_cache_count(a), 0);
	auth_free(a);
	close_pool();
}
END_TEST

START_TEST(those_who_bring_the_same_token_share_one_check)
{
	struct auth *a = auth_with(publics[K_EC]);
	char *t = es256(K_EC, 1), *other = es256(K_EC, 2), why[256];
	struct asker k[20] = { { .woken = 0 } };
	int64_t before = metric_get(METRIC_AUTH_CHECKS);

	open_pool(2, 2);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(ask(a, i == 7 ? other : t, i % 3 == 0 ?
		    AUTH_PUBLISH : AUTH_SUBSCRIBE, &k[i]), AUTH_ASK_LATER);
	ck_assert_int_eq(auth_pool_start(pool), 0);
	wait_woken(20);
	ck_assert_int_eq(metric_get(METRIC_AUTH_CHECKS) - before, 2);
	for (int i = 0; i < 20; i++) {
		ck_assert_uint_eq(k[i].woken, 1);
		ck_assert_int_eq(verdict(&k[i], AUTH_SUBSCRIBE, NOW, why), 0);
		auth_wait_fini(&k[i].wait);
	}
	ck_assert_uint_eq(auth_cache_count(a), 2);
	free(t);
	free(other);
	auth_free(a);
	close_pool();
}
END_TEST

START_TEST(beyond_its_limit_a_queue_takes_no_more)
{
	struct auth *a = auth_with(publics[K_EC]);
	struct asker k[8] = { { .woken = 0 } };
	char *t[8], why[256];
	int64_t busy = metric_get(METRIC_AUTH_BUSY);
	int64_t waiting = metric_get(METRIC_AUTH_WAITING);

	open_pool(1, 2);
	for (int i = 0; i < 8; i++)
		t[i] = es256(K_EC, i);
	ck_assert_int_eq(ask(a, t[0], AUTH_SUBSCRIBE, &k[0]), AUTH_ASK_LATER);
	ck_assert_int_eq(ask(a, t[1], AUTH_SUBSCRIBE, &k[1]), AUTH_ASK_LATER);
	ck_assert_int_eq(ask(a, t[2], AUTH_SUBSCRIBE, &k[2]), AUTH_ASK_BUSY);
	/* One token more is no burden, and publishers have a queue of their own. */
	ck_assert_int_eq(ask(a, t[1], AUTH_SUBSCRIBE, &k[3]), AUTH_ASK_LATER);
	ck_assert_int_eq(ask(a, t[4], AUTH_PUBLISH, &k[4]), AUTH_ASK_LATER);
	ck_assert_int_eq(ask(a, t[5], AUTH_PUBLISH, &k[5]), AUTH_ASK_LATER);
	ck_assert_int_eq(ask(a, t[6], AUTH_PUBLISH, &k[6]), AUTH_ASK_BUSY);
	ck_assert_int_eq(metric_get(METRIC_AUTH_BUSY) - busy, 2);
	ck_assert_int_eq(metric_get(METRIC_AUTH_WAITING) - waiting, 4);
	ck_assert_uint_eq(a->refs, 5);
	ck_assert_int_eq(auth_pool_start(pool), 0);
	wait_woken(5);
	ck_assert_int_eq(metric_get(METRIC_AUTH_WAITING), waiting);
	/* And then there is room again. */
	ck_assert_int_eq(ask(a, t[2], AUTH_SUBSCRIBE, &k[2]), AUTH_ASK_LATER);
	wait_woken(6);
	ck_assert_int_eq(verdict(&k[2], AUTH_SUBSCRIBE, NOW, why), 0);
	for (int i = 0; i < 8; i++) {
		auth_wait_fini(&k[i].wait);
		free(t[i]);
	}
	auth_free(a);
	close_pool();
}
END_TEST

START_TEST(browsers_that_wait_for_keys_take_no_room_from_publishers)
{
	struct auth_conf c = { .house.jwks = "http://127.0.0.1:1/jwks" };
	struct asker k[6] = { { .woken = 0 } };
	char err[512] = "", *t;
	struct auth *a = auth_new(&c, err, sizeof err);

	ck_assert_msg(a != NULL, "%s", err);
	open_pool(1, 2);
	for (int i = 0; i < 6; i++) {
		t = es256(K_EC, i);
		ck_assert_int_eq(ask(a, t, i < 3 ? AUTH_SUBSCRIBE : AUTH_PUBLISH,
		    &k[i]), i % 3 < 2 ? AUTH_ASK_LATER : AUTH_ASK_BUSY);
		free(t);
	}
	auth_pool_stop(pool);
	take_mail();
	ck_assert_uint_eq(woken, 4);
	for (int i = 0; i < 6; i++)
		auth_wait_fini(&k[i].wait);
	ck_assert_uint_eq(a->refs, 1);
	auth_free(a);
	close_pool();
}
END_TEST

START_TEST(one_token_on_many_connections_has_no_more_of_them_wait_for_keys)
{
	struct auth_conf c = { .house.jwks = "http://127.0.0.1:1/jwks" };
	struct asker k[8] = { { .woken = 0 } };
	char err[512] = "", *t = es256(K_EC, 1), *other = es256(K_EC, 2);
	struct auth *a = auth_new(&c, err, sizeof err),
	    *next = auth_new(&c, err, sizeof err);
	int64_t busy = metric_get(METRIC_AUTH_BUSY);

	ck_assert_msg(a != NULL && next != NULL, "%s", err);
	open_pool(1, 2);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(ask(a, t, AUTH_SUBSCRIBE, &k[i]), i < 2 ?
		    AUTH_ASK_LATER : AUTH_ASK_BUSY);
	ck_assert_int_eq(ask(a, other, AUTH_SUBSCRIBE, &k[3]), AUTH_ASK_BUSY);
	ck_assert_int_eq(metric_get(METRIC_AUTH_BUSY) - busy, 2);
	/* With a reload they ask anew, and there is as much room as before. */
	auth_pool_look(pool, next);
	take_mail();
	ck_assert_uint_eq(woken, 2);
	for (int i = 4; i < 7; i++)
		ck_assert_int_eq(ask(next, i == 4 ? other : t, AUTH_SUBSCRIBE, &k[i]),
		    i < 6 ? AUTH_ASK_LATER : AUTH_ASK_BUSY);
	auth_pool_stop(pool);
	take_mail();
	ck_assert_uint_eq(woken, 4);
	for (int i = 0; i < 8; i++)
		auth_wait_fini(&k[i].wait);
	free(t);
	free(other);
	auth_free(a);
	auth_free(next);
	close_pool();
}
END_TEST

START_TEST(publishers_and_subscribers_take_turns)
{
	struct auth *a = auth_with(publics[K_EC]);
	struct asker k[9] = { { .woken = 0 } };

	open_pool(1, 100);
	/* Six browsers were there before three publishers came. */
	for (int i = 0; i < 9; i++) {
		char *t = es256(K_EC, i);

		ck_assert_int_eq(ask(a, t, i < 6 ? AUTH_SUBSCRIBE : AUTH_PUBLISH,
		    &k[i]), AUTH_ASK_LATER);
		free(t);
	}
	ck_assert_int_eq(auth_pool_start(pool), 0);
	wait_woken(9);
	for (int i = 6; i < 9; i++)
		ck_assert_uint_le(k[i].order, 2 * (unsigned int)(i - 5));
	for (int i = 0; i < 9; i++) {
		if (i > 0 && i != 6)
			ck_assert_uint_gt(k[i].order, k[i - 1].order);
		auth_wait_fini(&k[i].wait);
	}
	auth_free(a);
	close_pool();
}
END_TEST

START_TEST(times_are_judged_when_the_wait_is_over)
{
	struct auth *a = auth_with(publics[K_EC]);
	char *t = es256(K_EC, 1), why[256];
	struct asker k = { .woken = 0 };
	int64_t exp = INT64_C(1750000600000);

	open_pool(1, 10);
	ck_assert_int_eq(auth_pool_start(pool), 0);
	ck_assert_int_eq(ask(a, t, AUTH_PUBLISH, &k), AUTH_ASK_LATER);
	end_ms = exp + 65000;
	wait_woken(1);
	end_ms = NOW;
	ck_assert_int_eq(verdict(&k, AUTH_SUBSCRIBE, exp + 65000, why),
	    PROBLEM_TOKEN_EXPIRED);
	ck_assert_int_eq(verdict(&k, AUTH_PUBLISH, exp + 5000, why),
	    PROBLEM_TOKEN_EXPIRED);
	/* What is over is not remembered. */
	ck_assert_uint_eq(auth_cache_count(a), 0);
	ck_assert_int_eq(verdict(&k, AUTH_SUBSCRIBE, exp + 64999, why), 0);
	ck_assert_int_eq(verdict(&k, AUTH_PUBLISH, exp + 4999, why), 0);
	auth_wait_fini(&k.wait);
	free(t);
	auth_free(a);
	close_pool();
}
END_TEST

/* Judged under old keys while new ones came: good by the old, bad by the new, and the
 * other way round. */
START_TEST(after_a_reload_the_new_keys_judge)
{
	struct auth *old = auth_with(publics[K_EC]), *new;
	char *t[2] = { es256(K_EC, 1), es256(K_EC_OTHER, 1) }, why[256];
	struct asker k[2] = { { .woken = 0 } };

	open_pool(1, 10);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(ask(old, t[i], AUTH_SUBSCRIBE, &k[i]),
		    AUTH_ASK_LATER);
	new = auth_with(publics[K_EC_OTHER]);
	auth_free(old);
	/* The old keys are read now; they must still be there. */
	ck_assert_int_eq(auth_pool_start(pool), 0);
	wait_woken(2);
	ck_assert_int_eq(verdict(&k[0], AUTH_SUBSCRIBE, NOW, why), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(ask(new, t[i], AUTH_SUBSCRIBE, &k[i]),
		    AUTH_ASK_LATER);
	wait_woken(4);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(ask(new, t[i], AUTH_SUBSCRIBE, &k[i]),
		    AUTH_ASK_JUDGED);
	ck_assert_int_eq(verdict(&k[0], AUTH_SUBSCRIBE, NOW, why),
	    PROBLEM_TOKEN_INVALID);
	ck_assert_int_eq(verdict(&k[1], AUTH_SUBSCRIBE, NOW, why), 0);
	ck_assert_uint_eq(auth_cache_count(new), 1);
	for (int i = 0; i < 2; i++) {
		auth_wait_fini(&k[i].wait);
		free(t[i]);
	}
	ck_assert_uint_eq(new->refs, 1);
	auth_free(new);
	close_pool();
}
END_TEST

START_TEST(a_reload_to_a_secret_leaves_nothing_to_wait_for)
{
	struct auth *old = auth_with(publics[K_EC]), *new = auth_with(SECRET);
	struct asker k = { .woken = 0 };
	char *t = es256(K_EC, 1);

	open_pool(1, 10);
	ck_assert_int_eq(ask(old, t, AUTH_SUBSCRIBE, &k), AUTH_ASK_LATER);
	auth_free(old);
	ck_assert_int_eq(auth_pool_start(pool), 0);
	wait_woken(1);
	ck_assert_int_eq(ask(new, t, AUTH_SUBSCRIBE, &k), AUTH_ASK_NOW);
	ck_assert_ptr_null(k.wait.job);
	free(t);
	auth_free(new);
	close_pool();
}
END_TEST

/* As when a JWKS is fetched in the middle. */
START_TEST(J6_what_a_withdrawn_key_said_is_not_remembered)
{
	struct auth *a = auth_with(publics[K_EC]), *other = auth_with(publics[K_EC_OTHER]);
	struct auth_source *so = a->issuers[0].source;
	struct asker k = { .woken = 0 };
	char *t = es256(K_EC, 1), why[256];

	open_pool(1, 10);
	ck_assert_int_eq(ask(a, t, AUTH_SUBSCRIBE, &k), AUTH_ASK_LATER);
	auth_keys_unref(so->keys);
	so->keys = auth_keys_ref(other->issuers[0].source->keys);
	ck_assert_int_eq(auth_pool_start(pool), 0);
	wait_woken(1);
	ck_assert_uint_eq(auth_cache_count(a), 0);
	ck_assert_int_eq(ask(a, t, AUTH_SUBSCRIBE, &k), AUTH_ASK_LATER);
	wait_woken(2);
	ck_assert_int_eq(ask(a, t, AUTH_SUBSCRIBE, &k), AUTH_ASK_JUDGED);
	ck_assert_int_eq(verdict(&k, AUTH_SUBSCRIBE, NOW, why), PROBLEM_TOKEN_INVALID);
	auth_wait_fini(&k.wait);
	free(t);
	auth_free(a);
	auth_free(other);
	close_pool();
}
END_TEST

START_TEST(who_waits_at_the_end_is_woken_unjudged)
{
	struct auth *a = auth_with(publics[K_EC]);
	struct asker k[500] = { { .woken = 0 } };
	unsigned int unjudged = 0;
	char *t[500];

	open_pool(2, 1000);	/* more than they judge before they are told */
	for (int i = 0; i < 500; i++) {
		t[i] = es256(K_EC, i);
		ck_assert_int_eq(ask(a, t[i], AUTH_SUBSCRIBE, &k[i]),
		    AUTH_ASK_LATER);
	}
	ck_assert_int_eq(auth_pool_start(pool), 0);
	auth_pool_stop(pool);
	take_mail();
	ck_assert_uint_eq(woken, 500);
	for (int i = 0; i < 500; i++) {
		switch (ask(a, t[i], AUTH_SUBSCRIBE, &k[i])) {
		case AUTH_ASK_NO_KEYS:
		case AUTH_ASK_BUSY:
			unjudged++;
			break;
		case AUTH_ASK_JUDGED:
			break;
		case AUTH_ASK_NOW:
		case AUTH_ASK_LATER:
			ck_abort_msg("token %d", i);
		}
		auth_wait_fini(&k[i].wait);
	}
	ck_assert_uint_gt(unjudged, 0);
	/* Nobody begins to wait any more. */
	ck_assert_int_eq(ask(a, t[499], AUTH_SUBSCRIBE, &k[499]), AUTH_ASK_BUSY);
	for (int i = 0; i < 500; i++)
		free(t[i]);
	ck_assert_uint_eq(a->refs, 1);
	auth_free(a);
	close_pool();
}
END_TEST

/* Four threads, a hundred tokens three times over, other keys every now and then. */
START_TEST(many_threads_and_reloads_lose_nobody)
{
	struct auth *a = auth_with(publics[K_EC]), *other;
	struct asker k[300] = { { .woken = 0 } };
	unsigned int asked = 0, good = 0;
	bool is_ec = true;
	char *t[100], why[256];

	for (int i = 0; i < 100; i++)
		t[i] = es256(K_EC, i);
	open_pool(4, 1000);
	ck_assert_int_eq(auth_pool_start(pool), 0);
	for (int i = 0; i < 300; i++) {
		if (i % 37 == 36) {
			is_ec = !is_ec;
			other = auth_with(publics[is_ec ? K_EC : K_EC_OTHER]);
			auth_free(a);
			a = other;
		}
		if (ask(a, t[i % 100], AUTH_SUBSCRIBE, &k[i]) == AUTH_ASK_LATER)
			asked++;
		take_mail();
	}
	wait_woken(asked);
	for (int i = 0; i < 300; i++) {
		ck_assert_uint_le(k[i].woken, 1);
		if (k[i].wait.job != NULL &&
		    verdict(&k[i], AUTH_SUBSCRIBE, NOW, why) == 0)
			good++;
		auth_wait_fini(&k[i].wait);
	}
	ck_assert_uint_gt(good, 0);
	ck_assert_uint_lt(good, asked);
	for (int i = 0; i < 100; i++)
		free(t[i]);
	ck_assert_uint_eq(a->refs, 1);
	auth_free(a);
	close_pool();
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("auth_pool");
	TCase *tc = tcase_create("pool");

	tcase_set_timeout(tc, 60);
	tcase_add_unchecked_fixture(tc, make_keys, drop_keys);
	tcase_add_test(tc, what_is_quick_is_not_put_off);
	tcase_add_test(tc, a_slow_token_is_judged_and_then_known);
	tcase_add_test(tc, a_refusal_says_what_it_says_without_threads);
	tcase_add_test(tc, those_who_bring_the_same_token_share_one_check);
	tcase_add_test(tc, beyond_its_limit_a_queue_takes_no_more);
	tcase_add_test(tc, browsers_that_wait_for_keys_take_no_room_from_publishers);
	tcase_add_test(tc,
	    one_token_on_many_connections_has_no_more_of_them_wait_for_keys);
	tcase_add_test(tc, publishers_and_subscribers_take_turns);
	tcase_add_test(tc, times_are_judged_when_the_wait_is_over);
	tcase_add_test(tc, after_a_reload_the_new_keys_judge);
	tcase_add_test(tc, a_reload_to_a_secret_leaves_nothing_to_wait_for);
	tcase_add_test(tc, J6_what_a_withdrawn_key_said_is_not_remembered);
	tcase_add_test(tc, who_waits_at_the_end_is_woken_unjudged);
	tcase_add_test(tc, many_threads_and_reloads_lose_nobody);
	suite_add_tcase(su, tc);
	return su;
}

SUITE_MAIN
