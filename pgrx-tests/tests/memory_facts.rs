//! What is written for `memory`: entries of every shape and size, and the rows that each reader has to give for
//! them, put together here and not by what is tested.

use audit_log_tests::{json, wait_for, Db, Value};

/// An entry as it has to be read; `Null` where there is nothing.
pub struct Fact {
    pub id: String,
    pub day: String,
    /// Within the day; None of a captured row, whose clock nobody knows beforehand.
    pub at: Option<String>,
    pub organization: &'static str,
    pub category: &'static str,
    pub operation: Value,
    /// type, id, name, email.
    pub actor: [Value; 4],
    pub effective: [Value; 4],
    pub target: [Value; 3],
    pub others: Vec<Value>,
    pub before: Value,
    pub after: Value,
    pub changes: Value,
    pub metadata: Value,
    pub request: bool,
    pub relation: Value,
    pub transaction: String,
    pub position: String,
}

/// The log of a database of a test's own, and what is in it.
pub struct World {
    pub db: Db,
    pub day: String,
    pub facts: Vec<Fact>,
}

const USER_AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64) who reads this has kept it";
const ORGANIZATIONS: [&str; 3] = ["acme", "globex", "initech"];

/// Text that no compression makes shorter.
fn dense(seed: usize, length: usize) -> String {
    let mut state = seed as u64 * 2_654_435_761 + 97;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + ((state >> 33) % 93) as u8)
    };
    (0..length).map(|_| next()).map(|c| if c == '\'' || c == '\\' { '.' } else { c }).collect()
}

/// A name: none, short, compressed where it is stored, or long and dense.
fn name(i: usize) -> Value {
    match i % 5 {
        0 => Value::Null,
        1 => json!(format!("Ärger {i}")),
        2 => json!("é ".repeat(1_500)),
        3 => json!(dense(i, 1_900)),
        _ => json!(format!("n{i}")),
    }
}

fn quoted(value: &Value) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::String(text) => format!("'{}'", text.replace('\'', "''")),
        other => format!("'{}'", other.to_string().replace('\'', "''")),
    }
}

fn person(kind: &str, i: usize) -> [Value; 4] {
    [
        json!(kind),
        json!(format!("p{}", i % 4)),
        json!(format!("Ann {}", i % 4)),
        json!(format!("a{}@x", i % 4)),
    ]
}

fn actor_json([kind, id, name, email]: &[Value; 4]) -> Value {
    json!({"type": kind, "id": id, "name": name, "email": email})
}

impl World {
    pub fn new() -> World {
        let mut db = Db::new();
        db.run(
            "CREATE TABLE item (id int PRIMARY KEY, org text, name text, doc jsonb, amount numeric, tags text[]);
             SELECT audit_log.watch('item', target_name => 'name', organization => 'org');
             SET TimeZone = 'UTC'; SET application_name = 'memory'",
        );
        let day = db.one("SELECT to_char(now() - interval '2 days', 'YYYY-MM-DD')");
        let mut world = World { db, day, facts: Vec::new() };
        world.record();
        world.capture();
        // Other tests' transactions hold the feed back.
        let count = world.db.one("SELECT count(*) FROM audit_log.entry");
        wait_for(&mut world.db.client, "SELECT count(*) FROM audit_log.feed", &count);
        world
    }

    fn transaction(&mut self) -> (String, String) {
        let [number, high, low] = ["", " >> 32", " & 4294967295"]
            .map(|part| self.db.one(&format!("SELECT pg_current_xact_id()::text::bigint{part}")));
        let (high, low) = (high.parse::<u64>().expect("a number"), low.parse::<u64>().expect("a number"));
        // The first epoch, and the transaction in the low 48 bits.
        (number, format!("{:016x}", (1 << 48) | (high << 32) | low))
    }

    /// Events that are told of, each with its own instant.
    fn record(&mut self) {
        self.db.run("BEGIN");
        let (transaction, feed) = self.transaction();
        for i in 0..30 {
            let mut fact = recorded(i, &self.day, &transaction);
            let mut context = json!({});
            if i % 3 > 0 {
                context["actor"] = actor_json(&fact.actor);
            }
            if i % 3 == 2 {
                context["effective_actor"] = actor_json(&fact.effective);
            }
            if fact.request {
                context["remote_addr"] = json!("203.0.113.7");
                context["access_route"] = json!(["10.0.0.1", "2001:db8::1"]);
                context["user_agent"] = json!(USER_AGENT);
                context["request_id"] = json!("r-1");
            }
            let (others, at) = (json!(fact.others), fact.at.clone().unwrap_or_default());
            fact.id = self.db.one(&format!(
                "SELECT audit_log.record('{}', {}, {}, {}, {}, {}, {}, '{}T{at}Z', '{}')
                 FROM audit_log.set_context('{context}')",
                fact.category,
                quoted(&fact.target[1]),
                quoted(&fact.target[2]),
                quoted(&others),
                quoted(&fact.metadata),
                quoted(&fact.before),
                quoted(&fact.after),
                self.day,
                fact.organization,
            ));
            fact.position = format!("{feed}{}", fact.id.replace('-', ""));
            self.facts.push(fact);
        }
        self.db.run("COMMIT");
    }

