/*
 * check_store_sync.c - syncs, commits and checkpoints that fail under the log: S3; who
 * writes the database: S7; pages that cannot be read.
 *
 * The disk is fault_vfs.h's, the ledger store_rig.h's.
 */
#include "config.h"

#include <sys/stat.h>

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "fault_vfs.h"
#include "store_rig.h"

static void
begin(bool sync_full)
{
	vfs_install();
	rig_new();
	vfs_reset(dice(1u << 30));
	rig.conf.sync_full = sync_full;
}

static void
start(void)
{
	ck_assert_msg(rig_open(), "%s", rig_error);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(rig_publish(i % RIG_TOPICS, 2, true)->result,
		    APPEND_OK);
}

/* The power goes now; what is there afterwards agrees with the ledger. */
static void
cut_and_check(enum rig_loss loss)
{
	vfs_cut_power(0);
	rig_close();
	vfs_power_on();
	ck_assert_msg(rig_open(), "%s", rig_error);
	rig_check(loss);
	rig_close();
}

static void
strike(enum vfs_call call, const char *file, bool stays, int rc, enum vfs_loss loss)
{
	const struct vfs_fault f = { .calls = VFS_BIT(call), .file = file, .nth = 1,
		.stays = stays, .rc = rc, .loss = loss };

	vfs_fail(&f);
}

/* A sync of the WAL fails; then that, until it is healed. */
static void
strike_sync_then(enum vfs_loss loss, enum vfs_call call)
{
	static struct vfs_fault then;
	const struct vfs_fault f = { .calls = VFS_BIT(VFS_SYNC), .file = "-wal",
		.nth = 1, .loss = loss, .then = &then };

	then = (struct vfs_fault){ .calls = VFS_BIT(call), .file = "", .nth = 1,
		.stays = true };
	vfs_fail(&f);
}

/* --- S3 --- */

START_TEST(S3_a_failed_sync_is_never_an_ack)
{
	static const enum vfs_loss losses[] = { VFS_LOST, VFS_REACHED, VFS_FORGOTTEN,
		VFS_EITHER };
	struct rig_append *r;
	struct event_id first;
	bool found;

	begin(true);
	start();
	strike_sync_then(losses[_i], VFS_OPEN);
	r = rig_publish(1, 3, true);
	ck_assert_int_eq(r->result, APPEND_UNKNOWN);
	ck_assert_ptr_nonnull(store_trouble(rig.st));
	/* Nothing more is taken until there is a new connection. */
	ck_assert_int_eq(rig_publish(1, 1, false)->result, APPEND_BUSY);
	ck_assert(!rig_wait_trouble(false, 50));
	vfs_heal();
	(void)rig_recover();
	/* What reached the disk after all, and that includes what the kernel's memory
	 * still shows, was announced, once (the ledger sees to that), and its key is
	 * known; what did not is stored when it is repeated. */
	found = losses[_i] != VFS_FORGOTTEN;
	ck_assert(rig.events[r->first].announced == found);
	ck_assert(rig.events[r->first + 2].announced == found);
	ck_assert_int_eq(rig_repeat((size_t)(r - rig.appends), &first),
	    found ? APPEND_DUPLICATE : APPEND_OK);
	ck_assert_uint_eq(first.seq, rig.events[r->first].id.seq);
	cut_and_check(RIG_NOTHING);
}
END_TEST

START_TEST(S3_a_batch_that_reached_the_disk_is_announced_once_in_its_order)
{
	struct rig_append *r;

	begin(true);
	start();
	for (int again = 0; again < 3; again++) {
		/* The first attempts to open it again fail, too. */
		strike_sync_then(VFS_REACHED, again == 0 ? VFS_READ :
		    again == 1 ? VFS_OPEN : VFS_TRUNCATE);
		r = rig_publish(2, 8, true);
		ck_assert_int_eq(r->result, APPEND_UNKNOWN);
		ck_assert(!rig_wait_trouble(false, 100));
		vfs_heal();
		(void)rig_recover();
		for (size_t i = 0; i < 8; i++)
			ck_assert(rig.events[r->first + i].announced);
		ck_assert_uint_gt(rig.events[rig.order[rig.norder - 1]].id.seq,
		    rig.events[r->first + 7].id.seq);
		rig_check(RIG_NOTHING);
	}
	cut_and_check(RIG_NOTHING);
}
END_TEST

