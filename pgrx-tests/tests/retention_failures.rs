//! The session that keeps the log in order dies at any moment of it, or the server does, or its disk is full: what should
//! stay is there once, nothing is half done, and the next runs finish the work. AUDIT_LOG_LONG_TESTS=1 dies more often.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use audit_log_tests::{all, at_length, one, run, skipped, until, Cluster};
use postgres::{Client, NoTls};

use crate::listing::{same, Random};
use crate::retention_truth::{is_sound, TASKS};

fn rounds() -> usize {
    if at_length("retention killed at fifty moments") {
        50
    } else {
        12
    }
}

/// How much the server has written ahead: it tells how far somebody is with their work, however slow they are.
fn written(client: &mut Client) -> Option<u64> {
    let sql = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint";
    Some(client.query_one(sql, &[]).ok()?.get::<_, i64>(0) as u64)
}

/// A log in which what is of organization `old` expires after 30 days, and `kept` never.
fn set_up(client: &mut Client) {
    run(
        client,
        "CREATE EXTENSION audit_log; SELECT audit_log.set_retention(NULL), audit_log.set_retention('30 days', 'old');
         CREATE TABLE truth (id uuid PRIMARY KEY, organization text, occurred_at timestamptz)",
    );
}

/// Some thousand entries of about ten weeks of the last four years: expired, kept and mixed ones, of which some have
/// partitions, and partitions ahead that are to be made.
fn write(client: &mut Client, random: &mut Random, entries: usize) {
    run(client, "SET client_min_messages = error");
    let unit = random.of(&["week", "week", "day", "month"]);
    run(client, &format!("UPDATE audit_log.partition_setting SET unit = '{unit}'; INSERT INTO audit_log.partition_setting VALUES (true, '{unit}') ON CONFLICT DO NOTHING"));
    run(
        client,
        "DO $$ DECLARE p regclass; BEGIN FOR p IN SELECT b.partition FROM unnest('{event,event_target,activity,named}'::text[]) t, audit_log.partition_bounds(('audit_log.' || t)::regclass) b
                WHERE b.lower > now() LOOP EXECUTE format('DROP TABLE %s', p); END LOOP; END $$",
    );
    for _ in 0..10 {
        let weeks = 6 + random.below(200);
        let organizations = random.of(&["{old}", "{old}", "{old,kept}", "{kept}"]);
        let monday = format!("date_trunc('week', now(), 'UTC') - {weeks} * interval '1 week'");
        if random.percent(60) {
            run(
                client,
                &format!(
                    "SELECT audit_log.create_partition(r.parent, r.lower, r.upper)
                     FROM (SELECT p AS parent, (audit_log.free_range(p, 'week', {monday})).* FROM unnest(ARRAY['audit_log.event', 'audit_log.event_target', 'audit_log.activity', 'audit_log.named']::regclass[]) p) r
                     WHERE r.lower IS NOT NULL"
                ),
            );
        }
        run(
            client,
            &format!(
                r#"INSERT INTO truth SELECT audit_log.record('job_created', 't' || n % 50, 'Target ' || n % 50, organization => o, occurred_at => at,
                       targets => CASE WHEN n % 4 = 0 THEN jsonb_build_array(jsonb_build_object('type', 'user', 'id', n % 9, 'name', 'User ' || n % 9)) END), o, at
                   FROM generate_series(1, {entries} / 10) n,
                        LATERAL (SELECT {monday} + n * interval '30 minutes', ('{organizations}'::text[])[1 + n % cardinality('{organizations}'::text[])]) v(at, o)"#
            ),
        );
        if random.percent(50) {
            run(client, "SELECT audit_log.count_entries()");
        }
    }
}

/// Works until nothing is left to do, or until it dies; how much it wrote where it did not.
fn work(client: &mut Client, by_tasks: bool, doing: &Mutex<&'static str>) -> Option<u64> {
    let began = written(client)?;
    let left = "SELECT EXISTS (SELECT FROM audit_log.expired(clock_timestamp())) OR audit_log.next_to_move() IS NOT NULL OR EXISTS (SELECT FROM audit_log.missing_partitions(clock_timestamp(), NULL))";
    let more =
        |client: &mut Client, sql: &str| -> Option<bool> { Some(client.query_one(sql, &[]).ok()?.get(0)) };
    for _ in 0..200 {
        if !by_tasks {
            *doing.lock().expect("unpoisoned") = "run_retention";
            client.batch_execute("SET client_min_messages = error; SELECT audit_log.run_retention()").ok()?;
        }
        for task in TASKS.iter().filter(|_| by_tasks) {
            *doing.lock().expect("unpoisoned") = task;
            // By one clock: as time goes by there is always something more that has expired.
            let now: String = client.query_one("SELECT now()::text", &[]).ok()?.get(0);
            let step = format!("SELECT t.more FROM audit_log.run_task('{task}', '{now}', true) t");
            while more(client, &step)? {}
        }
        *doing.lock().expect("unpoisoned") = "nothing";
        if !more(client, left)? {
            return Some(written(client)? - began);
        }
    }
    panic!(
        "there is no end of it: {:?}",
        all(
            client,
            "SELECT task || ': ' || last_error FROM audit_log.worker_status WHERE last_error IS NOT NULL"
        )
    );
}

