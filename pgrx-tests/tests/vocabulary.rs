//! The vocabulary: what is built in, what can be defined, what is refused, and JSON Schemas of metadata.

use std::collections::BTreeSet;

use audit_log_tests::{json, Db};

/// category|target_type|label|color|tab of every built-in category.
const BUILT_IN: &str = "\
user_created|user|User created|green|team
user_updated|user|User updated|blue|team
user_deleted|user|User deleted|red|team
user_login_failed|user|User login failed|red|team
user_login_complete|user|User login complete|green|team
user_logout_complete|user|User logout complete|gray|team
session_created|session|Session created|green|team
session_deleted|session|Session deleted|red|team
user_access_changed|user|User access changed|blue|team
team_api_key_created|api_key|Team API key created|green|team
team_api_key_enabled_changed|api_key|Team API key enabled changed|blue|team
team_created|team|Team created|green|team
team_active_status_changed|team|Team active status changed|blue|team
team_domain_mail_agent_type_changed|team|Team domain mail agent type changed|blue|team
data_export|data_export|Data export|gray|team
admin_action|admin_action|Admin action|gray|team
job_user_access_created|job_user_access|Job user access created|green|team
job_user_access_changed|job_user_access|Job user access changed|blue|team
job_user_access_deleted|job_user_access|Job user access deleted|red|team
job_created|job|Job created|green|team
job_updated|job|Job updated|blue|team
job_deleted|job|Job deleted|red|team
job_opened|job|Job opened|green|team
job_closed|job|Job closed|red|team
job_post_created|job_post|Job post created|green|team
job_post_updated|job_post|Job post updated|blue|team
job_post_published|job_post|Job post published|green|team
job_post_unpublished|job_post|Job post unpublished|red|team
job_board_created|job_board|Job board created|green|team
job_board_updated|job_board|Job board updated|blue|team
offer_created|offer|Offer created|green|team
offer_approved|offer|Offer approved|green|team
offer_sent|offer|Offer sent|gray|team
offer_updated|offer|Offer updated|blue|team
offer_deprecated|offer|Offer deprecated|red|team
saml_config_created|saml_config|SAML config created|green|team
saml_config_changed|saml_config|SAML config changed|blue|team
saml_config_deleted|saml_config|SAML config deleted|red|team
team_settings_changed|team|Team settings changed|blue|team
approval_requested|approval|Approval requested|gray|team
approval_retriggered|approval|Approval retriggered|gray|team
approval_user_added|approval|Approval user added|gray|team
approval_user_removed|approval|Approval user removed|red|team
approval_action_taken|approval|Approval action taken|gray|team
approval_process_changed|approval_process|Approval process changed|blue|team
approval_process_created|approval_process|Approval process created|green|team
booking_created|booking|Created|green|interviews
booking_updated|booking|Updated|blue|interviews
booking_cancelled|booking|Cancelled|red|interviews
booking_marked_no_show|booking|Marked No-Show|orange|interviews
video_session_created|video_session|Created|green|interviews
video_session_updated|video_session|Updated|blue|interviews
evaluation_created|evaluation|Created|green|interviews
evaluation_updated|evaluation|Updated|blue|interviews
evaluation_approved|evaluation|Approved|green|interviews
participant_joined|video_session|Participant Joined|teal|interviews
participant_left|video_session|Participant Left|gray|interviews
recording_started|video_session|Recording Started|purple|interviews
recording_completed|video_session|Recording Completed|purple|interviews
recording_failed|video_session|Recording Failed|red|interviews
room_finished|video_session|Room Finished|gray|interviews
application_status_changed|application|Application status changed|blue|team
message_sent|message|Message sent|gray|team
workflow_updated|workflow|Workflow updated|blue|team
JobStatusChanged|job|Job status changed|blue|team
app_user_updated|app_user|App user updated|blue|team
user.login|user|User logged in|green|team
report_created|report|Report created|green|team
report_updated|report|Report updated|blue|team
report_deleted|report|Report deleted|red|team
harvest_access|api_request|API access|gray|team
retention_run|audit_log|Retention run|gray|team
vocabulary_changed|audit_log|Vocabulary changed|blue|team
schema_changed|audit_log|Schema changed|blue|team
watch_changed|audit_log|Watch changed|blue|team
retention_changed|audit_log|Retention changed|blue|team
hold_placed|audit_log|Hold placed|blue|team
hold_released|audit_log|Hold released|blue|team
organization_enabled|audit_log|Organization enabled|green|team
organization_disabled|audit_log|Organization disabled|red|team
read_access_changed|audit_log|Read access changed|blue|team";

