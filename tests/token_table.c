/*
 * token_table.c - tables of credentials: see token_table.h.
 */
#include "config.h"

#include "token_table.h"

#include <ctype.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>

#include "suite.h"
#include "token_maker.h"

#define GOOD_CLAIMS "{\"sub\":\"u\",\"exp\":${+3600},"			\
	"\"fanfare\":{\"publish\":[\"a\"],\"subscribe\":[\"a\"]}}"

/* --- files of lines of fields --- */

char *
table_text(const char *file)
{
	const char *src = getenv("srcdir");
	char path[1024], *text;
	long size;
	FILE *f;

	(void)snprintf(path, sizeof path, "%s/tests/data/%s", src != NULL ? src :
	    "..", file);
	if ((f = fopen(path, "rb")) == NULL)
		err(EXIT_FAILURE, "%s", path);
	if (fseek(f, 0, SEEK_END) == -1 || (size = ftell(f)) == -1 ||
	    fseek(f, 0, SEEK_SET) == -1)
		err(EXIT_FAILURE, "%s", path);
	if ((text = malloc((size_t)size + 1)) == NULL ||
	    fread(text, 1, (size_t)size, f) != (size_t)size)
		err(EXIT_FAILURE, "%s", path);
	text[size] = '\0';
	(void)fclose(f);
	return text;
}

char *
table_line(char **rest, int *number)
{
	char *line;

	while ((line = strsep(rest, "\n")) != NULL) {
		(*number)++;
		if (line[0] != '\0' && line[0] != '#')
			return line;
	}
	return NULL;
}

char *
table_field(char **rest)
{
	char *field = *rest, *end;

	if (field == NULL)
		return NULL;
	if ((end = strstr(field, " | ")) != NULL) {
		*end = '\0';
		*rest = end + 3;
	} else
		*rest = NULL;
	field += strspn(field, " ");
	for (end = field + strlen(field); end > field && end[-1] == ' '; end--)
		end[-1] = '\0';
	return field;
}

static void
read_server(struct table_server *s, char *line)
{
	struct { const char *name; char **value; } options[] = {
		{ "key=", &s->key }, { "jwks=", &s->jwks },
		{ "api_keys=", &s->api_keys }, { "issuer=", &s->issuer },
		{ "audience=", &s->audience },
	};
	char *field;
	size_t i;

	s->name = table_field(&line);
	while ((field = table_field(&line)) != NULL) {
		for (i = 0; i < 5; i++)
			if (strncmp(field, options[i].name,
			    strlen(options[i].name)) == 0)
				break;
		if (i == 5)
			errx(EXIT_FAILURE, "server %s: what is %s?", s->name, field);
		*options[i].value = field + strlen(options[i].name);
	}
}

static void
read_case(struct token_table *t, struct table_case *c, char *line, int number)
{
	char **fields[] = { &c->name, NULL, &c->signer, &c->header, &c->claims,
	    &c->done, &c->code };
	char *field, *server = NULL;

	c->line = number;
	for (size_t i = 0; i < 7; i++) {
		if ((field = table_field(&line)) == NULL)
			errx(EXIT_FAILURE, "line %d has too few fields", number);
		*(fields[i] != NULL ? fields[i] : &server) = field;
	}
	for (size_t i = 0; i < t->n_servers; i++)
		if (strcmp(t->servers[i].name, server) == 0)
			c->server = &t->servers[i];
	if (c->server == NULL || line != NULL)
		errx(EXIT_FAILURE, "line %d: no server %s, or too many fields",
		    number, server);
	c->is_exact = c->code[0] == '=';
	c->code += c->is_exact ? 1 : 0;
	c->says = c->code + strcspn(c->code, ":");
	if (*c->says == ':') {
		*c->says = '\0';
		c->says += 2;
	}
}

struct token_table *
table_read(const char *file)
{
	char *rest = table_text(file), *line;
	struct token_table *t = calloc(1, sizeof *t);
	int number = 0;

	if (t == NULL || (t->cases = calloc(500, sizeof *t->cases)) == NULL ||
	    (t->servers = calloc(30, sizeof *t->servers)) == NULL)
		err(EXIT_FAILURE, "calloc");
	while ((line = table_line(&rest, &number)) != NULL) {
		if (t->n_cases == 500 || t->n_servers == 30)
			errx(EXIT_FAILURE, "%s is too long", file);
		if (strncmp(line, "server ", 7) == 0)
			read_server(&t->servers[t->n_servers++], line + 7);
		else
			read_case(t, &t->cases[t->n_cases++], line, number);
	}
	return t;
}

/* --- texts --- */

static void
put(char **out, size_t *len, const char *p, size_t n)
{
	ck_assert_ptr_nonnull(*out = realloc(*out, *len + n + 1));
	memcpy(*out + *len, p, n);
	*len += n;
	(*out)[*len] = '\0';
}

