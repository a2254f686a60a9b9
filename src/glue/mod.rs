//! PostgreSQL's C as safe Rust: the only room with `unsafe`.
//!
//! What differs between PostgreSQL's major versions is in `version`.
#![allow(unsafe_code)]

pub mod args;
pub mod backend;
pub mod callbacks;
pub mod error;
pub mod event_trigger;
pub mod fixed_settings;
pub mod function;
pub mod identity;
pub mod jsonb;
pub mod render;
pub mod setting;
pub mod spi;
pub mod srf;
pub mod text;
pub mod trigger;
pub mod tuple;
pub mod version;

pgrx::pg_module_magic!();
