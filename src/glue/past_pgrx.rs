//! PostgreSQL's functions past pgrx, which guards each call against an error.
//!
//! Either they raise none, or they are called under a guard that is there already.

use std::ffi::c_char;

use pgrx::pg_sys::*;

use super::gin_value::{GinBtree, GinBtreeStack};
use super::pending_list::{GinState, GinTupleCollector};

extern "C-unwind" {
    pub fn GetCurrentTimestamp() -> TimestampTz;
    pub fn die(signal: i32);
    pub fn GetCurrentSubTransactionId() -> SubTransactionId;
    pub fn GetSessionUserId() -> Oid;
    pub fn GetOuterUserId() -> Oid;
    pub fn GetUserId() -> Oid;
    pub fn get_database_oid(name: *const c_char, missing_ok: bool) -> Oid;
    pub fn defGetString(option: *mut DefElem) -> *mut c_char;
    #[cfg(feature = "pg15")]
    pub fn pg_database_ownercheck(database: Oid, role: Oid) -> bool;
    #[cfg(not(feature = "pg15"))]
    pub fn object_ownercheck(catalog: Oid, object: Oid, role: Oid) -> bool;
    pub fn get_namespace_oid(name: *const c_char, missing_ok: bool) -> Oid;
    pub fn get_rel_namespace(relation: Oid) -> Oid;
    pub fn get_rel_relispartition(relation: Oid) -> bool;
    pub fn get_partition_ancestors(relation: Oid) -> *mut List;
    /// From 16 on its header is not among the bindings.
    pub fn assign_search_path(path: *const c_char, extra: *mut std::ffi::c_void);
    pub fn IsInParallelMode() -> bool;
    pub fn pg_prng_uint64(state: *mut pg_prng_state) -> u64;

    pub fn LockRelationOid(relation: Oid, lock: LOCKMODE);
    pub fn try_table_open(oid: Oid, lock: LOCKMODE) -> Relation;
    pub fn index_open(oid: Oid, lock: LOCKMODE) -> Relation;
    pub fn relation_close(relation: Relation, lock: LOCKMODE);
    pub fn GetCurrentCommandId(used: bool) -> CommandId;
    pub fn heap_insert(
        table: Relation,
        row: HeapTuple,
        command: CommandId,
        options: i32,
        bulk: BulkInsertState,
    );
    pub fn heap_multi_insert(
        table: Relation,
        slots: *mut *mut TupleTableSlot,
        count: i32,
        command: CommandId,
        options: i32,
        bulk: BulkInsertState,
    );
    pub fn heap_deform_tuple(row: HeapTuple, desc: TupleDesc, values: *mut Datum, nulls: *mut bool);
    pub fn ExecStoreHeapTuple(row: HeapTuple, slot: *mut TupleTableSlot, free: bool) -> *mut TupleTableSlot;
    pub fn index_insert(
        index: Relation,
        values: *mut Datum,
        nulls: *mut bool,
        place: ItemPointer,
        table: Relation,
        check: IndexUniqueCheck::Type,
        unchanged: bool,
        info: *mut IndexInfo,
    ) -> bool;
    pub fn initGinState(state: *mut GinState, index: Relation);
    pub fn ginHeapTupleFastCollect(
        state: *mut GinState,
        collected: *mut GinTupleCollector,
        column: OffsetNumber,
        value: Datum,
        is_null: bool,
        place: ItemPointer,
    );
    pub fn GinFormTuple(
        state: *mut GinState,
        column: OffsetNumber,
        key: Datum,
        category: i8,
        data: *mut c_char,
        size: Size,
        places: i32,
        refuses: bool,
    ) -> IndexTuple;
    pub fn palloc(bytes: Size) -> *mut std::ffi::c_void;
    pub fn repalloc(memory: *mut std::ffi::c_void, bytes: Size) -> *mut std::ffi::c_void;
    pub fn ginHeapTupleFastInsert(state: *mut GinState, collected: *mut GinTupleCollector);
    pub fn gintuple_get_attrnum(state: *mut GinState, tuple: IndexTuple) -> OffsetNumber;
    pub fn gintuple_get_key(state: *mut GinState, tuple: IndexTuple, category: *mut i8) -> Datum;
    pub fn ginPrepareEntryScan(
        btree: *mut GinBtree,
        column: OffsetNumber,
        key: Datum,
        category: i8,
        state: *mut GinState,
    );
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    pub fn ginFindLeafPage(
        btree: *mut GinBtree,
        search: bool,
        conflicts: bool,
        snapshot: Snapshot,
    ) -> *mut GinBtreeStack;
    #[cfg(not(any(feature = "pg15", feature = "pg16")))]
    pub fn ginFindLeafPage(btree: *mut GinBtree, search: bool, conflicts: bool) -> *mut GinBtreeStack;
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    pub fn ginScanBeginPostingTree(
        btree: *mut GinBtree,
        index: Relation,
        root: BlockNumber,
        snapshot: Snapshot,
    ) -> *mut GinBtreeStack;
    #[cfg(not(any(feature = "pg15", feature = "pg16")))]
    pub fn ginScanBeginPostingTree(
        btree: *mut GinBtree,
        index: Relation,
        root: BlockNumber,
    ) -> *mut GinBtreeStack;
    pub fn freeGinBtreeStack(stack: *mut GinBtreeStack);
    pub fn ginReadTuple(
        state: *mut GinState,
        column: OffsetNumber,
        tuple: IndexTuple,
        count: *mut i32,
    ) -> *mut ItemPointerData;
    pub fn GinDataLeafPageGetItems(
        page: Page,
        count: *mut i32,
        behind: ItemPointerData,
    ) -> *mut ItemPointerData;
    pub fn ginStepRight(buffer: Buffer, index: Relation, lock: i32) -> Buffer;
    pub fn IncrBufferRefCount(buffer: Buffer);
    pub fn BufferGetBlockNumber(buffer: Buffer) -> BlockNumber;
    pub fn PredicateLockPage(relation: Relation, block: BlockNumber, snapshot: Snapshot);
    pub fn pg_detoast_datum_packed(datum: *mut varlena) -> *mut varlena;
    pub fn pfree(memory: *mut std::ffi::c_void);
    pub fn readTimeLineHistory(timeline: TimeLineID) -> *mut List;
    pub fn tliInHistory(timeline: TimeLineID, history: *mut List) -> bool;
    pub fn tliSwitchPoint(timeline: TimeLineID, history: *mut List, next: *mut TimeLineID) -> XLogRecPtr;
    pub fn ReadBuffer(relation: Relation, block: BlockNumber) -> Buffer;
    pub fn LockBuffer(buffer: Buffer, mode: i32);
    pub fn ReleaseBuffer(buffer: Buffer);
    pub fn heap_hot_search_buffer(
        place: ItemPointer,
        relation: Relation,
        buffer: Buffer,
        snapshot: Snapshot,
        tuple: HeapTuple,
        all_dead: *mut bool,
        first_call: bool,
    ) -> bool;
    pub fn index_getnext_tid(scan: IndexScanDesc, direction: ScanDirection::Type) -> ItemPointer;

    pub fn standard_ExecutorStart(query: *mut QueryDesc, flags: i32);
    #[cfg(feature = "pg18")]
    pub fn standard_ExecutorRun(query: *mut QueryDesc, direction: ScanDirection::Type, count: u64);
    #[cfg(not(feature = "pg18"))]
    pub fn standard_ExecutorRun(
        query: *mut QueryDesc,
        direction: ScanDirection::Type,
        count: u64,
        once: bool,
    );
    pub fn standard_ExecutorFinish(query: *mut QueryDesc);
    pub fn standard_ExecutorEnd(query: *mut QueryDesc);
    pub fn standard_ProcessUtility(
        statement: *mut PlannedStmt,
        text: *const c_char,
        read_only: bool,
        context: ProcessUtilityContext::Type,
        params: ParamListInfo,
        environment: *mut QueryEnvironment,
        receiver: *mut DestReceiver,
        completion: *mut QueryCompletion,
    );
}
