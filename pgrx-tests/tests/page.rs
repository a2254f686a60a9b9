//! page(): what it shows, its sizes, tabs and actions, who may call it, and what it refuses.

use audit_log_tests::{all, fails, one, run, unique, Db};

use crate::page_truth::{expected, page, with_weeks, Request};

fn text(text: &str) -> Option<String> {
    Some(text.to_string())
}

/// The ids of the targets on a page with these arguments.
fn targets(db: &mut Db, arguments: &str) -> Vec<String> {
    db.all(&format!("SELECT target_id FROM audit_log.page({arguments})"))
}

#[track_caller]
fn refused(db: &mut Db, arguments: &str, field: &str, says: &str) {
    let failure = db.fails(&format!("SELECT * FROM audit_log.page({arguments})"));
    failure.is("22023", "invalid_input").says(&format!("field: {field}")).says(says);
}

#[test]
fn a_page_has_the_entry_with_labels_a_summary_and_numbers() {
    let mut db = Db::new();
    db.run(
        r#"SELECT audit_log.set_context('{"actor": {"type": "user", "id": "7", "name": "Ann", "email": "ann@example.org"},
             "remote_addr": "::1", "request_id": "r", "user_agent": "test", "metadata": {"k": 1.50}}', false);
           SELECT audit_log.record('booking_created', 'ABC123', targets => '[{"type": "user", "id": 1}]', before => '{"a": 1}', after => '{"a": 2}')"#,
    );
    let shown = "SELECT to_jsonb(p) - '{label,color,target_label,summary,total,first_row,last_row}'::text[] FROM audit_log.page() p";
    assert_eq!(db.all(shown), db.all("SELECT to_jsonb(e) FROM audit_log.entry e"));
    let added = "SELECT concat_ws('|', label, color, target_label, summary, total, first_row, last_row) FROM audit_log.page()";
    assert_eq!(
        db.one(added),
        "Created|green|Interview Booking · ABC123|Ann: Created, Interview Booking ABC123|1|1|1"
    );
    let types = "SELECT DISTINCT pg_typeof(total) || ' ' || pg_typeof(first_row) || ' ' || pg_typeof(last_row) FROM audit_log.page()";
    assert_eq!(db.one(types), "bigint bigint bigint");
}

/// Records with this context and these arguments: how the entry is summed up.
#[track_caller]
fn summary(db: &mut Db, context: &str, arguments: &str) -> String {
    db.run(&format!("SELECT audit_log.set_context($c${context}$c$, false)"));
    let id = db.one(&format!("SELECT audit_log.record({arguments})"));
    db.run("SELECT audit_log.set_context(NULL, false)");
    db.one(&format!("SELECT summary FROM audit_log.page() WHERE id = '{id}'"))
}

#[test]
fn a_summary_says_who_what_to_what_and_what_changed_in_one_line() {
    let mut db = Db::new();
    let ann = r#"{"actor": {"type": "user", "id": "7", "name": "Ann"}}"#;
    let for_bob = r#"{"actor": {"type": "support", "id": "s1"}, "effective_actor": {"type": "user", "id": "8", "name": "Bob"}}"#;
    let kind_only = r#"{"actor": {"type": "automation"}}"#;
    for (context, arguments, wanted) in [
        (ann, "'job_updated', '1', 'Cook'", "Ann: Job updated, Job Cook"),
        (ann, "'job_updated', '1'", "Ann: Job updated, Job 1"),
        (ann, "'job_updated'", "Ann: Job updated, Job"),
        (for_bob, "'offer_sent', '42'", "s1 (for Bob): Offer sent, Offer 42"),
        (kind_only, "'job_updated', '1', E'Cook\\nand\\tmore'", "automation: Job updated, Job Cook and more"),
        // Only of an update's columns is there something to say.
        (ann, "'job_updated', '1', before => '{\"a\": 1}', after => '{\"a\": 2}'", "Ann: Job updated, Job 1"),
    ] {
        assert_eq!(summary(&mut db, context, arguments), wanted);
    }
    db.run(&format!(
        "SELECT audit_log.set_context('{ann}', false);
         CREATE TABLE job (id int PRIMARY KEY, a text, b jsonb, c int, d text, e text); SELECT audit_log.watch('job', target_name => 'a');
         INSERT INTO job VALUES (1, 'open', '{{\"x\": 1}}', 1, 'd', 'e'); UPDATE job SET a = 'closed';
         UPDATE job SET a = repeat('ä', 41), b = NULL, c = 2, d = 'more', e = 'yet more'; DELETE FROM job"
    ));
    let long = "ä".repeat(40);
    let lines = db.all(
        "SELECT summary FROM audit_log.page() WHERE relation = 'public.job' ORDER BY first_row, occurred_at",
    );
    assert_eq!(
        lines,
        [
            "Ann: Job created, Job open".to_string(),
            "Ann: Job updated, Job closed; a: open → closed".to_string(),
            format!("Ann: Job updated, Job {}; a: closed → {long}…, b: {{\"x\":1}} → nothing, c: 1 → 2 and 2 more", "ä".repeat(41)),
            format!("Ann: Job deleted, Job {}", "ä".repeat(41)),
        ]
    );
}