char *
table_expand(const char *text, int64_t now_s, size_t *len)
{
	char *out = NULL, *inner, *piece, number[32], byte;
	const char *p = text, *star, *end;
	size_t piece_len;
	int n;

	*len = 0;
	put(&out, len, "", 0);
	while (*p != '\0') {
		if (p[0] == '\\' && p[1] == 'x' && isxdigit((unsigned char)p[2])) {
			(void)snprintf(number, sizeof number, "%.2s", p + 2);
			byte = (char)strtol(number, NULL, 16);
			put(&out, len, &byte, 1);
			p += 4;
		} else if (p[0] == '$' && p[1] == '{') {
			ck_assert_ptr_nonnull(end = strchr(p + 2, '}'));
			if (p[2] == '+' || p[2] == '-') {
				n = snprintf(number, sizeof number, "%lld",
				    (long long)(now_s + strtoll(p + 2, NULL, 10)));
				put(&out, len, number, (size_t)n);
			} else if (p[2] != '}') {
				ck_assert_ptr_nonnull(star = strchr(p, '*'));
				ck_assert_ptr_nonnull(inner = strndup(star + 1,
				    (size_t)(end - star - 1)));
				piece = table_expand(inner, now_s, &piece_len);
				for (n = atoi(p + 2); n > 0; n--)
					put(&out, len, piece, piece_len);
				free(inner);
				free(piece);
			}
			p = end + 1;
		} else
			put(&out, len, p++, 1);
	}
	return out;
}

