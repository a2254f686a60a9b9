//! What decides what is recorded, or who may read, goes by what is committed now, whatever snapshot a transaction
//! has: and by nothing that was rolled back.

use audit_log_tests::{all, connect, run, unique, Db, Failure};
use postgres::{Client, SimpleQueryMessage};

const ISOLATIONS: [&str; 3] = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];

/// A session has its snapshot, and remembers what it did before; another one changes something.
struct Case {
    name: &'static str,
    /// Whether a role without any right acts, not a superuser; `{role}` is its name.
    as_role: bool,
    setup: &'static str,
    /// What the session does first, in the transaction.
    before: &'static str,
    /// What another session does then.
    change: &'static str,
    /// What the session does after that, in the same transaction, and what comes of it: the values of all rows, or
    /// the error.
    act: &'static str,
    expected: &'static str,
    /// What is recorded in the end, by whatever `recorded` asks.
    recorded: (&'static str, &'static str),
}

const fn case(name: &'static str) -> Case {
    let nothing = ("SELECT 0", "0");
    Case { name, as_role: false, setup: "", before: "", change: "", act: "", expected: "", recorded: nothing }
}

const CASES: &[Case] = &[
    Case {
        before: "SELECT audit_log.record('job_created', '1') IS NULL",
        change: "SELECT audit_log.define_target_type('van', 'Van'); SELECT audit_log.define_category('van_sold', 'van', 'Van sold')",
        act: "SELECT audit_log.record('van_sold', '1') IS NOT NULL",
        expected: "t",
        recorded: ("SELECT string_agg(target_type, ',') FROM audit_log.entry WHERE category = 'van_sold'", "van"),
        ..case("a category defined meanwhile can be recorded")
    },
    Case {
        setup: "SELECT audit_log.define_target_type('bus', 'Bus'); SELECT audit_log.define_category('bus_sold', 'bus', 'Bus sold')",
        before: "SELECT audit_log.record('bus_sold', '1', metadata => '{}') IS NULL",
        change: "SELECT audit_log.define_category('bus_sold', 'bus', 'Bus sold', metadata_schema => '{\"required\": [\"price\"]}')",
        act: "SELECT audit_log.record('bus_sold', '2', metadata => '{}')",
        expected: "22023 invalid_input",
        ..case("a schema given meanwhile is checked")
    },
    Case {
        change: "SELECT audit_log.define_target_type('tram', 'Tram')",
        act: "SELECT audit_log.record('job_created', '1', targets => '[{\"type\": \"tram\", \"id\": \"7\"}]') IS NOT NULL;
              SELECT count(*) FROM audit_log.list(target_types => '{tram}', target_ids => '{7}')",
        expected: "t,0",
        recorded: ("SELECT count(*) FROM audit_log.entry WHERE targets @> '[{\"type\": \"tram\"}]'", "1"),
        ..case("a target type defined meanwhile can be named and listed")
    },
    Case {
        change: "SELECT audit_log.define_target_type('boat', 'Boat')",
        act: "SELECT audit_log.define_category('boat_sold', 'boat', 'Boat sold'); SELECT audit_log.record('boat_sold', '1') IS NOT NULL",
        expected: "∅,t",
        ..case("a category can be of a target type defined meanwhile")
    },
    Case {
        change: "SELECT audit_log.define_category('job_shown', 'job', 'Job shown')",
        act: "SELECT audit_log.deprecate_category('job_shown'); SELECT count(*) FROM audit_log.list(categories => '{job_shown}')",
        expected: "∅,0",
        ..case("a category defined meanwhile can be deprecated and listed")
    },
    Case {
        change: "SELECT audit_log.define_actor_type('robot')",
        act: "SELECT audit_log.set_context('{\"actor\": {\"type\": \"robot\", \"id\": \"r1\"}}'); INSERT INTO job VALUES (10, 'robots');
              SET LOCAL audit_log.context = '{\"actor\": {\"type\": \"robot\", \"id\": \"r2\"}}'; INSERT INTO job VALUES (11, 'robots')",
        expected: "∅",
        recorded: ("SELECT string_agg(actor_id, ',' ORDER BY actor_id) FROM audit_log.entry WHERE actor_type = 'robot'", "r1,r2"),
        ..case("an actor type defined meanwhile can act")
    },
    Case {
        change: "SELECT audit_log.define_actor_type('drone')",
        act: "SELECT id IS NOT NULL FROM audit_log.import(ARRAY['{\"category\": \"job_created\", \"actor\": {\"type\": \"drone\", \"id\": \"d\"}}'::jsonb])",
        expected: "t",
        ..case("and be imported")
    },
    Case {
        before: "INSERT INTO job VALUES (20, 'closing'); SELECT audit_log.record('job_created', '20', organization => 'closing') IS NULL",
        change: "SELECT audit_log.disable_organization('closing')",
        act: "INSERT INTO job VALUES (21, 'closing'); UPDATE job SET id = 22 WHERE id = 21; DELETE FROM job WHERE id = 22;
              SET LOCAL audit_log.context = '{\"organization\": \"closing\"}'; TRUNCATE other;
              SELECT error ~ 'not enabled' FROM audit_log.import(ARRAY['{\"category\": \"job_created\", \"organization\": \"closing\"}'::jsonb])",
        expected: "t",
        recorded: ("SELECT string_agg(category || coalesce(target_id, ''), ',' ORDER BY id) FROM audit_log.entry WHERE organization_id = 'closing' AND target_type <> 'audit_log'",
            "job_created20,job_created20,job_truncated"),
        ..case("nothing is recorded of an organization disabled meanwhile")
    },
    Case {
        setup: "SELECT audit_log.record('job_created', '1', organization => 'closed')",
        before: "SELECT count(*) FROM audit_log.list(organization => 'closed')",
        change: "SELECT audit_log.disable_organization('closed')",
        act: "SELECT audit_log.record('job_created', '2', organization => 'closed')",
        expected: "55000 audit_logs_not_enabled",
        ..case("record refuses an organization disabled meanwhile")
    },
    Case {
        setup: "SELECT audit_log.record('job_created', '1', organization => 'unlisted')",
        before: "SELECT count(*) FROM audit_log.list(organization => 'unlisted')",
        change: "SELECT audit_log.disable_organization('unlisted')",
        act: "SELECT count(*) FROM audit_log.list() WHERE organization_id = 'unlisted'; SELECT count(*) FROM audit_log.page(search => 'job') WHERE organization_id = 'unlisted';
              SELECT count(*) FROM audit_log.list(organization => 'unlisted')",
        expected: "55000 audit_logs_not_enabled",
        ..case("list refuses an organization disabled meanwhile")
    },
    Case {
        setup: "SELECT audit_log.record('job_created', '1', organization => 'hidden')",
        before: "SELECT count(*) FROM audit_log.list(target_ids => '{1}') WHERE organization_id = 'hidden'",
        change: "SELECT audit_log.disable_organization('hidden')",
        act: "SELECT count(*) FROM audit_log.list(target_ids => '{1}') WHERE organization_id = 'hidden'",
        expected: "0",
        ..case("and leaves it out")
    },
    Case {
        setup: "SELECT audit_log.record('job_created', '1', organization => 'opening'); SELECT audit_log.disable_organization('opening')",
        before: "INSERT INTO job VALUES (30, 'opening')",
        change: "SELECT audit_log.enable_organization('opening')",
        act: "INSERT INTO job VALUES (31, 'opening'); SELECT count(*) FROM audit_log.list(organization => 'opening', categories => '{job_created}') WHERE target_id <> '31'",
        expected: "1",
        recorded: ("SELECT string_agg(target_id, ',' ORDER BY id) FROM audit_log.entry WHERE organization_id = 'opening' AND target_type = 'job'", "1,31"),
        ..case("an organization enabled meanwhile is recorded and listed")
    },
    Case {
        setup: "SELECT audit_log.record('job_created', '1', organization => 'by hand'); SELECT audit_log.enable_organization('by hand')",
        before: "INSERT INTO job VALUES (32, 'by hand')",
        change: "UPDATE audit_log.organization_setting SET enabled = false WHERE id = 'by hand'",
        act: "INSERT INTO job VALUES (33, 'by hand')",
        recorded: ("SELECT string_agg(target_id, ',' ORDER BY id) FROM audit_log.entry WHERE organization_id = 'by hand' AND target_type = 'job'", "1,32"),
        ..case("whoever changes the table by hand is heard of")
    },
    Case {
        as_role: true,
        setup: "SELECT audit_log.record('job_created', '1', organization => 'granted'); SELECT audit_log.grant_read('{role}', 'granted first')",
        before: "SELECT count(*) FROM audit_log.entry",
        change: "SELECT audit_log.grant_read('{role}', 'granted')",
        act: "SELECT count(*) FROM audit_log.entry WHERE category = 'job_created'; SELECT count(*) FROM audit_log.entry_target WHERE target_type = 'job';
              SELECT count(*) FROM audit_log.list(organization => 'granted', categories => '{job_created}');
              SELECT count(*) FROM audit_log.page(organization => 'granted', action => 'job_created');
              SELECT count(*) FROM audit_log.sync(audit_log.sync_start('2000-01-01')) WHERE organization_id = 'granted' AND category = 'job_created';
              SELECT sum(events) FROM audit_log.activity_daily WHERE category = 'job_created'; SELECT audit_log.list_json('{\"organization\": \"granted\"}') ->> 'success'",
        expected: "1,1,1,1,1,1,true",
        ..case("a role reads what it was granted meanwhile")
    },
    Case {
        as_role: true,
        setup: "SELECT audit_log.record('job_created', '1', organization => 'revoked'); SELECT audit_log.grant_read('{role}', 'revoked'), audit_log.grant_read('{role}', 'left')",
        before: "SELECT count(*) FROM audit_log.entry WHERE category = 'job_created'; SELECT count(*) FROM audit_log.list(organization => 'revoked', categories => '{job_created}')",
        change: "SELECT audit_log.revoke_read('{role}', 'revoked')",
        act: "SELECT count(*) FROM audit_log.entry WHERE organization_id = 'revoked'; SELECT count(*) FROM audit_log.stored_event_target WHERE organization_id = 'revoked';
              SELECT count(*) FROM audit_log.feed WHERE organization_id = 'revoked'; SELECT count(*) FROM audit_log.activity_daily WHERE organization_id = 'revoked';
              SELECT count(*) FROM audit_log.organization WHERE id = 'revoked'; SELECT count(*) FROM audit_log.list() WHERE organization_id = 'revoked';
              SELECT audit_log.list_json('{\"organization\": \"revoked\"}') -> 'errorInfo' ->> 'code'",
        expected: "0,0,0,0,0,0,missing_endpoint_permission",
        ..case("a role does not read what was revoked meanwhile")
    },
    Case {
        as_role: true,
        setup: "SELECT audit_log.record('job_created', '1', organization => 'last'); SELECT audit_log.grant_read('{role}', 'last')",
        before: "SELECT count(*) FROM audit_log.list(organization => 'last', categories => '{job_created}')",
        change: "SELECT audit_log.revoke_read('{role}', 'last')",
        act: "SELECT count(*) FROM audit_log.list(organization => 'last')",
        expected: "42501 missing_endpoint_permission",
        ..case("nor at all where it was the last")
    },
    Case {
        as_role: true,
        setup: "SELECT audit_log.record('job_created', '1', organization => 'prepared')",
        before: "COMMIT; PREPARE planned AS SELECT count(*) FROM audit_log.entry WHERE category = 'job_created'; BEGIN ISOLATION LEVEL {isolation}; SELECT count(*) FROM pg_class",
        change: "SELECT audit_log.grant_read('{role}', 'prepared')",
        act: "EXECUTE planned",
        expected: "1",
        ..case("a plan made before the role could read anything does not hide what it reads now")
    },
    Case {
        as_role: true,
        setup: "GRANT INSERT ON job TO {role}",
        before: "INSERT INTO job VALUES (40, 'renaming')",
        change: "CREATE ROLE {role}_group; GRANT {role}_group TO {role}; GRANT INSERT ON job TO {role}_group",
        act: "SET LOCAL ROLE {role}_group; INSERT INTO job VALUES (41, 'renaming')",
        recorded: ("SELECT string_agg(replace(database_user, '{role}', 'role'), ',' ORDER BY id) FROM audit_log.entry WHERE organization_id = 'renaming'",
            "role,role/role_group"),
        ..case("a role made meanwhile is named")
    },
];

