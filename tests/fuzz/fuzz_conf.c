/*
 * fuzz_conf.c - configuration files: taken, or refused with a message that names the
 * file, is one line of text, and shows no secret.
 */
#include "config.h"

#include <sys/mman.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf.h"
#include "fuzz.h"
#include "text.h"

/* Whatever of it comes behind this word is not for the eyes of others. */
#define SECRET	"ffk_NOBODYMAYSEETHIS"

FUZZ(conf)
{
	char path[64], err[1024] = "";
	int fd = memfd_create("fanfare.conf", MFD_CLOEXEC);
	struct conf *c = conf_new();

	MUST(fd != -1 && c != NULL);
	MUST(write(fd, bytes, size) == (ssize_t)size);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (conf_load_file(c, path, err, sizeof(err)) == -1) {
		MUST(strncmp(err, path, strlen(path)) == 0);
		MUST(strlen(err) < sizeof(err));
		MUST(plain_utf8(err, strlen(err), NULL) >= 0);
		MUST(!plain_control(err, strlen(err)));
		MUST(strstr(err, SECRET) == NULL);
	} else {
		MUST(err[0] == '\0' && c->file != NULL);
		if (conf_finish(c, err, sizeof(err)) == -1)
			MUST(err[0] != '\0' && strstr(err, SECRET) == NULL);
		else
			MUST(c->listen.v != NULL && c->max_event_bytes > 0 &&
			    c->max_body_bytes >= c->max_event_bytes);
	}
	conf_free(c);
	close(fd);
	return 0;
}
