-- A log that nothing expires of yet, and a watched table with rows to write to.
CREATE EXTENSION audit_log;
SELECT audit_log.set_retention(NULL);
CREATE TABLE job (id integer PRIMARY KEY, n integer NOT NULL);
SELECT audit_log.watch('job');
INSERT INTO job SELECT g, 0 FROM generate_series(1, 1000) g;
