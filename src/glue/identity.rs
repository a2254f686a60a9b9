//! Who is calling, and acting as the extension for a moment.

use std::ffi::CStr;

use audit_log_model::valid_text;
use pgrx::pg_sys;

use super::past_pgrx;

/// Runs what follows as the bootstrap superuser, as foreign-key triggers run as the table's owner;
/// the caller's identity comes back when this is dropped, or with the (sub)transaction's abort.
pub struct AsExtension {
    user: pg_sys::Oid,
    context: i32,
}

impl AsExtension {
    pub fn begin() -> Self {
        let mut user = pg_sys::InvalidOid;
        let mut context = 0;
        // SAFETY: both are out parameters; the role always exists.
        unsafe {
            pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
            pg_sys::SetUserIdAndSecContext(
                pg_sys::Oid::from(pg_sys::BOOTSTRAP_SUPERUSERID),
                context | pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32 | pg_sys::SECURITY_NOFORCE_RLS as i32,
            );
        }
        AsExtension { user, context }
    }
}

impl Drop for AsExtension {
    fn drop(&mut self) {
        // SAFETY: these are the values that were in force.
        unsafe { pg_sys::SetUserIdAndSecContext(self.user, self.context) };
    }
}

fn role_name(role: pg_sys::Oid) -> Option<String> {
    // SAFETY: with missing_ok the call returns NULL or a palloc'd string.
    unsafe {
        let name = pg_sys::GetUserNameFromId(role, true);
        // It may be of a database in another encoding.
        (!name.is_null()).then(|| valid_text::clean(CStr::from_ptr(name).to_bytes()).into_owned())
    }
}

/// `current_user` at the call.
pub fn current_user() -> String {
    // SAFETY: plain call.
    role_name(unsafe { pg_sys::GetUserId() }).unwrap_or_default()
}

/// The login, and the role in force outside any SECURITY DEFINER function.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    session: pg_sys::Oid,
    outer: pg_sys::Oid,
}

pub fn roles() -> Roles {
    // SAFETY: plain calls.
    unsafe { Roles { session: past_pgrx::GetSessionUserId(), outer: past_pgrx::GetOuterUserId() } }
}

/// The login, and `/role` behind it where SET ROLE put another one in force.
pub fn database_user(Roles { session, outer }: Roles) -> String {
    let login = role_name(session).unwrap_or_else(|| u32::from(session).to_string());
    // A name that holds the separator is quoted, so that it cannot pass for two.
    let plain = |name: String| match name.contains('/') {
        true => pgrx::spi::quote_identifier(name),
        false => name,
    };
    match role_name(outer) {
        Some(role) if outer != session => format!("{}/{}", plain(login), plain(role)),
        _ => plain(login),
    }
}

/// Whether the caller has the rights of a role.
pub fn caller_has_role(role: &CStr) -> bool {
    // SAFETY: plain calls with a terminated string.
    unsafe {
        let role = pg_sys::get_role_oid(role.as_ptr(), true);
        role != pg_sys::InvalidOid && pg_sys::has_privs_of_role(pg_sys::GetUserId(), role)
    }
}
