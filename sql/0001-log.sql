-- The log and what is needed to find one's way in it.  See src/store.h for the rules.

-- One row for each start of a server on this log.  An id is (epoch, seq); a cursor is
-- good if its epoch stands here and its seq lies below the next epoch's first.
CREATE TABLE epoch (
	n		INTEGER PRIMARY KEY,	-- order of starts
	epoch		INTEGER NOT NULL UNIQUE,	-- random, 32 bits
	first_seq	INTEGER NOT NULL,
	opened_ms	INTEGER NOT NULL
);

-- newest and nth are written late (the writer knows better); after a crash they are
-- brought up to date from the events above state.settled.
CREATE TABLE topic (
	id		INTEGER PRIMARY KEY,
	name		TEXT NOT NULL UNIQUE,
	newest		INTEGER NOT NULL,	-- seq of its newest event ever
	nth		INTEGER NOT NULL,	-- how many events it has had
	empty		INTEGER NOT NULL DEFAULT 0	-- 1: all of them were pruned
);
CREATE INDEX topic_empty ON topic (newest) WHERE empty = 1;

-- In seq order and with no other index: appended at one end, pruned at the other.
-- prev chains the events of a topic, so its history is a walk from topic.newest; no
-- index on (topic, seq) has to be kept.  (In a table WITHOUT ROWID every comparison
-- would read the whole of a large row.)  data stands last, so that the columns before
-- it can be read without it.
CREATE TABLE event (
	seq		INTEGER PRIMARY KEY,
	topic		INTEGER NOT NULL,
	prev		INTEGER NOT NULL,	-- the topic's event before this one
	nth		INTEGER NOT NULL,
	time		INTEGER NOT NULL,	-- ms since 1970
	flags		INTEGER NOT NULL,	-- 1: data is JSON
	public_id	TEXT,			-- an id of the publisher's own
	name		TEXT,
	data		BLOB NOT NULL
);

-- What each segment of 4,096 seqs holds, so that nobody has to count or search by time.
CREATE TABLE segment (
	segment		INTEGER PRIMARY KEY,	-- seq >> 12
	events		INTEGER NOT NULL,
	bytes		INTEGER NOT NULL,
	first_ms	INTEGER NOT NULL	-- time of its first event
);

-- Idempotency keys, appended with the events they stand for, dropped by age.
CREATE TABLE idempotency (
	seq		INTEGER PRIMARY KEY,	-- of the first event
	events		INTEGER NOT NULL,
	time		INTEGER NOT NULL,
	key		BLOB NOT NULL,		-- hash of credential and key
	content		BLOB NOT NULL		-- hash of what was published
);

CREATE TABLE state (
	one		INTEGER PRIMARY KEY CHECK (one = 1),
	pruned		INTEGER NOT NULL,	-- highest seq ever pruned
	forgotten	INTEGER NOT NULL,	-- newest of all topics forgotten
	settled		INTEGER NOT NULL	-- topic rows are right up to here
);
INSERT INTO state VALUES (1, 0, 0, 0);
