WITH moved AS (DELETE FROM {source} e WHERE e.occurred_at >= $1 AND e.occurred_at < $2 RETURNING e.*)
INSERT INTO {target} SELECT m.* FROM moved m RETURNING 1
