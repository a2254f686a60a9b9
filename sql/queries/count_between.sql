SELECT audit_log.count_between($1, $2, $3, $4, $5)
