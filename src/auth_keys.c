/*
 * auth_keys.c - from configuration to keys that can be trusted.
 *
 * What is wrong with a key is found here, at start, and told by the key's name in
 * the configuration: later it could only be a silent hole or a puzzling 401.  The
 * worst of them is a public key taken for an HMAC secret, since then everybody who
 * can read it can sign; so whatever looks like a public key and is not clean PEM is
 * refused.  No message repeats any part of a key.
 */
#include "config.h"

#include "auth_internal.h"

#include <sys/stat.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "log.h"
#include "text.h"
#include "topic.h"

#define KEY_FILE_MAX	(64 * 1024)
#define KEYS_FILE_MAX	(1024 * 1024)
#define RSA_BITS_MIN	2048
#define RSA_BITS_MAX	16384		/* OpenSSL verifies no larger */
#define SECRET_MIN	20		/* characters of an API key's secret */

#define ALL_RS	(1u << AUTH_RS256 | 1u << AUTH_RS384 | 1u << AUTH_RS512)
#define JWKS_FILE_MAX	(256 * 1024)

struct file {
	char		*p;		/* NUL-terminated */
	size_t		 len;
	unsigned int	 mode;		/* permission bits */
};

static const struct {
	const char	*name;
	size_t		 secret_min;	/* bytes; 0: not HMAC */
} algs[AUTH_ALGS] = {
	[AUTH_HS256] = { "HS256", 32 },
	[AUTH_HS384] = { "HS384", 48 },
	[AUTH_HS512] = { "HS512", 64 },
	[AUTH_RS256] = { "RS256", 0 },
	[AUTH_RS384] = { "RS384", 0 },
	[AUTH_RS512] = { "RS512", 0 },
	[AUTH_ES256] = { "ES256", 0 },
	[AUTH_ES384] = { "ES384", 0 },
	[AUTH_ES512] = { "ES512", 0 },
};

static const struct {
	const char	*group;
	const char	*what;
	enum auth_alg	 alg;
} curves[] = {
	{ "prime256v1", "an EC public key on P-256", AUTH_ES256 },
	{ "secp384r1", "an EC public key on P-384", AUTH_ES384 },
	{ "secp521r1", "an EC public key on P-521", AUTH_ES512 },
};

const char *
auth_alg_name(enum auth_alg alg)
{
	return algs[alg].name;
}

void
auth_format_algs(char *out, size_t size, unsigned int set)
{
	size_t i, at = 0;
	int n;

	out[0] = '\0';
	for (i = 0; i < AUTH_ALGS; i++) {
		if ((set & (1u << i)) == 0)
			continue;
		n = snprintf(out + at, size - at, "%s%s", at == 0 ? "" : ", ",
		    algs[i].name);
		if (n < 0 || (size_t)n >= size - at)
			return;
		at += (size_t)n;
	}
}

int
auth_hash(unsigned char out[AUTH_HASH_SIZE], const void *p, size_t len)
{
	return EVP_Digest(p, len, out, NULL, EVP_sha256(), NULL) == 1 ? 0 : -1;
}

/* Each part goes in behind its length, so "ab","c" is not "a","bc".  Not keyed:
 * ids must be the same after a restart. */
