/*
 * check_process.c - the server as a process on a machine with other users: how it was
 * built (Z4), what it may become (O3), and where its secrets lie.
 */
#include "config.h"

#include "harness.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OTHER_KEY	"ffk_other0123456789abcdefghijklmnopqrstuvwxyzABC"

static char *
file_of(const char *name, const char *text, mode_t mode)
{
	char *path = fmt("%s/%s", test_dir(), name);

	write_whole(path, text, strlen(text));
	ck_assert_int_eq(chmod(path, mode), 0);
	return path;
}

/* ---- how it was built ---- */

START_TEST(Z4_the_program_has_every_protection_that_checksec_knows)
{
#ifdef HARDENED
	static const struct { const char *name, *want; } rows[] = {
		{ "relro", "full" }, { "canary", "yes" }, { "nx", "yes" },
		{ "pie", "yes" }, { "rpath", "no" }, { "runpath", "no" },
		{ "fortify_source", "yes" },
	};
	const char *program = getenv("FANFARE_BIN");
	char *checksec = have_program("checksec");
	json_t *all, *one;
	char said[4096];
	FILE *f;
	size_t n;

	if (checksec == NULL)
		return;
	ck_assert_ptr_nonnull(f = popen(fmt("'%s' --output=json --file='%s'", checksec,
	    program != NULL ? program : "./fanfare"), "r"));
	n = fread(said, 1, sizeof(said) - 1, f);
	said[n] = '\0';
	(void)pclose(f);
	ck_assert_msg((all = json_loads(said, 0, NULL)) != NULL, "%s", said);
	one = json_object_iter_value(json_object_iter(all));
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		ck_assert_msg(strcmp(text_at(one, rows[i].name), rows[i].want) == 0,
		    "%s is not %s: %s", rows[i].name, rows[i].want, said);
	json_decref(all);
#else
	left_out("this program is built without hardening");
#endif
}
END_TEST

START_TEST(O3_started_bare_it_gets_no_new_privileges)
{
	struct server *s = server_start(NULL, NULL);
	char *status = read_whole(fmt("/proc/%d/status", (int)s->pid));

	ck_assert_ptr_nonnull(strstr(status, "\nNoNewPrivs:\t1\n"));
	ck_assert_int_eq(server_stop(s), 0);
}
END_TEST

/* ---- where its secrets lie ---- */

START_TEST(a_file_with_a_secret_that_others_can_read_is_refused_for_each_option)
{
	static const struct { const char *option, *text; } rows[] = {
		{ "--auth.api_keys_file", "test:" OTHER_KEY "\n" },
		{ "--auth.key_file", HOUSE_KEY "\n" },
		{ "--auth.key_before_file", HOUSE_KEY "-of-another\n" },
		{ "--auth.login.key_file", HOUSE_KEY "-of-another\n" },
		{ "--auth.login.key_before_file", HOUSE_KEY "\n" },
	};
	static const struct { mode_t mode; bool ok; } modes[] = {
		{ 0600, true }, { 0640, true }, { 0440, true }, { 0604, false },
		{ 0644, false }, { 0602, false }, { 0601, false }, { 0666, false },
	};
	char *said;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		for (size_t m = 0; m < sizeof modes / sizeof *modes; m++) {
			char *path = file_of("secret", rows[i].text, modes[m].mode);
			int code = program_run(NULL, &said, NULL, "check",
			    "--auth.api_keys=test:" API_KEY,
			    "--auth.login.issuer=https://login.example",
			    fmt("%s=%s", rows[i].option, path),
			    strcmp(rows[i].option, "--auth.key_before_file") == 0 ?
			    "--auth.key=" HOUSE_KEY : "--auth.cookie=c",
			    strcmp(rows[i].option, "--auth.login.key_file") == 0 ? NULL :
			    "--auth.login.key=" HOUSE_KEY "-of-another", NULL);

			ck_assert_msg(code == (modes[m].ok ? 0 : 2), "%s %04o: %d %s",
			    rows[i].option, (unsigned int)modes[m].mode, code, said);
			if (!modes[m].ok)
				ck_assert_msg(strstr(said, "chmod o-rwx") != NULL,
				    "%s: %s", rows[i].option, said);
			ck_assert_ptr_null(strstr(said, OTHER_KEY));
			ck_assert_ptr_null(strstr(said, "-of-another"));
			ck_assert_int_eq(unlink(path), 0);
		}
}
END_TEST

