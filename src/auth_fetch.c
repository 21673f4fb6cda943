/*
 * auth_fetch.c - JWKS over HTTP: libcurl on one thread, many addresses at a time.
 *
 * The list of addresses is shared under a lock; a transfer belongs to the thread, which
 * never holds the lock while it works.  An address that is no longer wanted is let go by
 * the thread when its transfer has ended.
 *
 * An answer may be anything: it is cut off at HEAD_MAX, BODY_MAX and
 * AUTH_FETCH_TIMEOUT_MS, never decompressed, only 200 counts, and auth_jwks.c reads it
 * with suspicion.  The same reason for a failure is
 * logged once.
 */
#include "config.h"

#include "auth_fetch.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <curl/curl.h>

#include "auth_internal.h"
#include "clock.h"
#include "log.h"
#include "thread.h"

#define BODY_MAX	(256 * 1024)
#define HEAD_MAX	(64 * 1024)
#define RETRY_MS	2000		/* after a failure; twice that after the next */
#define RETRY_MAX_MS	60000
#define STOP_S		3		/* a name server may hang: we do not */
#define WHY_SIZE	320

/* What was found, on its way to the owner. */
struct fetched {
	struct msg	 msg;		/* first */
	char		*url;
	struct auth_keys *keys;		/* NULL: failed, or the same as before */
	bool		 failed;
	int64_t		 began_ms;	/* monotonic */
};

/* One transfer.  The thread's own, or its caller's. */
struct transfer {
	CURL		*curl;
	struct buf	 body;
	char		 cache_control[128];
	char		 error[CURL_ERROR_SIZE];
	size_t		 head_len;	/* so far, of all responses and trailers */
	bool		 too_large;
};

struct target {
	char		*url;		/* fixed */
	/* by lock */
	bool		 watched, wanted;
	bool		 anew;		/* the owner has no keys of it */
	/* the thread's */
	struct transfer	 t;
	bool		 under_way;
	int64_t		 began_ms, next_ms;
	unsigned int	 failures;	/* in a row */
	char		 said[WHY_SIZE];	/* the last failure that was logged */
	unsigned char	 print[AUTH_HASH_SIZE];	/* of the last body that was read */
	bool		 has_print, print_is_good, had_keys;
	struct target	*next;		/* by lock */
};

struct auth_fetch {
	struct auth_fetch_conf conf;
	CURLM		*multi;		/* only curl_multi_wakeup() by others */
	pthread_mutex_t	 lock;		/* innermost */
	struct target	*targets;	/* by lock; the thread alone takes away */
	bool		 stopping;	/* by lock */
	/* the owner's */
	pthread_t	 thread;
	bool		 running, lost;
};

/* Addresses */

bool
auth_is_url(const char *text)
{
	return strncasecmp(text, "http://", 7) == 0 ||
	    strncasecmp(text, "https://", 8) == 0;
}

static bool
is_this_machine(const char *host)
{
	return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
	    (strncmp(host, "127.", 4) == 0 &&
	    strspn(host, "0123456789.") == strlen(host));
}

bool
auth_url_is_good(const char *url, char *why, size_t size)
{
	char *scheme = NULL, *host = NULL, *user = NULL, *fragment = NULL;
	CURLU *u = curl_url();
	bool good = false;

	if (u == NULL)
		(void)auth_say(why, size, "can't be read: out of memory");
	else if (curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK)
		(void)auth_say(why, size, "is not an address of the form "
		    "https://host/path");
	else if (curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_OK)
		(void)auth_say(why, size, "has a user name: a JWKS is public");
	else if (curl_url_get(u, CURLUPART_FRAGMENT, &fragment, 0) == CURLUE_OK)
		(void)auth_say(why, size, "has a #, which no server would see");
	else if (strcmp(scheme, "https") != 0 && !is_this_machine(host))
		(void)auth_say(why, size, "is http: whoever is in between could "
		    "put keys of his own there; https is needed, or a server on "
		    "this machine (127.0.0.1)");
	else
		good = true;
	curl_free(scheme);
	curl_free(host);
	curl_free(user);
	curl_free(fragment);
	curl_url_cleanup(u);
	return good;
}

