/*
 * conf.c - where values come from, and the rules between them.
 *
 * A value from any source goes through apply(), which the table steers; the
 * file, the environment and the command line differ only in the place they
 * name.
 */
#include "config.h"

#include "conf.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "auth.h"
#include "conf_internal.h"
#include "text.h"

#define SPACE		" \t\r\n"

/* An API key that stands where something else belongs is not for the eyes of all who
 * may read the log: nothing is shown of it. */
static void
hide_keys(char *p)
{
	size_t n;

	while ((p = strstr(p, "ffk_")) != NULL) {
		p += 4;
		n = strcspn(p, SPACE "\",;:]");
		if (n > 3) {
			p[0] = p[1] = p[2] = '.';
			memmove(p + 3, p + n, strlen(p + n) + 1);
		}
	}
}

int
conf_fail(char *err, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(err, size, fmt, ap);	/* a cut message still helps */
	va_end(ap);
	hide_keys(err);
	return -1;
}

/* Freed memory keeps what stood in it, and some of it is secret. */
void
conf_forget(char *text)
{
	if (text != NULL)
		explicit_bzero(text, strlen(text));
	free(text);
}

/*
 * Lists.
 */

static void
list_fini(struct conf_list *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		conf_forget(l->v[i]);
	free(l->v);
	l->v = NULL;
	l->n = 0;
}

/* Append a copy of `len` bytes.  0, or -1 when memory ran out. */
static int
list_add(struct conf_list *l, const char *p, size_t len)
{
	char **v, *copy;

	if ((v = realloc(l->v, (l->n + 2) * sizeof *v)) == NULL)
		return -1;
	l->v = v;
	v[l->n] = NULL;
	if ((copy = strndup(p, len)) == NULL)
		return -1;
	v[l->n++] = copy;
	v[l->n] = NULL;
	return 0;
}

/* Cut `value` into words as its type has it.  0, or -1 when memory ran out; the
 * list is legal either way. */
static int
list_split(struct conf_list *l, enum conf_type type, const char *value)
{
	const char *separators = type == CONF_KEYS ? "," : "," SPACE,
	    *p = value;
	struct buf word = { 0 };
	size_t len;
	int r = 0;

	if ((l->v = calloc(1, sizeof *l->v)) == NULL)
		return -1;
	while (r == 0) {
		p += strspn(p, "," SPACE);
		if (*p == '\0')
			break;
		word.len = 0;
		while (*p != '\0' && strchr(separators, *p) == NULL) {
			if (type == CONF_TOPICS && *p == '\\' && p[1] != '\0' &&
			    strchr(", \\", p[1]) != NULL)
				p++;
			buf_addc(&word, *p++);
		}
		for (len = word.len; len > 0 && type == CONF_KEYS &&
		    strchr(SPACE, word.p[len - 1]) != NULL; len--)
			;
		r = word.failed ? -1 : list_add(l, word.p, len);
	}
	buf_fini(&word);
	return r;
}

/*
 * One value.
 */

/* Of the house and everything else, or of an [auth.NAME] (is != NULL). */
void *
conf_field(struct conf *c, struct conf_issuer *is, const struct conf_option *o)
{
	if (is == NULL)
		return (char *)c + o->offset;
	return (char *)is + (o->offset - offsetof(struct conf, house));
}

static char **
where_slot(const struct conf *c, const struct conf_issuer *is,
    const struct conf_option *o)
{
	return &(is != NULL ? is->where : c->where)[o - conf_table];
}

static int
apply_number(void *to, const struct conf_option *o, const char *p, size_t len,
    char *why, size_t size)
{
	char range[128];
	uint64_t n;
	int64_t ms;

	conf_format_range(range, sizeof range, o);
	if (o->type == CONF_UINT) {
		if (text_parse_u64(p, len, &n) == -1)
			return conf_fail(why, size, "is not a whole number; %s",
			    range);
	} else if (o->type == CONF_SIZE) {
		if (text_parse_size(p, len, &n) == -1)
			return conf_fail(why, size, "is not a size; write a "
			    "whole number and k, M or G, such as 64k");
	} else {
		if (text_parse_duration_ms(p, len, &ms) == -1 || ms < 0)
			return conf_fail(why, size, "is not a time; write a "
			    "whole number and ms, s, m, h or d, such as 15s");
		n = (uint64_t)ms;
	}
	if ((n < o->min || n > o->max) && !(n == 0 && o->zero))
		return conf_fail(why, size, "is out of range; %s", range);
	if (o->type == CONF_DURATION) {
		ms = (int64_t)n;
		memcpy(to, &ms, sizeof ms);
	} else
		memcpy(to, &n, sizeof n);
	return 0;
}

