//! `list`: a page of entries as rows.

use audit_log_model::list_request::{check_ids, check_items, check_limit, ListRequest, Page};
use audit_log_model::AuditError;
use chrono::{DateTime, Utc};

use super::organizations::{bound_to_caller, caller_reads_all, refusal};
use crate::glue::backend;
use crate::glue::error::with_timeout_hint;
use crate::glue::srf::Output;
use crate::glue::varlena::text_of;
use crate::store::append;
use crate::store::newest::Entry;
use crate::store::page::{self, Scope};
use crate::store::{entry, organization, stamp, vocabulary};

/// The arguments of `list` as SQL gives them; instants in PostgreSQL's microseconds.
#[derive(Default)]
pub struct Arguments {
    pub cursor: Option<String>,
    pub limit: Option<i32>,
    pub start: Option<i64>,
    pub end: Option<i64>,
    pub actor_ids: Vec<Option<String>>,
    pub target_ids: Vec<Option<String>>,
    pub target_types: Vec<Option<String>>,
    pub categories: Vec<Option<String>>,
    pub organization: Option<String>,
}

impl Arguments {
    /// The request they are.
    pub fn check(self) -> Result<ListRequest, AuditError> {
        Ok(ListRequest {
            cursor: self.cursor,
            limit: check_limit(self.limit.map(i64::from))?,
            start: self.start.map(|t| finite("start_date", t)).transpose()?,
            end: self.end.map(|t| finite("end_date", t)).transpose()?,
            actor_ids: check_ids("actor_ids", self.actor_ids)?,
            target_ids: check_ids("target_ids", self.target_ids)?,
            target_types: check_items("target_types", self.target_types)?,
            categories: check_items("categories", self.categories)?,
            organization: self.organization,
        })
    }
}

/// An instant that an argument gives, PostgreSQL's microseconds.
pub fn finite(field: &str, pg_micros: i64) -> Result<DateTime<Utc>, AuditError> {
    let finite = (pg_micros != i64::MIN && pg_micros != i64::MAX).then(|| backend::unix_micros(pg_micros));
    finite.and_then(DateTime::from_timestamp_micros).ok_or_else(|| {
        AuditError::invalid(
            field,
            format!("{field} is not a finite instant"),
            "Leave the bound out, or give a date.",
        )
    })
}

pub fn list(arguments: Arguments, output: &mut Output) -> Result<(), AuditError> {
    let request = arguments.check()?;
    let (scope, page) = prepare(&request)?;
    let (found, next) = read(&request, &page, &scope)?;
    found.iter().try_for_each(|one| {
        output.put_made(|row| {
            row.add(entry::columns(&one.row, row.memory));
            row.add([next.as_deref().map(|next| text_of(next, row.memory))]);
            Ok(())
        })
    })
}

/// Reads a page; where it takes too long, says what would narrow it.
pub fn read(
    request: &ListRequest,
    page: &Page,
    scope: &Scope,
) -> Result<(Vec<Entry>, Option<String>), AuditError> {
    let narrower = || {
        let filters = [
            ("organization", request.organization.is_none()),
            ("actor_ids", request.actor_ids.is_empty()),
            ("target_ids", request.target_ids.is_empty()),
            ("categories", request.categories.is_empty() && request.target_types.is_empty()),
        ];
        let unused: Vec<&str> = filters.iter().filter(|(_, unused)| *unused).map(|(name, _)| *name).collect();
        let or = if unused.is_empty() { String::new() } else { format!(", or add {}", unused.join(" or ")) };
        format!("Few of the entries that were looked at match all filters. Give a later start_date{or}.")
    };
    with_timeout_hint(narrower, || page::read(request, page, scope))
}

/// What a request may show, checked against the vocabulary and the caller's rights.
pub fn allowed(request: &ListRequest) -> Result<Scope, AuditError> {
    let scope = scope(request.organization.as_deref())?;
    vocabulary::check("target_types", &request.target_types)?;
    vocabulary::check("categories", &request.categories)?;
    Ok(scope)
}

/// The scope of a request, and where its page begins.
pub fn prepare(request: &ListRequest) -> Result<(Scope, Page), AuditError> {
    let scope = allowed(request)?;
    // The clock's own microsecond belongs to the window: what the caller just wrote shows.
    let now = DateTime::from_timestamp_micros(stamp::latest_instant() + 1);
    let page = request.page(now.unwrap_or_else(Utc::now))?;
    Ok((scope, page))
}

/// The organizations the caller may read, of those asked for.
pub fn scope(organization: Option<&str>) -> Result<Scope, AuditError> {
    let reads_all = caller_reads_all();
    let bound = if reads_all { Vec::new() } else { bound_to_caller()? };
    if !reads_all && bound.is_empty() {
        return Err(refusal(None));
    }
    if let Some(named) = organization {
        if !reads_all && !bound.iter().any(|b| b == named) {
            return Err(refusal(Some(named)));
        }
        return match organization::state(named) {
            Some(true) => Ok(Scope::Only(vec![named.to_string()])),
            _ => Err(append::not_enabled(named)),
        };
    }
    let disabled = organization::disabled();
    if reads_all {
        return Ok(Scope::AllBut(disabled));
    }
    let first = bound.first().cloned().unwrap_or_default();
    let enabled: Vec<String> = bound.into_iter().filter(|b| !disabled.contains(b)).collect();
    match enabled.is_empty() {
        true => Err(append::not_enabled(&first)),
        false => Ok(Scope::Only(enabled)),
    }
}
