//! The two tables that hold entries, as direct writing needs to know them.

use pgrx::pg_sys;

use crate::glue::backend;
use crate::glue::bounds::Range;
use crate::glue::log_table::{Column, LogTable, Shape};
use crate::glue::partition::{self, Opened, Partition};
use crate::glue::value::Value;

/// A table that entries are written to.
#[derive(Clone, Copy)]
pub enum Table {
    Event,
    EventTarget,
}

impl Table {
    pub const COUNT: usize = 2;
    pub const ALL: [Table; Self::COUNT] = [Table::Event, Table::EventTarget];
    /// The places of the organization and of the target's id in `event_target`.
    pub const RELATED_ORGANIZATION: usize = 2;
    pub const RELATED_ID: usize = 4;

    const fn shape(self) -> &'static Shape {
        match self {
            Table::Event => &Shape { table: c"event", unplaced: c"event_unplaced", columns: &EVENT_COLUMNS },
            Table::EventTarget => &Shape {
                table: c"event_target",
                unplaced: c"event_target_unplaced",
                columns: &EVENT_TARGET_COLUMNS,
            },
        }
    }

    /// The statement that inserts a row of an instant, a parameter a column.
    pub fn insert(self, at: i64) -> String {
        let statement = match self {
            Table::Event => include_str!("../../sql/queries/append_event.sql"),
            Table::EventTarget => include_str!("../../sql/queries/append_event_target.sql"),
        };
        let Shape { table, unplaced, .. } = self.shape();
        let has_none =
            backend::relation_oid(table).is_some_and(|table| partition::for_key(table, at).is_none());
        statement.replace("{table}", &if has_none { unplaced } else { table }.to_string_lossy())
    }

    /// Where rows are whose time has no partition.
    pub fn unplaced(self) -> Option<pg_sys::Oid> {
        backend::relation_oid(self.shape().unplaced)
    }
}

const fn required(name: &'static str, type_oid: pg_sys::Oid) -> Column {
    Column { name, type_oid, not_null: true }
}

const fn optional(name: &'static str, type_oid: pg_sys::Oid) -> Column {
    Column { name, type_oid, not_null: false }
}

/// inet[], which the bindings leave out.
pub const INETARRAYOID: pg_sys::Oid = pg_sys::Oid::from_u32(1041);

/// `audit_log.event`, as `05_storage.sql` makes it.
pub const EVENT_COLUMNS: [Column; 32] = [
    required("occurred_at", pg_sys::TIMESTAMPTZOID),
    required("feed", pg_sys::INT8OID),
    optional("recorded_at", pg_sys::TIMESTAMPTZOID),
    optional("command", pg_sys::INT4OID),
    optional("operation", pg_sys::CHAROID),
    required("id", pg_sys::UUIDOID),
    required("organization_id", pg_sys::TEXTOID),
    required("category", pg_sys::TEXTOID),
    optional("relation", pg_sys::TEXTOID),
    required("target_type", pg_sys::TEXTOID),
    optional("target_id", pg_sys::TEXTOID),
    optional("target_name", pg_sys::TEXTOID),
    required("actor_type", pg_sys::TEXTOID),
    optional("actor_id", pg_sys::TEXTOID),
    optional("actor_name", pg_sys::TEXTOID),
    optional("actor_email", pg_sys::TEXTOID),
    optional("effective_actor_type", pg_sys::TEXTOID),
    optional("effective_actor_id", pg_sys::TEXTOID),
    optional("effective_actor_name", pg_sys::TEXTOID),
    optional("effective_actor_email", pg_sys::TEXTOID),
    optional("targets", pg_sys::JSONBOID),
    optional("before", pg_sys::JSONBOID),
    optional("after", pg_sys::JSONBOID),
    optional("metadata", pg_sys::JSONBOID),
    optional("remote_addr", pg_sys::INETOID),
    optional("access_route", INETARRAYOID),
    optional("user_agent", pg_sys::TEXTOID),
    optional("request_id", pg_sys::TEXTOID),
    required("database_user", pg_sys::TEXTOID),
    optional("application_name", pg_sys::TEXTOID),
    optional("source", pg_sys::JSONBOID),
    optional("other_type", pg_sys::TEXTOID),
];

/// The place of a column of `audit_log.event`, from 0; a name that is none does not compile.
pub const fn column(name: &str) -> usize {
    let mut i = 0;
    while !same(EVENT_COLUMNS[i].name.as_bytes(), name.as_bytes()) {
        i += 1;
    }
    i
}

/// Whether two texts are the same.
pub const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

/// `audit_log.event_target`, likewise.
const EVENT_TARGET_COLUMNS: [Column; 5] = [
    required("occurred_at", pg_sys::TIMESTAMPTZOID),
    required("event_id", pg_sys::UUIDOID),
    required("organization_id", pg_sys::TEXTOID),
    required("target_type", pg_sys::TEXTOID),
    required("target_id", pg_sys::TEXTOID),
];

thread_local! {
    static TABLES: [LogTable; Table::COUNT] = const {
        [LogTable::new(Table::Event.shape()), LogTable::new(Table::EventTarget.shape())]
    };
}

pub fn of<T>(table: Table, run: impl FnOnce(&LogTable) -> T) -> T {
    TABLES.with(|tables| run(&tables[table as usize]))
}

/// A table's partitions in the window `start..end` of PostgreSQL's microseconds, the newest first, then
/// what is beside them.
pub fn partitions(table: Table, start: i64, end: i64) -> Vec<(Option<Range>, pg_sys::Oid)> {
    partition::of_table(table.shape(), start, end)
}

/// The instant a partition of `event` begins with; None for what is beside them.
pub fn partition_start(partition: pg_sys::Oid) -> Option<i64> {
    partition::start(Table::Event.shape(), partition)
}

/// Opens a partition for reading.
pub fn open(table: Table, partition: pg_sys::Oid) -> Opened {
    Partition::open(partition, table.shape())
}

/// Whether a relation is one that entries are in: a table or partition of the log, wherever it is kept.
pub fn is_written(relation: pg_sys::Oid) -> bool {
    let (is_one, all_known) =
        TABLES.with(|tables| (tables.iter().any(|t| t.is(relation)), tables.iter().all(LogTable::is_known)));
    is_one || (backend::is_in_log_schema(relation) && (!all_known || backend::is_partition(relation)))
}

/// Forgets what may have changed of the tables.
pub fn relation_changed(relation: Option<pg_sys::Oid>) {
    TABLES.with(|tables| tables.iter().for_each(|table| table.relation_changed(relation)));
}

/// The columns of a table with values given in their order, as an INSERT takes them.
pub fn typed<'a>(
    table: Table,
    values: &'a [Option<Value<'a>>],
) -> impl Iterator<Item = (pg_sys::Oid, Option<Value<'a>>)> {
    table.shape().columns.iter().map(|c| c.type_oid).zip(values.iter().copied())
}