int
auth_hash_parts(uint64_t *out, const struct auth_bytes *v, size_t n)
{
	unsigned char md[AUTH_HASH_SIZE];
	EVP_MD_CTX *ctx;
	uint64_t len;
	size_t i;
	int ok;

	if ((ctx = EVP_MD_CTX_new()) == NULL)
		return -1;
	ok = EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;
	for (i = 0; ok && i < n; i++) {
		len = v[i].len;
		ok = EVP_DigestUpdate(ctx, &len, sizeof len) == 1 &&
		    EVP_DigestUpdate(ctx, v[i].p, v[i].len) == 1;
	}
	ok = ok && EVP_DigestFinal_ex(ctx, md, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	if (!ok)
		return -1;
	memcpy(out, md, sizeof *out);
	if (*out == 0)
		*out = 1;	/* 0 means nobody */
	return 0;
}

/* 32 bits: enough to tell two keys apart by eye, too few to guess a key from. */
static int
fingerprint(char out[9], const char *kind, const void *p, size_t len)
{
	struct auth_bytes v[] = { { kind, strlen(kind) }, { p, len } };
	uint64_t h;

	if (auth_hash_parts(&h, v, 2) == -1)
		return -1;
	(void)snprintf(out, 9, "%08x", (unsigned int)(h & 0xffffffff));
	return 0;
}

static void
wipe_free(void *p, size_t len)
{
	if (p != NULL)
		OPENSSL_cleanse(p, len);
	free(p);
}

static int
read_file(struct file *f, const char *from, const char *path, size_t max,
    char *err, size_t size)
{
	struct stat sb;
	ssize_t n;
	int fd;

	/* A FIFO would keep us until somebody writes to it, now or at a reload. */
	if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)) == -1)
		return auth_say(err, size, "%s: %s: %s", from, path,
		    strerror(errno));
	if (fstat(fd, &sb) == -1) {
		(void)auth_say(err, size, "%s: %s: %s", from, path,
		    strerror(errno));
		goto fail_fd;
	}
	if (!S_ISREG(sb.st_mode)) {
		(void)auth_say(err, size, "%s: %s: %s", from, path,
		    S_ISDIR(sb.st_mode) ? strerror(EISDIR) :
		    "not a regular file: it is read again at each reload");
		goto fail_fd;
	}
	f->mode = (unsigned int)sb.st_mode & 0777;
	f->len = 0;
	/* One more than allowed, to see that there is more; and the NUL. */
	if ((f->p = malloc(max + 2)) == NULL) {
		(void)auth_say(err, size, "%s: out of memory", from);
		goto fail_fd;
	}
	while (f->len <= max) {
		n = read(fd, f->p + f->len, max + 1 - f->len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			(void)auth_say(err, size, "%s: %s: %s", from, path,
			    strerror(errno));
			goto fail_p;
		}
		if (n == 0)
			break;
		f->len += (size_t)n;
	}
	if (f->len > max) {
		(void)auth_say(err, size, "%s: %s: larger than %zu bytes", from,
		    path, max);
		goto fail_p;
	}
	f->p[f->len] = '\0';
	close(fd);
	return 0;

fail_p:
	wipe_free(f->p, f->len);
fail_fd:
	close(fd);
	return -1;
}

static int
check_mode(const struct file *f, unsigned int forbidden, const char *from,
    const char *path, char *err, size_t size)
{
	/* NOLINTNEXTLINE(clang-analyzer-core*): auth_say() is always -1 */
	if ((f->mode & forbidden) == 0)
		return 0;
	return auth_say(err, size, "%s: %s is open to every user of this machine "
	    "(mode %04o): chmod o-rwx %s", from, path, f->mode, path);
}

/* OpenSSL would ask the terminal. */
static int
no_password(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)arg;
	return -1;
}

static bool
is_der_public_key(const unsigned char *p, size_t len)
{
	const unsigned char *at = p;
	EVP_PKEY *pk;

	if (len < 2 || p[0] != 0x30 || len > LONG_MAX)
		return false;
	pk = d2i_PUBKEY(NULL, &at, (long)len);
	if (pk == NULL) {
		at = p;
		pk = d2i_PublicKey(EVP_PKEY_RSA, NULL, &at, (long)len);
	}
	ERR_clear_error();
	EVP_PKEY_free(pk);
	return pk != NULL;
}

/* The inside of a PEM file, without its first and last line? */
static bool
is_bare_base64_key(const unsigned char *p, size_t len)
{
	unsigned char *text, *der;
	size_t i, n = 0;
	bool is_key = false;
	int got;

	text = malloc(len + 4);
	der = malloc(len + 4);
	if (text == NULL || der == NULL)
		goto done;
	for (i = 0; i < len; i++)
		if (strchr(" \t\r\n", p[i]) == NULL || p[i] == '\0')
			text[n++] = p[i];
	while (n % 4 != 0)
		text[n++] = '=';
	if (n > 0 && (got = EVP_DecodeBlock(der, text, (int)n)) > 0)
		is_key = is_der_public_key(der, (size_t)got);
done:
	wipe_free(text, len + 4);
	wipe_free(der, len + 4);
	ERR_clear_error();
	return is_key;
}

