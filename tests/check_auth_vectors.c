/*
 * check_auth_vectors.c - J3: signatures made by others to be mistaken for right ones,
 * tests/data/vectors.txt; and every bit of an HMAC.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/x509.h>

#include "auth_internal.h"
#include "auth_rig.h"
#include "token_table.h"

static const struct auth_issuer issuer = { .section = NULL, .from = "auth.key" };

static enum auth_alg
alg_of(const char *name)
{
	for (int i = 0; i < AUTH_ALGS; i++)
		if (strcmp(auth_alg_name((enum auth_alg)i), name) == 0)
			return (enum auth_alg)i;
	ck_abort_msg("no alg %s", name);
	return AUTH_ALGS;
}

/* The key as a server holds it: through the same door as one from a JWKS. */
static void
load(struct auth_key *k, enum auth_alg alg, const char *text, int line)
{
	const unsigned char *p;
	unsigned char *der;
	char err[512] = "";
	EVP_PKEY *pk;
	size_t len;

	auth_key_fini(k);
	*k = (struct auth_key){ .p = NULL };
	ck_assert_ptr_nonnull(der = maker_decode(text, &len));
	p = der;
	pk = d2i_PUBKEY(NULL, &p, (long)len);
	free(der);
	ck_assert_msg(pk != NULL, "line %d: no key", line);
	ck_assert_msg(auth_key_from_public(k, pk, "test", err, sizeof err) == 0,
	    "line %d: %s", line, err);
	ck_assert_msg((k->algs & 1u << alg) != 0, "line %d: not its alg", line);
}

/* What is signed need not be a token's text to be checked as such. */
static bool
is_accepted(const struct auth_key *k, enum auth_alg alg, const char *message,
    const char *signature)
{
	char why[256] = "";
	struct auth_refusal r = { PROBLEM_TOKEN_INVALID, why, sizeof why };
	struct auth_token t = { 0 };
	unsigned char *bytes;
	size_t len = 0;
	char *whole;
	bool ok;

	if (strcmp(signature, "-") == 0)
		signature = "";
	bytes = maker_decode(strcmp(message, "-") == 0 ? "" : message, &len);
	ck_assert_ptr_nonnull(bytes);
	ck_assert_ptr_nonnull(whole = malloc(len + strlen(signature) + 2));
	memcpy(whole, bytes, len);
	whole[len] = '.';
	memcpy(whole + len + 1, signature, strlen(signature) + 1);
	t.part[2] = (struct auth_bytes){ whole + len + 1, strlen(signature) };
	ok = auth_token_signature(&issuer, k, alg, whole,
	    len + 1 + strlen(signature), &t, &r) == 0;
	free(whole);
	free(bytes);
	return ok;
}

START_TEST(J3_signatures_are_right_or_wrong_as_the_vectors_say)
{
	char *text = table_text("vectors.txt"), *rest = text, *line, *word[4];
	int number = 0, good = 0, bad = 0, wrong = 0;
	struct auth_key k = { .p = NULL };
	enum auth_alg alg = AUTH_ALGS;

	while ((line = table_line(&rest, &number)) != NULL) {
		bool ok;

		if (strncmp(line, "rfc ", 4) == 0)
			continue;
		for (int i = 0; i < 4; i++)
			word[i] = strsep(&line, " ");
		if (strcmp(word[0], "key") == 0) {
			alg = alg_of(word[1]);
			load(&k, alg, word[2], number);
			continue;
		}
		ck_assert_ptr_nonnull(word[3]);
		ok = strcmp(word[0], "good") == 0;
		*(ok ? &good : &bad) += 1;
		if (is_accepted(&k, alg, word[2], word[3]) != ok) {
			wrong++;
			fprintf(stderr, "line %d, number %s: %s\n", number, word[1],
			    ok ? "refused" : "accepted");
		}
	}
	auth_key_fini(&k);
	free(text);
	ck_assert_msg(wrong == 0, "%d of %d are mistaken", wrong, good + bad);
	ck_assert_int_gt(good, 500);
	ck_assert_int_gt(bad, 500);
}
END_TEST

