//! Which login and which program write: columns that no application can set.

use std::cell::RefCell;
use std::rc::Rc;

use pgrx::pg_sys;

use crate::glue::backend;
use crate::glue::identity::{self, Roles};
use crate::glue::varlena::Kept;

/// The columns of a session as it is now.
pub struct Session {
    roles: Roles,
    columns: [Option<Kept>; 2],
}

thread_local! {
    static SESSION: RefCell<Option<Rc<Session>>> = const { RefCell::new(None) };
}

/// The session as it is now; what its datums point to lives as long as what is returned.
pub fn current() -> Rc<Session> {
    let roles = identity::roles();
    let is_it = |s: &&Rc<Session>| s.roles == roles && backend::application_name() == s.application();
    let known = SESSION.with_borrow(|session| session.as_ref().filter(is_it).cloned());
    known.unwrap_or_else(|| {
        let session = Rc::new(Session::new(roles));
        SESSION.set(Some(session.clone()));
        session
    })
}

impl Session {
    fn new(roles: Roles) -> Self {
        let application = backend::application_name();
        let columns = [
            Some(Kept::text(&identity::database_user(roles))),
            (!application.is_empty()).then(|| Kept::text(&String::from_utf8_lossy(application))),
        ];
        Session { roles, columns }
    }

    fn application(&self) -> &[u8] {
        self.columns[1].as_ref().map_or(b"", Kept::bytes)
    }

    /// database_user, application_name.
    pub fn columns(&self) -> impl Iterator<Item = Option<pg_sys::Datum>> + '_ {
        self.columns.iter().map(|column| column.as_ref().map(Kept::datum))
    }
}

/// Forgets the names: a role may have been renamed.
pub fn forget() {
    SESSION.set(None);
}
