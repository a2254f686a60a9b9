//! Background processes: the launcher, which is connected to no database, and its workers.

use std::ffi::CStr;
use std::time::Duration;

use audit_log_model::AuditError;
use pgrx::bgworkers::{BackgroundWorker, BackgroundWorkerBuilder, DynamicBackgroundWorker, SignalWakeFlags};
use pgrx::{pg_sys, IntoDatum};

use super::error::unwrap_or_raise;

/// After a fault the server starts the launcher anew.
const RESTART: Duration = Duration::from_secs(5);

/// Whether the server is starting and loads this library for all its processes.
pub fn is_preloading() -> bool {
    // SAFETY: a plain variable.
    unsafe { pg_sys::process_shared_preload_libraries_in_progress }
}

/// Registers the launcher, while the server starts.
pub fn register_launcher() {
    BackgroundWorkerBuilder::new("audit_log launcher")
        .set_library("audit_log")
        .set_function("audit_log_launcher")
        .enable_spi_access()
        .set_restart_time(Some(RESTART))
        .load();
}

/// A worker that the launcher started.
pub struct Worker(DynamicBackgroundWorker);

impl Worker {
    /// Starts one for a place on the board; None where the server has no room for it.
    pub fn start(place: usize) -> Option<Worker> {
        // SAFETY: a plain variable.
        let me = unsafe { pg_sys::MyProcPid };
        let worker = BackgroundWorkerBuilder::new("audit_log worker")
            .set_library("audit_log")
            .set_function("audit_log_worker")
            .set_argument((place as i32).into_datum())
            .enable_spi_access()
            .set_notify_pid(me)
            .load_dynamic();
        worker.ok().map(Worker)
    }

    pub fn has_ended(&self) -> bool {
        use pgrx::bgworkers::BackgroundWorkerStatus::{PostmasterDied, Stopped};
        matches!(self.0.pid(), Err(Stopped | PostmasterDied))
    }
}

/// Makes this process the launcher: signals, and no database.
pub fn begin_launcher() {
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP | SignalWakeFlags::SIGTERM);
    BackgroundWorker::connect_worker_to_spi(None, None);
}

/// Connects this process to a database, as the bootstrap superuser; it ends by the signal that ends sessions,
/// in the middle of whatever it does.
pub fn begin_worker(database: u32) {
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP);
    super::version::end_by_sigterm();
    BackgroundWorker::connect_worker_to_spi_by_oid(Some(pg_sys::Oid::from(database)), None);
    for (name, value) in OWN_SETTINGS {
        // SAFETY: terminated strings; the values are in range.
        unsafe {
            pg_sys::SetConfigOption(
                name.as_ptr(),
                value.as_ptr(),
                pg_sys::GucContext::PGC_SUSET,
                pg_sys::GucSource::PGC_S_OVERRIDE,
            );
        }
    }
}

/// What a database or a role may set for its sessions, and a worker must not go by.
const OWN_SETTINGS: [(&CStr, &CStr); 8] = [
    (c"default_transaction_isolation", c"read committed"),
    (c"default_transaction_read_only", c"off"),
    (c"statement_timeout", c"0"),
    (c"lock_timeout", c"0"),
    (c"idle_in_transaction_session_timeout", c"0"),
    (c"search_path", c"pg_catalog"),
    (c"row_security", c"on"),
    (c"audit_log.context", c""),
];

/// Waits until it is woken or the time is over; false where this process is to end.
pub fn wait(time: Duration) -> bool {
    BackgroundWorker::wait_latch(Some(time))
}

/// Reads the configuration again, where somebody asked for it; whether that was so.
pub fn reload() -> bool {
    let was_asked = BackgroundWorker::sighup_received();
    if was_asked {
        // SAFETY: plain calls, outside a transaction.
        unsafe {
            pg_sys::ConfigReloadPending = 0;
            pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP);
        }
    }
    was_asked
}

/// Ends this process so that the server starts it again, unless it is shutting down.
pub fn end() -> ! {
    // SAFETY: runs what PostgreSQL runs at the end of a process.
    unsafe { pg_sys::proc_exit(1) };
    #[allow(unreachable_code)]
    std::process::exit(1)
}

/// Whether the server runs for pg_upgrade.
pub fn is_binary_upgrade() -> bool {
    // SAFETY: a plain variable.
    unsafe { pg_sys::IsBinaryUpgrade }
}

/// Runs something in a transaction of its own. An error ends the process.
pub fn transaction<T>(run: impl FnOnce() -> Result<T, AuditError>) -> T {
    // SAFETY: begun and committed in pairs, outside any other; after an error the process ends.
    unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::StartTransactionCommand();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
    }
    let result = unwrap_or_raise(run());
    // SAFETY: as above.
    unsafe {
        pg_sys::PopActiveSnapshot();
        pg_sys::CommitTransactionCommand();
        pg_sys::pgstat_report_stat(true);
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_IDLE, std::ptr::null());
    }
    result
}

/// Says what this process is at, for pg_stat_activity.
pub fn report(what: &CStr) {
    // SAFETY: a terminated string, which is copied.
    unsafe { pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, what.as_ptr()) };
}

/// Whether this database has the extension, which then nobody drops before this transaction ends; None where
/// somebody is dropping it.
pub fn hold_extension() -> Option<bool> {
    // SAFETY: plain look-ups by a terminated string, and a lock that is the transaction's.
    unsafe {
        let find = || pg_sys::get_extension_oid(c"audit_log".as_ptr(), true);
        let extension = find();
        if extension == pg_sys::InvalidOid {
            return Some(false);
        }
        let tag = pg_sys::LOCKTAG {
            locktag_field1: u32::from(pg_sys::MyDatabaseId),
            locktag_field2: u32::from(pg_sys::ExtensionRelationId),
            locktag_field3: u32::from(extension),
            locktag_field4: 0,
            locktag_type: pg_sys::LockTagType::LOCKTAG_OBJECT as u8,
            locktag_lockmethodid: pg_sys::DEFAULT_LOCKMETHOD as u8,
        };
        let outcome = pg_sys::LockAcquire(&tag, pg_sys::AccessShareLock as i32, false, true);
        if outcome == pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL {
            return None;
        }
        pg_sys::AcceptInvalidationMessages();
        Some(find() == extension)
    }
}

/// The databases that can be connected to and are no templates: oid and name.
pub fn databases() -> Vec<(u32, String)> {
    transaction(|| {
        let mut found = Vec::new();
        let look = |row: super::backend::TableRow| {
            // SAFETY: rows of the catalog have this form.
            let form = unsafe { row.form::<pg_sys::FormData_pg_database>() };
            // A limit of -2 marks one whose drop was interrupted.
            if form.datallowconn && !form.datistemplate && form.datconnlimit != -2 {
                // SAFETY: a name is terminated.
                let name = unsafe { CStr::from_ptr(form.datname.data.as_ptr()) };
                found.push((u32::from(form.oid), name.to_string_lossy().into_owned()));
            }
        };
        // SAFETY: a catalog of all databases.
        unsafe { super::backend::each_row(pg_sys::DatabaseRelationId, look) };
        Ok(found)
    })
}
