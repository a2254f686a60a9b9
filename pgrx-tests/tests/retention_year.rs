//! A year of daily load under rules and holds that come, change and go: at every moment exactly what they keep.

use std::collections::{BTreeMap, BTreeSet};

use audit_log_tests::{all, json, query, run, Db, Value};
use chrono::{DateTime, Days, Months, Utc};
use postgres::Client;

use crate::listing::{instant, Random};
use crate::page_truth::import;
use crate::retention_truth::{drain, is_sound, is_tidy, purge, Removed, TASKS};

const DAY: i64 = 86_400_000_000;
const ORGANIZATIONS: [&str; 4] = ["acme", "globex", "initech", "umbrella"];
const CATEGORIES: [(&str, &str); 5] = [
    ("job_created", "job"),
    ("booking_created", "booking"),
    ("user.login", "user"),
    ("offer_sent", "offer"),
    ("report_updated", "report"),
];

#[derive(Debug, Clone, Copy)]
enum Keep {
    Ever,
    Days(u64),
    Months(u32),
}

impl Keep {
    fn sql(self) -> String {
        match self {
            Keep::Ever => "NULL".into(),
            Keep::Days(n) => format!("'{n} days'"),
            Keep::Months(n) => format!("'{n} months'"),
        }
    }

    /// Before which instant nothing is kept.
    fn line(self, clock: DateTime<Utc>) -> Option<i64> {
        match self {
            Keep::Ever => None,
            Keep::Days(n) => clock.checked_sub_days(Days::new(n)),
            Keep::Months(n) => clock.checked_sub_months(Months::new(n)),
        }
        .map(|line| line.timestamp_micros())
    }
}

struct Hold {
    organization: Option<&'static str>,
    kind: Option<&'static str>,
    id: Option<&'static str>,
}

struct Event {
    at: i64,
    organization: &'static str,
    category: &'static str,
    targets: Vec<(&'static str, String)>,
}

impl Hold {
    fn holds(&self, event: &Event) -> bool {
        self.organization.is_none_or(|organization| organization == event.organization)
            && event.targets.iter().any(|(kind, id)| {
                self.kind.is_none_or(|held| held == *kind) && self.id.is_none_or(|held| held == id)
            })
    }
}

type Rule = (Option<&'static str>, Option<&'static str>);

/// The log, and what must be in it.
struct Year {
    db: Db,
    random: Random,
    rules: BTreeMap<Rule, Keep>,
    holds: BTreeMap<&'static str, Hold>,
    /// By the number that each has for its request.
    kept: BTreeMap<usize, Event>,
    written: usize,
}

fn text(value: Option<&str>) -> String {
    value.map_or("NULL".into(), |value| format!("'{value}'"))
}

impl Year {
    fn set(&mut self, organization: Option<&'static str>, category: Option<&'static str>, keep: Keep) {
        let arguments = format!("{}, {}, {}", keep.sql(), text(organization), text(category));
        self.db.run(&format!("SELECT audit_log.set_retention({arguments})"));
        self.rules.insert((organization, category), keep);
    }

    fn unset(&mut self, organization: Option<&'static str>, category: Option<&'static str>) {
        let unset = format!("SELECT audit_log.unset_retention({}, {})", text(organization), text(category));
        assert_eq!(self.db.one(&unset), "t");
        self.rules.remove(&(organization, category));
    }

    fn hold(&mut self, name: &'static str, hold: Hold) {
        let Hold { organization, kind, id } = hold;
        self.db.run(&format!(
            "SELECT audit_log.hold('{name}', {}, {}, {})",
            text(organization),
            text(kind),
            text(id)
        ));
        self.holds.insert(name, hold);
    }

    fn release(&mut self, name: &'static str) {
        self.db.run(&format!("SELECT audit_log.release_hold('{name}')"));
        self.holds.remove(name);
    }

