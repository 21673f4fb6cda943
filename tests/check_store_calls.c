/*
 * check_store_calls.c - every call to the disk fails once, in its turn: S2.
 *
 * A script opens a log, publishes, prunes, reads pages, checkpoints and closes, and does
 * it again with the log that it finds.  The Nth call of it fails, or all from the Nth on:
 * with the call's I/O error, or (a write) because the disk is full.  Afterwards the log
 * works again, without a restart where it was open, and holds what was acknowledged.
 *
 * In an ordinary run N takes some steps through the script, in a release every one.
 */
#include "config.h"

#include <sqlite3.h>
#include <stdio.h>

#include "fault_vfs.h"
#include "store_rig.h"

#define STEPS	70		/* in an ordinary run */

static const struct way {
	const char	*name;
	unsigned int	 calls;
	int		 rc;
	bool		 stays;
} ways[] = {
	{ "an I/O error", VFS_ANY, 0, false },
	{ "I/O errors from there on", VFS_ANY, 0, true },
	{ "a full disk, for one write", VFS_BIT(VFS_WRITE), SQLITE_FULL, false },
	{ "a full disk from there on", VFS_BIT(VFS_WRITE), SQLITE_FULL, true },
};
#define NWAYS	((int)(sizeof(ways) / sizeof(ways[0])))

static size_t answers[APPEND_UNKNOWN + 1], unopened, unread;

static void
read_pages(void)
{
	static const enum page_kind kinds[] = { PAGE_AFTER, PAGE_REPLAY, PAGE_SINCE };
	struct page_job *j;

	for (int i = 0; i < 3; i++) {
		j = rig_page(kinds[i], rig_topic(i), 0);
		/* A replay and a look back by time say nothing of what is lost. */
		if (j->failed)
			unread++;
		else if (kinds[i] == PAGE_AFTER)
			rig_check_page(j, rig_topic(i), 0);
		ck_assert(!j->failed || vfs_hits() > 0);
		page_job_free(j);
	}
}

static void
publish_some(const struct way *w)
{
	struct rig_append *r;

	for (int i = 0; i < 12; i++) {
		r = rig_publish(i % 3, i % 4 == 3 ? 5 : 1, i % 2);
		answers[r->result]++;
		ck_assert(r->result == APPEND_OK || vfs_hits() > 0);
		if (w->rc == SQLITE_FULL)
			ck_assert_int_ne(r->result, APPEND_UNKNOWN);
		else
			ck_assert_int_ne(r->result, APPEND_FULL);
	}
}

static void
play(const struct way *w, uint64_t nth)
{
	const struct vfs_fault f = { .calls = w->calls, .file = "", .nth = nth,
		.stays = w->stays, .rc = w->rc, .loss = VFS_EITHER };

	rig_new();
	vfs_reset(nth);
	rig.conf.checkpoint_pages = 6;
	if (nth % 3 == 0)
		rig.conf.retain_bytes = 9000;
	else
		rig.conf.retain_events_per_topic = 4;
	vfs_fail(&f);
	for (int run = 0; run < 2; run++) {
		if (!rig_open()) {
			unopened++;
			ck_assert_msg(vfs_hits() > 0, "%s", rig_error);
			if (w->stays)
				vfs_heal();
			ck_assert_msg(rig_open(), "%s at %llu (%s): %s", w->name,
			    (unsigned long long)nth, vfs_struck(), rig_error);
		}
		publish_some(w);
		read_pages();
		publish_some(w);
		if (vfs_hits() > 0 && (run == 1 || nth % 2)) {
			/* Over: it works again as it is. */
			if (w->stays)
				vfs_heal();
			(void)rig_recover();
			read_pages();
		}
		/* The second is not closed in an orderly way. */
		if (run == 1 && nth % 4 < 2)
			vfs_cut_power(0);
		rig_close();
	}
}

START_TEST(S2_whichever_call_to_the_disk_fails_nothing_is_lost_or_stuck)
{
	const struct way *w = &ways[_i];
	uint64_t nth = 1, step, passes = 0, in_all, struck = 0;
	int64_t began = now_ms();

	vfs_install();
	play(w, UINT64_MAX);
	in_all = vfs_seen();
	ck_assert_uint_gt(in_all, 50);
	step = (uint64_t)size_of_run((int)in_all / STEPS, 1);
	if (step > 1)
		nth += dice((uint32_t)step);
	/* Not every pass has as many calls as the other. */
	for (int clean = 0; clean < 3; nth += step > 1 ? step : 1) {
		play(w, nth);
		clean = vfs_hits() == 0 ? clean + 1 : 0;
		struck += clean == 0;
		vfs_heal();
		if (vfs_power_is_cut())
			vfs_power_on();
		ck_assert_msg(rig_open(), "%s failed at %llu (%s): %s", w->name,
		    (unsigned long long)nth, vfs_struck(), rig_error);
		rig_check(RIG_PRUNED);
		rig_close();
		passes++;
	}
	printf("%s, at %llu of %llu calls, %lld ms: %zu ok, %zu full, %zu busy, "
	    "%zu unknown; %zu opens, %zu pages failed\n", w->name,
	    (unsigned long long)struck, (unsigned long long)in_all,
	    (long long)(now_ms() - began), answers[APPEND_OK],
	    answers[APPEND_FULL], answers[APPEND_BUSY], answers[APPEND_UNKNOWN],
	    unopened, unread);
	ck_assert_uint_gt(struck, STEPS / 2);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("store_calls");
	TCase *t = harness_case(s, "calls", size_of_run(60, 1800));

	tcase_add_loop_test(t,
	    S2_whichever_call_to_the_disk_fails_nothing_is_lost_or_stuck, 0, NWAYS);
	return s;
}

SUITE_MAIN
