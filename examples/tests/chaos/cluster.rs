//! A PostgreSQL server of this test's own, that may be restarted.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;

use crate::server::Database;

/// It ends with this process.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) database: Database,
    folder: PathBuf,
}

impl Cluster {
    pub(crate) async fn new() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/postgres");
        let mut command = Command::new(script);
        // The server of the test run is for everybody: this one is not.
        for variable in ["BEACON_POSTGRES_URL", "BEACON_PGBOUNCER_URL", "NEXTEST_ENV"] {
            command.env_remove(variable);
        }
        let output = command.stdin(Stdio::null()).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told = String::from_utf8(output.stdout).unwrap();
        let database = Database::on(told.lines().next().expect("it prints the URL")).await;
        let folder = PathBuf::from(database.folder());
        Self { database, folder }
    }

    /// The server's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }

    /// Ends the server without a word to anybody and starts it again: it recovers from its log.
    pub(crate) async fn restart_at_once(&self) {
        let data = self.folder.join("data");
        let opts = std::fs::read_to_string(data.join("postmaster.opts")).unwrap();
        let server = PathBuf::from(opts.split_whitespace().next().unwrap().trim_matches('"'));
        let arguments = ["--mode=immediate", "--wait", "restart"];
        let mut command = if rustix::process::geteuid().is_root() {
            // The server refuses to run as root.
            let user = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&data).unwrap());
            let mut command = Command::new("setpriv");
            command.args([format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".to_owned()]);
            command.arg(server.with_file_name("pg_ctl"));
            command
        } else {
            Command::new(server.with_file_name("pg_ctl"))
        };
        command.arg("--pgdata").arg(&data).arg("--log").arg(self.folder.join("server.log")).args(arguments);
        let command = command.current_dir(&self.folder).stdin(Stdio::null()).stdout(Stdio::null());
        let status = command.stderr(Stdio::null()).status().await.unwrap();
        assert!(status.success(), "the server does not start again: {status}");
    }
}
