//! A node that begins work and is never heard of again.

use std::sync::Arc;

use beacon_jobs::host::ProcessIdentity;
use beacon_jobs::stop::Handle;
use beacon_jobs::store::{Claim, JobStore, NodeEnd, NodeIdentity, SaveHandle, SaveOutcome, StartExecution};
use beacon_jobs::{AttemptId, IncarnationId, RandomIds};
use serde_json::json;

/// It has only a store: nothing but its own calls writes anything.
pub struct LostNode {
    pub incarnation: IncarnationId,
    pub attempt: AttemptId,
}

impl LostNode {
    /// Takes the job that waits, and saves the handle of its first execution, of the double.
    pub async fn begin(store: &Arc<dyn JobStore>, process: ProcessIdentity) -> Self {
        let incarnation = IncarnationId::mint(&RandomIds);
        let executors = vec!["remote".to_owned()];
        let node =
            NodeIdentity { incarnation, name: "lost".to_owned(), process, executors: executors.clone() };
        store.join(&node, super::LONG).await.unwrap();
        let claim = Claim { incarnation, executors, running: Vec::new(), limit: 1 };
        let taken = store.claim(&claim).await.unwrap().pop().unwrap();
        let (fence, job) = (taken.fence, taken.id);
        let attempt = AttemptId::mint(&RandomIds);
        let start = StartExecution { fence, job: job.clone(), index: 0, attempt };
        store.start(&[start]).await.unwrap();
        let handle = Handle::new(json!({ "object": attempt }));
        let save = SaveHandle { fence, job, index: 0, attempt, handle };
        assert_eq!(store.save_handles(&[save]).await.unwrap(), [SaveOutcome::Granted]);
        Self { incarnation, attempt }
    }

    /// Nothing more can be learnt of it.
    pub async fn abandon(&self, store: &Arc<dyn JobStore>) {
        store.end_node(self.incarnation, NodeEnd::Abandoned).await.unwrap();
    }
}
