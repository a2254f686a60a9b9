//! What entries are wanted: conditions that must all hold, and their postings in a partition.

use audit_log_model::list_request::ListRequest;
use audit_log_model::posting::{Intersection, Posting, Stream, Union};

use super::filter::{Filter, OCCURRED_AT, TARGETS};
use super::looked_up::LookedUp;
use super::page::Scope;
use super::related::Related;
use super::tables::Table;
use super::vocabulary;
use crate::glue::index_stream::{IndexStream, Wanted};
use crate::glue::partition::{Is, Partition};
use crate::glue::places::Places;
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

    /// Where the rows are that each filter lets through by their own columns; None of one that cannot be looked up there.
    pub fn places<'a>(&self, place: &Place<'a>) -> Vec<Option<Places<'a>>> {
        let finds_related = || place.related.iter().all(|targets| targets.has_stream(Table::RELATED_ID));
        let by_place = place.partition.finds(TARGETS);
        let is_looked_up = |filter: &Filter| by_place || filter.related().is_empty() || finds_related();
        let all: Vec<Option<Vec<Is>>> = self
            .0
            .iter()
            .map(|filter| {
                let mut values = values_of(filter)?;
                if by_place {
                    values.extend(filter.related().iter().map(|id| (TARGETS, id.as_str())));
                }
                (values.len() <= MOST_LOOKED_UP && is_looked_up(filter)).then_some(values)
            })
            .collect();
        let lists: Vec<Vec<Is>> = all.iter().flatten().cloned().collect();
        let mut found = place.partition.places(&lists).into_iter();
        all.iter().map(|values| values.as_ref().and_then(|_| found.next().flatten())).collect()
    }

    /// How many rows each filter lets through, about, of those that can be looked up.
    pub fn about(&self, places: &[Option<Places>], place: &Place) -> Vec<Option<f64>> {
        let each = self.0.iter().zip(places);
        each.map(|(filter, places)| Some(places.as_ref()?.about() + Related::about(place, filter.related())?))
            .collect()
    }

    /// The postings of rows that some of the filters, which can be looked up there, may let through.
    pub fn look_up<'a>(
        &'a self,
        chosen: &[usize],
        found: &'a [Option<Places<'a>>],
        place: &Place<'a>,
        steps: u64,
    ) -> Option<Postings<'a>> {
        let organizations = self.0.iter().find_map(Filter::organizations);
        // Of those that other targets match as well one is taken: it finds all that all of them let through.
        let mut related = None;
        let mut others: Vec<&Places> = Vec::new();
        for i in chosen {
            let (filter, places) = (self.0.get(*i)?, found.get(*i)?.as_ref()?);
            let streams = Related::streams(place, filter.related(), organizations)?;
            match (streams.is_empty(), &related) {
                (true, _) => others.push(places),
                (false, None) => related = Some((places, streams)),
                (false, Some(_)) => {}
            }
        }
        let Some((places, streams)) = related else {
            return Some(Box::new(LookedUp::of(place, others, steps)?));
        };
        let mut by_other_targets: Postings<'a> = Box::new(Union::of(streams));
        if !others.is_empty() {
            let others: Postings<'a> = Box::new(LookedUp::of(place, others.clone(), steps)?);
            by_other_targets = Box::new(Intersection::of(vec![others, by_other_targets]));
        }
        others.push(places);
        let own: Postings<'a> = Box::new(LookedUp::of(place, others, steps)?);
        Some(Box::new(Union::of(vec![own, by_other_targets])))
    }
}

/// The columns and values of which a row must have one.
fn values_of(filter: &Filter) -> Option<Vec<Is<'_>>> {
    let look_ups = filter.look_ups()?.into_iter();
    Some(
        look_ups
            .flat_map(|(column, values)| values.iter().map(move |value| (column, value.as_str())))
            .collect(),
    )
}

/// Where and from when postings are read.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub partition: &'a Partition,
    /// The partitions of the other targets, of the same time.
    pub related: &'a [Partition],
    /// PostgreSQL's microseconds, `end` excluded.
    pub start: i64,
    pub end: i64,
    pub from: Posting,
    /// Entries a microsecond, about.
    pub density: f64,
}

impl<'a> Place<'a> {
    /// All postings.
    pub fn all(&self) -> Option<IndexStream<'a>> {
        let wanted =
            Wanted { value: None, start: self.start, end: self.end, from: self.from, has_event_id: false };
        self.partition.stream(OCCURRED_AT, &wanted)
    }

    /// The postings of another target in a partition of those.
    pub fn of_target(&self, targets: &'a Partition, id: &str) -> Option<IndexStream<'a>> {
        // Where its own rows are says nothing of the entries' places.
        let from = Posting::newest_at(self.from.at);
        let wanted = Wanted { value: Some(id), start: self.start, end: self.end, from, has_event_id: true };
        targets.stream(Table::RELATED_ID, &wanted)
    }
}
