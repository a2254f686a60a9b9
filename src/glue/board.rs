//! What the launcher, its workers and all sessions tell each other, in shared memory; only where the
//! library is preloaded.

use std::cell::Cell;
use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicI64, AtomicU32,
    Ordering::{Relaxed, SeqCst},
};

use pgrx::{pg_guard, pg_shmem_init, pg_sys, PGRXSharedMemory, PgAtomic};

/// More databases than this are not served.
pub const PLACES: usize = 256;

/// A database that is served.
#[derive(Default)]
pub struct Place {
    /// Its oid; 0: nobody's place.
    pub database: AtomicU32,
    /// When its worker is to run next, Unix microseconds.
    pub next_run: AtomicI64,
    /// Somebody asked for it to run at once.
    pub asked: AtomicBool,
    /// Entries were committed since a worker began.
    pub entries_came: AtomicBool,
    /// Bytes of keys added to the pending lists of its indexes since they were last merged.
    pending: AtomicU32,
    /// They are so many that they are to be merged.
    pub merge: AtomicBool,
    /// The worker that is at work in it; 0: none.
    pub worker: AtomicI32,
    /// That one has run a step of a task.
    pub has_worked: AtomicBool,
    /// Until when it is to be left alone, Unix microseconds.
    pub paused_until: AtomicI64,
}

impl Place {
    /// Has the worker that is at work in it end.
    pub fn end_worker(&self) {
        let worker = self.worker.load(SeqCst);
        if worker != 0 {
            // SAFETY: a plain call; PostgreSQL's workers end by this signal.
            unsafe { libc::kill(worker, libc::SIGTERM) };
        }
    }
}

/// Until when a database is to be left alone that may have no place yet.
#[derive(Default)]
struct Pause {
    database: AtomicU32,
    until: AtomicI64,
}

/// The latest of them.
const PAUSES: usize = 32;

struct Board {
    launcher: AtomicI32,
    places: [Place; PLACES],
    pauses: [Pause; PAUSES],
    next_pause: AtomicU32,
}

// SAFETY: atomics only.
unsafe impl PGRXSharedMemory for Board {}

impl Default for Board {
    fn default() -> Self {
        Board {
            launcher: AtomicI32::new(0),
            places: std::array::from_fn(|_| Place::default()),
            pauses: std::array::from_fn(|_| Pause::default()),
            next_pause: AtomicU32::new(0),
        }
    }
}

// SAFETY: the name is this extension's.
static BOARD: PgAtomic<Board> = unsafe { PgAtomic::new(c"audit_log_board") };
static IS_THERE: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Where this session's database has its place.
    static MINE: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Asks for the memory, once, while the server starts.
#[allow(unexpected_cfgs)] // The macro asks for features of pgrx's own.
pub fn request() {
    pg_shmem_init!(BOARD);
    IS_THERE.store(true, Relaxed);
}

fn board() -> Option<&'static Board> {
    IS_THERE.load(Relaxed).then(|| BOARD.get())
}

/// All places; none where the library is not preloaded.
pub fn places() -> &'static [Place] {
    board().map_or(&[], |board| &board.places)
}

/// The place of a database.
fn of(database: u32) -> Option<&'static Place> {
    places().iter().find(|place| place.database.load(SeqCst) == database)
}

/// Makes this process the launcher.
pub fn i_am_launcher() {
    if let Some(board) = board() {
        // SAFETY: a plain variable.
        board.launcher.store(unsafe { pg_sys::MyProcPid }, Relaxed);
    }
}

/// Has the launcher look what there is to do.
pub fn wake_launcher() {
    let launcher = board().map_or(0, |board| board.launcher.load(Relaxed));
    if launcher != 0 {
        // SAFETY: a plain call; the signal sets the process's latch, and nothing else.
        unsafe { libc::kill(launcher, libc::SIGUSR1) };
    }
}

/// The place of this session's database, where it is served.
fn mine() -> Option<&'static Place> {
    let places = places();
    if places.is_empty() {
        return None;
    }
    let database = super::backend::database();
    let known = MINE.get().and_then(|mine| places.get(mine));
    known.filter(|place| place.database.load(Relaxed) == database).or_else(|| {
        let found = places.iter().position(|place| place.database.load(Relaxed) == database)?;
        MINE.set(Some(found));
        places.get(found)
    })
}

/// Entries of this session's database were committed.
pub fn entries_came() {
    if let Some(place) = mine() {
        // Written only where it changes: many sessions share it.
        if !place.entries_came.load(Relaxed) {
            place.entries_came.store(true, Relaxed);
        }
    }
}

/// Whether a worker merges the pending lists of this session's database.
pub fn merges() -> bool {
    mine().is_some()
}

/// So many bytes of keys were added to a pending list of this session's database.
pub fn keys_were_added(bytes: u32) {
    /// Look-ups read all of a list: half a millisecond, about, at this size.
    const MERGE_AT: u32 = 256 * 1024;
    let Some(place) = mine() else { return };
    let before = place.pending.fetch_add(bytes, Relaxed);
    if before < MERGE_AT && before.saturating_add(bytes) >= MERGE_AT && !place.merge.swap(true, Relaxed) {
        wake_launcher();
    }
}

impl Place {
    /// Whether pending lists are to be merged; who asks begins to.
    pub fn begin_to_merge(&self) -> bool {
        let is_wanted = self.merge.swap(false, Relaxed);
        if is_wanted {
            self.pending.store(0, Relaxed);
        }
        is_wanted
    }
}

/// Has a worker look at this session's database at once.
pub fn ask() {
    if let Some(place) = of(super::backend::database()) {
        place.asked.store(true, Relaxed);
    }
    wake_launcher();
}

/// Has the worker of a database end, and none begin for a while: somebody drops, renames or copies it.
pub fn keep_out(database: u32, until: i64) {
    let Some(board) = board() else { return };
    // First where the launcher looks once it has given a place.
    let pause = &board.pauses[board.next_pause.fetch_add(1, Relaxed) as usize % PAUSES];
    pause.until.store(until, SeqCst);
    pause.database.store(database, SeqCst);
    if let Some(place) = of(database) {
        place.paused_until.store(until, SeqCst);
        place.end_worker();
    }
}

/// Gives a place to a database.
pub fn give(place: &Place, database: u32, now: i64) {
    place.next_run.store(now, Relaxed);
    place.paused_until.store(0, Relaxed);
    // Whatever is there was written while nobody looked.
    place.entries_came.store(true, Relaxed);
    place.database.store(database, SeqCst);
    let pauses = board().map_or(&[][..], |board| &board.pauses);
    let of_it = pauses.iter().filter(|pause| pause.database.load(SeqCst) == database);
    let until = of_it.map(|pause| pause.until.load(SeqCst)).max().unwrap_or(0);
    place.paused_until.fetch_max(until, SeqCst);
}
