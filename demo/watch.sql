-- What is watched, and what its changes are called.
SET search_path = ats;
SET client_min_messages = warning;

SELECT audit_log.enable_organization('acme', 'Acme Corp');
SELECT audit_log.enable_organization('globex', 'Globex');

SELECT audit_log.watch('team', target_name => 'name', organization => 'id', categories => '[
  {"on": "update", "column": "plan", "category": "team_active_status_changed"}]');

SELECT audit_log.watch('app_user', target_type => 'user', target_name => 'name', organization => 'team_id',
  ignore => '{last_seen_at}', redact => '{password_hash}', categories => '[
  {"on": "update", "column": "role", "category": "user_access_changed"}]');

SELECT audit_log.watch('job', target_name => 'title', organization => 'team_id', categories => '[
  {"on": "update", "column": "status", "to": "open", "category": "job_opened"},
  {"on": "update", "column": "status", "to": "closed", "category": "job_closed"}]');

SELECT audit_log.watch('job_post', target_name => 'headline', parents => '{"job": "job_id"}', categories => '[
  {"on": "update", "column": "published", "to": true, "category": "job_post_published"},
  {"on": "update", "column": "published", "to": false, "category": "job_post_unpublished"}]');

SELECT audit_log.watch('job_user_access', parents => '{"job": "job_id", "user": "user_id"}', categories => '[
  {"on": "update", "column": "access_level", "category": "job_user_access_changed"}]');

SELECT audit_log.watch('candidate', target_name => 'name', organization => 'team_id', redact => '{phone}');

SELECT audit_log.watch('application', target_id => '{id}', organization => 'team_id',
  parents => '{"job": "job_id", "candidate": "candidate_id"}', categories => '[
  {"on": "update", "column": "status", "category": "application_status_changed"}]');

SELECT audit_log.watch('booking', organization => 'team_id', parents => '{"candidate": "candidate_id", "user": "interviewer_id"}',
  categories => '[
  {"on": "update", "column": "state", "to": "cancelled", "category": "booking_cancelled"},
  {"on": "update", "column": "state", "to": "no_show", "category": "booking_marked_no_show"}]');

SELECT audit_log.watch('evaluation', organization => 'team_id', parents => '{"booking": "booking_id"}', categories => '[
  {"on": "update", "column": "approved", "to": true, "category": "evaluation_approved"}]');

SELECT audit_log.watch('offer', organization => 'team_id', parents => '{"job": "job_id"}', categories => '[
  {"on": "update", "column": "status", "to": "approved", "category": "offer_approved"},
  {"on": "update", "column": "status", "to": "sent", "category": "offer_sent"},
  {"on": "update", "column": "status", "to": "revoked", "category": "offer_deprecated"}]');

SELECT audit_log.watch('approval', organization => 'team_id', parents => '{"offer": "offer_id"}', categories => '[
  {"on": "insert", "category": "approval_requested"},
  {"on": "update", "column": "decision", "category": "approval_action_taken"}]');

SELECT audit_log.watch('api_key', target_name => 'label', organization => 'team_id', redact => '{secret}', categories => '[
  {"on": "insert", "category": "team_api_key_created"},
  {"on": "update", "column": "enabled", "category": "team_api_key_enabled_changed"}]');