const HALF_DONE: &str = "
    SELECT 'twice: ' || id FROM audit_log.stored_event GROUP BY id HAVING count(*) > 1
    UNION ALL SELECT 'lost: ' || t.id FROM truth t WHERE t.organization = 'kept' AND NOT EXISTS (SELECT FROM audit_log.entry e WHERE e.id = t.id AND e.occurred_at = t.occurred_at)
    UNION ALL SELECT 'no partition: ' || c.relname FROM pg_class c
      WHERE c.relnamespace = 'audit_log'::regnamespace AND c.relkind = 'r' AND c.relname ~ '_p\\d{8}' AND NOT c.relispartition
    UNION ALL SELECT 'half moved: ' || c.conrelid::regclass FROM pg_constraint c WHERE c.conname = 'moved'
    UNION ALL SELECT 'invalid: ' || i.indexrelid::regclass FROM pg_index i WHERE NOT i.indisvalid
    -- What is gone was told of in the transaction in which it went.
    UNION ALL SELECT format('gone: %s, told: %s', gone, told)
    FROM (SELECT (SELECT count(*) FROM truth WHERE organization = 'old') - (SELECT count(*) FROM audit_log.stored_event WHERE organization_id = 'old' AND category = 'job_created') AS gone,
                 (SELECT coalesce(sum((metadata ->> 'entries')::bigint), 0) FROM audit_log.entry WHERE category = 'retention_run' AND metadata ->> 'organization' = 'old') AS told) x
    WHERE gone <> told";

#[track_caller]
fn nothing_is_half_done(client: &mut Client, when: &str) {
    assert_eq!(all(client, HALF_DONE), Vec::<String>::new(), "{when}");
    is_sound(client, when);
}

/// All that has expired is gone, all else is there, each in a partition of its own.
#[track_caller]
fn is_finished(client: &mut Client, when: &str) {
    nothing_is_half_done(client, when);
    let left = "SELECT concat_ws(' ', (SELECT count(*) FROM audit_log.stored_event WHERE organization_id = 'old' AND category = 'job_created'), (SELECT count(*) FROM audit_log.event_unplaced))";
    assert_eq!(one(client, left), "0 0", "{when}");
    assert_eq!(
        all(
            client,
            "SELECT task || ': ' || last_error FROM audit_log.worker_status WHERE last_error IS NOT NULL"
        ),
        Vec::<String>::new(),
        "{when}"
    );
}

/// A session, once the server has recovered.
fn recovered(cluster: &Cluster, database: &str) -> Client {
    until("the server to be back", || cluster.config(database).connect(NoTls).map_err(|e| e.to_string()))
}

/// Records until it dies, too; what was committed.
fn record(client: &mut Client, round: usize) -> Vec<String> {
    let mut written = Vec::new();
    for n in 0.. {
        let target = format!("w{round}-{n}");
        if client.batch_execute(&format!("SELECT audit_log.record('job_created', '{target}')")).is_err() {
            break;
        }
        written.push(target);
    }
    written
}