#[test]
fn what_has_no_label_is_shown_as_it_is() {
    let mut db = Db::new();
    db.run(
        "SELECT audit_log.define_target_type('crew', 'Crew'); SELECT audit_log.define_category('crew_fed', 'crew', 'Fed');
         SELECT audit_log.record('crew_fed', '1'); SELECT audit_log.record('crew_fed');
         ALTER TABLE audit_log.category_definition DISABLE TRIGGER ALL; DELETE FROM audit_log.category_definition WHERE category = 'crew_fed';
         DELETE FROM audit_log.target_type WHERE code = 'crew'",
    );
    let shown = "SELECT concat_ws('|', label, coalesce(color, '-'), target_label, summary) FROM audit_log.page() WHERE target_type = 'crew'";
    assert_eq!(
        db.all(shown),
        ["crew_fed|-|crew|system: crew_fed, crew", "crew_fed|-|crew · 1|system: crew_fed, crew 1"]
    );
}

#[test]
fn pages_of_each_size_put_together_are_everything() {
    let mut db = with_weeks();
    // A hundred at each of three instants, in a partition, beside the partitions and where both meet.
    db.run(
        "SELECT audit_log.record('job_created', n::text, occurred_at => (ARRAY['2025-03-12', '2025-03-17', '2025-03-20']::timestamptz[])[1 + n % 3])
         FROM generate_series(1, 300) n",
    );
    let mut client = db.session();
    let wanted = expected(&mut client, &Request::default(), None);
    for size in [10, 20, 50, 100] {
        let mut found = Vec::new();
        for number in 1.. {
            let request = Request { page: Some(number), page_size: Some(size), ..Request::default() };
            let shown = page(&mut client, &request);
            let Some(numbers) = shown.numbers else { break };
            let before = found.len() as i64;
            assert_eq!(numbers, (wanted.len() as i64, before + 1, before + shown.rows.len() as i64));
            found.extend(shown.ids());
        }
        assert_eq!(found, wanted, "pages of {size}");
    }
    assert_eq!(page(&mut client, &Request::default()).rows.len(), 50);
}

#[test]
fn behind_the_last_page_there_is_nothing() {
    let mut db = Db::new();
    assert_eq!(db.one("SELECT count(*) FROM audit_log.page()"), "0");
    db.run("SELECT audit_log.record('job_created', n::text) FROM generate_series(1, 20) n");
    for (arguments, rows) in [
        ("2, 10", "10"),
        ("3, 10", "0"),
        ("2, 20", "0"),
        ("1, 100", "20"),
        ("2147483647, 100", "0"),
        ("2147483647, 10, search => '1'", "0"),
    ] {
        assert_eq!(
            db.one(&format!("SELECT count(*) FROM audit_log.page({arguments})")),
            rows,
            "page({arguments})"
        );
    }
}

