//! What entries a page wants, checked at a row and read from a partition's indexes.

use audit_log_model::list_request::ListRequest;
use audit_log_model::posting::{Posting, Stream, Union};
use pgrx::IntoDatum;

use super::page::Scope;
use super::related::Related;
use super::tables::{column, Table};
use super::vocabulary;
use crate::glue::index_stream::{IndexStream, Wanted};
use crate::glue::jsonb_read;
use crate::glue::partition::{Partition, View};

pub const OCCURRED_AT: usize = column("occurred_at");
pub const ID: usize = column("id");
const ORGANIZATION: usize = column("organization_id");
const CATEGORY: usize = column("category");
const TARGET_TYPE: usize = column("target_type");
const TARGET_ID: usize = column("target_id");
const ACTOR_ID: usize = column("actor_id");
const EFFECTIVE_ACTOR_ID: usize = column("effective_actor_id");
const TARGETS: usize = column("targets");
const OTHER_TYPE: usize = column("other_type");

/// Values to look for, in ascending order.
type Values = Vec<String>;

/// A filter of more values is checked at the rows: looking each up would cost more.
const MOST_LOOKED_UP: usize = 500;

/// All must hold; an empty list of values filters nothing.
pub struct Criteria {
    /// None for all but the disabled ones.
    organizations: Option<Values>,
    disabled: Values,
    actor_ids: Values,
    target_ids: Values,
    target_types: Values,
    categories: Values,
    /// The categories that belong to `target_types`.
    their_categories: Values,
}

/// A filter's postings.
pub type Postings<'a> = Box<dyn Stream + 'a>;

fn has(values: &Values, value: Option<&[u8]>) -> bool {
    value.is_some_and(|value| values.binary_search_by(|one| one.as_bytes().cmp(value)).is_ok())
}

impl Criteria {
    pub fn of(request: &ListRequest, scope: &Scope) -> Self {
        let sorted = |ids: &[String]| {
            let mut ids = ids.to_vec();
            ids.sort_unstable();
            ids
        };
        let (organizations, disabled) = match scope {
            Scope::Only(ids) => (Some(sorted(ids)), Vec::new()),
            Scope::AllBut(ids) => (None, sorted(ids)),
        };
        Criteria {
            organizations,
            disabled,
            actor_ids: request.actor_ids.clone(),
            target_ids: request.target_ids.clone(),
            target_types: request.target_types.clone(),
            categories: request.categories.clone(),
            their_categories: vocabulary::categories_of(&request.target_types),
        }
    }

    pub fn asks_for_targets(&self) -> bool {
        !self.target_ids.is_empty()
    }

    /// The filters as a query takes them: the mark of its lines, and the values where there are any.
    pub fn filters(&self) -> [(&'static str, Option<Vec<String>>); 6] {
        let given = |values: &Values| (!values.is_empty()).then(|| values.clone());
        [
            ("organizations", self.organizations.clone()),
            ("disabled", given(&self.disabled)),
            ("actor_ids", given(&self.actor_ids)),
            ("target_ids", given(&self.target_ids)),
            ("types_or_categories", given(&self.target_types)),
            ("types_or_categories", given(&self.categories)),
        ]
    }

    /// Whether a row is wanted.
    pub fn matches(&self, row: &View) -> bool {
        let organization = row.text(ORGANIZATION);
        self.organizations.as_ref().is_none_or(|only| has(only, organization))
            && !has(&self.disabled, organization)
            && (self.target_types.is_empty() && self.categories.is_empty()
                || has(&self.categories, row.text(CATEGORY))
                || has(&self.target_types, row.text(TARGET_TYPE)))
            && (self.actor_ids.is_empty()
                || has(&self.actor_ids, row.text(ACTOR_ID))
                || has(&self.actor_ids, row.text(EFFECTIVE_ACTOR_ID)))
            && (self.target_ids.is_empty()
                || has(&self.target_ids, row.text(TARGET_ID))
                || row.datum(TARGETS).is_some_and(|t| jsonb_read::names_any(t, &self.target_ids)))
    }

    /// The postings of each filter that can be looked up; None where an index for one is missing.
    pub fn streams<'a>(&self, place: &Place<'a>) -> Option<Vec<Postings<'a>>> {
        let mut streams = Vec::new();
        let mut add = |parts: Vec<(usize, &Values)>, related: bool| -> Option<()> {
            let count: usize = parts.iter().map(|(_, values)| values.len()).sum();
            if count == 0 || count > MOST_LOOKED_UP {
                return Some(());
            }
            let mut union: Vec<Postings<'a>> = Vec::new();
            for (column, values) in &parts {
                for value in *values {
                    union.push(Box::new(place.stream(*column, value)?));
                }
            }
            if related {
                union.extend(Related::streams(place, parts.first()?.1)?);
            }
            streams.push(match union.len() {
                1 => union.pop()?,
                _ => Box::new(Union::of(union)),
            });
            Some(())
        };
        if let Some(only) = &self.organizations {
            add(vec![(ORGANIZATION, only)], false)?;
        }
        add(vec![(ACTOR_ID, &self.actor_ids), (EFFECTIVE_ACTOR_ID, &self.actor_ids)], false)?;
        add(vec![(TARGET_ID, &self.target_ids)], true)?;
        let by_type = [
            (CATEGORY, &self.categories),
            (CATEGORY, &self.their_categories),
            (OTHER_TYPE, &self.target_types),
        ];
        add(by_type.to_vec(), false)?;
        Some(streams)
    }
}

/// Where and from when postings are read.
pub struct Place<'a> {
    pub partition: &'a Partition,
    /// The partitions of the other targets, of the same time.
    pub related: &'a [Partition],
    /// PostgreSQL's microseconds, `end` excluded.
    pub start: i64,
    pub end: i64,
    pub from: Posting,
}

impl<'a> Place<'a> {
    fn wanted(&self, value: Option<&str>, has_event_id: bool) -> Wanted {
        let value = value.and_then(IntoDatum::into_datum);
        Wanted { value, start: self.start, end: self.end, from: self.from, has_event_id }
    }

    /// The postings of a value.
    fn stream(&self, column: usize, value: &str) -> Option<IndexStream<'a>> {
        self.partition.stream(column, &self.wanted(Some(value), false))
    }

    /// All postings.
    pub fn all(&self) -> Option<IndexStream<'a>> {
        self.partition.stream(OCCURRED_AT, &self.wanted(None, false))
    }

    /// The postings of another target in a partition of those.
    pub fn of_target(&self, targets: &'a Partition, id: &str) -> Option<IndexStream<'a>> {
        targets.stream(Table::RELATED_ID, &self.wanted(Some(id), true))
    }
}
