/*
 * server.c - the order of things: rooms are built from the ground up, threads started,
 * and all of it taken down the other way round.
 *
 * Going down: sockets that systemd keeps are left to the successor; streams are told to
 * go, spread over the drain time; publishers that wait for a commit are answered;
 * libmicrohttpd stops; the shards; the store, last.
 */
#include "config.h"

#include "server.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "auth.h"
#include "auth_fetch.h"
#include "auth_revoke.h"
#include "clock.h"
#include "http.h"
#include "hub.h"
#include "log.h"
#include "store.h"

#define ERR_SIZE	1024
#define QUEUE_BYTES	(64u * 1024 * 1024)	/* publishes waiting for a commit */
#define DOORS_MAX	16
#define PAGE_BYTES	(64u * 1024 * 1024)	/* pages not yet sent */
#define CONNECTIONS_MIN	8
#define DESCRIPTORS_OWN	24
#define DESCRIPTORS_JWKS 8	/* an address: two sockets, name servers, a CA file */

/* A socket to serve on, opened before anything else can go wrong: a port in use is the
 * commonest mistake, and it must not cost the time that a large log takes to open. */
struct door {
	int	fd;
	bool	admin;
	bool	kept;		/* by systemd, which opened it */
};

struct server {
	_Atomic(bool)	 lost;		/* the log, as it was announced */
	struct conf	*conf;
	struct store	*store;
	struct hub	*hub;
	struct http	*http;
	size_t		 descriptors;
	struct door	 doors[DOORS_MAX];	/* not served yet */
	size_t		 ndoors;
};

static const char *const *
words(const struct conf_list *l)
{
	return (const char *const *)(void *)l->v;
}

/* NULL: those of everybody.  "none" alone is an empty list. */
static const char *const *
own_topics(const struct conf_issuer *is)
{
	const char *const *v = words(&is->topics);

	if (is->topics.n == 0)
		return NULL;
	return is->topics.n == 1 && strcmp(v[0], "none") == 0 ? v + 1 : v;
}

static struct auth_issuer_conf
issuer_of(const struct conf_issuer *is)
{
	return (struct auth_issuer_conf){
		.name = is->name,
		.key = is->key,
		.key_file = is->key_file,
		.key_before = is->key_before,
		.key_before_file = is->key_before_file,
		.jwks = is->jwks,
		.issuer = is->issuer,
		.audience = is->audience,
		.grants_claim = is->grants_claim,
		.leeway_ms = is->leeway_ms,
		.grace_ms = is->grace_ms,
		.max_life_ms = is->max_life_ms,
		.reads_only = !is->publish,
		.topics = own_topics(is),
	};
}

struct auth *
server_auth(const struct conf *c, char *err, size_t size)
{
	struct auth_issuer_conf *issuers;
	struct auth *a;
	struct auth_conf ac = {
		.api_keys = words(&c->api_keys),
		.api_keys_file = c->api_keys_file,
		.house = issuer_of(&c->house),
		.n_issuers = c->n_issuers,
		.public_topics = words(&c->public_topics),
		.authenticated_topics = words(&c->authenticated_topics),
	};

	if ((issuers = calloc(c->n_issuers + 1, sizeof(*issuers))) == NULL) {
		(void)snprintf(err, size, "auth: out of memory");
		return NULL;
	}
	for (size_t i = 0; i < c->n_issuers; i++)
		issuers[i] = issuer_of(&c->issuers[i]);
	ac.issuers = issuers;
	a = auth_new(&ac, err, size);
	free(issuers);
	return a;
}

/* As many descriptors as the system lets us have. */
static size_t
raise_descriptors(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == -1)
		return 1024;
	rl.rlim_cur = rl.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &rl) == -1)
		log_warn("server: raise the limit of descriptors");
	if (getrlimit(RLIMIT_NOFILE, &rl) == -1)
		return 1024;
	return rl.rlim_cur > 10000000 ? 10000000 : (size_t)rl.rlim_cur;
}

/* Sockets that systemd keeps for us.  0 or -1 (told). */
static int
take_given(struct server *sv)
{
	struct listen_given given[DOORS_MAX];
	char err[ERR_SIZE], where[160];
	int n;

	if ((n = listen_take_given(given, DOORS_MAX, err, sizeof(err))) == -1) {
		log_error("server: %s", err);
		return -1;
	}
	for (int i = 0; i < n; i++) {
		if (sv->conf->dev && !listen_is_local(given[i].fd)) {
			listen_name(given[i].fd, where, sizeof(where));
			log_error("server: with --dev everybody may read, so it "
			    "listens on loopback only, not on %s", where);
			return -1;
		}
		sv->doors[sv->ndoors++] = (struct door){ given[i].fd,
		    given[i].admin, true };
	}
	return 0;
}

