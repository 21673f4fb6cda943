/*
 * conf_table.c - every option once, and the texts made from that: --help, the
 * sample file, the OPTIONS part of fanfare.conf(5).
 *
 * To add an option: a field in struct conf, a row here.  Rows stand in the
 * order of the sample file.  Help is plain sentences; it goes into a manual
 * page as it is, so no sentence begins with a dot or an apostrophe.
 */
#include "config.h"

#include "conf_internal.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#define KB	UINT64_C(1024)
#define MB	(1024 * KB)
#define GB	(1024 * MB)
#define SEC	UINT64_C(1000)
#define MIN	(60 * SEC)
#define HOUR	(60 * MIN)
#define DAY	(24 * HOUR)
#define MANY	UINT64_C(1000000000000)	/* as good as no limit */

#define ROW(n, t, f)							\
	.name = (n), .type = (t), .offset = offsetof(struct conf, f),	\
	.size = sizeof(((struct conf *)NULL)->f)

const struct conf_section conf_sections[] = {
	{ "server",	"Where it listens, whom it trusts, how much it "
	    "takes." },
	{ "store",	"The log of events on disk." },
	{ "auth",	"Keys and tokens.  At least one of api_keys, "
			"api_keys_file, key, key_file and jwks is needed." },
	{ "topics",	"What may be read without a grant." },
	{ "stream",	"What one subscriber may expect, and cost." },
	{ "log",	"Lines on standard error." },
};
const size_t conf_sections_n = sizeof conf_sections / sizeof conf_sections[0];