long
auth_fetch_lifetime(const char *p)
{
	long s = AUTH_FETCH_USUAL_S;
	size_t n, len;
	uint64_t age;

	for (; p != NULL && *p != '\0'; p += len) {
		p += strspn(p, " \t,");
		len = strcspn(p, ",");
		if (strncasecmp(p, "no-store", 8) == 0 ||
		    strncasecmp(p, "no-cache", 8) == 0)
			return AUTH_FETCH_MIN_S;
		if (strncasecmp(p, "max-age=", 8) != 0)
			continue;
		n = strspn(p + 8, "0123456789");
		if (n == 0)
			continue;
		if (text_parse_u64(p + 8, n, &age) == -1 || age > AUTH_FETCH_MAX_S)
			age = AUTH_FETCH_MAX_S;
		s = age < AUTH_FETCH_MIN_S ? AUTH_FETCH_MIN_S : (long)age;
	}
	return s;
}

/* Transfers */

static size_t
take_body(char *p, size_t one, size_t n, void *arg)
{
	struct transfer *t = arg;

	(void)one;
	if (n > BODY_MAX - t->body.len) {
		t->too_large = true;
		return 0;
	}
	buf_add(&t->body, p, n);
	return t->body.failed ? 0 : n;
}

static size_t
take_header(char *p, size_t one, size_t n, void *arg)
{
	static const char name[] = "Cache-Control:";
	struct transfer *t = arg;
	size_t len = sizeof name - 1;

	(void)one;
	/* libcurl bounds a line, but not how many there are. */
	t->head_len += n;
	if (t->head_len > HEAD_MAX) {
		t->too_large = true;
		return 0;
	}
	if (n > len && strncasecmp(p, name, len) == 0)
		(void)snprintf(t->cache_control, sizeof t->cache_control, "%.*s",
		    (int)(n - len), p + len);
	return n;
}

static void
transfer_fini(struct transfer *t)
{
	curl_easy_cleanup(t->curl);
	buf_fini(&t->body);
	memset(t, 0, sizeof *t);
}