const SETTINGS: [&str; 16] = [
    "data_export_enabled",
    "api_data_export_enabled",
    "data_export_new_report_types_enabled",
    "data_export_new_fields_enabled",
    "pages_subdomain",
    "private_note_privacy_type",
    "captcha_protection_level",
    "sync_email_history_enabled",
    "hide_email_history_hired_stage",
    "hide_email_history_offer_stage",
    "hide_email_history_confidential_jobs",
    "hide_email_history_internal_candidates",
    "default_sequence_privacy_type",
    "default_project_privacy_type",
    "ai_early_access_visibility",
    "outbound_email_override",
];

fn vocabulary_entries(db: &mut Db) -> Vec<String> {
    db.all("SELECT target_id FROM audit_log.entry WHERE category = 'vocabulary_changed' ORDER BY occurred_at, id")
}

#[test]
fn the_built_in_categories_are_there() {
    let mut db = Db::new();
    let found = db.all(
        "SELECT concat_ws('|', category, target_type, label, color, tab) FROM audit_log.vocabulary
         WHERE builtin AND NOT deprecated AND description <> ''",
    );
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    let expected: BTreeSet<&str> = BUILT_IN.lines().collect();
    assert_eq!(expected.len(), 81);
    assert_eq!(expected.difference(&found).collect::<Vec<_>>(), Vec::<&&str>::new(), "missing or different");
    assert_eq!(found.difference(&expected).collect::<Vec<_>>(), Vec::<&&str>::new(), "not of the contract");
    assert_eq!(db.one("SELECT count(*) FROM audit_log.vocabulary WHERE NOT builtin"), "0");
    let own_type = "SELECT count(*) FROM audit_log.vocabulary v WHERE NOT EXISTS (SELECT FROM audit_log.target_type t WHERE t.code = v.target_type)";
    assert_eq!(db.one(own_type), "0");
    assert_eq!(
        db.all("SELECT code FROM audit_log.actor_type ORDER BY code"),
        ["api_key", "automation", "candidate", "operations", "other", "support", "system", "user"]
    );
}

#[test]
fn create_extension_writes_no_entry() {
    let mut db = Db::new();
    assert_eq!(db.one("SELECT count(*) FROM audit_log.entry"), "0");
    assert_eq!(db.one("SELECT count(*) FROM audit_log.entry_target"), "0");
}

#[test]
fn what_is_defined_can_be_written_and_filtered_by_at_once() {
    let mut db = Db::new();
    let mut other = db.session();
    audit_log_tests::run(&mut other, "SELECT * FROM audit_log.list()");
    db.run(
        "SELECT audit_log.define_target_type('spaceship', 'Spaceship');
         SELECT audit_log.define_category('spaceship.launched', 'spaceship', 'Launched', 'It went up', 'teal', 'interviews');
         SELECT audit_log.define_category('spaceship_parked', 'spaceship', 'Parked')",
    );
    audit_log_tests::run(&mut other, "SELECT audit_log.record('spaceship.launched', 'x1')");
    let listed = "SELECT target_id FROM audit_log.list(target_types => ARRAY['spaceship'], categories => ARRAY['spaceship.launched'])";
    assert_eq!(audit_log_tests::all(&mut other, listed), ["x1"]);
    assert_eq!(
        db.all("SELECT to_jsonb(v) FROM audit_log.vocabulary v WHERE target_type = 'spaceship' ORDER BY category"),
        [
            r#"{"tab": "interviews", "color": "teal", "label": "Launched", "builtin": false, "category": "spaceship.launched", "deprecated": false, "description": "It went up", "target_type": "spaceship", "metadata_schema": null}"#,
            r#"{"tab": "team", "color": null, "label": "Parked", "builtin": false, "category": "spaceship_parked", "deprecated": false, "description": null, "target_type": "spaceship", "metadata_schema": null}"#,
        ]
    );
    assert_eq!(vocabulary_entries(&mut db), ["spaceship", "spaceship.launched", "spaceship_parked"]);
}