/* Those configured, unless systemd keeps some of the kind.  0 or -1 (told). */
static int
open_listeners(struct server *sv, const struct conf_list *l, bool admin)
{
	const char *name = admin ? "server.admin_listen" : "server.listen";
	struct conf_listen at;
	char err[ERR_SIZE];
	int fd;

	for (size_t i = 0; i < sv->ndoors; i++)
		if (sv->doors[i].kept && sv->doors[i].admin == admin)
			return 0;
	for (size_t i = 0; i < l->n; i++) {
		if (sv->ndoors == DOORS_MAX) {
			log_error("%s: more than %d addresses", name, DOORS_MAX);
			return -1;
		}
		if (conf_parse_listen(l->v[i], &at, err, sizeof(err)) == -1)
			fd = -1;
		else if (at.is_unix)
			fd = listen_open_unix(at.path, at.mode, at.group, err,
			    sizeof(err));
		else
			fd = listen_open_tcp(at.host, at.port, err, sizeof(err));
		if (fd == -1) {
			log_error("%s: %s", name, err);
			return -1;
		}
		sv->doors[sv->ndoors++] = (struct door){ fd, admin, false };
	}
	return 0;
}

static int
serve_doors(struct server *sv)
{
	char where[160];
	struct door d;

	while (sv->ndoors > 0) {
		d = sv->doors[--sv->ndoors];
		listen_name(d.fd, where, sizeof(where));
		if (http_serve(sv->http, d.fd, d.admin, d.kept) == -1)
			return -1;
		log_info("server: %s on %s%s", d.admin ? "admin" : "listening", where,
		    d.kept ? ", kept by systemd" : "");
	}
	return 0;
}

static size_t
count_doors(const struct server *sv, bool admin)
{
	size_t n = 0;

	for (size_t i = 0; i < sv->ndoors; i++)
		n += sv->doors[i].admin == admin;
	return n;
}

/* Of one public listener: together requests under way have an eighth. */
static size_t
request_connections(const struct server *sv)
{
	size_t doors = count_doors(sv, false), n;

	n = sv->descriptors / 8 / (doors > 0 ? doors : 1);
	return n < CONNECTIONS_MIN ? CONNECTIONS_MIN : n;
}

/* Sections whose keys come from an address. */
static size_t
count_fetched(const struct conf *c)
{
	size_t n = c->house.jwks != NULL && auth_is_url(c->house.jwks);

	for (size_t i = 0; i < c->n_issuers; i++)
		n += c->issuers[i].jwks != NULL && auth_is_url(c->issuers[i].jwks);
	return n;
}

/*
 * Not for streams: what requests under way may take, so that a stream that is let in
 * always finds a descriptor; what each thread (epoll, mailbox) and each listener (socket,
 * libmicrohttpd's two) has; what fetching keys takes; the log, the store, the libraries,
 * and some to spare.
 */
static size_t
reserved_descriptors(const struct server *sv, size_t connections, int threads)
{
	return count_doors(sv, false) * connections +
	    count_doors(sv, true) * HTTP_ADMIN_CONNECTIONS +
	    2 * (size_t)threads + 3 * sv->ndoors +
	    DESCRIPTORS_JWKS * count_fetched(sv->conf) + DESCRIPTORS_OWN;
}

/* NULL: told. */
static struct auth_revoked *
load_revoked(struct store *st)
{
	struct auth_revoked *r;
	char err[ERR_SIZE];
	int64_t forgotten;

	if ((r = auth_revoked_new(AUTH_REVOKED_MAX)) == NULL) {
		log_warn("server");
		return NULL;
	}
	if (store_load_revocations(st, auth_revoked_take, r, &forgotten, err,
	    sizeof(err)) == -1) {
		log_error("store.path: %s", err);
		auth_revoked_free(r);
		return NULL;
	}
	auth_revoked_forgot(r, forgotten);
	return r;
}

