//! The function executor as a provider: what computes is a closure whose future lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use beacon_jobs::conformance::{TestProvider, Work};
use beacon_jobs::executor::function::{Call, FunctionExecutor};
use beacon_jobs::executor::{ExecuteError, Executor};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

#[derive(Default)]
struct Counts {
    alive: AtomicUsize,
    begun: AtomicUsize,
    complete: CancellationToken,
}

pub(crate) struct Closures {
    counts: Arc<Counts>,
    executor: FunctionExecutor,
}

/// Counts a closure as alive until its future is dropped.
struct Alive(Arc<Counts>);

impl Alive {
    fn new(counts: Arc<Counts>) -> Self {
        counts.alive.fetch_add(1, Ordering::SeqCst);
        counts.begun.fetch_add(1, Ordering::SeqCst);
        Self(counts)
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Default for Closures {
    fn default() -> Self {
        let counts = Arc::<Counts>::default();
        let executor = FunctionExecutor::new("closure", {
            let counts = Arc::clone(&counts);
            move |call| {
                let alive = Alive::new(Arc::clone(&counts));
                async move {
                    let output = run(&call, &alive.0.complete).await;
                    drop(alive);
                    output
                }
            }
        });
        Self { counts, executor }
    }
}

async fn run(call: &Call, complete: &CancellationToken) -> Result<Value, ExecuteError> {
    match call.input.as_str() {
        Some("ends") => return Ok(json!("ended")),
        Some("fails") => return Err(ExecuteError::failed("told to fail")),
        Some("saves itself") => tokio::select! {
            () = call.token.cancelled() => return Ok(json!("saved")),
            () = complete.cancelled() => {}
        },
        _ => complete.cancelled().await,
    }
    Ok(json!("completed"))
}

#[async_trait]
impl TestProvider for Closures {
    fn executor(&self) -> Arc<dyn Executor> {
        Arc::new(self.executor.clone())
    }

    fn input(&self, work: Work) -> Option<Value> {
        Some(json!(match work {
            Work::Ends => "ends",
            Work::Fails => "fails",
            Work::GoesOn => "goes on",
            Work::SavesItself => "saves itself",
            Work::Ignores => "ignores",
            // A closure takes any input.
            _ => return None,
        }))
    }

    async fn alive(&self) -> usize {
        self.counts.alive.load(Ordering::SeqCst)
    }

    async fn begun(&self) -> usize {
        self.counts.begun.load(Ordering::SeqCst)
    }

    async fn complete(&self) {
        self.counts.complete.cancel();
    }
}
