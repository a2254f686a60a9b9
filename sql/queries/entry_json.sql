SELECT CASE WHEN $2 THEN audit_log.entry_json($1)
            ELSE audit_log.entry_json($1) OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object('omitted', ARRAY['before', 'after', 'changes']) END