/* 0 or -1: no memory.  `owner` is whose it is, for whoever has the handle alone. */
static int
transfer_init(struct transfer *t, const char *url, void *owner)
{
	const char *ca = getenv("SSL_CERT_FILE");
	bool ok;

	memset(t, 0, sizeof *t);
	if ((t->curl = curl_easy_init()) == NULL)
		return -1;
	ok = curl_easy_setopt(t->curl, CURLOPT_URL, url) == CURLE_OK &&
	    curl_easy_setopt(t->curl, CURLOPT_PRIVATE, owner) == CURLE_OK &&
	    curl_easy_setopt(t->curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	    curl_easy_setopt(t->curl, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
	    curl_easy_setopt(t->curl, CURLOPT_FORBID_REUSE, 1L) == CURLE_OK &&
#if LIBCURL_VERSION_NUM >= 0x075500
	    curl_easy_setopt(t->curl, CURLOPT_PROTOCOLS_STR, "http,https") ==
	    CURLE_OK &&
#else
	    curl_easy_setopt(t->curl, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP |
	    CURLPROTO_HTTPS)) == CURLE_OK &&
#endif
	    curl_easy_setopt(t->curl, CURLOPT_TIMEOUT_MS,
	    (long)AUTH_FETCH_TIMEOUT_MS) == CURLE_OK &&
	    curl_easy_setopt(t->curl, CURLOPT_USERAGENT, "fanfare/"
	    PACKAGE_VERSION) == CURLE_OK &&
	    curl_easy_setopt(t->curl, CURLOPT_WRITEFUNCTION, take_body) ==
	    CURLE_OK &&
	    curl_easy_setopt(t->curl, CURLOPT_WRITEDATA, t) == CURLE_OK &&
	    curl_easy_setopt(t->curl, CURLOPT_HEADERFUNCTION, take_header) ==
	    CURLE_OK &&
	    curl_easy_setopt(t->curl, CURLOPT_HEADERDATA, t) == CURLE_OK &&
	    curl_easy_setopt(t->curl, CURLOPT_ERRORBUFFER, t->error) == CURLE_OK;
	/* What other programs honour, for an authority of one's own. */
	if (ok && ca != NULL && *ca != '\0')
		ok = curl_easy_setopt(t->curl, CURLOPT_CAINFO, ca) == CURLE_OK;
	/* This machine is reached without a proxy. */
	if (ok && strncasecmp(url, "http://", 7) == 0)
		ok = curl_easy_setopt(t->curl, CURLOPT_PROXY, "") == CURLE_OK;
#if LIBCURL_VERSION_NUM >= 0x075700
	/* A name server that hangs holds up a thread of libcurl's, and not us. */
	if (ok)
		ok = curl_easy_setopt(t->curl, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK;
#endif
	if (!ok)
		transfer_fini(t);
	return ok ? 0 : -1;
}

/* The set that a transfer brought, or NULL and `why`. */
static struct auth_keys *
transfer_result(struct transfer *t, const char *url, CURLcode code, char *why,
    size_t size)
{
	char *to = NULL;
	long status = 0;

	if (t->too_large)
		(void)auth_say(why, size, "%s: more than %d bytes came%s", url,
		    t->head_len > HEAD_MAX ? HEAD_MAX : BODY_MAX,
		    t->head_len > HEAD_MAX ? " as headers" : "");
	else if (code == CURLE_OPERATION_TIMEDOUT)
		(void)auth_say(why, size, "%s: no whole answer within %d s", url,
		    AUTH_FETCH_TIMEOUT_MS / 1000);
	else if (code != CURLE_OK)
		(void)auth_say(why, size, "%s: %s", url, t->error[0] != '\0' ?
		    t->error : curl_easy_strerror(code));
	else if (curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status) !=
	    CURLE_OK || status != 200) {
		(void)curl_easy_getinfo(t->curl, CURLINFO_REDIRECT_URL, &to);
		(void)auth_say(why, size, "%s: the answer is %ld, not 200%s%.120s",
		    url, status, to != NULL ? "; redirects are not followed: "
		    "configure the address itself, if you trust " : "",
		    to != NULL ? to : "");
	} else
		return auth_jwks_read(url, t->body.p != NULL ? t->body.p : "",
		    t->body.len, why, size);
	return NULL;
}

static void
free_fetched(struct fetched *m)
{
	auth_keys_unref(m->keys);
	free(m->url);
	free(m);
}

/* The thread */

/* The same bytes as the last that were read?  They need no second look, and no second
 * line in the log. */
static bool
is_known(struct target *g, CURLcode code)
{
	unsigned char print[AUTH_HASH_SIZE];
	long status = 0;
	bool known;

	if (code != CURLE_OK || curl_easy_getinfo(g->t.curl,
	    CURLINFO_RESPONSE_CODE, &status) != CURLE_OK || status != 200 ||
	    auth_hash(print, g->t.body.p != NULL ? g->t.body.p : "",
	    g->t.body.len) == -1)
		return false;
	known = g->has_print && memcmp(print, g->print, sizeof print) == 0;
	memcpy(g->print, print, sizeof print);
	g->has_print = true;
	return known;
}

/* Once for each reason, and when it is over. */
static void
tell_outcome(struct target *g, bool good, const char *why)
{
	if (good) {
		if (g->said[0] != '\0')
			log_info("auth: %s: fetched again", g->url);
		g->said[0] = '\0';
		g->had_keys = true;
	} else if (strcmp(why, g->said) != 0) {
		log_warnx("auth: %s; %s", why, g->had_keys ?
		    "the keys fetched before stay" :
		    "tokens of this issuer have to wait");
		(void)snprintf(g->said, sizeof g->said, "%s", why);
	}
}

/* Hand over what came; true when it was good. */
static bool
report(struct auth_fetch *f, struct target *g, CURLcode code)
{
	bool known = is_known(g, code), good, stopping;
	struct auth_keys *keys = NULL;
	char why[WHY_SIZE];
	struct fetched *m;

	(void)snprintf(why, sizeof why, "%s", g->said);
	if (!known) {
		keys = transfer_result(&g->t, g->url, code, why, sizeof why);
		if (code == CURLE_OK)
			g->print_is_good = keys != NULL;
	}
	good = known ? g->print_is_good : keys != NULL;
	tell_outcome(g, good, why);
	if ((m = calloc(1, sizeof *m)) == NULL ||
	    (m->url = strdup(g->url)) == NULL) {
		free(m);
		auth_keys_unref(keys);
		g->has_print = false;
		return false;
	}
	m->keys = keys;
	m->failed = !good;
	m->began_ms = g->began_ms;
	pthread_mutex_lock(&f->lock);
	stopping = f->stopping;
	pthread_mutex_unlock(&f->lock);
	/* The owner may not wait for us, nor for mail. */
	if (stopping)
		free_fetched(m);
	else
		f->conf.done(f->conf.arg, &m->msg);
	return good;
}

static void
end_transfer(struct auth_fetch *f, struct target *g, CURLcode code)
{
	int64_t wait_ms = RETRY_MS;
	unsigned int i;

	(void)curl_multi_remove_handle(f->multi, g->t.curl);
	g->under_way = false;
	if (report(f, g, code)) {
		g->failures = 0;
		wait_ms = auth_fetch_lifetime(g->t.cache_control) * INT64_C(1000);
	} else {
		for (i = 0; i < g->failures && wait_ms < RETRY_MAX_MS; i++)
			wait_ms *= 2;
		if (wait_ms > RETRY_MAX_MS)
			wait_ms = RETRY_MAX_MS;
		g->failures++;
	}
	g->next_ms = clock_mono_ms() + wait_ms;
	transfer_fini(&g->t);
}

static void
begin_transfer(struct auth_fetch *f, struct target *g)
{
	g->began_ms = clock_mono_ms();
	if (transfer_init(&g->t, g->url, g) == -1) {
		g->next_ms = g->began_ms + AUTH_FETCH_GAP_MS;
		return;
	}
	if (curl_multi_add_handle(f->multi, g->t.curl) != CURLM_OK) {
		transfer_fini(&g->t);
		g->next_ms = g->began_ms + AUTH_FETCH_GAP_MS;
		return;
	}
	g->under_way = true;
}

static void
target_free(struct target *g)
{
	transfer_fini(&g->t);
	free(g->url);
	free(g);
}

/* Begin what is due, let go what is not watched; how long to wait for the next.  -1:
 * stop. */
static int
look_around(struct auth_fetch *f)
{
	struct target *g, **link, *due = NULL;
	int64_t now = clock_mono_ms(), wait = 60000, at;
	bool stopping;

	pthread_mutex_lock(&f->lock);
	for (link = &f->targets; (g = *link) != NULL;) {
		if (!g->watched && !g->under_way) {
			*link = g->next;
			target_free(g);
			continue;
		}
		link = &g->next;
		if (g->under_way)
			continue;
		/* Not the first time: then at once. */
		at = g->began_ms + AUTH_FETCH_GAP_MS;
		if (!g->wanted || (g->began_ms != 0 && at > g->next_ms))
			at = g->next_ms;
		else if (g->began_ms == 0)
			at = now;
		if (at > now) {
			wait = at - now < wait ? at - now : wait;
			continue;
		}
		/* One at a time, without the lock. */
		g->wanted = false;
		if (g->anew)
			g->has_print = g->anew = false;
		due = g;
		break;
	}
	stopping = f->stopping;
	pthread_mutex_unlock(&f->lock);
	if (stopping)
		return -1;
	if (due == NULL)
		return (int)wait;
	begin_transfer(f, due);
	return 0;
}

static void *
fetch_main(void *arg)
{
	struct auth_fetch *f = arg;
	struct target *g, *list;
	CURLMsg *m;
	int wait, n;

	thread_begin("fanfare-jwks", THREAD_BACKGROUND);
	while ((wait = look_around(f)) != -1) {
		(void)curl_multi_perform(f->multi, &n);
		while ((m = curl_multi_info_read(f->multi, &n)) != NULL)
			if (m->msg == CURLMSG_DONE && curl_easy_getinfo(
			    m->easy_handle, CURLINFO_PRIVATE, &g) == CURLE_OK) {
				end_transfer(f, g, m->data.result);
				wait = 0;
			}
		(void)curl_multi_poll(f->multi, NULL, 0, wait, NULL);
	}
	/* A name that is still looked up is waited for here. */
	pthread_mutex_lock(&f->lock);
	list = f->targets;
	f->targets = NULL;
	pthread_mutex_unlock(&f->lock);
	while ((g = list) != NULL) {
		list = g->next;
		if (g->under_way)
			(void)curl_multi_remove_handle(f->multi, g->t.curl);
		target_free(g);
	}
	return NULL;
}

/* The owner's side */

struct auth_fetch *
auth_fetch_new(const struct auth_fetch_conf *c)
{
	struct auth_fetch *f;

	if ((f = calloc(1, sizeof *f)) == NULL) {
		log_warn("auth: fetch");
		return NULL;
	}
	f->conf = *c;
	(void)pthread_mutex_init(&f->lock, NULL);	/* cannot fail on Linux */
	return f;
}

static int
start(struct auth_fetch *f)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
	    (f->multi = curl_multi_init()) == NULL) {
		log_warnx("auth: libcurl does not start");
		return -1;
	}
	if ((errno = pthread_create(&f->thread, NULL, fetch_main, f)) != 0) {
		log_warn("auth: start a thread");
		curl_multi_cleanup(f->multi);
		f->multi = NULL;
		return -1;
	}
	f->running = true;
	return 0;
}

