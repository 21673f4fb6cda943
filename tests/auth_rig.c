/*
 * auth_rig.c - a struct auth under test: see auth_rig.h.
 */
#include "config.h"

#include "auth_rig.h"

#include <sys/stat.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth_internal.h"
#include "log.h"

static char dir[PATH_MAX];

static void
setup(void)
{
	const char *tmp = getenv("TMPDIR");

	(void)snprintf(dir, sizeof dir, "%s/check_auth.XXXXXX",
	    tmp != NULL ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	log_init(LOG_ERROR, false);
	/* Made here once, not in each test's process. */
	(void)maker_pair("RSA");
	(void)maker_pair("RSA-OTHER");
}

static void
teardown(void)
{
	maker_fini();
	ck_assert_int_eq(rmdir(dir), 0);
}

TCase *
rig_case(Suite *s, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, 60);
	tcase_add_unchecked_fixture(tc, setup, teardown);
	suite_add_tcase(s, tc);
	return tc;
}

const char *
rig_dir(void)
{
	return dir;
}

char *
hs256(const char *claims)
{
	return maker_token(H("HS256"), claims, "HS256/HS64");
}

struct auth *
auth_of(const struct auth_conf *c)
{
	char err[512] = "";
	struct auth *a = auth_new(c, err, sizeof err);

	ck_assert_msg(a != NULL, "auth_new: %s", err);
	return a;
}

struct auth *
auth_with_key(const char *name)
{
	char text[4096];
	struct auth_conf c = { .house.key = text, .house.leeway_ms = LEEWAY };
	size_t len;
	const char *p = maker_key(name, &len);

	ck_assert_uint_lt(len, sizeof text);
	memcpy(text, p, len);
	text[len] = '\0';
	return auth_of(&c);
}

/* The message that this configuration is refused with. */
struct auth *
auth_of_server(const struct table_server *s)
{
	const char *api_keys[] = { s->api_keys, NULL };
	struct auth_conf c = { .api_keys = api_keys,
	    .house = { .issuer = s->issuer, .audience = s->audience,
	    .leeway_ms = LEEWAY } };
	struct auth *a;
	const char *p;
	size_t len;
	char *set;

	if (s->key != NULL) {
		p = maker_key(s->key, &len);
		c.house.key_file = file_with(p, len, 0600);
	} else if (s->jwks != NULL) {
		set = maker_jwks(s->jwks);
		c.house.jwks = text_file(set, 0600);
		free(set);
	}
	a = auth_of(&c);
	if (s->key != NULL || s->jwks != NULL)
		ck_assert_int_eq(unlink(s->key != NULL ? c.house.key_file :
		    c.house.jwks), 0);
	return a;
}

const char *
refusal(const struct auth_conf *c)
{
	static char err[1024];
	struct auth *a;

	(void)snprintf(err, sizeof err, "(nothing)");
	a = auth_new(c, err, sizeof err);
	if (a != NULL) {
		auth_free(a);
		return "(accepted)";
	}
	return err;
}

int
verify(struct auth *a, const char *text, enum auth_use use, int64_t now,
    struct auth_identity *id, enum problem *problem, char why[512])
{
	struct auth_credential cred = { text, text == NULL ? 0 : strlen(text) };

	*problem = PROBLEM_INTERNAL;
	(void)snprintf(why, 512, "(nothing)");
	return auth_verify(a, cred, use, now, id, problem, why, 512);
}

/* 0 when good, else the problem. */
int
outcome(struct auth *a, const char *text, enum auth_use use, int64_t now)
{
	struct auth_identity id;
	enum problem problem;
	char why[512];

	if (verify(a, text, use, now, &id, &problem, why) == -1)
		return (int)problem;
	auth_identity_fini(&id);
	return 0;
}

struct auth_identity
identity(struct auth *a, const char *text, enum auth_use use)
{
	struct auth_identity id;
	enum problem problem;
	char why[512];

	ck_assert_msg(verify(a, text, use, NOW, &id, &problem, why) == 0,
	    "refused: %s", why);
	return id;
}

struct auth_identity
identity_of_claims(struct auth *a, const char *claims, enum auth_use use)
{
	char *t = hs256(claims);
	struct auth_identity id = identity(a, t, use);

	free(t);
	return id;
}

bool
publishes(const struct auth *a, const struct auth_identity *id, const char *t)
{
	return auth_may_publish(a, id, t, strlen(t));
}

bool
subscribes(const struct auth *a, const struct auth_identity *id, const char *t)
{
	return auth_may_subscribe(a, id, t, strlen(t));
}

/* The one id that this configuration holds. */
uint64_t
only_id(const struct auth_conf *c)
{
	struct auth *a = auth_of(c);
	uint64_t id;

	ck_assert_uint_eq(auth_key_ids(a, &id, 1), 1);
	auth_free(a);
	return id;
}

const char *
file_with(const void *p, size_t len, mode_t mode)
{
	static char path[PATH_MAX];
	FILE *f;

	ck_assert_int_lt(snprintf(path, sizeof path, "%s/key", dir),
	    (int)sizeof path);
	ck_assert_ptr_nonnull(f = fopen(path, "w"));
	ck_assert_uint_eq(fwrite(p, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(chmod(path, mode), 0);
	return path;
}

const char *
text_file(const char *text, mode_t mode)
{
	return file_with(text, strlen(text), mode);
}

/* The same numbers in every run. */
unsigned int
dice(unsigned int *state, unsigned int n)
{
	*state = *state * 1103515245u + 12345u;
	return (*state >> 16) % n;
}

