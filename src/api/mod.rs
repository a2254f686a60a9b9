//! What SQL calls, apart from triggers.

pub mod configuration;
pub mod context;
pub mod export;
pub mod feed;
pub mod import;
pub mod list;
pub mod list_json;
pub mod organizations;
pub mod page;
pub mod record;
pub mod sync;
pub mod vocabulary;
