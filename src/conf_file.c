/*
 * conf_file.c - the configuration file, and where in it a mistake is.
 *
 * The file is read by libini_config (ding-libs).  Tried with 0.6.2: values of
 * 5 MB come whole, # and ; inside values stay, every key has its line number,
 * syntax errors have theirs, CRLF, indentation and empty values are fine, and a
 * section may be named after a pattern of topics.  (libinih as Debian builds it
 * cuts lines at 200 characters and values at " ;"; GKeyFile has no line
 * numbers.) Its traps, and what is done about them here:
 * - a value is cut at a NUL byte, and a file that is not UTF-8 fails without a
 *     line number: both are looked for first (check_bytes);
 * - a name with `!` or a byte above 0x7f fails without a line number: that line
 * is
 * looked for afterwards (find_bad_name), and no section can have such a name;
 *   - keys before the first section can be counted but not read, so the text is
 *     given a first section of its own, and all line numbers are one too high;
 *   - parsing takes time by the square of the number of keys: MAX_FILE_BYTES.
 * A section may stand several times, a key only once.
 */
#include "config.h"

#include "conf_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ini_configobj.h>

#include "text.h"

#define MAX_FILE_BYTES	((size_t)1 << 20)
#define NO_SECTION	"(no section)"

/* Returns new the whole file behind a first section of our own,
 * NUL-terminated.  *is_open: everybody may read it. */
static char *
slurp(const char *path, size_t *len, bool *is_open, char *err, size_t size)
{
	static const char head[] = "[" NO_SECTION "]\n";
	size_t n = sizeof head - 1;
	struct stat st;
	char *p;
	ssize_t r;
	int fd;

	if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)) == -1) {
		(void)conf_fail(err, size, "%s: cannot be read: %s", path,
		    strerror(errno));
		return NULL;
	}
	if (fstat(fd, &st) == 0) {
		if (S_ISDIR(st.st_mode)) {
			(void)conf_fail(err, size, "%s: is a directory, not a "
			    "file", path);
			goto fail_fd;
		}
		*is_open = S_ISREG(st.st_mode) && (st.st_mode & 004) != 0;
	}
	if ((p = malloc(n + MAX_FILE_BYTES + 2)) == NULL) {
		(void)conf_fail(err, size, "%s: out of memory", path);
		goto fail_fd;
	}
	memcpy(p, head, n);
	while ((r = read(fd, p + n, sizeof head + MAX_FILE_BYTES - n)) > 0)
		n += (size_t)r;
	if (r == -1) {
		(void)conf_fail(err, size, "%s: cannot be read: %s", path,
		    strerror(errno));
		goto fail_p;
	}
	if (n > sizeof head - 1 + MAX_FILE_BYTES) {
		(void)conf_fail(err, size, "%s: is larger than 1M", path);
		goto fail_p;
	}
	close(fd);
	/* The library would take a byte order mark, but not behind our
	 * section. */
	if (n - (sizeof head - 1) >= 3 &&
	    memcmp(p + sizeof head - 1, "\xef\xbb\xbf", 3) == 0) {
		n -= 3;
		memmove(p + sizeof head - 1, p + sizeof head + 2,
		    n - (sizeof head - 1));
	}
	p[n] = '\0';
	*len = n;
	return p;

fail_p:
	free(p);
fail_fd:
	close(fd);
	return NULL;
}

static int
check_bytes(const char *path, const char *p, size_t len, char *err, size_t size)
{
	const char *end = p + len, *eol;
	unsigned int line = 0;

	for (; p < end; p = eol + 1, line++) {
		if ((eol = memchr(p, '\n', (size_t)(end - p))) == NULL)
			eol = end;
		if (memchr(p, '\0', (size_t)(eol - p)) != NULL)
			return conf_fail(err, size, "%s:%u: holds a NUL byte",
			    path, line);
		if (!text_is_utf8(p, (size_t)(eol - p)))
			return conf_fail(err, size, "%s:%u: is not UTF-8", path,
			    line);
	}
	return 0;
}

