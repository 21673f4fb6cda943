/*
 * check_bad_keys.c - J4: with a key that is none the server does not start, and says
 * which key, and what is wrong with it: tests/data/bad-keys.txt.
 */
#include "config.h"

#include "harness.h"

#include <sys/stat.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "token_maker.h"
#include "token_table.h"

static struct bad_key {
	int	 line;
	char	*name, *option, *contents, *mode, *says;
} rows[200];
static size_t n_rows;

static void
read_rows(void)
{
	char *rest = table_text("bad-keys.txt"), *line;
	int number = 0;

	while ((line = table_line(&rest, &number)) != NULL) {
		struct bad_key *r = &rows[n_rows++];

		r->line = number;
		r->name = table_field(&line);
		r->option = table_field(&line);
		r->contents = table_field(&line);
		r->mode = table_field(&line);
		r->says = table_field(&line);
		if (r->says == NULL || line != NULL || n_rows == 200) {
			fprintf(stderr, "bad-keys.txt, line %d\n", number);
			exit(EXIT_FAILURE);
		}
	}
}

/* --- what stands in the file --- */

static char *
text_of(BIO *b, size_t *len)
{
	char *p, *text;
	long n = BIO_get_mem_data(b, &p);

	ck_assert_int_gt(n, 0);
	text = keep(calloc(1, (size_t)n + 1), free);
	memcpy(text, p, (size_t)n);
	*len = (size_t)n;
	BIO_free(b);
	return text;
}

static X509 *
certificate_of(EVP_PKEY *pk)
{
	X509 *x = X509_new();

	ck_assert_ptr_nonnull(x);
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
	    (const unsigned char *)"a", -1, -1, 0);
	ck_assert_int_eq(X509_set_pubkey(x, pk), 1);
	ck_assert_int_gt(X509_sign(x, pk, EVP_sha256()), 0);
	return x;
}

/* The modulus of the key RSA, and this exponent. */
static EVP_PKEY *
rsa_with_exponent(unsigned long e)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	BIGNUM *n = NULL, *exponent = BN_new();
	EVP_PKEY *pk = NULL;
	OSSL_PARAM *params;

	ck_assert_int_eq(EVP_PKEY_get_bn_param(maker_pair("RSA"),
	    OSSL_PKEY_PARAM_RSA_N, &n), 1);
	BN_set_word(exponent, e);
	OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n);
	OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent);
	params = OSSL_PARAM_BLD_to_param(build);
	ck_assert_int_eq(EVP_PKEY_fromdata_init(ctx), 1);
	ck_assert_int_eq(EVP_PKEY_fromdata(ctx, &pk, EVP_PKEY_PUBLIC_KEY, params), 1);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	EVP_PKEY_CTX_free(ctx);
	BN_free(n);
	BN_free(exponent);
	return pk;
}

/* The PEM with its last byte of key changed: the y of a point. */
static char *
off_curve(const char *name, size_t *len)
{
	unsigned char *der = NULL;
	int n = i2d_PUBKEY(maker_pair(name), &der);
	BIO *b = BIO_new(BIO_s_mem());

	ck_assert_int_gt(n, 0);
	der[n - 1] ^= 1;
	ck_assert_int_gt(PEM_write_bio(b, "PUBLIC KEY", "", der, n), 0);
	OPENSSL_free(der);
	return text_of(b, len);
}

static char *
crushed(const char *pem)
{
	char *out = repeat("", 1), *copy = fmt("%s", pem), *line;

	while ((line = strsep(&copy, "\n")) != NULL && *line != '\0')
		out = fmt("%s%s\\n", out, line);
	return out;
}

static char *
part(const char *kind, const char *arg, size_t *len)
{
	BIO *b = NULL;
	EVP_PKEY *pk;
	X509 *x;
	char *text = NULL, *s;

	if (strcmp(kind, "text") == 0)
		return keep(table_expand(arg, 0, len), free);
	if (strcmp(kind, "public") == 0)
		text = fmt("%s", maker_public(arg));
	else if (strcmp(kind, "private") == 0)
		text = fmt("%s", maker_private(arg));
	else if (strcmp(kind, "crushed") == 0)
		text = crushed(maker_public(arg));
	else if (strcmp(kind, "jwks") == 0)
		text = keep(maker_jwks(arg), free);
	else if (strcmp(kind, "bare") == 0) {
		s = strchr(maker_public(arg), '\n') + 1;
		text = fmt("%.*s", (int)(strstr(s, "-----END") - s), s);
	} else if (strcmp(kind, "off-curve") == 0)
		return off_curve(arg, len);
	if (text != NULL) {
		*len = strlen(text);
		return text;
	}
	b = BIO_new(BIO_s_mem());
	if (strcmp(kind, "der") == 0)
		ck_assert_int_eq(i2d_PUBKEY_bio(b, maker_pair(arg)), 1);
	else if (strcmp(kind, "encrypted") == 0)
		ck_assert_int_eq(PEM_write_bio_PKCS8PrivateKey(b, maker_pair(arg),
		    EVP_aes_128_cbc(), "secret", 6, NULL, NULL), 1);
	else if (strcmp(kind, "pkcs1") == 0) {
		unsigned char *der = NULL;
		int n = i2d_PublicKey(maker_pair(arg), &der);

		ck_assert_int_gt(PEM_write_bio(b, "RSA PUBLIC KEY", "", der, n), 0);
		OPENSSL_free(der);
	} else if (strcmp(kind, "certificate") == 0) {
		x = certificate_of(maker_pair(arg));
		ck_assert_int_eq(PEM_write_bio_X509(b, x), 1);
		X509_free(x);
	} else if (strcmp(kind, "e") == 0) {
		pk = rsa_with_exponent(strtoul(arg, NULL, 10));
		ck_assert_int_eq(PEM_write_bio_PUBKEY(b, pk), 1);
		EVP_PKEY_free(pk);
	} else
		ck_abort_msg("what is %s?", kind);
	return text_of(b, len);
}

