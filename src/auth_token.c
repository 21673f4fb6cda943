/*
 * auth_token.c - from a token to grants, or the reason why not.  (auth_claims.c has what
 * is asked of each claim.)
 *
 * The order is: shape, header, signature, claims.  Nothing that a stranger wrote is
 * obeyed before the signature is right, and the header can only agree with what the
 * key has fixed already: `jku`, `x5u`, `jwk` and `x5c` are not even read, and `kid` and
 * `iss` choose among what is configured, never what is fetched or opened.
 * Functions here are pure but for a debug line, so that a slow check can move to
 * another thread.
 *
 * A refusal names claims and well-known algorithms; it repeats nothing else.
 */
#include "config.h"

#include "auth_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>
#include <jwt.h>
#include <openssl/err.h>

#include "log.h"
#include "text.h"

static const struct {
	jwt_alg_t	 jwt;		/* of those that libjwt checks */
	size_t		 signature_len;	/* bytes; 0: as long as the key */
} algs[AUTH_ALGS] = {
	[AUTH_HS256] = { JWT_ALG_HS256, 32 },
	[AUTH_HS384] = { JWT_ALG_HS384, 48 },
	[AUTH_HS512] = { JWT_ALG_HS512, 64 },
	[AUTH_RS256] = { .signature_len = 0 },
	[AUTH_RS384] = { .signature_len = 0 },
	[AUTH_RS512] = { .signature_len = 0 },
	[AUTH_ES256] = { .signature_len = 64 },
	[AUTH_ES384] = { .signature_len = 96 },
	[AUTH_ES512] = { .signature_len = 132 },
};

/* Known by name, so that a message may say it, but never accepted. */
static const char *const foreign_algs[] = {
	"PS256", "PS384", "PS512", "EdDSA", "ES256K",
};

/* The value of a base64url digit, or -1. */
static int
digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-')
		return 62;
	if (c == '_')
		return 63;
	return -1;
}

/* Is there one way only to read these digits?  A last digit with loose bits would
 * let one signature be written in several ways. */
static bool
is_canonical(struct auth_bytes part)
{
	const char *p = part.p;

	switch (part.len % 4) {
	case 0:
		return true;
	case 2:
		return (digit(p[part.len - 1]) & 0xf) == 0;
	case 3:
		return (digit(p[part.len - 1]) & 0x3) == 0;
	}
	return false;
}

/* Returns new the bytes of a canonical segment, with a NUL behind them. */
static char *
decode(struct auth_bytes part, size_t *len)
{
	const char *p = part.p;
	unsigned int acc = 0, bits = 0;
	char *out;
	size_t i;

	if ((out = malloc(part.len / 4 * 3 + 4)) == NULL)
		return NULL;
	*len = 0;
	for (i = 0; i < part.len; i++) {
		acc = (acc << 6 | (unsigned int)digit(p[i])) & 0xffff;
		if ((bits += 6) >= 8) {
			bits -= 8;
			out[(*len)++] = (char)(acc >> bits & 0xff);
		}
	}
	out[*len] = '\0';
	return out;
}

char *
auth_base64url(const char *p, size_t len, size_t *out_len)
{
	struct auth_bytes part = { p, len };
	size_t i;

	for (i = 0; i < len; i++)
		if (digit(p[i]) == -1)
			return NULL;
	return len > 0 && is_canonical(part) ? decode(part, out_len) : NULL;
}

static const char *
misplaced(char c)
{
	switch (c) {
	case '=':
		return "the token has base64 padding (=), which tokens never have";
	case '+':
	case '/':
		return "the token is in plain base64, but tokens are in base64url";
	case ' ':
	case '\t':
	case '\r':
	case '\n':
		return "the token holds white space, perhaps a line end: was it cut "
		    "or wrapped?";
	case '"':
	case '\'':
		return "the token holds a quotation mark: was it sent as JSON text?";
	case '%':
		return "the token holds a %: was it percent-encoded twice?";
	case '{':
		return "the token is in JSON form; the compact form is expected";
	}
	return "the token holds a character that no token has";
}

int
auth_token_split(const char *p, size_t len, struct auth_token *t,
    struct auth_refusal *r)
{
	static const char *const names[] = { "header", "payload", "signature" };
	const char *fault = auth_pasted_fault(p, len);
	size_t dots = 0, i, start = 0;

