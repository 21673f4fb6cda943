/*
 * auth_file.c - files that hold keys: who may read them, and nothing left behind.
 */
#include "config.h"

#include "auth_internal.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>

void
auth_wipe_free(void *p, size_t len)
{
	if (p != NULL)
		OPENSSL_cleanse(p, len);
	free(p);
}

int
auth_read_file(struct auth_file *f, const char *from, const char *path, size_t max,
    char *err, size_t size)
{
	struct stat sb;
	ssize_t n;
	int fd;

	/* A FIFO would keep us until somebody writes to it, now or at a reload. */
	if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)) == -1)
		return auth_say(err, size, "%s: %s: %s", from, path,
		    strerror(errno));
	if (fstat(fd, &sb) == -1) {
		(void)auth_say(err, size, "%s: %s: %s", from, path,
		    strerror(errno));
		goto fail_fd;
	}
	if (!S_ISREG(sb.st_mode)) {
		(void)auth_say(err, size, "%s: %s: %s", from, path,
		    S_ISDIR(sb.st_mode) ? strerror(EISDIR) :
		    "not a regular file: it is read again at each reload");
		goto fail_fd;
	}
	f->mode = (unsigned int)sb.st_mode & 0777;
	f->len = 0;
	/* One more than allowed, to see that there is more; and the NUL. */
	if ((f->p = malloc(max + 2)) == NULL) {
		(void)auth_say(err, size, "%s: out of memory", from);
		goto fail_fd;
	}
	while (f->len <= max) {
		n = read(fd, f->p + f->len, max + 1 - f->len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			(void)auth_say(err, size, "%s: %s: %s", from, path,
			    strerror(errno));
			goto fail_p;
		}
		if (n == 0)
			break;
		f->len += (size_t)n;
	}
	if (f->len > max) {
		(void)auth_say(err, size, "%s: %s: larger than %zu bytes", from,
		    path, max);
		goto fail_p;
	}
	f->p[f->len] = '\0';
	close(fd);
	return 0;

fail_p:
	auth_wipe_free(f->p, f->len);
fail_fd:
	close(fd);
	return -1;
}

int
auth_check_mode(const struct auth_file *f, unsigned int forbidden, const char *from,
    const char *path, char *err, size_t size)
{
	/* NOLINTNEXTLINE(clang-analyzer-core*): auth_say() is always -1 */
	if ((f->mode & forbidden) == 0)
		return 0;
	return auth_say(err, size, "%s: %s is open to every user of this machine "
	    "(mode %04o): chmod o-rwx %s", from, path, f->mode, path);
}
