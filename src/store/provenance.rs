//! Who, for whom, and from where: the columns that entries of one context share.

use audit_log_model::context::{Actor, Context};
use audit_log_model::stored_id::stored_id;
use audit_log_model::AuditError;

use crate::glue::value::Value;
use crate::glue::varlena::Kept;

/// An actor's columns: type, id, name, email.
type ActorColumns = [Option<Kept>; 4];

/// The columns that say who acted and from where, ready to be stored.
pub struct Provenance {
    actor: ActorColumns,
    effective: ActorColumns,
    remote_addr: Option<Kept>,
    access_route: Option<Kept>,
    user_agent: Option<Kept>,
    request_id: Option<Kept>,
}

fn columns(actor: Option<&Actor>) -> ActorColumns {
    let text = |text: Option<&str>| text.map(Kept::text);
    match actor {
        None => [None, None, None, None],
        Some(a) => {
            let id = a.id.as_deref().map(stored_id);
            [text(Some(&a.kind)), text(id.as_deref()), text(a.name.as_deref()), text(a.email.as_deref())]
        }
    }
}

impl Provenance {
    /// Nobody named is the system; an effective actor that is the actor is nobody else.
    pub fn of(context: &Context) -> Result<Self, AuditError> {
        let system = Actor::system();
        let actor = context.actor.as_ref().unwrap_or(&system);
        let effective = context.effective_actor.as_ref().filter(|e| *e != actor);
        Ok(Provenance {
            actor: columns(Some(actor)),
            effective: columns(effective),
            remote_addr: context.remote_addr.as_deref().map(Kept::inet).transpose()?,
            access_route: context.access_route.as_deref().map(Kept::inets).transpose()?,
            user_agent: context.user_agent.as_deref().map(Kept::text),
            request_id: context.request_id.as_deref().map(Kept::text),
        })
    }

    /// The eight columns of actor and effective actor, in the table's order.
    pub fn actors(&self) -> impl Iterator<Item = Option<Value<'_>>> {
        self.actor.iter().chain(&self.effective).map(|c| c.as_ref().map(Kept::value))
    }

    /// remote_addr, access_route, user_agent, request_id.
    pub fn request(&self) -> impl Iterator<Item = Option<Value<'_>>> {
        let all = [&self.remote_addr, &self.access_route, &self.user_agent, &self.request_id];
        all.into_iter().map(|c| c.as_ref().map(Kept::value))
    }
}
