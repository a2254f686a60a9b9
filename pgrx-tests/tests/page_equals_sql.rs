//! page() and people() against plain SQL over the entries: random requests of a log that is counted in part.

use std::collections::HashMap;

use audit_log_tests::{run, unique, Db};
use postgres::Client;

use crate::listing::{by_id, instant, same, sequential, Random};
use crate::page_truth::{
    expected, expected_people, import, is_exact, page, people, remove_week, some_event, some_instant,
    with_weeks, Page, Request, CATEGORIES,
};

/// In names and ids, in other spellings of them, and in nothing.
const PARTS: [&str; 24] = [
    "ann",
    "ANN S",
    "änne_g",
    "ÄNNE",
    "%",
    "_",
    "\\",
    "100%",
    "number",
    "NUMBER 12",
    "яна",
    "o'n",
    "Nightly",
    "book",
    "JOB",
    "abc1",
    "äÖ",
    "a_b",
    "b\\c",
    "i",
    "c1",
    "zzz",
    "",
    "\n",
];
const ACTIONS: [&str; 7] =
    ["Created", "Job created", "Cancelled", "Moved", "offer_sent", "video_session_created", ""];
const ACTORS: [&str; 12] = [
    "7",
    "8",
    "Ann Samuelson",
    "Ann Miller",
    "s_1",
    "100% Änne_Groß",
    "Nightly Run",
    "c1",
    "Number 7",
    "n7",
    "ann samuelson",
    "",
];
const CANDIDATES: [&str; 7] = ["c1", "c2", "c3", "7", "Zoë Qin", "Zoe Qin-Bell", "nobody"];

/// What is shown of each entry, by its id: its row, its labels, and how its summary begins.
type Told = (HashMap<String, String>, HashMap<String, String>, HashMap<String, String>);

fn told(truth: &mut Client) -> Told {
    const LABEL: &str = "(SELECT v.label FROM audit_log.vocabulary v WHERE v.category = e.category)";
    const KIND: &str = "(SELECT t.label FROM audit_log.target_type t WHERE t.code = e.target_type)";
    const WHO: &str = "coalesce(e.actor_name, e.actor_id, e.actor_type)";
    const FOR: &str = "coalesce(e.effective_actor_name, e.effective_actor_id, e.effective_actor_type)";
    let labels = format!(
        "jsonb_build_array({LABEL}, (SELECT v.color FROM audit_log.vocabulary v WHERE v.category = e.category), {KIND} || coalesce(' · ' || e.target_id, ''))"
    );
    let summary = format!(
        "regexp_replace(concat({WHO}, ' (for ' || nullif({FOR}, {WHO}) || ')', ': ', {LABEL}, ', ', {KIND}, ' ' || coalesce(e.target_name, e.target_id)), '[[:cntrl:]]', ' ', 'g')"
    );
    (by_id(truth, "to_jsonb(e)"), by_id(truth, &labels), by_id(truth, &summary))
}

#[track_caller]
fn is_told(found: &Page, (entries, labels, summaries): &Told, shown: &str) {
    for row in &found.rows {
        assert_eq!(Some(&row.entry), entries.get(&row.id), "{shown}");
        assert_eq!(Some(&row.labels), labels.get(&row.id), "{shown}");
        let rest = summaries.get(&row.id).and_then(|begins| row.summary.strip_prefix(begins.as_str()));
        let Some(rest) = rest else { panic!("{shown}: {} is not {:?}", row.summary, summaries.get(&row.id)) };
        let changed = row.entry.contains("\"changes\": {") && row.entry.contains("\"operation\": \"update\"");
        assert_eq!(rest.starts_with("; "), changed, "{shown}: {}", row.summary);
        assert!(changed || rest.is_empty(), "{shown}: {}", row.summary);
    }
}

fn some_request(random: &mut Random, organizations: &[&str]) -> Request {
    fn some(random: &mut Random, chance: usize, from: &[&str]) -> Option<String> {
        random.percent(chance).then(|| random.of(from).to_string())
    }
    let (one, other) = (some_instant(random), some_instant(random));
    let (start, end) = (one.min(other), one.max(other) + 1);
    let has_actor = random.percent(50);
    Request {
        page: None,
        page_size: [None, Some(10), Some(20), Some(50), Some(100)][random.below(5)],
        tab: some(random, 30, &["team", "interviews"]),
        search: some(random, 40, &PARTS),
        action: match random.below(4) {
            0 => some(random, 100, &ACTIONS),
            1 => Some(CATEGORIES[random.below(CATEGORIES.len())].0.to_string()),
            _ => None,
        },
        actor: some(random, if has_actor { 50 } else { 0 }, &ACTORS),
        candidate: some(random, if has_actor { 0 } else { 50 }, &CANDIDATES),
        start: random.percent(40).then(|| instant(start)),
        end: random.percent(40).then(|| instant(end)),
        organization: some(random, 25, organizations),
    }
}

/// Who asks: a session, the organizations it is bound to if it is, those it may name.
struct Caller {
    client: Client,
    bound: Option<Vec<String>>,
    may_name: Vec<&'static str>,
}

fn callers(db: &mut Db) -> Vec<Caller> {
    let every = vec!["default", "acme", "späße"];
    let mut callers = vec![Caller { client: db.session(), bound: None, may_name: every.clone() }];
    for bound in [None, Some(vec!["acme"]), Some(vec!["späße", "off"])] {
        let role = unique("reader");
        let client = db.session_as(&role);
        match &bound {
            None => db.run(&format!("GRANT audit_log_reader TO {role}")),
            Some(all) => {
                all.iter().for_each(|o| db.run(&format!("SELECT audit_log.grant_read('{role}', '{o}')")))
            }
        }
        let may_name =
            bound.clone().map_or(every.clone(), |all| all.into_iter().filter(|o| *o != "off").collect());
        callers.push(Caller {
            client,
            bound: bound.map(|all| all.iter().map(|o| o.to_string()).collect()),
            may_name,
        });
    }
    for caller in &mut callers {
        run(&mut caller.client, "SET TimeZone = 'UTC'; SET jit = off");
    }
    callers
}

