/*
 * auth_pasted.c - what people hand over where a token should be.
 *
 * The server forgives nothing, but names the mistake: the word Bearer twice, a JavaScript
 * value that was turned into text, another service's key.  `fanfare explain` takes the
 * wrapping off, says so, and looks at what is inside.
 *
 * Only words that stand here are repeated, nothing of what was handed over.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "auth_internal.h"

static bool
begins(const char *p, size_t len, const char *word)
{
	size_t n = strlen(word);

	return len >= n && strncasecmp(p, word, n) == 0;
}

const char *
auth_pasted_fault(const char *p, size_t len)
{
	static const struct {
		const char	*word;		/* the text begins with it */
		bool		 whole;		/* or is it */
		const char	*fault;
	} rows[] = {
		{ "Bearer ", false, "the token holds white space, behind the word "
		    "Bearer, which stands twice or where the token alone belongs" },
		{ "Bearer%20", false, "the word Bearer stands where the token alone "
		    "belongs" },
		{ "Authorization:", false, "a whole header stands where the token "
		    "alone belongs" },
		{ "undefined", true, "the text \"undefined\" stands where the token "
		    "should be: the page asked before it had one" },
		{ "null", true, "the text \"null\" stands where the token should be: "
		    "the page asked before it had one" },
		{ "[object Promise]", true, "the text \"[object Promise]\" stands where "
		    "the token should be: an await is missing" },
		{ "[object Object]", true, "the text \"[object Object]\" stands where "
		    "the token should be: take the string out of it" },
		{ "$FANFARE_API_KEY", true, "the text \"$FANFARE_API_KEY\" stands where "
		    "the key should be: single quotes kept the shell from filling it "
		    "in" },
		{ "sb_publishable_", false, "this is a key of Supabase's, which says "
		    "nothing of a user: send session.access_token of "
		    "supabase.auth.getSession()" },
		{ "sb_secret_", false, "this is a secret key of Supabase's, which "
		    "belongs into no request to others: send session.access_token of "
		    "supabase.auth.getSession()" },
		{ "pk_", false, "this is a publishable key (pk_...), which says nothing "
		    "of a user: send the session's token, session.getToken()" },
		{ "sk_", false, "this is a secret key (sk_...) of another service, "
		    "which belongs into no request to others" },
		{ "-----BEGIN", false, "this is a key in PEM form, not a token signed "
		    "with one" },
	};
	size_t i;

	for (i = 0; i < sizeof rows / sizeof rows[0]; i++)
		if (begins(p, len, rows[i].word) &&
		    (!rows[i].whole || len == strlen(rows[i].word)))
			return rows[i].fault;
	return NULL;
}

static bool
is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

static void
trim(const char **p, size_t *len)
{
	while (*len > 0 && is_one_of(**p, " \t\r\n")) {
		(*p)++;
		(*len)--;
	}
	while (*len > 0 && is_one_of((*p)[*len - 1], " \t\r\n"))
		(*len)--;
}

static bool
unquote(const char **p, size_t *len)
{
	bool found = false;

	while (*len > 0 && is_one_of(**p, "\"'`")) {
		(*p)++;
		(*len)--;
		found = true;
	}
	while (*len > 0 && is_one_of((*p)[*len - 1], "\"'`,;")) {
		(*len)--;
		found = true;
	}
	return found;
}

/* The token of an address, or of a cookie named ..token. */
static bool
take_from_address(const char **p, size_t *len)
{
	static const char name[] = "token=";
	const char *at = memmem(*p, *len, name, sizeof name - 1), *end = *p + *len;

	if (at == NULL)
		return false;
	at += sizeof name - 1;
	*p = at;
	while (at < end && !is_one_of(*at, "&#; \t\r\n\"'"))
		at++;
	*len = (size_t)(at - *p);
	return true;
}

unsigned int
auth_unwrap(const char **p, size_t *len)
{
	unsigned int seen = 0;
	size_t i, words = 0;

	trim(p, len);
	if (unquote(p, len))
		seen |= AUTH_PASTED_QUOTES;
	trim(p, len);
	if (take_from_address(p, len))
		return seen | AUTH_PASTED_ADDRESS;
	for (i = 0; i + 14 <= *len && i < 64; i++)
		if (begins(*p + i, *len - i, "Authorization:")) {
			*p += i + 14;
			*len -= i + 14;
			trim(p, len);
			break;
		}
	for (; *len > 6 && begins(*p, *len, "Bearer"); words++) {
		*p += 6;
		*len -= 6;
		if (**p != ' ')
			seen |= AUTH_PASTED_JOINED;
		if (is_one_of(**p, ":=")) {
			(*p)++;
			(*len)--;
		}
		trim(p, len);
	}
	if (*len == 6 && begins(*p, *len, "Bearer"))
		*len = 0;
	if (words > 1)
		seen |= AUTH_PASTED_TWICE;
	if (unquote(p, len))
		seen |= AUTH_PASTED_QUOTES;
	trim(p, len);
	return seen;
}
