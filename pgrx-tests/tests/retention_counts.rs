//! Counts, totals and other targets after every kind of purge: batches, drops, partitions of any range, moved entries.

use audit_log_tests::{all, one, run, Db};
use postgres::Client;

use crate::listing::Random;
use crate::page_truth::{expected, import, page, some_event, Request};
use crate::retention_truth::{count, drain, is_sound, is_tidy, partitions, purge, step, tidy};

/// Five weeks from 3 March 2025 on, of all kinds of entries; now is long after.
const NOW: &str = "2025-11-01Z";

/// A log with a few of `some_event`'s categories under rules, and partitions as given.
fn filled(random: &mut Random, ranges: &[(&str, &str)]) -> Db {
    let mut db = Db::new();
    db.run(
        "SET client_min_messages = error; SET TimeZone = 'UTC';
         SELECT audit_log.define_target_type('candidate', 'Candidate');
         SELECT audit_log.define_category('candidate_moved', 'candidate', 'Moved', tab => 'interviews');
         SELECT audit_log.set_retention(NULL);
         SELECT audit_log.set_retention('180 days', 'acme');
         SELECT audit_log.set_retention('200 days', category => 'job_created');
         SELECT audit_log.set_retention(NULL, 'späße', 'job_created');
         SELECT audit_log.ensure_partitions()",
    );
    ranges.iter().for_each(|(lower, upper)| partitions(&mut db, lower, upper));
    // Of one week counts and names have none.
    for parent in ["event", "event_target"] {
        let create =
            format!("SELECT audit_log.create_partition('audit_log.{parent}', '2025-04-01Z', '2025-04-07Z')");
        assert_eq!(db.one(&create), "t");
    }
    write(&mut db, random, 400);
    db
}

fn write(db: &mut Db, random: &mut Random, many: usize) {
    let events: Vec<_> = (0..many).map(|_| some_event(random)).collect();
    import(&mut db.client, &events);
}

/// Fails where the total of some windows, or what is found by a name, is not what the entries say.
#[track_caller]
fn pages_are_right(client: &mut Client, random: &mut Random, when: &str) {
    let text = |text: &str| Some(text.to_string());
    for n in 0..12 {
        let mut request = Request { page_size: Some(100), ..Request::default() };
        request.start = (n % 3 > 0)
            .then(|| format!("2025-03-{:02} {:02}:00Z", 1 + random.below(17), random.below(2) * 12));
        request.end = (n % 2 > 0)
            .then(|| format!("2025-03-{:02} {:02}:00Z", 19 + random.below(13), random.below(2) * 12));
        request.organization = (n % 4 == 0).then(|| random.of(&["acme", "späße"]).to_string());
        match n % 6 {
            1 => request.actor = text(random.of(&["Ann Miller", "Number 7", "Nightly Run", "7"])),
            2 => request.search = text(random.of(&["ann", "number 1", "abc", "nightly"])),
            3 => request.candidate = text(random.of(&["Zoë Qin", "c3"])),
            4 => request.tab = text("interviews"),
            _ => {}
        }
        let wanted = expected(client, &request, None);
        let found = page(client, &request);
        assert_eq!(found.total(), wanted.len() as i64, "{when}: {request:?}");
        assert_eq!(found.ids(), wanted[..wanted.len().min(100)], "{when}: {request:?}");
    }
}

