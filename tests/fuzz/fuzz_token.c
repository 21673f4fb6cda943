/*
 * fuzz_token.c - tokens from strangers: one is taken only when its signature is really
 * ours (judged here by OpenSSL alone) and its claims say what they must.
 *
 * Input: a byte, whose low bits say what is done, then two lines, header and claims.
 *   0  the second line is the credential, as it is
 *   1  both are signed with the key: taken when the claims are right, else refused
 *   2  both are signed with another secret
 *   3  the same as 1, and then one byte of the token is changed
 *   4  signed with the public key's own text as an HMAC secret
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>

#include "auth.h"
#include "fuzz.h"

#define SECRET	"a secret of the fuzzers that is 64 bytes long or a little longer"
#define OTHER	"another secret, of somebody else, that is quite as long as ours."
#define NOW_MS	INT64_C(1750000000000)
#define ISSUER	"https://issuer.example"
#define TOKEN_SIZE	16384

static struct auth *hmac_auth, *ec_auth, *rsa_auth;
static EVP_PKEY *ec_key;
static char *rsa_text;

static char *
public_text(EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *p, *out;
	long n;

	MUST(bio != NULL && PEM_write_bio_PUBKEY(bio, key) == 1);
	n = BIO_get_mem_data(bio, &p);
	out = strndup(p, (size_t)n);
	BIO_free(bio);
	return out;
}

static struct auth *
auth_with(const char *key)
{
	static const char *const rules[] = { "user/{sub}/**", NULL };
	struct auth_conf c = { .house.key = key, .house.issuer = ISSUER,
	    .house.leeway_ms = 5000, .authenticated_topics = rules };
	char err[512] = "";
	struct auth *a = auth_new(&c, err, sizeof(err));

	if (a == NULL)
		(void)fprintf(stderr, "%s\n", err);
	MUST(a != NULL);
	return a;
}

static void
make_keys(void)
{
	EVP_PKEY *rsa = EVP_RSA_gen(2048);
	char *ec_text;

	ec_key = EVP_EC_gen("P-256");
	MUST(rsa != NULL && ec_key != NULL);
	rsa_text = public_text(rsa);
	ec_text = public_text(ec_key);
	hmac_auth = auth_with(SECRET);
	rsa_auth = auth_with(rsa_text);
	ec_auth = auth_with(ec_text);
	free(ec_text);
	EVP_PKEY_free(rsa);
}

static size_t
base64url(char *out, const void *p, size_t len)
{
	size_t n = (size_t)EVP_EncodeBlock((unsigned char *)out, p, (int)len);

	while (n > 0 && out[n - 1] == '=')
		n--;
	for (size_t i = 0; i < n; i++)
		out[i] = out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i];
	out[n] = '\0';
	return n;
}

/* HEADER.PAYLOAD.SIGNATURE by HS256 with that secret. */
static size_t
sign(char out[TOKEN_SIZE], struct part header, struct part claims, const char *secret)
{
	unsigned char mac[32];
	unsigned int mac_len;
	size_t n = base64url(out, header.p, header.len);

	out[n++] = '.';
	n += base64url(out + n, claims.p, claims.len);
	MUST(HMAC(EVP_sha256(), secret, (int)strlen(secret), (unsigned char *)out, n,
	    mac, &mac_len) != NULL);
	out[n++] = '.';
	return n + base64url(out + n, mac, mac_len);
}

/* Is this text, as it is, signed with our secret? */
static bool
is_ours(const char *p, size_t len)
{
	const char *dot = memrchr(p, '.', len);
	unsigned char mac[32];
	char text[64];
	unsigned int mac_len;
	size_t n;

	if (dot == NULL)
		return false;
	MUST(HMAC(EVP_sha256(), SECRET, (int)strlen(SECRET), (const unsigned char *)p,
	    (size_t)(dot - p), mac, &mac_len) != NULL);
	n = base64url(text, mac, mac_len);
	return (size_t)(p + len - dot - 1) == n && memcmp(dot + 1, text, n) == 0;
}

/* Nothing in nothing: JSON that is no object, nested deep, or with a name twice. */
static json_t *
object(struct part text)
{
	json_t *j = json_loadb(text.p, text.len, JSON_REJECT_DUPLICATES, NULL);

	if (json_is_object(j))
		return j;
	json_decref(j);
	return NULL;
}

/* Do header and claims say all that must be said?  (They may say too much.) */
static bool
says_enough(struct part header, struct part claims)
{
	json_t *h = object(header), *c = object(claims);
	const char *alg = json_string_value(json_object_get(h, "alg"));
	const char *iss = json_string_value(json_object_get(c, "iss"));
	bool ok = h != NULL && c != NULL && alg != NULL && strcmp(alg, "HS256") == 0 &&
	    iss != NULL && strcmp(iss, ISSUER) == 0 &&
	    json_is_number(json_object_get(c, "exp")) &&
	    json_number_value(json_object_get(c, "exp")) > NOW_MS / 1000 - 6 &&
	    json_object_get(h, "crit") == NULL;

	if (json_object_get(c, "nbf") != NULL)
		ok = ok && json_is_number(json_object_get(c, "nbf")) &&
		    json_number_value(json_object_get(c, "nbf")) < NOW_MS / 1000 + 6;
	json_decref(h);
	json_decref(c);
	return ok;
}