const struct conf_option conf_table[] = {
	{ ROW("server.listen", CONF_LIST, listen),
	  .alias = "listen", .def = "127.0.0.1:8080",
	      .check = conf_check_listen,
	  .help = "Where browsers and publishers connect: host:port, "
	  "[IPv6]:port or unix:/path?mode=0660&group=www-data (0660 is the "
	  "mode when none is given).  Port 0 takes a free one.  Sockets passed "
	  "by systemd stand in place of these; those named admin "
	  "(FileDescriptorName=) in place of admin_listen.  The environment variable PORT stands for "
	  "0.0.0.0:$PORT." },
	{ ROW("server.admin_listen", CONF_LIST, admin_listen),
	  .def = "127.0.0.1:8081", .check = conf_check_listen,
	  .help = "Where /metrics, /stats and /healthz are served, in the same "
	  "forms; off for nowhere.  Keep it from the public: it asks for no "
	  "credential." },
	{ ROW("server.cors_origins", CONF_LIST, cors_origins),
	  .example = "https://www.example.com", .check = conf_check_origin,
	  .help = "Pages of which other origins may subscribe and publish.  "
	  "Exact origins such as https://www.example.com, with one * inside "
	  "the leftmost label if need be (https://app-*-team.vercel.app); or * "
	  "alone for everybody, but then without cookies." },
	{ ROW("server.trusted_proxies", CONF_LIST, trusted_proxies),
	  .example = "private", .check = conf_check_net,
	  .help = "Whose X-Forwarded-For is believed, besides that of this "
	  "machine (loopback, unix sockets): addresses, networks such as "
	  "10.1.0.0/16, and the word private for 10/8, 172.16/12, 192.168/16 "
	  "and fc00::/7." },
	{ ROW("server.max_streams", CONF_UINT, max_streams),
	  .def = "0", .max = 10000000,
	  .help = "Streams at a time; 0 for as many as file descriptors "
	  "allow." },
	{ ROW("server.max_streams_per_ip", CONF_UINT, max_streams_per_ip),
	  .def = "0", .max = 10000000,
	  .help = "Streams at a time from one address; 0 for no limit.  An IPv6 "
	  "address counts with its whole /64, as one client has all of that." },
	{ ROW("server.max_streams_per_token", CONF_UINT, max_streams_per_token),
	  .def = "0", .max = 10000000,
	  .help = "Streams at a time of one subject (the issuer and sub of its "
	  "tokens; without a sub, of one token); 0 for no limit.  Not counted "
	  "are those of API keys and those that need no token, as all of their "
	  "topics are public." },
	{ ROW("server.publish_rate", CONF_UINT, publish_rate),
	  .def = "0", .max = 1000000,
	  .help = "Events that each API key, and each subject of tokens, may "
	  "publish in a second, repeated ones too; 0 for no limit.  Beyond that "
	  "they get 429 with Retry-After.  A token may be given less: rate in "
	  "its grants, see fanfare-tokens(7)." },
	{ ROW("server.publish_burst", CONF_UINT, publish_burst),
	  .def = "0", .max = 1000000,
	  .help = "Events that each of them may publish at once after a pause, "
	  "and so the largest batch, where a rate is set; 0 for as many as two "
	  "seconds' worth, and 10 at least." },
	{ ROW("server.max_event", CONF_SIZE, max_event_bytes),
	  .def = "64k", .min = 256, .max = 64 * MB,
	  .help = "The largest event that may be published." },
	{ ROW("server.max_body", CONF_SIZE, max_body_bytes),
	  .def = "1M", .min = 256, .max = GB,
	  .help =
	      "The largest request body, which may hold a batch of events.  At "
	  "least server.max_event." },
	{ ROW("server.head_timeout", CONF_DURATION, head_timeout_ms),
	  .def = "10s", .min = 100, .max = 10 * MIN,
	  .help = "How long the head of a request (its line and its headers) may "
	  "take to come, from the first byte to the last: 408 after that." },
	{ ROW("server.body_timeout", CONF_DURATION, body_timeout_ms),
	  .def = "30s", .min = 100, .max = HOUR,
	  .help = "How long the body of a request may take to come, and its answer "
	  "to be read: that, and a second more for each 4 kB that went through.  "
	  "Then the connection is closed.  Streams have stream.stall instead." },
	{ ROW("server.threads", CONF_UINT, threads),
	  .def = "0", .max = 256,
	  .help = "Threads that serve streams; 0 for one per core." },
	{ ROW("server.drain_time", CONF_DURATION, drain_time_ms),
	  .def = "10s", .max = 10 * MIN,
	  .help = "Over this time streams are told to go after SIGTERM.  They "
	  "come back when it is over, spread over stream.retry.  Where systemd "
	  "keeps the sockets, others who connect wait for so long too: 2s are "
	  "enough there." },

	{ ROW("store.path", CONF_TEXT, store_path),
	  .alias = "db", .def = "fanfare.db", .check = conf_check_text,
	  .help = "The SQLite file that holds the log.  A relative path lies "
	  "in $STATE_DIRECTORY when that is set, as systemd does, else in the "
	  "current directory." },
	{ ROW("store.durability", CONF_WORD, durability),
	  .def = "full", .words = "full normal",
	  .help = "When a publish is answered: full is after an fsync, normal "
	  "survives a crash of the process but not of the machine." },
	{ ROW("store.retain_age", CONF_DURATION, retain_age_ms),
	  .def = "24h", .min = SEC, .max = 36500 * DAY, .zero = true,
	  .help = "How long events are kept; 0 for no limit." },
	{ ROW("store.retain_events_per_topic", CONF_UINT,
	  retain_events_per_topic), .def = "0", .max = MANY,
	  .help = "How many events of one topic are kept; 0 for no limit." },
	{ ROW("store.retain_bytes", CONF_SIZE, retain_bytes),
	  .def = "1G", .min = MB, .max = MANY, .zero = true,
	  .help = "How many bytes of events are kept; 0 for no limit." },
	{ ROW("store.tail", CONF_SIZE, tail_bytes),
	  .def = "64M", .min = 64 * KB, .max = 64 * GB,
	  .help = "How much memory the newest events may take, in all threads "
	  "together, for streams that resume." },

	{ ROW("auth.api_keys", CONF_KEYS, api_keys), .secret = true,
	  .example = "backend:ffk_PRINTED-BY-fanfare-key",
	  .help = "Keys for servers, separated by commas: NAME:SECRET, or "
	  "NAME:SECRET:PATTERN PATTERN ... for a key that reaches only these "
	  "topics.  \"fanfare key\" prints a SECRET.  A key publishes to and "
	  "reads its topics and never expires; several may stand, so that one "
	  "can be replaced by the next." },
	{ ROW("auth.api_keys_file", CONF_TEXT, api_keys_file),
	  .alias = "api-keys-file", .example = "/etc/fanfare/api-keys",
	  .check = conf_check_text,
	  .help = "A file with such keys, one on each line; # begins a comment "
	  "line.  Nobody but owner and group may read it.  A name without a folder "
	  "is that credential in $CREDENTIALS_DIRECTORY, if systemd handed it over; "
	  "so it is for key_file and jwks." },
	{ ROW("auth.key", CONF_TEXT, house.key), .secret = true, .issuers = true,
	  .example = "AT-LEAST-32-BYTES-THAT-NOBODY-CAN-GUESS",
	  .help = "What tokens (JWT) are checked with: an HMAC secret of 32 "
	  "bytes or more for HS256, HS384 and HS512, or a PEM public key for "
	  "RS* and ES*.  Taken byte for byte." },
	{ ROW("auth.key_file", CONF_TEXT, house.key_file), .issuers = true,
	  .example = "/etc/fanfare/token-key", .check = conf_check_text,
	  .help = "A file with that key, a secret in one that others cannot read; "
	  "one newline at its end is dropped.  FIFOs and devices are refused.  In "
	  "place of auth.key." },
	{ ROW("auth.jwks", CONF_TEXT, house.jwks), .issuers = true,
	  .example = "https://login.example.com/.well-known/jwks.json",
	  .check = conf_check_jwks,
	  .help = "The public keys of an issuer that changes them, as a JWKS: a "
	  "file, or an https:// address (http:// for this machine alone) that "
	  "is fetched at start, again as often as it asks for (5m to 24h; 15m "
	  "when it does not say), on SIGHUP, and when a token names a key that "
	  "is not in it.  In place of auth.key.  See fanfare-tokens(7)." },
	{ ROW("auth.issuer", CONF_TEXT, house.issuer), .issuers = true,
	  .example = "https://login.example.com", .check = conf_check_text,
	  .help = "The claim iss that tokens must hold.  Not looked at when "
	  "unset." },
	{ ROW("auth.audience", CONF_TEXT, house.audience), .issuers = true,
	  .example = "fanfare", .check = conf_check_text,
	  .help = "What the claim aud of tokens must hold.  Not looked at when "
	  "unset." },
	{ ROW("auth.leeway", CONF_DURATION, house.leeway_ms), .issuers = true,
	  .def = "5s", .max = 5 * MIN,
	  .help = "How far the clocks of issuer and server may differ." },
	{ ROW("auth.grace", CONF_DURATION, house.grace_ms), .issuers = true,
	  .def = "0", .max = 365 * DAY,
	  .help = "How long past its expiry a token may still hold or reopen a "
	  "stream; it never publishes then.  12h suits login tokens that live "
	  "for a minute." },
	{ ROW("auth.max_life", CONF_DURATION, house.max_life_ms), .issuers = true,
	  .def = "0", .max = 10 * 365 * DAY,
	  .help = "How long a token may live at most, from its iat, which it then "
	  "needs, to its exp; 0 = no limit.  Revocations (POST /revoke) are kept "
	  "for that long, and for ever without it." },
	{ ROW("auth.grants_claim", CONF_TEXT, house.grants_claim),
	  .issuers = true, .def = "fanfare", .check = conf_check_text,
	  .help = "The claim that holds {\"publish\":[PATTERN ...],"
	  "\"subscribe\":[PATTERN ...]}: its name, or a path with dots to one "
	  "inside another, such as app_metadata.fanfare.  Never one that users "
	  "write themselves (user_metadata)." },
	{ ROW("auth.publish", CONF_WORD, house.publish), .issuers = true,
	  .def = "yes", .words = "no yes",
	  .help = "May tokens publish where their grants say so?  In an "
	  "[auth.NAME] the default is no." },
	{ ROW("auth.topics", CONF_TOPICS, house.topics), .issuers = true,
	  .example = "member/{sub}/**", .check = conf_check_topic,
	  .help = "Stands in place of topics.authenticated for the tokens of "
	  "this section, in the same form; none for no rule at all.  Two "
	  "sections do not share a rule with {sub} unless each of them has it "
	  "here: their subjects may be different people of one name." },
	{ ROW("auth.cookie", CONF_TEXT, cookie),
	  .def = "fanfare_token", .check = conf_check_cookie,
	  .help = "The cookie that may hold a subscriber's token." },

	{ ROW("topics.public", CONF_TOPICS, public_topics),
	  .alias = "public", .example = "scores/**", .check = conf_check_topic,
	  .help = "Patterns that everybody may subscribe to.  In a pattern * "
	  "stands for one segment and a final ** for the rest; a comma, space "
	  "or backslash that belongs to it is written with a backslash before "
	  "it." },
	{ ROW("topics.authenticated", CONF_TOPICS, authenticated_topics),
	  .example = "user/{sub}/**", .check = conf_check_topic,
	  .help = "Patterns that every valid token with a sub may subscribe "
	  "to; {sub}, or {NAME} of any claim that is a string, stands for that "
	  "claim as one whole segment: user/{sub}/**.  A section with topics of "
	  "its own has those instead." },

	{ ROW("stream.heartbeat", CONF_DURATION, heartbeat_ms),
	  .def = "15s", .min = SEC, .max = 5 * MIN,
	  .help = "A quiet stream sends a comment this often, so that proxies "
	  "keep it." },
	{ ROW("stream.retry", CONF_DURATION, retry_ms),
	  .def = "3s", .min = SEC, .max = 60 * SEC,
	  .help = "How long browsers wait before they reconnect, spread at "
	  "random around this, and never less than a second.  After a restart "
	  "they come back spread over this time, or over 4s." },
	{ ROW("stream.queue", CONF_SIZE, queue_bytes),
	  .def = "256k", .min = 4 * KB, .max = GB,
	  .help = "How many bytes may wait for one live stream, and how much "
	  "memory they may hold while it does not read, before it is caught up "
	  "from the log instead.  At least twice server.max_event." },
	{ ROW("stream.max_replay", CONF_UINT, max_replay),
	  .def = "10000", .min = 1, .max = 1000000000,
	  .help = "A stream further behind than so many events is told so and "
	  "starts anew." },
	{ ROW("stream.stall", CONF_DURATION, stall_ms),
	  .def = "30s", .min = SEC, .max = HOUR,
	  .help = "A stream that accepts no byte for so long, while some wait, "
	  "is ended." },

	{ ROW("log.level", CONF_WORD, log_level),
	  .def = "info", .words = "error warn info debug",
	  .help = "The least urgent lines that are written." },
	{ ROW("log.format", CONF_WORD, log_json),
	  .def = "text", .words = "text json",
	  .help = "json writes one object on each line." },
};
const size_t conf_table_n = sizeof conf_table / sizeof conf_table[0];

