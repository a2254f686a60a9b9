//! Small facts of the running backend.

use std::ffi::CStr;

use pgrx::pg_sys;

use super::memory::Arena;
use super::past_pgrx;
use super::value::Value;

/// PostgreSQL counts microseconds from 2000-01-01, Unix from 1970.
const EPOCH_DIFFERENCE_MICROS: i64 = 946_684_800_000_000;

/// The clock, in Unix microseconds.
pub fn now_unix_micros() -> i64 {
    // SAFETY: plain call.
    unsafe { past_pgrx::GetCurrentTimestamp() + EPOCH_DIFFERENCE_MICROS }
}

/// Unix microseconds as a timestamptz.
pub fn timestamptz(unix_micros: i64) -> Value<'static> {
    Value::from(pg_micros(unix_micros))
}

/// Unix microseconds as PostgreSQL counts them; saturates at its infinities.
pub fn pg_micros(unix_micros: i64) -> i64 {
    unix_micros.saturating_sub(EPOCH_DIFFERENCE_MICROS)
}

/// A timestamptz's value in Unix microseconds; saturates at its infinities.
pub fn unix_micros(pg_micros: i64) -> i64 {
    pg_micros.saturating_add(EPOCH_DIFFERENCE_MICROS)
}

/// Random bits for ids; not for secrets.
pub fn random() -> u64 {
    // SAFETY: the state is this process's own.
    unsafe { past_pgrx::pg_prng_uint64(&raw mut pg_sys::pg_global_prng_state) }
}

/// The top-level transaction's number; assigns one.
pub fn transaction() -> u64 {
    // SAFETY: plain call inside a transaction.
    unsafe { pg_sys::GetTopFullTransactionId().value }
}

pub fn in_transaction() -> bool {
    // SAFETY: plain call.
    unsafe { pg_sys::IsTransactionState() }
}

pub fn subtransaction() -> u32 {
    // SAFETY: plain call.
    unsafe { past_pgrx::GetCurrentSubTransactionId() }
}

pub fn system_identifier() -> i64 {
    // SAFETY: plain call; the control file was read at start.
    unsafe { pg_sys::GetSystemIdentifier() as i64 }
}

/// The database's oid; a copy in the same cluster has another.
pub fn database() -> u32 {
    // SAFETY: a plain variable, set when the session began.
    u32::from(unsafe { pg_sys::MyDatabaseId })
}

/// This process's id.
pub fn process() -> i32 {
    // SAFETY: a plain variable.
    unsafe { pg_sys::MyProcPid }
}

/// How many triggers are running around this one.
pub fn trigger_depth() -> i32 {
    // SAFETY: the function takes no arguments and returns an int4.
    unsafe { pgrx::direct_function_call::<i32>(pg_sys::pg_trigger_depth, &[]) }.unwrap_or_default()
}

/// Gives application_name as it is now. What reads it sets no other.
pub fn with_application_name<T>(read: impl FnOnce(&[u8]) -> T) -> T {
    // SAFETY: the setting is NULL or a terminated string, which lasts as long as nobody sets another.
    read(unsafe {
        match pg_sys::application_name.is_null() {
            true => &[],
            false => CStr::from_ptr(pg_sys::application_name).to_bytes(),
        }
    })
}

/// Whether this server replays another one's changes.
pub fn is_standby() -> bool {
    // SAFETY: plain call.
    unsafe { pg_sys::RecoveryInProgress() }
}

/// Puts on disk what was logged so far; nothing to do on a standby.
pub fn flush_wal() {
    if !is_standby() {
        // SAFETY: plain call; the position is one that was written.
        unsafe { pg_sys::XLogFlush(end_of_wal()) };
    }
}

/// Behind the last record that was logged here.
fn end_of_wal() -> u64 {
    // SAFETY: a plain call and a plain variable.
    let (next, segment) = unsafe { (pg_sys::GetXLogInsertRecPtr(), pg_sys::wal_segment_size as u64) };
    // Where a page is full the next record begins behind a header that is not written yet.
    const PAGE_HEADER: u64 = size_of::<pg_sys::XLogPageHeaderData>() as u64;
    const SEGMENT_HEADER: u64 = size_of::<pg_sys::XLogLongPageHeaderData>() as u64;
    match (next % segment, next % u64::from(pg_sys::XLOG_BLCKSZ)) {
        (SEGMENT_HEADER, _) => next - SEGMENT_HEADER,
        (_, PAGE_HEADER) => next - PAGE_HEADER,
        _ => next,
    }
}

/// The timeline, and how far it is written here, or replayed on a standby.
pub fn wal_position() -> (u32, u64) {
    // SAFETY: plain calls with an out parameter.
    unsafe {
        if is_standby() {
            let mut timeline = 0;
            let position = pg_sys::GetXLogReplayRecPtr(&mut timeline);
            return (timeline, position);
        }
        (pg_sys::GetWALInsertionTimeLine(), end_of_wal())
    }
}