/* What an env file or Windows has put there counts, and is hard to see. */
static void
warn_of_ends(const char *from, const char *p, size_t len)
{
	if (isspace((unsigned char)p[0]) || isspace((unsigned char)p[len - 1]))
		log_warnx("auth: %s: the secret begins or ends with white space, which "
		    "counts: was that meant?", from);
	else if ((p[0] == '"' || p[0] == '\'') && p[len - 1] == p[0])
		log_warnx("auth: %s: the secret stands in quotation marks, which count: "
		    "was that meant?", from);
}

static int
key_from_secret(struct auth_key *k, const char *from, const char *p, size_t len,
    char *err, size_t size)
{
	const unsigned char *u = (const unsigned char *)p;
	size_t i, at = 0;

	while (at < len && strchr(" \t\r\n", p[at]) != NULL && p[at] != '\0')
		at++;
	if (is_der_public_key(u, len) || is_bare_base64_key(u, len) ||
	    (len > 4 && memcmp(p, "ssh-", 4) == 0) ||
	    (len > 6 && memcmp(p, "ecdsa-", 6) == 0))
		return auth_say(err, size, "%s: this is a public key, but not in "
		    "PEM form: it must begin with -----BEGIN PUBLIC KEY-----",
		    from);
	if (at < len && p[at] == '{' && memmem(p, len, "\"kty\"", 5) != NULL)
		return auth_say(err, size, "%s: this is a JWK: a set of them goes "
		    "into jwks; this is for an HMAC secret or a public key in PEM "
		    "form", from);
	if (len < algs[AUTH_HS256].secret_min)
		return auth_say(err, size, "%s: the secret has %zu bytes, but %zu "
		    "or more are needed: openssl rand -hex 32 prints a good one",
		    from, len, algs[AUTH_HS256].secret_min);
	/* The long enough mistakes: a file of blanks, or of zeros. */
	for (i = 1; i < len && p[i] == p[0]; i++)
		;
	if (at == len || i == len)
		return auth_say(err, size, "%s: the secret is %s: openssl rand "
		    "-hex 32 prints a good one", from, at == len ?
		    "nothing but white space" : "one character over and over");
	if ((k->p = malloc(len + 1)) == NULL ||
	    fingerprint(k->print, "token key", p, len) == -1)
		return auth_say(err, size, "%s: out of memory", from);
	memcpy(k->p, p, len);
	k->p[len] = '\0';
	k->len = len;
	k->is_secret = true;
	warn_of_ends(from, p, len);
	for (i = 0; i < AUTH_ALGS; i++)
		if (algs[i].secret_min != 0 && len >= algs[i].secret_min)
			k->algs |= 1u << i;
	(void)snprintf(k->what, sizeof k->what, "an HMAC secret of %zu bytes",
	    len);
	return 0;
}

/* Which algorithms does this public key stand for?  0 and `k`, or -1. */
static int
pin_algorithm(struct auth_key *k, EVP_PKEY *pk, const char *from, char *err,
    size_t size)
{
	EVP_PKEY_CTX *ctx;
	char group[64];
	const char *type;
	size_t i, len;
	int bits, ok;

	bits = EVP_PKEY_get_bits(pk);
	switch (EVP_PKEY_get_base_id(pk)) {
	case EVP_PKEY_RSA:
		if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
			return auth_say(err, size, "%s: the RSA key has %d bits, "
			    "but %d to %d are needed", from, bits, RSA_BITS_MIN,
			    RSA_BITS_MAX);
		k->algs = ALL_RS;
		(void)snprintf(k->what, sizeof k->what,
		    "an RSA public key of %d bits", bits);
		break;
	case EVP_PKEY_EC:
		if (EVP_PKEY_get_group_name(pk, group, sizeof group, &len) != 1)
			(void)snprintf(group, sizeof group, "without a name");
		for (i = 0; i < sizeof curves / sizeof curves[0]; i++)
			if (strcmp(group, curves[i].group) == 0) {
				k->algs = 1u << curves[i].alg;
				(void)snprintf(k->what, sizeof k->what, "%s",
				    curves[i].what);
			}
		if (k->algs == 0)
			return auth_say(err, size, "%s: the EC key is on curve %s, "
			    "but P-256, P-384 or P-521 is needed", from, group);
		break;
	default:
		if ((type = EVP_PKEY_get0_type_name(pk)) == NULL)
			type = "unknown";
		return auth_say(err, size, "%s: a key of type %s can't be used: "
		    "RSA or EC (P-256, P-384, P-521) is needed", from, type);
	}
	/* A point beside the curve, an even modulus: no honest key has that. */
	if ((ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pk, NULL)) == NULL)
		return auth_say(err, size, "%s: out of memory", from);
	ok = EVP_PKEY_public_check(ctx);
	EVP_PKEY_CTX_free(ctx);
	if (ok != 1)
		return auth_say(err, size, "%s: the public key is not a sound key",
		    from);
	return 0;
}