    /// What somebody decides on a day of the year.
    fn decide(&mut self, day: usize) {
        let all = || Hold { organization: None, kind: None, id: None };
        match day {
            0 => self.set(None, None, Keep::Days(45)),
            20 => self.set(Some("acme"), None, Keep::Days(20)),
            40 => self.set(None, Some("user.login"), Keep::Days(7)),
            60 => self.set(Some("acme"), Some("offer_sent"), Keep::Ever),
            75 => self.set(None, Some("job_created"), Keep::Months(3)),
            90 => self.interval("day"),
            100 => self.hold("case 1", Hold { organization: Some("globex"), ..all() }),
            130 => self.set(None, None, Keep::Months(1)),
            150 => self.release("case 1"),
            152 => self.interval("hour"),
            155 => self.hold("case 2", Hold { organization: Some("initech"), kind: Some("user"), ..all() }),
            161 => self.interval("month"),
            165 => self.hold("case 3", Hold { id: Some("7"), ..all() }),
            190 => self.unset(Some("acme"), None),
            200 => self.set(Some("umbrella"), None, Keep::Days(1)),
            215 => self.unset(Some("acme"), Some("offer_sent")),
            225 => self.interval("hour"),
            229 => self.interval("day"),
            240 => self.release("case 2"),
            255 => self.set(None, None, Keep::Ever),
            275 => self.interval("week"),
            285 => self.set(None, None, Keep::Days(60)),
            300 => self.hold("all", all()),
            320 => self.release("all"),
            335 => self.unset(None, Some("user.login")),
            345 => self.release("case 3"),
            350 => self.hold("case 4", Hold { kind: Some("booking"), id: Some("3"), ..all() }),
            _ => {}
        }
    }

    fn interval(&mut self, unit: &str) {
        self.db.run(&format!("SELECT audit_log.set_partition_interval('{unit}')"));
    }

    fn event(&mut self, day: i64) -> Event {
        let random = &mut self.random;
        let at = match random.below(20) {
            0 => day,
            1 => day + DAY - 1,
            // From a source that was long offline, or whose clock is ahead.
            2 if random.percent(20) => day - random.below(120 * DAY as usize) as i64,
            3 if random.percent(20) => day + DAY + random.below(2 * DAY as usize) as i64,
            _ => day + random.below(DAY as usize) as i64,
        };
        let (category, kind) = CATEGORIES[random.below(CATEGORIES.len())];
        let mut targets = vec![(kind, random.below(12).to_string())];
        for _ in 0..[0, 0, 0, 1, 2][random.below(5)] {
            targets.push((random.of(&["user", "job", "booking"]), random.below(12).to_string()));
        }
        Event { at, organization: random.of(&ORGANIZATIONS), category, targets }
    }

    /// A day's load.
    fn write(&mut self, day: i64) {
        let mut records: Vec<Value> = Vec::new();
        for _ in 0..20 + self.random.below(10) {
            let event = self.event(day);
            let (month, number) = (event.at / (30 * DAY), self.random.below(8));
            let targets: Vec<Value> =
                event.targets.iter().map(|(kind, id)| json!({"type": kind, "id": id})).collect();
            records.push(json!({
                "category": event.category, "organizationId": event.organization, "occurredAt": instant(event.at),
                "actor": {"type": "user", "id": format!("u{number}"), "name": format!("Person {number} of {month}")},
                "targets": targets, "requestId": self.written.to_string()
            }));
            self.kept.insert(self.written, event);
            self.written += 1;
        }
        import(&mut self.db.client, &records);
    }

    /// How long an entry is kept.
    fn keep(&self, event: &Event) -> Keep {
        let (organization, category) = (Some(event.organization), Some(event.category));
        let rules = [(organization, category), (organization, None), (None, category), (None, None)];
        rules.iter().find_map(|rule| self.rules.get(rule)).copied().expect("a rule for everything")
    }

    /// Runs retention by a clock, and checks that it removes what it must, and says so before and after.
    fn purge(&mut self, clock: i64) {
        let now = DateTime::from_timestamp_micros(clock).expect("in range");
        let mut wanted: BTreeMap<(String, String), i64> = BTreeMap::new();
        let expired: Vec<usize> = self
            .kept
            .iter()
            .filter(|(_, event)| self.keep(event).line(now).is_some_and(|line| event.at < line))
            .filter(|(_, event)| !self.holds.values().any(|hold| hold.holds(event)))
            .map(|(number, _)| *number)
            .collect();
        for number in expired {
            let event = self.kept.remove(&number).expect("it is kept");
            *wanted.entry((event.organization.into(), event.category.into())).or_default() += 1;
        }
        let sums = |removed: Vec<Removed>| {
            let mut sums: BTreeMap<(String, String), i64> = BTreeMap::new();
            for r in removed {
                *sums.entry((r.organization, r.category)).or_default() += r.entries;
            }
            sums
        };
        let clock = instant(clock);
        let said = query(
            &mut self.db.client,
            "SELECT organization_id, category, sum(entries)::bigint FROM audit_log.expired($1::text::timestamptz) GROUP BY 1, 2",
            &[&clock],
        );
        let said = said.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect();
        assert_eq!(wanted, said, "what would go at {clock}");
        assert_eq!(wanted, sums(purge(&mut self.db.client, &clock)), "what went at {clock}");
    }