/// Whether a position of a timeline is in the past of where this server is now.
pub fn is_in_wal_history(timeline: u32, position: u64) -> bool {
    let (here, _) = wal_position();
    if timeline == here {
        return true;
    }
    // SAFETY: under a guard; a timeline's end is only asked for where it is in the history.
    unsafe {
        pg_sys::ffi::pg_guard_ffi_boundary(|| {
            let history = past_pgrx::readTimeLineHistory(here);
            past_pgrx::tliInHistory(timeline, history)
                && position <= past_pgrx::tliSwitchPoint(timeline, history, std::ptr::null_mut())
        })
    }
}

/// Whether nothing may be written.
pub fn is_read_only() -> bool {
    // SAFETY: a plain variable and a plain call.
    is_standby() || unsafe { pg_sys::XactReadOnly || past_pgrx::IsInParallelMode() }
}

/// PostgreSQL's own errors where nothing may be written.
pub fn refuse_read_only() {
    // SAFETY: a plain variable, and plain calls with a terminated string that raise.
    unsafe {
        if pg_sys::XactReadOnly || past_pgrx::IsInParallelMode() {
            pg_sys::PreventCommandIfReadOnly(c"INSERT".as_ptr());
            pg_sys::PreventCommandIfParallelMode(c"INSERT".as_ptr());
        }
    }
}

/// The replication origin whose changes this session applies.
pub fn replication_origin() -> Option<String> {
    // SAFETY: a plain variable; with missing_ok the name is NULL or palloc'd.
    unsafe {
        let origin = pg_sys::replorigin_session_origin;
        if origin == 0 {
            return None;
        }
        let mut name = std::ptr::null_mut();
        let found = pg_sys::replorigin_by_oid(origin, true, &mut name);
        (found && !name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
    }
}

/// The oid of one of the extension's tables, for invalidation messages.
pub fn relation_oid(name: &CStr) -> Option<pg_sys::Oid> {
    // SAFETY: plain look-ups by terminated strings.
    unsafe {
        let schema = pg_sys::get_namespace_oid(c"audit_log".as_ptr(), true);
        let relation = pg_sys::get_relname_relid(name.as_ptr(), schema);
        (relation != pg_sys::InvalidOid).then_some(relation)
    }
}

/// Whether a relation is in the log's schema. Called where no guard of pgrx is around.
pub fn is_in_log_schema(relation: pg_sys::Oid) -> bool {
    // SAFETY: plain look-ups by an oid and a terminated string; nothing is held that an error would skip.
    unsafe {
        past_pgrx::get_rel_namespace(relation) == past_pgrx::get_namespace_oid(c"audit_log".as_ptr(), true)
    }
}

/// Whether a schema is the log's.
pub fn is_log_schema(schema: pg_sys::Oid) -> bool {
    // SAFETY: a plain look-up by a terminated string.
    schema == unsafe { pg_sys::get_namespace_oid(c"audit_log".as_ptr(), true) }
}

/// Whether a relation is a partition. Called where no guard of pgrx is around.
pub fn is_partition(relation: pg_sys::Oid) -> bool {
    // SAFETY: a plain look-up by an oid; nothing is held that an error would skip.
    unsafe { past_pgrx::get_rel_relispartition(relation) }
}

/// Tells every session, at commit, that what it cached of a relation is no longer true.
pub fn invalidate(relation: pg_sys::Oid) {
    // SAFETY: the relation exists: its oid was just looked up.
    unsafe { pg_sys::CacheInvalidateRelcacheByRelid(relation) };
}

/// Takes in what other sessions have announced so far. PostgreSQL does so with each lock it takes; a
/// transaction that has all its locks takes none.
pub fn hear_of_changes() {
    // SAFETY: a plain call inside a transaction, as with any lock; nothing here holds what it may replace.
    unsafe { pg_sys::AcceptInvalidationMessages() };
}

/// A row of a catalog, while it is looked at.
pub struct TableRow<'a>(&'a pg_sys::HeapTupleData);

impl TableRow<'_> {
    /// The columns of a catalog's row, up to the first of variable length.
    ///
    /// # Safety
    /// It is the form of this catalog.
    pub(super) unsafe fn form<T>(&self) -> &T {
        // SAFETY: by contract.
        unsafe { &*pg_sys::heap_tuple_get_struct::<T>(std::ptr::from_ref(self.0).cast_mut()) }
    }
}

/// Looks at every row of a catalog, by a catalog snapshot.
///
/// # Safety
/// The relation exists.
pub(super) unsafe fn each_row(relation: pg_sys::Oid, mut look: impl FnMut(TableRow)) {
    // SAFETY: by contract; the relation is open during the scan.
    unsafe {
        let relation = pg_sys::table_open(relation, pg_sys::AccessShareLock as i32);
        let no_index = pg_sys::InvalidOid;
        let (snapshot, keys) = (std::ptr::null_mut(), std::ptr::null_mut());
        let scan = pg_sys::systable_beginscan(relation, no_index, false, snapshot, 0, keys);
        loop {
            let tuple = pg_sys::systable_getnext(scan);
            if tuple.is_null() {
                break;
            }
            look(TableRow(&*tuple));
        }
        pg_sys::systable_endscan(scan);
        pg_sys::table_close(relation, pg_sys::AccessShareLock as i32);
    }
}