const struct conf_option *
conf_find(const char *name)
{
	size_t i;

	for (i = 0; i < conf_table_n; i++)
		if (strcmp(conf_table[i].name, name) == 0)
			return &conf_table[i];
	return NULL;
}

const struct conf_option *
conf_find_issuer_key(const char *key)
{
	size_t i;

	for (i = 0; i < conf_table_n; i++)
		if (conf_table[i].issuers &&
		    strcmp(strchr(conf_table[i].name, '.') + 1, key) == 0)
			return &conf_table[i];
	return NULL;
}

void
conf_format_number(char out[CONF_NUMBER_SIZE], enum conf_type type, uint64_t n)
{
	static const struct unit {
		uint64_t	 n;
		const char	*name;
	} sizes[] = { { GB, "G" }, { MB, "M" }, { KB, "k" }, { 1, "" } },
	    durations[] = { { DAY, "d" }, { HOUR, "h" }, { MIN, "m" },
	    { SEC, "s" }, { 1, "ms" } }, plain[] = { { 1, "" } };
	const struct unit *u;

	u = type == CONF_SIZE ? sizes : type == CONF_DURATION ? durations :
	    plain;
	if (n == 0)
		u = plain;
	/* One day reads better as 24h, and 1h as 60m does not. */
	if (type == CONF_DURATION && n == DAY)
		u++;
	while (n % u->n != 0)
		u++;
	(void)snprintf(out, CONF_NUMBER_SIZE, "%" PRIu64 "%s", n / u->n,
	    u->name);
}

