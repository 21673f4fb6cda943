/*
 * check_conf.c - the configuration: every option, every source, every mistake.
 */
#include "config.h"

#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf.h"
#include "conf_internal.h"
#include "log.h"
#include "text.h"

#define SECRET	"ffk_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
#define N(a)	(sizeof(a) / sizeof((a)[0]))

extern char **environ;

static char *no_environ[] = { NULL };
static struct conf *c;
static char err[1024];
static char dir[64];

static void
set_up(void)
{
	environ = no_environ;	/* nothing of the caller's counts */
	log_init(LOG_ERROR, false);
	c = conf_new();
	ck_assert_ptr_nonnull(c);
	err[0] = '\0';
	strcpy(dir, "/tmp/check_conf.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
}

static void
tear_down(void)
{
	conf_free(c);
	(void)unlink("fanfare.conf");
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(rmdir(dir), 0);
}

static void
again(void)
{
	conf_free(c);
	c = conf_new();
	ck_assert_ptr_nonnull(c);
	err[0] = '\0';
}

static void
write_file(const void *text, size_t len)
{
	FILE *f = fopen("fanfare.conf", "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(text, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

static int
load(const char *text)
{
	write_file(text, strlen(text));
	return conf_load_file(c, "fanfare.conf", err, sizeof err);
}

static int
set(const char *name, const char *value)
{
	return conf_set(c, name, value, "here", err, sizeof err);
}

static void
is_list(const struct conf_list *l, const char *joined)
{
	char text[1024] = "";
	size_t i;

	for (i = 0; i < l->n; i++) {
		strcat(text, i > 0 ? "|" : "");
		strcat(text, l->v[i]);
	}
	ck_assert_str_eq(text, joined);
	ck_assert_ptr_null(l->v[l->n]);
}

/* ---- values ---- */

static const struct {
	const char	*name, *value, *says;
} wrong[] = {
	{ "server.listen", "", "here: server.listen: names no address" },
	{ "server.listen", " , ", "names no address" },
	{ "server.listen", "8080", "\"8080\" is a port alone; write 127.0.0.1:8080" },
	{ "server.listen", ":8080", "has no host; write 127.0.0.1:8080" },
	{ "server.listen", "localhost", "has no port; write host:port" },
	{ "server.listen", "http://localhost:1", "is a URL; write host:port" },
	{ "server.listen", "::1:8080", "an IPv6 address is written [::1]:8080" },
	{ "server.listen", "[::1]", "is not [address]:port" },
	{ "server.listen", "[:1]:80", "holds no IPv6 address between [ and ]" },
	{ "server.listen", "a:65536", "has a wrong port; 0 to 65535" },
	{ "server.listen", "a:", "has a wrong port" },
	{ "server.listen", "a:-1", "has a wrong port" },
	{ "server.listen", "1.2.3:80", "has no host name or address" },
	{ "server.listen", "a b:80", "\"a\" has no port" },
	{ "server.listen", "a_b!:80", "has no host name or address" },
	{ "server.listen", "unix:run/x", "wants a full path" },
	{ "server.listen", "unix:/x?mode=0888", "has a wrong mode" },
	{ "server.listen", "unix:/x?mode=4755", "has a wrong mode" },
	{ "server.listen", "unix:/x?mode=", "has an unknown parameter" },
	{ "server.listen", "unix:/x?group=a:b", "has a wrong group" },
	{ "server.listen", "unix:/x?owner=a", "has an unknown parameter" },
	{ "server.listen", "127.0.0.1:80 # web", "(a comment stands on a line of its own)" },
	{ "server.listen", "\"127.0.0.1:80\"", "is written without the quotes" },
	{ "server.admin_listen", "", "names no address; write off for none" },
	{ "server.admin_listen", "off a:1", "\"off\" has no port" },
	{ "server.admin_listen", "8081", "is a port alone" },
	{ "server.cors_origins", "example.com", "is not an origin; write https://" },
	{ "server.cors_origins", "https://a.example/", "has a path" },
	{ "server.cors_origins", "https://A.example", "has capitals" },
	{ "server.cors_origins", "https://\xc3\xa9.example", "xn-- form" },
	{ "server.cors_origins", "https://a.example:443", "write https://a.example" },
	{ "server.cors_origins", "http://a.example:80", "write http://a.example" },
	{ "server.cors_origins", "https://a.example:0", "has a wrong port" },
	{ "server.cors_origins", "https://*", "one * inside the leftmost label" },
	{ "server.cors_origins", "https://a.*.example", "one * inside the leftmost" },
	{ "server.cors_origins", "https://*-*.example", "one * inside the leftmost" },
	{ "server.cors_origins", "http://localhost:*", "which --dev alone may" },
	{ "server.cors_origins", "https://u@a.example", "has a user name" },
	{ "server.cors_origins", "https://a..example", "has an empty label" },
	{ "server.cors_origins", "https://", "has no host name" },
	{ "server.cors_origins", "null", "cannot be trusted" },
	{ "server.trusted_proxies", "10.0.0.0/33", "has a wrong length behind the /; 0 to 32" },
	{ "server.trusted_proxies", "::1/129", "0 to 128" },
	{ "server.trusted_proxies", "10.0.0/8", "is neither an address, a network" },
	{ "server.trusted_proxies", "nginx", "is neither an address, a network" },
	{ "server.trusted_proxies", "10.0.0.0/", "has a wrong length" },
	{ "server.max_streams", "", "has no value" },
	{ "server.max_streams", "many", "\"many\" is not a whole number; 0 to 10000000" },
	{ "server.max_streams", "-1", "is not a whole number" },
	{ "server.max_streams", "1.5", "is not a whole number" },
	{ "server.max_streams", "10000001", "is out of range; 0 to 10000000" },
	{ "server.max_streams_per_ip", "", "has no value" },
	{ "server.max_streams_per_ip", "x", "is not a whole number" },
	{ "server.max_streams_per_ip", "10000001", "is out of range" },
	{ "server.max_streams_per_token", "", "has no value" },
	{ "server.max_streams_per_token", "-1", "is not a whole number" },
	{ "server.max_streams_per_token", "10000001", "is out of range" },
	{ "server.publish_rate", "", "has no value" },
	{ "server.publish_rate", "0.5", "is not a whole number" },
	{ "server.publish_rate", "1000001", "is out of range" },
	{ "server.publish_burst", "", "has no value" },
	{ "server.publish_burst", "many", "is not a whole number" },
	{ "server.publish_burst", "1000001", "is out of range" },
	{ "server.max_event", "", "has no value" },
	{ "server.max_event", "big", "is not a size; write a whole number and k, M or G" },
	{ "server.max_event", "64 kB", "is not a size" },
	{ "server.max_event", "255", "is out of range; 256 to 64M" },
	{ "server.max_event", "65M", "is out of range; 256 to 64M" },
	{ "server.max_body", "", "has no value" },
	{ "server.max_body", "x", "is not a size" },
	{ "server.max_body", "2G", "is out of range; 256 to 1G" },
	{ "server.threads", "", "has no value" },
	{ "server.threads", "two", "is not a whole number; 0 to 256" },
	{ "server.threads", "257", "is out of range; 0 to 256" },
	{ "server.head_timeout", "99ms", "is out of range; 100ms to 10m" },
	{ "server.head_timeout", "soon", "is not a time" },
	{ "server.body_timeout", "0", "is out of range; 100ms to 1h" },
	{ "server.body_timeout", "61m", "is out of range" },
	{ "server.drain_time", "", "has no value" },
	{ "server.drain_time", "10", "is not a time; write a whole number and ms, s" },
	{ "server.drain_time", "11m", "is out of range; 0 to 10m" },
	{ "store.path", "", "has no value" },
	{ "store.path", "a\tb", "holds a control character" },
	{ "store.path", "'x.db'", "is written without the quotes" },
	{ "store.durability", "", "has no value" },
	{ "store.durability", "none", "is none of its values: full or normal" },
	{ "store.durability", "ful", "is none of its values" },
	{ "store.retain_age", "", "has no value" },
	{ "store.retain_age", "soon", "\"soon\" is not a time" },
	{ "store.retain_age", "24", "is not a time" },
	{ "store.retain_age", "-1h", "is not a time" },
	{ "store.retain_age", "999ms", "is out of range; 0, or 1s or more" },
	{ "store.retain_age", "24h # a day", "(a comment stands on a line of its own)" },
	{ "store.retain_events_per_topic", "", "has no value" },
	{ "store.retain_events_per_topic", "1k", "is not a whole number" },
	{ "store.retain_events_per_topic", "1000000000001", "is out of range" },
	{ "store.retain_bytes", "", "has no value" },
	{ "store.retain_bytes", "1T", "is not a size" },
	{ "store.retain_bytes", "1k", "is out of range; 0, or 1M or more" },
	{ "store.tail", "", "has no value" },
	{ "store.tail", "1s", "is not a size" },
	{ "store.tail", "0", "is out of range; 64k to 64G" },
	{ "auth.api_keys_file", "", "has no value" },
	{ "auth.api_keys_file", "a\nb", "holds a control character" },
	{ "auth.key", "", "has no value" },
	{ "auth.key_file", "", "has no value" },
	{ "auth.key_file", "a\001b", "holds a control character" },
	{ "auth.key_before", "", "has no value" },
	{ "auth.key_before_file", "a\001b", "holds a control character" },
	{ "auth.jwks", "", "has no value" },
	{ "auth.jwks", "a\001", "holds a control character" },
	{ "auth.jwks", "http://login.example.com/jwks", "is http: whoever is in between" },
	{ "auth.jwks", "http://127.0.0.1.example.com/", "is http" },
	{ "auth.jwks", "http://localhost@example.com/", "has a user name" },
	{ "auth.jwks", "https://u:p@login.example.com/", "has a user name" },
	{ "auth.jwks", "https://login.example.com/#x", "has a #" },
	{ "auth.jwks", "https://a b/jwks", "is not an address" },
	{ "auth.publish", "", "has no value" },
	{ "auth.publish", "true", "is none of its values: no or yes" },
	{ "auth.issuer", "", "has no value" },
	{ "auth.issuer", "a\001", "holds a control character" },
	{ "auth.audience", "", "has no value" },
	{ "auth.audience", "\xff", "is not UTF-8" },
	{ "auth.leeway", "", "has no value" },
	{ "auth.leeway", "5", "is not a time" },
	{ "auth.leeway", "6m", "is out of range; 0 to 5m" },
	{ "auth.grace", "", "has no value" },
	{ "auth.grace", "1 h", "is not a time" },
	{ "auth.grace", "366d", "is out of range; 0 to 365d" },
	{ "auth.max_life", "", "has no value" },
	{ "auth.max_life", "for ever", "is not a time" },
	{ "auth.max_life", "3651d", "is out of range; 0 to 3650d" },
	{ "auth.grants_claim", "", "has no value" },
	{ "auth.grants_claim", "a\001", "holds a control character" },
	{ "auth.topics", "user/{sub}/**/x", "is no pattern of topics" },
	{ "auth.cookie", "", "has no value" },
	{ "auth.cookie", "a b", "cannot be a cookie's name" },
	{ "auth.cookie", "a=b", "cannot be a cookie's name" },
	{ "topics.public", "a/**/b", "is no pattern of topics: it " },
	{ "topics.public", "a\001", "is no pattern of topics" },
	{ "topics.authenticated", "user/{sub}/**/x", "is no pattern of topics" },
	{ "stream.heartbeat", "", "has no value" },
	{ "stream.heartbeat", "often", "is not a time" },
	{ "stream.heartbeat", "999ms", "is out of range; 1s to 5m" },
	{ "stream.heartbeat", "301s", "is out of range; 1s to 5m" },
	{ "stream.heartbeat", "0", "is out of range" },
	{ "stream.retry", "", "has no value" },
	{ "stream.retry", "3000", "is not a time" },
	{ "stream.retry", "500ms", "is out of range; 1s to 1m" },
	{ "stream.retry", "61s", "is out of range; 1s to 1m" },
	{ "stream.queue", "", "has no value" },
	{ "stream.queue", "1x", "is not a size" },
	{ "stream.queue", "4095", "is out of range; 4k to 1G" },
	{ "stream.max_replay", "", "has no value" },
	{ "stream.max_replay", "all", "is not a whole number" },
	{ "stream.max_replay", "0", "is out of range; 1 to 1000000000" },
	{ "stream.stall", "", "has no value" },
	{ "stream.stall", "x", "is not a time" },
	{ "stream.stall", "2h", "is out of range; 1s to 1h" },
	{ "log.level", "", "has no value" },
	{ "log.level", "loud", "is none of its values: error, warn, info or debug" },
	{ "log.format", "", "has no value" },
	{ "log.format", "xml", "is none of its values: text or json" },
	/* no such option */
	{ "store.retain_agee", "1h", "no such option; did you mean store.retain_age?" },
	{ "server.retain_age", "1h", "no such option; did you mean store.retain_age?" },
	{ "sever.listen", "a:1", "no such option; did you mean server.listen?" },
	{ "Server.Listen", "a:1", "no such option; did you mean server.listen?" },
	{ "topics.pubilc", "a", "no such option; did you mean topics.public?" },
	{ "listen", "a:1", "no such option; did you mean server.listen?" },
	{ "cookie.monster", "a", "here: cookie.monster: no such option" },
	{ "", "a", "no such option" },
};

START_TEST(a_wrong_value_is_refused_with_a_message_that_helps)
{
	char begin[128];
	size_t i;

	for (i = 0; i < N(wrong); i++) {
		again();
		ck_assert_msg(set(wrong[i].name, wrong[i].value) == -1, "%s = %s",
		    wrong[i].name, wrong[i].value);
		ck_assert_msg(strstr(err, wrong[i].says) != NULL,
		    "%s = %s: \"%s\" does not hold \"%s\"", wrong[i].name,
		    wrong[i].value, err, wrong[i].says);
		snprintf(begin, sizeof begin, "here: %s: ", wrong[i].name);
		ck_assert_int_eq(strncmp(err, begin, strlen(begin)), 0);
	}
}
END_TEST

START_TEST(a_wrong_value_changes_nothing)
{
	ck_assert_int_eq(set("server.listen", "127.0.0.1:1, nonsense"), -1);
	is_list(&c->listen, "127.0.0.1:8080");
	ck_assert_int_eq(set("store.tail", "1"), -1);
	ck_assert_uint_eq(c->tail_bytes, 64 << 20);
	ck_assert_int_eq(set("auth.cookie", "a b"), -1);
	ck_assert_str_eq(c->cookie, "fanfare_token");
}
END_TEST

/* So that a new option comes with its mistakes.  Only lists may be empty, and
 * api_keys is judged by auth.c. */
START_TEST(every_option_has_its_wrong_values_here)
{
	size_t i, j, n;

	for (i = 0; i < conf_table_n; i++) {
		for (j = n = 0; j < N(wrong); j++)
			n += strcmp(wrong[j].name, conf_table[i].name) == 0;
		if (strcmp(conf_table[i].name, "auth.api_keys") == 0)
			continue;
		ck_assert_msg(n > 0, "%s has no row", conf_table[i].name);
	}
}
END_TEST

/* Found by the fuzzer: whoever puts a key on the wrong side of the = would have had it
 * in the journal, and a terminal would have had the controls of a wrong value. */
START_TEST(F1_nothing_of_an_api_key_is_shown_wherever_it_stands)
{
	static const char *const files[] = {
		"[auth]\n" SECRET " = backend\n", SECRET " = x\n", "[" SECRET "]\n",
		"[server]\nlisten = " SECRET "\n", "[server]\nlisten = :" SECRET "\n",
		"[log]\nlevel = backend:" SECRET "\n",
		"[server]\ncors_origins = https://" SECRET "/\n",
	};

	for (size_t i = 0; i < N(files); i++) {
		again();
		ck_assert_int_eq(load(files[i]), -1);
		ck_assert_ptr_null(strstr(err, &SECRET[4]));
		ck_assert_ptr_nonnull(strstr(err, "ffk_..."));
	}
}
END_TEST

START_TEST(F1_a_message_holds_no_control_of_the_value)
{
	static const char *const values[] = { ":/x\x01y", ":\x1b[2J", ("a\xc2\x9b" "2J") };

	for (size_t i = 0; i < N(values); i++) {
		again();
		ck_assert_int_eq(set("server.listen", values[i]), -1);
		ck_assert(!text_has_control(err, strlen(err)));
	}
}
END_TEST

START_TEST(a_secret_is_never_in_a_message)
{
	ck_assert_int_eq(conf_set(c, "auth.key", "", "here", err, sizeof err), -1);
	ck_assert_str_eq(err, "here: auth.key: has no value");
	ck_assert(conf_is_secret("auth.key"));
	ck_assert(conf_is_secret("auth.api_keys"));
	ck_assert(!conf_is_secret("auth.key_file"));
	ck_assert_int_eq(load("[auth]\napi_key = " SECRET "\n"), -1);
	ck_assert_ptr_nonnull(strstr(err, "did you mean auth.api_keys?"));
	ck_assert_ptr_null(strstr(err, "ffk_"));
	ck_assert_int_eq(load("[auth]\nkey = " SECRET "\nkey = " SECRET "\n"), -1);
	ck_assert_ptr_null(strstr(err, "ffk_"));
	ck_assert_int_eq(load("[auth]\n" SECRET "\n"), -1);
	ck_assert_ptr_null(strstr(err, "ffk_"));
}
END_TEST

START_TEST(the_defaults_are_those_of_the_manual)
{
	is_list(&c->listen, "127.0.0.1:8080");
	is_list(&c->admin_listen, "127.0.0.1:8081");
	is_list(&c->cors_origins, "");
	is_list(&c->trusted_proxies, "");
	ck_assert_uint_eq(c->max_streams, 0);
	ck_assert_uint_eq(c->max_streams_per_ip, 0);
	ck_assert_uint_eq(c->max_streams_per_token, 0);
	ck_assert_uint_eq(c->publish_rate, 0);
	ck_assert_uint_eq(c->publish_burst, 0);
	ck_assert_uint_eq(c->max_event_bytes, 65536);
	ck_assert_uint_eq(c->max_body_bytes, 1048576);
	ck_assert_uint_eq(c->threads, 0);
	ck_assert_int_eq(c->drain_time_ms, 10000);
	ck_assert_str_eq(c->store_path, "fanfare.db");
	ck_assert_int_eq(c->durability, CONF_FULL);
	ck_assert_int_eq(c->retain_age_ms, 86400000);
	ck_assert_uint_eq(c->retain_events_per_topic, 0);
	ck_assert_uint_eq(c->retain_bytes, 1 << 30);
	ck_assert_uint_eq(c->tail_bytes, 64 << 20);
	is_list(&c->api_keys, "");
	ck_assert_ptr_null(c->api_keys_file);
	ck_assert_ptr_null(c->house.key);
	ck_assert_ptr_null(c->house.key_file);
	ck_assert_ptr_null(c->house.issuer);
	ck_assert_ptr_null(c->house.audience);
	ck_assert_int_eq(c->house.leeway_ms, 5000);
	ck_assert_int_eq(c->house.grace_ms, 0);
	ck_assert_str_eq(c->house.grants_claim, "fanfare");
	ck_assert_str_eq(c->cookie, "fanfare_token");
	is_list(&c->public_topics, "");
	is_list(&c->authenticated_topics, "");
	ck_assert_int_eq(c->heartbeat_ms, 15000);
	ck_assert_int_eq(c->retry_ms, 3000);
	ck_assert_uint_eq(c->queue_bytes, 262144);
	ck_assert_uint_eq(c->max_replay, 10000);
	ck_assert_int_eq(c->stall_ms, 30000);
	ck_assert_int_eq(c->log_level, LOG_INFO);
	ck_assert(!c->log_json);
	ck_assert(!c->dev);
	ck_assert(!c->demo);
	ck_assert_ptr_null(c->file);
}
END_TEST

START_TEST(values_land_in_their_fields)
{
	ck_assert_int_eq(load("[server]\n"
	    "max_streams = 5\nmax_streams_per_ip = 6\nmax_event = 1k\n"
	    "max_streams_per_token = 7\npublish_rate = 8\npublish_burst = 9\n"
	    "max_body = 2M\nthreads = 3\ndrain_time = 0\n"
	    "[store]\npath = /x y/z.db\ndurability = normal\nretain_age = 2d\n"
	    "retain_events_per_topic = 7\nretain_bytes = 0\ntail = 1M\n"
	    "[auth]\napi_keys_file = k\nkey_file = f\nissuer = i#;\n"
	    "audience = a\ngrants_claim = https://x/y\ncookie = __session\n"
	    "leeway = 1ms\ngrace = 12h\n"
	    "[stream]\nheartbeat = 5m\nretry = 1m\nqueue = 1M\n"
	    "max_replay = 8\nstall = 1m\n[log]\nlevel = debug\nformat = json\n"), 0);
	ck_assert_uint_eq(c->max_streams, 5);
	ck_assert_uint_eq(c->max_streams_per_ip, 6);
	ck_assert_uint_eq(c->max_streams_per_token, 7);
	ck_assert_uint_eq(c->publish_rate, 8);
	ck_assert_uint_eq(c->publish_burst, 9);
	ck_assert_uint_eq(c->max_event_bytes, 1024);
	ck_assert_uint_eq(c->max_body_bytes, 2 << 20);
	ck_assert_uint_eq(c->threads, 3);
	ck_assert_int_eq(c->drain_time_ms, 0);
	ck_assert_str_eq(c->store_path, "/x y/z.db");
	ck_assert_int_eq(c->durability, CONF_NORMAL);
	ck_assert_int_eq(c->retain_age_ms, 172800000);
	ck_assert_uint_eq(c->retain_events_per_topic, 7);
	ck_assert_uint_eq(c->retain_bytes, 0);
	ck_assert_uint_eq(c->tail_bytes, 1 << 20);
	ck_assert_str_eq(c->api_keys_file, "k");
	ck_assert_str_eq(c->house.key_file, "f");
	ck_assert_str_eq(c->house.issuer, "i#;");
	ck_assert_str_eq(c->house.audience, "a");
	ck_assert_str_eq(c->house.grants_claim, "https://x/y");
	ck_assert_str_eq(c->cookie, "__session");
	ck_assert_int_eq(c->house.leeway_ms, 1);
	ck_assert_int_eq(c->house.grace_ms, 43200000);
	ck_assert_int_eq(c->heartbeat_ms, 300000);
	ck_assert_int_eq(c->retry_ms, 60000);
	ck_assert_uint_eq(c->queue_bytes, 1 << 20);
	ck_assert_uint_eq(c->max_replay, 8);
	ck_assert_int_eq(c->stall_ms, 60000);
	ck_assert_int_eq(c->log_level, LOG_DEBUG);
	ck_assert(c->log_json);
	ck_assert_str_eq(c->file, "fanfare.conf");
}
END_TEST

static const struct {
	const char	*name, *value, *joined;
} lists[] = {
	{ "topics.public", "a b,c ,\td", "a|b|c|d" },
	{ "topics.public", "", "" },
	{ "topics.public", ",,", "" },
	{ "topics.public", "a\\,b c\\ d", "a,b|c d" },
	{ "topics.public", "a\\\\b a\\b", "a\\b|a\\b" },
	{ "topics.public", "scores/*/goals x/**", "scores/*/goals|x/**" },
	{ "topics.public", "\xc3\xa9/x", "\xc3\xa9/x" },
	{ "topics.public", "https://example.com/books/{id}",
	    "https://example.com/books/{id}" },
};

START_TEST(lists_are_cut_at_spaces_and_commas)
{
	size_t i;

	for (i = 0; i < N(lists); i++) {
		again();
		ck_assert_int_eq(set(lists[i].name, lists[i].value), 0);
		is_list(&c->public_topics, lists[i].joined);
	}
}
END_TEST

START_TEST(api_keys_are_cut_at_commas_alone)
{
	ck_assert_int_eq(set("auth.api_keys",
	    " a:ffk_1:x/** y , b:ffk_2,c:ffk_3: z , "), 0);
	is_list(&c->api_keys, "a:ffk_1:x/** y|b:ffk_2|c:ffk_3: z");
}
END_TEST

static const struct {
	const char	*name, *value;
} right[] = {
	{ "server.listen", "0.0.0.0:0 [::]:80, localhost:65535 a-b.c_d:1" },
	{ "server.listen", "unix:/run/x.sock?mode=0660&group=www-data" },
	{ "server.listen", "[fe80::1%eth0]:80" },
	{ "server.admin_listen", "off" },
	{ "server.cors_origins", "*" },
	{ "server.cors_origins", "https://a.example http://localhost:3000" },
	{ "server.cors_origins", "https://app-*-team.vercel.app" },
	{ "server.cors_origins", "https://*.example.com:8443" },
	{ "server.cors_origins", "http://[::1]:3000 http://10.0.0.1" },
	{ "server.cors_origins", "capacitor://localhost http://a.example:443" },
	{ "server.cors_origins", "" },
	{ "server.trusted_proxies", "private, 10.1.2.3 fd00::/8 unix loopback" },
	{ "server.trusted_proxies", "" },
	{ "topics.authenticated", "user/{sub}/**, org/{org_id}" },
	{ "auth.key", " -----BEGIN PUBLIC KEY-----\nabc\n" },
	{ "auth.key", "\"quoted, and # not a comment\"" },
	{ "store.retain_age", " 1h " },
};

START_TEST(right_values_are_taken)
{
	size_t i;

	for (i = 0; i < N(right); i++) {
		again();
		ck_assert_msg(set(right[i].name, right[i].value) == 0, "%s", err);
	}
}
END_TEST

START_TEST(a_secret_is_taken_byte_for_byte)
{
	ck_assert_int_eq(set("auth.key", " \"a\" \n"), 0);
	ck_assert_str_eq(c->house.key, " \"a\" \n");
}
END_TEST

START_TEST(off_switches_the_admin_listener_off)
{
	ck_assert_int_eq(set("server.admin_listen", "off"), 0);
	ck_assert_uint_eq(c->admin_listen.n, 0);
	ck_assert_ptr_null(c->admin_listen.v[0]);
}
END_TEST

START_TEST(an_address_is_taken_apart)
{
	static const struct {
		const char	*text, *host, *port, *path, *group;
		unsigned int	 mode;
		bool		 is_loopback;
	} rows[] = {
		{ "127.0.0.1:080", "127.0.0.1", "80", "", "", 0, true },
		{ "127.9.9.9:1", "127.9.9.9", "1", "", "", 0, true },
		{ "128.0.0.1:1", "128.0.0.1", "1", "", "", 0, false },
		{ "[::1]:0", "::1", "0", "", "", 0, true },
		{ "[::]:80", "::", "80", "", "", 0, false },
		{ "localhost:80", "localhost", "80", "", "", 0, true },
		{ "localhost.evil.example:80", "localhost.evil.example", "80", "",
		    "", 0, false },
		{ "0.0.0.0:80", "0.0.0.0", "80", "", "", 0, false },
		{ "unix:/a", "", "", "/a", "", 0660, true },
		{ "unix:/a?mode=666", "", "", "/a", "", 0666, true },
		{ "unix:/a?group=g&mode=0600", "", "", "/a", "g", 0600, true },
	};
	struct conf_listen l;
	size_t i;

	for (i = 0; i < N(rows); i++) {
		ck_assert_msg(conf_parse_listen(rows[i].text, &l, err,
		    sizeof err) == 0, "%s %s", rows[i].text, err);
		ck_assert_str_eq(l.host, rows[i].host);
		ck_assert_str_eq(l.port, rows[i].port);
		ck_assert_str_eq(l.path, rows[i].path);
		ck_assert_str_eq(l.group, rows[i].group);
		ck_assert_uint_eq(l.mode, rows[i].mode);
		ck_assert_int_eq(l.is_unix, *rows[i].path != '\0');
		ck_assert_msg(conf_listen_is_loopback(&l) ==
		    rows[i].is_loopback, "%s", rows[i].text);
	}
}
END_TEST

START_TEST(a_socket_path_must_fit)
{
	char text[256] = "unix:/";
	struct conf_listen l;

	memset(text + 6, 'x', 106);
	ck_assert_int_eq(conf_parse_listen(text, &l, err, sizeof err), 0);
	ck_assert_uint_eq(strlen(l.path), 107);
	text[112] = 'x';
	ck_assert_int_eq(conf_parse_listen(text, &l, err, sizeof err), -1);
	ck_assert_ptr_nonnull(strstr(err, "at most 107 bytes"));
}
END_TEST

/* ---- the file ---- */

static const struct {
	const char	*text, *says;
} bad_files[] = {
	{ "[store]\n\nretain_agee = 1h\n",
	    "fanfare.conf:3: store.retain_agee: no such option; did you mean store.retain_age?" },
	{ "# a\n; b\n[store]\nretain_age = soon\n",
	    "fanfare.conf:4: store.retain_age: \"soon\" is not a time" },
	{ "listen = a:1\n", "fanfare.conf:1: listen stands before the first section; "
	    "write [server] above it" },
	{ "\n\nqueue = 1\n[log]\nlevel = info\n",
	    "fanfare.conf:3: queue stands before the first section; write [stream]" },
	{ "[server]\nlisten\n", "fanfare.conf:2: this is no \"key = value\"" },
	{ "[server]\nlisten = a:1 \\\n  b:2\n", "fanfare.conf:3: this is no \"key = value\"" },
	{ "[server]\n  # indented\n", "fanfare.conf:2: this is no \"key = value\"" },
	{ "[server]\nlisten: a:1\n", "fanfare.conf:2: this is no \"key = value\"" },
	{ "[server]\n= 1\n", "fanfare.conf:2: there is no key before the =" },
	{ "[server\nlisten = a:1\n", "fanfare.conf:1: a section is [name]" },
	{ "[server] # web\nlisten = a:1\n", "fanfare.conf:1: a section is [name]" },
	{ "[]\n", "fanfare.conf:1: the section has no name" },
	{ "[servr]\n", "fanfare.conf: [servr]: no such section" },
	{ "[servr]\nlisten = a:1\n", "fanfare.conf:2: servr.listen: no such option; "
	    "did you mean server.listen?" },
	{ "[auth.clerk]\nisuer = x\n", "fanfare.conf:2: auth.clerk.isuer: no such option; "
	    "did you mean auth.clerk.issuer?" },
	{ "[auth.clerk]\ncookie = x\n", "fanfare.conf:2: auth.clerk.cookie: cookie stands "
	    "in [auth] alone" },
	{ "[auth.clerk]\nwhatever = x\n", "fanfare.conf:2: auth.clerk.whatever: no such "
	    "option" },
	{ "[auth.clerk]\nleeway = 5\n", "fanfare.conf:2: auth.clerk.leeway: \"5\" is not a "
	    "time" },
	{ "[auth.clerk]\nissuer =\n", "fanfare.conf:2: auth.clerk.issuer: has no value" },
	{ "[auth.clerk]\nissuer = a\n[auth.clerk]\nissuer = b\n",
	    "fanfare.conf:4: auth.clerk.issuer is set already on line 2" },
	{ "[auth.Clerk]\nissuer = x\n", "fanfare.conf:2: [auth.Clerk]: a name is 1 to 32 "
	    "small letters" },
	{ "[auth.my-idp]\nissuer = x\n", "fanfare.conf:2: [auth.my-idp]: a name is" },
	{ "[auth.a.b]\nissuer = x\n", "fanfare.conf:2: [auth.a.b]: a name is" },
	{ "[auth.7]\nissuer = x\n", "fanfare.conf:2: [auth.7]: a name is" },
	{ "[auth.]\nissuer = x\n", "fanfare.conf:2: auth..issuer: no such option" },
	{ "[auth.api]\nissuer = x\n", "fanfare.conf:2: [auth.api]: this name would be taken "
	    "for api_keys" },
	{ "[topic x/*]\nretain = 1\n", "fanfare.conf:2: [topic x/*]: sections for "
	    "single topics are reserved" },
	{ "[server]\nlisten = a:1\nthreads = 1\nlisten = a:2\n",
	    "fanfare.conf:4: server.listen is set already on line 2" },
	{ "[server]\nthreads = 1\n[log]\nlevel = info\n[server]\nthreads = 1\n",
	    "fanfare.conf:6: server.threads is set already on line 2" },
	{ "[server]\nTHREADS = 1\n", "fanfare.conf:2: server.THREADS: no such option; "
	    "did you mean server.threads?" },
	{ "[server]\n# \xc3\xa9\nlist\xc3\xa9n = a:1\n", "fanfare.conf:3: the name holds "
	    "a character that no option has" },
	{ "[server]\nhey! = a:1\n", "fanfare.conf:2: the name holds a character" },
	{ "[log]\nlevel = info\n# \xff\n", "fanfare.conf:3: is not UTF-8" },
	{ "[log]\nlevel =\n", "fanfare.conf:2: log.level: has no value" },
	{ "[server]\nlisten = \"a:1\"\n", "is written without the quotes" },
};

START_TEST(a_mistake_in_the_file_is_told_with_its_line)
{
	size_t i;

	for (i = 0; i < N(bad_files); i++) {
		again();
		ck_assert_int_eq(load(bad_files[i].text), -1);
		ck_assert_msg(strncmp(err, bad_files[i].says,
		    strlen(bad_files[i].says)) == 0 ||
		    (bad_files[i].says[0] == 'i' && strstr(err, bad_files[i].says)),
		    "\"%s\" does not begin with \"%s\"", err, bad_files[i].says);
	}
}
END_TEST

START_TEST(no_key_may_stand_twice)
{
	char text[512], says[256];
	const char *value, *key;
	size_t i;

	for (i = 0; i < conf_table_n; i++) {
		const struct conf_option *o = &conf_table[i];

		again();
		key = strchr(o->name, '.') + 1;
		value = o->def != NULL ? o->def : o->example;
		snprintf(text, sizeof text, "[%.*s]\n%s = %s\n\n%s = %s\n",
		    (int)(key - 1 - o->name), o->name, key, value, key, value);
		snprintf(says, sizeof says,
		    "fanfare.conf:4: %s is set already on line 2", o->name);
		ck_assert_int_eq(load(text), -1);
		ck_assert_str_eq(err, says);
	}
}
END_TEST

START_TEST(a_nul_byte_in_the_file_is_an_error)
{
	static const char text[] = "[auth]\nissuer = a\0b\n";

	write_file(text, sizeof text - 1);
	ck_assert_int_eq(conf_load_file(c, "fanfare.conf", err, sizeof err), -1);
	ck_assert_str_eq(err, "fanfare.conf:2: holds a NUL byte");
}
END_TEST

START_TEST(values_of_8_kB_come_whole)
{
	char text[9000] = "[auth]\nissuer = ";
	size_t n = strlen(text);

	memset(text + n, 'x', 8192);
	strcpy(text + n + 8192, "\n");
	ck_assert_int_eq(load(text), 0);
	ck_assert_uint_eq(strlen(c->house.issuer), 8192);
}
END_TEST

START_TEST(the_file_may_be_written_as_people_do)
{
	ck_assert_int_eq(load("\xef\xbb\xbf# mark\r\n[server]\r\n  threads = 2\r\n\r\n"
	    "[topics]\r\n\tpublic=a b\r\n[server]\r\ndrain_time   =   1s   \r\n"
	    "[auth]\r\nissuer = a ; b # c = \xc3\xa9"), 0);
	ck_assert_uint_eq(c->threads, 2);
	is_list(&c->public_topics, "a|b");
	ck_assert_int_eq(c->drain_time_ms, 1000);
	ck_assert_str_eq(c->house.issuer, "a ; b # c = \xc3\xa9");
}
END_TEST

START_TEST(an_empty_file_changes_nothing)
{
	ck_assert_int_eq(load(""), 0);
	ck_assert_int_eq(load("\n# x\n"), 0);
	ck_assert_int_eq(load("[server]\n"), 0);
	is_list(&c->listen, "127.0.0.1:8080");
}
END_TEST

START_TEST(a_file_that_is_none_is_told)
{
	ck_assert_int_eq(conf_load_file(c, "none.conf", err, sizeof err), -1);
	ck_assert_str_eq(err, "none.conf: cannot be read: No such file or directory");
	ck_assert_int_eq(conf_load_file(c, "/tmp", err, sizeof err), -1);
	ck_assert_str_eq(err, "/tmp: is a directory, not a file");
	ck_assert_int_eq(conf_load_file(c, "/dev/zero", err, sizeof err), -1);
	ck_assert_str_eq(err, "/dev/zero: is larger than 1M");
}
END_TEST

/* ---- the environment ---- */

static int
load_env(const char *first, const char *second)
{
	char *copies[3] = { strdup(first), second != NULL ? strdup(second) : NULL,
	    NULL };
	int r;

	environ = copies;
	r = conf_load_env(c, err, sizeof err);
	environ = no_environ;
	free(copies[0]);
	free(copies[1]);
	return r;
}

START_TEST(every_option_is_a_variable_too)
{
	char text[512], *p;
	size_t i;

	for (i = 0; i < conf_table_n; i++) {
		const struct conf_option *o = &conf_table[i];

		again();
		snprintf(text, sizeof text, "FANFARE_%s=%s", o->name,
		    o->def != NULL ? o->def : o->example);
		for (p = text; *p != '='; p++)
			*p = *p == '.' ? '_' : *p >= 'a' && *p <= 'z' ?
			    (char)(*p - 'a' + 'A') : *p;
		ck_assert_msg(load_env(text, NULL) == 0, "%s: %s", text, err);
		ck_assert_msg(c->where[i] != NULL, "%s did nothing", text);
	}
}
END_TEST

static const struct {
	const char	*variable, *says;	/* NULL: no error */
} variables[] = {
	{ "FANFARE_STORE_RETAIN_AGE=soon",
	    "FANFARE_STORE_RETAIN_AGE: store.retain_age: \"soon\" is not a time" },
	{ "FANFARE_STORE_PAHT=x", "FANFARE_STORE_PAHT: no option has this variable; did "
	    "you mean FANFARE_STORE_PATH?" },
	{ "FANFARE_LISTEN_ADDRESS_OF_SERVER=x", "FANFARE_LISTEN_ADDRESS_OF_SERVER: no "
	    "option has this variable" },
	{ "FANFARE_AUTH_API_KEY=x", "FANFARE_AUTH_API_KEY: no option has this variable; did "
	    "you mean FANFARE_AUTH_API_KEYS?" },
	{ "FANFARE_AUTH_CLERK_ISSUR=x", "FANFARE_AUTH_CLERK_ISSUR: no option has this" },
	{ "FANFARE_AUTH_CLERK_LEEWAY=5", "FANFARE_AUTH_CLERK_LEEWAY: auth.clerk.leeway: "
	    "\"5\" is not a time" },
	{ "FANFARE_AUTH__ISSUER=x", "FANFARE_AUTH__ISSUER: no option has this variable; did you "
	    "mean FANFARE_AUTH_ISSUER?" },
	{ "FANFARE_STORE_PATH=", NULL },	/* empty is unset */
	{ "FANFARE_URL=http://x", NULL },
	{ "FANFARE_API_KEY=ffk_x", NULL },
	{ "FANFARE_PORT=tcp://10.0.0.1:80", NULL },
	{ "FANFARE_PORT_8080_TCP=tcp://10.0.0.1:80", NULL },
	{ "FANFARE_SERVICE_HOST=10.0.0.1", NULL },
	{ "FANFARES=1", NULL },
	{ "fanfare_store_path=1", NULL },
	{ "PORT=", NULL },
	{ "PORT=http", "PORT: server.listen: it is not a port" },
	{ "PORT=65536", "PORT: server.listen: it is not a port" },
};

START_TEST(a_variable_is_taken_or_told_or_not_ours)
{
	int r;
	size_t i;

	for (i = 0; i < N(variables); i++) {
		again();
		r = load_env(variables[i].variable, NULL);
		if (variables[i].says == NULL) {
			ck_assert_msg(r == 0, "%s", err);
			ck_assert_str_eq(c->store_path, "fanfare.db");
		} else {
			ck_assert_int_eq(r, -1);
			ck_assert_msg(strncmp(err, variables[i].says,
			    strlen(variables[i].says)) == 0, "%s", err);
		}
	}
}
END_TEST

START_TEST(later_sources_win)
{
	ck_assert_int_eq(load("[log]\nlevel = warn\n[server]\nlisten = a:1\n"), 0);
	ck_assert_int_eq(c->log_level, LOG_WARN);
	ck_assert_int_eq(load_env("FANFARE_LOG_LEVEL=debug", "PORT=3000"), 0);
	ck_assert_int_eq(c->log_level, LOG_DEBUG);
	is_list(&c->listen, "0.0.0.0:3000");
	ck_assert_int_eq(set("log.level", "error"), 0);
	ck_assert_int_eq(c->log_level, LOG_ERROR);
	/* A list is replaced, not added to. */
	ck_assert_int_eq(set("server.listen", "b:2"), 0);
	is_list(&c->listen, "b:2");
}
END_TEST

START_TEST(our_own_variable_beats_PORT)
{
	ck_assert_int_eq(load_env("FANFARE_SERVER_LISTEN=a:1", "PORT=3000"), 0);
	is_list(&c->listen, "a:1");
	ck_assert_int_eq(load_env("PORT=3000", "FANFARE_SERVER_LISTEN=a:1"), 0);
	is_list(&c->listen, "a:1");
}
END_TEST

/* ---- the rules ---- */

static int
finish(void)
{
	return conf_finish(c, err, sizeof err);
}

START_TEST(without_a_key_the_server_does_not_start)
{
	ck_assert_int_eq(finish(), -1);
	ck_assert_ptr_nonnull(strstr(err, "no key is configured"));
	ck_assert_ptr_nonnull(strstr(err, "fanfare key"));
	ck_assert_ptr_nonnull(strstr(err, "--dev"));
}
END_TEST

START_TEST(any_key_is_enough)
{
	static const char *const names[] = { "auth.api_keys", "auth.api_keys_file",
	    "auth.key", "auth.key_file" };
	size_t i;

	for (i = 0; i < N(names); i++) {
		again();
		ck_assert_int_eq(set(names[i], "a:" SECRET), 0);
		ck_assert_msg(finish() == 0, "%s: %s", names[i], err);
	}
}
END_TEST

static const struct {
	const char	*text, *says;
} clashes[] = {
	{ "[server]\nmax_event = 1M\nmax_body = 512k\n[stream]\nqueue = 8M\n",
	    "fanfare.conf:3: server.max_body: is smaller than server.max_event, which is "
	    "1M (fanfare.conf:2)" },
	{ "[server]\nmax_event = 129k\n", "default: stream.queue: must be at least twice "
	    "server.max_event, which is 129k (fanfare.conf:2)" },
	{ "[stream]\nqueue = 131071\n", "fanfare.conf:2: stream.queue: must be at least "
	    "twice server.max_event, which is 64k (default)" },
	{ "[server]\ncors_origins = * https://a.example\n",
	    "fanfare.conf:2: server.cors_origins: * stands alone" },
	{ "[auth]\nkey = x\nkey_file = y\n", "fanfare.conf:3: auth.key_file: auth.key is "
	    "set too (fanfare.conf:2); keep one of them" },
	{ "[server]\nlisten = a:1 127.0.0.1:8081\n", "default: server.admin_listen: "
	    "127.0.0.1:8081 is server.listen too (fanfare.conf:2)" },
};

START_TEST(options_that_contradict_each_other_are_told)
{
	size_t i;

	for (i = 0; i < N(clashes); i++) {
		again();
		ck_assert_msg(load(clashes[i].text) == 0, "%s", err);
		ck_assert_int_eq(finish(), -1);
		ck_assert_msg(strncmp(err, clashes[i].says,
		    strlen(clashes[i].says)) == 0, "%s", err);
	}
}
END_TEST

START_TEST(limits_that_just_fit_are_fine)
{
	ck_assert_int_eq(load("[server]\nmax_event = 1M\nmax_body = 1M\n"
	    "listen = 127.0.0.1:0\nadmin_listen = 127.0.0.1:0\n"
	    "[stream]\nqueue = 2M\n[auth]\nkey = x\n"), 0);
	ck_assert_msg(finish() == 0, "%s", err);
}
END_TEST

START_TEST(dev_makes_keys_and_opens_topics)
{
	c->dev = true;
	ck_assert_msg(finish() == 0, "%s", err);
	ck_assert(c->demo);
	is_list(&c->public_topics, "**");
	ck_assert_uint_eq(c->api_keys.n, 1);
	ck_assert_int_eq(strncmp(c->api_keys.v[0], "dev:ffk_", 8), 0);
	ck_assert_str_eq(c->api_keys.v[0] + 4, c->dev_secret);
	ck_assert_ptr_nonnull(c->house.key);
	ck_assert_uint_ge(strlen(c->house.key), 32);
	ck_assert_str_ne(c->house.key, c->dev_secret);
	is_list(&c->cors_origins, "http://localhost:*|http://127.0.0.1:*|"
	    "http://localhost|http://127.0.0.1");
}
END_TEST

START_TEST(dev_keys_are_new_in_each_run_and_kept_over_a_reload)
{
	struct conf *other = conf_new(), *reloaded = conf_new();

	c->dev = other->dev = reloaded->dev = true;
	ck_assert_int_eq(finish(), 0);
	ck_assert_int_eq(conf_finish(other, err, sizeof err), 0);
	ck_assert_str_ne(c->dev_secret, other->dev_secret);
	ck_assert_str_ne(c->house.key, other->house.key);
	reloaded->dev_secret = strdup(c->dev_secret);
	reloaded->dev_token_key = strdup(c->dev_token_key);
	ck_assert_int_eq(conf_finish(reloaded, err, sizeof err), 0);
	ck_assert_str_eq(c->api_keys.v[0], reloaded->api_keys.v[0]);
	ck_assert_str_eq(c->house.key, reloaded->house.key);
	conf_free(other);
	conf_free(reloaded);
}
END_TEST

START_TEST(dev_keeps_keys_that_are_configured)
{
	c->dev = true;
	ck_assert_int_eq(set("auth.key_file", "k"), 0);
	ck_assert_int_eq(set("auth.api_keys", "a:ffk_1, dev:" SECRET ":x y"), 0);
	ck_assert_int_eq(finish(), 0);
	is_list(&c->api_keys, "a:ffk_1|dev:" SECRET ":x y");
	ck_assert_str_eq(c->dev_secret, SECRET);
	ck_assert_ptr_null(c->house.key);
}
END_TEST

START_TEST(dev_listens_on_loopback_only)
{
	static const char *const refused[] = { "0.0.0.0:80", "[::]:80", "10.0.0.1:80",
	    "example.com:80", "127.0.0.1:80 192.168.0.1:80" };
	size_t i;

	for (i = 0; i < N(refused); i++) {
		again();
		c->dev = true;
		ck_assert_int_eq(set("server.listen", refused[i]), 0);
		ck_assert_int_eq(finish(), -1);
		ck_assert_ptr_nonnull(strstr(err, "here: server.listen: with --dev"));
	}
	again();
	c->dev = true;
	ck_assert_int_eq(set("server.admin_listen", "0.0.0.0:81"), 0);
	ck_assert_int_eq(finish(), -1);
	ck_assert_ptr_nonnull(strstr(err, "here: server.admin_listen: with --dev"));
}
END_TEST

START_TEST(dev_takes_the_port_alone_from_PORT)
{
	c->dev = true;
	ck_assert_int_eq(load_env("PORT=65000", NULL), 0);
	is_list(&c->listen, "0.0.0.0:65000");
	ck_assert_msg(finish() == 0, "%s", err);
	is_list(&c->listen, "127.0.0.1:65000");
}
END_TEST

START_TEST(a_relative_store_lies_in_the_state_directory)
{
	static const struct {
		const char	*variable, *path, *result;
	} rows[] = {
		{ "STATE_DIRECTORY=/var/lib/f", "fanfare.db", "/var/lib/f/fanfare.db" },
		{ "STATE_DIRECTORY=/var/lib/f:/b", "x/y", "/var/lib/f/x/y" },
		{ "STATE_DIRECTORY=/var/lib/f", "/abs", "/abs" },
		{ "STATE_DIRECTORY=", "fanfare.db", "fanfare.db" },
	};
	char *variables_of[] = { NULL, NULL };
	size_t i;

	for (i = 0; i < N(rows); i++) {
		again();
		ck_assert_int_eq(set("auth.key", "x"), 0);
		ck_assert_int_eq(set("store.path", rows[i].path), 0);
		variables_of[0] = strdup(rows[i].variable);
		environ = variables_of;
		ck_assert_int_eq(finish(), 0);
		environ = no_environ;
		free(variables_of[0]);
		ck_assert_str_eq(c->store_path, rows[i].result);
	}
}
END_TEST

/* ---- [auth.NAME] ---- */

START_TEST(an_issuer_section_has_fields_and_defaults_of_its_own)
{
	ck_assert_msg(load("[auth]\nkey = house\ngrace = 1h\naudience = house\n"
	    "[auth.clerk]\nissuer = https://clerk\njwks = https://clerk/jwks\n"
	    "[auth.b_2]\nissuer = b\nkey_file = f\ngrants_claim = g\nleeway = 1s\n"
	    "publish = yes\naudience = a\ngrace = 12h\n[topics]\npublic = x\n") == 0,
	    "%s", err);
	ck_assert_msg(finish() == 0, "%s", err);
	ck_assert_uint_eq(c->n_issuers, 2);
	ck_assert_str_eq(c->issuers[0].name, "clerk");
	ck_assert_str_eq(c->issuers[0].issuer, "https://clerk");
	ck_assert_str_eq(c->issuers[0].jwks, "https://clerk/jwks");
	ck_assert_ptr_null(c->issuers[0].key);
	ck_assert_ptr_null(c->issuers[0].audience);
	ck_assert_str_eq(c->issuers[0].grants_claim, "fanfare");
	ck_assert_int_eq(c->issuers[0].leeway_ms, 5000);
	ck_assert_int_eq(c->issuers[0].grace_ms, 0);
	ck_assert(!c->issuers[0].publish);
	ck_assert_str_eq(c->issuers[1].name, "b_2");
	ck_assert_str_eq(c->issuers[1].key_file, "f");
	ck_assert_str_eq(c->issuers[1].grants_claim, "g");
	ck_assert_str_eq(c->issuers[1].audience, "a");
	ck_assert_int_eq(c->issuers[1].leeway_ms, 1000);
	ck_assert_int_eq(c->issuers[1].grace_ms, 43200000);
	ck_assert(c->issuers[1].publish);
	ck_assert_str_eq(c->house.audience, "house");
	ck_assert_int_eq(c->house.grace_ms, 3600000);
	ck_assert(c->house.publish);
}
END_TEST

START_TEST(an_issuer_comes_from_variables_and_options_too)
{
	ck_assert_int_eq(load("[auth]\nkey = k\n[auth.clerk]\nissuer = file\n"
	    "jwks = file\n"), 0);
	ck_assert_int_eq(load_env("FANFARE_AUTH_CLERK_ISSUER=env",
	    "FANFARE_AUTH_MY_IDP_KEY_FILE=f"), 0);
	ck_assert_int_eq(load_env("FANFARE_AUTH_MY_IDP_ISSUER=https://my",
	    "FANFARE_AUTH_CLERK_GRANTS_CLAIM=g"), 0);
	ck_assert(conf_known("auth.clerk.issuer"));
	ck_assert(conf_is_secret("auth.clerk.key"));
	ck_assert(conf_is_secret("auth.key_before"));
	ck_assert(conf_is_secret("auth.clerk.key_before"));
	ck_assert_int_eq(load_env("FANFARE_AUTH_MY_IDP_KEY_BEFORE_FILE=fb",
	    "FANFARE_AUTH_KEY_BEFORE=kb"), 0);
	ck_assert(!conf_is_secret("auth.clerk.issuer"));
	ck_assert_int_eq(set("auth.clerk.jwks", "option"), 0);
	ck_assert_msg(finish() == 0, "%s", err);
	ck_assert_uint_eq(c->n_issuers, 2);
	ck_assert_str_eq(c->issuers[0].issuer, "env");
	ck_assert_str_eq(c->issuers[0].jwks, "option");
	ck_assert_str_eq(c->issuers[0].grants_claim, "g");
	ck_assert_str_eq(c->issuers[1].name, "my_idp");
	ck_assert_str_eq(c->issuers[1].key_file, "f");
	ck_assert_str_eq(c->issuers[1].key_before_file, "fb");
	ck_assert_str_eq(c->house.key_before, "kb");
	ck_assert_str_eq(c->issuers[1].issuer, "https://my");
}
END_TEST

static const struct {
	const char	*text, *says;
} bad_issuers[] = {
	{ "[auth]\nkey = k\n[auth.a]\njwks = j\n",
	    "fanfare.conf:4: [auth.a]: issuer is missing" },
	{ "[auth]\nkey = k\n[auth.a]\n", "fanfare.conf: [auth.a]: issuer is missing" },
	{ "[auth]\nkey = k\n[auth.a]\nissuer = i\n",
	    "fanfare.conf:4: [auth.a]: it has no key" },
	{ "[auth]\nkey = k\n[auth.a]\nissuer = i\njwks = j\nkey = s\n",
	    "fanfare.conf:5: auth.a.jwks: auth.a.key is set too (fanfare.conf:6); keep" },
	{ "[auth]\nkey = k\nkey_before = a\nkey_before_file = b\n",
	    "fanfare.conf:4: auth.key_before_file: auth.key_before is set too "
	    "(fanfare.conf:3); keep one of them" },
	{ "[auth]\napi_keys = k:" SECRET "\nkey_before = a\n", "fanfare.conf:3: "
	    "auth.key_before: there is no key or key_file that it was before" },
	{ "[auth]\nkey = k\n[auth.a]\nissuer = i\njwks = j\nkey_before_file = f\n",
	    "fanfare.conf:6: auth.a.key_before_file: it stands beside key or key_file "
	    "alone: in a JWKS" },
	{ "[auth]\nkey = k\njwks = j\n",
	    "fanfare.conf:3: auth.jwks: auth.key is set too (fanfare.conf:2); keep one" },
	{ "[auth]\nkey = k\n[auth.a]\nissuer = i\njwks = j\n[auth.b]\nkey = k\n"
	    "issuer = i\n", "fanfare.conf:8: auth.b.issuer: is the same as auth.a.issuer "
	    "(fanfare.conf:4)" },
	{ "[auth]\nkey = k\nissuer = i\n[auth.a]\nissuer = i\njwks = j\n",
	    "fanfare.conf:5: auth.a.issuer: is the same as auth.issuer (fanfare.conf:3)" },
	/* Its tokens only read. */
	{ "[auth.a]\nissuer = i\njwks = j\n", "no key is configured that may publish" },
	{ "[auth]\nkey = k\npublish = no\n", "no key is configured that may publish" },
};

START_TEST(J4_a_mistake_in_an_issuer_is_told_with_its_line)
{
	size_t i;

	for (i = 0; i < N(bad_issuers); i++) {
		again();
		ck_assert_msg(load(bad_issuers[i].text) == 0, "%s", err);
		ck_assert_int_eq(finish(), -1);
		ck_assert_msg(strncmp(err, bad_issuers[i].says,
		    strlen(bad_issuers[i].says)) == 0, "\"%s\" is not \"%s\"", err,
		    bad_issuers[i].says);
	}
	again();
	ck_assert_int_eq(load("[auth.a]\nissuer = i\njwks = j\npublish = yes\n"), 0);
	ck_assert_msg(finish() == 0, "%s", err);
}
END_TEST

/* ---- what is printed ---- */

/* What a printer wrote, new. */
static char *
printed(void (*print)(FILE *))
{
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(f);
	print(f);
	ck_assert_int_eq(fclose(f), 0);
	return text;
}

START_TEST(the_sample_file_changes_nothing)
{
	char *sample = printed(conf_print_sample);
	size_t i;

	ck_assert_msg(load(sample) == 0, "%s", err);
	for (i = 0; i < conf_table_n; i++)
		ck_assert_ptr_null(c->where[i]);
	free(sample);
}
END_TEST

START_TEST(the_sample_holds_each_default_and_is_legal_throughout)
{
	char *sample = printed(conf_print_sample), *p;
	struct conf *defaults = conf_new();
	size_t i, j;

	/* Uncomment "#key = value", but not "# text". */
	for (p = sample; (p = strstr(p, "\n#")) != NULL; p++)
		if (p[2] == '[')
			memmove(p + 1, p + 2, strlen(p + 1));
		else if (p[2] != ' ' && p[2] != '\n')
			p[1] = ' ';
	ck_assert_msg(load(sample) == 0, "%s", err);
	for (i = 0; i < conf_table_n; i++) {
		const struct conf_option *o = &conf_table[i];

		ck_assert_msg(c->where[i] != NULL, "%s is missing", o->name);
		if (o->def == NULL)
			continue;
		if (o->type == CONF_LIST) {
			const struct conf_list *a = (const void *)
			    ((const char *)c + o->offset), *b = (const void *)
			    ((const char *)defaults + o->offset);

			ck_assert_uint_eq(a->n, b->n);
			for (j = 0; j < a->n; j++)
				ck_assert_str_eq(a->v[j], b->v[j]);
		} else if (o->type == CONF_TEXT)
			continue;
		else
			ck_assert_msg(memcmp((const char *)c + o->offset,
			    (const char *)defaults + o->offset, o->size) == 0,
			    "%s", o->name);
	}
	ck_assert_str_eq(c->store_path, "fanfare.db");
	ck_assert_str_eq(c->cookie, "fanfare_token");
	ck_assert_str_eq(c->house.grants_claim, "fanfare");
	conf_free(defaults);
	free(sample);
}
END_TEST

START_TEST(help_and_manual_know_every_option)
{
	char *help = printed(conf_print_help), *manual = printed(conf_print_manual),
	    text[128], *p;
	size_t i;

	for (i = 0; i < conf_table_n; i++) {
		const struct conf_option *o = &conf_table[i];

		snprintf(text, sizeof text, "--%s ", o->name);
		ck_assert_msg(strstr(help, text) != NULL, "%s", text);
		snprintf(text, sizeof text, ".It Cm %s No", strchr(o->name, '.') + 1);
		ck_assert_msg(strstr(manual, text) != NULL, "%s", text);
	}
	for (p = help; *p != '\0'; p += strcspn(p, "\n") + 1)
		ck_assert_msg(strcspn(p, "\n") <= 80, "%.90s", p);
	/* No line of text may be taken for a request of roff. */
	for (p = manual; *p != '\0'; p += strcspn(p, "\n") + 1)
		ck_assert_msg(*p != '\'' && (*p != '.' ||
		    strchr("SBIEF", p[1]) != NULL), "%.80s", p);
	free(help);
	free(manual);
}
END_TEST

START_TEST(numbers_read_as_they_were_written)
{
	static const struct {
		enum conf_type	 type;
		uint64_t	 n;
		const char	*text;
	} rows[] = {
		{ CONF_SIZE, 0, "0" }, { CONF_SIZE, 1, "1" },
		{ CONF_SIZE, 1024, "1k" }, { CONF_SIZE, 1 << 20, "1M" },
		{ CONF_SIZE, 1500, "1500" }, { CONF_SIZE, 3u << 30, "3G" },
		{ CONF_DURATION, 0, "0" }, { CONF_DURATION, 1, "1ms" },
		{ CONF_DURATION, 15000, "15s" }, { CONF_DURATION, 60000, "1m" },
		{ CONF_DURATION, 90000, "90s" }, { CONF_DURATION, 86400000, "24h" },
		{ CONF_DURATION, 172800000, "2d" }, { CONF_UINT, 1024, "1024" },
	};
	char text[CONF_NUMBER_SIZE];
	size_t i;

	for (i = 0; i < N(rows); i++) {
		conf_format_number(text, rows[i].type, rows[i].n);
		ck_assert_str_eq(text, rows[i].text);
	}
}
END_TEST

START_TEST(distance_counts_single_edits)
{
	static const struct {
		const char	*a, *b;
		size_t		 d;
	} rows[] = {
		{ "", "", 0 }, { "a", "", 1 }, { "abc", "abc", 0 },
		{ "abc", "ABC", 0 }, { "abc", "acb", 1 }, { "abc", "abd", 1 },
		{ "publish", "publsh", 1 }, { "tail", "serve", 5 },
	};
	char long_word[200];
	size_t i;

	for (i = 0; i < N(rows); i++) {
		ck_assert_uint_eq(conf_distance(rows[i].a, rows[i].b), rows[i].d);
		ck_assert_uint_eq(conf_distance(rows[i].b, rows[i].a), rows[i].d);
	}
	memset(long_word, 'x', sizeof long_word - 1);
	long_word[sizeof long_word - 1] = '\0';
	ck_assert_uint_ge(conf_distance(long_word, "x"), 64);
}
END_TEST

START_TEST(short_names_stand_for_options)
{
	ck_assert_str_eq(conf_alias("db"), "store.path");
	ck_assert_str_eq(conf_alias("listen"), "server.listen");
	ck_assert_str_eq(conf_alias("api-keys-file"), "auth.api_keys_file");
	ck_assert_str_eq(conf_alias("public"), "topics.public");
	ck_assert_ptr_null(conf_alias("path"));
	ck_assert(conf_known("store.path"));
	ck_assert(!conf_known("db"));
	ck_assert(!conf_known("store"));
}
END_TEST

static TCase *
tcase(Suite *s, const char *name)
{
	TCase *t = tcase_create(name);

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 30);
	suite_add_tcase(s, t);
	return t;
}

static Suite *
suite(void)
{
	Suite *s = suite_create("conf");
	TCase *t;

	t = tcase(s, "values");
	tcase_add_test(t, a_wrong_value_is_refused_with_a_message_that_helps);
	tcase_add_test(t, a_wrong_value_changes_nothing);
	tcase_add_test(t, every_option_has_its_wrong_values_here);
	tcase_add_test(t, F1_nothing_of_an_api_key_is_shown_wherever_it_stands);
	tcase_add_test(t, F1_a_message_holds_no_control_of_the_value);
	tcase_add_test(t, a_secret_is_never_in_a_message);
	tcase_add_test(t, the_defaults_are_those_of_the_manual);
	tcase_add_test(t, values_land_in_their_fields);
	tcase_add_test(t, lists_are_cut_at_spaces_and_commas);
	tcase_add_test(t, api_keys_are_cut_at_commas_alone);
	tcase_add_test(t, right_values_are_taken);
	tcase_add_test(t, a_secret_is_taken_byte_for_byte);
	tcase_add_test(t, off_switches_the_admin_listener_off);
	tcase_add_test(t, an_address_is_taken_apart);
	tcase_add_test(t, a_socket_path_must_fit);

	t = tcase(s, "file");
	tcase_add_test(t, a_mistake_in_the_file_is_told_with_its_line);
	tcase_add_test(t, no_key_may_stand_twice);
	tcase_add_test(t, a_nul_byte_in_the_file_is_an_error);
	tcase_add_test(t, values_of_8_kB_come_whole);
	tcase_add_test(t, the_file_may_be_written_as_people_do);
	tcase_add_test(t, an_empty_file_changes_nothing);
	tcase_add_test(t, a_file_that_is_none_is_told);

	t = tcase(s, "environment");
	tcase_add_test(t, every_option_is_a_variable_too);
	tcase_add_test(t, a_variable_is_taken_or_told_or_not_ours);
	tcase_add_test(t, later_sources_win);
	tcase_add_test(t, our_own_variable_beats_PORT);

	t = tcase(s, "rules");
	tcase_add_test(t, without_a_key_the_server_does_not_start);
	tcase_add_test(t, any_key_is_enough);
	tcase_add_test(t, options_that_contradict_each_other_are_told);
	tcase_add_test(t, limits_that_just_fit_are_fine);
	tcase_add_test(t, dev_makes_keys_and_opens_topics);
	tcase_add_test(t, dev_keys_are_new_in_each_run_and_kept_over_a_reload);
	tcase_add_test(t, dev_keeps_keys_that_are_configured);
	tcase_add_test(t, dev_listens_on_loopback_only);
	tcase_add_test(t, dev_takes_the_port_alone_from_PORT);
	tcase_add_test(t, a_relative_store_lies_in_the_state_directory);

	t = tcase(s, "texts");
	tcase_add_test(t, an_issuer_section_has_fields_and_defaults_of_its_own);
	tcase_add_test(t, an_issuer_comes_from_variables_and_options_too);
	tcase_add_test(t, J4_a_mistake_in_an_issuer_is_told_with_its_line);
	tcase_add_test(t, the_sample_file_changes_nothing);
	tcase_add_test(t, the_sample_holds_each_default_and_is_legal_throughout);
	tcase_add_test(t, help_and_manual_know_every_option);
	tcase_add_test(t, numbers_read_as_they_were_written);
	tcase_add_test(t, distance_counts_single_edits);
	tcase_add_test(t, short_names_stand_for_options);
	return s;
}

SUITE_MAIN
