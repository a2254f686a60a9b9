INSERT INTO audit_log.feed_epoch (epoch, system_identifier) VALUES ($1, $2)