START_TEST(S3_found_events_are_announced_though_reading_them_fails_midway)
{
	struct rig_append *r;
	size_t announced = 0;

	begin(true);
	start();
	strike(VFS_SYNC, "-wal", false, 0, VFS_REACHED);
	r = rig_publish(2, 8, false);
	/* Every read, one after the other, of the reopening fails once. */
	for (uint64_t n = 1; announced < 8; n++) {
		const struct vfs_fault f = { .calls = VFS_BIT(VFS_READ), .file = "",
			.nth = n };

		ck_assert_uint_lt(n, 1000);
		vfs_fail(&f);
		for (int i = 0; i < 2000 && vfs_hits() == 0 &&
		    store_trouble(rig.st) != NULL; i++)
			nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
		if (store_trouble(rig.st) == NULL)
			break;
	}
	vfs_heal();
	(void)rig_recover();
	for (size_t i = 0; i < 8; i++)
		announced += rig.events[r->first + i].announced;
	ck_assert_uint_eq(announced, 8);
	cut_and_check(RIG_NOTHING);
}
END_TEST

START_TEST(S3_a_commit_that_cannot_be_written_is_unknown_or_full)
{
	static const struct {
		int rc;
		enum append_result want;
		const char *says;
	} rows[] = {
		{ SQLITE_IOERR_WRITE, APPEND_UNKNOWN, "writing" },
		{ SQLITE_FULL, APPEND_FULL, "full" },
	};
	struct rig_append *r;
	struct event_id first;

	begin(true);
	start();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		strike(VFS_WRITE, "-wal", true, rows[i].rc, VFS_EITHER);
		r = rig_publish(1, 2, true);
		ck_assert_int_eq(r->result, rows[i].want);
		ck_assert_ptr_nonnull(strstr(store_trouble(rig.st), rows[i].says));
		ck_assert_int_ne(rig_publish(1, 2, true)->result, APPEND_OK);
		vfs_heal();
		(void)rig_recover();
		/* Its key does not stand for what was not stored. */
		ck_assert(!rig.events[r->first].announced);
		ck_assert_int_eq(rig_repeat((size_t)(r - rig.appends), &first),
		    APPEND_OK);
		ck_assert_int_eq(rig_repeat((size_t)(r - rig.appends), &first),
		    APPEND_DUPLICATE);
		rig_check(RIG_NOTHING);
	}
	cut_and_check(RIG_NOTHING);
}
END_TEST

START_TEST(S3_a_commit_that_fails_after_its_sync_is_unknown_and_found)
{
	struct rig_append *r;

	begin(true);
	rig.conf.checkpoint_pages = 1000000;
	start();
	/* The index of the WAL gets another piece after 4,062 pages: a full disk may
	 * refuse it when the frames themselves are synced. */
	strike(VFS_SHM_MAP, "", false, SQLITE_IOERR_SHMSIZE, VFS_EITHER);
	do
		r = rig_publish(1, 8, true);
	while (r->result == APPEND_OK && rig.nevents < RIG_EVENTS - 100);
	ck_assert_uint_eq(vfs_hits(), 1);
	ck_assert_int_eq(r->result, APPEND_UNKNOWN);
	(void)rig_recover();
	for (size_t i = 0; i < 8; i++)
		ck_assert(rig.events[r->first + i].announced);
	cut_and_check(RIG_NOTHING);
}
END_TEST