void
conf_format_range(char *out, size_t size, const struct conf_option *o)
{
	char min[CONF_NUMBER_SIZE], max[CONF_NUMBER_SIZE];
	size_t len, n = 0;
	const char *p;

	*out = '\0';
	switch (o->type) {
	case CONF_UINT:
	case CONF_SIZE:
	case CONF_DURATION:
		conf_format_number(min, o->type, o->min);
		conf_format_number(max, o->type, o->max);
		if (o->max >= MANY)
			(void)snprintf(out, size, "%s%s or more",
			    o->zero ? "0, or " : "", min);
		else
			(void)snprintf(out, size, "%s%s to %s",
			    o->zero ? "0, or " : "", min, max);
		return;
	case CONF_WORD:
		for (p = o->words; *p != '\0'; p += len, p += *p == ' ') {
			len = strcspn(p, " ");
			n += (size_t)snprintf(out + n, size - n, "%s%.*s",
			    p == o->words ? "" : p[len] == '\0' ? " or " : ", ",
			    (int)len, p);
			if (n >= size)
				return;
		}
		return;
	case CONF_TEXT:
	case CONF_LIST:
	case CONF_TOPICS:
	case CONF_KEYS:
		return;
	}
}

/* What to call that. */
static const char *
range_label(const struct conf_option *o)
{
	return o->type == CONF_WORD ? "Values: " : "Range: ";
}

