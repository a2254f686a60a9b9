SELECT d.task, d.next_run FROM audit_log.run_due_task($1, $2) d
