/*
 * check_peer.c - I5: whose address counts, by the table tests/data/addresses; lists that
 * are too long for a table; and admission.h, which counts by them.
 */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "http_internal.h"
#include "suite.h"

#define COLUMNS	5
#define PARTS	40

static char *
trim(char *s)
{
	char *end;

	while (isspace((unsigned char)*s))
		s++;
	for (end = s + strlen(s); end > s && isspace((unsigned char)end[-1]);)
		*--end = '\0';
	return s;
}

/* Cut at each `by`: how many parts. */
static size_t
cut(char *s, const char *by, const char *out[PARTS])
{
	size_t n = 0;
	char *next;

	for (; s != NULL; s = next) {
		ck_assert_uint_lt(n, PARTS - 1);
		if ((next = strstr(s, by)) != NULL) {
			*next = '\0';
			next += strlen(by);
		}
		s = trim(s);
		out[n++] = strcmp(s, "\"\"") == 0 ? "" : s;
	}
	out[n] = NULL;
	return n;
}

/* A socket's address; NULL: of a unix socket. */
static const struct sockaddr *
address(const char *text, struct sockaddr_storage *ss)
{
	struct sockaddr_in *four = (struct sockaddr_in *)(void *)ss;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)(void *)ss;

	memset(ss, 0, sizeof(*ss));
	if (inet_pton(AF_INET, text, &four->sin_addr) == 1)
		ss->ss_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &six->sin6_addr) == 1)
		ss->ss_family = AF_INET6;
	else {
		ck_assert_str_eq(text, "unix");
		return NULL;
	}
	return (const struct sockaddr *)(const void *)ss;
}

static void
check_row(char *line, int number)
{
	const char *column[PARTS], *proxies[PARTS], *lists[PARTS];
	char peer[ACCESS_PEER_SIZE], block[ACCESS_PEER_SIZE];
	struct sockaddr_storage ss;
	struct http_conf c = { 0 };
	size_t n;

	ck_assert_msg(cut(line, "|", column) == COLUMNS, "line %d", number);
	n = cut((char *)(uintptr_t)column[0], " ", proxies);
	if (strcmp(proxies[0], "-") == 0)
		n = 0;
	proxies[n] = NULL;
	c.trusted_proxies = proxies;
	n = strcmp(column[2], "-") == 0 ? 0 :
	    cut((char *)(uintptr_t)column[2], "++", lists);
	memset(peer, 'x', sizeof(peer));
	access_name_peer(&c, address(column[1], &ss), lists, n, peer);
	ck_assert_msg(strcmp(peer, column[3]) == 0, "line %d: %s instead of %s", number,
	    peer, column[3]);
	access_block(peer, block);
	if (strcmp(column[4], "-") == 0)
		column[4] = column[3];
	ck_assert_msg(strcmp(block, column[4]) == 0, "line %d: counts as %s, not %s",
	    number, block, column[4]);
}

START_TEST(I5_the_address_is_taken_from_trusted_proxies_alone)
{
	const char *src = getenv("srcdir");
	char path[1024], line[1024];
	int number = 0, rows = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/tests/data/addresses",
	    src != NULL ? src : "..");
	ck_assert_msg((f = fopen(path, "r")) != NULL, "%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f) != NULL) {
		number++;
		if (line[0] == '#' || *trim(line) == '\0')
			continue;
		check_row(line, number);
		rows++;
	}
	(void)fclose(f);
	ck_assert_int_ge(rows, 90);
}
END_TEST

START_TEST(I5_a_long_list_is_read_to_its_first_stranger)
{
	const char *proxies[] = { "private", NULL }, *lists[200];
	struct http_conf c = { .trusted_proxies = proxies };
	char peer[ACCESS_PEER_SIZE], *list = calloc(1, 65536);

	ck_assert_ptr_nonnull(list);
	strcpy(list, "6.6.6.6, 198.51.100.1");
	for (int i = 0; i < 100; i++)
		(void)sprintf(list + strlen(list), ", 10.0.0.%d", i);
	lists[0] = list;
	access_name_peer(&c, NULL, lists, 1, peer);
	ck_assert_str_eq(peer, "198.51.100.1");
	/* A hundred headers, too. */
	lists[0] = "6.6.6.6, 198.51.100.1";
	for (int i = 1; i <= 100; i++)
		lists[i] = "10.0.0.1";
	access_name_peer(&c, NULL, lists, 101, peer);
	ck_assert_str_eq(peer, "198.51.100.1");
	/* And one that is nothing but commas. */
	memset(list, ',', 60000);
	list[60000] = '\0';
	lists[0] = list;
	access_name_peer(&c, NULL, lists, 1, peer);
	ck_assert_str_eq(peer, "unix");
	free(list);
}
END_TEST

