//! The install script, one SQL file a subject, in this order.
//!
//! `scripts/install-script.sh` reads the order from here too, so both ways to install give the same.

use pgrx::extension_sql_file;

extension_sql_file!("../sql/01_bootstrap.sql", name = "bootstrap", bootstrap);
extension_sql_file!("../sql/02_vocabulary.sql", name = "vocabulary", requires = ["bootstrap"]);
extension_sql_file!("../sql/03_vocabulary_data.sql", name = "vocabulary_data", requires = ["vocabulary"]);
extension_sql_file!("../sql/04_organization.sql", name = "organization", requires = ["vocabulary_data"]);
extension_sql_file!("../sql/05_storage.sql", name = "storage", requires = ["organization"]);
extension_sql_file!("../sql/05_ids.sql", name = "ids", requires = ["storage"]);
extension_sql_file!("../sql/06_access.sql", name = "access", requires = ["ids"]);
extension_sql_file!("../sql/07_context.sql", name = "context", requires = ["access"]);
extension_sql_file!("../sql/08_capture.sql", name = "capture", requires = ["context"]);
extension_sql_file!("../sql/09_relation_changes.sql", name = "relation_changes", requires = ["capture"]);
extension_sql_file!("../sql/09_follow_ddl.sql", name = "follow_ddl", requires = ["relation_changes"]);
extension_sql_file!("../sql/09_library.sql", name = "library", requires = ["follow_ddl"]);
extension_sql_file!("../sql/10_watch.sql", name = "watch", requires = ["library"]);
extension_sql_file!("../sql/11_record.sql", name = "record", requires = ["watch"]);
extension_sql_file!("../sql/12_entry.sql", name = "entry", requires = ["record"]);
extension_sql_file!("../sql/13_list.sql", name = "list", requires = ["entry"]);
extension_sql_file!("../sql/14_activity.sql", name = "activity", requires = ["list"]);
extension_sql_file!("../sql/15_page.sql", name = "page", requires = ["activity"]);
extension_sql_file!("../sql/16_history.sql", name = "history", requires = ["page"]);
extension_sql_file!("../sql/16_row_events.sql", name = "row_events", requires = ["history"]);
extension_sql_file!("../sql/16_row_at.sql", name = "row_at", requires = ["row_events"]);
extension_sql_file!("../sql/17_sync.sql", name = "sync", requires = ["row_at"]);
extension_sql_file!("../sql/18_export.sql", name = "export", requires = ["sync"]);
extension_sql_file!("../sql/19_partitions.sql", name = "partitions", requires = ["export"]);
extension_sql_file!("../sql/20_moving.sql", name = "moving", requires = ["partitions"]);
extension_sql_file!("../sql/21_retention.sql", name = "retention", requires = ["moving"]);
extension_sql_file!("../sql/22_purge.sql", name = "purge", requires = ["retention"]);
extension_sql_file!("../sql/23_drop.sql", name = "drop", requires = ["purge"]);
extension_sql_file!("../sql/23_indexes.sql", name = "indexes", requires = ["drop"]);
extension_sql_file!("../sql/24_worker.sql", name = "worker", requires = ["indexes"]);
extension_sql_file!("../sql/25_doctor.sql", name = "doctor", requires = ["worker"]);
extension_sql_file!("../sql/26_doctor_log.sql", name = "doctor_log", requires = ["doctor"]);
extension_sql_file!("../sql/27_grants.sql", name = "grants", requires = ["doctor_log"], finalize);