/// Goes on by all clocks of half a year, with more written meanwhile, counted and not.
fn purged_week_by_week(db: &mut Db, random: &mut Random, kind: &str) {
    let mut other = db.session();
    for week in 0..5 {
        let clock =
            one(&mut other, &format!("SELECT '2025-08-24 12:00Z'::timestamptz + {week} * interval '7 days'"));
        let when = format!("{kind}, {clock}");
        if week % 2 == 0 {
            write(db, random, 60);
        }
        if week % 3 == 0 {
            drain(&mut db.client, "counts", &clock);
            write(db, random, 20);
        }
        let (_, _, error) = step(&mut db.client, "clear", &clock);
        assert_eq!(error, None, "{when}");
        is_sound(&mut db.client, &when);
        for task in ["clear", "drop", "move"] {
            drain(&mut db.client, task, &clock);
            if week % 3 < 2 {
                is_sound(&mut db.client, &format!("{when}, {task}"));
            }
        }
        if week % 4 == 1 {
            pages_are_right(&mut other, random, &when);
            is_tidy(&mut db.client, &when);
        }
    }
    let left = "SELECT count(*) FROM audit_log.stored_event WHERE organization_id = 'acme' OR organization_id <> 'späße' AND category = 'job_created'";
    assert!(db.one(left).parse::<i32>().expect("a number") > 0, "{kind}: the premise of this test");
    purge(&mut db.client, NOW);
    is_tidy(&mut db.client, kind);
    pages_are_right(&mut other, random, kind);
    let left = "SELECT count(*) FROM audit_log.stored_event WHERE occurred_at < '2025-05-01Z' AND (organization_id = 'acme' OR organization_id NOT IN ('späße') AND category = 'job_created')";
    assert_eq!(db.one(left), "0", "{kind}");
    // Everything, of which most goes as partitions; some of it was never counted.
    write(db, random, 40);
    db.run(
        "SELECT audit_log.set_retention('1 day'); SELECT audit_log.unset_retention('späße', 'job_created')",
    );
    while step(&mut db.client, "drop", NOW).1 {
        is_sound(&mut db.client, &format!("{kind}, some of it is dropped"));
    }
    drain(&mut db.client, "clear", NOW);
    assert_eq!(count(&mut db.client), 0, "{kind}");
    // The next one that goes takes along what entries without a partition needed.
    partitions(db, "2025-05-01", "2025-05-02");
    drain(&mut db.client, "drop", NOW);
    is_tidy(&mut db.client, &format!("{kind}, at last"));
    let bounds = "SELECT p::text || b FROM unnest('{audit_log.event,audit_log.event_target,audit_log.activity,audit_log.named}'::regclass[]) p, audit_log.partition_bounds(p) b WHERE b.upper < '2025-06-01'";
    assert_eq!(db.all(bounds), [""; 0], "{kind}");
    assert_eq!(db.all("SELECT n::text FROM audit_log.named n WHERE n.day < '2025-06-01'"), [""; 0], "{kind}");
    assert_eq!(
        db.all("SELECT a::text FROM audit_log.activity a WHERE a.day < '2025-06-01'"),
        [""; 0],
        "{kind}"
    );
}

#[test]
fn in_weeks_and_without_a_partition() {
    let mut random = Random(31);
    let ranges = [("2025-03-03", "2025-03-10"), ("2025-03-10", "2025-03-17"), ("2025-03-24", "2025-03-31")];
    let mut db = filled(&mut random, &ranges);
    purged_week_by_week(&mut db, &mut random, "weeks");
}

#[test]
fn in_a_month() {
    let mut random = Random(32);
    let mut db = filled(&mut random, &[("2025-03-01", "2025-04-01")]);
    db.run("SELECT audit_log.set_partition_interval('month')");
    purged_week_by_week(&mut db, &mut random, "months");
}

#[test]
fn in_ranges_that_are_no_whole_days() {
    let mut random = Random(33);
    let ranges = [
        ("2025-03-03", "2025-03-04 06:00"),
        ("2025-03-04 06:00", "2025-03-04 18:00"),
        ("2025-03-04 18:00", "2025-03-05"),
        ("2025-03-05 18:00", "2025-03-10 12:00"),
        ("2025-03-10 12:00", "2025-03-17 01:00"),
        ("2025-03-18", "2025-03-19 23:00"),
    ];
    let mut db = filled(&mut random, &ranges);
    db.run("SELECT audit_log.set_partition_interval('day')");
    purged_week_by_week(&mut db, &mut random, "parts of days");
}

#[test]
fn in_hours() {
    let mut random = Random(34);
    let hours: Vec<String> = (0..24).map(|hour| format!("2025-03-12 {hour:02}:00")).collect();
    let mut ranges: Vec<(&str, &str)> = hours.windows(2).map(|w| (w[0].as_str(), w[1].as_str())).collect();
    // Not all of them are there, and Monday's begins with its week.
    ranges.retain(|(lower, _)| !lower.ends_with("07:00") && !lower.ends_with("15:00"));
    ranges.extend([("2025-03-10", "2025-03-10 01:00"), ("2025-03-10 05:00", "2025-03-10 06:00")]);
    let mut db = filled(&mut random, &ranges);
    db.run("SELECT audit_log.set_partition_interval('day')");
    purged_week_by_week(&mut db, &mut random, "hours");
}