/* They expired in 2011: judged then. */
START_TEST(J3_the_examples_of_rfc_7515_are_good_and_spoilt_ones_are_not)
{
	char *text = table_text("vectors.txt"), *rest = text, *line, *set;
	int number = 0, n = 0;
	unsigned char *secret;
	struct auth_conf c;
	struct auth *a;
	char *last;
	size_t len;

	while ((line = table_line(&rest, &number)) != NULL) {
		if (strncmp(line, "rfc ", 4) != 0)
			continue;
		(void)strsep(&line, " ");
		(void)strsep(&line, " ");
		set = strsep(&line, " ");
		c = (struct auth_conf){ .house.leeway_ms = LEEWAY };
		if (strncmp(set, "k:", 2) == 0) {
			secret = maker_decode(set + 2, &len);
			c.house.key_file = file_with(secret, len, 0600);
			free(secret);
		} else {
			ck_assert_int_ge(asprintf(&set, "{\"keys\":[%s]}", set), 0);
			c.house.jwks = text_file(set, 0600);
			free(set);
		}
		a = auth_of(&c);
		ck_assert_int_eq(unlink(c.house.jwks != NULL ? c.house.jwks :
		    c.house.key_file), 0);
		ck_assert_msg(outcome(a, line, AUTH_PUBLISH, INT64_C(1300819379000))
		    == 0, "line %d is refused", number);
		ck_assert_int_eq(outcome(a, line, AUTH_PUBLISH, NOW),
		    PROBLEM_TOKEN_EXPIRED);
		last = line + strlen(line) - 4;
		*last = *last == 'A' ? 'B' : 'A';
		ck_assert_int_eq(outcome(a, line, AUTH_PUBLISH,
		    INT64_C(1300819379000)), PROBLEM_TOKEN_INVALID);
		auth_free(a);
		n++;
	}
	free(text);
	ck_assert_int_eq(n, 3);
}
END_TEST

/* No tag but the right one: each bit of it, and every shorter one. */
START_TEST(J3_each_bit_of_an_hmac_counts)
{
	static const struct { const char *key, *header, *signer; } rows[] = {
		{ "HS32", H("HS256"), "HS256/HS32" },
		{ "HS48", H("HS384"), "HS384/HS48" },
		{ "HS64", H("HS512"), "HS512/HS64" },
	};
	char *good, *tag, *t;
	unsigned char *sig;
	struct auth *a;
	size_t len, n;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		a = auth_with_key(rows[i].key);
		good = maker_token(rows[i].header, GOOD, rows[i].signer);
		sig = maker_decode(strrchr(good, '.') + 1, &len);
		n = (size_t)(strrchr(good, '.') - good);
		for (size_t bit = 0; bit < len * 9; bit++) {
			/* Beyond the bits: cut to as many bytes. */
			size_t cut = bit < len * 8 ? len : bit - len * 8;

			if (bit < len * 8)
				sig[bit / 8] ^= (unsigned char)(1 << bit % 8);
			tag = maker_base64url(sig, cut);
			ck_assert_int_ge(asprintf(&t, "%.*s.%s", (int)n, good,
			    tag), 0);
			ck_assert_int_eq(outcome(a, t, AUTH_SUBSCRIBE, NOW),
			    PROBLEM_TOKEN_INVALID);
			if (bit < len * 8)
				sig[bit / 8] ^= (unsigned char)(1 << bit % 8);
			free(tag);
			free(t);
		}
		ck_assert_int_eq(outcome(a, good, AUTH_SUBSCRIBE, NOW), 0);
		free(sig);
		free(good);
		auth_free(a);
	}
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("auth_vectors");
	TCase *tc = rig_case(s, "vectors");

	tcase_add_test(tc, J3_signatures_are_right_or_wrong_as_the_vectors_say);
	tcase_add_test(tc,
	    J3_the_examples_of_rfc_7515_are_good_and_spoilt_ones_are_not);
	tcase_add_test(tc, J3_each_bit_of_an_hmac_counts);
	return s;
}

SUITE_MAIN
