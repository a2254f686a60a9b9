//! Listings where values have so many places that an index keeps them in trees of several pages: in the order of time, in
//! none, dense and sparse, merged and not.

use audit_log_tests::{run, Db};

use crate::listing::{
    expected, ids, instant, page, pages, partition, rest, same, sequential, Random, Request,
};

const WEEK: &str = "2025-03-10";
const ENTRIES: usize = 60_000;
/// The third and fourth are of offers, not of jobs.
const CATEGORIES: [&str; 5] = ["job_created", "job_updated", "offer_sent", "offer_created", "job_deleted"];

/// A week of entries; each quarter of them is of another order of time.
fn filled() -> Db {
    let mut db = Db::new();
    partition(&mut db, "event", WEEK);
    partition(&mut db, "event_target", WEEK);
    db.run("CREATE FUNCTION zipf(n bigint, most int) RETURNS int LANGUAGE sql IMMUTABLE RETURN floor(pow(most, (hashint8(n)::bigint & 65535) / 65536.0))::int");
    let orders = [
        // In order; in none; all within seconds, of which many share one; backwards.
        "n * interval '1 day' / 15000",
        "interval '1 day' + (hashint8(n)::bigint & 16777215) * interval '1 day' / 16777216",
        "interval '2 days' + (n / 100) * interval '10 milliseconds'",
        "interval '4 days' - n * interval '1 day' / 15000",
    ];
    for (quarter, order) in orders.iter().enumerate() {
        let each = ENTRIES / 4;
        let first = quarter * each;
        db.run(&format!(
            "INSERT INTO audit_log.event (occurred_at, feed, id, organization_id, category, target_type, target_id, actor_type, actor_id,
               effective_actor_type, effective_actor_id, targets, database_user, other_type)
             SELECT '{WEEK}Z'::timestamptz + {order}, audit_log.feed_now(),
               (lpad(to_hex(({first} + n)), 12, '0') || '7000' || '8000' || lpad(to_hex(n), 12, '0'))::uuid,
               'org' || zipf(n + 1, 9), ('{{{}}}'::text[])[zipf(n + 2, 6)], 'job', 't' || zipf(n + 3, 3000), 'user', 'a' || zipf(n + 4, 300),
               CASE WHEN n % 50 = 0 THEN 'user' END, CASE WHEN n % 50 = 0 THEN 'a' || zipf(n + 5, 300) END,
               CASE WHEN n % 5 = 0 THEN jsonb_build_array(jsonb_build_object('type', 'job', 'id', 't' || zipf(n + 3, 3000)),
                 jsonb_build_object('type', 'user', 'id', 't' || zipf(n + 6, 3000)), jsonb_build_object('type', 'user')) END, 'postgres',
               CASE WHEN zipf(n + 2, 6) IN (3, 4) THEN 'job' END
             FROM generate_series(0, {each} - 1) n",
            CATEGORIES.join(",")
        ));
        db.run("INSERT INTO audit_log.event_target SELECT e.occurred_at, e.id, e.organization_id, 'user', e.targets -> 1 ->> 'id' FROM audit_log.event e
                WHERE e.targets IS NOT NULL AND NOT EXISTS (SELECT FROM audit_log.event_target t WHERE t.event_id = e.id)");
        // The last quarter waits.
        if quarter < 3 {
            db.run("SELECT audit_log.merge_pending(b.partition) FROM audit_log.partition_bounds('audit_log.event') b");
        }
    }
    db.run("SELECT audit_log.enable_organization('org' || i) FROM generate_series(1, 9) i");
    db
}

/// A request of some filters of any frequency, in the week or a part of it.
fn any(random: &mut Random) -> Request {
    let mut values = |chance: usize, prefix: &str, most: usize| {
        random.percent(chance).then(|| {
            let mut one = || {
                let below = [2, 8, 40, most][random.below(4)].min(most);
                format!("{prefix}{}", 1 + random.below(below))
            };
            let mut all: Vec<String> = vec![one()];
            if random.percent(40) {
                all.push(format!("{prefix}{}", 1 + random.below(most)));
            }
            all
        })
    };
    let (actor_ids, target_ids) = (values(40, "a", 330), values(40, "t", 3300));
    let organization = values(40, "org", 9).map(|mut all| all.swap_remove(0));
    let categories = random
        .percent(40)
        .then(|| vec![CATEGORIES[random.below(5)].to_string(), CATEGORIES[random.below(5)].to_string()]);
    let target_types = random.percent(10).then(|| vec!["job".to_string()]);
    let monday = 1_741_564_800_000_000;
    let day = 86_400_000_000;
    let start = [0, random.below(6 * day as usize) as i64][random.below(2)];
    let length = [7 * day, day, 3_600_000_000, 5_000_000][random.below(4)];
    Request {
        start: Some(instant(monday + start)),
        end: Some(instant(monday + (start + length).min(7 * day))),
        actor_ids,
        target_ids,
        target_types,
        categories,
        organization,
    }
}

#[test]
fn whatever_is_asked_for() {
    let mut db = filled();
    let mut truth = sequential(&db);
    let mut random = Random(20_250_310);
    let mut found = 0;
    for analyzed in ["as it was filled", "once it is analyzed"] {
        for round in 0..60 {
            let request = any(&mut random);
            let wanted = expected(&mut truth, &request, None, None);
            let first = page(&mut db.client, &request, None, 100);
            let some: Vec<String> = first.entries.iter().map(|entry| entry.id.clone()).collect();
            same(&some, &wanted[..wanted.len().min(100)], &format!("round {round}, {analyzed}: {request:?}"));
            if wanted.len() < 3_000 {
                let all = ids(rest(&mut db.client, &request, first, || 100));
                same(&all, &wanted, &format!("all of round {round}: {request:?}"));
            }
            found += wanted.len();
        }
        assert!(found > 20_000, "little was found: {found}");
        run(&mut truth, "VACUUM ANALYZE audit_log.event");
    }
}

#[test]
fn one_common_value_to_its_end() {
    let mut db = filled();
    let mut truth = sequential(&db);
    for (organization, category) in
        [(Some("org1"), None), (None, Some("job_created")), (Some("org2"), Some("job_updated"))]
    {
        let request = Request {
            start: Some(format!("{WEEK}T00:00:00Z")),
            end: Some("2025-03-17T00:00:00Z".into()),
            organization: organization.map(str::to_string),
            categories: category.map(|category| vec![category.to_string()]),
            ..Request::default()
        };
        let wanted = expected(&mut truth, &request, None, None);
        assert!(wanted.len() > 2_000, "{} of {request:?}", wanted.len());
        same(&pages(&mut db.client, &request, 100), &wanted, &format!("{request:?}"));
    }
}