/// Both halves of a day's counts, and of its names, go with their own partitions.
#[test]
fn one_of_two_partitions_that_share_a_day() {
    let mut db = Db::new();
    db.run("SET client_min_messages = error; SELECT audit_log.set_retention(NULL); SELECT audit_log.ensure_partitions()");
    partitions(&mut db, "2025-03-12", "2025-03-12 12:00");
    partitions(&mut db, "2025-03-12 12:00", "2025-03-13");
    let by = |db: &mut Db, name: &str, organization: &str, hour: i32| {
        db.run(&format!(
            "SELECT audit_log.set_context('{{\"actor\": {{\"type\": \"user\", \"id\": \"{name}\", \"name\": \"{name} {organization}\"}}}}', false);
             SELECT audit_log.record('job_created', organization => '{organization}', occurred_at => '2025-03-12 {hour}:00Z') FROM generate_series(1, 3);
             SELECT audit_log.set_context(NULL, false)"
        ));
    };
    for (name, organization, hour) in
        [("Early", "acme", 11), ("Late", "globex", 13), ("Both", "acme", 10), ("Both", "globex", 14)]
    {
        by(&mut db, name, organization, hour);
    }
    drain(&mut db.client, "counts", NOW);
    // Some of either is not counted when it goes.
    by(&mut db, "Early", "acme", 11);
    by(&mut db, "Late", "globex", 13);
    let people = "SELECT string_agg(name, ', ') FROM audit_log.people('e', 100)";
    let mut other = db.session();
    for (rule, clock, left) in [
        ("'1 day', 'globex'", NOW, "Both acme, Early acme"),
        ("'1 day', 'acme'", NOW, "Both globex, Late globex"),
        ("'1 day'", "2025-03-13 12:00Z", "Both globex, Late globex"),
    ] {
        run(&mut other, &format!("BEGIN; SELECT audit_log.set_retention({rule})"));
        drain(&mut other, "drop", clock);
        is_sound(&mut other, rule);
        // Whichever of the two went: the day is shared with the other one.
        run(
            &mut other,
            "UPDATE audit_log.examined SET names_stale_since = names_stale_since - interval '1 month'",
        );
        drain(&mut other, "tidy", NOW);
        assert_eq!(one(&mut other, people), left, "{rule}");
        is_sound(&mut other, rule);
        run(&mut other, "ROLLBACK");
    }
    // The same actor's of both halves, of which one goes.
    by(&mut db, "Both", "acme", 15);
    drain(&mut db.client, "counts", NOW);
    by(&mut db, "Both", "acme", 10);
    by(&mut db, "Both", "acme", 15);
    db.run("SELECT audit_log.set_retention('1 day')");
    drain(&mut db.client, "drop", "2025-03-13 12:00Z");
    is_tidy(&mut db.client, "the first half went");
    assert_eq!(count(&mut db.client), 3 * 2 + 3 * 3);
}

/// Where the other targets of entries have no partition of their range, or one of a longer range.
#[test]
fn other_targets_go_with_their_entries_wherever_they_are() {
    let mut db = Db::new();
    db.run("SET client_min_messages = error; SELECT audit_log.ensure_partitions()");
    let targets = r#"[{"type": "user", "id": "7"}, {"type": "job", "id": "8"}]"#;
    for (parent, lower, upper) in [
        ("event_target", "2025-03-03", "2025-03-10"),
        ("event", "2025-03-04", "2025-03-05"),
        ("event", "2025-03-05", "2025-03-06"),
        ("event", "2025-03-12", "2025-03-13"),
        ("event", "2025-03-20", "2025-03-30"),
        ("event_target", "2025-03-21", "2025-03-22"),
        ("event_target", "2025-03-22", "2025-03-23"),
    ] {
        let create =
            format!("SELECT audit_log.create_partition('audit_log.{parent}', '{lower}Z', '{upper}Z')");
        assert_eq!(db.one(&create), "t");
    }
    for at in ["2025-03-04 12:00", "2025-03-05 12:00", "2025-03-12 12:00", "2025-03-22 12:00"] {
        db.run(&format!(
            "SELECT audit_log.record('offer_sent', '1', targets => '{targets}', occurred_at => '{at}Z')"
        ));
    }
    for (clock, left) in [("2025-04-04Z", 3), ("2025-04-05Z", 2), ("2025-04-20Z", 1), ("2025-05-01Z", 0)] {
        // As a worker may: what can be dropped is, and the rest goes row by row.
        for task in ["drop", "clear", "drop"] {
            drain(&mut db.client, task, clock);
            is_sound(&mut db.client, &format!("{clock}, {task}"));
        }
        assert_eq!(count(&mut db.client), left, "{clock}");
    }
    let left = "SELECT p::text || b.lower FROM unnest('{audit_log.event,audit_log.event_target}'::regclass[]) p, audit_log.partition_bounds(p) b WHERE b.upper < '2025-05-01'";
    assert_eq!(db.all(left), [""; 0]);
}