void
auth_fetch_stop(struct auth_fetch *f)
{
	struct timespec until;

	if (!f->running)
		return;
	pthread_mutex_lock(&f->lock);
	f->stopping = true;
	pthread_mutex_unlock(&f->lock);
	(void)curl_multi_wakeup(f->multi);
	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += STOP_S;
	f->running = false;
	if (pthread_timedjoin_np(f->thread, NULL, &until) != 0) {
		log_warnx("auth: a name is still being looked up; not waiting");
		f->lost = true;
	}
}

void
auth_fetch_free(struct auth_fetch *f)
{
	/* What a thread still uses stays until the process has gone. */
	if (f == NULL || f->lost)
		return;
	if (f->multi != NULL)
		(void)curl_multi_cleanup(f->multi);
	(void)pthread_mutex_destroy(&f->lock);
	free(f);
}

/* Under the lock. */
static struct target *
find_target(struct auth_fetch *f, const char *url)
{
	struct target *g;

	for (g = f->targets; g != NULL; g = g->next)
		if (strcmp(g->url, url) == 0)
			return g;
	return NULL;
}

/* Under the lock. */
static void
watch(struct auth_fetch *f, const char *url, bool anew)
{
	struct target *g;

	if ((g = find_target(f, url)) == NULL) {
		if ((g = calloc(1, sizeof *g)) == NULL ||
		    (g->url = strdup(url)) == NULL) {
			log_warn("auth: fetch %s", url);
			free(g);
			return;
		}
		g->next = f->targets;
		f->targets = g;
	}
	g->watched = g->wanted = true;
	g->anew = anew;
}

