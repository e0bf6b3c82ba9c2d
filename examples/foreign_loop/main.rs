//! A service that runs its jobs in its own way, and takes only the cancel route.
//!
//! There is no `JobRunner` here. The loop takes jobs from the store, registers each with the
//! [`JobContextManager`], and does the work itself; the route cancels in the store and ends the
//! context. What the loop then does to end its work, and what shows that it ended, is its own.
//!
//! `cargo run --example foreign_loop` prints a `curl` line that cancels its long job.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::context::JobContextManager;
use beacon_jobs::host::ProcessIdentity;
use beacon_jobs::job::{ExecutionSpec, JobSpec};
use beacon_jobs::stop::{Handle, SealedBy};
use beacon_jobs::store::{
    Claim, ClaimedJob, ExecutionResult, FinishExecution, FinishJob, FinishOutcome, Heartbeat, JobStore,
    Joined, MemoryStore, NodeIdentity, SaveHandle, SaveOutcome, Seal, StartExecution, StartOutcome,
    StopAnswer, StopUpdate,
};
use beacon_jobs::{AttemptId, IdSource, IncarnationId, Jobs, RandomIds};
use beacon_jobs_http::{Api, BearerTokens, Principal};
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const LEASE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(200);

#[tokio::main]
async fn main() -> Result<()> {
    let contexts = JobContextManager::new();
    let jobs = Jobs::builder(MemoryStore::new()).contexts(contexts).build();
    let id = jobs.submit("alice", frames("film", 1_000)).await?.id;

    let token = RandomIds.uuid().simple().to_string();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    println!("job {id} runs; cancel it with");
    println!(
        "  curl -X POST -H 'Authorization: Bearer {token}' 'http://{address}/api/v1/jobs/{id}/cancel?wait=10'"
    );

    let service = service(&jobs, &token)?;
    tokio::spawn(async move { axum::serve(listener, service).await });
    Renderer::new(&jobs).run().await
}

/// A job that renders this many frames of a film, one after another.
pub fn frames(film: &str, count: u32) -> JobSpec {
    JobSpec::new(
        (0..count).map(|frame| {
            ExecutionSpec::new("render", json!({ "film": film, "frame": frame })).with_lane("film")
        }),
    )
}

/// The service's own routes, and beside them the one that cancels.
pub fn service(jobs: &Jobs, alices_token: &str) -> Result<Router> {
    let tokens = BearerTokens::new().with_token(alices_token, Principal::owner("alice"))?;
    let api = Api::builder(jobs).authenticator(tokens).build()?;
    Ok(Router::new().route("/", get(async || "a film studio")).merge(api.cancel_router()))
}

/// The loop.
#[derive(Debug)]
pub struct Renderer {
    jobs: Jobs,
    incarnation: IncarnationId,
}

impl Renderer {
    /// A loop that takes the jobs behind this door.
    pub fn new(jobs: &Jobs) -> Self {
        Self { jobs: jobs.clone(), incarnation: IncarnationId::mint(&RandomIds) }
    }

    fn store(&self) -> &Arc<dyn JobStore> {
        self.jobs.store()
    }

    /// Takes one job after another, until the lease is lost.
    pub async fn run(&self) -> Result<()> {
        let node = NodeIdentity {
            incarnation: self.incarnation,
            name: "studio".to_owned(),
            process: ProcessIdentity::current(),
            executors: vec!["render".to_owned()],
        };
        if let Joined::Occupied(other) = self.store().join(&node, LEASE).await? {
            return Err(format!("node {} uses this store", other.node.name).into());
        }
        let claim =
            Claim { incarnation: self.incarnation, executors: node.executors, running: Vec::new(), limit: 1 };
        while self.store().heartbeat(self.incarnation, LEASE).await? == Heartbeat::Alive {
            match self.store().claim(&claim).await?.pop() {
                Some(job) => self.render(&job).await?,
                None => SystemClock.sleep(POLL).await,
            }
        }
        Err("the lease was lost".into())
    }

    async fn render(&self, job: &ClaimedJob) -> Result<()> {
        // Registered before the first start, so that no cancel falls between the two.
        let context = self.jobs.contexts().register(job.id.clone())?;
        for (index, execution) in (0..).zip(&job.executions) {
            self.store().heartbeat(self.incarnation, LEASE).await?;
            let attempt = AttemptId::mint(&RandomIds);
            if !self.begin(job, index, attempt).await? {
                break;
            }
            let ended = tokio::select! {
                biased;
                _ = context.cancelled() => None,
                frame = frame(&execution.spec.input) => Some(ExecutionResult::Completed(frame)),
            };
            if !self.end(job, index, attempt, ended).await? {
                break;
            }
        }
        drop(context);
        self.store()
            .finish_job(&FinishJob { fence: job.fence, job: job.id.clone(), timed_out: false })
            .await?;
        Ok(())
    }

    /// Asks for the permit to begin. Once a cancel is committed there is none.
    async fn begin(&self, job: &ClaimedJob, index: u32, attempt: AttemptId) -> Result<bool> {
        let (fence, job) = (job.fence, job.id.clone());
        let start = StartExecution { fence, job: job.clone(), index, attempt };
        let started = self.store().start(&[start]).await?;
        if !matches!(started[..], [StartOutcome::Started { .. }]) {
            return Ok(false);
        }
        let handle = Handle::new(json!({ "task": attempt, "process": ProcessIdentity::current() }));
        let save = SaveHandle { fence, job, index, attempt, handle };
        if self.store().save_handles(&[save]).await?[..] == [SaveOutcome::Granted] {
            return Ok(true);
        }
        self.confirm(attempt, "it never began").await?;
        Ok(false)
    }

    /// Records a frame; or, when there is none or it came too late, that its work is over.
    async fn end(
        &self,
        job: &ClaimedJob,
        index: u32,
        attempt: AttemptId,
        result: Option<ExecutionResult>,
    ) -> Result<bool> {
        let Some(result) = result else {
            self.confirm(attempt, "its future was dropped").await?;
            return Ok(false);
        };
        let (fence, job) = (job.fence, job.id.clone());
        let finish = FinishExecution { fence, job, index, attempt, result, sealed: true };
        if self.store().finish(&[finish]).await?[..] == [FinishOutcome::Finished] {
            return Ok(true);
        }
        self.confirm(attempt, "it had ended by itself").await?;
        Ok(false)
    }

    /// Says with what evidence an attempt has ended. The seal comes first: nothing of it is, or
    /// will be, begun.
    async fn confirm(&self, attempt: AttemptId, shown_by: &str) -> Result<()> {
        self.store().seal(&[Seal { attempt, by: SealedBy::Minter }]).await?;
        let evidence = json!({ "shown_by": shown_by, "pid": std::process::id() });
        let update = StopUpdate {
            attempt,
            seen_seal: Some(SealedBy::Minter),
            seen_confirmed: false,
            seen_tries: None,
            answer: StopAnswer::Ended { evidence, seals: false },
            due_in: POLL,
            watch: false,
        };
        self.store().record_stops(&[update]).await?;
        Ok(())
    }
}

/// The work: a frame takes its time.
async fn frame(input: &Value) -> Value {
    SystemClock.sleep(Duration::from_secs(1)).await;
    json!({ "rendered": input })
}
