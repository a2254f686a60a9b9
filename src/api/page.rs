//! `page`: the people's page, with labels, a summary of each entry, and how many there are.

use std::cell::RefCell;
use std::collections::HashMap;

use audit_log_model::needle::Needle;
use audit_log_model::page_request::{PageRequest, Summary};
use audit_log_model::{window, AuditError};

use super::list::scope;
use crate::glue::jsonb::raw_size;
use crate::glue::jsonb_read;
use crate::glue::memory::{with_current, Arena};
use crate::glue::srf::Output;
use crate::glue::value;
use crate::glue::varlena::text_of;
use crate::store::criteria::Criteria;
use crate::store::entry::{self, Columns};
use crate::store::filter::Filter;
use crate::store::reader::Reading;
use crate::store::{names, totals, vocabulary};

/// Answers a call; bounds are PostgreSQL's microseconds, None for all time.
pub fn page(
    request: PageRequest,
    start: Option<i64>,
    end: Option<i64>,
    output: &mut Output,
) -> Result<(), AuditError> {
    let request = request.checked()?;
    let scope = scope(request.organization.as_deref())?;
    let (start, end) = (start.unwrap_or(i64::MIN), end.unwrap_or(i64::MAX));
    if start >= end {
        return Err(window::empty());
    }
    let mut criteria = Criteria::within(&scope);
    let mut categories = None;
    if request.tab.is_some() || request.action.is_some() {
        let of_page = vocabulary::of_page(request.tab.as_deref(), request.action.as_deref())?;
        criteria.add(Filter::TypesOrCategories {
            types: Vec::new(),
            categories: of_page.clone(),
            their_categories: Vec::new(),
        });
        categories = Some(of_page);
    }
    let mut counted_by_day = true;
    let mut add = |filter| {
        criteria.add(filter);
        counted_by_day = false;
    };
    if let Some(is) = request.actor.clone() {
        let ids = names::actors_named(&is)?;
        add(Filter::Actor { is, ids });
    }
    if let Some(is) = request.candidate.clone() {
        let ids = names::candidates_named(&is)?;
        add(Filter::Candidate { is, ids });
    }
    if let Some(text) = &request.search {
        add(Filter::Search { needle: Needle::new(text), found: names::containing(text)? });
    }
    let reading = Reading { criteria: &criteria, start, end, after: None };
    let total = match counted_by_day {
        true => totals::by_day(&scope, start, end, categories)?,
        false => reading.count()? as i64,
    };
    let skipped = request.skipped();
    if skipped >= total {
        return Ok(());
    }
    let entries = reading.read(skipped as usize, request.size as usize)?;
    let labels = Labels::read();
    let numbers = [total, skipped + 1, skipped + entries.len() as i64].map(value::Value::from).map(Some);
    entries.iter().try_for_each(|one| {
        output.put_made(|row| {
            let columns = entry::columns(&one.row, row.memory);
            row.add(columns);
            row.add(labels.of(&columns, row.memory)?);
            row.add(numbers);
            Ok(())
        })
    })
}

const CATEGORY: usize = entry::place("category");
const OPERATION: usize = entry::place("operation");
const TARGET_TYPE: usize = entry::place("target_type");
const TARGET_ID: usize = entry::place("target_id");
const TARGET_NAME: usize = entry::place("target_name");
const CHANGES: usize = entry::place("changes");
/// By what an actor is called: the first that is there.
const ACTOR: [usize; 3] = [entry::place("actor_name"), entry::place("actor_id"), entry::place("actor_type")];
const EFFECTIVE_ACTOR: [usize; 3] = [
    entry::place("effective_actor_name"),
    entry::place("effective_actor_id"),
    entry::place("effective_actor_type"),
];

/// What people see instead of codes.
struct Labels {
    /// Label and colour of each category.
    categories: HashMap<String, (String, String)>,
    types: HashMap<String, String>,
}

/// Changes of more bytes are not put into a summary.
const MOST_SUMMED_UP: usize = 65_536;

impl Labels {
    fn read() -> Self {
        let categories = vocabulary::categories().into_iter();
        let types = vocabulary::target_types().into_iter();
        Labels {
            categories: categories
                .map(|[category, _, label, _, color, _]| (category, (label, color)))
                .collect(),
            types: types.map(|[code, label]| (code, label)).collect(),
        }
    }

    /// label, color, target_label and summary of an entry.
    fn of<'a>(
        &self,
        entry: &Columns,
        memory: &'a Arena,
    ) -> Result<[Option<value::Value<'a>>; 4], AuditError> {
        let text = |column| entry::text(entry, column);
        let category = text(CATEGORY).unwrap_or_default();
        let (label, color) = match self.categories.get(&category) {
            Some((label, color)) => (label.as_str(), Some(color.as_str()).filter(|c| !c.is_empty())),
            None => (category.as_str(), None),
        };
        let kind = text(TARGET_TYPE).unwrap_or_default();
        let kind = self.types.get(&kind).unwrap_or(&kind);
        let (id, name) = (text(TARGET_ID), text(TARGET_NAME));
        let target_label = match &id {
            Some(id) => format!("{kind} · {id}"),
            None => kind.clone(),
        };
        let who = |columns: [usize; 3]| columns.into_iter().find_map(text).unwrap_or_default();
        let (actor, effective) = (who(ACTOR), who(EFFECTIVE_ACTOR));
        let summary = Summary {
            actor: &actor,
            on_behalf_of: Some(effective.as_str()).filter(|other| *other != actor),
            label,
            target_type: kind,
            target: name.as_deref().or(id.as_deref()),
            changes: &changes(entry)?,
        };
        let put = |text: &str| Some(text_of(text, memory));
        Ok([put(label), color.and_then(put), put(&target_label), put(&summary.line())])
    }
}

/// The changed columns of an update.
fn changes(entry: &Columns) -> Result<Vec<(String, String, String)>, AuditError> {
    let changes = entry[CHANGES];
    let is_update = entry::text(entry, OPERATION).is_some_and(|operation| operation == "update");
    let Some(changes) = changes.filter(|_| is_update && raw_size(changes) <= MOST_SUMMED_UP) else {
        return Ok(Vec::new());
    };
    with_current(|memory| jsonb_read::changed_columns(changes, memory))
}

thread_local! {
    /// The text searched for last: a query asks of each row with the same one.
    static SOUGHT: RefCell<Option<(Vec<u8>, Needle)>> = const { RefCell::new(None) };
}

/// Whether a text contains another, upper and lower case being the same.
pub fn contains(text: &[u8], sought: &[u8]) -> bool {
    SOUGHT.with_borrow_mut(|known| {
        let needle = match known.take().filter(|(last, _)| last == sought) {
            Some(same) => known.insert(same),
            None => known.insert((sought.to_vec(), Needle::new(&String::from_utf8_lossy(sought)))),
        };
        needle.1.is_in(&String::from_utf8_lossy(text))
    })
}
