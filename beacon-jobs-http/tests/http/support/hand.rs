use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::host::ProcessIdentity;
use beacon_jobs::job::ExecutionProgress;
use beacon_jobs::stop::{Handle, SealedBy};
use beacon_jobs::store::{
    Claim, ClaimedJob, ExecutionResult, Fence, FinishExecution, FinishJob, FinishJobOutcome, FinishOutcome,
    JobStore, NodeIdentity, ReportProgress, SaveHandle, SaveOutcome, Seal, StartExecution, StartOutcome,
    StopAnswer, StopUpdate,
};
use beacon_jobs::{AttemptId, IncarnationId, JobId, RandomIds};
use serde_json::{Value, json};

/// A node that takes steps only when told to, so that a test knows the state of every row.
pub(crate) struct Hand {
    store: Arc<dyn JobStore>,
    incarnation: IncarnationId,
}

/// An attempt that the hand began.
pub(crate) struct Begun {
    fence: Fence,
    job: JobId,
    index: u32,
    pub(crate) attempt: AttemptId,
}

impl Hand {
    pub(crate) async fn join(store: &Arc<dyn JobStore>) -> Self {
        let incarnation = IncarnationId::mint(&RandomIds);
        let node = NodeIdentity {
            incarnation,
            name: "hand".to_owned(),
            process: ProcessIdentity::current(),
            executors: vec!["work".to_owned()],
        };
        store.join(&node, Duration::from_secs(3600)).await.unwrap();
        Self { store: Arc::clone(store), incarnation }
    }

    /// Takes the job that was queued first.
    pub(crate) async fn claim(&self) -> ClaimedJob {
        let claim = Claim {
            incarnation: self.incarnation,
            executors: vec!["work".to_owned()],
            running: Vec::new(),
            limit: 1,
        };
        self.store.claim(&claim).await.unwrap().pop().unwrap()
    }

    /// Brings an execution through the start barrier.
    pub(crate) async fn start(&self, job: &ClaimedJob, index: u32) -> Begun {
        let attempt = AttemptId::mint(&RandomIds);
        let begun = Begun { fence: job.fence, job: job.id.clone(), index, attempt };
        let start = StartExecution { fence: begun.fence, job: begun.job.clone(), index, attempt };
        let started = self.store.start(&[start]).await.unwrap();
        assert!(matches!(started[..], [StartOutcome::Started { .. }]), "{started:?}");
        begun
    }

    /// Saves a handle, so that the execution runs.
    pub(crate) async fn run(&self, begun: &Begun) {
        let Begun { fence, job, index, attempt } = begun;
        let handle = Handle::new(json!({ "place": index }));
        let save = SaveHandle { fence: *fence, job: job.clone(), index: *index, attempt: *attempt, handle };
        assert_eq!(self.store.save_handles(&[save]).await.unwrap(), [SaveOutcome::Granted]);
    }

    /// Tells how far the attempt has come.
    pub(crate) async fn report(&self, begun: &Begun, progress: ExecutionProgress) {
        let Begun { fence, job, index, attempt } = begun;
        let report =
            ReportProgress { fence: *fence, job: job.clone(), index: *index, attempt: *attempt, progress };
        assert_eq!(self.store.report_progress(&[report]).await.unwrap(), [true]);
    }

    pub(crate) async fn finish(&self, begun: &Begun, output: Value) -> FinishOutcome {
        let finish = FinishExecution {
            fence: begun.fence,
            job: begun.job.clone(),
            index: begun.index,
            attempt: begun.attempt,
            result: ExecutionResult::Completed(output),
            sealed: true,
        };
        self.store.finish(&[finish]).await.unwrap()[0]
    }

    pub(crate) async fn finish_job(&self, job: &ClaimedJob) -> FinishJobOutcome {
        let finish = FinishJob { fence: job.fence, job: job.id.clone(), timed_out: false };
        self.store.finish_job(&finish).await.unwrap()
    }

    /// Runs a whole job with these outputs.
    pub(crate) async fn complete(&self, job: &ClaimedJob) {
        for index in 0..u32::try_from(job.executions.len()).unwrap() {
            let begun = self.start(job, index).await;
            self.run(&begun).await;
            self.finish(&begun, json!(index)).await;
        }
        assert!(matches!(self.finish_job(job).await, FinishJobOutcome::Finished(_)));
    }

    /// Says that the provider has heard of the stop.
    pub(crate) async fn acknowledge(&self, begun: &Begun) {
        self.record(begun, StopAnswer::Acknowledged { evidence: json!({ "heard": true }) }).await;
    }

    /// Shows that the work has ended.
    pub(crate) async fn confirm(&self, begun: &Begun) {
        self.store.seal(&[Seal { attempt: begun.attempt, by: SealedBy::Minter }]).await.unwrap();
        self.record(begun, StopAnswer::Ended { evidence: json!({ "gone": true }), seals: false }).await;
    }

    async fn record(&self, begun: &Begun, answer: StopAnswer) {
        let seen_seal = matches!(answer, StopAnswer::Ended { .. }).then_some(SealedBy::Minter);
        let update = StopUpdate {
            attempt: begun.attempt,
            seen_seal,
            seen_confirmed: false,
            seen_tries: None,
            answer,
            due_in: Duration::from_secs(3600),
            watch: false,
        };
        self.store.record_stops(&[update]).await.unwrap();
    }
}
