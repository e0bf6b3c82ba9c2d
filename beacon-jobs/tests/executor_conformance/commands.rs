//! The process executor as a provider. What computes is a command, which holds a lock on a file of
//! its own: the kernel lets go of it when the last process that has it is gone.

use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use beacon_jobs::conformance::{TestProvider, Work};
use beacon_jobs::executor::Executor;
use beacon_jobs::process::ProcessExecutor;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) struct Commands {
    folder: TempDir,
    executor: Arc<ProcessExecutor>,
}

impl Commands {
    pub(crate) fn new() -> Self {
        let program = env!("CARGO_BIN_EXE_beacon-jobs-supervisor");
        let executor = ProcessExecutor::builder().supervisor_program(program).build();
        Self { folder: tempfile::tempdir().unwrap(), executor: Arc::new(executor) }
    }

    fn locks(&self) -> impl Iterator<Item = PathBuf> {
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        files
            .map(|file| file.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "lock"))
    }
}

#[async_trait]
impl TestProvider for Commands {
    fn executor(&self) -> Arc<dyn Executor> {
        Arc::clone(&self.executor) as Arc<dyn Executor>
    }

    fn input(&self, work: Work) -> Option<Value> {
        let folder = self.folder.path().display();
        // How a command takes a request to end is settled before it counts as alive.
        let begin = format!("exec 9> {folder}/$$.lock; flock 9");
        let goes_on = format!("while [ ! -e {folder}/complete ]; do sleep 0.01; done; echo completed");
        let script = match work {
            Work::Ends => format!("{begin}; echo ended"),
            Work::Fails => format!("{begin}; exit 1"),
            Work::GoesOn => format!("{begin}; {goes_on}"),
            Work::SavesItself => format!("trap 'echo saved; exit 0' TERM; {begin}; {goes_on}"),
            Work::Ignores => format!("trap '' TERM; {begin}; {goes_on}"),
            Work::Illegal => return Some(json!({ "command": [] })),
        };
        Some(json!({ "command": ["sh", "-c", script] }))
    }

    async fn alive(&self) -> usize {
        let is_alive =
            |lock: &PathBuf| matches!(File::open(lock).unwrap().try_lock(), Err(TryLockError::WouldBlock));
        self.locks().filter(is_alive).count()
    }

    async fn begun(&self) -> usize {
        self.locks().count()
    }

    async fn complete(&self) {
        File::create(self.folder.path().join("complete")).unwrap();
    }
}
