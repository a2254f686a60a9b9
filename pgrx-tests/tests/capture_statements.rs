//! Every statement that changes rows, and what it leaves in the log.

use audit_log_tests::{json, Db};

fn watched_job(options: &str) -> Db {
    let mut db = Db::new();
    db.run("CREATE TABLE job (id int PRIMARY KEY, title text, status text DEFAULT 'open')");
    db.run(&format!("SELECT audit_log.watch('job'{options})"));
    db
}

#[test]
fn insert_update_delete_truncate() {
    let mut db = watched_job("");
    db.run("INSERT INTO job VALUES (1, 'Cook'), (2, 'Clerk')");
    db.run("UPDATE job SET status = 'closed' WHERE id = 1");
    db.run("DELETE FROM job WHERE id = 2");
    db.run("TRUNCATE job");
    assert_eq!(
        db.events(),
        [
            "insert job_created 1",
            "insert job_created 2",
            "update job_updated 1",
            "delete job_deleted 2",
            "truncate job_truncated -"
        ]
    );
    let update = db.json("SELECT jsonb_build_object('b', before, 'a', after, 'c', changes) FROM audit_log.entry WHERE operation = 'update'");
    assert_eq!(
        update,
        json!({"b": {"status": "open"}, "a": {"status": "closed"}, "c": {"status": ["open", "closed"]}})
    );
    let insert = db.json("SELECT after FROM audit_log.entry WHERE operation = 'insert' AND target_id = '1'");
    assert_eq!(insert, json!({"id": 1, "title": "Cook", "status": "open"}));
    let delete = db.json("SELECT before FROM audit_log.entry WHERE operation = 'delete'");
    assert_eq!(delete, json!({"id": 2, "title": "Clerk", "status": "open"}));
}

#[test]
fn on_conflict_records_the_branch_that_was_taken() {
    let mut db = watched_job("");
    let upsert = "INSERT INTO job VALUES (1, 'Cook') ON CONFLICT (id) DO UPDATE SET title = 'Chef'";
    db.run(upsert);
    db.run(upsert);
    db.run("INSERT INTO job VALUES (1, 'Cook') ON CONFLICT DO NOTHING");
    assert_eq!(db.events(), ["insert job_created 1", "update job_updated 1"]);
}