/// The name of a column by its number, where it has one.
pub fn column_name(relation: pg_sys::Oid, number: i16) -> Option<String> {
    // SAFETY: with missing_ok the call returns NULL or a palloc'd string.
    unsafe {
        let name = pg_sys::get_attname(relation, number, true);
        (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
    }
}

/// A table's name, schema.table, quoted where it needs to be.
pub fn relation_label(relation: pg_sys::Oid) -> Option<String> {
    // SAFETY: look-ups that return NULL or palloc'd strings.
    unsafe {
        let schema = pg_sys::get_namespace_name(pg_sys::get_rel_namespace(relation));
        let name = pg_sys::get_rel_name(relation);
        if schema.is_null() || name.is_null() {
            return None;
        }
        // The same in every session: quoted where it needs to be, and only there.
        let quote_all = pg_sys::quote_all_identifiers;
        pg_sys::quote_all_identifiers = false;
        let label = pg_sys::quote_qualified_identifier(schema, name);
        pg_sys::quote_all_identifiers = quote_all;
        Some(CStr::from_ptr(label).to_string_lossy().into_owned())
    }
}

/// What the running query's snapshot has seen: the first transaction that had not begun, and those in
/// progress, this session's own included, in ascending order.
pub fn active_snapshot() -> (u64, Vec<u64>) {
    // SAFETY: a query is running, so a snapshot is active; its arrays have as many elements as it says.
    unsafe {
        let snapshot = &*pg_sys::GetActiveSnapshot();
        let now = pg_sys::ReadNextFullTransactionId().value;
        // A snapshot's transactions are at most half the numbers behind the next one.
        let whole = |one: pg_sys::TransactionId| now - u64::from((now as u32).wrapping_sub(one.into_inner()));
        let list = |numbers: *const pg_sys::TransactionId, count: usize| match count {
            0 => &[][..],
            _ => std::slice::from_raw_parts(numbers, count),
        };
        // On a standby all are in the second list; where that overflowed, only subtransactions are missing.
        let listed = match snapshot.takenDuringRecovery {
            true => list(snapshot.subxip, snapshot.subxcnt as usize),
            false => list(snapshot.xip, snapshot.xcnt as usize),
        };
        let next = whole(snapshot.xmax);
        let mut running: Vec<u64> = listed.iter().map(|one| whole(*one)).collect();
        let own = pg_sys::GetTopTransactionIdIfAny();
        if own != pg_sys::InvalidTransactionId {
            running.push(whole(own));
        }
        running.retain(|one| *one < next);
        running.sort_unstable();
        running.dedup();
        (next, running)
    }
}

/// The next transaction that will begin.
pub fn next_transaction() -> u64 {
    // SAFETY: plain call.
    unsafe { pg_sys::ReadNextFullTransactionId().value }
}

/// Runs something with an active snapshot: its own, where there is none.
pub fn with_snapshot<T>(run: impl FnOnce() -> T) -> T {
    // SAFETY: plain call.
    if unsafe { pg_sys::ActiveSnapshotSet() } {
        return run();
    }
    // SAFETY: pushed and popped in pairs; an error in between ends the transaction.
    unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot()) };
    let result = run();
    // SAFETY: as above.
    unsafe { pg_sys::PopActiveSnapshot() };
    result
}

/// Runs something by a snapshot of this moment, whatever the transaction's isolation; it sees what this
/// transaction's earlier commands did as well.
pub fn with_latest_snapshot<T>(run: impl FnOnce() -> T) -> T {
    // As the catalogs are read: also where a parallel query goes on, which GetLatestSnapshot refuses.
    // SAFETY: pushed and popped in pairs; an error in between ends the transaction.
    unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetCatalogSnapshot(pg_sys::InvalidOid)) };
    let result = run();
    // SAFETY: as above.
    unsafe { pg_sys::PopActiveSnapshot() };
    result
}

/// A value of one of the extension's row types, from its columns, in a memory.
pub fn composite<'a>(
    table: &CStr,
    columns: &[Option<Value>],
    memory: &'a Arena,
) -> Option<(pg_sys::Oid, Value<'a>)> {
    let relation = relation_oid(table)?;
    let null = pg_sys::Datum::from(0);
    let mut values: Vec<pg_sys::Datum> = columns.iter().map(|c| c.map_or(null, Value::datum)).collect();
    let mut nulls: Vec<bool> = columns.iter().map(Option::is_none).collect();
    // What is in toast tables stays there.
    // SAFETY: the type is the relation's own; as many values as it has columns, or none at all.
    memory.run(|| unsafe {
        let row_type = pg_sys::get_rel_type_id(relation);
        let desc = pg_sys::lookup_rowtype_tupdesc_copy(row_type, -1);
        if (*desc).natts as usize != columns.len() {
            return None;
        }
        let tuple = pg_sys::heap_form_tuple(desc, values.as_mut_ptr(), nulls.as_mut_ptr());
        Some((row_type, Value::of(pg_sys::Datum::from((*tuple).t_data))))
    })
}