	*t = (struct auth_token){ 0 };
	if (len > AUTH_TOKEN_MAX)
		return auth_refuse(r, PROBLEM_TOKEN_INVALID, "the token is longer "
		    "than %d bytes", AUTH_TOKEN_MAX);
	if (fault != NULL)
		return auth_refuse(r, PROBLEM_TOKEN_INVALID, "%s", fault);
	for (i = 0; i < len; i++) {
		if (p[i] == '.') {
			if (dots < 2) {
				t->part[dots].p = p + start;
				t->part[dots].len = i - start;
			}
			start = i + 1;
			dots++;
		} else if (digit(p[i]) == -1)
			return auth_refuse(r, PROBLEM_TOKEN_INVALID, "%s",
			    misplaced(p[i]));
	}
	if (dots == 0)
		return auth_refuse(r, PROBLEM_TOKEN_INVALID, "this is neither a "
		    "token (HEADER.PAYLOAD.SIGNATURE) nor an API key ("
		    AUTH_SECRET_PREFIX "...)");
	if (dots == 4)
		return auth_refuse(r, PROBLEM_TOKEN_INVALID, "the token is "
		    "encrypted (JWE, 5 segments): a signed one (JWS, 3 segments) "
		    "is needed");
	if (dots != 2)
		return auth_refuse(r, PROBLEM_TOKEN_INVALID, "the token has %zu "
		    "segments, but a signed one has 3", dots + 1);
	t->part[2].p = p + start;
	t->part[2].len = len - start;
	for (i = 0; i < 3; i++) {
		if (t->part[i].len == 0)
			return auth_refuse(r, PROBLEM_TOKEN_INVALID,
			    "the %s of the token is empty", names[i]);
		if (!is_canonical(t->part[i]))
			return auth_refuse(r, PROBLEM_TOKEN_INVALID,
			    "the %s of the token is not base64url: was it cut?",
			    names[i]);
	}
	return 0;
}

/* jansson (and libjwt, which calls it) goes down one stack frame a bracket. */
bool
auth_json_is_shallow(const char *p, size_t len)
{
	unsigned int depth = 0;
	bool in_string = false;
	size_t i;

	for (i = 0; i < len; i++) {
		if (in_string) {
			if (p[i] == '\\')
				i++;
			else if (p[i] == '"')
				in_string = false;
		} else if (p[i] == '"')
			in_string = true;
		else if (p[i] == '[' || p[i] == '{') {
			if (++depth > AUTH_JSON_DEPTH)
				return false;
		} else if ((p[i] == ']' || p[i] == '}') && depth > 0)
			depth--;
	}
	return true;
}

json_t *
auth_token_object(struct auth_bytes part, const char *what,
    struct auth_refusal *r)
{
	json_error_t error;
	json_t *j = NULL;
	const char *fault;
	char *text;
	size_t len;

	if ((text = decode(part, &len)) == NULL) {
		(void)auth_refuse(r, PROBLEM_INTERNAL, "out of memory");
		return NULL;
	}
	if (!auth_json_is_shallow(text, len)) {
		(void)auth_refuse(r, PROBLEM_TOKEN_INVALID,
		    "the %s of the token is nested too deep", what);
		goto done;
	}
	if ((j = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error)) == NULL) {
		switch (json_error_code(&error)) {
		case json_error_out_of_memory:
			(void)auth_refuse(r, PROBLEM_INTERNAL, "out of memory");
			goto done;
		case json_error_duplicate_key:
			fault = "names something twice";
			break;
		case json_error_invalid_utf8:
			fault = "is not UTF-8";
			break;
		case json_error_null_character:
		case json_error_null_byte_in_key:
			fault = "holds a NUL";
			break;
		case json_error_numeric_overflow:
			fault = "holds a number that is too large";
			break;
		default:
			fault = "is not JSON";
		}
		(void)auth_refuse(r, PROBLEM_TOKEN_INVALID,
		    "the %s of the token %s", what, fault);
	} else if (!json_is_object(j)) {
		(void)auth_refuse(r, PROBLEM_TOKEN_INVALID,
		    "the %s of the token is not a JSON object", what);
		json_decref(j);
		j = NULL;
	}
done:
	free(text);
	return j;
}

const char *
auth_alg_foreign(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof foreign_algs / sizeof foreign_algs[0]; i++)
		if (strcasecmp(name, foreign_algs[i]) == 0)
			return foreign_algs[i];
	return NULL;
}

