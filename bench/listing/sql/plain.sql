-- The same entries in one table, with the two indexes a log like this usually has.
DROP TABLE IF EXISTS bench.plain, bench.plain_unfinished;
CREATE TABLE bench.plain_unfinished AS SELECT * FROM audit_log.event WHERE occurred_at < :'ends';
CREATE INDEX plain_occurred_at ON bench.plain_unfinished (occurred_at);
CREATE INDEX plain_actor_id ON bench.plain_unfinished (actor_id);
VACUUM ANALYZE bench.plain_unfinished;
ALTER TABLE bench.plain_unfinished RENAME TO plain;