START_TEST(S3_a_checkpoint_that_fails_is_trouble_and_done_again_elsewhere)
{
	static const struct { enum vfs_call call; const char *file; } rows[] = {
		{ VFS_SYNC, ".db" }, { VFS_WRITE, ".db" }, { VFS_READ, "-wal" },
	};
	uint64_t opened;

	begin(_i == 0);
	rig.conf.checkpoint_pages = 20;
	start();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		/* Once: it is over with the next connection. */
		opened = vfs_opened();
		strike(rows[i].call, rows[i].file, false, 0, VFS_EITHER);
		for (int k = 0; k < 500 && vfs_hits() == 0; k++)
			(void)rig_publish(k % RIG_TOPICS, 4, false);
		ck_assert_msg(vfs_hits() > 0, "%zu", i);
		(void)rig_recover();
		ck_assert_uint_gt(vfs_opened(), opened);
		/* For long: nothing is acknowledged meanwhile. */
		strike(rows[i].call, rows[i].file, true, 0, VFS_EITHER);
		for (int k = 0; k < 500 && vfs_hits() == 0; k++)
			(void)rig_publish(k % RIG_TOPICS, 4, false);
		ck_assert(rig_wait_trouble(true, patience(SOON)));
		ck_assert(!rig_wait_trouble(false, 100));
		ck_assert_int_eq(rig_publish(0, 1, false)->result, APPEND_BUSY);
		ck_assert_uint_gt(vfs_hits(), 1);
		vfs_heal();
		(void)rig_recover();
		rig_check(RIG_NOTHING);
	}
	cut_and_check(_i == 0 ? RIG_NOTHING : RIG_SUFFIX);
}
END_TEST

START_TEST(S3_a_checkpoint_that_finds_no_room_leaves_the_log_where_it_is)
{
	begin(true);
	rig.conf.checkpoint_pages = 20;
	start();
	strike(VFS_WRITE, ".db", true, SQLITE_FULL, VFS_EITHER);
	for (int k = 0; k < 100; k++)
		ck_assert_int_eq(rig_publish(k % RIG_TOPICS, 4, false)->result,
		    APPEND_OK);
	ck_assert_uint_gt(vfs_hits(), 0);
	ck_assert_ptr_null(store_trouble(rig.st));
	cut_and_check(RIG_NOTHING);
}
END_TEST

