//! What entries are wanted: conditions that must all hold, and their postings in a partition.

use audit_log_model::list_request::ListRequest;
use audit_log_model::posting::{Posting, Stream, Union};

use super::filter::{Filter, OCCURRED_AT};
use super::page::Scope;
use super::related::Related;
use super::tables::Table;
use super::vocabulary;
use crate::glue::index_stream::{IndexStream, Wanted};
use crate::glue::partition::Partition;
use crate::glue::row::Fields;

/// A filter of more values is checked at the rows: looking each up would cost more.
const MOST_LOOKED_UP: usize = 500;

pub struct Criteria(Vec<Filter>);

/// A filter's postings.
pub type Postings<'a> = Box<dyn Stream + 'a>;

impl Criteria {
    /// Those of a scope.
    pub fn within(scope: &Scope) -> Self {
        let sorted = |ids: &[String]| {
            let mut ids = ids.to_vec();
            ids.sort_unstable();
            ids
        };
        Criteria(match scope {
            Scope::Only(ids) => vec![Filter::Organizations(sorted(ids))],
            Scope::AllBut(ids) if ids.is_empty() => Vec::new(),
            Scope::AllBut(ids) => vec![Filter::NotOrganizations(sorted(ids))],
        })
    }

    /// Those of a listing; an empty list of values filters nothing.
    pub fn of(request: &ListRequest, scope: &Scope) -> Self {
        let mut criteria = Criteria::within(scope);
        if !request.actor_ids.is_empty() {
            criteria.add(Filter::ActorIds(request.actor_ids.clone()));
        }
        if !request.target_ids.is_empty() {
            criteria.add(Filter::TargetIds(request.target_ids.clone()));
        }
        if !(request.target_types.is_empty() && request.categories.is_empty()) {
            criteria.add(Filter::TypesOrCategories {
                types: request.target_types.clone(),
                categories: request.categories.clone(),
                their_categories: vocabulary::categories_of(&request.target_types),
            });
        }
        criteria
    }

    pub fn add(&mut self, filter: Filter) {
        self.0.push(filter);
    }

    /// Whether other targets than the primary one are looked up.
    pub fn asks_for_related(&self) -> bool {
        self.0.iter().any(|filter| !filter.related().is_empty())
    }

    /// Whether a row is wanted.
    pub fn matches(&self, row: &impl Fields) -> bool {
        self.0.iter().all(|filter| filter.matches(row))
    }

    /// The postings of each filter that can be looked up; None where an index for one is missing.
    pub fn streams<'a>(&'a self, place: &Place<'a>) -> Option<Vec<Postings<'a>>> {
        let organizations = self.0.iter().find_map(Filter::organizations);
        let mut streams = Vec::new();
        for filter in &self.0 {
            let Some(look_ups) = filter.look_ups() else { continue };
            if look_ups.iter().map(|(_, values)| values.len()).sum::<usize>() > MOST_LOOKED_UP {
                continue;
            }
            let mut union: Vec<Postings<'a>> = Vec::new();
            for (column, values) in look_ups {
                for value in values {
                    union.push(Box::new(place.stream(column, value)?));
                }
            }
            union.extend(Related::streams(place, filter.related(), organizations)?);
            streams.push(match union.len() {
                1 => union.pop()?,
                _ => Box::new(Union::of(union)),
            });
        }
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
    fn wanted<'v>(&self, value: Option<&'v str>, has_event_id: bool) -> Wanted<'v> {
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