static char *
contents_of(const struct bad_key *r, size_t *len)
{
	char *rest = fmt("%s", r->contents), *out = NULL, *piece, *arg, *p;
	size_t n;

	*len = 0;
	while (rest != NULL) {
		piece = rest;
		if ((rest = strstr(rest, " + ")) != NULL) {
			*rest = '\0';
			rest += 3;
		}
		ck_assert_ptr_nonnull(arg = strchr(piece, ':'));
		*arg++ = '\0';
		p = part(piece, arg, &n);
		ck_assert_ptr_nonnull(out = realloc(out, *len + n + 1));
		memcpy(out + *len, p, n);
		*len += n;
		out[*len] = '\0';
	}
	return keep(out, free);
}

/* The option's value: the path of what was made, or the contents themselves. */
static char *
value_of(const struct bad_key *r, char **secret)
{
	char *path = fmt("%s/key", test_dir()), *p;
	mode_t mode = (mode_t)strtol(r->mode, NULL, 8);
	size_t len;

	*secret = NULL;
	if (strcmp(r->contents, "missing") == 0)
		return path;
	if (strcmp(r->contents, "directory") == 0) {
		ck_assert_int_eq(mkdir(path, mode), 0);
		return path;
	}
	if (strcmp(r->contents, "fifo") == 0) {
		ck_assert_int_eq(mkfifo(path, mode), 0);
		return path;
	}
	if (strncmp(r->contents, "link:", 5) == 0) {
		ck_assert_int_eq(symlink(r->contents + 5, path), 0);
		return path;
	}
	p = contents_of(r, &len);
	if (strncmp(r->contents, "text:", 5) == 0 && len > 24)
		*secret = p;
	if (r->mode[0] == '-')
		return p;
	write_whole(path, p, len);
	ck_assert_int_eq(chmod(path, mode), 0);
	return path;
}

static void
is_told(const struct bad_key *r)
{
	char *secret, *value = value_of(r, &secret), *said, *at;
	char *option = fmt("--%s=%s", r->option, value);
	bool is_list = strncmp(r->option, "auth.api_keys", 13) == 0;
	struct server *s;
	int code;

	if (strcmp(r->says, "starts") == 0) {
		s = server_start(option, NULL);
		ck_assert_int_eq(server_stop(s), 0);
		return;
	}
	code = server_refused(&said, option, is_list &&
	    strstr(r->option, "_file") != NULL ? "--auth.key=" : NULL, NULL);
	ck_assert_msg(code == 2, "line %d, %s: exit code %d: %s", r->line, r->name,
	    code, said);
	/* Behind the warning that an option can be seen by all. */
	ck_assert_msg((at = strstr(said, r->says)) != NULL, "line %d, %s: %s",
	    r->line, r->name, said);
	while (at > said && at[-1] != '\n')
		at--;
	ck_assert_msg(strstr(at, r->option) != NULL, "line %d, %s: %s", r->line,
	    r->name, said);
	/* And nothing of it is repeated. */
	if (secret != NULL && secret[0] != '-' && secret[0] != ' ') {
		secret[strcspn(secret, "\r\n")] = '\0';
		ck_assert_msg(strlen(secret) < 20 ||
		    strstr(said, secret + 10) == NULL, "line %d, %s: %s", r->line,
		    r->name, said);
	}
}

START_TEST(J4_a_server_does_not_start_with_a_bad_key_and_names_it)
{
	is_told(&rows[_i]);
}
END_TEST

/* "auth.key_file" as "auth.key_before_file". */
static char *
of_before(const char *text)
{
	return strncmp(text, "auth.key", 8) == 0 ? fmt("auth.key_before%s", text + 8) :
	    fmt("%s", text);
}

START_TEST(J4_so_it_is_with_the_key_before)
{
	struct bad_key r = rows[_i];

	if (strncmp(r.option, "auth.key", 8) != 0)
		return;
	r.option = of_before(r.option);
	r.says = of_before(r.says);
	is_told(&r);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("bad_keys");
	TCase *tc = harness_case(su, "keys", 60);

	read_rows();
	tcase_add_loop_test(tc,
	    J4_a_server_does_not_start_with_a_bad_key_and_names_it, 0, (int)n_rows);
	tcase_add_loop_test(tc, J4_so_it_is_with_the_key_before, 0, (int)n_rows);
	return su;
}

SUITE_MAIN