int
auth_key_from_public(struct auth_key *k, EVP_PKEY *pk, const char *from, char *err,
    size_t size)
{
	BIO *out = NULL;
	char *pem;
	long n;

	if (pin_algorithm(k, pk, from, err, size) == -1)
		goto fail;
	/* Its print names it: fingerprints, and which tokens it vouched for. */
	if ((out = BIO_new(BIO_s_mem())) == NULL ||
	    PEM_write_bio_PUBKEY(out, pk) != 1 ||
	    (n = BIO_get_mem_data(out, &pem)) <= 0 ||
	    (k->p = malloc((size_t)n + 1)) == NULL ||
	    fingerprint(k->print, "token key", pem, (size_t)n) == -1) {
		(void)auth_say(err, size, "%s: out of memory", from);
		goto fail;
	}
	memcpy(k->p, pem, (size_t)n);
	k->p[n] = '\0';
	k->len = (size_t)n;
	k->parsed = pk;
	BIO_free(out);
	return 0;

fail:
	ERR_clear_error();
	EVP_PKEY_free(pk);
	BIO_free(out);
	return -1;
}

static int
key_from_pem(struct auth_key *k, const char *from, const char *p, size_t len,
    char *err, size_t size)
{
	static const char begin[] = "-----BEGIN ";
	static const char spki[] = "-----BEGIN PUBLIC KEY-----";
	EVP_PKEY *pk;
	BIO *in;

	if (memmem(p, len, "PRIVATE KEY", 11) != NULL)
		return auth_say(err, size, "%s: this is a private key: keep it "
		    "where tokens are made, and give the server the public one "
		    "(openssl pkey -in FILE -pubout)", from);
	if (len < sizeof spki - 1 || memcmp(p, spki, sizeof spki - 1) != 0) {
		if (memmem(p, len, "CERTIFICATE", 11) != NULL)
			return auth_say(err, size, "%s: this is a certificate: "
			    "give its key (openssl x509 -in FILE -noout -pubkey)",
			    from);
		if (memmem(p, len, "RSA PUBLIC KEY", 14) != NULL)
			return auth_say(err, size, "%s: this PEM form is not "
			    "read: convert it (openssl rsa -RSAPublicKey_in -in "
			    "FILE -pubout)", from);
		return auth_say(err, size, "%s: a PEM key must begin with %s",
		    from, spki);
	}
	if (memmem(p + 1, len - 1, begin, sizeof begin - 1) != NULL)
		return auth_say(err, size, "%s: there is more than one key: give "
		    "one", from);
	if (memmem(p, len, "\\n", 2) != NULL)
		return auth_say(err, size, "%s: the line breaks of the PEM key "
		    "are written as \\n: they must be real ones, or use "
		    "auth.key_file", from);

	if ((in = BIO_new_mem_buf(p, (int)len)) == NULL)
		return auth_say(err, size, "%s: out of memory", from);
	pk = PEM_read_bio_PUBKEY(in, NULL, no_password, NULL);
	BIO_free(in);
	ERR_clear_error();
	if (pk == NULL)
		return auth_say(err, size, "%s: the PEM key can't be read: is it "
		    "whole?", from);
	return auth_key_from_public(k, pk, from, err, size);
}

