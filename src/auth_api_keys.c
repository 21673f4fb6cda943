/*
 * auth_api_keys.c - API keys, from lines of the configuration and of a file.
 */
#include "config.h"

#include "auth_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "log.h"
#include "text.h"
#include "topic.h"

#define KEYS_FILE_MAX	(1024 * 1024)
#define SECRET_MIN	20		/* characters of an API key's secret */

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
	auth_wipe_free(k->secret, k->secret_len);
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
	    auth_fingerprint(k->print, "api key", k->secret, k->secret_len) == -1)
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
	struct auth_file f;
	int ret = 0;

	if (auth_read_file(&f, from, path, KEYS_FILE_MAX, err, size) == -1)
		return -1;
	if (auth_check_mode(&f, 007, from, path, err, size) == -1)
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
	auth_wipe_free(f.p, f.len);
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
