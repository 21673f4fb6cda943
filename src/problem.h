/*
 * problem.h - the errors that HTTP clients meet: one table of codes.
 *
 * Each has a stable name, a status and a title; the caller adds a detail that says
 * what to mend.  Pure functions.
 */
#ifndef PROBLEM_H
#define PROBLEM_H

#include "text.h"

#define PROBLEMS(X) \
	X(MALFORMED,		400, "malformed", "The request is malformed") \
	X(TOKEN_MISSING,	401, "token_missing", "A credential is needed") \
	X(TOKEN_EXPIRED,	401, "token_expired", "The token has expired") \
	X(TOKEN_INVALID,	401, "token_invalid", "The credential is not valid") \
	X(TOPIC_FORBIDDEN,	403, "topic_forbidden", "The credential does not cover the topic") \
	X(KEY_REQUIRED,		403, "key_required", "This needs an API key for all topics") \
	X(NOT_FOUND,		404, "not_found", "There is nothing here") \
	X(METHOD,		405, "method_not_allowed", "The method is not allowed here") \
	X(TIMEOUT,		408, "request_timeout", "The request took too long") \
	X(KEY_CONFLICT,		409, "idempotency_conflict", "The idempotency key was used for something else") \
	X(TOO_LARGE,		413, "too_large", "The request is too large") \
	X(URI_TOO_LONG,		414, "uri_too_long", "The address is too long") \
	X(MEDIA_TYPE,		415, "unsupported_media_type", "The content type is not supported") \
	X(EXPECTATION,		417, "expectation_failed", "What is expected is not done here") \
	X(RATE_LIMITED,		429, "rate_limited", "Too many requests") \
	X(TOO_MANY_STREAMS,	429, "too_many_streams", "Too many streams at a time") \
	X(HEAD_TOO_LARGE,	431, "head_too_large", "The headers are too large") \
	X(INTERNAL,		500, "internal", "Something went wrong here") \
	X(NOT_IMPLEMENTED,	501, "not_implemented", "That is not done here") \
	X(OVERLOAD,		503, "overload", "Too busy for now") \
	X(DRAIN,		503, "drain", "The server is restarting") \
	X(REVOCATIONS_FULL,	503, "revocations_full", "There is no room for more revocations") \
	X(STORE_FULL,		503, "store_full", "The disk is full") \
	X(STORE_BUSY,		503, "store_busy", "The log cannot take this now") \
	X(STORE_UNKNOWN,	503, "store_unknown", "The outcome is unknown") \
	X(VERSION,		505, "version_not_supported", "The version of HTTP is not spoken here")

enum problem {
#define X(name, status, code, title) PROBLEM_##name,
	PROBLEMS(X)
#undef X
};

unsigned int	 problem_status(enum problem p);
const char	*problem_code(enum problem p);
const char	*problem_title(enum problem p);
/* Append the application/problem+json body and a newline; `detail`, `ref` and
 * `topic` may each be NULL, and hold any bytes. */
void		 problem_render(struct buf *b, enum problem p,
		    const char *detail, const char *ref, const char *topic);

#endif