/* Every room, none started.  0 or -1 (told). */
static int
build(struct server *sv)
{
	const struct conf *c = sv->conf;
	struct store_conf sc = {
		.path = c->store_path,
		.sync_full = c->durability == CONF_FULL,
		.retain_age_ms = c->retain_age_ms,
		.retain_events_per_topic = c->retain_events_per_topic,
		.retain_bytes = c->retain_bytes,
		.max_queue_bytes = QUEUE_BYTES,
		.max_page_bytes_total = PAGE_BYTES,
	};
	struct hub_conf hc = {
		.threads = (int)c->threads,
		.tail_bytes = c->tail_bytes,
		.queue_bytes = c->queue_bytes,
		.max_replay = c->max_replay,
		.heartbeat_ms = c->heartbeat_ms,
		.retry_ms = c->retry_ms,
		.stall_ms = c->stall_ms,
		.admission = {
			.streams = c->max_streams,
			.per_address = c->max_streams_per_ip,
			.per_token = c->max_streams_per_token,
		},
	};
	struct http_conf pc = {
		.max_event_bytes = c->max_event_bytes,
		.max_body_bytes = c->max_body_bytes,
		.max_replay = c->max_replay,
		.publish_rate = c->publish_rate,
		.publish_burst = c->publish_burst,
		.cors_origins = words(&c->cors_origins),
		.trusted_proxies = words(&c->trusted_proxies),
		.head_timeout_ms = c->head_timeout_ms,
		.body_timeout_ms = c->body_timeout_ms,
		.cookie = c->cookie,
		.dev = c->dev,
		.demo = c->demo,
	};
	char err[ERR_SIZE];
	struct auth *auth;
	size_t reserve, cores;

	if (hc.threads == 0) {
		cores = (size_t)sysconf(_SC_NPROCESSORS_ONLN);
		hc.threads = cores < 1 ? 1 : cores > 64 ? 64 : (int)cores;
	}
	if (take_given(sv) == -1 || open_listeners(sv, &c->listen, false) == -1 ||
	    open_listeners(sv, &c->admin_listen, true) == -1)
		return -1;
	pc.max_connections = request_connections(sv);
	reserve = reserved_descriptors(sv, pc.max_connections, hc.threads);
	if (reserve >= sv->descriptors) {
		log_error("server: only %zu descriptors, and %zu are needed before "
		    "the first stream; raise the limit (ulimit -n)",
		    sv->descriptors, reserve);
		return -1;
	}
	if (hc.admission.streams == 0 || hc.admission.streams > sv->descriptors - reserve)
		hc.admission.streams = sv->descriptors - reserve;
	if (c->max_streams > hc.admission.streams)
		log_warnx("server: server.max_streams is %llu, but there are only "
		    "descriptors for %zu; raise the limit (ulimit -n, LimitNOFILE)",
		    (unsigned long long)c->max_streams, hc.admission.streams);
	if ((auth = server_auth(c, err, sizeof(err))) == NULL) {
		log_error("%s", err);
		return -1;
	}
	if ((sv->store = store_open(&sc, err, sizeof(err))) == NULL) {
		log_error("store.path: %s", err);
		auth_free(auth);
		return -1;
	}
	if ((pc.revoked = load_revoked(sv->store)) == NULL) {
		auth_free(auth);
		return -1;
	}
	hc.store = pc.store = sv->store;
	if ((sv->hub = hub_new(&hc)) == NULL) {
		auth_free(auth);
		auth_revoked_free(pc.revoked);
		return -1;
	}
	pc.hub = sv->hub;
	if ((sv->http = http_new(&pc, auth)) == NULL)
		return -1;
	if (serve_doors(sv) == -1)
		return -1;
	log_info("server: log %s at %s, %d stream threads, room for %zu streams",
	    c->store_path, c->durability == CONF_FULL ? "durability full" :
	    "durability normal", hc.threads, hc.admission.streams);
	return 0;
}

static void
publish(void *arg, struct frame **frames, size_t n, unsigned int *subscribers)
{
	struct server *sv = arg;

	hub_publish(sv->hub, frames, n, subscribers);
}

/* Whoever supervises us starts another, which tells all readers of the hole. */
static void
end_for_loss(void *arg)
{
	struct server *sv = arg;

	atomic_store(&sv->lost, true);
	(void)kill(getpid(), SIGTERM);
}