static int
apply_word(void *to, const struct conf_option *o, const char *p, size_t len,
    char *why, size_t size)
{
	char range[128];
	const char *word;
	size_t n;
	bool yes;
	int index = 0;

	for (word = o->words; ; word += n + 1, index++) {
		n = strcspn(word, " ");
		if (n == len && strncmp(word, p, n) == 0)
			break;
		if (word[n] == '\0') {
			conf_format_range(range, sizeof range, o);
			return conf_fail(why, size, "is none of its values: %s",
			    range);
		}
	}
	if (o->size == sizeof yes) {
		yes = index != 0;
		memcpy(to, &yes, sizeof yes);
	} else
		memcpy(to, &index, sizeof index);
	return 0;
}

/* *word is what was wrong, when it is not the whole value. */
static int
apply_list(struct conf_list *to, const struct conf_option *o, const char *value,
    char *word, size_t word_size, char *why, size_t size)
{
	bool admin = strcmp(o->name, "server.admin_listen") == 0;
	struct conf_list l = { 0 };
	size_t i;

	if (list_split(&l, o->type, value) == -1) {
		list_fini(&l);
		return conf_fail(why, size, "needs more memory than there is");
	}
	if (admin && l.n == 1 && strcmp(l.v[0], "off") == 0) {
		free(l.v[0]);
		l.v[0] = NULL;
		l.n = 0;
	} else if (l.n == 0 && (admin ||
	    strcmp(o->name, "server.listen") == 0)) {
		list_fini(&l);
		return conf_fail(why, size, "names no address%s",
		    admin ? "; write off for none" : "");
	}
	for (i = 0; i < l.n; i++)
		if (o->check != NULL && !o->check(l.v[i], why, size)) {
			(void)snprintf(word, word_size, "%s", l.v[i]);
			list_fini(&l);
			return -1;
		}
	list_fini(to);
	*to = l;
	return 0;
}

static int
apply_text(char **to, const struct conf_option *o, const char *p, size_t len,
    char *why, size_t size)
{
	char *copy;

	if ((copy = strndup(p, len)) == NULL)
		return conf_fail(why, size, "needs more memory than there is");
	if (o->check != NULL && !o->check(copy, why, size)) {
		free(copy);
		return -1;
	}
	free(*to);
	*to = copy;
	return 0;
}

/* Put `value` into the field.  0; or -1 with a phrase in `why` about `word`,
 * which is the value or the part of it that was wrong. */
static int
apply(void *to, const struct conf_option *o, const char *value, char *word,
    size_t word_size, char *why, size_t size)
{
	const char *p = value + strspn(value, SPACE);
	size_t len = strlen(p);

	while (len > 0 && strchr(SPACE, p[len - 1]) != NULL)
		len--;
	if (len >= 2 && !o->secret && (*p == '"' || *p == '\'') &&
	    p[len - 1] == *p)
		return conf_fail(why, size, "is written without the quotes");
	switch (o->type) {
	case CONF_LIST:
	case CONF_TOPICS:
	case CONF_KEYS:
		return apply_list(to, o, value, word, word_size, why, size);
	case CONF_TEXT:
	case CONF_UINT:
	case CONF_SIZE:
	case CONF_DURATION:
	case CONF_WORD:
		break;
	}
	/* An empty issuer would switch a check off that somebody meant to
	 * have. */
	if (len == 0)
		return conf_fail(why, size, "has no value");
	switch (o->type) {
	case CONF_TEXT:
		/* A secret is taken byte for byte. */
		if (o->secret)
			return apply_text(to, o, value, strlen(value), why,
			    size);
		return apply_text(to, o, p, len, why, size);
	case CONF_UINT:
	case CONF_SIZE:
	case CONF_DURATION:
		return apply_number(to, o, p, len, why, size);
	case CONF_WORD:
		return apply_word(to, o, p, len, why, size);
	case CONF_LIST:
	case CONF_TOPICS:
	case CONF_KEYS:
		break;
	}
	return 0;
}

