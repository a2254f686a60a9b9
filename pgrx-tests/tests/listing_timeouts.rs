//! A listing that a statement_timeout stops names the narrowing that would help.

use audit_log_tests::{fails, run};

use crate::listing::Month;

#[test]
fn a_timeout_names_the_narrowing_that_would_help() {
    let mut month = Month::new();
    month.write(3000);
    let mut reader = month.db.session();
    let spring = "start_date => '2025-03-01Z', end_date => '2025-09-01Z'";
    // All that comes before the listing itself has come once.
    run(&mut reader, &format!("SELECT * FROM audit_log.list({spring}); SET statement_timeout = '3s'"));
    // However fast it reads, it does not get past the oldest week: the time is over while it lists.
    month.db.run("BEGIN; LOCK TABLE audit_log.event_p20250303, audit_log.event_target_p20250303 IN ACCESS EXCLUSIVE MODE");
    for (given, helps) in [
        // No index leads to a target type, nor to two filters at once.
        ("target_types => '{report}'", ["start_date", "target_ids"]),
        ("actor_ids => '{ann}', target_types => '{report}'", ["start_date", "target_ids"]),
        ("target_ids => '{t1}', categories => '{report_updated}'", ["start_date", "actor_ids"]),
    ] {
        let failure = fails(&mut reader, &format!("SELECT * FROM audit_log.list({spring}, {given})"));
        assert_eq!(failure.sqlstate, "57014", "{given}: {failure}");
        assert!(helps.iter().all(|narrowing| failure.hint.contains(narrowing)), "{given}: {failure}");
    }
    // Any other statement's timeout is not ours to explain.
    assert_eq!(fails(&mut reader, "SELECT count(*) FROM audit_log.stored_event").hint, "");
    month.db.run("COMMIT");
}
