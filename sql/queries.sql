-- The queries of the log, each after a line that names it: the build turns
-- "--: topic_find" into the constant sql_topic_find.

--: begin_write
BEGIN IMMEDIATE;
--: begin_read
BEGIN;
--: commit
COMMIT;

--: epoch_insert
INSERT INTO epoch (epoch, first_seq, opened_ms) VALUES (?1, ?2, ?3);
--: epoch_all
SELECT epoch, first_seq FROM epoch ORDER BY n;
--: epoch_newest
SELECT epoch FROM epoch ORDER BY n DESC LIMIT 1;
--: epoch_trim
DELETE FROM epoch WHERE n <= (SELECT max(n) FROM epoch) - ?1
AND first_seq < (SELECT max(first_seq) FROM epoch WHERE first_seq <= ?2);

--: topic_find
SELECT id, newest, nth, empty FROM topic WHERE name = ?1;
--: topic_name
SELECT name FROM topic WHERE id = ?1;
--: topic_insert
INSERT INTO topic (id, name, newest, nth) VALUES (?1, ?2, 0, 0);
--: topic_update
UPDATE topic SET newest = ?2, nth = ?3, empty = ?4 WHERE id = ?1;
--: topic_last_id
SELECT coalesce(max(id), 0) FROM topic;
--: topic_range
SELECT id, name, newest FROM topic WHERE name >= ?1 AND name < ?2;
--: topic_from
SELECT id, name, newest FROM topic WHERE name >= ?1;
--: topic_all
SELECT id, name, newest, nth, empty FROM topic ORDER BY newest DESC LIMIT ?1;
--: topic_count
SELECT count(*) FROM topic;
--: topic_emptied
UPDATE topic SET empty = 1 WHERE id = ?1 AND newest = ?2 AND empty = 0;
--: topic_empty_count
SELECT count(*) FROM topic WHERE empty = 1;
--: topic_empty_oldest
SELECT id, name, newest FROM topic WHERE empty = 1 ORDER BY newest LIMIT ?1;
--: topic_delete
DELETE FROM topic WHERE id = ?1;
--: topic_settle
UPDATE topic SET newest = max(newest, ?2), nth = max(nth, ?3), empty = 0
WHERE id = ?1 AND newest < ?2;

--: event_insert
INSERT INTO event (seq, topic, prev, nth, time, flags, name, data, sum)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9);
--: event_link
SELECT prev FROM event WHERE seq = ?1 AND topic = ?2;
--: event_step_over
SELECT p.seq FROM event e JOIN event p ON p.seq = e.prev
WHERE e.seq = ?1 AND p.seq < ?1 AND p.topic = ?2;
--: event_get
SELECT prev, nth, time, flags, name, data, sum FROM event
WHERE seq = ?1 AND topic = ?2;
--: event_delete
DELETE FROM event WHERE seq = ?1;
--: event_range
SELECT seq, topic, nth, time,
	length(data) + coalesce(length(CAST(name AS BLOB)), 0)
FROM event WHERE seq >= ?1 AND seq < ?2 ORDER BY seq;
--: event_size
SELECT length(data) + coalesce(length(CAST(name AS BLOB)), 0)
FROM event WHERE seq = ?1;
--: event_newest
SELECT prev, event.nth, time, flags, event.name, data, sum, seq, topic.name
FROM event LEFT JOIN topic ON topic.id = event.topic
WHERE seq < ?1 ORDER BY seq DESC;
--: event_above
SELECT prev, event.nth, time, flags, event.name, data, sum, seq, topic.name
FROM event LEFT JOIN topic ON topic.id = event.topic
WHERE seq > ?1 ORDER BY seq;
--: event_time
SELECT min(seq) FROM event WHERE seq >= ?1 AND seq < ?2 AND time >= ?3;
--: event_scan
SELECT seq, topic, prev FROM event WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3;
--: event_oldest
SELECT seq, time FROM event ORDER BY seq LIMIT 1;
--: event_last_seq
SELECT coalesce(max(seq), 0) FROM event;

--: segment_put
INSERT INTO segment (segment, events, bytes, first_ms) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (segment) DO UPDATE SET events = ?2, bytes = ?3;
--: segment_delete
DELETE FROM segment WHERE segment = ?1;
--: segment_all
SELECT segment, events, bytes, first_ms FROM segment ORDER BY segment;
--: segment_at_time
SELECT max(segment) FROM segment WHERE first_ms <= ?1 AND segment < coalesce((SELECT
segment FROM segment WHERE first_ms > ?1 AND first_ms <= ?2 ORDER BY segment LIMIT 1), ?3);

--: idem_insert
INSERT INTO idempotency (seq, events, time, key, content)
VALUES (?1, ?2, ?3, ?4, ?5);
--: idem_all
SELECT seq, events, time, key, content FROM
(SELECT * FROM idempotency WHERE time > ?1 ORDER BY seq DESC LIMIT ?2)
ORDER BY seq;
--: idem_trim
DELETE FROM idempotency WHERE seq IN (SELECT seq FROM idempotency
WHERE seq < ?1 ORDER BY seq LIMIT ?2);

--: state_get
SELECT pruned, forgotten, settled, summed FROM state;
--: state_put
UPDATE state SET pruned = ?1, forgotten = ?2, settled = ?3;

--: revoke_put
INSERT INTO revocation (key, kind, time, sum) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (key) DO UPDATE SET time = ?3, sum = ?4 WHERE time < ?3;
--: revoke_all
SELECT key, kind, time, sum FROM revocation ORDER BY time;
--: revoke_state
SELECT revoked FROM state;
--: revoke_note
UPDATE state SET revoked = max(revoked, ?1,
(SELECT coalesce(max(time), 0) FROM revocation WHERE time <= ?2));
--: revoke_forget
DELETE FROM revocation WHERE time <= ?1;