START_TEST(S3_pages_are_read_while_another_program_keeps_the_log_from_reopening)
{
	static const char *const holds[] = {
		"BEGIN; SELECT count(*) FROM event", "BEGIN IMMEDIATE",
	};
	struct page_job *j;
	int64_t begun, longest = 0;
	sqlite3 *h;

	begin(true);
	start();
	ck_assert_int_eq(sqlite3_open_v2(rig.path, &h, SQLITE_OPEN_READWRITE, NULL),
	    SQLITE_OK);
	sqlite3_db_config(h, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	ck_assert_int_eq(sqlite3_exec(h, "SELECT count(*) FROM event", NULL, NULL,
	    NULL), SQLITE_OK);
	strike_sync_then(VFS_REACHED, VFS_OPEN);
	ck_assert_int_eq(rig_publish(1, 3, true)->result, APPEND_UNKNOWN);
	ck_assert_int_eq(sqlite3_exec(h, holds[_i], NULL, NULL, NULL), SQLITE_OK);
	vfs_heal();
	for (int64_t end = now_ms() + 300; now_ms() < end;) {
		begun = now_ms();
		j = rig_page(PAGE_AFTER, "**", 0);
		ck_assert(!j->failed);
		page_job_free(j);
		if (now_ms() - begun > longest)
			longest = now_ms() - begun;
	}
	ck_assert_ptr_nonnull(store_trouble(rig.st));
	ck_assert_ptr_nonnull(strstr(store_trouble(rig.st), "another program"));
	ck_assert_int_lt(longest, patience(1000));
	ck_assert_int_eq(sqlite3_close(h), SQLITE_OK);
	(void)rig_recover();
	cut_and_check(RIG_NOTHING);
}
END_TEST

START_TEST(S3_an_import_ends_where_a_checkpoint_fails)
{
	char err[512] = "";
	struct store *st;
	struct frame *f = frame_new("a", 1, NULL, 0, "x", 1, 0);
	int64_t ms = 1;

	begin(true);
	rig.conf.checkpoint_pages = 20;
	ck_assert_ptr_nonnull(st = store_open(&rig.conf, err, sizeof(err)));
	strike(VFS_SYNC, ".db", false, 0, VFS_EITHER);
	for (int k = 0; k < 500 && vfs_hits() == 0; k++)
		ck_assert_int_eq(store_import(st, &f, &ms, 1, err, sizeof(err)), 0);
	ck_assert_uint_eq(vfs_hits(), 1);
	/* Nor does the end ask that disk again. */
	ck_assert_int_eq(store_import(st, &f, &ms, 1, err, sizeof(err)),
	    APPEND_BUSY);
	ck_assert_ptr_nonnull(strstr(err, "writing"));
	ck_assert_int_eq(store_close_alone(st), -1);
	frame_unref(f);
}
END_TEST

static off_t
bytes_beside(const char *end)
{
	char name[160];
	struct stat sb;

	snprintf(name, sizeof(name), "%s%s", rig.path, end);
	ck_assert_int_eq(stat(name, &sb), 0);
	return sb.st_size;
}

START_TEST(S3_a_disk_that_is_full_when_it_is_opened_again_is_given_what_is_kept_back)
{
	struct vfs_fault full = { .calls = VFS_BIT(VFS_WRITE), .nth = 1, .stays = true,
		.file = _i == 0 ? ".db" : "-wal", .rc = SQLITE_FULL };
	int64_t end = now_ms() + patience(SOON);

	begin(true);
	start();
	ck_assert_int_gt(bytes_beside(".lock"), 4096);
	strike_sync_then(VFS_REACHED, VFS_OPEN);
	ck_assert_int_eq(rig_publish(1, 3, true)->result, APPEND_UNKNOWN);
	/* In the checkpoint; when the WAL is written again, in pieces of 64 KB; when what
	 * stands in it is loaded. */
	if (_i == 2)
		full.nth += (uint64_t)(bytes_beside("-wal") + 65535) / 65536;
	vfs_fail(&full);
	while (bytes_beside(".lock") > 4096) {
		ck_assert_msg(now_ms() < end, "nothing was given back");
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	ck_assert_int_eq(rig_publish(0, 1, false)->result, APPEND_FULL);
	vfs_heal();
	(void)rig_recover();
	cut_and_check(RIG_NOTHING);
}
END_TEST

/* The WAL's pages that a failed sync was to cover are clean for the kernel and not on
 * the disk.  If the next checkpoint trusts a sync of them, a power cut in its middle
 * leaves half of it in the database and no WAL to mend it. */
START_TEST(S3_a_power_cut_in_the_checkpoint_after_a_failed_sync_harms_nothing)
{
	uint64_t nth = 0;

	for (bool cut = true; cut;) {
		begin(_i == 0);
			rig.conf.checkpoint_pages = 60;
		start();
		strike(VFS_SYNC, "-wal", false, 0, VFS_LOST);
		for (int k = 0; k < 500 && vfs_hits() == 0; k++)
			(void)rig_publish(k % RIG_TOPICS, 4, false);
		ck_assert_uint_eq(vfs_hits(), 1);
		vfs_cut_power(++nth);
		while (!(cut = vfs_power_is_cut()) &&
		    rig_publish(0, 1, false)->result != APPEND_OK)
			;
		cut_and_check(_i == 0 ? RIG_NOTHING : RIG_SUFFIX);
	}
	ck_assert_uint_gt(nth, 10);
}
END_TEST

START_TEST(S3_a_log_that_went_back_serves_nothing_until_the_restart_that_tells)
{
	struct page_job *j;
	struct event_id last;

	begin(false);
	rig.conf.checkpoint_pages = 60;
	start();
	rig_close();
	ck_assert_msg(rig_open(), "%s", rig_error);
	/* The sync fails, and the kernel reads from the disk what it has dropped. */
	strike(VFS_SYNC, "-wal", false, 0, VFS_FORGOTTEN);
	for (int k = 0; k < 500 && vfs_hits() == 0; k++)
		(void)rig_publish(k % RIG_TOPICS, 4, false);
	last = store_head(rig.st);
	ck_assert(rig_wait_trouble(true, patience(SOON)));
	ck_assert(!rig_wait_trouble(false, 100));
	ck_assert_ptr_nonnull(strstr(store_trouble(rig.st), "lost"));
	ck_assert_int_eq(rig_publish(0, 1, false)->result, APPEND_BUSY);
	j = rig_page(PAGE_AFTER, "**", 0);
	ck_assert(j->failed);
	page_job_free(j);
	rig_close();
	ck_assert_msg(rig_open(), "%s", rig_error);
	ck_assert(!store_cursor_is_good(rig.st, last));
	rig_check(RIG_SUFFIX);
	rig_close();
}
END_TEST

/* Then it has lost the row of its epoch, which is part of every id and sum. */
START_TEST(S3_a_log_that_went_back_before_its_first_event_takes_none)
{
	begin(false);
	rig.conf.checkpoint_pages = 1;
	start();
	rig_close();
	ck_assert_msg(rig_open(), "%s", rig_error);
	strike(VFS_SYNC, "-wal", false, 0, VFS_FORGOTTEN);
	ck_assert(rig_wait_trouble(true, patience(SOON)));
	ck_assert(!rig_wait_trouble(false, 100));
	ck_assert_ptr_nonnull(strstr(store_trouble(rig.st), "lost"));
	ck_assert_int_eq(rig_publish(0, 1, false)->result, APPEND_BUSY);
	rig_close();
	ck_assert_msg(rig_open(), "%s", rig_error);
	rig_check(RIG_NOTHING);
	rig_close();
}
END_TEST

START_TEST(S3_a_database_that_is_gone_is_not_made_anew_while_the_log_is_open)
{
	char away[160];

	begin(true);
	start();
	snprintf(away, sizeof(away), "%s.away", rig.path);
	ck_assert_int_eq(rename(rig.path, away), 0);
	strike(VFS_SYNC, "-wal", false, 0, VFS_LOST);
	ck_assert_int_eq(rig_publish(1, 3, true)->result, APPEND_UNKNOWN);
	ck_assert(!rig_wait_trouble(false, 100));
	ck_assert_int_eq(rig_publish(0, 1, false)->result, APPEND_BUSY);
	ck_assert_int_eq(rename(away, rig.path), 0);
	(void)rig_recover();
	rig_check(RIG_NOTHING);
	rig_close();
}
END_TEST

/* --- S7 --- */

static _Atomic(bool) enough;

static void *
reads_on(void *arg)
{
	struct page_job *j;
	uint64_t cursor = 0;
	size_t *pages = arg;

	while (!enough) {
		j = rig_page(PAGE_AFTER, "**", cursor);
		ck_assert(!j->failed);
		cursor = j->more ? j->through : 0;
		(*pages)++;
		page_job_free(j);
	}
	return NULL;
}

START_TEST(S7_one_connection_writes_and_checkpoints_however_often)
{
	static const uint64_t checkpoints[] = { 0, 1, 13 };
	int64_t end = now_ms() + size_of_run(2500, 20 * 60 * 1000);
	size_t handles, threads, pages = 0, appends = 0, logs = 0;
	pthread_t reader;

	do {
		begin(true);
		rig.conf.checkpoint_pages = checkpoints[_i];
		rig.conf.retain_events_per_topic = 500;
		start();
		vfs_watch_writers();
		enough = false;
		ck_assert_int_eq(pthread_create(&reader, NULL, reads_on, &pages), 0);
		/* The last log, too, is old enough for a checkpoint. */
		while (rig.nappends < RIG_APPENDS - 2000 &&
		    rig.nevents < RIG_EVENTS - 4000 && (now_ms() < end ||
		    rig.nappends < 3000))
			rig_publishers(4, 50);
		enough = true;
		pthread_join(reader, NULL);
		vfs_writers(".db-wal", &handles, &threads);
		ck_assert_uint_eq(handles, 1);
		ck_assert_uint_eq(threads, 1);
		vfs_writers(".db", &handles, &threads);
		ck_assert_uint_eq(handles, 1);
		ck_assert_uint_eq(threads, 1);
		rig_check(RIG_PRUNED);
		rig_close();
		ck_assert(rig_open());
		rig_check(RIG_PRUNED);
		rig_close();
		appends += rig.nappends;
		logs++;
	} while (now_ms() < end);
	printf("checkpoint_pages %d: %zu logs, %zu appends, %zu pages read\n",
	    (int)checkpoints[_i], logs, appends, pages);
}
END_TEST

/* --- the reader --- */

/* Each is read from the disk, while transactions fail: what threads share is what
 * ThreadSanitizer sees. */
START_TEST(S1_pages_are_read_while_the_disk_is_full)
{
	const struct timespec nap = { .tv_nsec = 2000000 };
	pthread_t reader;
	size_t pages = 0;

	begin(true);
	rig.conf.max_page_bytes_total = 1;
	start();
	enough = false;
	ck_assert_int_eq(pthread_create(&reader, NULL, reads_on, &pages), 0);
	strike(VFS_WRITE, "-wal", true, SQLITE_FULL, VFS_EITHER);
	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(rig_publish(0, 1, false)->result, APPEND_FULL);
		nanosleep(&nap, NULL);
	}
	enough = true;
	pthread_join(reader, NULL);
	ck_assert_uint_gt(pages, 0);
	vfs_heal();
	(void)rig_recover();
	rig_check(RIG_NOTHING);
	rig_close();
}
END_TEST

START_TEST(S2_a_page_that_cannot_be_read_fails_and_is_never_short)
{
	static const enum page_kind kinds[] = { PAGE_AFTER, PAGE_REPLAY, PAGE_SINCE };
	static const char *const asks[] = { "**", "a", "b/*" };
	struct page_job *j;
	size_t failed = 0, whole = 0;
	bool struck;

	begin(true);
	start();
	rig_publishers(2, 150);
	for (int kind = 0; kind < 3; kind++)
		for (int stays = 0; stays < 2; stays++)
			for (uint64_t n = 1, in_a_row = 0; in_a_row < 3; n++) {
				const struct vfs_fault f = {
					.calls = VFS_ANY & ~(VFS_BIT(VFS_WRITE) |
					    VFS_BIT(VFS_SYNC)),
					.file = "", .nth = n, .stays = stays };

				/* A reader that knows nothing yet. */
				rig_close();
				ck_assert(rig_open());
				vfs_fail(&f);
				j = rig_page(kinds[kind], asks[n % 3], 0);
				struck = vfs_hits() > 0;
				vfs_heal();
				failed += j->failed;
				whole += !j->failed;
				if (!j->failed)
					rig_check_page(j, asks[n % 3], 0);
				in_a_row = struck ? 0 : in_a_row + 1;
				page_job_free(j);
				/* And the next one is right. */
				j = rig_page(PAGE_AFTER, "**", 0);
				ck_assert(!j->failed);
				rig_check_page(j, "**", 0);
				page_job_free(j);
			}
	printf("%zu pages failed, %zu were whole\n", failed, whole);
	ck_assert_uint_gt(failed, 20);
	rig_close();
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("store_sync");
	TCase *t = harness_case(s, "sync", 60);

	tcase_add_loop_test(t, S3_a_failed_sync_is_never_an_ack, 0, 4);
	tcase_add_test(t,
	    S3_a_batch_that_reached_the_disk_is_announced_once_in_its_order);
	tcase_add_test(t,
	    S3_found_events_are_announced_though_reading_them_fails_midway);
	tcase_add_test(t, S3_a_commit_that_cannot_be_written_is_unknown_or_full);
	tcase_add_test(t, S3_a_commit_that_fails_after_its_sync_is_unknown_and_found);
	tcase_add_loop_test(t,
	    S3_a_checkpoint_that_fails_is_trouble_and_done_again_elsewhere, 0, 2);
	tcase_add_test(t,
	    S3_a_checkpoint_that_finds_no_room_leaves_the_log_where_it_is);
	tcase_add_loop_test(t,
	    S3_a_disk_that_is_full_when_it_is_opened_again_is_given_what_is_kept_back,
	    0, 3);
	tcase_add_loop_test(t,
	    S3_pages_are_read_while_another_program_keeps_the_log_from_reopening, 0, 2);
	tcase_add_test(t, S3_an_import_ends_where_a_checkpoint_fails);
	tcase_add_loop_test(t,
	    S3_a_power_cut_in_the_checkpoint_after_a_failed_sync_harms_nothing, 0, 2);
	tcase_add_test(t,
	    S3_a_log_that_went_back_serves_nothing_until_the_restart_that_tells);
	tcase_add_test(t,
	    S3_a_log_that_went_back_before_its_first_event_takes_none);
	tcase_add_test(t,
	    S3_a_database_that_is_gone_is_not_made_anew_while_the_log_is_open);
	t = harness_case(s, "writers", size_of_run(120, 7200));
	tcase_add_loop_test(t, S7_one_connection_writes_and_checkpoints_however_often,
	    0, 3);
	t = harness_case(s, "reader", 60);
	tcase_add_test(t, S1_pages_are_read_while_the_disk_is_full);
	tcase_add_test(t, S2_a_page_that_cannot_be_read_fails_and_is_never_short);
	return s;
}

SUITE_MAIN