static int
key_from_bytes(struct auth_key *k, const char *from, const char *p, size_t len,
    char *err, size_t size)
{
	const char *begin;
	int ret;

	if (len == 0)
		return auth_say(err, size, "%s: the key is empty", from);
	begin = memmem(p, len, "-----BEGIN", 10);
	if (begin != NULL && begin != p)
		return auth_say(err, size, "%s: something stands before "
		    "-----BEGIN: a PEM key must begin with it", from);
	if (begin != NULL)
		ret = key_from_pem(k, from, p, len, err, size);
	else
		ret = key_from_secret(k, from, p, len, err, size);
	if (ret == -1)
		return -1;
	log_info("auth: %s: %s, fingerprint %s", from, k->what, k->print);
	return 0;
}

static int
load_key_file(struct auth_key *k, const char *from, const char *path, char *err,
    size_t size)
{
	struct file f;
	size_t len;
	int ret;

	if (read_file(&f, from, path, KEY_FILE_MAX, err, size) == -1)
		return -1;
	len = f.len;
	if (len > 0 && f.p[len - 1] == '\n')
		len--;
	if (len > 0 && len < f.len && f.p[len - 1] == '\r')
		len--;
	ret = key_from_bytes(k, from, f.p, len, err, size);
	/* A public key may be read by everybody, but written by no stranger. */
	if (ret == 0)
		ret = check_mode(&f, k->is_secret ? 007 : 002, from, path, err,
		    size);
	wipe_free(f.p, f.len);
	return ret;
}

static struct auth_keys *
load_jwks_file(const char *from, const char *path, char *err, size_t size)
{
	struct auth_keys *keys = NULL;
	struct file f;
	size_t i;

	if (read_file(&f, from, path, JWKS_FILE_MAX, err, size) == -1)
		return NULL;
	if (check_mode(&f, 002, from, path, err, size) == 0)
		keys = auth_jwks_read(from, f.p, f.len, err, size);
	wipe_free(f.p, f.len);
	for (i = 0; keys != NULL && i < keys->n; i++)
		log_info("auth: %s: key \"%s\": %s, fingerprint %s", from,
		    keys->v[i].kid != NULL ? keys->v[i].kid : "",
		    keys->v[i].what, keys->v[i].print);
	return keys;
}

struct auth_keys *
auth_load_keys(struct auth_issuer *is, const struct auth_issuer_conf *c, char *err,
    size_t size)
{
	struct auth_keys *keys;
	int ret;

	if (is->is_jwks)
		return load_jwks_file(is->from, c->jwks, err, size);
	if ((keys = auth_keys_new()) == NULL ||
	    (keys->v = calloc(1, sizeof *keys->v)) == NULL) {
		(void)auth_say(err, size, "%s: out of memory", is->from);
		auth_keys_unref(keys);
		return NULL;
	}
	keys->n = 1;
	if (c->key != NULL && c->key[0] != '\0')
		ret = key_from_bytes(&keys->v[0], is->from, c->key,
		    strlen(c->key), err, size);
	else
		ret = load_key_file(&keys->v[0], is->from, c->key_file, err,
		    size);
	if (ret == 0)
		return keys;
	auth_keys_unref(keys);
	return NULL;
}

void
auth_key_fini(struct auth_key *k)
{
	wipe_free(k->p, k->len);
	k->p = NULL;
	EVP_PKEY_free(k->parsed);
	k->parsed = NULL;
	free(k->kid);
	k->kid = NULL;
}

/* What can travel behind "Bearer ", less ':' which ends it in the configuration. */
static bool
is_secret_text(const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (p[i] <= ' ' || p[i] > '~' || strchr("\"\\,;", p[i]) != NULL)
			return false;
	return true;
}

static int
by_bytes(const void *pa, const void *pb)
{
	const struct auth_pattern *a = pa, *b = pb;

	return strcmp(a->p, b->p);
}

