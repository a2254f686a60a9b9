//! The integration tests, a file a subject. All share one throwaway cluster.

mod access;
mod append_only;
mod capture_batches;
mod capture_ddl;
mod capture_foreign_hands;
mod capture_options;
mod capture_partitions;
mod capture_replication;
mod capture_sessions;
mod capture_statements;
mod capture_unnoticed;
mod capture_values;
mod capture_writing;
mod context;
mod dump;
mod history;
mod import;
mod install;
mod limits;
mod list;
mod list_json;
mod organizations;
mod readme;
mod record;
mod security;
mod vocabulary;
