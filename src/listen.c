/*
 * listen.c - listening sockets, TCP and unix: our own, and those that systemd keeps.
 */
#include "config.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http.h"
#include "text.h"

#define BACKLOG		4096
#define GIVEN_FIRST	3		/* as sd_listen_fds(3) says */

static int
fail(int fd, const char *where, const char *what, char *err, size_t size)
{
	int e = errno;

	snprintf(err, size, "%s: %s: %s%s", where, what, strerror(e),
	    e == EADDRINUSE ? "; another program listens there: stop it, or choose "
	    "another port with --listen" :
	    e == EACCES ? "; ports below 1024 and other users' folders need "
	    "privileges" : "");
	if (fd != -1)
		close(fd);
	return -1;
}

int
listen_open_unix(const char *path, unsigned int mode, const char *group, char *err,
    size_t size)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const struct group *g = NULL;
	char where[sizeof(sa.sun_path) + 8];
	struct stat sb;
	int fd, probe;

	snprintf(where, sizeof(where), "unix:%s", path);
	if (strlen(path) >= sizeof(sa.sun_path)) {
		snprintf(err, size, "%s: the path must have at most %zu bytes", where,
		    sizeof(sa.sun_path) - 1);
		return -1;
	}
	memcpy(sa.sun_path, path, strlen(path) + 1);
	if (group[0] != '\0' && (g = getgrnam(group)) == NULL) {
		snprintf(err, size, "%s: there is no group %s", where, group);
		return -1;
	}
	/* A socket that nobody answers is left over from a crash. */
	if (lstat(sa.sun_path, &sb) == 0) {
		if (!S_ISSOCK(sb.st_mode)) {
			snprintf(err, size, "%s: the file is there and is not a "
			    "socket", where);
			return -1;
		}
		probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (probe != -1 && connect(probe, (struct sockaddr *)&sa,
		    sizeof(sa)) == 0) {
			close(probe);
			errno = EADDRINUSE;
			return fail(-1, where, "bind", err, size);
		}
		if (probe != -1)
			close(probe);
		(void)unlink(sa.sun_path);	/* bind tells if it stays */
	}
	if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    0)) == -1)
		return fail(-1, where, "socket", err, size);
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == -1)
		return fail(fd, where, "bind", err, size);
	if ((g != NULL && chown(sa.sun_path, (uid_t)-1, g->gr_gid) == -1) ||
	    chmod(sa.sun_path, (mode_t)mode) == -1)
		return fail(fd, where, "set mode or group", err, size);
	if (listen(fd, BACKLOG) == -1)
		return fail(fd, where, "listen", err, size);
	return fd;
}

int
listen_open_tcp(const char *host, const char *port, char *err, size_t size)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV }, *list;
	const int one = 1;
	char where[300];
	int fd, rc;

	snprintf(where, sizeof(where), strchr(host, ':') != NULL ? "[%s]:%s" :
	    "%s:%s", host, port);
	rc = getaddrinfo(host[0] != '\0' ? host : NULL, port, &hints, &list);
	if (rc != 0) {
		snprintf(err, size, "%s: %s", where, gai_strerror(rc));
		return -1;
	}
	fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1) {
		freeaddrinfo(list);
		return fail(-1, where, "socket", err, size);
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	rc = bind(fd, list->ai_addr, list->ai_addrlen);
	freeaddrinfo(list);
	if (rc == -1)
		return fail(fd, where, "bind", err, size);
	if (listen(fd, BACKLOG) == -1)
		return fail(fd, where, "listen", err, size);
	return fd;
}

void
listen_name(int fd, char *out, size_t size)
{
	struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(ss);
	char host[64], port[16];

	if (getsockname(fd, (struct sockaddr *)&ss, &len) == -1)
		snprintf(out, size, "an unknown socket");
	else if (ss.ss_family == AF_UNIX)
		snprintf(out, size, "unix:%s",
		    ((struct sockaddr_un *)(void *)&ss)->sun_path);
	else if (getnameinfo((struct sockaddr *)&ss, len, host, sizeof(host), port,
	    sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(out, size, "an unknown address");
	else
		snprintf(out, size, ss.ss_family == AF_INET6 ? "http://[%s]:%s" :
		    "http://%s:%s", host, port);
}

bool
listen_is_local(int fd)
{
	struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(ss);

	if (getsockname(fd, (struct sockaddr *)&ss, &len) == -1)
		return false;
	if (ss.ss_family == AF_INET)
		return ntohl(((struct sockaddr_in *)(void *)&ss)->sin_addr.s_addr)
		    >> 24 == IN_LOOPBACKNET;
	if (ss.ss_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(
		    &((struct sockaddr_in6 *)(void *)&ss)->sin6_addr);
	return ss.ss_family == AF_UNIX;
}

/* An option of the socket, -1 when it is none. */
static int
socket_option(int fd, int option)
{
	socklen_t len;
	int value;

	len = sizeof(value);
	return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 ? value : -1;
}

/*
 * What accepted connections inherit: a peer that vanished without a word is noticed
 * within a minute, also where it owes a request or we an answer; libmicrohttpd's own
 * timeout must be longer than a proxy keeps its connections.  Streams choose again.
 */
void
listen_notice_the_dead(int fd)
{
	const int one = 1, quiet_s = 20, between_s = 10, probes = 3, dead_ms = 40000;

	/* All of them are improvements only; on a unix socket they fail. */
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &quiet_s, sizeof(quiet_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &between_s,
	    sizeof(between_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_ms,
	    sizeof(dead_ms));
}

int
listen_take_given(struct listen_given *out, size_t max, char *err, size_t size)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	const char *names = getenv("LISTEN_FDNAMES");
	uint64_t n;
	size_t len;
	int fd;

	/* Without our pid they are meant for the process that started us. */
	if (pid == NULL || fds == NULL || strtol(pid, NULL, 10) != getpid())
		return 0;
	if (text_parse_u64(fds, strlen(fds), &n) == -1 || n > max) {
		snprintf(err, size, "LISTEN_FDS=%s: must be a number up to %zu", fds,
		    max);
		return -1;
	}
	names = names != NULL ? names : "";
	for (size_t i = 0; i < n; i++) {
		fd = GIVEN_FIRST + (int)i;
		len = strcspn(names, ":");
		if (socket_option(fd, SO_TYPE) != SOCK_STREAM ||
		    socket_option(fd, SO_ACCEPTCONN) != 1) {
			snprintf(err, size, "descriptor %d (%.*s), given by systemd, "
			    "is not a listening stream socket; the socket unit needs "
			    "ListenStream= and Accept=no", fd,
			    len > 0 ? (int)(len < 64 ? len : 64) : 7,
			    len > 0 ? names : "no name");
			return -1;
		}
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) == -1 ||
		    fcntl(fd, F_SETFL, O_NONBLOCK) == -1) {
			snprintf(err, size, "descriptor %d, given by systemd: %s", fd,
			    strerror(errno));
			return -1;
		}
		out[i] = (struct listen_given){ fd, len == 5 &&
		    memcmp(names, "admin", 5) == 0 };
		names += len + (names[len] == ':');
	}
	return (int)n;
}
