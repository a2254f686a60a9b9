//! `audit_log`: a complete audit log inside PostgreSQL.
//!
//! `audit_log_model` (its own crate) knows the rules and no PostgreSQL; `glue` is the only room
//! with `unsafe` and turns PostgreSQL's C into safe calls; `store` reads and writes the log's
//! tables; `capture` and `api` are what triggers and SQL call. Each room uses those before it.

mod api;
mod capture;
mod entry_points;
mod glue;
mod install;
mod store;
mod worker;

#[cfg(any(test, feature = "pg_test"))]
mod pg_tests;

#[cfg(test)]
pub mod pg_test {
    pub fn setup(_options: Vec<&str>) {}

    pub fn postgresql_conf_options() -> Vec<&'static str> {
        vec![]
    }
}