/* What stands for the value in a synopsis. */
static const char *
placeholder(const struct conf_option *o)
{
	switch (o->type) {
	case CONF_UINT:
		return "NUMBER";
	case CONF_SIZE:
		return "SIZE";
	case CONF_DURATION:
		return "TIME";
	case CONF_TEXT:
		return strstr(o->name, "file") != NULL ||
		    strstr(o->name, "path") != NULL ? "FILE" : "TEXT";
	case CONF_WORD:
		return "WORD";
	case CONF_LIST:
	case CONF_KEYS:
		return "LIST";
	case CONF_TOPICS:
		return "PATTERNS";
	}
	return "VALUE";
}

/* Print words to column 78, each line begun with `lead`. */
static void
wrap(FILE *f, const char *lead, const char *text)
{
	size_t column = 0, len, gap;
	const char *p = text;

	while (*p != '\0') {
		gap = strspn(p, " ");
		p += gap;
		len = strcspn(p, " ");
		if (len == 0)
			break;
		if (column == 0 || column + gap + len > 78) {
			fprintf(f, "%s%s%.*s", column == 0 ? "" : "\n", lead,
			    (int)len, p);
			column = strlen(lead) + len;
		} else {
			fprintf(f, "%*s%.*s", (int)gap, "", (int)len, p);
			column += gap + len;
		}
		p += len;
	}
	if (column > 0)
		fputc('\n', f);
}

static bool
in_section(const struct conf_option *o, const struct conf_section *s)
{
	size_t len = strlen(s->name);

	return strncmp(o->name, s->name, len) == 0 && o->name[len] == '.';
}

static const char about_issuers[] =
    "Each [auth.NAME] adds an issuer of tokens, such as a login provider: with key, "
    "key_file or jwks, issuer (which it needs), audience, leeway, grace, max_life, "
    "grants_claim, publish and topics, as above.  A token is judged by the section whose issuer is its "
    "claim iss, else by [auth].  In the environment they are "
    "FANFARE_AUTH_NAME_ISSUER and so on, as options --auth.NAME.issuer.  NAME is "
    "small letters, digits and _ (capitals in the environment).  When there are two "
    "issuers or more (a key in [auth] makes one), give each rules of its own: "
    "topics = NAME/{sub}/**.";

void
conf_print_help(FILE *f)
{
	const struct conf_option *o;
	char range[128], text[1024];
	size_t i;

	for (i = 0; i < conf_table_n; i++) {
		o = &conf_table[i];
		if (o->alias != NULL)
			fprintf(f, "  --%s %s, ", o->alias, placeholder(o));
		fprintf(f, "%s--%s %s\n", o->alias != NULL ? "" : "  ", o->name,
		    placeholder(o));
		conf_format_range(range, sizeof range, o);
		(void)snprintf(text, sizeof text, "%s%s%s%s%s  Default: %s.",
		    o->help, *range != '\0' ? "  " : "",
		    *range != '\0' ? range_label(o) : "", range,
		    *range != '\0' ? "." : "",
		    o->def != NULL ? o->def : "none");
		wrap(f, "        ", text);
	}
	fputs("  --auth.NAME.issuer TEXT, --auth.NAME.jwks TEXT, ...\n", f);
	wrap(f, "        ", about_issuers);
}

