{{ config(materialized='incremental', incremental_strategy='append', on_schema_change='append_new_columns') }}

select *
from {{ source('audit_log', 'feed') }}
where true
{% if var('audit_log_since') is not none %}
  and occurred_at >= '{{ var("audit_log_since") }}'
{% endif %}
{% if is_incremental() %}
  -- Without coalesce, a first run that found nothing would be the last to look.
  and position > (select coalesce(max(position), '') from {{ this }})
{% endif %}