/// What has no partition is named, by its week, under the Monday that a partition may begin with.
#[test]
fn names_of_a_week_of_which_a_partition_has_a_part() {
    let by = |name: &str, category: &str, at: &str| {
        format!(
            "SELECT audit_log.set_context('{{\"actor\": {{\"type\": \"user\", \"id\": \"{name}\", \"name\": \"{name}\"}}}}', false);
             SELECT audit_log.record('{category}', occurred_at => '{at}Z');
             SELECT audit_log.set_context(NULL, false)"
        )
    };
    // Also where only something is gone that had no partition.
    for (unit, upper, without) in
        [("day", "2025-03-04", ""), ("hour", "2025-03-03 01:00", ""), ("day", "2025-03-04", "Monday gone")]
    {
        let mut db = Db::new();
        db.run(&format!("SET client_min_messages = error; SELECT audit_log.set_partition_interval('{unit}'); SELECT audit_log.set_retention(NULL); SELECT audit_log.set_retention('1 day', category => 'offer_sent')"));
        partitions(&mut db, "2025-03-03", upper);
        for (name, category, at) in [
            ("Monday", "job_created", "2025-03-03 00:10"),
            ("Monday gone", "offer_sent", "2025-03-03 00:10"),
            ("Monday five", "job_created", "2025-03-03 05:10"),
            ("Tuesday", "job_created", "2025-03-04 05:10"),
            ("Tuesday gone", "offer_sent", "2025-03-04 05:10"),
            ("Sunday", "job_created", "2025-03-09 23:10"),
        ] {
            if name != without {
                db.run(&by(name, category, at));
            }
        }
        let people = |db: &mut Db| db.one("SELECT string_agg(name, ', ') FROM audit_log.people('day', 100)");
        drain(&mut db.client, "counts", NOW);
        drain(&mut db.client, "clear", NOW);
        let all = "Monday, Monday five, Monday gone, Sunday, Tuesday, Tuesday gone";
        assert_eq!(
            people(&mut db),
            if without.is_empty() { all.to_string() } else { all.replace("Monday gone, ", "") },
            "{unit}"
        );
        for when in ["not moved yet", "moved", "counted again"] {
            is_tidy(&mut db.client, &format!("{unit}, {when}"));
            assert_eq!(people(&mut db), "Monday, Monday five, Sunday, Tuesday", "{unit}, {when}");
            let found = "SELECT count(*) FROM unnest('{Monday,Monday five,Tuesday,Sunday}'::text[]) n, LATERAL audit_log.page(actor => n)";
            assert_eq!(db.one(found), "4", "{unit}, {when}");
            drain(&mut db.client, "move", NOW);
            drain(&mut db.client, "counts", NOW);
        }
        // Each that goes takes its name along, wherever it is kept by now.
        db.run("SELECT audit_log.set_retention('210 days')");
        for (clock, left) in [
            ("2025-09-29 03:00Z", "Monday five, Sunday, Tuesday"),
            ("2025-09-30Z", "Sunday, Tuesday"),
            ("2025-10-01Z", "Sunday"),
        ] {
            for task in ["clear", "move", "drop"] {
                drain(&mut db.client, task, clock);
            }
            is_tidy(&mut db.client, &format!("{unit}, {clock}"));
            assert_eq!(people(&mut db), left, "{unit}, {clock}");
        }
    }
}

#[test]
fn names_are_told_for_a_day_at_most_of_what_is_gone() {
    let mut db = Db::new();
    db.run("SET client_min_messages = error; SELECT audit_log.set_retention(NULL); SELECT audit_log.set_retention('1 day', 'acme')");
    partitions(&mut db, "2025-03-03", "2025-03-10");
    db.run(
        "SELECT audit_log.record('job_created', n::text, 'Target ' || n, organization => o, occurred_at => '2025-03-05', targets => '[{\"type\": \"user\", \"id\": \"u\", \"name\": \"U\"}]')
         FROM unnest('{acme,globex}'::text[]) o, generate_series(1, 10) n WHERE o = 'acme' OR n > 5",
    );
    let named = "SELECT count(*) FROM audit_log.naming WHERE organization_id IN ('acme', 'globex') AND type IN ('job', 'user')";
    drain(&mut db.client, "counts", NOW);
    assert_eq!(db.one(named), "17");
    purge(&mut db.client, NOW);
    drain(&mut db.client, "tidy", NOW);
    assert_eq!(db.one(named), "17", "it costs reading the partition: once a day");
    tidy(&mut db.client);
    assert_eq!(
        db.all("SELECT DISTINCT organization_id FROM audit_log.naming WHERE type = 'job'"),
        ["globex"]
    );
    is_tidy(&mut db.client, "a day later");
    assert_eq!(
        all(&mut db.client, "SELECT partition FROM audit_log.examined WHERE names_stale_since IS NOT NULL"),
        [""; 0]
    );
}
