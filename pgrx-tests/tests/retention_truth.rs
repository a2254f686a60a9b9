//! Running retention by a clock, and what must be true of the log after it.

use audit_log_tests::{all, one, query, run, Db, Value};
use postgres::Client;

use crate::page_truth::is_exact;

/// The worker's tasks, in its order.
pub const TASKS: [&str; 6] = ["partitions", "counts", "clear", "move", "drop", "tidy"];

/// What a step removed of an organization's category.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Removed {
    pub organization: String,
    pub category: String,
    pub entries: i64,
    pub partition: String,
    pub dropped: bool,
}

/// A step of a task by a clock: what was removed, whether there is more to do, and its error.
pub fn step(client: &mut Client, task: &str, clock: &str) -> (Vec<Removed>, bool, Option<String>) {
    let rows = query(
        client,
        "SELECT t.more, t.error, r.organization_id, r.category, r.entries, r.partition, r.dropped
         FROM audit_log.run_task($1, $2::text::timestamptz) t LEFT JOIN LATERAL unnest(t.removed) r ON true",
        &[&task, &clock],
    );
    let removed = rows.iter().filter(|row| row.get::<_, Option<String>>(2).is_some());
    let removed = removed.map(|row| Removed {
        organization: row.get(2),
        category: row.get(3),
        entries: row.get(4),
        partition: row.get(5),
        dropped: row.get(6),
    });
    (removed.collect(), rows[0].get(0), rows[0].get(1))
}

/// How many pages a statement looks at, however long that takes.
#[track_caller]
pub fn pages_read(client: &mut Client, sql: &str) -> u64 {
    let plan = all(client, &format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {sql}")).join("\n");
    let plan: Value = plan.parse().expect("a plan");
    ["Shared Hit Blocks", "Shared Read Blocks", "Local Hit Blocks", "Local Read Blocks"]
        .iter()
        .map(|kind| plan[0]["Plan"][kind].as_u64().expect("counted"))
        .sum()
}

/// Runs a task by a clock until it has nothing left to do; what was removed. Fails where the task does.
#[track_caller]
pub fn drain(client: &mut Client, task: &str, clock: &str) -> Vec<Removed> {
    let mut all = Vec::new();
    for _ in 0..2_000 {
        let (removed, more, error) = step(client, task, clock);
        assert_eq!(error, None, "{task} at {clock}");
        all.extend(removed);
        if !more {
            return all;
        }
    }
    panic!("{task} at {clock} has no end");
}

/// Runs all tasks by a clock, each until it has nothing left to do; what was removed.
#[track_caller]
pub fn purge(client: &mut Client, clock: &str) -> Vec<Removed> {
    TASKS.iter().flat_map(|task| drain(client, task, clock)).collect()
}

/// Lets the next tidying believe that a day has gone by since names became stale, and tidies.
#[track_caller]
pub fn tidy(client: &mut Client) {
    run(client, "UPDATE audit_log.examined SET names_stale_since = names_stale_since - interval '25 hours'");
    drain(client, "tidy", "2020-01-01Z");
}

/// Whom and what the entries name, by what they are: those who acted, the primary target, and the targets after it.
const NAMES_IN_ENTRIES: &str = "
    SELECT n.is_actor, e.organization_id, n.type, n.id, n.name
    FROM audit_log.stored_event e,
         LATERAL (VALUES (true, e.actor_type, e.actor_id, e.actor_name),
                         (true, e.effective_actor_type, e.effective_actor_id, e.effective_actor_name),
                         (false, e.target_type, e.target_id, e.target_name)) n(is_actor, type, id, name)
    WHERE n.id IS NOT NULL OR n.name IS NOT NULL
    UNION ALL
    SELECT false, e.organization_id, t ->> 'type', t ->> 'id', t ->> 'name'
    FROM audit_log.stored_event e, LATERAL jsonb_path_query(e.targets, '$[1 to last]') t
    WHERE t ->> 'id' IS NOT NULL OR t ->> 'name' IS NOT NULL";

const WRONG: &str = "
    WITH e AS MATERIALIZED (SELECT * FROM audit_log.stored_event),
         names AS MATERIALIZED (SELECT DISTINCT n.* FROM (NAMES_IN_ENTRIES) n),
         targets AS MATERIALIZED (
           SELECT e.occurred_at, e.id, e.organization_id, t.value ->> 'type', t.value ->> 'id' FROM e
           CROSS JOIN LATERAL jsonb_array_elements(e.targets) WITH ORDINALITY t(value, n)
           WHERE t.n > 1 AND t.value ->> 'id' IS NOT NULL)
    SELECT 'nobody would find ' || n FROM (TABLE names EXCEPT TABLE audit_log.naming) n
    UNION ALL SELECT 'event_target lacks ' || t FROM (TABLE targets EXCEPT TABLE audit_log.stored_event_target) t
    UNION ALL SELECT 'event_target has ' || t FROM (TABLE audit_log.stored_event_target EXCEPT TABLE targets) t
    UNION ALL SELECT 'a table of no use: ' || c.relname FROM pg_class c
    WHERE c.relnamespace = 'audit_log'::regnamespace AND c.relkind = 'r' AND c.relname ~ '^(event|event_target|activity|named)_p[0-9]'
      AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid AND i.inhparent = ('audit_log.' || regexp_replace(c.relname, '_p[0-9_]+$', ''))::regclass)
    UNION ALL SELECT 'gone, but remembered: ' || x.partition FROM audit_log.examined x
    WHERE to_regclass('audit_log.' || x.partition) IS NULL";