void
conf_print_sample(FILE *f)
{
	const struct conf_option *o;
	char range[128], text[1024];
	size_t i, j;

	wrap(f, "# ", "fanfare.conf - every option with its default (where "
	    "there is none, an example).  Take the # away from a line to "
	    "change it.");
	fputs("#\n", f);
	wrap(f, "# ", "A value is all that follows the = on its line, # and ; "
	    "too; comments stand on lines of their own.  Lists are separated "
	    "by spaces or commas.  Sizes take k, M or G; times ms, s, m, h or "
	    "d.  [section] and key are also the environment variable "
	    "FANFARE_SECTION_KEY and the option --section.key.");
	for (j = 0; j < conf_sections_n; j++) {
		fputc('\n', f);
		wrap(f, "# ", conf_sections[j].help);
		fprintf(f, "[%s]\n", conf_sections[j].name);
		for (i = 0; i < conf_table_n; i++) {
			o = &conf_table[i];
			if (!in_section(o, &conf_sections[j]))
				continue;
			conf_format_range(range, sizeof range, o);
			(void)snprintf(text, sizeof text, "%s%s%s%s%s", o->help,
			    *range != '\0' ? "  " : "",
			    *range != '\0' ? range_label(o) : "", range,
			    *range != '\0' ? "." : "");
			fputc('\n', f);
			wrap(f, "# ", text);
			fprintf(f, "#%s = %s\n", strchr(o->name, '.') + 1,
			    o->def != NULL ? o->def : o->example);
		}
		if (strcmp(conf_sections[j].name, "auth") == 0) {
			fputc('\n', f);
			wrap(f, "# ", about_issuers);
			fputs("#[auth.clerk]\n"
			    "#issuer = https://YOUR-APP.clerk.accounts.dev\n"
			    "#jwks = https://YOUR-APP.clerk.accounts.dev"
			    "/.well-known/jwks.json\n"
			    "#topics = clerk/{sub}/**\n", f);
		}
	}
}

/* Text as mdoc wants it: a sentence ends its line, a backslash is \e. */
static void
print_roff(FILE *f, const char *text)
{
	const char *p;

	for (p = text; *p != '\0'; p++) {
		if (*p == '\\')
			fputs("\\e", f);
		else if (*p == '.' && p[1] == ' ' && p[2] == ' ') {
			fputs(".\n", f);
			p += 2;
		} else
			fputc(*p, f);
	}
	fputc('\n', f);
}

void
conf_print_manual(FILE *f)
{
	const struct conf_option *o;
	char range[128], env[64];
	size_t i, j, k;

	for (j = 0; j < conf_sections_n; j++) {
		fprintf(f, ".Ss Section [%s]\n", conf_sections[j].name);
		print_roff(f, conf_sections[j].help);
		fputs(".Bl -tag -width Ds\n", f);
		for (i = 0; i < conf_table_n; i++) {
			o = &conf_table[i];
			if (!in_section(o, &conf_sections[j]))
				continue;
			fprintf(f, ".It Cm %s No = Ar %s\n",
			    strchr(o->name, '.') + 1, placeholder(o));
			print_roff(f, o->help);
			conf_format_range(range, sizeof range, o);
			if (*range != '\0')
				fprintf(f, "%s%s.\n", range_label(o), range);
			fprintf(f, "Default: %s.\n", o->def != NULL ? o->def :
			    "none");
			for (k = 0; o->name[k] != '\0'; k++)
				env[k] = o->name[k] == '.' ? '_' :
				    (char)toupper((unsigned char)o->name[k]);
			env[k] = '\0';
			fprintf(f, "Environment:\n.Ev FANFARE_%s .\n", env);
			if (o->alias != NULL)
				fprintf(f, "Short option:\n.Fl -%s .\n",
				    o->alias);
		}
		fputs(".El\n", f);
		if (strcmp(conf_sections[j].name, "auth") == 0) {
			fputs(".Ss Sections [auth.NAME]\n", f);
			print_roff(f, about_issuers);
		}
	}
}
