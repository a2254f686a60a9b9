//! The rules of `audit_log` that need no server.
//!
//! Nothing here knows PostgreSQL: every module is plain data and functions over it, so that it is
//! tested (and fuzzed) without a cluster. The extension's `store`, `capture` and `api` rooms build
//! on it and never the other way round.

pub mod context;
pub mod cursor;
pub mod cursor_text;
pub mod database_list;
pub mod deep_json;
pub mod error;
pub mod event;
pub mod event_id;
pub mod feed_position;
pub mod format;
pub mod import;
pub mod import_entry;
pub mod iso_time;
pub mod json_exact;
pub mod jsonb_object;
pub mod jsonb_strings;
pub mod key_text;
pub mod list_request;
pub mod nearest;
pub mod needle;
pub mod numeric_bytes;
pub mod page_request;
pub mod posting;
pub mod purged;
pub mod read_plan;
pub mod schema_refs;
pub mod snapshot;
pub mod stored_id;
pub mod sync_cursor;
pub mod sync_request;
pub mod trigrams;
pub mod valid_text;
pub mod watch_options;
pub mod window;
pub mod worker_plan;

pub use error::{AuditError, Code};
