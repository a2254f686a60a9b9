INSERT INTO audit_log.feed_epoch (epoch, system_identifier, database_oid) VALUES ($1, $2, $3)
