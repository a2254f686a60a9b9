//! Which login and which program write: columns that no application can set.

use std::cell::RefCell;

use pgrx::pg_sys;

use crate::glue::backend;
use crate::glue::identity::{self, Roles};
use crate::glue::varlena::Kept;

struct Session {
    roles: Roles,
    application: Option<String>,
    columns: [Option<Kept>; 2],
}

thread_local! {
    static SESSION: RefCell<Option<Session>> = const { RefCell::new(None) };
}

/// Gives database_user and application_name as they are now.
pub fn columns<T>(run: impl FnOnce([Option<pg_sys::Datum>; 2]) -> T) -> T {
    SESSION.with_borrow_mut(|session| {
        let roles = identity::roles();
        let current = session
            .take()
            .filter(|s| s.roles == roles && backend::application_name_is(s.application.as_deref()));
        let session = session.insert(current.unwrap_or_else(|| Session::new(roles)));
        run([&session.columns[0], &session.columns[1]].map(|c| c.as_ref().map(Kept::datum)))
    })
}

impl Session {
    fn new(roles: Roles) -> Self {
        let application = backend::application_name();
        let columns =
            [Some(Kept::text(&identity::database_user(roles))), application.as_deref().map(Kept::text)];
        Session { roles, application, columns }
    }
}

/// Forgets the names: a role may have been renamed.
pub fn forget() {
    SESSION.set(None);
}
