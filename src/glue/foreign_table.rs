//! Which foreign tables there may be on the extension's server: its own, as it was made, and no other.

use std::ffi::CStr;

use audit_log_model::{AuditError, Code};
use pgrx::pg_sys;

use super::{backend, version};

/// The extension's own foreign table.
pub struct Own {
    /// In the log's schema.
    pub name: &'static CStr,
    pub columns: &'static [pg_sys::Oid],
}

const NO_LOCK: i32 = pg_sys::NoLock as i32;

impl Own {
    /// Refuses a foreign table that is another one, or has other columns: rows are given by position.
    ///
    /// # Safety
    /// The relation is locked by the query.
    pub(super) unsafe fn check(&self, relation: pg_sys::Oid) -> Result<(), AuditError> {
        let label = || backend::relation_label(relation).unwrap_or_default();
        if backend::relation_oid(self.name) != Some(relation) {
            return Err(AuditError::new(
                Code::WrongObjectType,
                format!("foreign table {} is none of the audit log's", label()),
                format!("Read the view audit_log.feed, and drop this one: DROP FOREIGN TABLE {};", label()),
            ));
        }
        // SAFETY: by contract; the relation is open while its columns are looked at.
        let odd = unsafe {
            let opened = pg_sys::table_open(relation, NO_LOCK);
            let odd = self.odd_column((*opened).rd_att);
            pg_sys::table_close(opened, NO_LOCK);
            odd
        };
        match odd {
            None => Ok(()),
            Some(column) => Err(AuditError::new(
                Code::WrongObjectType,
                format!("foreign table {} has other columns than the extension gave it, from {column} on", label()),
                format!("Drop what was added: ALTER FOREIGN TABLE {} DROP COLUMN …; what was altered or dropped comes back with the extension made anew.", label()),
            )),
        }
    }

    /// The first column that is not as it was made. One that was added, and dropped again, is as good as none.
    ///
    /// # Safety
    /// The descriptor is an open relation's.
    unsafe fn odd_column(&self, desc: pg_sys::TupleDesc) -> Option<String> {
        // SAFETY: by contract; names are terminated.
        unsafe {
            let found = (*desc).natts as usize;
            (0..found.max(self.columns.len())).find_map(|i| {
                if i >= found {
                    return Some(format!("number {}", i + 1));
                }
                let attribute = version::attribute(desc, i);
                let is_right = match self.columns.get(i) {
                    Some(type_oid) => !attribute.attisdropped && attribute.atttypid == *type_oid,
                    None => attribute.attisdropped,
                };
                let name = || CStr::from_ptr(attribute.attname.data.as_ptr()).to_string_lossy();
                (!is_right).then(|| format!("\"{}\"", name()))
            })
        }
    }
}

/// What an object of the server is given: options, and the catalog that it is in. There are none to give, and
/// servers and tables are made by the extension alone, or with it by pg_upgrade.
pub fn validate(options: &[Option<String>], catalog: pg_sys::Oid) -> Result<(), AuditError> {
    // SAFETY: plain variables.
    let is_own = unsafe { pg_sys::creating_extension || pg_sys::IsBinaryUpgrade };
    let what = match catalog {
        pg_sys::ForeignTableRelationId => "foreign tables",
        pg_sys::ForeignServerRelationId => "servers",
        _ => "",
    };
    if let Some(option) = options.first() {
        return Err(AuditError::invalid(
            "options",
            format!("the audit log's server has no options; {} is none", option.as_deref().unwrap_or("NULL")),
            "Leave OPTIONS out.",
        ));
    }
    if what.is_empty() || is_own {
        return Ok(());
    }
    Err(AuditError::new(
        Code::WrongObjectType,
        format!("the audit log has no other {what} than its own"),
        "Read the view audit_log.feed.",
    ))
}

/// What IMPORT FOREIGN SCHEMA is told.
pub fn nothing_to_import() -> AuditError {
    AuditError::new(
        Code::WrongObjectType,
        "the audit log's server has no foreign schema",
        "Read the view audit_log.feed.",
    )
}