START_TEST(a_configuration_with_a_secret_that_others_can_read_is_told)
{
	static const char with[] = "[auth]\nkey = " HOUSE_KEY "\n"
	    "api_keys = test:" API_KEY "\n";
	static const char issuer[] = "[auth]\n[auth.login]\nissuer = https://l.example\n"
	    "key = " HOUSE_KEY "\npublish = yes\n";
	static const char before[] = "[auth]\nkey_file = %s\n"
	    "key_before = " HOUSE_KEY "\n";
	static const char without[] = "[auth]\napi_keys_file = %s\n";
	char *keys = file_of("keys", "test:" API_KEY "\n", 0600), *said;
	const struct { const char *text; mode_t mode; bool told; } rows[] = {
		{ with, 0600, false }, { with, 0640, false }, { with, 0644, true },
		{ with, 0604, true }, { issuer, 0644, true }, { issuer, 0600, false },
		{ fmt(without, keys), 0644, false },
		{ fmt(before, keys), 0644, true },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char *conf = file_of("conf", rows[i].text, rows[i].mode);
		int code = program_run(NULL, &said, NULL, "check", "-c", conf, NULL);

		ck_assert_msg(code == 0, "%zu: %s", i, said);
		ck_assert_msg((strstr(said, "chmod o-rwx") != NULL) == rows[i].told,
		    "%zu: %s", i, said);
		ck_assert_ptr_null(strstr(said, HOUSE_KEY));
	}
}
END_TEST

/* As LoadCredential= of a unit gives them. */
START_TEST(O3_keys_come_from_the_credentials_of_systemd)
{
	char *dir = fmt("%s/credentials", test_dir()), *said, *jwt;
	struct server *s;

	ck_assert_int_eq(mkdir(dir, 0700), 0);
	(void)file_of("credentials/api-keys", "test:" API_KEY "\n", 0400);
	(void)file_of("credentials/token-key", HOUSE_KEY "\n", 0400);
	(void)file_of("credentials/login-key", "another-" HOUSE_KEY, 0400);
	(void)file_of("credentials/key-before", "older-" HOUSE_KEY, 0400);
	ck_assert_int_eq(setenv("CREDENTIALS_DIRECTORY", dir, 1), 0);
	s = server_start("--auth.api_keys=", "--auth.api_keys_file=api-keys",
	    "--auth.key_file=token-key", "--auth.login.issuer=login",
	    "--auth.login.key_file=login-key", "--auth.key_before_file=key-before",
	    "--auth.login.key_before_file=key-before", NULL);
	expect_live(stream_open(s, "/events?topic=a", AUTH), false);
	expect_live(stream_open(s, "/events?topic=a", fmt(BEARER "%s\r\n",
	    token_for(600, NULL, "a"))), false);
	jwt = token("another-" HOUSE_KEY, fmt("{\"iss\":\"login\",\"exp\":%lld,"
	    "\"fanfare\":{\"subscribe\":[\"a\"]}}", (long long)wall_s() + 600));
	expect_live(stream_open(s, "/events?topic=a", fmt(BEARER "%s\r\n", jwt)), false);
	for (int i = 0; i < 2; i++) {
		jwt = token("older-" HOUSE_KEY, fmt("{\"iss\":\"%s\",\"exp\":%lld,"
		    "\"fanfare\":{\"subscribe\":[\"a\"]}}", i == 0 ? "login" : "house",
		    (long long)wall_s() + 600));
		expect_live(stream_open(s, "/events?topic=a", fmt(BEARER "%s\r\n", jwt)),
		    false);
	}
	ck_assert_int_eq(server_stop(s), 0);
	/* What has a folder, or is none of them, is where it always was. */
	ck_assert_int_eq(program_run(NULL, &said, NULL, "check",
	    "--auth.api_keys_file=./api-keys", NULL), 2);
	ck_assert_ptr_nonnull(strstr(said, "auth.api_keys_file: ./api-keys: No such"));
	ck_assert_int_eq(program_run(NULL, &said, NULL, "check",
	    "--auth.api_keys_file=nowhere", NULL), 2);
	ck_assert_ptr_nonnull(strstr(said, "auth.api_keys_file: nowhere: No such"));
	ck_assert_int_eq(chmod(fmt("%s/api-keys", dir), 0444), 0);
	ck_assert_int_eq(program_run(NULL, &said, NULL, "check",
	    "--auth.api_keys_file=api-keys", NULL), 2);
	ck_assert_ptr_nonnull(strstr(said, "chmod o-rwx"));
	ck_assert_int_eq(unsetenv("CREDENTIALS_DIRECTORY"), 0);
	ck_assert_int_eq(program_run(NULL, &said, NULL, "check",
	    "--auth.api_keys_file=api-keys", NULL), 2);
}
END_TEST

static Suite *
suite(void)
{
	Suite *su = suite_create("process");
	TCase *tc = harness_case(su, "process", 60);

	tcase_add_test(tc, Z4_the_program_has_every_protection_that_checksec_knows);
	tcase_add_test(tc, O3_started_bare_it_gets_no_new_privileges);
	tcase_add_test(tc,
	    a_file_with_a_secret_that_others_can_read_is_refused_for_each_option);
	tcase_add_test(tc, a_configuration_with_a_secret_that_others_can_read_is_told);
	tcase_add_test(tc, O3_keys_come_from_the_credentials_of_systemd);
	return su;
}

SUITE_MAIN