    /// Rows that are captured.
    fn capture(&mut self) {
        let long = "long name, ".repeat(300);
        self.db.run(r#"BEGIN; SELECT audit_log.set_context('{"actor": {"type": "user", "id": "p9", "name": "Bob 9"}}')"#);
        let (transaction, feed) = self.transaction();
        self.db.run(&format!(
            r#"INSERT INTO item VALUES (1, 'acme', 'one', '{{"a": [1, 2]}}', 1.50, '{{x,y}}'),
                 (2, 'globex', '{long}', '{{"b": "{}"}}', 2, '{{}}');
               UPDATE item SET name = 'uno', amount = 1.5 WHERE id = 1; DELETE FROM item WHERE id = 2"#,
            "z".repeat(9_000)
        ));
        let first = serde("{\"id\": 1, \"org\": \"acme\", \"doc\": {\"a\": [1, 2]}, \"name\": \"one\", \"tags\": [\"x\", \"y\"], \"amount\": 1.50}");
        let second = json!({"id": 2, "org": "globex", "doc": {"b": "z".repeat(9_000)}, "name": long, "tags": [],
                            "amount": serde("2")});
        let update =
            (serde(r#"{"name": "one", "amount": 1.50}"#), serde(r#"{"name": "uno", "amount": 1.5}"#));
        let changed = serde(r#"{"name": ["one", "uno"], "amount": [1.50, 1.5]}"#);
        let rows = [
            ("insert", "item_created", "acme", "1", "one", Value::Null, first.clone(), sides(&first, true)),
            (
                "insert",
                "item_created",
                "globex",
                "2",
                &long,
                Value::Null,
                second.clone(),
                sides(&second, true),
            ),
            ("update", "item_updated", "acme", "1", "uno", update.0, update.1, changed),
            (
                "delete",
                "item_deleted",
                "globex",
                "2",
                &long,
                second.clone(),
                Value::Null,
                sides(&second, false),
            ),
        ];
        for (operation, category, organization, id, name, before, after, changes) in rows {
            let actor = [json!("user"), json!("p9"), json!("Bob 9"), Value::Null];
            self.facts.push(Fact {
                id: String::new(),
                day: String::new(),
                at: None,
                organization,
                category,
                operation: json!(operation),
                effective: actor.clone(),
                actor,
                target: [json!("item"), json!(id), json!(name)],
                others: Vec::new(),
                before,
                after,
                changes,
                metadata: Value::Null,
                request: false,
                relation: json!("public.item"),
                transaction: transaction.clone(),
                position: feed.clone(),
            });
        }
        self.db.run("COMMIT");
    }

    /// The facts of an organization, or of all.
    pub fn of(&self, organization: Option<&'static str>) -> impl Iterator<Item = &Fact> {
        self.facts.iter().filter(move |fact| organization.is_none_or(|only| only == fact.organization))
    }

    /// The clock of captured rows, and so their ids, are not known beforehand: a row is checked against itself and
    /// the test's time, and gets what the facts have in their place.
    pub fn settled(&mut self, mut row: Value) -> Value {
        let is_known = |fact: &&Fact| fact.at.is_some() && row["id"] == fact.id;
        let known = self.facts.iter().find(is_known).map(|fact| fact.id.clone());
        let recorded = row["recorded_at"].as_str().expect("an instant").to_string();
        let in_time = format!("SELECT '{recorded}' BETWEEN now() - interval '1 hour' AND clock_timestamp()");
        assert_eq!(self.db.one(&in_time), "t", "{recorded}");
        row["recorded_at"] = json!("(clock)");
        if known.is_none() {
            let id = row["id"].as_str().expect("an id").to_string();
            assert_eq!(row["occurred_at"], recorded.as_str(), "{row}");
            let instant = format!("SELECT audit_log.id_instant('{id}') = '{recorded}'");
            assert_eq!(self.db.one(&instant), "t", "{row}");
            let position = row["position"].as_str().expect("a position").to_string();
            assert_eq!(&position[16..], id.replace('-', ""), "{row}");
            (row["id"], row["occurred_at"]) = (json!(""), json!("(clock)"));
            row["position"] = json!(position[..16]);
        }
        row
    }
}

/// What `changes` says of a row that came or went.
fn sides(row: &Value, came: bool) -> Value {
    let columns = row.as_object().expect("an object").iter();
    let sides = |value: &Value| if came { json!([null, value]) } else { json!([value, null]) };
    Value::Object(columns.map(|(column, value)| (column.clone(), sides(value))).collect())
}

fn serde(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn recorded(i: usize, day: &str, transaction: &str) -> Fact {
    let system = [json!("system"), Value::Null, Value::Null, Value::Null];
    let actor = if i.is_multiple_of(3) { system } else { person("user", i) };
    let effective = if i % 3 == 2 { person("support", i + 1) } else { actor.clone() };
    let large = match i {
        8 => json!("compressed ".repeat(9_000)),
        9 => json!(dense(i, 30_000)),
        _ => json!(format!("v{i}")),
    };
    let (before, after, changes) = match i % 4 {
        0 => (Value::Null, json!({"s": large}), json!({"s": [null, large]})),
        1 => (json!({"s": large}), Value::Null, json!({"s": [large, null]})),
        2 => (json!({"a": 1, "s": large}), json!({"a": 2, "s": large}), json!({"a": [1, 2]})),
        _ => (Value::Null, Value::Null, Value::Null),
    };
    let others = match i % 6 {
        5 => vec![
            json!({"type": "team", "id": format!("team {i}"), "relation": "parent"}),
            json!({"type": "user", "id": format!("u{i}"), "name": format!("Other {i}"), "relation": "related",
                   "metadata": {"why": i}}),
        ],
        _ => Vec::new(),
    };
    let id = if i % 7 == 6 { format!("{i}{}", "x".repeat(2_400)) } else { format!("t{i}") };
    Fact {
        id: String::new(),
        day: day.to_string(),
        at: Some(format!("01:{i:02}:00.00{i:02}01")),
        organization: ORGANIZATIONS[i % 3],
        category: "job_updated",
        operation: Value::Null,
        actor,
        effective,
        target: [json!("job"), json!(id), name(i)],
        others,
        before,
        after,
        changes,
        metadata: match i % 4 {
            0 => Value::Null,
            1 if i == 13 => json!({"request_type": "API", "dense": dense(i, 12_000)}),
            1 => json!({"request_type": "API", "i": i}),
            _ => json!({"i": i, "words": vec!["word"; 700]}),
        },
        request: i % 2 == 1,
        relation: Value::Null,
        transaction: transaction.to_string(),
        position: String::new(),
    }
}

impl Fact {
    fn at(&self) -> String {
        self.at.as_ref().map_or("(clock)".into(), |at| format!("{}T{at}+00:00", self.day))
    }

    fn request<T: Into<Value>>(&self, value: T) -> Value {
        if self.request {
            value.into()
        } else {
            Value::Null
        }
    }

    fn route(&self) -> Value {
        self.request(json!(["10.0.0.1", "2001:db8::1"]))
    }

    pub fn targets(&self) -> Vec<Value> {
        let mut primary = json!({"type": self.target[0], "id": self.target[1], "relation": "primary"});
        if !self.target[2].is_null() {
            primary["name"] = self.target[2].clone();
        }
        std::iter::once(primary).chain(self.others.iter().cloned()).collect()
    }

    /// The columns of `entry`.
    pub fn entry(&self) -> Value {
        let [actor_type, actor_id, actor_name, actor_email] = &self.actor;
        let [effective_type, effective_id, effective_name, effective_email] = &self.effective;
        json!({
            "id": self.id, "occurred_at": self.at(), "recorded_at": "(clock)",
            "organization_id": self.organization, "category": self.category, "operation": self.operation,
            "actor_type": actor_type, "actor_id": actor_id, "actor_name": actor_name, "actor_email": actor_email,
            "effective_actor_type": effective_type, "effective_actor_id": effective_id,
            "effective_actor_name": effective_name, "effective_actor_email": effective_email,
            "target_type": self.target[0], "target_id": self.target[1], "target_name": self.target[2],
            "targets": self.targets(), "before": self.before, "after": self.after, "changes": self.changes,
            "metadata": self.metadata, "remote_addr": self.request("203.0.113.7"), "access_route": self.route(),
            "user_agent": self.request(USER_AGENT), "request_id": self.request("r-1"),
            "database_user": "postgres", "application_name": "memory", "relation": self.relation,
            "transaction_id": self.transaction, "position": self.position,
        })
    }

    /// What `list_json` and `sync_json` show of it, with its columns named as those of `entry`.
    pub fn from_api(api: &Value) -> Value {
        let part = |object: &str, key: &str| api[object][key].clone();
        let instant = |key: &str| {
            let text = api[key].as_str().expect("an instant").trim_end_matches('Z');
            json!(format!("{text}+00:00"))
        };
        json!({
            "id": api["id"], "occurred_at": instant("occurredAt"), "recorded_at": instant("recordedAt"),
            "organization_id": api["organizationId"], "category": api["category"], "operation": api["operation"],
            "actor_type": part("actor", "type"), "actor_id": part("actor", "id"),
            "actor_name": part("actor", "name"), "actor_email": part("actor", "email"),
            "effective_actor_type": part("effectiveActor", "type"),
            "effective_actor_id": part("effectiveActor", "id"),
            "effective_actor_name": part("effectiveActor", "name"),
            "effective_actor_email": part("effectiveActor", "email"),
            "target_type": part("target", "type"), "target_id": part("target", "id"),
            "target_name": part("target", "name"),
            "targets": api["targets"], "before": api["before"], "after": api["after"], "changes": api["changes"],
            "metadata": api["metadata"], "remote_addr": api["remoteAddr"], "access_route": api["accessRoute"],
            "user_agent": api["userAgent"], "request_id": api["requestId"], "database_user": api["databaseUser"],
            "application_name": api["applicationName"], "relation": api["relation"],
            "transaction_id": api["transactionId"], "position": api["position"],
        })
    }

    /// The actor as an object, as `bi_audit_log` and `export` have it; the keys that are left out where there is
    /// nothing.
    fn shown(&self, keys: [&str; 4], of: &[Value; 4]) -> Value {
        let pairs = keys.iter().zip(of).filter(|(key, value)| !key.is_empty() && !value.is_null());
        Value::Object(pairs.map(|(key, value)| (key.to_string(), value.clone())).collect())
    }

    fn with_behalf(&self, mut shown: Value) -> Value {
        if self.effective[..2] != self.actor[..2] {
            shown["on_behalf_of"] = self.shown(["type", "id", "name", "email"], &self.effective);
        }
        shown
    }

    /// The twelve columns of `bi_audit_log`.
    pub fn bi(&self) -> Value {
        let mut meta = self.shown(["", "", "name", "email"], &self.actor);
        if self.request {
            meta["user_agent"] = json!(USER_AGENT);
        }
        let (kind, event) = match self.operation.as_str() {
            Some("insert") => ("data_change_create", self.changes.clone()),
            Some("update") => ("data_change_update", self.changes.clone()),
            Some(_) => ("data_change_destroy", self.changes.clone()),
            None => {
                let mut event = if self.metadata.is_null() { json!({}) } else { self.metadata.clone() };
                event["category"] = json!(self.category);
                ("action", event)
            }
        };
        json!({
            "organization_id": self.organization, "event_time": self.at(), "request_id": self.request("r-1"),
            "request_type": self.metadata["request_type"], "performer_id": self.actor[1],
            "performer_type": self.actor[0], "performer_meta": self.with_behalf(meta),
            "performer_ip_address": self.request("203.0.113.7"), "event_type": kind,
            "event_target_id": self.target[1], "event_target_type": self.target[0], "event_meta": event,
        })
    }

    /// The first columns of `export`, but for the instant.
    pub fn exported(&self) -> Value {
        let actor = self.shown(["type", "id", "name", "email"], &self.actor);
        json!({
            "action": self.category, "actor": self.with_behalf(actor), "targets": self.targets(),
            "access_route": self.route(), "remote_addr": self.request("203.0.113.7"),
            "user_agent": self.request(USER_AGENT), "metadata": self.metadata, "before": self.before,
            "after": self.after,
        })
    }

    /// What `page` says of it to people.
    pub fn page_columns(&self) -> Value {
        let text = |value: &Value| value.as_str().map(str::to_string);
        let who = |person: &[Value; 4]| {
            text(&person[2]).or(text(&person[1])).or(text(&person[0])).unwrap_or_default()
        };
        let (label, color, kind) = match self.category {
            "job_updated" => ("Job updated", json!("blue"), "Job"),
            "item_created" => ("Item created", json!("green"), "Item"),
            _ => ("Item updated", json!("blue"), "Item"),
        };
        let (id, name) = (text(&self.target[1]).unwrap_or_default(), text(&self.target[2]));
        let behalf = match self.effective[..2] != self.actor[..2] {
            true => format!(" (for {})", who(&self.effective)),
            false => String::new(),
        };
        let changes =
            if self.category == "item_updated" { "; amount: 1.50 → 1.5, name: one → uno" } else { "" };
        let named = name.as_deref().unwrap_or(&id);
        json!({"label": label, "color": color, "target_label": format!("{kind} · {id}"),
               "summary": format!("{}{behalf}: {label}, {kind} {named}{changes}", who(&self.actor))})
    }
}
