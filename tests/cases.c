/*
 * cases.c - tables of requests, and raw sockets to try them on.
 */
#include "config.h"

#include "cases.h"

#include <sys/socket.h>
#include <sys/wait.h>

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MOST	(256 * 1024)

/* ---- tables ---- */

static size_t
unhex(const char *p)
{
	char two[3] = { p[0], p[1], '\0' };

	return strtoul(two, NULL, 16);
}

/* Of what stands at *p, one escape or byte, into `out`. */
static void
take_one(const char **p, char **out)
{
	static const char authorization[] = AUTH;
	const char *at = *p;
	char what, *end;
	long times;

	if (at[0] == '$' && at[1] == 'A') {
		memcpy(*out, authorization, sizeof authorization - 1);
		*out += sizeof authorization - 1;
		*p += 2;
	} else if (at[0] == '\\') {
		what = at[1];
		*p += 2;
		if (what == 'x') {
			*(*out)++ = (char)unhex(at + 2);
			*p += 2;
		} else
			*(*out)++ = what == 'r' ? '\r' : what == 'n' ? '\n' :
			    what == 't' ? '\t' : what == '0' ? '\0' : what;
	} else if (at[0] == '{' && at[1] != '\0' && (at[2] == '*' || at[2] == '-')) {
		times = strtol(at + 3, &end, 10);
		ck_assert_msg(*end == '}', "%.40s", at);
		*p = end + 1;
		for (long i = 0; i < times; i++)
			if (at[2] == '*')
				*(*out)++ = at[1];
			else
				*out += sprintf(*out, "%c-%ld: y\r\n", at[1], i);
	} else
		*(*out)++ = *(*p)++;
}

static void
unescape(struct wire_case *c, const char *p)
{
	char *out = c->bytes = keep(malloc(MOST), free);

	while (*p != '\0')
		take_one(&p, &out);
	c->len = (size_t)(out - c->bytes);
}

static void
add_field(struct wire_case *c, char *line)
{
	char *colon = strstr(line, ": ");

	ck_assert_msg(colon != NULL, "%s", line);
	ck_assert_int_lt(c->fields, CASE_FIELDS);
	*colon = '\0';
	colon += 2;
	/* White space behind the colon is for the eye, but in bytes to send. */
	if (strcmp(line, "send") == 0) {
		while (c->fields > 0 && *colon == ' ' && colon[1] == ' ')
			colon++;
		unescape(c, colon);
		return;
	}
	colon += strspn(colon, " ");
	c->field[c->fields].key = line;
	c->field[c->fields++].value = colon;
	if (c->fields == 1)
		c->name = colon;
}

struct wire_case *
cases_read(const char *file, int *n)
{
	const char *src = getenv("srcdir");
	char *text = read_whole(fmt("%s/tests/data/%s", src != NULL ? src : "..", file));
	struct wire_case *all = NULL;
	char *line, *next;
	bool inside = false;

	ck_assert_msg(*text != '\0', "no %s; is srcdir set?", file);
	all = keep(calloc(strlen(text) / 8, sizeof *all), free);
	*n = 0;
	for (line = text; line != NULL; line = next) {
		if ((next = strchr(line, '\n')) != NULL)
			*next++ = '\0';
		if (*line == '\0' || *line == '#') {
			inside = inside && *line == '#';
			continue;
		}
		*n += !inside;
		inside = true;
		add_field(&all[*n - 1], line);
	}
	return all;
}

const char *
case_field(const struct wire_case *c, const char *key, const char *otherwise)
{
	for (int i = 0; i < c->fields; i++)
		if (strcmp(c->field[i].key, key) == 0)
			return c->field[i].value;
	return otherwise;
}

/* ---- sockets ---- */

char *
statuses_of(const char *text)
{
	char *out = fmt("%s", text), *at = out;

	for (const char *p = text; (p = strstr(p, "HTTP/1.1 ")) != NULL; p += 9)
		if (isdigit((unsigned char)p[9]) && strncmp(p + 9, "100", 3) != 0)
			at += sprintf(at, "%s%.3s", at == out ? "" : " ", p + 9);
	if (at == out)
		return fmt("-");
	return out;
}

static int
count(const char *text)
{
	const char *s = statuses_of(text);

	return *s == '-' ? 0 : (int)(strlen(s) + 1) / 4;
}

