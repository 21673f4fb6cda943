-- Tokens that are refused though they have not expired (src/store_revoke.c): whose, as a
-- hash, and when that was said.  Those dropped for their age leave the time of the newest
-- of them in the state.
CREATE TABLE revocation (
	key		BLOB PRIMARY KEY,	-- 16 bytes
	kind		INTEGER NOT NULL,	-- what the key is a hash of
	time		INTEGER NOT NULL,	-- ms since 1970
	sum		INTEGER NOT NULL	-- over the row
) WITHOUT ROWID;
ALTER TABLE state ADD COLUMN revoked INTEGER NOT NULL DEFAULT 0;
