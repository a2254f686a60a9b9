//! A trigger's call: what fired, on which table, with which rows.

use audit_log_model::watch_options::Operation;
use audit_log_model::AuditError;
use pgrx::pg_sys;

use super::tuple::{OwnTuple, RowType, Tuple, Values};
use super::value::Value;

const BLOCK_OF_MOVED: u32 = u32::MAX;
const OFFSET_OF_MOVED: u16 = 0xfffd;

/// The call of a trigger function, while it runs.
pub struct TriggerCall<'a>(&'a pg_sys::TriggerData);

impl<'a> TriggerCall<'a> {
    /// # Safety
    /// `fcinfo` is the call PostgreSQL made, which goes on as long as what is returned.
    pub unsafe fn from_call(fcinfo: pg_sys::FunctionCallInfo) -> Result<Self, AuditError> {
        // SAFETY: by contract; the context, where there is one, is a node.
        unsafe {
            let node = (*fcinfo).context;
            if node.is_null() || (*node).type_ != pg_sys::NodeTag::T_TriggerData {
                return Err(AuditError::internal("a trigger function was not called by a trigger"));
            }
            Ok(TriggerCall(&*node.cast()))
        }
    }

    fn data(&self) -> &'a pg_sys::TriggerData {
        self.0
    }

    pub fn is_after(&self) -> bool {
        self.data().tg_event & (pg_sys::TRIGGER_EVENT_BEFORE | pg_sys::TRIGGER_EVENT_INSTEAD) == 0
    }

    pub fn is_row(&self) -> bool {
        self.data().tg_event & pg_sys::TRIGGER_EVENT_ROW != 0
    }

    pub fn operation(&self) -> Operation {
        match self.data().tg_event & pg_sys::TRIGGER_EVENT_OPMASK {
            pg_sys::TRIGGER_EVENT_INSERT => Operation::Insert,
            pg_sys::TRIGGER_EVENT_DELETE => Operation::Delete,
            pg_sys::TRIGGER_EVENT_UPDATE => Operation::Update,
            _ => Operation::Truncate,
        }
    }

    pub fn relation(&self) -> pg_sys::Oid {
        // SAFETY: the relation is open while its trigger runs.
        unsafe { (*self.data().tg_relation).rd_id }
    }

    /// The trigger's argument, where it has just one.
    pub fn argument(&self) -> Option<String> {
        // SAFETY: the trigger lives as long as the call, and has as many arguments as it says.
        unsafe {
            let trigger = &*self.data().tg_trigger;
            (trigger.tgnargs == 1).then(|| super::watch_trigger::argument(trigger))
        }
    }

    pub fn row_type(&self) -> RowType {
        // SAFETY: as in `relation`.
        unsafe { RowType::copy((*self.data().tg_relation).rd_att) }
    }

    /// The row before a delete or update, or the one inserted.
    pub fn first_row(&self, row_type: &'a RowType) -> Values<'a> {
        // SAFETY: a row trigger always has this tuple, and it is of the relation's type.
        unsafe { row_type.deform(Tuple::of(self.data().tg_trigtuple)) }
    }

    /// The row after an update.
    pub fn updated_row(&self, row_type: &'a RowType) -> Values<'a> {
        // SAFETY: an update's row trigger always has this tuple.
        unsafe { row_type.deform(Tuple::of(self.data().tg_newtuple)) }
    }

    /// Whether a deleted row went to another partition: its insert there follows.
    pub fn moved_away(&self) -> bool {
        // SAFETY: a row trigger always has this tuple; its header is the stored one.
        unsafe {
            let pointer = (*(*self.data().tg_trigtuple).t_data).t_ctid;
            let block = (u32::from(pointer.ip_blkid.bi_hi) << 16) | u32::from(pointer.ip_blkid.bi_lo);
            block == BLOCK_OF_MOVED && pointer.ip_posid == OFFSET_OF_MOVED
        }
    }

    /// The command that deleted a row that moved away.
    pub fn deleting_command(&self) -> u32 {
        // SAFETY: the tuple was deleted by this transaction, as a moved one always was.
        unsafe { pg_sys::HeapTupleHeaderGetCmax((*self.data().tg_trigtuple).t_data) }
    }

    /// The command that an update of a row is part of; None of a foreign table, which does not say.
    pub fn updating_command(&self) -> Option<u32> {
        // SAFETY: an update's row trigger always has this tuple; only one of this transaction is asked.
        unsafe {
            let header = (*self.data().tg_newtuple).t_data;
            let own = pg_sys::TransactionIdIsCurrentTransactionId((*header).t_choice.t_heap.t_xmin);
            own.then(|| pg_sys::HeapTupleHeaderGetCmin(header))
        }
    }

    /// The command that inserted a row; None of a foreign table, which does not say.
    pub fn inserting_command(&self) -> Option<u32> {
        // SAFETY: a row trigger always has this tuple; only a tuple of this transaction is asked.
        unsafe {
            let header = (*self.data().tg_trigtuple).t_data;
            let xmin = (*header).t_choice.t_heap.t_xmin;
            let own = pg_sys::TransactionIdIsCurrentTransactionId(xmin);
            own.then(|| pg_sys::HeapTupleHeaderGetCmin(header))
        }
    }

    /// What a trigger gives back that changes nothing: the row where there is one.
    pub fn go_on(&self) -> Value<'a> {
        // SAFETY: the row lives as long as the call.
        unsafe { Value::of(pg_sys::Datum::from(self.data().tg_trigtuple)) }
    }

    /// A copy of the first row.
    pub fn keep_first_row(&self) -> KeptRow {
        // SAFETY: a row trigger always has this tuple.
        KeptRow(unsafe { OwnTuple::copy(self.data().tg_trigtuple) })
    }
}

/// A row kept past its trigger; what it has in toast tables may be gone after its transaction.
pub struct KeptRow(OwnTuple);

impl KeptRow {
    pub fn values<'a>(&'a self, row_type: &'a RowType) -> Values<'a> {
        // SAFETY: the type is that of the table whose trigger kept the row.
        unsafe { row_type.deform(self.0.tuple()) }
    }
}
