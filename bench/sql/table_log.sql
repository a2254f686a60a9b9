-- As its manual says, with all five extra columns: old and new row, time, user, number.
CREATE EXTENSION table_log;
SELECT table_log_init(5, 'jobs');