#[test]
fn without_arguments_and_with_null_ones_it_is_the_same() {
    let mut db = Db::new();
    db.run("SELECT audit_log.record('job_created', n::text) FROM generate_series(1, 60) n; SELECT audit_log.record('job_created', 'old', occurred_at => '1999-01-01')");
    let columns = "concat_ws(' ', id, total, first_row, last_row)";
    let plain = db.all(&format!("SELECT {columns} FROM audit_log.page()"));
    assert!(plain.len() == 50 && plain[0].ends_with(" 61 1 50"), "{plain:?}");
    for same in [
        "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL",
        "1, 50, tab => '', search => '', action => '', actor => '', candidate => ''",
        "start_date => '-infinity', end_date => 'infinity'",
        "actor => NULL, candidate => NULL, organization => NULL",
    ] {
        assert_eq!(db.all(&format!("SELECT {columns} FROM audit_log.page({same})")), plain, "page({same})");
    }
    assert_eq!(targets(&mut db, "2, 50").last(), text("old").as_ref());
}

#[test]
fn tabs_have_their_categories_whatever_the_target() {
    let mut db = Db::new();
    db.run(
        "SELECT audit_log.define_category('job_toured', 'job', 'Toured', tab => 'interviews');
         SELECT audit_log.record('booking_created', 'b1'); SELECT audit_log.record('participant_joined', 'v1'); SELECT audit_log.record('job_toured', 'j1');
         SELECT audit_log.record('job_created', 'j2'); SELECT audit_log.record('message_sent', 'm1')",
    );
    assert_eq!(targets(&mut db, "tab => 'interviews'"), ["j1", "v1", "b1"]);
    assert_eq!(targets(&mut db, "tab => 'team'"), ["m1", "j2", "job_toured"]);
    assert_eq!(targets(&mut db, "tab => 'team', action => 'Created'"), Vec::<String>::new());
    assert_eq!(targets(&mut db, "tab => 'interviews', action => 'Created'"), ["b1"]);
    for unknown in ["Team", "interview"] {
        refused(&mut db, &format!("tab => '{unknown}'"), "tab", "interviews and team");
    }
}

#[test]
fn an_action_is_a_category_or_a_label_in_any_case() {
    let mut db = Db::new();
    db.run(
        "SELECT audit_log.define_category('job_renamed', 'job', 'Größe Ändern');
         SELECT audit_log.record(c, c) FROM unnest('{booking_created,video_session_created,evaluation_created,job_created,booking_marked_no_show,job_renamed}'::text[]) c",
    );
    // One label, three categories.
    let created = ["evaluation_created", "video_session_created", "booking_created"];
    for action in ["Created", "created", "CREATED"] {
        assert_eq!(targets(&mut db, &format!("action => '{action}'")), created, "{action}");
    }
    for (action, category) in [
        ("job_created", "job_created"),
        ("Job created", "job_created"),
        ("job Created", "job_created"),
        ("marked no-show", "booking_marked_no_show"),
        ("GRÖßE ÄNDERN", "job_renamed"),
    ] {
        assert_eq!(targets(&mut db, &format!("action => '{action}'")), [category], "{action}");
    }
}

#[test]
fn an_unknown_action_is_refused_with_the_nearest_match() {
    let mut db = Db::new();
    for (action, nearest) in [
        ("job_craeted", "job_created"),
        ("Job_Created!", "job_created"),
        ("Offer snet", "Offer sent"),
        // Its code begins with something else: it is the label that is near.
        ("Marked No Show", "Marked No-Show"),
    ] {
        refused(&mut db, &format!("action => '{action}'"), "action", &format!("did you mean \"{nearest}\"?"));
    }
    refused(&mut db, "action => 'zzzzzz'", "action", "audit_log.vocabulary");
    refused(&mut db, "action => '%'", "action", "unknown");
    // Also where another tab or a page far behind is asked for.
    refused(&mut db, "7, tab => 'interviews', action => 'job_craeted'", "action", "job_created");
}

#[test]
fn what_it_does_not_take() {
    let mut db = Db::new();
    refused(&mut db, "0", "page", "below 1");
    refused(&mut db, "-1", "page", "below 1");
    for size in ["0", "-10", "1", "11", "25", "101", "1000"] {
        refused(&mut db, &format!("page_size => {size}"), "page_size", "10, 20, 50 and 100");
    }
    refused(&mut db, "actor => '7', candidate => 'c1'", "candidate", "both");
    let backwards = ["'2025-03-02', '2025-03-01'", "'2025-03-01', '2025-03-01'", "'infinity', '-infinity'"];
    for dates in backwards {
        let (start, end) = dates.split_once(", ").expect("two dates");
        refused(&mut db, &format!("start_date => {start}, end_date => {end}"), "start_date", "start_date");
    }
    // One that is empty is not given.
    assert_eq!(targets(&mut db, "actor => '7', candidate => ''"), Vec::<String>::new());
}