#[test]
fn definitions_of_ones_own_can_be_changed_but_not_the_target_type() {
    let mut db = Db::new();
    db.run("SELECT audit_log.define_category('job_cloned', 'job', 'Clonde', NULL, 'red')");
    db.run(
        "SELECT audit_log.define_category('job_cloned', 'job', 'Cloned', 'A copy', 'green', 'interviews')",
    );
    let row = "SELECT concat_ws('|', label, description, color, tab) FROM audit_log.vocabulary WHERE category = 'job_cloned'";
    assert_eq!(db.one(row), "Cloned|A copy|green|interviews");
    let failure = db.fails("SELECT audit_log.define_category('job_cloned', 'offer', 'Cloned')");
    failure.is("22023", "invalid_input").says("\"job\"");
    assert_eq!(db.one(row), "Cloned|A copy|green|interviews");
    db.run("SELECT audit_log.define_target_type('crew', 'Crw'); SELECT audit_log.define_target_type('crew', 'Crew')");
    assert_eq!(db.one("SELECT label FROM audit_log.target_type WHERE code = 'crew'"), "Crew");
    assert_eq!(vocabulary_entries(&mut db), ["job_cloned", "job_cloned", "crew", "crew"]);
}

#[test]
fn codes_are_a_letter_and_letters_digits_underscores_dots() {
    let mut db = Db::new();
    let long = "a".repeat(63);
    db.run(&format!(
        "SELECT audit_log.define_target_type('{long}', 'x'); SELECT audit_log.define_category('{long}', '{long}', 'x');
         SELECT audit_log.define_actor_type('{long}', 'x'); SELECT audit_log.define_target_type('A.b_9', 'x')"
    ));
    let before = vocabulary_entries(&mut db);
    for bad in [
        "''",
        "'1a'",
        "'_a'",
        "'a b'",
        "'a-b'",
        "'é'",
        "'aé'",
        "E'a\\n'",
        "'a\"'",
        "NULL",
        &format!("'{long}a'"),
    ] {
        for define in [
            format!("define_target_type({bad}, 'x')"),
            format!("define_category({bad}, 'job', 'x')"),
            format!("define_actor_type({bad}, 'x')"),
        ] {
            db.fails(&format!("SELECT audit_log.{define}")).is("22023", "invalid_input");
        }
    }
    assert_eq!(vocabulary_entries(&mut db), before);
}

#[test]
fn other_arguments_that_are_wrong() {
    let mut db = Db::new();
    let nearest = db.fails("SELECT audit_log.define_category('x', 'jobb', 'x')");
    nearest.is("22023", "invalid_input").says("\"job\"");
    for bad in [
        "define_category('x', NULL, 'x')",
        "define_category('x', 'job', NULL)",
        "define_category('x', 'job', 'x', tab => 'people')",
        "define_category('x', 'job', 'x', tab => NULL)",
        "define_target_type('x', NULL)",
        "deprecate_category('job_udpated')",
        "deprecate_category(NULL)",
    ] {
        db.fails(&format!("SELECT audit_log.{bad}")).is("22023", "invalid_input");
    }
    assert_eq!(db.one("SELECT count(*) FROM audit_log.vocabulary WHERE NOT builtin"), "0");
    assert!(vocabulary_entries(&mut db).is_empty());
}

#[test]
fn what_is_built_in_is_not_redefined() {
    let mut db = Db::new();
    for bad in [
        "define_category('job_updated', 'job', 'Changed')",
        "define_category('job_updated', 'offer', 'Job updated')",
        "define_target_type('job', 'Work')",
    ] {
        db.fails(&format!("SELECT audit_log.{bad}")).is("22023", "invalid_input");
    }
    db.run("SELECT audit_log.define_actor_type('user', 'Human')");
    assert_eq!(db.one("SELECT label FROM audit_log.actor_type WHERE code = 'user'"), "User");
    assert!(vocabulary_entries(&mut db).is_empty());
}

#[test]
fn a_deprecated_category_stays_usable_and_is_marked() {
    let mut db = Db::new();
    db.run("SELECT audit_log.deprecate_category('JobStatusChanged')");
    db.run("SELECT audit_log.deprecate_category('JobStatusChanged')");
    db.run("SELECT audit_log.record('JobStatusChanged', '1')");
    assert_eq!(
        db.all("SELECT target_id FROM audit_log.list(categories => ARRAY['JobStatusChanged'])"),
        ["1"]
    );
    assert_eq!(db.all("SELECT category FROM audit_log.vocabulary WHERE deprecated"), ["JobStatusChanged"]);
    assert_eq!(vocabulary_entries(&mut db), ["JobStatusChanged"]);
}

