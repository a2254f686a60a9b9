//! A throwaway cluster for all tests of a run, and a database of its own for each test.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::OnceLock;

use postgres::types::ToSql;
use postgres::{Client, Config, NoTls, Row};
pub use serde_json::{json, Value};

mod waiting;
pub use waiting::*;

/// A running cluster; listens on a socket in its own directory only.
pub struct Cluster {
    pub dir: PathBuf,
    pub bindir: PathBuf,
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn script() -> PathBuf {
    project().join("scripts/cluster.sh")
}

/// The server's programs: AUDIT_LOG_BINDIR, or those that `make test` unpacks.
pub fn bindir() -> PathBuf {
    let default = || project().join("target/postgres/15/bin");
    std::env::var_os("AUDIT_LOG_BINDIR").map_or_else(default, PathBuf::from)
}

impl Cluster {
    /// Starts a cluster that stops, and goes away, when this process ends however it ends.
    pub fn start(settings: &[&str], keep_log: Option<&Path>) -> Cluster {
        Cluster::start_in(&[], settings, keep_log)
    }

    /// The same with variables in the server's environment.
    pub fn start_in(environment: &[(&str, &Path)], settings: &[&str], keep_log: Option<&Path>) -> Cluster {
        let output = Command::new(script())
            .envs(environment.iter().copied())
            .arg("start")
            .arg(bindir())
            .args(settings)
            .stderr(Stdio::inherit())
            .output()
            .expect("scripts/cluster.sh runs");
        assert!(
            output.status.success(),
            "the cluster did not start; run `make test` once for its prerequisites"
        );
        Cluster::kept(&output.stdout, keep_log)
    }

    fn kept(printed: &[u8], keep_log: Option<&Path>) -> Cluster {
        let dir = PathBuf::from(String::from_utf8_lossy(printed).trim().to_string());
        let bindir = PathBuf::from(std::fs::read_to_string(dir.join("bindir")).expect("bindir").trim());
        #[allow(clippy::zombie_processes)] // it is this process's end that it waits for
        let mut keeper = keeper(&dir, keep_log);
        // The pipe closes with this process; until then it must stay open.
        std::mem::forget(keeper.stdin.take());
        Cluster { dir, bindir }
    }

    pub fn config(&self, database: &str) -> Config {
        let mut config = Config::new();
        config.host_path(&self.dir).user("postgres").dbname(database);
        config
    }

    /// A superuser's session.
    pub fn connect(&self, database: &str) -> Client {
        self.config(database).connect(NoTls).unwrap_or_else(|e| panic!("connecting to {database}: {e}"))
    }

    /// Shuts it down, in a mode of pg_ctl's.
    pub fn down(&self, mode: &str) {
        self.manage(&["down", mode]);
    }

    /// Starts it again.
    pub fn up(&self) {
        self.manage(&["up"]);
    }

    /// A base backup as a cluster of its own, which is down; "-R" makes it a standby of this one.
    pub fn copy(&self, options: &[&str]) -> Cluster {
        Cluster::kept(&self.manage(&[&["copy"], options].concat()), None)
    }

    /// A cluster that pg_upgrade made of this one, which is down.
    pub fn upgrade(&self) -> Cluster {
        Cluster::kept(&self.manage(&["upgrade"]), None)
    }

    fn manage(&self, arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new(script());
        command.arg(arguments[0]).arg(&self.dir).args(&arguments[1..]);
        let output = command.stderr(Stdio::inherit()).output().expect("scripts/cluster.sh runs");
        assert!(output.status.success(), "cluster.sh {arguments:?}: {}", output.status);
        output.stdout
    }

    /// Stops it for good; where this is not called, the end of the process does it.
    pub fn stop(self) {
        self.manage(&["stop"]);
    }

    /// A program of the server, told where the cluster is.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.bindir.join(name));
        command.env("PGHOST", &self.dir).env("PGUSER", "postgres");
        command
    }
}

