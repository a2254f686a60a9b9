//! One condition on entries: checked at a row, and looked up in a partition's indexes.

use audit_log_model::needle::Needle;
use audit_log_model::stored_id::stored_id;

use super::tables::column;
use crate::glue::jsonb_read::{self, Target};
use crate::glue::row::Fields;

pub const OCCURRED_AT: usize = column("occurred_at");
pub const ID: usize = column("id");
const ORGANIZATION: usize = column("organization_id");
const CATEGORY: usize = column("category");
const TARGET_TYPE: usize = column("target_type");
const TARGET_ID: usize = column("target_id");
const TARGET_NAME: usize = column("target_name");
const ACTOR_ID: usize = column("actor_id");
const ACTOR_NAME: usize = column("actor_name");
const EFFECTIVE_ACTOR_TYPE: usize = column("effective_actor_type");
const EFFECTIVE_ACTOR_ID: usize = column("effective_actor_id");
const EFFECTIVE_ACTOR_NAME: usize = column("effective_actor_name");
pub const TARGETS: usize = column("targets");
const OTHER_TYPE: usize = column("other_type");

/// Values to look for, in ascending order.
pub type Values = Vec<String>;

/// The target type of those that apply for a job.
const CANDIDATE: &str = "candidate";

/// A condition.
pub enum Filter {
    Organizations(Values),
    NotOrganizations(Values),
    /// The actor or the effective actor.
    ActorIds(Values),
    /// Any target.
    TargetIds(Values),
    /// One of the types, or one of the categories.
    TypesOrCategories {
        types: Values,
        categories: Values,
        their_categories: Values,
    },
    /// An actor or effective actor with this id or name, which those with these ids have had.
    Actor {
        is: String,
        ids: Option<Values>,
    },
    /// A candidate among the targets, likewise.
    Candidate {
        is: String,
        ids: Option<Values>,
    },
    /// Text in the actor's name, the target's type or its id.
    Search {
        needle: Needle,
        found: Option<Named>,
    },
}

/// Where a text that is searched for can only be.
pub struct Named {
    pub actor_ids: Values,
    pub target_ids: Values,
    pub types: Values,
    pub their_categories: Values,
}

/// What to look up: a column and its values.
pub type LookUp<'a> = (usize, &'a Values);

fn has(values: &Values, value: Option<&[u8]>) -> bool {
    value.is_some_and(|value| values.binary_search_by(|one| one.as_bytes().cmp(value)).is_ok())
}

impl Filter {
    pub fn matches(&self, row: &impl Fields) -> bool {
        // An id is stored shortened where it is long, a name is not.
        let is_id_or_name = |id: usize, name: usize, is: &str| {
            row.text(id) == Some(stored_id(is).as_bytes()) || row.text(name) == Some(is.as_bytes())
        };
        // Without a type there is no effective actor.
        let impersonated = || row.value(EFFECTIVE_ACTOR_TYPE).is_some();
        let any_target = |wanted: &dyn Fn(&Target) -> bool| {
            row.value(TARGETS).is_some_and(|targets| jsonb_read::any_target(targets, row.memory(), wanted))
        };
        match self {
            Filter::Organizations(ids) => has(ids, row.text(ORGANIZATION)),
            Filter::NotOrganizations(ids) => !has(ids, row.text(ORGANIZATION)),
            Filter::ActorIds(ids) => has(ids, row.text(ACTOR_ID)) || has(ids, row.text(EFFECTIVE_ACTOR_ID)),
            Filter::TargetIds(ids) => {
                has(ids, row.text(TARGET_ID)) || any_target(&|target| has(ids, target.text(c"id")))
            }
            Filter::TypesOrCategories { types, categories, .. } => {
                has(categories, row.text(CATEGORY)) || has(types, row.text(TARGET_TYPE))
            }
            Filter::Actor { is, .. } => {
                is_id_or_name(ACTOR_ID, ACTOR_NAME, is)
                    || impersonated() && is_id_or_name(EFFECTIVE_ACTOR_ID, EFFECTIVE_ACTOR_NAME, is)
            }
            Filter::Candidate { is, .. } => {
                row.text(TARGET_TYPE) == Some(CANDIDATE.as_bytes())
                    && is_id_or_name(TARGET_ID, TARGET_NAME, is)
                    || any_target(&|target| {
                        target.text(c"type") == Some(CANDIDATE.as_bytes())
                            && (target.text(c"id") == Some(stored_id(is).as_bytes())
                                || target.text(c"name") == Some(is.as_bytes()))
                    })
            }
            Filter::Search { needle, .. } => [ACTOR_NAME, TARGET_TYPE, TARGET_ID].iter().any(|column| {
                row.text(*column).is_some_and(|text| needle.is_in(&String::from_utf8_lossy(text)))
            }),
        }
    }

    /// What to look up to find every row that matches by its own columns; None where rows have to be read for it.
    pub fn look_ups(&self) -> Option<Vec<LookUp<'_>>> {
        match self {
            Filter::Organizations(ids) => Some(vec![(ORGANIZATION, ids)]),
            Filter::NotOrganizations(_) => None,
            Filter::ActorIds(ids) => Some(vec![(ACTOR_ID, ids), (EFFECTIVE_ACTOR_ID, ids)]),
            Filter::TargetIds(ids) => Some(vec![(TARGET_ID, ids)]),
            Filter::TypesOrCategories { types, categories, their_categories } => {
                Some(vec![(CATEGORY, categories), (CATEGORY, their_categories), (OTHER_TYPE, types)])
            }
            Filter::Actor { ids, .. } => {
                let ids = ids.as_ref()?;
                Some(vec![(ACTOR_ID, ids), (EFFECTIVE_ACTOR_ID, ids)])
            }
            Filter::Candidate { ids, .. } => Some(vec![(TARGET_ID, ids.as_ref()?)]),
            Filter::Search { found, .. } => {
                let Named { actor_ids, target_ids, types, their_categories } = found.as_ref()?;
                let by_type = [(CATEGORY, their_categories), (OTHER_TYPE, types)];
                Some([(ACTOR_ID, actor_ids), (TARGET_ID, target_ids)].into_iter().chain(by_type).collect())
            }
        }
    }

    /// The only organizations wanted.
    pub fn organizations(&self) -> Option<&[String]> {
        match self {
            Filter::Organizations(ids) => Some(ids),
            _ => None,
        }
    }

    /// The ids of targets that may be others than the primary one.
    pub fn related(&self) -> &[String] {
        match self {
            Filter::TargetIds(ids) | Filter::Candidate { ids: Some(ids), .. } => ids,
            _ => &[],
        }
    }
}
