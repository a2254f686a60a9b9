//! PostgreSQL's C as safe Rust: the only room with `unsafe`.
//!
//! What differs between PostgreSQL's major versions is in `version`.
#![allow(unsafe_code)]

pub mod alter_table;
pub mod args;
pub mod backend;
pub mod background;
pub mod board;
pub mod bounds;
pub mod callbacks;
pub mod current_rows;
pub mod error;
pub mod event_trigger;
pub mod fixed_settings;
pub mod foreign_scan;
pub mod foreign_table;
pub mod function;
pub mod gin_value;
pub mod hooks;
pub mod identity;
pub mod index_scan;
pub mod index_stream;
pub mod jsonb;
pub mod jsonb_read;
pub mod leaf;
pub mod leaf_index;
pub mod leaf_shape;
pub mod log_table;
pub mod memory;
pub mod nesting;
pub mod ordered_scan;
pub mod partition;
pub mod past_pgrx;
pub mod pending_list;
pub mod places;
pub mod render;
pub mod row;
pub mod setting;
pub mod slots;
pub mod spi;
pub mod srf;
pub mod text;
pub mod text_trigrams;
pub mod text_values;
pub mod trigger;
pub mod tuple;
pub mod utility;
pub mod value;
pub mod varlena;
pub mod version;
pub mod watch_trigger;

pgrx::pg_module_magic!();