/// Waits, in a process of its own that outlives this one, for this one to end; then keeps the log and stops the cluster.
fn keeper(dir: &Path, keep_log: Option<&Path>) -> Child {
    let script = format!(
        "cat >/dev/null; {}\n'{}' stop '{}'",
        keep_log.map_or(String::new(), |log| format!("cp '{}/log' '{}'", dir.display(), log.display())),
        script().display(),
        dir.display()
    );
    Command::new("setsid")
        .args(["sh", "-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh runs")
}

/// The cluster that all tests of the run share.
pub fn cluster() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| {
        let log = std::env::var_os("AUDIT_LOG_SERVER_LOG").map(PathBuf::from);
        Cluster::start(
            &[
                "wal_level=logical",
                "max_prepared_transactions=20",
                "max_connections=200",
                "max_replication_slots=30",
                "max_wal_senders=30",
                "max_logical_replication_workers=20",
                "max_worker_processes=40",
                "autovacuum=off",
            ],
            log.as_deref(),
        )
    })
}

/// A database of a test's own, with the extension, and a superuser's connection to it.
pub struct Db {
    pub name: String,
    pub client: Client,
    /// Where it is not in the cluster that tests share.
    own: Option<Cluster>,
}

/// Parameters, as the postgres crate takes them.
pub type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

static NEXT: AtomicUsize = AtomicUsize::new(1);

/// A name nobody else uses: for roles, slots and the like, which belong to the whole cluster.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Db {
    /// With the extension.
    pub fn new() -> Db {
        let mut db = Db::without_extension();
        db.run("CREATE EXTENSION audit_log");
        db
    }

    pub fn without_extension() -> Db {
        let name = unique("test");
        let mut admin = connect("postgres", "postgres");
        admin.batch_execute(&format!("CREATE DATABASE {name}")).expect("CREATE DATABASE");
        Db::of(&name)
    }

    /// A database that is there.
    pub fn of(name: &str) -> Db {
        Db { name: name.to_string(), client: connect(name, "postgres"), own: None }
    }

    /// In a cluster of its own, with the extension: no other test's transaction or change of a catalog makes it read more.
    pub fn alone() -> Db {
        let own = Cluster::start(&["autovacuum=off"], None);
        let mut client = own.connect("postgres");
        run(&mut client, "CREATE EXTENSION audit_log");
        Db { name: "postgres".into(), client, own: Some(own) }
    }

    fn connect(&self, user: &str) -> Client {
        connect_to(self.own.as_ref().unwrap_or_else(|| cluster()), &self.name, user)
    }

    /// Another superuser's session.
    pub fn session(&self) -> Client {
        self.connect("postgres")
    }

    /// A session of a role, which is created (LOGIN) where it is not there.
    pub fn session_as(&mut self, role: &str) -> Client {
        self.run(&format!(
            "DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        ));
        self.connect(role)
    }

    /// Runs statements that must succeed.
    #[track_caller]
    pub fn run(&mut self, sql: &str) {
        run(&mut self.client, sql);
    }

    /// The first column of the first row, as text.
    #[track_caller]
    pub fn one(&mut self, sql: &str) -> String {
        one(&mut self.client, sql)
    }

    /// The first column of all rows, as text; NULL is "∅".
    #[track_caller]
    pub fn all(&mut self, sql: &str) -> Vec<String> {
        all(&mut self.client, sql)
    }

    #[track_caller]
    pub fn json(&mut self, sql: &str) -> Value {
        let text = self.one(sql);
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{sql} gave {text}: {e}"))
    }

    /// The entries of row changes, oldest first, as "operation category target_id".
    #[track_caller]
    pub fn events(&mut self) -> Vec<String> {
        self.all(
            "SELECT concat_ws(' ', operation, category, coalesce(target_id, '-')) FROM audit_log.entry
             WHERE operation IS NOT NULL ORDER BY occurred_at, id",
        )
    }

    /// The error of statements that must fail.
    #[track_caller]
    pub fn fails(&mut self, sql: &str) -> Failure {
        fails(&mut self.client, sql)
    }
}

impl Default for Db {
    fn default() -> Self {
        Db::new()
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        // Kept where the test failed: somebody may want to look while the cluster lives.
        if let Some(own) = self.own.take() {
            own.stop();
        } else if !std::thread::panicking() {
            let mut admin = connect("postgres", "postgres");
            let _ = admin.batch_execute(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        }
    }
}

pub fn connect(database: &str, user: &str) -> Client {
    connect_to(cluster(), database, user)
}

fn connect_to(cluster: &Cluster, database: &str, user: &str) -> Client {
    let mut config = cluster.config(database);
    config.user(user);
    config.connect(NoTls).unwrap_or_else(|e| panic!("connecting to {database} as {user}: {e}"))
}

#[track_caller]
pub fn run(client: &mut Client, sql: &str) {
    if let Err(e) = client.batch_execute(sql) {
        panic!("{sql}\n{}", Failure::of(e));
    }
}

#[track_caller]
pub fn one(client: &mut Client, sql: &str) -> String {
    let rows = all(client, sql);
    rows.into_iter().next().unwrap_or_else(|| panic!("no row: {sql}"))
}

#[track_caller]
pub fn all(client: &mut Client, sql: &str) -> Vec<String> {
    match client.simple_query(sql) {
        Err(e) => panic!("{sql}\n{}", Failure::of(e)),
        Ok(messages) => messages
            .iter()
            .filter_map(|m| match m {
                postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("∅").to_string()),
                _ => None,
            })
            .collect(),
    }
}

#[track_caller]
pub fn fails(client: &mut Client, sql: &str) -> Failure {
    match client.batch_execute(sql) {
        Ok(()) => panic!("this should have failed: {sql}"),
        Err(e) => Failure::of(e),
    }
}

/// What a refused statement said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub sqlstate: String,
    pub message: String,
    pub detail: String,
    pub hint: String,
}