    /// Fails where the log has anything but what is kept.
    fn check(&mut self, when: &str) {
        let numbers = "SELECT request_id FROM audit_log.entry WHERE request_id IS NOT NULL";
        let numbers = all(&mut self.db.client, numbers);
        let there: BTreeSet<usize> = numbers.iter().map(|n| n.parse().expect("a number")).collect();
        assert_eq!(there.len(), numbers.len(), "{when}");
        let kept: BTreeSet<usize> = self.kept.keys().copied().collect();
        let shown = |numbers: Vec<&usize>| {
            let events: Vec<String> = numbers.iter().take(5).map(|n| n.to_string()).collect();
            format!("{} ({})", numbers.len(), events.join(" "))
        };
        assert!(
            there == kept,
            "{when}: {} are there still, {} are missing",
            shown(there.difference(&kept).collect()),
            shown(kept.difference(&there).collect())
        );
        is_sound(&mut self.db.client, when);
    }
}

/// Partitions of event that have an instant of the year.
fn partitions(client: &mut Client) -> Vec<String> {
    all(
        client,
        "SELECT p || ' ' || b.lower FROM unnest(ARRAY['audit_log.event', 'audit_log.event_target', 'audit_log.activity', 'audit_log.named']::regclass[]) p,
         audit_log.partition_bounds(p) b WHERE b.upper < '2024-10-01' ORDER BY 1",
    )
}

#[test]
fn what_the_rules_and_holds_keep_and_nothing_else() {
    let mut db = Db::new();
    db.run("SET TimeZone = 'UTC'; SET client_min_messages = error; SET jit = off");
    let (random, kept, written) = (Random(7), BTreeMap::new(), 0);
    let mut year = Year { db, random, rules: BTreeMap::new(), holds: BTreeMap::new(), kept, written };
    // From 1 September 2023 on: with a leap day, and long over by any clock.
    let first = 1_693_526_400_000_000;
    let mut next = 0;
    for day in 0..366 {
        year.decide(day);
        let at = first + day as i64 * DAY;
        year.write(at);
        let in_hours = (152..161).contains(&day) || (225..229).contains(&day);
        if day >= next || in_hours {
            let clock = at + year.random.below(DAY as usize) as i64;
            year.purge(clock);
            next = day + 1 + year.random.below(7);
            if day % 3 == 0 {
                year.check(&format!("day {day}"));
            }
        }
        if day % 90 == 89 {
            is_tidy(&mut year.db.client, &format!("day {day}"));
        }
    }
    assert!(year.kept.len() > 1_000, "the premise of this test: {}", year.kept.len());
    year.purge(first + 366 * DAY);
    year.check("the last day");
    // Long after: nothing but what is held, and the partitions that have it.
    year.purge(first + 600 * DAY);
    year.check("long after");
    assert!(!year.kept.is_empty());
    year.release("case 4");
    year.set(Some("acme"), Some("offer_sent"), Keep::Days(3));
    year.purge(first + 601 * DAY);
    year.check("at last");
    assert_eq!(year.kept.len(), 0);
    is_tidy(&mut year.db.client, "at last");
    assert_eq!(partitions(&mut year.db.client), Vec::<String>::new());
    let mut again = year.db.session();
    for task in TASKS {
        assert_eq!(drain(&mut again, task, "2025-06-01Z"), [], "{task}");
    }
    run(&mut again, "SELECT audit_log.record('job_created', 'x', occurred_at => '2024-01-01Z')");
    is_sound(&mut again, "something came late");
}
