//! The background worker: a launcher that serves every database with the extension, and what it starts in each.

pub mod job;
pub mod launcher;
