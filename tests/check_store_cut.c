/*
 * check_store_cut.c - the power is cut under the log: D2, and D2 with S3.
 *
 * The disk is fault_vfs.h's: whatever no sync covered may be there, or not, or in
 * pieces.  Each round opens a log, publishes from several threads, cuts the power at a
 * call chosen by dice, opens the log again and holds it against the ledger (store_rig.h).
 *
 * FANFARE_TEST_SEED repeats the dice (threads interleave as they like);
 * FANFARE_TEST_CUTS: how often, when not as often as size_of_run() says.
 */
#include "config.h"

#include <stdio.h>

#include "fault_vfs.h"
#include "store_rig.h"

#define ROUNDS_PER_LOG	8

static size_t announced_in_all, unknown_in_all, gone_in_all, found_in_all;

static void
sum_up(void)
{
	for (size_t i = 0; i < rig.nevents; i++) {
		announced_in_all += rig.events[i].announced;
		gone_in_all += rig.events[i].gone;
		found_in_all += rig.events[i].announced && !rig.events[i].gone &&
		    rig.appends[rig.events[i].append].result == APPEND_UNKNOWN;
	}
	for (size_t i = 0; i < rig.nappends; i++)
		unknown_in_all += rig.appends[i].result == APPEND_UNKNOWN;
}

/* A sync that fails, somewhere; what it was to cover is on the disk or not. */
static void
fail_a_sync(void)
{
	static const char *const files[] = { "-wal", ".db", "" };
	struct vfs_fault f = {
		.calls = VFS_BIT(VFS_SYNC), .file = files[dice(3)],
		.nth = 1 + dice(30), .loss = (enum vfs_loss)dice(VFS_FORGOTTEN),
	};

	vfs_fail(&f);
}

static void
one_round(enum rig_loss loss, bool sync_fails)
{
	static const uint64_t checkpoints[] = { 4, 30, 1000 };
	int threads = 1 + (int)dice(4);

	rig.conf.checkpoint_pages = checkpoints[dice(3)];
	/* A slow disk gathers the appends of all threads in one commit. */
	vfs_delay_syncs(dice(4) == 0 ? 1 : 0);
	/* Most cuts early: small logs are many kinds of logs. */
	vfs_cut_power(1 + dice(dice(2) ? 60 : 1500));
	if (rig_open()) {
		if (sync_fails)
			fail_a_sync();
		rig_publishers(threads, 60);
		if (!vfs_power_is_cut() && dice(2))
			vfs_cut_power(0);
		rig_close();
	} else
		ck_assert_msg(vfs_power_is_cut(), "%s", rig_error);
	vfs_cut_power(0);
	vfs_power_on();
	ck_assert_msg(rig_open(), "%s", rig_error);
	rig_check(loss);
	/* Sometimes all is at rest when the next round begins. */
	if (dice(2))
		vfs_cut_power(0);
	rig_close();
	if (vfs_power_is_cut()) {
		vfs_power_on();
		ck_assert_msg(rig_open(), "%s", rig_error);
		rig_check(loss);
		rig_close();
	}
}

static void
cut_often(bool sync_full, bool prunes, bool sync_fails, int every, int release)
{
	static const uint64_t bytes[] = { 0, 1, 3000 };
	enum rig_loss loss = prunes ? RIG_PRUNED : sync_full ? RIG_NOTHING : RIG_SUFFIX;
	int cuts = setting("FANFARE_TEST_CUTS", size_of_run(every, release));

	announced_in_all = unknown_in_all = gone_in_all = found_in_all = 0;
	vfs_install();
	for (int i = 0; i < cuts; i++) {
		if (i % ROUNDS_PER_LOG == 0) {
			sum_up();
			rig_new();
			rig.conf.sync_full = sync_full;
			if (prunes && (rig.conf.retain_bytes = bytes[dice(3)]) == 0)
				rig.conf.retain_events_per_topic = 1 + dice(6);
			vfs_reset(dice(1u << 30));
		}
		one_round(loss, sync_fails);
	}
	sum_up();
	printf("%d cuts: %zu events announced, %zu of them lost; %zu appends unknown, "
	    "%zu of their events found\n", cuts, announced_in_all, gone_in_all,
	    unknown_in_all, found_in_all);
	/* It was no walk in the park. */
	ck_assert_uint_gt(announced_in_all, (size_t)cuts * 10);
	ck_assert(cuts < 100 || loss != RIG_SUFFIX || gone_in_all > 0);
	ck_assert(cuts < 100 || unknown_in_all > 0);
}

START_TEST(D2_a_power_cut_takes_nothing_that_was_acknowledged)
{
	cut_often(true, false, false, 100, 5000);
}
END_TEST

START_TEST(D2_without_syncs_a_power_cut_takes_the_newest_events_only)
{
	cut_often(false, false, false, 100, 5000);
}
END_TEST

START_TEST(D2_a_power_cut_amid_pruning_loses_nothing_else_and_gives_no_id_twice)
{
	cut_often(true, true, true, 100, 5000);
}
END_TEST

START_TEST(S3_a_power_cut_after_a_failed_sync_takes_nothing_that_was_acknowledged)
{
	cut_often(true, false, true, 100, 5000);
}
END_TEST

START_TEST(S3_without_syncs_a_failed_one_and_a_power_cut_take_the_newest_only)
{
	cut_often(false, false, true, 100, 5000);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("store_cut");
	TCase *t = harness_case(s, "cut", size_of_run(120, 7200));

	tcase_add_test(t, D2_a_power_cut_takes_nothing_that_was_acknowledged);
	tcase_add_test(t, D2_without_syncs_a_power_cut_takes_the_newest_events_only);
	tcase_add_test(t,
	    D2_a_power_cut_amid_pruning_loses_nothing_else_and_gives_no_id_twice);
	tcase_add_test(t,
	    S3_a_power_cut_after_a_failed_sync_takes_nothing_that_was_acknowledged);
	tcase_add_test(t,
	    S3_without_syncs_a_failed_one_and_a_power_cut_take_the_newest_only);
	return s;
}

SUITE_MAIN