/// A page of a request, near the beginning, anywhere, last, or behind that.
fn some_page(random: &mut Random, request: &Request, there: usize) -> Option<i32> {
    let pages = there.div_ceil(request.page_size.unwrap_or(50) as usize);
    match random.below(6) {
        0 => None,
        1 => Some(2),
        2 => Some(pages.max(1) as i32),
        3 => Some(pages as i32 + 1 + random.below(3) as i32),
        _ => Some(1 + random.below(pages.max(1)) as i32),
    }
}

#[test]
fn every_filter_and_combination() {
    let mut random = Random(11);
    let mut db = with_weeks();
    let mut truth = sequential(&db);
    run(&mut truth, "SET TimeZone = 'UTC'");
    // Of the organization that is disabled later only at first.
    let write = |client: &mut Client, random: &mut Random, n: usize, off: bool| {
        let events =
            (0..n).map(|_| some_event(random)).filter(|event| off || event["organizationId"] != "off");
        import(client, &events.collect::<Vec<_>>());
    };
    write(&mut db.client, &mut random, 1500, true);
    let mut callers = callers(&mut db);
    db.run("SELECT audit_log.disable_organization('off'); BEGIN");
    write(&mut db.client, &mut random, 20, false);
    db.run("ROLLBACK");
    let mut open = db.session();
    let (mut known, mut found_in_all) = (told(&mut truth), 0);
    for round in 0..360 {
        // In turn: nothing is counted, all is, some is, some of a transaction that began before that.
        match round {
            60 | 150 | 240 => db.run("SELECT audit_log.count_entries()"),
            100 => run(&mut open, "BEGIN; SELECT audit_log.record('job_created', 'late', organization => 'acme', occurred_at => '2025-03-12')"),
            200 => run(&mut open, "COMMIT"),
            120 | 180 | 270 => write(&mut db.client, &mut random, 60, false),
            300 => remove_week(&mut db, "2025-03-10"),
            _ => {}
        }
        if [120, 180, 200, 270, 300].contains(&round) {
            known = told(&mut truth);
        }
        let at = random.below(callers.len());
        let Caller { client, bound, may_name } = &mut callers[at];
        let mut request = some_request(&mut random, may_name);
        let wanted = expected(&mut truth, &request, bound.as_deref());
        request.page = some_page(&mut random, &request, wanted.len());
        let shown = format!("round {round} by caller {at}: {request:?}");
        let size = request.page_size.unwrap_or(50) as usize;
        let before = (request.page.unwrap_or(1) as usize - 1) * size;
        let page = page(client, &request);
        let on_page: Vec<String> = wanted.iter().skip(before).take(size).cloned().collect();
        same(&page.ids(), &on_page, &shown);
        let numbers = (wanted.len() as i64, before as i64 + 1, (before + on_page.len()) as i64);
        assert_eq!(page.numbers, (!on_page.is_empty()).then_some(numbers), "{shown}");
        is_told(&page, &known, &shown);
        found_in_all += on_page.len();
        if round % 6 == 0 {
            let part = random.of(&PARTS);
            let limit = 1 + random.below(100);
            let mut somebody = expected_people(&mut truth, part, bound.as_deref());
            somebody.truncate(limit);
            assert_eq!(people(client, part, limit as i32), somebody, "{part:?}, {limit}, caller {at}");
        }
        if round % 15 == 0 {
            is_exact(client, &shown);
        }
    }
    assert!(found_in_all > 3_000, "too little was there to find: {found_in_all}");
}

#[test]
fn each_filter_alone_whether_looked_up_or_read_through() {
    let mut random = Random(12);
    let mut db = with_weeks();
    let events: Vec<_> = (0..600).map(|_| some_event(&mut random)).collect();
    import(&mut db.client, &events);
    db.run("SELECT audit_log.count_entries()");
    let mut truth = sequential(&db);
    let text = |text: &&str| Some(text.to_string());
    let requests: Vec<Request> = PARTS
        .iter()
        .map(|part| Request { search: text(part), ..Request::default() })
        .chain(ACTORS.iter().map(|actor| Request { actor: text(actor), ..Request::default() }))
        .chain(
            CANDIDATES.iter().map(|candidate| Request { candidate: text(candidate), ..Request::default() }),
        )
        .chain(ACTIONS.iter().map(|action| Request { action: text(action), ..Request::default() }))
        .collect();
    for indexed in [true, false] {
        for request in &requests {
            let wanted = expected(&mut truth, request, None);
            let found = page(&mut db.client, &Request { page_size: Some(100), ..request.clone() });
            same(&found.ids(), &wanted[..wanted.len().min(100)], &format!("{request:?}, indexed: {indexed}"));
            assert_eq!(found.total(), wanted.len() as i64, "{request:?}, indexed: {indexed}");
        }
        // As after somebody dropped them, without a word.
        db.run(
            "DO $$ DECLARE i regclass; BEGIN
               FOR i IN SELECT x.indexrelid FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid
                 WHERE c.relname LIKE 'event%' AND c.relnamespace = 'audit_log'::regnamespace
               LOOP EXECUTE 'DROP INDEX ' || i; END LOOP; END $$",
        );
    }
}