static bool
grant_opens(const json_t *pattern, const char *topic)
{
	const char *p = json_string_value(pattern);
	size_t len = json_string_length(pattern);

	return topic_classify(p, len, NULL) != TOPIC_INVALID &&
	    topic_match(p, len, topic, strlen(topic));
}

/* No token opens what is not in its grants or its own. */
static void
look_around(const struct auth *a, const struct auth_identity *id, struct part claims)
{
	json_t *c = object(claims);
	const json_t *grants = json_object_get(c, "fanfare"), *list, *e;
	const char *sub = json_string_value(json_object_get(c, "sub"));
	char topic[256];
	bool covered = false;
	size_t i;

	list = json_object_get(grants, "publish");
	json_array_foreach(list, i, e)
		covered = covered || grant_opens(e, "a/b");
	MUST(auth_may_publish(a, id, "a/b", 3) == (covered && id->use == AUTH_PUBLISH));
	covered = false;
	list = json_object_get(grants, "subscribe");
	json_array_foreach(list, i, e)
		covered = covered || grant_opens(e, "user/1/x");
	covered = covered || (sub != NULL && strcmp(sub, "1") == 0);
	MUST(auth_may_subscribe(a, id, "user/1/x", 8) == covered);
	if (sub != NULL && strlen(sub) < 200) {
		(void)snprintf(topic, sizeof(topic), "user/%s0", sub);
		if (list == NULL && topic_classify(topic, strlen(topic), NULL) !=
		    TOPIC_INVALID)
			MUST(!auth_may_subscribe(a, id, topic, strlen(topic)));
	}
	MUST(list != NULL || !auth_may_subscribe(a, id, "**", 2));
	MUST(list != NULL || !auth_may_subscribe(a, id, "user/**", 7));
	json_decref(c);
}

/* 0, or -1 with a reason that repeats nothing of the token. */
static int
verify(struct auth *a, const char *p, size_t len, enum auth_use use,
    struct auth_identity *id)
{
	struct part exact = fuzz_copy(p, len);
	char why[256] = "";
	enum problem problem;
	int rc;

	rc = auth_verify(a, (struct auth_credential){ exact.p, len }, use, NOW_MS, id,
	    &problem, why, sizeof(why));
	if (rc == -1) {
		MUST(why[0] != '\0' && !plain_control(why, strlen(why)));
		MUST(problem == PROBLEM_TOKEN_INVALID ||
		    problem == PROBLEM_TOKEN_EXPIRED ||
		    problem == PROBLEM_TOKEN_MISSING);
		MUST(len < 40 || memmem(why, strlen(why), p, 40) == NULL);
	} else
		MUST(id->is_api_key || id->exp_ms > 0);
	free(exact.p);
	return rc;
}

/* Never by a key that did not sign it. */
static void
refused(struct auth *a, const char *p, size_t len)
{
	struct auth_identity id;

	MUST(verify(a, p, len, AUTH_SUBSCRIBE, &id) == -1);
}

FUZZ(token)
{
	struct input in = { bytes, size };
	unsigned int how = fuzz_byte(&in) % 8, where;
	enum auth_use use = how & 1 ? AUTH_PUBLISH : AUTH_SUBSCRIBE;
	struct part header = fuzz_line(&in), claims = fuzz_line(&in);
	static char token[TOKEN_SIZE];
	struct auth_identity id;
	size_t n;
	char was;

	if (hmac_auth == NULL)
		make_keys();
	if (header.len > 4000 || claims.len > 4000)
		goto out;
	switch (how) {
	case 0:
		if (verify(hmac_auth, claims.p, claims.len, use, &id) == 0) {
			MUST(is_ours(claims.p, claims.len));
			auth_identity_fini(&id);
		}
		refused(ec_auth, claims.p, claims.len);
		refused(rsa_auth, claims.p, claims.len);
		break;
	case 2:
		n = sign(token, header, claims, OTHER);
		refused(hmac_auth, token, n);
		refused(ec_auth, token, n);
		break;
	case 3:
		n = sign(token, header, claims, SECRET);
		where = fuzz_byte(&in) * 256 + fuzz_byte(&in);
		was = token[where % n];
		token[where % n] = (char)fuzz_byte(&in);
		if (token[where % n] != was)
			refused(hmac_auth, token, n);
		break;
	case 4:
		n = sign(token, header, claims, rsa_text);
		refused(rsa_auth, token, n);
		refused(hmac_auth, token, n);
		break;
	default:
		n = sign(token, header, claims, SECRET);
		MUST(is_ours(token, n));
		if (verify(hmac_auth, token, n, use, &id) == 0) {
			MUST(says_enough(header, claims));
			look_around(hmac_auth, &id, claims);
			auth_identity_fini(&id);
			/* Cached now: the same again. */
			MUST(verify(hmac_auth, token, n, use, &id) == 0);
			auth_identity_fini(&id);
		}
		refused(ec_auth, token, n);
		break;
	}
out:
	free(header.p);
	free(claims.p);
	return 0;
}
