/*
 * check_auth_keys.c - keys and files of keys: what is taken, and how the rest is
 * refused.  One by one they stand in tests/data/bad-keys.txt.
 */
#include "config.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth_internal.h"
#include "auth_rig.h"

/* If such a thing were taken for an HMAC secret, all who know the public key could
 * sign. */
START_TEST(a_public_key_is_never_an_hmac_secret)
{
	static const char *const names[] = { "RSA", "P256", "P384", "P521" };
	char text[4096], *s, *d;
	struct auth_conf c = { .house.key = text };
	size_t i;

	for (i = 0; i < sizeof names / sizeof names[0]; i++) {
		(void)snprintf(text, sizeof text, "\n%s", maker_public(names[i]));
		ck_says(refusal(&c), "before -----BEGIN");
		(void)snprintf(text, sizeof text, "\xef\xbb\xbf%s",
		    maker_public(names[i]));
		ck_says(refusal(&c), "before -----BEGIN");
		(void)snprintf(text, sizeof text, "%s%s", maker_public(names[i]),
		    maker_public("P256"));
		ck_says(refusal(&c), "more than one key");
		(void)snprintf(text, sizeof text, "%s%s", maker_public(names[i]),
		    maker_private("P256"));
		ck_says(refusal(&c), "private key");
		/* Its inside alone, in lines and in one line. */
		s = strchr(maker_public(names[i]), '\n') + 1;
		(void)snprintf(text, sizeof text, "%.*s",
		    (int)(strstr(s, "-----END") - s), s);
		ck_says(refusal(&c), "not in PEM form");
		for (s = d = text; *s != '\0'; s++)
			if (*s != '\n' && *s != '=')
				*d++ = *s;
		*d = '\0';
		ck_says(refusal(&c), "not in PEM form");
	}
}
END_TEST

START_TEST(a_bad_api_key_is_refused_by_place_and_not_repeated)
{
	static const struct {
		const char *line, *says;
	} cases[] = {
		{ API_KEY, "no colon" },
		{ "web", "no colon" },
		{ "", "no colon" },
		{ ":" API_KEY, "name" },
		{ API_KEY ":web", "does not begin with ffk_" },
		{ "web:" , "does not begin with ffk_" },
		{ "web:secretsecretsecretsecret", "does not begin with ffk_" },
		{ "web:FFK_5Nd8sKw0tPq2vRz7yBxLcMf3", "does not begin with ffk_" },
		{ "web:ffk_5Nd8sKw0tPq2vRz", "19 characters" },
		{ "web:ffk_5Nd8sKw0 tPq2vRz7yBx", "space" },
		{ "web:\"" API_KEY "\"", "does not begin" },
		{ "we b:" API_KEY, "name" },
		{ "w\xc3\xa9" "b:" API_KEY, "name" },
		{ "web:" API_KEY ":", "no pattern" },
		{ "web:" API_KEY ":  ", "no pattern" },
		{ "web:" API_KEY ":a/**/b", "a pattern of key web has a segment" },
		{ "web:" API_KEY ":a \xff", "not UTF-8" },
	};
	const char *list[] = { "ok:" API_KEY2, NULL, NULL };
	struct auth_conf c = { .api_keys = list };
	const char *said;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		list[1] = cases[i].line;
		said = refusal(&c);
		ck_says(said, cases[i].says);
		ck_says(said, "auth.api_keys entry 2: ");
		ck_assert_ptr_null(strstr(said, "5Nd8"));
		ck_assert_ptr_null(strstr(said, "secretsecret"));
	}
	list[1] = "other:" API_KEY2;
	ck_says(refusal(&c), "key other has the same secret as key ok");
}
END_TEST

START_TEST(no_key_at_all_is_refused_unless_allowed)
{
	const char *none[] = { NULL };
	struct auth_conf c = { .api_keys = none, .house.key = "", .house.key_file = "" };
	struct auth *a;

	ck_says(refusal(&c), "no key at all");
	ck_says(refusal(&c), "fanfare key");
	c.allow_none = true;
	a = auth_of(&c);
	ck_assert_uint_eq(auth_key_ids(a, NULL, 0), 0);
	ck_assert_int_eq(outcome(a, "a.b.c", AUTH_SUBSCRIBE, NOW),
	    PROBLEM_TOKEN_INVALID);
	auth_free(a);
	c.house.key = SECRET64;
	c.house.key_file = "/nowhere";
	ck_says(refusal(&c), "auth.key and auth.key_file are both set");
}
END_TEST