/* The library refuses some names without saying where: say it. */
static int
find_bad_name(const char *path, const char *p, char *err, size_t size)
{
	unsigned int line = 0;
	size_t len, i;

	for (; *p != '\0'; p += len + (p[len] == '\n'), line++) {
		len = strcspn(p, "\n");
		if (*p == '#' || *p == ';')
			continue;
		for (i = 0; i < len && p[i] != '='; i++)
			if (p[i] == '!' || (unsigned char)p[i] >= 0x80)
				return conf_fail(err, size, "%s:%u: the name "
				    "holds a character that no option has",
				    path, line);
	}
	return conf_fail(err, size, "%s: cannot be parsed", path);
}

/* Turn the first of the library's messages, "Error (5) on line 12: ...", into
 * ours. */
static int
tell_syntax_error(const char *path, struct ini_cfgobj *ini, int error,
    const char *text, char *err, size_t size)
{
	char **errors = NULL;
	unsigned int code, line;
	const char *what;

	if (ini_config_get_errors(ini, &errors) != 0 || errors == NULL ||
	    errors[0] == NULL ||
	    /* NOLINTNEXTLINE(cert-err34-c): the library printed it */
	    sscanf(errors[0], "Error (%u) on line %u", &code, &line) != 2 ||
	    line == 0) {
		if (errors != NULL)
			ini_config_free_errors(errors);
		if (error == EINVAL)
			return find_bad_name(path, text, err, size);
		return conf_fail(err, size, "%s: cannot be parsed: %s", path,
		    strerror(error));
	}
	switch (code) {
	case ERR_NOCLOSESEC:
		what = "a section is [name], with nothing behind it";
		break;
	case ERR_NOSECTION:
		what = "the section has no name";
		break;
	case ERR_NOEQUAL:
		what = "this is no \"key = value\" (a value stands on one "
		    "line; the # of a comment is the first character of its "
		    "line)";
		break;
	case ERR_NOKEY:
		what = "there is no key before the =";
		break;
	case ERR_LONGKEY:
	case ERR_SECTIONLONG:
		what = "the name is too long to be any option's";
		break;
	default:
		what = strstr(errors[0], ": ");
		what = what != NULL ? what + 2 : errors[0];
		break;
	}
	(void)conf_fail(err, size, "%s:%u: %s", path, line - 1, what);
	ini_config_free_errors(errors);
	return -1;
}

/* The lines on which a key stands: writes the first two, returns how many. */
static unsigned int
key_lines(struct ini_cfgobj *ini, const char *section, const char *key,
    const char **value, uint32_t lines[2])
{
	struct value_obj *vo = NULL;
	unsigned int n = 0;
	uint32_t line;

	while (ini_get_config_valueobj(section, key, ini, n == 0 ?
	    INI_GET_FIRST_VALUE : INI_GET_NEXT_VALUE, &vo) == 0 && vo != NULL) {
		if (n < 2 && value_get_line(vo, &line) == 0)
			lines[n] = line - 1;
		if (n++ == 0)
			*value = ini_get_const_string_config_value(vo, NULL);
		vo = NULL;
	}
	return n;
}

