//! Which login and which program write: columns that no application can set.

use std::cell::RefCell;
use std::rc::Rc;

use crate::glue::backend;
use crate::glue::identity::{self, Roles};
use crate::glue::value::Value;
use crate::glue::varlena::Kept;

/// The columns of a session as it is now.
pub struct Session {
    roles: Roles,
    columns: [Option<Kept>; 2],
}

thread_local! {
    static SESSION: RefCell<Option<Rc<Session>>> = const { RefCell::new(None) };
}

/// The session as it is now.
pub fn current() -> Rc<Session> {
    let roles = identity::roles();
    let known = backend::with_application_name(|name| {
        let is_it = |s: &&Rc<Session>| s.roles == roles && name == s.application();
        SESSION.with_borrow(|session| session.as_ref().filter(is_it).cloned())
    });
    known.unwrap_or_else(|| {
        let session = Rc::new(Session::new(roles));
        SESSION.set(Some(session.clone()));
        session
    })
}

impl Session {
    fn new(roles: Roles) -> Self {
        let application = backend::with_application_name(|name| {
            (!name.is_empty()).then(|| Kept::text(&String::from_utf8_lossy(name)))
        });
        let columns = [Some(Kept::text(&identity::database_user(roles))), application];
        Session { roles, columns }
    }

    fn application(&self) -> &[u8] {
        self.columns[1].as_ref().map_or(b"", Kept::bytes)
    }

    /// database_user, application_name.
    pub fn columns(&self) -> impl Iterator<Item = Option<Value<'_>>> {
        self.columns.iter().map(|column| column.as_ref().map(Kept::value))
    }
}

/// Forgets the names: a role may have been renamed.
pub fn forget() {
    SESSION.set(None);
}