void
auth_fetch_watch(struct auth_fetch *f, const struct auth *a)
{
	const struct auth_source *so;
	struct target *g;
	size_t i, n = 0;

	pthread_mutex_lock(&f->lock);
	for (g = f->targets; g != NULL; g = g->next)
		g->watched = false;
	for (i = 0; i < a->n_issuers; i++)
		if ((so = a->issuers[i].source) != NULL && so->url != NULL) {
			watch(f, so->url, so->keys == NULL);
			n++;
		}
	pthread_mutex_unlock(&f->lock);
	if (f->running)
		(void)curl_multi_wakeup(f->multi);
	else if (n > 0)
		(void)start(f);
}

void
auth_fetch_want(struct auth_fetch *f, const char *url)
{
	struct target *g;
	bool news;

	pthread_mutex_lock(&f->lock);
	g = find_target(f, url);
	news = g != NULL && !g->wanted;
	if (news)
		g->wanted = true;
	pthread_mutex_unlock(&f->lock);
	if (news && f->running)
		(void)curl_multi_wakeup(f->multi);
}

static bool
has_key(const struct auth_keys *keys, const struct auth_key *k)
{
	size_t i;

	for (i = 0; keys != NULL && i < keys->n; i++)
		if (keys->v[i].algs == k->algs && keys->v[i].len == k->len &&
		    memcmp(keys->v[i].p, k->p, k->len) == 0 &&
		    (k->kid == NULL ? keys->v[i].kid == NULL :
		    keys->v[i].kid != NULL &&
		    strcmp(k->kid, keys->v[i].kid) == 0))
			return true;
	return false;
}

