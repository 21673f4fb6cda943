/*
 * listen.c - listening sockets, TCP and unix.
 */
#include "config.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http.h"

#define BACKLOG		4096

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
	(void)strcpy(sa.sun_path, path);
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
	struct sockaddr_storage ss;
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
