SELECT s.id FROM audit_log.organization_setting s WHERE NOT s.enabled