/* A word of the header column is an alg. */
static char *
header_text(const char *text, int64_t now_s, size_t *len)
{
	char *out;

	if (text[strspn(text, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")] != '\0')
		return table_expand(text, now_s, len);
	ck_assert_int_ge(asprintf(&out, "{\"alg\":\"%s\",\"typ\":\"JWT\"}", text), 0);
	*len = strlen(out);
	return out;
}

/* --- what is done to a token that was signed --- */

struct token {
	char	*part[3];		/* base64url */
	char	*before, *behind;
};

static void
set(char **text, char *new)
{
	free(*text);
	*text = new;
}

/* Change the signature's bytes: `at` counts from the end when it is negative. */
static void
change_signature(struct token *t, const char *op, const char *arg)
{
	size_t len, n = (size_t)atoi(arg), half;
	unsigned char *sig = maker_decode(t->part[2], &len), *more;
	BIGNUM *order = NULL, *s = NULL;
	EC_GROUP *group;

	ck_assert_ptr_nonnull(sig);
	ck_assert_ptr_nonnull(more = calloc(1, len + 64));
	memcpy(more, sig, len);
	half = len / 2;
	group = EC_GROUP_new_by_curve_name(len == 64 ? NID_X9_62_prime256v1 :
	    len == 96 ? NID_secp384r1 : NID_secp521r1);
	order = BN_dup(EC_GROUP_get0_order(group));
	s = BN_bin2bn(sig + half, (int)half, NULL);
	if (strcmp(op, "flip") == 0)
		more[arg[0] == '-' ? len - (size_t)atoi(arg + 1) : n] ^= 1;
	else if (strcmp(op, "sig-zero") == 0)
		memset(more, 0, len);
	else if (strcmp(op, "sig-cut") == 0)
		len -= n;
	else if (strcmp(op, "sig-first-gone") == 0)
		memmove(more, more + 1, --len);
	else if (strcmp(op, "sig-add") == 0)
		len += n;
	else if (strcmp(op, "sig-lead") == 0) {
		memmove(more + n, more, len);
		memset(more, 0, n);
		len += n;
	} else if (strcmp(op, "sig-swap") == 0) {
		memcpy(more, sig + half, half);
		memcpy(more + half, sig, half);
	} else if (strcmp(op, "r") == 0 || strcmp(op, "s") == 0) {
		unsigned char *to = more + (op[0] == 's' ? half : 0);

		if (strcmp(arg, "n-s") == 0)
			ck_assert_int_eq(BN_sub(order, order, s), 1);
		if (strcmp(arg, "0") == 0 || strcmp(arg, "1") == 0) {
			memset(to, 0, half);
			to[half - 1] = (unsigned char)(arg[0] - '0');
		} else if (strcmp(arg, "max") == 0)
			memset(to, 0xff, half);
		else
			ck_assert_int_eq(BN_bn2binpad(order, to, (int)half),
			    (int)half);
	} else
		ck_abort_msg("what is %s?", op);
	set(&t->part[2], maker_base64url(more, len));
	EC_GROUP_free(group);
	BN_free(order);
	BN_free(s);
	free(more);
	free(sig);
}

/* Set what no byte needs in the last digit. */
static void
loosen(char *text)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789-_";
	char *c = text + strlen(text) - 1;

	ck_assert_msg(strlen(text) % 4 != 0, "no digit has bits to spare");
	*c = digits[(strchr(digits, *c) - digits) | 1];
}

/* Exchange upper and lower case of the first letter. */
static void
change_case(char *text)
{
	while (!isalpha((unsigned char)*text))
		text++;
	*text ^= 32;
}

static void
do_one(struct token *t, char *word, int64_t now_s)
{
	char *arg = strchr(word, ':'), *text;
	size_t i = 2, len;

	arg = arg != NULL ? (*arg = '\0', arg + 1) : word + strlen(word);
	if (strncmp(word, "header-", 7) == 0 || strncmp(word, "claims-", 7) == 0) {
		i = word[0] == 'h' ? 0 : 1;
		word += 7;
	}
	if (strcmp(word, "is") == 0)
		set(&t->part[i], table_expand(arg, now_s, &len));
	else if (strcmp(word, "gone") == 0)
		set(&t->part[i], NULL);
	else if (strcmp(word, "pad") == 0) {
		ck_assert_int_ge(asprintf(&text, "%s%.*s", t->part[i],
		    atoi(arg), "===="), 0);
		set(&t->part[i], text);
	} else if (strcmp(word, "cut") == 0)
		t->part[i][strlen(t->part[i]) - (size_t)atoi(arg)] = '\0';
	else if (strcmp(word, "loose") == 0)
		loosen(t->part[i]);
	else if (strcmp(word, "case") == 0)
		change_case(t->part[i]);
	else if (strcmp(word, "digit") == 0)
		t->part[i][4] = t->part[i][4] == 'A' ? 'B' : 'A';
	else if (strcmp(word, "put") == 0) {
		text = table_expand(arg, now_s, &len);
		t->part[i][2] = text[0];
		free(text);
	} else if (strcmp(word, "before") == 0)
		set(&t->before, strdup(arg));
	else if (strcmp(word, "behind") == 0)
		set(&t->behind, strdup(arg));
	else
		change_signature(t, word, arg);
}

/* RFC 7515, 7.2: the other serializations. */
static char *
in_json(const struct token *t, bool general)
{
	char *out;

	ck_assert_int_ge(asprintf(&out, general ? "{\"payload\":\"%s\",\"signatures\":"
	    "[{\"protected\":\"%s\",\"signature\":\"%s\"}]}" :
	    "{\"payload\":\"%s\",\"protected\":\"%s\",\"signature\":\"%s\"}",
	    t->part[1], t->part[0], t->part[2]), 0);
	return out;
}

static char *
put_together(struct token *t, int64_t now_s, size_t *len)
{
	char *out = NULL, *text;
	size_t n;

	*len = 0;
	text = table_expand(t->before, now_s, &n);
	put(&out, len, text, n);
	free(text);
	for (int i = 0; i < 3; i++) {
		if (t->part[i] == NULL)
			continue;
		if (i > 0)
			put(&out, len, ".", 1);
		put(&out, len, t->part[i], strlen(t->part[i]));
	}
	text = table_expand(t->behind, now_s, &n);
	put(&out, len, text, n);
	free(text);
	return out;
}

char *
table_make(const struct table_case *c, int64_t now_s, size_t *len)
{
	struct token t = { .before = strdup(""), .behind = strdup("") };
	char *header, *claims, *whole, *dot, *done, *rest, *word;
	size_t header_len, claims_len;

	if (strncmp(c->done, "text:", 5) == 0 || strcmp(c->done, "text:") == 0) {
		free(t.before);
		free(t.behind);
		return table_expand(c->done + 5, now_s, len);
	}
	header = header_text(c->header, now_s, &header_len);
	claims = table_expand(strcmp(c->claims, "good") == 0 ? GOOD_CLAIMS :
	    c->claims, now_s, &claims_len);
	whole = maker_token_bytes(header, header_len, claims, claims_len, c->signer);
	rest = whole;
	for (int i = 0; i < 3; i++) {
		ck_assert_ptr_nonnull(dot = strsep(&rest, "."));
		t.part[i] = strdup(dot);
	}
	rest = done = strdup(c->done);
	free(whole);
	whole = NULL;
	while ((word = strsep(&rest, " ")) != NULL)
		if (strcmp(word, "json") == 0 || strcmp(word, "json-general") == 0)
			whole = in_json(&t, word[4] != '\0');
		else if (strcmp(word, "-") != 0)
			do_one(&t, word, now_s);
	if (whole != NULL)
		*len = strlen(whole);
	else
		whole = put_together(&t, now_s, len);
	for (int i = 0; i < 3; i++)
		free(t.part[i]);
	free(t.before);
	free(t.behind);
	free(done);
	free(header);
	free(claims);
	return whole;
}