const STALE: &str = "
    SELECT 'still named: ' || n FROM (
      TABLE audit_log.naming EXCEPT (NAMES_IN_ENTRIES)) n";

/// Fails where counts, names or other targets are not what the entries say, or where a table is left over.
#[track_caller]
pub fn is_sound(client: &mut Client, when: &str) {
    assert_eq!(
        all(client, &WRONG.replace("NAMES_IN_ENTRIES", NAMES_IN_ENTRIES)),
        Vec::<String>::new(),
        "{when}"
    );
    is_exact(client, when);
}

/// The same, and fails where a name is told that no entry has any more, now that it is tidied.
#[track_caller]
pub fn is_tidy(client: &mut Client, when: &str) {
    tidy(client);
    is_sound(client, when);
    assert_eq!(
        all(client, &STALE.replace("NAMES_IN_ENTRIES", NAMES_IN_ENTRIES)),
        Vec::<String>::new(),
        "{when}"
    );
}

/// Runs retention until nothing is left to move; fails where a step fails or something was purged.
#[track_caller]
pub fn move_all(client: &mut Client) {
    for _ in 0..100 {
        assert_eq!(all(client, "SELECT r::text FROM audit_log.run_retention() r"), Vec::<String>::new());
        let failed =
            "SELECT task || ': ' || last_error FROM audit_log.worker_status WHERE last_error IS NOT NULL";
        assert_eq!(all(client, failed), Vec::<String>::new());
        if one(client, "SELECT audit_log.next_to_move() IS NULL") == "t" {
            return;
        }
    }
    panic!("there is no end of it");
}

/// Makes the partitions of a range in all four tables: in those that are kept by days of what is missing of its days.
#[track_caller]
pub fn partitions(db: &mut Db, lower: &str, upper: &str) {
    db.run(&format!(
        "DO $$ BEGIN
           ASSERT (SELECT bool_and(audit_log.create_partition(p, '{lower}Z'::timestamptz, '{upper}Z'::timestamptz))
                   FROM unnest('{{audit_log.event,audit_log.event_target}}'::regclass[]) p), 'not made';
           PERFORM audit_log.create_partition(p, lower(piece), upper(piece))
           FROM unnest('{{audit_log.activity,audit_log.named}}'::regclass[]) p,
                LATERAL (SELECT coalesce(range_agg(tstzrange(b.lower, b.upper)), '{{}}') AS ranges FROM audit_log.partition_bounds(p) b) taken,
                unnest(tstzmultirange(tstzrange(date_trunc('day', '{lower}Z'::timestamptz, 'UTC'),
                  date_trunc('day', '{upper}Z'::timestamptz - interval '1 us', 'UTC') + interval '1 day')) - taken.ranges) piece;
         END $$"
    ));
}

/// What there is of an organization's category, without what the log records of itself.
#[track_caller]
pub fn there(client: &mut Client) -> Vec<String> {
    all(
        client,
        "SELECT concat_ws(' ', organization_id, category, count(*)) FROM audit_log.entry
         WHERE target_type <> 'audit_log' GROUP BY organization_id, category ORDER BY 1",
    )
}

/// How many entries there are, without what the log records of itself.
#[track_caller]
pub fn count(client: &mut Client) -> i64 {
    one(client, "SELECT count(*) FROM audit_log.entry WHERE target_type <> 'audit_log'")
        .parse()
        .expect("a number")
}