/* Say which keys came and went; true when any did. */
static bool
tell_changes(const char *url, const struct auth_keys *old,
    const struct auth_keys *new)
{
	const struct auth_key *k;
	bool changed = false;
	size_t i;

	for (i = 0; i < new->n; i++) {
		k = &new->v[i];
		if (has_key(old, k))
			continue;
		log_info("auth: %s: key \"%s\": %s, fingerprint %s", url,
		    k->kid != NULL ? k->kid : "", k->what, k->print);
		changed = true;
	}
	for (i = 0; old != NULL && i < old->n; i++) {
		k = &old->v[i];
		if (has_key(new, k))
			continue;
		log_info("auth: %s: key \"%s\" has gone, fingerprint %s", url,
		    k->kid != NULL ? k->kid : "", k->print);
		changed = true;
	}
	return changed;
}

static bool
take_keys(struct auth_source *so, struct auth_keys **keys)
{
	if (!tell_changes(so->url, so->keys, *keys))
		return false;
	auth_keys_unref(so->keys);
	so->keys = *keys;
	*keys = NULL;
	return true;
}

bool
auth_take_fetched(struct auth *a, struct msg *msg)
{
	struct fetched *m = (struct fetched *)msg;
	struct auth_source *so = NULL;
	bool changed = false;
	size_t i;

	for (i = 0; i < a->n_issuers && so == NULL; i++)
		if ((so = a->issuers[i].source) != NULL &&
		    (so->url == NULL || strcmp(so->url, m->url) != 0))
			so = NULL;
	if (so != NULL) {
		so->tried_ms = m->began_ms;
		so->failing = m->failed;
		so->refreshes += !m->failed;
		so->failures += m->failed;
		if (!m->failed)
			so->fetched_ms = clock_mono_ms();
		if (m->keys != NULL)
			changed = take_keys(so, &m->keys);
	}
	free_fetched(m);
	return changed;
}

unsigned int
auth_fetch_now(struct auth *a)
{
	struct auth_source *so;
	struct transfer t;
	char why[WHY_SIZE];
	unsigned int failed = 0;
	size_t i;

	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
	for (i = 0; i < a->n_issuers; i++) {
		so = a->issuers[i].source;
		if (so == NULL || so->url == NULL || so->keys != NULL)
			continue;
		(void)snprintf(why, sizeof why, "%s: out of memory", so->url);
		if (transfer_init(&t, so->url, NULL) == 0) {
			so->keys = transfer_result(&t, so->url,
			    curl_easy_perform(t.curl), why, sizeof why);
			transfer_fini(&t);
		}
		if (so->keys == NULL) {
			log_warnx("%s: %s", a->issuers[i].from, why);
			failed++;
		} else
			(void)tell_changes(so->url, NULL, so->keys);
	}
	return failed;
}