impl Failure {
    #[track_caller]
    pub fn of(error: postgres::Error) -> Failure {
        let Some(db) = error.as_db_error() else { panic!("not an error of the server: {error}") };
        Failure {
            sqlstate: db.code().code().to_string(),
            message: db.message().to_string(),
            detail: db.detail().unwrap_or_default().to_string(),
            hint: db.hint().unwrap_or_default().to_string(),
        }
    }

    /// Checks SQLSTATE and code, and that there is a hint.
    #[track_caller]
    pub fn is(&self, sqlstate: &str, code: &str) -> &Self {
        assert_eq!(self.sqlstate, sqlstate, "{self}");
        assert_eq!(self.detail.lines().next(), Some(format!("code: {code}").as_str()), "{self}");
        assert!(!self.hint.is_empty(), "no hint: {self}");
        self
    }

    /// Checks that the message, detail or hint says something.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.to_string().contains(text), "does not say {text}: {self}");
        self
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let Failure { sqlstate, message, detail, hint } = self;
        write!(f, "{sqlstate}: {message}\nDETAIL: {detail}\nHINT: {hint}")
    }
}

/// Feeds SQL to psql, which must succeed.
#[track_caller]
pub fn psql(database: &str, sql: &str) -> String {
    let mut child = cluster()
        .program("psql")
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("psql runs");
    child.stdin.take().expect("stdin").write_all(sql.as_bytes()).expect("psql reads");
    let output = child.wait_with_output().expect("psql ends");
    assert!(output.status.success(), "{sql}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The rows of a query with parameters.
#[track_caller]
pub fn query(client: &mut Client, sql: &str, params: Params) -> Vec<Row> {
    client.query(sql, params).unwrap_or_else(|e| panic!("{sql}\n{}", Failure::of(e)))
}