/* Say why `name` is not accepted by this key. */
static int
refuse_alg(const struct auth_issuer *is, const struct auth_key *k,
    const char *name, struct auth_refusal *r)
{
	const char *known = NULL;
	char accepted[64];
	size_t i;

	for (i = 0; i < AUTH_ALGS; i++)
		if (strcasecmp(name, auth_alg_name((enum auth_alg)i)) == 0)
			known = auth_alg_name((enum auth_alg)i);
	if (strcasecmp(name, "none") == 0)
		known = "none";
	else if (known == NULL && (known = auth_alg_foreign(name)) != NULL)
		return auth_refuse(r, PROBLEM_TOKEN_INVALID, "alg in the token's "
		    "header is %s, which is not supported" AUTH_INSTEAD, known);
	auth_format_algs(accepted, sizeof accepted, k->algs);
	if (known == NULL)
		return auth_refuse(r, PROBLEM_TOKEN_INVALID, "alg in the token's "
		    "header is unknown: %s holds %s, which accepts %s",
		    auth_key_from(is, k), k->what, accepted);
	if (strcmp(known, name) != 0)
		return auth_refuse(r, PROBLEM_TOKEN_INVALID, "alg in the token's "
		    "header is %s in the wrong case", known);
	return auth_refuse(r, PROBLEM_TOKEN_INVALID, "alg in the token's header "
	    "is %s, but %s holds %s, which accepts %s", known, auth_key_from(is, k),
	    k->what, accepted);
}

/* JWT, or, of RFC 9068, at+jwt: OpenSSL does not mind, but libjwt does. */
static bool
is_good_typ(const struct auth_key *k, const json_t *v)
{
	const char *typ = json_string_value(v);

	if (typ == NULL)
		return false;
	if (!k->is_secret && strncasecmp(typ, "application/", 12) == 0)
		typ += 12;
	return strcasecmp(typ, "JWT") == 0 ||
	    (!k->is_secret && strcasecmp(typ, "at+jwt") == 0);
}

/* They change what the rest means, so whoever does not know them must refuse: crit
 * lists more such (RFC 7515, 4.1.11), b64 is one (RFC 7797), zip and enc are an
 * encrypted token's (RFC 7516, 4.1). */
static const struct { const char *name, *says; } demands[] = {
	{ "crit", ": it asks for extensions that are not known here" },
	{ "b64", ", which is not known here" },
	{ "zip", ": compressed tokens are not read here" },
	{ "enc", ": that is for an encrypted token (JWE), but a signed one is needed" },
};

int
auth_token_header(const struct auth_issuer *is, const struct auth_key *k,
    const json_t *header, enum auth_alg *alg, struct auth_refusal *r)
{
	const json_t *v;
	const char *name;
	size_t i;

	for (i = 0; i < sizeof demands / sizeof demands[0]; i++)
		if (json_object_get(header, demands[i].name) != NULL)
			return auth_refuse(r, PROBLEM_TOKEN_INVALID, "the token's "
			    "header has %s%s", demands[i].name, demands[i].says);
	if ((v = json_object_get(header, "typ")) != NULL && !is_good_typ(k, v))
		return auth_refuse(r, PROBLEM_TOKEN_INVALID, "typ in the token's "
		    "header is not JWT");
	v = json_object_get(header, "alg");
	if (!json_is_string(v))
		return auth_refuse(r, PROBLEM_TOKEN_INVALID, "the token's header "
		    "has no alg");
	name = json_string_value(v);
	for (i = 0; i < AUTH_ALGS; i++)
		if ((k->algs & (1u << i)) != 0 &&
		    strcmp(name, auth_alg_name((enum auth_alg)i)) == 0) {
			*alg = (enum auth_alg)i;
			return 0;
		}
	return refuse_alg(is, k, name, r);
}

static int
refuse_signature(const struct auth_issuer *is, struct auth_refusal *r)
{
	return auth_refuse(r, PROBLEM_TOKEN_INVALID, "the signature does not match "
	    "%s%s%s: the token was changed, or made with another key", is->from,
	    is->before[0] != '\0' ? ", nor " : "", is->before);
}

static int
check_public(const struct auth_issuer *is, const struct auth_key *k,
    enum auth_alg alg, const char *p, const struct auth_token *t,
    struct auth_refusal *r)
{
	struct auth_bytes text = { p, (size_t)((const char *)t->part[2].p - 1 - p) };
	size_t n;
	char *sig = decode(t->part[2], &n);
	bool ok = sig != NULL && auth_signature_matches(k, alg, text,
	    (const unsigned char *)sig, n);

	free(sig);
	return ok ? 0 : refuse_signature(is, r);
}

int
auth_token_signature(const struct auth_issuer *is, const struct auth_key *k,
    enum auth_alg alg, const char *p, size_t len, const struct auth_token *t,
    struct auth_refusal *r)
{
	char text[AUTH_TOKEN_MAX + 1];
	jwt_t *jwt = NULL;
	bool same_alg;
	int error;