/* Make bytes fit to be shown in a message. */
static void
make_printable(char *p)
{
	for (; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
		else if ((unsigned char)p[0] == 0xc2 && (unsigned char)p[1] < 0xa0)
			*p++ = '?', *p = '?';	/* U+0080 to U+009F */
}

const char *
conf_show(char out[CONF_SHOWN_SIZE], const char *word)
{
	size_t len = strlen(word), max = 60;

	if (len > max) {
		while (max > 0 && ((unsigned char)word[max] & 0xc0) == 0x80)
			max--;
		(void)snprintf(out, CONF_SHOWN_SIZE, "%.*s...", (int)max, word);
	} else
		(void)snprintf(out, CONF_SHOWN_SIZE, "%s", word);
	make_printable(out);
	return out;
}

/* Begin a message: "fanfare.conf:12: store.path: "; "--store.path: " says it
 * once. */
const char *
conf_begin(char out[CONF_PLACE_SIZE], const char *where, const char *name)
{
	if (strncmp(where, "--", 2) == 0 && strcmp(where + 2, name) == 0)
		(void)snprintf(out, CONF_PLACE_SIZE, "%s", where);
	else
		(void)snprintf(out, CONF_PLACE_SIZE, "%s: %s", where, name);
	return out;
}

/* The name of an option, "auth.clerk.issuer" of an issuer that has a name. */
const char *
conf_full_name(char out[CONF_PLACE_SIZE], const struct conf_issuer *is,
    const struct conf_option *o)
{
	(void)snprintf(out, CONF_PLACE_SIZE, "%s%s%s", is != NULL ? "auth." : "",
	    is != NULL ? is->name : o->name,
	    is != NULL ? strchr(o->name, '.') : "");
	return out;
}

int
conf_put(struct conf *c, struct conf_issuer *is, const struct conf_option *o,
    const char *value, const char *where, char *err, size_t size)
{
	char word[4096], why[256], shown[CONF_SHOWN_SIZE], at[CONF_PLACE_SIZE],
	    name[CONF_PLACE_SIZE], *copy, **slot = where_slot(c, is, o);
	const char *comment = "";

	(void)conf_begin(at, where, conf_full_name(name, is, o));
	if ((copy = strdup(where)) == NULL)
		return conf_fail(err, size, "%s: out of memory", where);
	(void)snprintf(word, sizeof word, "%s", value);
	if (apply(conf_field(c, is, o), o, value, word, sizeof word, why,
	    sizeof why) == -1) {
		free(copy);
		make_printable(why);
		if (strstr(value, " #") != NULL)
			comment = " (a comment stands on a line of its own)";
		if (o->secret || *word == '\0')
			return conf_fail(err, size, "%s: %s%s", at, why,
			    o->secret ? "" : comment);
		return conf_fail(err, size, "%s: \"%s\" %s%s", at,
		    conf_show(shown, word), why, comment);
	}
	free(*slot);
	*slot = copy;
	if (strcmp(o->name, "server.listen") == 0)
		c->listen_is_port = false;
	return 0;
}

/* Who set an option, alone. */
const char *
conf_who_set(const struct conf *c, const struct conf_issuer *is,
    const struct conf_option *o)
{
	const char *where = *where_slot(c, is, o);

	return where != NULL ? where : "default";
}

/* The same with its name, to begin a message. */
const char *
conf_place(char out[CONF_PLACE_SIZE], const struct conf *c,
    const struct conf_issuer *is, const struct conf_option *o)
{
	char name[CONF_PLACE_SIZE];

	return conf_begin(out, conf_who_set(c, is, o), conf_full_name(name, is, o));
}

static const char *
place_of(char out[CONF_PLACE_SIZE], const struct conf *c, const char *name)
{
	return conf_place(out, c, NULL, conf_find(name));
}

static const char *
where_is(const struct conf *c, const char *name)
{
	return conf_who_set(c, NULL, conf_find(name));
}

/* All defaults, of the whole configuration or of an [auth.NAME]. */
int
conf_apply_defaults(struct conf *c, struct conf_issuer *is)
{
	char word[64], why[256];
	const char *def;
	size_t i;

	for (i = 0; i < conf_table_n; i++) {
		const struct conf_option *o = &conf_table[i];
		bool is_list = o->type == CONF_LIST || o->type == CONF_TOPICS ||
		    o->type == CONF_KEYS;

		if ((is != NULL && !o->issuers) || (o->def == NULL && !is_list))
			continue;
		def = o->def != NULL ? o->def : "";
		/* What a login provider's users may do is to listen. */
		if (is != NULL && strcmp(o->name, "auth.publish") == 0)
			def = "no";
		if (apply(conf_field(c, is, o), o, def, word, sizeof word, why,
		    sizeof why) == -1)
			return -1;
	}
	return 0;
}

struct conf *
conf_new(void)
{
	struct conf *c;

	if ((c = calloc(1, sizeof *c)) == NULL)
		return NULL;
	if ((c->where = calloc(conf_table_n, sizeof *c->where)) == NULL ||
	    conf_apply_defaults(c, NULL) == -1) {
		conf_free(c);
		return NULL;
	}
	return c;
}

void
conf_free_fields(struct conf *c, struct conf_issuer *is)
{
	char **where = is != NULL ? is->where : c->where;
	size_t i;

	for (i = 0; i < conf_table_n; i++) {
		const struct conf_option *o = &conf_table[i];

		if (where != NULL)
			free(where[i]);
		if (is != NULL && !o->issuers)
			continue;
		switch (o->type) {
		case CONF_TEXT:
			conf_forget(*(char **)conf_field(c, is, o));
			break;
		case CONF_LIST:
		case CONF_TOPICS:
		case CONF_KEYS:
			list_fini(conf_field(c, is, o));
			break;
		case CONF_UINT:
		case CONF_SIZE:
		case CONF_DURATION:
		case CONF_WORD:
			break;
		}
	}
	free(where);
}

void
conf_free(struct conf *c)
{
	size_t i;

	if (c == NULL)
		return;
	for (i = 0; i < c->n_issuers; i++) {
		conf_free_fields(c, &c->issuers[i]);
		free(c->issuers[i].name);
	}
	free(c->issuers);
	conf_free_fields(c, NULL);
	free(c->file);
	conf_forget(c->dev_secret);
	conf_forget(c->dev_token_key);
	free(c);
}

int
conf_set(struct conf *c, const char *name, const char *value, const char *where,
    char *err, size_t size)
{
	const struct conf_option *o = conf_find(name);
	char shown[CONF_SHOWN_SIZE], at[CONF_PLACE_SIZE];

	if (o != NULL)
		return conf_put(c, NULL, o, value, where, err, size);
	if (conf_issuer_key(name) != NULL)
		return conf_set_issuer(c, name, conf_issuer_key(name), value, where, err,
		    size);
	o = conf_nearest_option(name);
	return conf_fail(err, size, "%s: no such option%s%s%s",
	    conf_begin(at, where, conf_show(shown, name)),
	    o != NULL ? "; did you mean " : "",
	    o != NULL ? o->name : "", o != NULL ? "?" : "");
}

/*
 * The rules between options.
 */

/* A list with one address that strangers can reach: `*which` is it. */
static bool
is_reachable(const struct conf_list *l, const char **which)
{
	struct conf_listen a;
	char why[256];
	size_t i;

	for (i = 0; i < l->n; i++)
		if (conf_parse_listen(l->v[i], &a, why, sizeof why) == -1 ||
		    !conf_listen_is_loopback(&a)) {
			*which = l->v[i];
			return true;
		}
	return false;
}

/* Make the API key named dev, unless the configuration has one of that name. */
static int
add_dev_key(struct conf *c)
{
	char entry[256];
	const char *p;
	size_t i;

	for (i = 0; i < c->api_keys.n; i++) {
		p = c->api_keys.v[i];
		if (strncmp(p, "dev:", 4) == 0) {
			free(c->dev_secret);
			c->dev_secret = strndup(p + 4, strcspn(p + 4, ":"));
			return c->dev_secret == NULL ? -1 : 0;
		}
	}
	if (c->dev_secret == NULL &&
	    (c->dev_secret = auth_make_secret()) == NULL)
		return -1;
	(void)snprintf(entry, sizeof entry, "dev:%s", c->dev_secret);
	return list_add(&c->api_keys, entry, strlen(entry));
}

static int
finish_dev(struct conf *c, char *err, size_t size)
{
	static const char *const origins[] = {
		"http://localhost:*", "http://127.0.0.1:*",
		"http://localhost", "http://127.0.0.1",
	};
	bool everybody = c->cors_origins.n > 0 &&
	    strcmp(c->cors_origins.v[0], "*") == 0;
	const char *which;
	char address[32], at[CONF_PLACE_SIZE];
	size_t i;

	c->demo = true;
	if (c->listen_is_port) {
		/* A platform's PORT names the port; --dev the address. */
		(void)snprintf(address, sizeof address, "127.0.0.1%s",
		    strrchr(c->listen.v[0], ':'));	/* fits: load_port */
		list_fini(&c->listen);
		if (list_add(&c->listen, address, strlen(address)) == -1)
			goto no_memory;
	}
	if (is_reachable(&c->listen, &which))
		return conf_fail(err, size, "%s: with --dev everybody may "
		    "read, so it listens on loopback only, not on %s",
		    place_of(at, c, "server.listen"), which);
	if (is_reachable(&c->admin_listen, &which))
		return conf_fail(err, size, "%s: with --dev it listens on "
		    "loopback only, not on %s", place_of(at, c,
		    "server.admin_listen"), which);
	list_fini(&c->public_topics);
	if (list_add(&c->public_topics, "**", 2) == -1 || add_dev_key(c) == -1)
		goto no_memory;
	if (!conf_has_key(&c->house)) {
		if (c->dev_token_key == NULL &&
		    (c->dev_token_key = auth_make_secret()) == NULL)
			goto no_memory;
		if ((c->house.key = strdup(c->dev_token_key)) == NULL)
			goto no_memory;
	}
	for (i = 0; !everybody && i < sizeof origins / sizeof origins[0]; i++)
		if (list_add(&c->cors_origins, origins[i],
		    strlen(origins[i])) == -1)
			goto no_memory;
	return 0;

no_memory:
	return conf_fail(err, size, "--dev: out of memory");
}

/* A relative log lies in $STATE_DIRECTORY, whose first entry counts. */
int
conf_finish_path(struct conf *c, char *err, size_t size)
{
	const char *dir = getenv("STATE_DIRECTORY");
	struct buf path = { 0 };

	if (dir == NULL || *dir == '\0' || *dir == ':' || *c->store_path == '/')
		return 0;
	buf_add(&path, dir, strcspn(dir, ":"));
	buf_addc(&path, '/');
	buf_adds(&path, c->store_path);
	buf_addc(&path, '\0');
	if (path.failed) {
		buf_fini(&path);
		return conf_fail(err, size, "STATE_DIRECTORY: store.path: out "
		    "of memory");
	}
	free(c->store_path);
	c->store_path = path.p;
	return 0;
}

/* One address cannot be public and for administrators at once. */
static int
check_listens(const struct conf *c, char *err, size_t size)
{
	struct conf_listen a;
	char why[256], at[CONF_PLACE_SIZE];
	size_t i, j;

	for (i = 0; i < c->admin_listen.n; i++)
		for (j = 0; j < c->listen.n; j++) {
			if (strcmp(c->admin_listen.v[i], c->listen.v[j]) != 0)
				continue;
			if (conf_parse_listen(c->listen.v[j], &a, why,
			    sizeof why) == 0 && strcmp(a.port, "0") == 0)
				continue;
			return conf_fail(err, size, "%s: %s is server.listen "
			    "too (%s); give it another port, or write off",
			    place_of(at, c, "server.admin_listen"),
			    c->listen.v[j], where_is(c, "server.listen"));
		}
	return 0;
}

static int
check_rules(const struct conf *c, char *err, size_t size)
{
	char event[CONF_NUMBER_SIZE], at[CONF_PLACE_SIZE];
	size_t i;

	conf_format_number(event, CONF_SIZE, c->max_event_bytes);
	if (c->max_body_bytes < c->max_event_bytes)
		return conf_fail(err, size, "%s: is smaller than "
		    "server.max_event, which is %s (%s)", place_of(at, c,
		    "server.max_body"), event, where_is(c, "server.max_event"));
	if (c->queue_bytes / 2 < c->max_event_bytes)
		return conf_fail(err, size, "%s: must be at least twice "
		    "server.max_event, which is %s (%s)",
		    place_of(at, c, "stream.queue"), event,
		    where_is(c, "server.max_event"));
	for (i = 0; c->cors_origins.n > 1 && i < c->cors_origins.n; i++)
		if (strcmp(c->cors_origins.v[i], "*") == 0)
			return conf_fail(err, size, "%s: * stands alone",
			    place_of(at, c, "server.cors_origins"));
	return check_listens(c, err, size);
}

int
conf_finish(struct conf *c, char *err, size_t size)
{
	if (check_rules(c, err, size) == -1 || conf_check_issuers(c, err, size) == -1)
		return -1;
	if (c->dev && finish_dev(c, err, size) == -1)
		return -1;
	if (!conf_has_publisher(c))
		return conf_fail(err, size, "no key is configured that may "
		    "publish, so nobody could.  Make one and start again:\n"
		    "    export FANFARE_AUTH_API_KEYS=backend:$(fanfare key)\n"
		    "or write it into the configuration (auth.api_keys, or "
		    "auth.key for tokens),\n"
		    "or try things out with keys made for one run: fanfare "
		    "serve --dev");
	if (conf_find_credentials(c, err, size) == -1)
		return -1;
	return conf_finish_path(c, err, size);
}