START_TEST(one_line_end_of_a_key_file_is_dropped)
{
	static const struct {
		const char *text, *key;
	} cases[] = {
		{ SECRET64, SECRET64 },
		{ SECRET64 "\n", SECRET64 },
		{ SECRET64 "\r\n", SECRET64 },
		{ SECRET64 "\n\n", SECRET64 "\n" },
		{ SECRET64 "\r", SECRET64 "\r" },
		{ SECRET64 " \n", SECRET64 " " },
		{ "\n" SECRET64 "\n", "\n" SECRET64 },
	};
	struct auth_conf inl = { .house.key = NULL }, file = { .house.key = NULL };
	char binary[64];
	struct auth *a;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		inl.house.key = cases[i].key;
		file.house.key_file = text_file(cases[i].text, 0600);
		ck_assert_msg(only_id(&file) == only_id(&inl), "case %zu", i);
	}
	memset(binary, 0, sizeof binary);	/* NULs are bytes like others */
	binary[62] = 1;
	file.house.key_file = file_with(binary, sizeof binary, 0600);
	a = auth_of(&file);
	ck_assert_uint_eq(a->issuers[0].source->keys->v[0].len, 64);
	auth_free(a);
	ck_assert_int_eq(unlink(file.house.key_file), 0);
}
END_TEST

START_TEST(a_secret_file_open_to_others_is_refused)
{
	static const struct {
		mode_t mode;
		bool secret, public;	/* is it accepted? */
	} cases[] = {
		{ 0400, true, true }, { 0600, true, true }, { 0640, true, true },
		{ 0660, true, true }, { 0644, false, true },
		{ 0604, false, true }, { 0601, false, true },
		{ 0602, false, false }, { 0666, false, false },
	};
	struct auth_conf key = { .house.key = NULL }, list = { .house.key = NULL };
	const char *said;
	size_t i;

	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		key.house.key_file = text_file(SECRET64, cases[i].mode);
		said = refusal(&key);
		ck_says(said, cases[i].secret ? "(accepted)" : "chmod o-rwx");
		if (!cases[i].secret)
			ck_says(said, "auth.key_file: ");
		ck_assert_int_eq(unlink(key.house.key_file), 0);
		key.house.key_file = text_file(maker_public("RSA"), cases[i].mode);
		ck_says(refusal(&key), cases[i].public ? "(accepted)" : "chmod");
		ck_assert_int_eq(unlink(key.house.key_file), 0);
		list.api_keys_file = text_file("web:" API_KEY, cases[i].mode);
		said = refusal(&list);
		ck_says(said, cases[i].secret ? "(accepted)" : "chmod o-rwx");
		if (!cases[i].secret)
			ck_says(said, "auth.api_keys_file: ");
		ck_assert_int_eq(unlink(list.api_keys_file), 0);
	}
}
END_TEST

START_TEST(a_bad_file_is_refused_by_name)
{
	struct auth_conf key = { .house.key = NULL }, list = { .house.key = NULL };
	char path[PATH_MAX + 16], *big;

	(void)snprintf(path, sizeof path, "%s/nowhere", rig_dir());
	key.house.key_file = list.api_keys_file = path;
	ck_says(refusal(&key), "auth.key_file: ");
	ck_says(refusal(&key), "nowhere: No such file");
	list.house.key_file = NULL;
	ck_says(refusal(&list), "auth.api_keys_file: ");
	ck_assert_ptr_nonnull(big = calloc(1, 100000));
	key.house.key_file = file_with(big, 100000, 0600);
	ck_says(refusal(&key), "larger than 65536 bytes");
	free(big);
	list.api_keys_file = text_file("# keys\n\n  web:" API_KEY "\r\n\n"
	    "app:nonsense\n", 0600);
	ck_says(refusal(&list), "auth.api_keys_file line 5: ");
	list.api_keys_file = file_with("a\0b", 3, 0600);
	ck_says(refusal(&list), "not a text file");
	list.api_keys_file = text_file("# none\n", 0600);
	ck_says(refusal(&list), "no key at all");
	ck_assert_int_eq(unlink(list.api_keys_file), 0);
}
END_TEST

START_TEST(a_file_of_api_keys_adds_to_the_list)
{
	const char *inl[] = { "one:" API_KEY, NULL };
	struct auth_conf c = { .api_keys = inl };
	struct auth_identity id;
	struct auth *a;

	c.api_keys_file = text_file("# comment\n\t # another\n\n"
	    " \ttwo:" API_KEY2 ":a b \r\n"
	    "three:ffk_0000000000000000000a", 0600);
	a = auth_of(&c);
	ck_assert_uint_eq(auth_key_ids(a, NULL, 0), 3);
	id = identity(a, API_KEY2, AUTH_PUBLISH);
	ck_assert(publishes(a, &id, "b") && !publishes(a, &id, "c"));
	auth_identity_fini(&id);
	ck_assert_int_eq(outcome(a, "ffk_0000000000000000000a", AUTH_PUBLISH,
	    NOW), 0);
	auth_free(a);
	c.api_keys_file = text_file("one:" API_KEY, 0600);
	ck_says(refusal(&c), "auth.api_keys_file line 1: key one has the same");
	ck_assert_int_eq(unlink(c.api_keys_file), 0);
}
END_TEST