/// The values of all rows, and the error if there is one.
fn outcome(client: &mut Client, sql: &str) -> String {
    let mut values = Vec::new();
    for statement in sql.split(';').map(str::trim).filter(|s| !s.is_empty()) {
        match client.simple_query(statement) {
            Ok(messages) => values.extend(messages.iter().filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => {
                    Some(row.get(0).filter(|v| !v.is_empty()).unwrap_or("∅").to_string())
                }
                _ => None,
            })),
            Err(error) => {
                let failure = Failure::of(error);
                let code = failure.detail.lines().next().unwrap_or_default().replace("code: ", "");
                // Of what came before an error only the error counts, unless it is said.
                values.push(format!("{} {code}", failure.sqlstate));
                break;
            }
        }
    }
    values.join(",")
}

#[test]
fn decisions_go_by_what_is_committed_now_under_every_isolation() {
    let mut wrong = Vec::new();
    for isolation in ISOLATIONS {
        let mut db = Db::new();
        db.run(
            "CREATE TABLE job (id int PRIMARY KEY, org text); SELECT audit_log.watch('job', organization => 'org');
             CREATE TABLE other (id int PRIMARY KEY); SELECT audit_log.watch('other', target_type => 'job')",
        );
        for case in CASES {
            let role = unique("decides");
            let named = |sql: &str| sql.replace("{role}", &role).replace("{isolation}", isolation);
            db.run(&format!("CREATE ROLE {role} LOGIN"));
            db.run(&named(case.setup));
            let mut session = connect(&db.name, if case.as_role { &role } else { "postgres" });
            run(&mut session, &format!("BEGIN ISOLATION LEVEL {isolation}; SELECT count(*) FROM pg_class"));
            named(case.before).split(';').for_each(|statement| run(&mut session, statement));
            db.run(&named(case.change));
            let came = outcome(&mut session, &named(case.act));
            run(&mut session, "COMMIT");
            drop(session);
            // What an error came after is not what this is about.
            let is_error = case.expected.starts_with(|c: char| c.is_ascii_digit())
                && case.expected.contains(' ')
                && !case.expected.contains(',');
            let came = if is_error { came.rsplit(',').next().unwrap_or_default().to_string() } else { came };
            let recorded = all(&mut db.client, &named(case.recorded.0)).join(",");
            for (what, is, expected) in
                [("came", came.as_str(), case.expected), ("recorded", &recorded, case.recorded.1)]
            {
                if is != expected {
                    wrong.push(format!("{isolation}: {}: {what} {is}, not {expected}", case.name));
                }
            }
            db.run(&format!("DROP OWNED BY {role}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a transaction changed itself holds for it, and no longer once it is rolled back.
#[test]
fn what_is_rolled_back_decides_nothing() {
    let undo = [
        ("SAVEPOINT s", "ROLLBACK TO s", "COMMIT"),
        ("SAVEPOINT s; SAVEPOINT t", "RELEASE t; ROLLBACK TO s", "COMMIT"),
        ("SELECT 1", "ROLLBACK; BEGIN ISOLATION LEVEL {isolation}", "COMMIT"),
        (
            "SELECT 1",
            "PREPARE TRANSACTION '{gid}'; ROLLBACK PREPARED '{gid}'; BEGIN ISOLATION LEVEL {isolation}",
            "COMMIT",
        ),
    ];
    let mut wrong = Vec::new();
    for isolation in ISOLATIONS {
        let mut db = Db::new();
        db.run("CREATE TABLE job (id int PRIMARY KEY, org text); SELECT audit_log.watch('job', organization => 'org')");
        for (n, (begin, back, end)) in (1..).zip(undo) {
            let gid = unique("decision");
            let fill = |sql: &str| sql.replace("{isolation}", isolation).replace("{gid}", &gid);
            let mut session = db.session();
            run(&mut session, &format!("BEGIN ISOLATION LEVEL {isolation}"));
            run(&mut session, begin);
            run(
                &mut session,
                &format!(
                    "SELECT audit_log.disable_organization('gone {n}'); INSERT INTO job VALUES ({n}1, 'gone {n}');
                     INSERT INTO job VALUES ({n}2, 'new {n}');
                     SELECT audit_log.define_target_type('type_{n}', 'Type'), audit_log.define_category('category_{n}', 'type_{n}', 'Category'), audit_log.define_actor_type('actor_{n}');
                     SELECT audit_log.set_context('{{\"actor\": {{\"type\": \"actor_{n}\", \"id\": \"1\"}}}}', false);
                     SELECT audit_log.record('category_{n}', '1')"
                ),
            );
            for part in fill(back).split("; ") {
                run(&mut session, part);
            }
            let recorded =
                outcome(&mut session, &format!("SAVEPOINT u; SELECT audit_log.record('category_{n}', '1')"));
            run(&mut session, "ROLLBACK TO u");
            let acted = outcome(&mut session, &format!("SELECT audit_log.set_context('{{\"actor\": {{\"type\": \"actor_{n}\", \"id\": \"1\"}}}}')"));
            run(&mut session, "ROLLBACK TO u; SELECT audit_log.set_context(NULL)");
            run(
                &mut session,
                &format!("INSERT INTO job VALUES ({n}1, 'gone {n}'), ({n}2, 'new {n}'); {end}"),
            );
            let entries = db.all(&format!(
                "SELECT organization_id || target_id FROM audit_log.entry WHERE target_id IN ('{n}1', '{n}2') ORDER BY 1"
            ));
            let seen = db.all(&format!("SELECT id FROM audit_log.organization WHERE id IN ('gone {n}', 'new {n}') AND enabled ORDER BY 1"));
            let is = format!("{recorded}; {acted}; {entries:?}; {seen:?}");
            let expected = format!(
                "22023 invalid_input; 22023 invalid_input; {:?}; {:?}",
                [format!("gone {n}{n}1"), format!("new {n}{n}2")],
                [format!("gone {n}"), format!("new {n}")]
            );
            if is != expected {
                wrong.push(format!("{isolation}, {begin} … {back}: {is}, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
