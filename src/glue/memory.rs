//! Memory contexts: those of the session's own, and whatever is current.

use std::cell::RefCell;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::rc::Rc;

use pgrx::pg_sys;

/// A memory context that is neither emptied nor deleted while anybody refers to this.
pub struct Arena(pg_sys::MemoryContext);

impl Arena {
    /// Runs something whose allocations go here.
    pub(super) fn run<T>(&self, run: impl FnOnce() -> T) -> T {
        let _back = Switched::to(self.0);
        run()
    }

    /// Room in it that nobody else has.
    #[allow(clippy::mut_from_ref)]
    pub(super) fn room(&self, bytes: usize) -> &mut [MaybeUninit<u8>] {
        // SAFETY: the context lives, and gives as many bytes as it is asked for, or an error.
        unsafe {
            let room = pg_sys::MemoryContextAlloc(self.0, bytes.max(1));
            std::slice::from_raw_parts_mut(room.cast(), bytes)
        }
    }

    /// A copy of bytes.
    pub fn keep(&self, bytes: &[u8]) -> &[u8] {
        let copy = self.room(bytes.len()).as_mut_ptr().cast::<u8>();
        // SAFETY: the copy has the length that was asked for.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), copy, bytes.len());
            std::slice::from_raw_parts(copy, bytes.len())
        }
    }
}

/// Another context is current while it lives.
struct Switched(pg_sys::MemoryContext);

impl Switched {
    fn to(context: pg_sys::MemoryContext) -> Self {
        // SAFETY: the context lives: an arena is made of none but such.
        Switched(unsafe { pg_sys::MemoryContextSwitchTo(context) })
    }
}

impl Drop for Switched {
    fn drop(&mut self) {
        // SAFETY: it was current before, and nobody deletes a context in which something goes on.
        unsafe { pg_sys::MemoryContextSwitchTo(self.0) };
    }
}

/// Gives the memory that is current, which stays while something goes on in it.
pub fn with_current<T>(run: impl FnOnce(&Arena) -> T) -> T {
    // What runs here empties no context but those that it owns itself, and none of those is current outside of it.
    // SAFETY: a plain variable.
    run(&Arena(unsafe { pg_sys::CurrentMemoryContext }))
}

/// A context of the session's, made when it is first asked for.
pub struct Memory {
    name: &'static CStr,
    context: RefCell<Option<Rc<Owned>>>,
}

/// A context of this value's own.
pub(super) struct Owned(Arena);

impl Owned {
    pub(super) fn run<T>(&self, run: impl FnOnce() -> T) -> T {
        self.0.run(run)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: nobody else has it, and it is not current: whoever runs something in it refers to it.
        unsafe { pg_sys::MemoryContextDelete(self.0 .0) };
    }
}

impl Memory {
    pub const fn new(name: &'static CStr) -> Self {
        Memory { name, context: RefCell::new(None) }
    }

    /// The context, for whoever has something in it to keep it by.
    pub(super) fn owned(&self) -> Rc<Owned> {
        let made = || {
            // SAFETY: a child of the session's own context, which nobody deletes but its owner.
            let context = unsafe {
                pg_sys::AllocSetContextCreateInternal(
                    pg_sys::TopMemoryContext,
                    self.name.as_ptr(),
                    pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
                    pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
                    pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
                )
            };
            Rc::new(Owned(Arena(context)))
        };
        self.context.borrow_mut().get_or_insert_with(made).clone()
    }

    /// Frees what is in it; where somebody still has something there, once they have let go of it.
    pub fn reset(&self) {
        let mut context = self.context.borrow_mut();
        match context.as_mut().map(Rc::get_mut) {
            // SAFETY: nobody else has it.
            Some(Some(own)) => unsafe { pg_sys::MemoryContextReset(own.0 .0) },
            _ => *context = None,
        }
    }
}

/// Memory for what is needed at once.
pub struct Chunk(Arena);

impl Chunk {
    /// # Safety
    /// It is not used any more when its parent is gone.
    pub(super) unsafe fn child_of(parent: pg_sys::MemoryContext) -> Chunk {
        // SAFETY: by contract.
        Chunk(Arena(unsafe {
            pg_sys::AllocSetContextCreateInternal(
                parent,
                c"audit_log rows".as_ptr(),
                pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
                pg_sys::ALLOCSET_SMALL_INITSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
            )
        }))
    }

    /// Empties it and runs something in it, which takes nothing of it along.
    pub fn anew<T>(&mut self, run: impl FnOnce(&Arena) -> T) -> T {
        // SAFETY: this value's own memory, which nobody refers to.
        unsafe { pg_sys::MemoryContextReset(self.0 .0) };
        self.0.run(|| run(&self.0))
    }

    /// Frees it before its parent does; it is not used any more.
    ///
    /// # Safety
    /// Its parent is still there, and this is the last that is done with it.
    pub(super) unsafe fn delete(&mut self) {
        // SAFETY: by contract.
        unsafe { pg_sys::MemoryContextDelete(self.0 .0) };
    }
}
