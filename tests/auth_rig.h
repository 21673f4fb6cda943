/*
 * auth_rig.h - a struct auth under test: made, asked, and what it says.
 *
 * These fail the running test by themselves where no test wants what they saw.
 */
#ifndef AUTH_RIG_H
#define AUTH_RIG_H

#include <sys/types.h>

#include "auth.h"
#include "suite.h"
#include "token_maker.h"
#include "token_table.h"

#define NOW_S	1750000000
#define NOW	(NOW_S * INT64_C(1000))
#define LEEWAY	INT64_C(5000)

#define API_KEY	"ffk_5Nd8sKw0tPq2vRz7yBxLcMf3"
#define API_KEY2 "ffk_QhT6uJg1eWm4aZoXi9rVkDpY"

#define H(alg)	"{\"alg\":\"" alg "\",\"typ\":\"JWT\"}"
#define EXP	"\"exp\":1750003600"
#define GOOD	"{\"sub\":\"u\"," EXP "}"

/* A test case whose tests run with a directory and quiet logs. */
TCase	*rig_case(Suite *s, const char *name);

/* An ordinary HS256 token with these claims, signed with SECRET64.  Returns new. */
char	*hs256(const char *claims);

struct auth	*auth_of(const struct auth_conf *c);
struct auth	*auth_with_key(const char *name);	/* of token_maker.h */
/* As a table describes it. */
struct auth	*auth_of_server(const struct table_server *s);
/* The message that this configuration is refused with. */
const char	*refusal(const struct auth_conf *c);

#define ck_says(text, part) do {					\
	const char *said_ = (text);					\
	ck_assert_msg(strstr(said_, (part)) != NULL, "\"%s\" does not "	\
	    "say \"%s\"", said_, (part));				\
} while (0)

int	verify(struct auth *a, const char *text, enum auth_use use, int64_t now,
	    struct auth_identity *id, enum problem *problem, char why[512]);
/* 0 when good, else the problem. */
int	outcome(struct auth *a, const char *text, enum auth_use use, int64_t now);
/* At NOW; must be good. */
struct auth_identity	identity(struct auth *a, const char *text,
	    enum auth_use use);
struct auth_identity	identity_of_claims(struct auth *a, const char *claims,
	    enum auth_use use);
bool	publishes(const struct auth *a, const struct auth_identity *id,
	    const char *t);
bool	subscribes(const struct auth *a, const struct auth_identity *id,
	    const char *t);
/* The one id that this configuration holds. */
uint64_t	only_id(const struct auth_conf *c);

/* In the directory; the path lasts until the next call. */
const char	*file_with(const void *p, size_t len, mode_t mode);
const char	*text_file(const char *text, mode_t mode);
const char	*rig_dir(void);

/* The same numbers in every run. */
unsigned int	dice(unsigned int *state, unsigned int n);

#endif