static int
start(struct server *sv)
{
	struct store_hooks hooks = {
		.arg = sv,
		.committed = publish,
		.lost = end_for_loss,
	};

	if (hub_start(sv->hub) == -1 ||
	    store_start(sv->store, &hooks) == -1 ||
	    http_start(sv->http) == -1)
		return -1;
	return 0;
}

/* Whatever of it is there. */
static void
tear_down(struct server *sv)
{
	if (sv->http != NULL)
		http_stop(sv->http);
	if (sv->hub != NULL)
		hub_stop(sv->hub);
	if (sv->store != NULL)
		store_stop(sv->store);
	while (sv->ndoors > 0)
		close(sv->doors[--sv->ndoors].fd);
	http_free(sv->http);
	hub_free(sv->hub);
	store_close(sv->store);
}

/* Wait until the streams have gone, the time is up, or a second signal comes. */
static void
drain(struct server *sv, const sigset_t *signals)
{
	const struct timespec nap = { .tv_nsec = 50 * 1000000L };
	int64_t until = clock_mono_ms() + sv->conf->drain_time_ms + 500;
	int sig;

	log_info("server: draining %zu streams over %lld ms; a second signal stops "
	    "at once", hub_streams(sv->hub), (long long)sv->conf->drain_time_ms);
	http_leave_queue(sv->http);
	hub_drain(sv->hub, sv->conf->drain_time_ms);
	while (hub_streams(sv->hub) > 0 && clock_mono_ms() < until) {
		sig = sigtimedwait(signals, NULL, &nap);
		if (sig == SIGTERM || sig == SIGINT)
			return;
	}
}

static void
reload_conf(struct server *sv, struct conf *(*reload)(void *arg), void *arg)
{
	char err[ERR_SIZE];
	struct auth *auth;
	struct conf *c;

	if (reload == NULL || (c = reload(arg)) == NULL)
		return;			/* told; the old ones stay */
	if ((auth = server_auth(c, err, sizeof(err))) == NULL)
		log_warnx("reload: %s; the old keys stay", err);
	else
		http_reload(sv->http, auth);
	conf_free(c);
}

static void
hold_signals(sigset_t *signals)
{
	/* Threads inherit the mask: signals come to sigwait() alone. */
	(void)sigemptyset(signals);
	(void)sigaddset(signals, SIGTERM);
	(void)sigaddset(signals, SIGINT);
	(void)sigaddset(signals, SIGHUP);
	(void)pthread_sigmask(SIG_BLOCK, signals, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	/* Scripts that rotate logs send these to whatever they know. */
	(void)signal(SIGUSR1, SIG_IGN);
	(void)signal(SIGUSR2, SIG_IGN);
}

void
server_hold_signals(void)
{
	sigset_t signals;

	hold_signals(&signals);
}

int
server_run(struct conf *c, struct conf *(*reload)(void *arg), void *arg)
{
	struct server sv = { .conf = c };
	sigset_t signals;
	int sig, code = 0;

	hold_signals(&signals);
	/* Nothing that it could ever run shall have more rights than it has. */
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	sv.descriptors = raise_descriptors();
	if (build(&sv) == -1) {
		tear_down(&sv);
		return 2;
	}
	if (start(&sv) == -1) {
		tear_down(&sv);
		return 1;
	}
	log_info("server: ready");
	for (;;) {
		if (sigwait(&signals, &sig) != 0) {
			code = 1;
			break;
		}
		if (atomic_load(&sv.lost)) {
			log_error("server: it ends, to be started again");
			code = 1;
			break;
		}
		if (sig == SIGHUP) {
			reload_conf(&sv, reload, arg);
			continue;
		}
		drain(&sv, &signals);
		break;
	}
	tear_down(&sv);
	log_info("server: stopped");
	return code;
}

int
server_check(struct conf *c)
{
	char err[ERR_SIZE], *copy;
	struct auth *auth;
	int code = 0;

	if ((auth = server_auth(c, err, sizeof(err))) == NULL) {
		log_error("%s", err);
		code = 2;
	}
	if (auth != NULL && auth_fetch_now(auth) > 0)
		log_warnx("check: the server would start all the same, and try "
		    "again until it has those keys");
	auth_free(auth);
	/* Not opened: a server may be running on it. */
	if ((copy = strdup(c->store_path)) == NULL)
		return 1;
	if (access(dirname(copy), W_OK | X_OK) == -1) {
		log_warn("store.path: the folder of %s", c->store_path);
		code = 2;
	}
	free(copy);
	return code;
}