/* The id covers name, secret and patterns in whatever order they were written. */
static int
api_key_ids(struct auth_api_key *k)
{
	struct auth_patterns *l = &k->grants->publish;
	struct auth_bytes who[] = {
		{ "api key name", 12 }, { k->name, strlen(k->name) },
	};
	struct auth_bytes *v;
	size_t i, n = 0;
	int ret;

	qsort(l->v, l->n, sizeof l->v[0], by_bytes);
	if ((v = calloc(3 + l->n, sizeof *v)) == NULL)
		return -1;
	v[n++] = (struct auth_bytes){ "api key", 7 };
	v[n++] = (struct auth_bytes){ k->name, strlen(k->name) };
	v[n++] = (struct auth_bytes){ k->secret, k->secret_len };
	for (i = 0; i < l->n; i++)
		if (i == 0 || strcmp(l->v[i].p, l->v[i - 1].p) != 0)
			v[n++] = (struct auth_bytes){ l->v[i].p, l->v[i].len };
	ret = auth_hash_parts(&k->grants->key_id, v, n);
	free(v);
	if (ret == -1)
		return -1;
	return auth_hash_parts(&k->grants->principal, who, 2);
}

static int
api_key_patterns(struct auth_api_key *k, const char *where, const char *p,
    char *err, size_t size)
{
	const char *why;
	size_t len;

	for (;;) {
		p += strspn(p, " \t");
		if ((len = strcspn(p, " \t")) == 0)
			break;
		if (topic_classify(p, len, &why) == TOPIC_INVALID)
			return auth_say(err, size, "%s: a pattern of key %s %s",
			    where, k->name, why);
		if (auth_patterns_add(&k->grants->publish, p, len) == -1 ||
		    auth_patterns_add(&k->grants->subscribe, p, len) == -1)
			return auth_say(err, size, "%s: out of memory", where);
		p += len;
	}
	if (k->grants->publish.n == 0)
		return auth_say(err, size, "%s: key %s has a colon behind its "
		    "secret, but no pattern there: drop the colon to allow all "
		    "topics", where, k->name);
	return 0;
}

static void
api_key_fini(struct auth_api_key *k)
{
	free(k->name);
	wipe_free(k->secret, k->secret_len);
	auth_grants_unref(k->grants);
}

/*
 * NAME:SECRET[:PATTERN ...].  Patterns may hold colons, the others may not.  Until
 * the secret is known to be where it belongs, messages give only the place: in
 * SECRET:NAME the "name" must not reach a log.
 */
static int
api_key_parse(struct auth_api_key *k, const char *where, const char *line,
    char *err, size_t size)
{
	const char *secret, *patterns;
	size_t name_len, secret_len;

	name_len = strcspn(line, ":");
	if (line[name_len] == '\0')
		return auth_say(err, size, "%s: NAME:SECRET is expected, but "
		    "there is no colon", where);
	secret = line + name_len + 1;
	secret_len = strcspn(secret, ":");
	patterns = secret[secret_len] == ':' ? secret + secret_len + 1 : NULL;
	if (secret_len < 4 || memcmp(secret, AUTH_SECRET_PREFIX, 4) != 0)
		return auth_say(err, size, "%s: the secret does not begin with "
		    AUTH_SECRET_PREFIX ": `fanfare key` prints a good one", where);
	if (secret_len < SECRET_MIN)
		return auth_say(err, size, "%s: the secret has %zu characters, but "
		    "%d or more are needed: `fanfare key` prints a good one",
		    where, secret_len, SECRET_MIN);
	if (!is_secret_text(secret, secret_len))
		return auth_say(err, size, "%s: the secret holds a space, a quote "
		    "or another character that can't be sent: `fanfare key` "
		    "prints a good one", where);
	if (strspn(secret + 4, (char[]){ secret[4], '\0' }) >= secret_len - 4)
		return auth_say(err, size, "%s: the secret is one character over "
		    "and over: `fanfare key` prints a good one", where);
	if (name_len == 0 || name_len > 64 || !text_is_token(line, name_len))
		return auth_say(err, size, "%s: the name before the colon must be "
		    "1 to 64 of the characters A-Z a-z 0-9 . _ -", where);

	k->name = strndup(line, name_len);
	k->secret = strndup(secret, secret_len);
	k->secret_len = secret_len;
	k->grants = auth_grants_new();
	if (k->name == NULL || k->secret == NULL || k->grants == NULL)
		return auth_say(err, size, "%s: out of memory", where);
	k->grants->is_api_key = true;
	if (api_key_patterns(k, where, patterns != NULL ? patterns : "**", err,
	    size) == -1)
		return -1;
	if (api_key_ids(k) == -1 ||
	    fingerprint(k->print, "api key", k->secret, k->secret_len) == -1)
		return auth_say(err, size, "%s: out of memory", where);
	return 0;
}

