//! The README's first five minutes: every block is run, and gives the output that stands below it.

use audit_log_tests::{psql, Db};

use crate::documents::Document;

#[test]
fn every_block_gives_what_it_says() {
    let mut readme = Document::read("README.md");
    assert!(readme.shown() >= 5, "the README has lost its outputs");
    readme.run(&Db::without_extension());
    psql("postgres", "DROP ROLE acme_bi");
    readme.finish();
}