/* ---- admission ---- */

static struct guest
guest(const char *address, uint64_t principal)
{
	struct guest g = { .principal = principal };

	(void)snprintf(g.address, sizeof(g.address), "%s", address);
	return g;
}

START_TEST(each_limit_says_which_it_is_and_takes_no_place)
{
	struct admission_limits limits = { 5, 3, 2 };
	struct admission *a = admission_new(&limits);
	struct guest ann = guest("192.0.2.1", 7), bob = guest("192.0.2.1", 8),
	    nobody = guest("192.0.2.2", 0);

	ck_assert_int_eq(admission_enter(a, &ann), ADMITTED);
	ck_assert_int_eq(admission_enter(a, &ann), ADMITTED);
	ck_assert_int_eq(admission_enter(a, &ann), ADMITTED_NOT_TOKEN);
	ck_assert_int_eq(admission_enter(a, &bob), ADMITTED);
	ck_assert_int_eq(admission_enter(a, &bob), ADMITTED_NOT_ADDRESS);
	ck_assert_int_eq(admission_enter(a, &nobody), ADMITTED);
	ck_assert_int_eq(admission_enter(a, &nobody), ADMITTED);
	ck_assert_int_eq(admission_enter(a, &nobody), ADMITTED_NOT);
	ck_assert_uint_eq(admission_count(a), 5);
	/* What was refused took no place in any count. */
	admission_leave(a, &nobody);
	admission_leave(a, &ann);
	ck_assert_int_eq(admission_enter(a, &bob), ADMITTED);
	ck_assert_int_eq(admission_enter(a, &ann), ADMITTED_NOT_ADDRESS);
	admission_leave(a, &bob);
	admission_leave(a, &bob);
	admission_leave(a, &ann);
	admission_leave(a, &nobody);
	ck_assert_uint_eq(admission_count(a), 0);
	ck_assert_uint_eq(admission_names(a), 0);
	admission_free(a);
}
END_TEST

START_TEST(without_a_limit_nobody_is_remembered)
{
	struct admission_limits limits = { 0 };
	struct admission *a = admission_new(&limits);
	struct guest g = guest("192.0.2.1", 7);

	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(admission_enter(a, &g), ADMITTED);
	ck_assert_uint_eq(admission_names(a), 0);
	for (int i = 0; i < 1000; i++)
		admission_leave(a, &g);
	ck_assert_uint_eq(admission_count(a), 0);
	admission_free(a);
}
END_TEST

static void *
come_and_go(void *arg)
{
	struct admission *a = arg;
	struct guest g[6];
	bool in[6] = { false };
	unsigned int x = (unsigned int)(uintptr_t)&g;

	for (unsigned int i = 0; i < 6; i++)
		g[i] = guest(i < 3 ? "192.0.2.1" : "2001:db8::/64", i % 4);
	for (int i = 0; i < 50000; i++) {
		unsigned int k = (x = x * 1664525u + 1013904223u) / 65536 % 6;

		if (in[k])
			admission_leave(a, &g[k]);
		in[k] = !in[k] && admission_enter(a, &g[k]) == ADMITTED;
	}
	for (unsigned int k = 0; k < 6; k++)
		if (in[k])
			admission_leave(a, &g[k]);
	return NULL;
}

START_TEST(whatever_races_every_place_is_given_back_once)
{
	struct admission_limits limits = { 9, 6, 3 };
	struct admission *a = admission_new(&limits);
	struct guest one = guest("192.0.2.1", 1);
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, come_and_go, a), 0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_join(t[i], NULL), 0);
	ck_assert_uint_eq(admission_count(a), 0);
	ck_assert_uint_eq(admission_names(a), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(admission_enter(a, &one), ADMITTED);
	ck_assert_int_eq(admission_enter(a, &one), ADMITTED_NOT_TOKEN);
	for (int i = 0; i < 3; i++)
		admission_leave(a, &one);
	admission_free(a);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("peer");
	TCase *tc = tcase_create("peer");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, I5_the_address_is_taken_from_trusted_proxies_alone);
	tcase_add_test(tc, I5_a_long_list_is_read_to_its_first_stranger);
	tcase_add_test(tc, each_limit_says_which_it_is_and_takes_no_place);
	tcase_add_test(tc, without_a_limit_nobody_is_remembered);
	tcase_add_test(tc, whatever_races_every_place_is_given_back_once);
	suite_add_tcase(s, tc);
	return s;
}

SUITE_MAIN