static int
api_key_add(struct auth *a, const char *where, const char *line, char *err,
    size_t size)
{
	struct auth_api_key k = { .name = NULL }, *v;
	const struct auth_api_key *same;

	if (api_key_parse(&k, where, line, err, size) == -1)
		goto fail;
	same = auth_find_api_key(a, k.secret, k.secret_len);
	if (same != NULL) {
		(void)auth_say(err, size, "%s: key %s has the same secret as key "
		    "%s: each needs its own", where, k.name, same->name);
		goto fail;
	}
	v = reallocarray(a->api_keys, a->n_api_keys + 1, sizeof *v);
	if (v == NULL) {
		(void)auth_say(err, size, "%s: out of memory", where);
		goto fail;
	}
	a->api_keys = v;
	a->api_keys[a->n_api_keys++] = k;
	log_info("auth: API key %s, fingerprint %s, %zu pattern%s", k.name,
	    /* NOLINTNEXTLINE(clang-analyzer-core*): auth_say() is always -1 */
	    k.print, k.grants->publish.n, k.grants->publish.n == 1 ? "" : "s");
	return 0;
fail:
	api_key_fini(&k);
	return -1;
}

static int
api_keys_from_file(struct auth *a, const char *path, char *err, size_t size)
{
	static const char from[] = "auth.api_keys_file";
	char where[64], *line, *next, *end;
	unsigned int number = 0;
	struct file f;
	int ret = 0;

	if (read_file(&f, from, path, KEYS_FILE_MAX, err, size) == -1)
		return -1;
	if (check_mode(&f, 007, from, path, err, size) == -1)
		ret = -1;
	else if (memchr(f.p, '\0', f.len) != NULL)
		ret = auth_say(err, size, "%s: %s is not a text file", from,
		    path);
	for (line = f.p; ret == 0 && line != NULL; line = next) {
		number++;
		if ((next = strchr(line, '\n')) != NULL)
			*next++ = '\0';
		line += strspn(line, " \t");
		for (end = line + strlen(line); end > line &&
		    strchr(" \t\r", end[-1]) != NULL; end--)
			end[-1] = '\0';
		if (line[0] == '\0' || line[0] == '#')
			continue;
		(void)snprintf(where, sizeof where, "%s line %u", from, number);
		ret = api_key_add(a, where, line, err, size);
	}
	wipe_free(f.p, f.len);
	return ret;
}

int
auth_load_api_keys(struct auth *a, const struct auth_conf *c, char *err,
    size_t size)
{
	char where[64];
	size_t i;

	/* OpenSSL 3 begins with its first use.  Where that fails, for memory, the next
	 * call of almost any of its functions crashes. */
	if (OSSL_LIB_CTX_get0_global_default() == NULL) {
		(void)auth_say(err, size, "auth: OpenSSL does not start");
		return -1;
	}
	for (i = 0; c->api_keys != NULL && c->api_keys[i] != NULL; i++) {
		(void)snprintf(where, sizeof where, "auth.api_keys entry %zu",
		    i + 1);
		if (api_key_add(a, where, c->api_keys[i], err, size) == -1)
			return -1;
	}
	if (c->api_keys_file != NULL && c->api_keys_file[0] != '\0')
		return api_keys_from_file(a, c->api_keys_file, err, size);
	return 0;
}

void
auth_api_keys_fini(struct auth *a)
{
	size_t i;

	for (i = 0; i < a->n_api_keys; i++)
		api_key_fini(&a->api_keys[i]);
	free(a->api_keys);
}
