-- What is dropped with its table matters only where the trigger that watches it is.
SELECT FROM pg_catalog.pg_event_trigger_dropped_objects() d
WHERE d.object_type OPERATOR(pg_catalog.=) ANY (ARRAY['trigger', 'rule', 'policy', 'table column'])
  AND (d.address_names[3] OPERATOR(pg_catalog.~~) '!audit\_log%'
       OR pg_catalog.to_regclass(pg_catalog.format('%I.%I', d.address_names[1], d.address_names[2])) IS NOT NULL)
LIMIT 1