static int
load_key(struct conf *c, struct ini_cfgobj *ini, const char *path,
    const char *section, const char *key, char *err, size_t size)
{
	const struct conf_option *o;
	char where[512], name[160], shown[CONF_SHOWN_SIZE];
	const char *value = NULL;
	uint32_t lines[2] = { 0, 0 };
	unsigned int n;

	n = key_lines(ini, section, key, &value, lines);
	(void)snprintf(where, sizeof where, "%s:%u", path,
	    (unsigned int)lines[n > 1]);
	if (n == 0 || value == NULL)
		return conf_fail(err, size, "%s: %s has a value that cannot be "
		    "read", where, conf_show(shown, key));
	if (strcmp(section, NO_SECTION) == 0) {
		o = conf_nearest_option(key);
		return conf_fail(err, size, "%s: %s stands before the first "
		    "section; write [%.*s] above it", where, conf_show(shown,
		    key), o == NULL ? 6 :
		    (int)strcspn(o->name, "."), o == NULL ? "server" : o->name);
	}
	if (strncmp(section, "topic ", 6) == 0)
		return conf_fail(err, size, "%s: [%s]: sections for single "
		    "topics are reserved for a later version", where,
		    conf_show(shown, section));
	(void)snprintf(name, sizeof name, "%s.%s", section, key);
	if (n > 1)
		return conf_fail(err, size, "%s: %s is set already on line %u",
		    where, conf_show(shown, name), (unsigned int)lines[0]);
	if (c->file_is_open && conf_is_secret(name))
		c->file_tells = true;
	return conf_set(c, name, value, where, err, size);
}

static int
load_section(struct conf *c, struct ini_cfgobj *ini, const char *path,
    const char *section, char *err, size_t size)
{
	char **keys, shown[CONF_SHOWN_SIZE];
	int i, r = 0, n = 0, error = 0;
	size_t j;

	keys = ini_get_attribute_list(ini, section, &n, &error);
	/* A key that stands twice is in this list twice; load_key fails on the
	 * first. */
	for (i = 0; keys != NULL && i < n && r == 0; i++)
		r = load_key(c, ini, path, section, keys[i], err, size);
	if (keys != NULL)
		ini_free_attribute_list(keys);
	if (r == -1 || n > 0 || strcmp(section, NO_SECTION) == 0)
		return r;
	if (strncmp(section, "auth.", 5) == 0)
		return conf_have_issuer(c, section + 5, strlen(section + 5),
		    path, err, size) == NULL ? -1 : 0;
	for (j = 0; j < conf_sections_n; j++)
		if (strcmp(section, conf_sections[j].name) == 0)
			return 0;
	return conf_fail(err, size, "%s: [%s]: no such section", path,
	    conf_show(shown, section));
}

int
conf_load_file(struct conf *c, const char *path, char *err, size_t size)
{
	struct ini_cfgobj *ini = NULL;
	struct ini_cfgfile *file = NULL;
	char *text, **sections, *copy;
	int i, error, n = 0, r = -1;
	size_t len;

	if ((text = slurp(path, &len, &c->file_is_open, err, size)) == NULL)
		return -1;
	if (check_bytes(path, text, len, err, size) == -1)
		goto done_text;
	if ((copy = strdup(path)) == NULL ||
	    (error = ini_config_create(&ini)) != 0) {
		free(copy);
		(void)conf_fail(err, size, "%s: out of memory", path);
		goto done_text;
	}
	free(c->file);
	c->file = copy;
	if ((error = ini_config_file_from_mem(text, (uint32_t)len,
	    &file)) != 0) {
		(void)conf_fail(err, size, "%s: cannot be read: %s", path,
		    strerror(error));
		goto done_ini;
	}
	/* Duplicates are let through, so that we can say where the first
	 * stood. */
	if ((error = ini_config_parse(file, INI_STOP_ON_NONE, INI_MV1S_ALLOW |
	    INI_MV2S_ALLOW | INI_MS_MERGE, INI_PARSE_NOWRAP |
	    INI_PARSE_NO_C_COMMENTS, ini)) != 0) {
		(void)tell_syntax_error(path, ini, error, text, err, size);
		goto done_file;
	}
	if ((sections = ini_get_section_list(ini, &n, &error)) == NULL) {
		(void)conf_fail(err, size, "%s: cannot be parsed: %s", path,
		    strerror(error));
		goto done_file;
	}
	r = 0;
	for (i = 0; i < n && r == 0; i++)
		r = load_section(c, ini, path, sections[i], err, size);
	ini_free_section_list(sections);

done_file:
	ini_config_file_destroy(file);
done_ini:
	ini_config_destroy(ini);
done_text:
	explicit_bzero(text, len);
	free(text);
	return r;
}