/* As it is while a secret is replaced: the new one signs, both check. */
START_TEST(the_key_before_checks_tokens_and_makes_none)
{
	size_t len;
	char *other = strdup(maker_key("HS-OTHER", &len)), err[512], *minted;
	char *old = hs256(GOOD), *new = maker_token(H("HS256"), GOOD, "HS256/HS-OTHER");
	char *rsa = maker_token(H("RS256"), GOOD, "RS256/RSA");
	struct auth_conf c = { .house.key = SECRET64 };
	struct auth_mint m = { .lifetime_ms = 1000 };
	struct auth_identity id, id2;
	uint64_t before = only_id(&c);
	struct auth *a;

	other[len] = '\0';
	c.house.key = other;
	c.house.key_before = SECRET64;
	a = auth_of(&c);
	ck_assert_uint_eq(auth_key_ids(a, NULL, 0), 2);
	id = identity(a, old, AUTH_PUBLISH);
	id2 = identity(a, new, AUTH_PUBLISH);
	/* Its streams go on, and who comes with either is the same one. */
	ck_assert_uint_eq(id.key_id, before);
	ck_assert_uint_ne(id2.key_id, before);
	ck_assert_uint_eq(id.principal, id2.principal);
	ck_assert_str_eq(id.issuer, id2.issuer);
	auth_identity_fini(&id);
	auth_identity_fini(&id2);
	ck_assert_ptr_nonnull(minted = auth_mint_token(a, &m, NOW, err, sizeof err));
	ck_assert_int_eq(outcome(a, rsa, AUTH_SUBSCRIBE, NOW), PROBLEM_TOKEN_INVALID);
	auth_free(a);
	c.house.key_before = NULL;
	a = auth_of(&c);
	ck_assert(!auth_has_key(a, before));
	ck_assert_int_eq(outcome(a, minted, AUTH_SUBSCRIBE, NOW), 0);
	ck_assert_int_eq(outcome(a, old, AUTH_SUBSCRIBE, NOW), PROBLEM_TOKEN_INVALID);
	auth_free(a);
	/* From a secret to a public key, which is left to the threads for that. */
	c.house.key = maker_public("RSA");
	c.house.key_before = SECRET64;
	a = auth_of(&c);
	ck_assert(!auth_is_fast(&a->issuers[0]));
	ck_assert_int_eq(outcome(a, old, AUTH_SUBSCRIBE, NOW), 0);
	ck_assert_int_eq(outcome(a, rsa, AUTH_SUBSCRIBE, NOW), 0);
	ck_assert_int_eq(outcome(a, new, AUTH_SUBSCRIBE, NOW), PROBLEM_TOKEN_INVALID);
	ck_assert_ptr_null(auth_mint_token(a, &m, NOW, err, sizeof err));
	auth_free(a);
	c.house.key = SECRET64;
	c.house.key_before = maker_public("RSA");
	a = auth_of(&c);
	ck_assert(!auth_is_fast(&a->issuers[0]));
	auth_free(a);
	c.house.key_before = SECRET64;
	ck_says(refusal(&c), "auth.key_before: it is the same key as auth.key: put");
	c.house.key_before = "short";
	ck_says(refusal(&c), "auth.key_before: the secret has 5 bytes");
	free(other);
	free(old);
	free(new);
	free(rsa);
	free(minted);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("auth_keys");
	TCase *tc = rig_case(s, "keys");

	tcase_add_test(tc, a_public_key_is_never_an_hmac_secret);
	tcase_add_test(tc, a_bad_api_key_is_refused_by_place_and_not_repeated);
	tcase_add_test(tc, no_key_at_all_is_refused_unless_allowed);
	tcase_add_test(tc, one_line_end_of_a_key_file_is_dropped);
	tcase_add_test(tc, a_secret_file_open_to_others_is_refused);
	tcase_add_test(tc, a_bad_file_is_refused_by_name);
	tcase_add_test(tc, a_file_of_api_keys_adds_to_the_list);
	tcase_add_test(tc, the_key_before_checks_tokens_and_makes_none);
	return s;
}

SUITE_MAIN