#[test]
fn changes_are_entries_of_default_with_who_and_what() {
    let mut db = Db::new();
    db.run(
        r#"BEGIN; SET LOCAL audit_log.context = '{"organization": "acme", "actor": {"type": "user", "id": "ann"}}';
        SELECT audit_log.define_actor_type('robot', 'Robot'); SELECT audit_log.deprecate_category('job_updated'); COMMIT"#,
    );
    let entries = db.all(
        "SELECT concat_ws(' ', organization_id, actor_id, target_type, target_id, metadata) FROM audit_log.entry ORDER BY occurred_at, id",
    );
    assert_eq!(entries.len(), 2);
    assert!(entries[0].starts_with("default ann audit_log robot {"), "{entries:?}");
    assert!(entries[1].starts_with("default ann audit_log job_updated {"), "{entries:?}");
}

#[test]
fn metadata_that_does_not_match_the_schema_is_refused_where_it_differs() {
    let mut db = Db::new();
    let schema = json!({"type": "object", "required": ["reason"], "additionalProperties": false, "properties": {
        "reason": {"type": "string", "minLength": 1}, "steps": {"type": "array", "items": {"type": "integer"}}}});
    db.run(&format!(
        "SELECT audit_log.define_category('job_cloned', 'job', 'Cloned', metadata_schema => '{schema}')"
    ));
    db.run(r#"SELECT audit_log.record('job_cloned', '1', metadata => '{"reason": "x", "steps": [1, 2]}')"#);
    for (metadata, place) in [
        ("NULL", "reason"),
        ("'{}'", "reason"),
        (r#"'{"reason": 7}'"#, "metadata.reason"),
        (r#"'{"reason": ""}'"#, "metadata.reason"),
        (r#"'{"reason": "x", "steps": [1, "two"]}'"#, "metadata.steps.1"),
        (r#"'{"reason": "x", "raeson": 1}'"#, "raeson"),
    ] {
        let failure =
            db.fails(&format!("SELECT audit_log.record('job_cloned', '1', metadata => {metadata})"));
        failure.is("22023", "invalid_input").says(place);
    }
    assert_eq!(db.one("SELECT count(*) FROM audit_log.entry WHERE category = 'job_cloned'"), "1");
    // A schema can be replaced and taken away.
    db.run(r#"SELECT audit_log.define_category('job_cloned', 'job', 'Cloned', metadata_schema => '{"required": ["by"]}')"#);
    db.fails(r#"SELECT audit_log.record('job_cloned', '1', metadata => '{"reason": "x"}')"#)
        .is("22023", "invalid_input");
    db.run("SELECT audit_log.define_category('job_cloned', 'job', 'Cloned'); SELECT audit_log.record('job_cloned', '2')");
}

#[test]
fn a_changed_team_setting_is_one_of_sixteen() {
    let mut db = Db::new();
    for setting in SETTINGS {
        db.run(&format!(r#"SELECT audit_log.record('team_settings_changed', '1', metadata => '{{"setting": "{setting}", "to": 1}}')"#));
    }
    for bad in [r#"{"setting": "pages_domain"}"#, r#"{"setting": 1}"#, "{}"] {
        let failure =
            db.fails(&format!("SELECT audit_log.record('team_settings_changed', '1', metadata => '{bad}')"));
        failure.is("22023", "invalid_input").says("setting");
    }
    assert_eq!(db.one("SELECT count(DISTINCT metadata ->> 'setting') FROM audit_log.entry"), "16");
}

#[test]
fn what_is_no_json_schema_is_refused() {
    let mut db = Db::new();
    for bad in [
        r#"{"type": "strange"}"#,
        r#"{"properties": 7}"#,
        r#"{"required": "reason"}"#,
        r#"{"$ref": "https://example.com/schema.json"}"#,
        r#"{"properties": {"a": {"pattern": "("}}}"#,
        "[]",
        "7",
    ] {
        let define = format!("SELECT audit_log.define_category('x', 'job', 'x', metadata_schema => '{bad}')");
        db.fails(&define).is("22023", "invalid_input").says("metadata_schema");
    }
    assert_eq!(db.one("SELECT count(*) FROM audit_log.vocabulary WHERE category = 'x'"), "0");
}
