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

/// The memory that was current when this was asked for.
pub struct Current(pub(super) pg_sys::MemoryContext);

impl Current {
    pub fn memory() -> Self {
        // SAFETY: a plain variable.
        Current(unsafe { pg_sys::CurrentMemoryContext })
    }
}