bool
read_until(int fd, char **text, int enough, int ms)
{
	char *in = keep(calloc(1, MOST), free);
	int64_t end = now_ms() + patience(ms);
	size_t len = 0;
	ssize_t n;

	*text = in;
	for (;;) {
		struct pollfd p = { fd, POLLIN, 0 };
		int64_t left = end - now_ms();

		if (left <= 0 || (enough > 0 && count(in) >= enough))
			return false;
		poll(&p, 1, (int)left);
		if ((n = recv(fd, in + len, MOST - 1 - len, 0)) == -1 &&
		    (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return true;
		len += (size_t)n;
		/* A body may hold any byte. */
		for (size_t i = len - (size_t)n; i < len; i++)
			if (in[i] == '\0')
				in[i] = '?';
	}
}

static void
send_all(int fd, const char *p, size_t len)
{
	int64_t end = now_ms() + patience(SOON);

	while (len > 0 && now_ms() < end) {
		struct pollfd pfd = { fd, POLLOUT, 0 };
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n == -1 && errno != EAGAIN)
			return;			/* it was refused already */
		if (n == -1)
			poll(&pfd, 1, 100);
		else {
			p += n;
			len -= (size_t)n;
		}
	}
}

char *
case_run(int port, const char *first, const struct wire_case *c, const char *want)
{
	static const char again[] = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
	int fd = dial(port, 0), wanted = (int)strlen(want) / 4;
	bool closes = strstr(want, "close") != NULL, ended;
	char *text, *more;

	ck_assert_int_ne(fd, -1);
	if (first != NULL) {
		send_all(fd, first, strlen(first));
		ck_assert_msg(!read_until(fd, &text, 1, SOON), "%s", text);
		poll(NULL, 0, 2);		/* the rest of it */
		while (recv(fd, text, 1000, 0) > 0)
			;
	}
	send_all(fd, c->bytes, c->len);
	if (closes)
		ended = read_until(fd, &text, 0, SOON);
	else if (*want == '-')
		ended = read_until(fd, &text, 1, 300);
	else if (!(ended = read_until(fd, &text, want[0] == '-' ? 0 :
	    (wanted > 2 ? 2 : 1), SOON))) {
		/* One more, and no other, is answered. */
		int have = count(text);

		send_all(fd, again, sizeof again - 1);
		ended = read_until(fd, &more, have + 1 - count(text), SOON) ||
		    strcmp(statuses_of(more), "200") != 0;
	}
	close(fd);
	return fmt("%s %s", statuses_of(text), ended ? "close" : "open");
}

/* ---- nginx ---- */

bool
front_start(struct front *f, struct server *s)
{
	char *dir = fmt("%s/nginx", test_dir()), *conf, *text, *program;
	int64_t end;
	int fd;

	if ((program = have_program("nginx")) == NULL)
		return false;
	conf = fmt("%s.conf", dir);
	f->port = free_port();
	text = fmt("daemon off; pid %s.pid; error_log %s.log; %s worker_processes 1;\n"
	    "events { worker_connections 8192; }\n"
	    "http { access_log off; client_body_temp_path %s.1; proxy_temp_path %s.2;\n"
	    "fastcgi_temp_path %s.3; uwsgi_temp_path %s.4; scgi_temp_path %s.5;\n"
	    "upstream fanfare { server 127.0.0.1:%d; keepalive 4; }\n"
	    "server { listen 127.0.0.1:%d; large_client_header_buffers 4 16k;\n"
	    "client_header_timeout 3s; client_body_timeout 3s; send_timeout 3s;\n"
	    "location / { proxy_pass http://fanfare; proxy_http_version 1.1;\n"
	    "proxy_set_header Connection \"\"; proxy_set_header Host $http_host; } } }\n",
	    dir, dir, geteuid() == 0 ? "user root;" : "", dir, dir, dir, dir, dir,
	    s->port, f->port);
	write_whole(conf, text, strlen(text));
	f->pid = fork();
	ck_assert_int_ne(f->pid, -1);
	if (f->pid == 0) {
		execl(program, program, "-e", fmt("%s.log", dir), "-c", conf, (char *)NULL);
		_exit(127);
	}
	for (end = now_ms() + patience(SOON); (fd = dial(f->port, 0)) == -1;
	    poll(NULL, 0, 20))
		ck_assert_msg(now_ms() < end, "nginx does not start: %s",
		    read_whole(fmt("%s.log", dir)));
	close(fd);
	return true;
}

void
front_stop(struct front *f)
{
	int status;

	kill(f->pid, SIGTERM);
	waitpid(f->pid, &status, 0);
}