	/* Length 0 would make libjwt accept anything (loading forbids it). */
	if (k->p == NULL || k->len == 0 || len > AUTH_TOKEN_MAX)
		return auth_refuse(r, PROBLEM_TOKEN_INVALID, "no key");
	if (algs[alg].signature_len != 0 &&
	    t->part[2].len * 3 / 4 != algs[alg].signature_len)
		return auth_refuse(r, PROBLEM_TOKEN_INVALID, "the signature has "
		    "not the length that %s has: was the token cut?",
		    auth_alg_name(alg));
	if (!k->is_secret)
		return check_public(is, k, alg, p, t, r);
	memcpy(text, p, len);
	text[len] = '\0';
	error = jwt_decode(&jwt, text, k->p, (int)k->len);
	ERR_clear_error();
	if (error != 0)
		return refuse_signature(is, r);
	/* The other half of pinning: what libjwt really did. */
	same_alg = jwt_get_alg(jwt) == algs[alg].jwt;
	jwt_free(jwt);
	if (!same_alg)
		return auth_refuse(r, PROBLEM_TOKEN_INVALID, "alg is not what the "
		    "key accepts");
	return 0;
}

/* Who is this?  Same issuer and sub, or else the very token. */
static int
set_principal(struct auth_grants *g, const char *p, size_t len)
{
	const char *iss = g->iss != NULL ? g->iss : "";
	struct auth_bytes token[] = { { "token", 5 }, { p, len } };

	if (g->sub != NULL) {
		struct auth_bytes who[] = {
			{ "sub", 3 }, { iss, strlen(iss) },
			{ g->sub, strlen(g->sub) },
		};

		return auth_hash_parts(&g->principal, who, 3);
	}
	return auth_hash_parts(&g->principal, token, 2);
}

/* Which of `n` keys signed it?  NULL and *r: none. */
static const struct auth_key *
find_signer(const struct auth_issuer *is, const struct auth_key *const *keys,
    const enum auth_alg *alg, size_t n, const char *p, size_t len,
    const struct auth_token *t, struct auth_refusal *r)
{
	size_t i;

	for (i = 0; i < n; i++)
		/* NOLINTNEXTLINE(clang-analyzer-core*): accept_header() wrote n of them */
		if (auth_token_signature(is, keys[i], alg[i], p, len, t, r) == 0)
			return keys[i];
	return NULL;
}

/* Those that accept the header, in their place; 0 and *r: none does. */
static size_t
accept_header(const struct auth_issuer *is, const struct auth_key **keys, size_t n,
    const json_t *header, enum auth_alg *alg, struct auth_refusal *r)
{
	size_t i, left = 0;

	for (i = 0; i < n; i++)
		if (auth_token_header(is, keys[i], header, &alg[left], r) == 0)
			keys[left++] = keys[i];
	return left;
}

struct auth_grants *
auth_token_read(const struct auth_issuer *is, const struct auth_keys *keys,
    const struct auth_patterns *names, const char *p, size_t len,
    struct auth_refusal *r)
{
	const struct auth_key *may[AUTH_TRIES], *signer;
	struct auth_grants *g = NULL;
	json_t *header = NULL, *claims = NULL;
	const json_t *v;
	enum auth_alg alg[AUTH_TRIES];
	struct auth_token t;
	size_t i, n;

	if (auth_token_split(p, len, &t, r) == -1 ||
	    (header = auth_token_object(t.part[0], "header", r)) == NULL ||
	    (n = auth_pick_keys(is, keys, header, may, r)) == 0 ||
	    (n = accept_header(is, may, n, header, alg, r)) == 0 ||
	    (claims = auth_token_object(t.part[1], "payload", r)) == NULL ||
	    (signer = find_signer(is, may, alg, n, p, len, &t, r)) == NULL)
		goto fail;
	if ((g = auth_grants_new()) == NULL ||
	    (g->issuer = strdup(is->section)) == NULL)
		goto no_memory;
	for (i = 0; i < auth_n_checks; i++)
		if (auth_check_claim(is, &auth_checks[i], claims, g, &v, r) == -1)
			goto fail;
	if ((g->key_id = auth_key_id(is, signer)) == 0 ||
	    auth_token_claims(names, claims, g) == -1 ||
	    set_principal(g, p, len) == -1)
		goto no_memory;
	json_decref(header);
	json_decref(claims);
	return g;

no_memory:
	(void)auth_refuse(r, PROBLEM_INTERNAL, "out of memory");
fail:
	json_decref(header);
	json_decref(claims);
	auth_grants_unref(g);
	return NULL;
}
