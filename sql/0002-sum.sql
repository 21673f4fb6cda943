-- A sum over each row (src/store_row.c), so that a bit that flips on the disk is neither
-- shown nor passed over.  Rows up to state.summed are older than this and have none.
ALTER TABLE event ADD COLUMN sum INTEGER;
ALTER TABLE state ADD COLUMN summed INTEGER NOT NULL DEFAULT 0;
UPDATE state SET summed = (SELECT coalesce(max(seq), 0) FROM event);
