//! The integration tests, a file a subject. All share one throwaway cluster.

mod capture_statements;
