/*
 * auth_near.c - a token whose signature is wrong: what it was made with instead.
 *
 * For `fanfare explain` alone, which reads the configuration and so may try its secrets
 * in every form that people mix up: decoded or not, with a line end or without, of
 * another section, or an API key.  The server accepts none of these, and says of none
 * how near it was.
 */
#include "config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "auth_internal.h"

struct question {
	const struct auth_issuer *is;
	const struct auth_token	*t;
	const char		*p;
	size_t			 len;
	enum auth_alg		 alg;
};

/* Was it made with these bytes? */
static bool
made_with(const struct question *q, const void *secret, size_t len)
{
	char why[256];
	struct auth_refusal r = { PROBLEM_TOKEN_INVALID, why, sizeof why };
	struct auth_key k = { .len = len, .is_secret = true, .algs = 1u << q->alg };
	bool right;

	if (len == 0 || (k.p = malloc(len + 1)) == NULL)
		return false;
	memcpy(k.p, secret, len);
	k.p[len] = '\0';
	right = auth_token_signature(q->is, &k, q->alg, q->p, q->len, q->t, &r) == 0;
	OPENSSL_cleanse(k.p, len);
	free(k.p);
	return right;
}

/* Base64 in either alphabet, padded or not; returns new, or NULL. */
static unsigned char *
from_base64(const unsigned char *p, size_t len, size_t *out_len)
{
	char *text = malloc(len + 1);
	unsigned char *out = NULL;
	size_t i;

	if (text == NULL)
		return NULL;
	while (len > 0 && p[len - 1] == '=')
		len--;
	for (i = 0; i < len; i++)
		text[i] = (char)(p[i] == '+' ? '-' : p[i] == '/' ? '_' : p[i]);
	out = (unsigned char *)auth_base64url(text, len, out_len);
	OPENSSL_cleanse(text, len);
	free(text);
	return out;
}

static unsigned char *
from_hex(const unsigned char *p, size_t len, size_t *out_len)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char *out;
	const char *high, *low;
	size_t i;

	if (len == 0 || len % 2 != 0 || (out = malloc(len / 2)) == NULL)
		return NULL;
	for (i = 0; i < len / 2; i++) {
		high = p[2 * i] == '\0' ? NULL : strchr(digits, tolower(p[2 * i]));
		low = p[2 * i + 1] == '\0' ? NULL : strchr(digits,
		    tolower(p[2 * i + 1]));
		if (high == NULL || low == NULL) {
			free(out);
			return NULL;
		}
		out[i] = (unsigned char)((high - digits) * 16 + (low - digits));
	}
	*out_len = len / 2;
	return out;
}

/* The secret as text: base64, base64url without padding, hexadecimal. */
static bool
made_with_text_of(const struct question *q, const struct auth_key *k)
{
	char *text = malloc(k->len * 2 + 8);
	bool right = false;
	size_t i;
	int n;

	if (text == NULL)
		return false;
	n = EVP_EncodeBlock((unsigned char *)text, k->p, (int)k->len);
	right = made_with(q, text, (size_t)n);
	while (n > 0 && text[n - 1] == '=')
		n--;
	right = right || made_with(q, text, (size_t)n);
	for (i = 0; i < (size_t)n; i++)
		text[i] = (char)(text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i]);
	right = right || made_with(q, text, (size_t)n);
	for (i = 0; i < k->len; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", k->p[i]);
	right = right || made_with(q, text, 2 * k->len);
	OPENSSL_cleanse(text, k->len * 2 + 8);
	free(text);
	return right;
}

/* The secret with a line end more, or without the white space or quotation marks around
 * it. */
static bool
made_with_other_ends(const struct question *q, const struct auth_key *k)
{
	unsigned char *p = malloc(k->len + 2), *at = k->p;
	size_t len = k->len;
	bool right;

	if (p == NULL)
		return false;
	memcpy(p, k->p, k->len);
	p[k->len] = '\r';
	p[k->len + 1] = '\n';
	right = made_with(q, p, k->len + 2);
	p[k->len] = '\n';
	right = right || made_with(q, p, k->len + 1);
	while (len > 0 && (isspace(at[len - 1]) || at[len - 1] == '"' ||
	    at[len - 1] == '\''))
		len--;
	for (; len > 0 && (isspace(*at) || *at == '"' || *at == '\''); len--)
		at++;
	right = right || (len < k->len && made_with(q, at, len));
	OPENSSL_cleanse(p, k->len + 2);
	free(p);
	return right;
}

static bool
near_secret(const struct question *q, const struct auth_key *k, char *out, size_t size)
{
	const char *from = auth_key_from(q->is, k);
	unsigned char *bytes;
	size_t len = 0;
	bool decoded;

	bytes = from_base64(k->p, k->len, &len);
	decoded = bytes != NULL && made_with(q, bytes, len);
	free(bytes);
	if (decoded)
		return auth_say(out, size, "It was made with the bytes that %s is the "
		    "base64 text of.  A key is taken byte for byte here: put the "
		    "decoded bytes into a key_file (base64 -d)", from) == -1;
	bytes = from_hex(k->p, k->len, &len);
	decoded = bytes != NULL && made_with(q, bytes, len);
	free(bytes);
	if (decoded)
		return auth_say(out, size, "It was made with the bytes that %s is the "
		    "hexadecimal text of.  A key is taken byte for byte here: put "
		    "the bytes into a key_file (xxd -r -p)", from) == -1;
	if (made_with_text_of(q, k))
		return auth_say(out, size, "It was made with the base64 or hexadecimal "
		    "text of the bytes in %s: configure that text, as the issuer has "
		    "it", from) == -1;
	if (made_with_other_ends(q, k))
		return auth_say(out, size, "It was made with %s but for white space or "
		    "quotation marks at its ends, which count: one of the two has too "
		    "many", from) == -1;
	return false;
}

bool
auth_near_miss(const struct auth *a, const struct auth_issuer *is,
    const struct auth_key *k, enum auth_alg alg, const char *p, size_t len,
    const struct auth_token *t, char *out, size_t size)
{
	struct question q = { is, t, p, len, alg };
	char why[256];
	struct auth_refusal r = { PROBLEM_TOKEN_INVALID, why, sizeof why };
	const struct auth_keys *keys;
	const struct auth_issuer *other;
	size_t i, j;

	if (k->is_secret && near_secret(&q, k, out, size))
		return true;
	for (i = 0; i < a->n_issuers; i++) {
		other = &a->issuers[i];
		if (other == is || other->source == NULL ||
		    (keys = other->source->keys) == NULL)
			continue;
		for (j = 0; j < keys->n; j++)
			if ((keys->v[j].algs & 1u << alg) != 0 &&
			    auth_token_signature(other, &keys->v[j], alg, p, len, t,
			    &r) == 0)
				return auth_say(out, size, "It was made with the key "
				    "of [%s], whose tokens have the iss \"%s\"",
				    other->section, other->issuer != NULL ?
				    other->issuer : "") == -1;
	}
	for (i = 0; i < a->n_api_keys && k->is_secret; i++)
		if (made_with(&q, a->api_keys[i].secret, a->api_keys[i].secret_len))
			return auth_say(out, size, "It was made with the API key %s: "
			    "an API key is sent as it is, and tokens are signed with "
			    "%s", a->api_keys[i].name, is->from) == -1;
	return false;
}