#[test]
fn killed_at_any_moment() {
    let cluster = Cluster::start(&["autovacuum=off", "max_connections=20"], None);
    run(&mut cluster.connect("postgres"), "CREATE DATABASE mortal");
    let mut client = cluster.connect("mortal");
    set_up(&mut client);
    let mut random = Random(55);
    let doing = Mutex::new("nothing");
    write(&mut client, &mut random, 3000);
    let usual = work(&mut client, false, &doing).expect("nobody was killed");
    is_finished(&mut client, "undisturbed");
    let mut killed: BTreeMap<&str, usize> = BTreeMap::new();
    for round in 0..rounds() {
        write(&mut client, &mut random, 3000);
        let by_tasks = round % 2 == 1;
        let mut worker = cluster.connect("mortal");
        let mut writer = cluster.connect("mortal");
        let pid = one(&mut worker, "SELECT pg_backend_pid()");
        // A part of what it usually writes.
        let share = usual * (1 + random.below(100) as u64) / if by_tasks { 2500 } else { 110 };
        let mut watcher = client;
        let (finished, committed, at) = thread::scope(|scope| {
            let working = scope.spawn(|| work(&mut worker, by_tasks, &doing));
            let writing = scope.spawn(move || record(&mut writer, round));
            // In the midst of one task after the other, or of it all.
            let target = TASKS[round / 2 % TASKS.len()];
            while by_tasks && *doing.lock().expect("unpoisoned") != target && !working.is_finished() {
                thread::yield_now();
            }
            let from = written(&mut watcher).expect("nobody is killed yet");
            while written(&mut watcher).expect("nobody is killed yet") < from + share
                && !working.is_finished()
            {}
            let at = *doing.lock().expect("unpoisoned");
            match round % 3 {
                2 => cluster.down("immediate"),
                _ => assert!(Command::new("kill").args(["-9", &pid]).status().expect("kill runs").success()),
            }
            (working.join().expect("works"), writing.join().expect("writes"), at)
        });
        if round % 3 == 2 {
            cluster.up();
        }
        if finished.is_none() {
            *killed.entry(at).or_default() += 1;
        }
        client = recovered(&cluster, "mortal");
        let when = format!("round {round}, killed {at} after {share} bytes");
        nothing_is_half_done(&mut client, &when);
        let mut found = all(
            &mut client,
            &format!("SELECT target_id FROM audit_log.entry WHERE target_id ~ '^w{round}-' ORDER BY id"),
        );
        // One may have been committed and not acknowledged.
        found.truncate(committed.len().max(found.len().saturating_sub(1)));
        same(&found, &committed, &when);
        work(&mut client, by_tasks, &doing).expect("nobody was killed");
        is_finished(&mut client, &when);
    }
    println!("usually {usual} bytes; killed in {killed:?}");
    assert!(killed.values().sum::<usize>() > rounds() / 2, "too few died at work: {killed:?}");
    cluster.stop();
}

/// A small file system; gone with this.
struct Small(PathBuf);

impl Small {
    fn mount(cluster: &Cluster) -> Result<Small, String> {
        let dir = cluster.dir.join("small");
        std::fs::create_dir(&dir).map_err(|e| e.to_string())?;
        let path = dir.to_string_lossy().into_owned();
        for command in [
            ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", &path].as_slice(),
            &["chown", "postgres", &path],
            &["chmod", "700", &path],
        ] {
            let output = Command::new(command[0]).args(&command[1..]).output().map_err(|e| e.to_string())?;
            if !output.status.success() {
                return Err(String::from_utf8_lossy(&output.stderr).trim().to_string());
            }
        }
        Ok(Small(dir))
    }

    fn free(&self) -> u64 {
        let output =
            Command::new("df").args(["-k", "--output=avail"]).arg(&self.0).output().expect("df runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().last().and_then(|line| line.trim().parse().ok()).expect("a number")
    }

    /// Leaves so many kilobytes.
    fn fill(&self, leave: u64) {
        let ballast = vec![1; (self.free().saturating_sub(leave) * 1024) as usize];
        std::fs::write(self.0.join("ballast"), ballast).expect("there is room for it");
    }

    fn empty(&self) {
        std::fs::remove_file(self.0.join("ballast")).expect("it is there");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn where_the_disk_is_full() {
    let cluster = Cluster::start(&["autovacuum=off", "max_connections=20"], None);
    let small = match Small::mount(&cluster) {
        Ok(small) => small,
        Err(why) => {
            return skipped(
                "what retention does on a full disk",
                &format!("no file system can be mounted: {why}"),
            )
        }
    };
    let mut admin = cluster.connect("postgres");
    run(&mut admin, &format!("CREATE TABLESPACE small LOCATION '{}'", small.0.display()));
    run(&mut admin, "CREATE DATABASE confined TABLESPACE small");
    let mut client = cluster.connect("confined");
    set_up(&mut client);
    let mut random = Random(56);
    let failed = "SELECT string_agg(task, ' ') FROM audit_log.worker_status WHERE last_error LIKE '%No space left on device%'";
    let mut failures: Vec<String> = Vec::new();
    for leave in [0, 64, 200, 500, 1000, 2000] {
        write(&mut client, &mut random, 3000);
        run(&mut client, "CHECKPOINT");
        small.fill(leave);
        let free = small.free();
        for _ in 0..3 {
            // Where not even that can be written down, the call fails.
            let told = client.batch_execute("SELECT audit_log.run_retention()").err();
            failures.push(match told {
                Some(e) => {
                    assert_eq!(e.code().map(|c| c.code()), Some("53100"), "{e}");
                    "all".to_string()
                }
                None => one(&mut client, failed),
            });
            run(&mut client, "CHECKPOINT");
        }
        let when = format!("{free} kB free");
        // This needs room for its own: in another file system.
        run(&mut client, "SET temp_tablespaces = pg_default");
        nothing_is_half_done(&mut client, &when);
        small.empty();
        work(&mut client, false, &Mutex::new("nothing")).expect("there is room");
        is_finished(&mut client, &when);
    }
    drop((client, admin, small));
    println!("failed for want of room: {failures:?}");
    assert!(
        failures.iter().any(|tasks| tasks.contains("move") || tasks == "all"),
        "there was room: {failures:?}"
    );
    cluster.stop();
}