#[test]
fn a_candidate_can_be_found_by_a_name_alone() {
    let mut db = with_weeks();
    db.run(
        r#"SELECT audit_log.record('candidate_moved', NULL, 'Zoe');
           SELECT audit_log.record('job_updated', '1', targets => '[{"type": "candidate", "name": "Amy"}]')"#,
    );
    for counted in [false, true] {
        for (name, category) in [("Zoe", "candidate_moved"), ("Amy", "job_updated")] {
            let found = db.all(&format!("SELECT category FROM audit_log.page(candidate => '{name}')"));
            assert_eq!(found, [category], "{name}, counted: {counted}");
        }
        db.run("SELECT audit_log.count_entries()");
    }
}

#[test]
fn letters_that_depend_on_what_follows_are_found_in_any_case() {
    let mut db = Db::new();
    db.run(r#"SELECT audit_log.set_context('{"actor": {"type": "user", "id": "1", "name": "ΟΔΥΣΣΕΑΣ ΝΙΚΟΣΙΟΣ"}}', false);
              SELECT audit_log.record('job_created', '1')"#);
    for part in ["ΟΔΥΣΣΕΑΣ", "οδυσσεας", "οδυσσεασ", "ΝΙΚΟΣ", "νικοσ", "ΟΔΥΣ", "Σ"]
    {
        assert_eq!(targets(&mut db, &format!("search => '{part}'")), ["1"], "{part}");
        assert_eq!(db.one(&format!("SELECT count(*) FROM audit_log.people('{part}')")), "1", "{part}");
    }
}

#[test]
fn who_may_see_a_page() {
    let mut db = Db::new();
    db.run("SELECT audit_log.ensure_partitions()");
    for organization in ["acme", "globex", "shut"] {
        db.run(&format!(
            "SELECT audit_log.record('job_created', '{organization}', organization => '{organization}')"
        ));
    }
    db.run("SELECT audit_log.disable_organization('shut')");
    let (reader, bound) = (unique("reader"), unique("reader"));
    let (mut reads_all, mut reads_acme) = (db.session_as(&reader), db.session_as(&bound));
    for call in ["page()", "page(organization => 'acme')", "people('a')"] {
        let failure = fails(&mut reads_acme, &format!("SELECT * FROM audit_log.{call}"));
        failure.is("42501", "missing_endpoint_permission").says(&bound);
    }
    db.run(&format!("GRANT audit_log_reader TO {reader}; SELECT audit_log.grant_read('{bound}', 'acme')"));
    run(&mut reads_all, "SET default_transaction_read_only = on; SET search_path = pg_temp");
    let of_jobs = "SELECT target_id || total FROM audit_log.page(action => 'job_created'{})";
    for counted in [false, true] {
        assert_eq!(all(&mut reads_all, &of_jobs.replace("{}", "")), ["globex2", "acme2"], "{counted}");
        assert_eq!(all(&mut reads_acme, &of_jobs.replace("{}", "")), ["acme1"], "{counted}");
        assert_eq!(
            all(&mut reads_acme, "SELECT target_id FROM audit_log.page(search => 'globex')"),
            Vec::<String>::new()
        );
        let named = of_jobs.replace("{}", ", organization => 'globex'");
        assert_eq!(all(&mut reads_all, &named), ["globex1"]);
        fails(&mut reads_acme, &named).is("42501", "missing_endpoint_permission").says("globex");
        db.run("SELECT audit_log.count_entries()");
    }
    for not_enabled in ["shut", "unheard of"] {
        let page = format!("SELECT * FROM audit_log.page(organization => '{not_enabled}')");
        fails(&mut reads_all, &page).is("55000", "audit_logs_not_enabled").says(not_enabled);
    }
    db.run("SELECT audit_log.disable_organization('acme')");
    fails(&mut reads_acme, "SELECT * FROM audit_log.page()").is("55000", "audit_logs_not_enabled");
    assert_eq!(one(&mut reads_all, &of_jobs.replace("{}", "")), "globex1");
    fails(&mut reads_all, "SELECT audit_log.count_entries()");
}
