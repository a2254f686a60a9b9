//! A memory context of the session's.

use std::cell::Cell;
use std::ffi::CStr;

use pgrx::pg_sys;

/// Made when it is first asked for.
pub struct Memory {
    name: &'static CStr,
    context: Cell<pg_sys::MemoryContext>,
}

impl Memory {
    pub const fn new(name: &'static CStr) -> Self {
        Memory { name, context: Cell::new(std::ptr::null_mut()) }
    }

    pub fn context(&self) -> pg_sys::MemoryContext {
        if self.context.get().is_null() {
            // SAFETY: a child of the session's own context, never deleted.
            self.context.set(unsafe {
                pg_sys::AllocSetContextCreateInternal(
                    pg_sys::TopMemoryContext,
                    self.name.as_ptr(),
                    pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
                    pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
                    pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
                )
            });
        }
        self.context.get()
    }

    /// Frees what is in it; nothing may point there any more.
    pub fn reset(&self) {
        if !self.context.get().is_null() {
            // SAFETY: the context is this value's own.
            unsafe { pg_sys::MemoryContextReset(self.context.get()) };
        }
    }
}

/// Memory for what is needed at once.
pub struct Chunk(pg_sys::MemoryContext);

impl Chunk {
    /// # Safety
    /// It is not used any more when its parent is gone.
    pub unsafe fn child_of(parent: pg_sys::MemoryContext) -> Chunk {
        // SAFETY: by contract.
        Chunk(unsafe {
            pg_sys::AllocSetContextCreateInternal(
                parent,
                c"audit_log rows".as_ptr(),
                pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
            )
        })
    }

    /// Empties it and runs something in it; nothing of it may be in use any more.
    pub fn anew<T>(&self, run: impl FnOnce() -> T) -> T {
        // SAFETY: this value's own memory.
        unsafe {
            pg_sys::MemoryContextReset(self.0);
            let old = pg_sys::MemoryContextSwitchTo(self.0);
            let result = run();
            pg_sys::MemoryContextSwitchTo(old);
            result
        }
    }
}

/// The memory that was current when this was asked for.
pub struct Current(pub(super) pg_sys::MemoryContext);

impl Current {
    pub fn memory() -> Self {
        // SAFETY: a plain variable.
        Current(unsafe { pg_sys::CurrentMemoryContext })
    }
}
