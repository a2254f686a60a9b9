//! What `cargo pgrx test` runs: that the extension installs and does its main job. Everything else
//! is tested from outside, by `pgrx-tests/`, against throwaway clusters.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    #[pg_test]
    fn a_watched_table_is_listed() -> Result<(), pgrx::spi::Error> {
        Spi::run("CREATE TABLE job (id int PRIMARY KEY, status text)")?;
        Spi::run("SELECT audit_log.watch('job')")?;
        Spi::run("INSERT INTO job VALUES (1, 'open'); UPDATE job SET status = 'closed'; DELETE FROM job")?;
        let categories = Spi::get_one::<String>(
            "SELECT string_agg(category, ' ' ORDER BY id) FROM audit_log.list() WHERE target_type = 'job'",
        )?;
        assert_eq!(categories.as_deref(), Some("job_created job_updated job_deleted"));
        Ok(())
    }
}
