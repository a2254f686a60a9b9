//! A stored row as the columns of `audit_log.entry`; that view says the same in SQL.

use audit_log_model::feed_position;
use audit_log_model::watch_options::StoredOperation;
use pgrx::pg_sys;
use uuid::Uuid;

use super::tables::{self, column};
use crate::glue::jsonb_read;
use crate::glue::memory::Arena;
use crate::glue::row::Kept;
use crate::glue::value::Value;
use crate::glue::varlena::{text_of, to_string};

/// How many columns an entry has.
pub const WIDTH: usize = 31;

/// Row states of more bytes than this have no `changes`: a page of them would need all memory.
pub const MOST_COMPARED: usize = 16 << 20;

/// The low 48 bits of `feed`: the transaction.
const TRANSACTION: i64 = (1 << 48) - 1;

/// An entry's columns, in the order of the view.
pub type Columns<'a> = [Option<Value<'a>>; WIDTH];

/// The columns of a row; what is made for them is in the memory.
pub fn columns<'a>(row: &'a Kept, memory: &'a Arena) -> Columns<'a> {
    let get = |name| row.value(name);
    let has_effective = get(EFFECTIVE_TYPE).is_some();
    let effective = |own: usize, actor: usize| get(if has_effective { own } else { actor });
    let (before, after) = (get(BEFORE), get(AFTER));
    let targets = get(TARGETS).unwrap_or_else(|| {
        let text = |name| row.text(name, memory);
        let kind = text(TARGET_TYPE).unwrap_or_default();
        jsonb_read::primary_target(kind, text(TARGET_ID), text(TARGET_NAME), memory)
    });
    let feed = get(FEED).map_or(0, Value::number);
    let id = Uuid::from_bytes(row.uuid(ID).unwrap_or_default());
    let position = feed_position::text((feed, *id.as_bytes()));
    let text = |text: &str| Some(text_of(text, memory));
    [
        get(ID),
        get(OCCURRED_AT),
        get(RECORDED_AT).or(get(OCCURRED_AT)),
        get(ORGANIZATION),
        get(CATEGORY),
        get(OPERATION).and_then(|letter| text(StoredOperation::shown(letter.number() as u8)?)),
        get(ACTOR_TYPE),
        get(ACTOR_ID),
        get(ACTOR_NAME),
        get(ACTOR_EMAIL),
        effective(EFFECTIVE_TYPE, ACTOR_TYPE),
        effective(EFFECTIVE_ID, ACTOR_ID),
        effective(EFFECTIVE_NAME, ACTOR_NAME),
        effective(EFFECTIVE_EMAIL, ACTOR_EMAIL),
        get(TARGET_TYPE),
        get(TARGET_ID),
        get(TARGET_NAME),
        Some(targets),
        before,
        after,
        jsonb_read::changes(before, after, MOST_COMPARED, memory),
        get(METADATA),
        get(REMOTE_ADDR),
        get(ACCESS_ROUTE),
        get(USER_AGENT),
        get(REQUEST_ID),
        get(DATABASE_USER),
        get(APPLICATION_NAME),
        get(RELATION),
        Some(Value::from(feed & TRANSACTION)),
        text(&position),
    ]
}

/// The columns of the view, in its order: name and type.
const COLUMNS: [(&str, pg_sys::Oid); WIDTH] = [
    ("id", pg_sys::UUIDOID),
    ("occurred_at", pg_sys::TIMESTAMPTZOID),
    ("recorded_at", pg_sys::TIMESTAMPTZOID),
    ("organization_id", pg_sys::TEXTOID),
    ("category", pg_sys::TEXTOID),
    ("operation", pg_sys::TEXTOID),
    ("actor_type", pg_sys::TEXTOID),
    ("actor_id", pg_sys::TEXTOID),
    ("actor_name", pg_sys::TEXTOID),
    ("actor_email", pg_sys::TEXTOID),
    ("effective_actor_type", pg_sys::TEXTOID),
    ("effective_actor_id", pg_sys::TEXTOID),
    ("effective_actor_name", pg_sys::TEXTOID),
    ("effective_actor_email", pg_sys::TEXTOID),
    ("target_type", pg_sys::TEXTOID),
    ("target_id", pg_sys::TEXTOID),
    ("target_name", pg_sys::TEXTOID),
    ("targets", pg_sys::JSONBOID),
    ("before", pg_sys::JSONBOID),
    ("after", pg_sys::JSONBOID),
    ("changes", pg_sys::JSONBOID),
    ("metadata", pg_sys::JSONBOID),
    ("remote_addr", pg_sys::INETOID),
    ("access_route", tables::INETARRAYOID),
    ("user_agent", pg_sys::TEXTOID),
    ("request_id", pg_sys::TEXTOID),
    ("database_user", pg_sys::TEXTOID),
    ("application_name", pg_sys::TEXTOID),
    ("relation", pg_sys::TEXTOID),
    ("transaction_id", pg_sys::XID8OID),
    ("position", pg_sys::TEXTOID),
];

/// The types of the columns.
pub const TYPES: [pg_sys::Oid; WIDTH] = {
    let mut types = [pg_sys::InvalidOid; WIDTH];
    let mut i = 0;
    while i < WIDTH {
        types[i] = COLUMNS[i].1;
        i += 1;
    }
    types
};

/// The place of a column of an entry, from 0; in a constant, a name that is none does not compile.
pub const fn place(name: &str) -> usize {
    let mut i = 0;
    while !tables::same(COLUMNS[i].0.as_bytes(), name.as_bytes()) {
        i += 1;
    }
    i
}

/// A text column of an entry.
pub fn text(columns: &Columns, place: usize) -> Option<String> {
    columns[place].map(to_string)
}

const OCCURRED_AT: usize = column("occurred_at");
const FEED: usize = column("feed");
const RECORDED_AT: usize = column("recorded_at");
const RELATION: usize = column("relation");
const OPERATION: usize = column("operation");
const ID: usize = column("id");
const ORGANIZATION: usize = column("organization_id");
const CATEGORY: usize = column("category");
const TARGET_TYPE: usize = column("target_type");
const TARGET_ID: usize = column("target_id");
const TARGET_NAME: usize = column("target_name");
const ACTOR_TYPE: usize = column("actor_type");
const ACTOR_ID: usize = column("actor_id");
const ACTOR_NAME: usize = column("actor_name");
const ACTOR_EMAIL: usize = column("actor_email");
const EFFECTIVE_TYPE: usize = column("effective_actor_type");
const EFFECTIVE_ID: usize = column("effective_actor_id");
const EFFECTIVE_NAME: usize = column("effective_actor_name");
const EFFECTIVE_EMAIL: usize = column("effective_actor_email");
const TARGETS: usize = column("targets");
const BEFORE: usize = column("before");
const AFTER: usize = column("after");
const METADATA: usize = column("metadata");
const REMOTE_ADDR: usize = column("remote_addr");
const ACCESS_ROUTE: usize = column("access_route");
const USER_AGENT: usize = column("user_agent");
const REQUEST_ID: usize = column("request_id");
const DATABASE_USER: usize = column("database_user");
const APPLICATION_NAME: usize = column("application_name");
