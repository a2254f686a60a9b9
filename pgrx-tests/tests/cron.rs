//! Without the worker: retention run by Debian's pg_cron.

use audit_log_tests::{bindir, one, run, skipped, wait_for, Cluster};

#[test]
fn pg_cron_keeps_the_log_in_order() {
    // scripts/pg_cron.sh puts it there, for 15 only and where Debian's package is to be had.
    if !bindir().join("../share/extension/pg_cron.control").exists() {
        return skipped("retention from pg_cron", "this server has no pg_cron");
    }
    let settings =
        ["shared_preload_libraries=pg_cron", "cron.database_name=hiring", "cron.use_background_workers=on"];
    let cluster = Cluster::start(&settings, None);
    run(&mut cluster.connect("postgres"), "CREATE DATABASE hiring");
    let mut db = cluster.connect("hiring");
    // Of two intervals: one call makes so many partitions and no more.
    run(&mut db, "CREATE EXTENSION audit_log; CREATE EXTENSION pg_cron; SELECT audit_log.set_partition_interval('month')");
    run(
        &mut db,
        "SELECT audit_log.import(ARRAY(
           SELECT jsonb_build_object('category', 'job_created', 'target_id', 'j' || days, 'occurred_at', now() - days * interval '1 day')
           FROM generate_series(1, 60) days))",
    );
    assert_eq!(one(&mut db, "SELECT count(*) FROM audit_log.entry WHERE category = 'job_created'"), "60");
    run(&mut db, "SELECT cron.schedule('audit log', '* * * * *', 'SELECT audit_log.run_retention()')");

    wait_for(&mut db, "SELECT count(*) FROM audit_log.entry WHERE category = 'job_created' AND occurred_at < now() - interval '30 days 5 minutes'", "0");
    wait_for(&mut db, "SELECT DISTINCT status FROM cron.job_run_details ORDER BY 1 LIMIT 1", "succeeded");
    assert_eq!(one(&mut db, "SELECT count(*) FROM audit_log.entry WHERE category = 'job_created'"), "29");
    // One call makes their partitions, the next one moves them.
    wait_for(&mut db, "SELECT count(*) FROM audit_log.event_unplaced", "0");
    assert_eq!(
        one(
            &mut db,
            "SELECT count(*) >= 2 FROM audit_log.partition_bounds('audit_log.event') WHERE upper > now()"
        ),
        "t"
    );
    let failed = "SELECT count(*) FROM audit_log.worker_status WHERE last_error IS NOT NULL";
    assert_eq!(one(&mut db, failed), "0");
    assert_eq!(
        one(&mut db, "SELECT metadata ->> 'entries' FROM audit_log.entry WHERE category = 'retention_run'"),
        "31"
    );
    cluster.stop();
}
