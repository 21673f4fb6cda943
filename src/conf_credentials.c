/*
 * conf_credentials.c - files with keys that systemd hands to a service.
 *
 * LoadCredential= and LoadCredentialEncrypted= of a unit put them into
 * $CREDENTIALS_DIRECTORY, which nobody else can read.  An option that names a file
 * without any folder means the one there, if there is one.
 */
#include "config.h"

#include "conf_internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth.h"
#include "text.h"

/* `name` becomes the path of that credential, or stays. */
static int
find_credential(char **name, const char *dir)
{
	struct buf path = { 0 };

	if (*name == NULL || **name == '\0' || strchr(*name, '/') != NULL)
		return 0;
	buf_adds(&path, dir);
	buf_addc(&path, '/');
	buf_adds(&path, *name);
	buf_addc(&path, '\0');
	if (path.failed) {
		buf_fini(&path);
		return -1;
	}
	if (access(path.p, F_OK) == -1) {
		buf_fini(&path);
		return 0;
	}
	free(*name);
	*name = path.p;
	return 0;
}

int
conf_find_credentials(struct conf *c, char *err, size_t size)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	size_t i;
	int r;

	if (dir == NULL || *dir != '/')
		return 0;
	r = find_credential(&c->api_keys_file, dir);
	if (r == 0)
		r = find_credential(&c->house.key_file, dir);
	if (r == 0)
		r = find_credential(&c->house.key_before_file, dir);
	if (r == 0)
		r = find_credential(&c->house.jwks, dir);
	for (i = 0; r == 0 && i < c->n_issuers; i++) {
		r = find_credential(&c->issuers[i].key_file, dir);
		if (r == 0)
			r = find_credential(&c->issuers[i].key_before_file, dir);
		if (r == 0)
			r = find_credential(&c->issuers[i].jwks, dir);
	}
	return r == 0 ? 0 : conf_fail(err, size, "CREDENTIALS_DIRECTORY: out of memory");
}
