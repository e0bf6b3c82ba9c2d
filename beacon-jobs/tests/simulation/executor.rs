//! The executors: what a node sends to the provider, and what becomes of it on the way.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use beacon_jobs::AttemptId;
use beacon_jobs::executor::{Capabilities, ExecuteError, ExecutionContext, Executor};
use beacon_jobs::job::ExecutionProgress;
use beacon_jobs::stop::{Handle, StopError, StopRequest, StopStatus};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::mutations::Break;
use super::node::{Life, Power};
use super::provider::{CALL_LIMIT, Kind, LATEST, Reply, Request, StopHow, Work};
use super::world::{World, short};

#[derive(Debug, Deserialize)]
struct Input {
    works_ms: u64,
    fails: bool,
    saves_ms: u64,
}

/// An executor of one kind on one node.
#[derive(Debug)]
pub struct Remote {
    pub world: Arc<World>,
    pub life: Arc<Life>,
    pub kind: Kind,
}

/// What becomes of a request.
enum Fate {
    Answered { there: Duration, back: Duration },
    Lost { at_once: bool },
    ReplyLost { there: Duration, at_once: bool },
    Refused { there: Duration },
}

struct CallFailed(&'static str);

impl Remote {
    fn fate(&self) -> Fate {
        let world = &self.world;
        world.chance(|rng, faults, away| {
            if away || rng.percent(faults.call_refused) {
                return Fate::Refused { there: rng.millis(0, 200) };
            }
            let late = rng.percent(faults.call_late);
            let latest = u64::try_from(LATEST.as_millis()).unwrap();
            let there = if late { rng.millis(200, latest) } else { rng.millis(0, 30) };
            if rng.percent(faults.call_lost) {
                return Fate::Lost { at_once: rng.percent(50) };
            }
            if rng.percent(faults.reply_lost) {
                return Fate::ReplyLost { there, at_once: rng.percent(50) };
            }
            Fate::Answered { there, back: rng.millis(0, 30) }
        })
    }

    /// Sends a request. Once sent it arrives, or does not, whatever becomes of the sender.
    async fn call(
        &self,
        name: &'static str,
        attempt: AttemptId,
        request: Request,
    ) -> Result<Reply, CallFailed> {
        let begins = match request {
            Request::Create(kind, _) => Some(!kind.two_step()),
            Request::Begin => Some(true),
            Request::Look | Request::Stop { .. } => None,
        };
        if self.life.power() == Power::Crashed {
            std::future::pending::<()>().await;
        }
        // The permit was looked at just now: what happens between here and the wire is no second look.
        if let Some(begins) = begins {
            self.world.check_send(&self.life, attempt, name, begins);
        }
        self.world.catch(&self.life, name, true);
        if begins.is_some() && self.life.power() == Power::Frozen && self.is_caught_within_a_poll() {
            let world = Arc::clone(&self.world);
            self.life.at_thaw(move || {
                world.arrive(attempt, request);
            });
            std::future::pending::<()>().await;
        }
        let caught = self.world.clock.elapsed();
        self.life.gate().await;
        if begins.is_some() {
            self.world.check_late_send(&self.life, attempt, name, caught);
        }
        let (tell, told) = oneshot::channel();
        let there = |there: Duration, back: Option<Duration>| {
            if begins.is_some() {
                self.world.count_on_the_way(attempt, true);
            }
            let world = Arc::clone(&self.world);
            tokio::spawn(async move {
                tokio::time::sleep(there).await;
                if begins.is_some() {
                    world.count_on_the_way(attempt, false);
                }
                let reply = world.arrive(attempt, request);
                if let Some(back) = back {
                    tokio::time::sleep(back).await;
                }
                let _ = tell.send(reply);
            });
        };
        let fate = self.fate();
        if !matches!(fate, Fate::Answered { .. }) {
            self.world.fault(|| format!("n{} {name} {}", self.life.node, short(attempt)), &fate);
        }
        let reply = match fate {
            Fate::Answered { there: time, back } => {
                there(time, Some(back));
                self.sent(begins).await;
                told.await.map_err(|_| CallFailed("the connection broke"))
            }
            Fate::Lost { at_once } => {
                if !at_once {
                    std::future::pending::<()>().await;
                }
                Err(CallFailed("the request was lost"))
            }
            Fate::ReplyLost { there: time, at_once } => {
                there(time, None);
                self.sent(begins).await;
                // Whoever says that the connection broke says that nothing more comes of it.
                let _ = told.await;
                if !at_once {
                    std::future::pending::<()>().await;
                }
                Err(CallFailed("the reply was lost"))
            }
            Fate::Refused { there } => {
                tokio::time::sleep(there).await;
                Err(CallFailed("the provider answered 503"))
            }
        };
        self.world.pass(&self.life, name, false).await;
        reply
    }

    /// A process that is frozen within a poll sends at its thaw, before anything else of it moves.
    /// Between two polls it sends only if it is polled again.
    fn is_caught_within_a_poll(&self) -> bool {
        self.world.chance(|rng, _, _| rng.percent(50))
    }

    /// A request that creates or begins is on its way.
    async fn sent(&self, begins: Option<bool>) {
        if begins.is_some() {
            self.world.pass(&self.life, "sent", true).await;
        }
    }

    /// Sends a request that creates or begins.
    async fn start(
        &self,
        cx: &ExecutionContext,
        name: &'static str,
        request: Request,
    ) -> Result<(), ExecuteError> {
        let call = self.call(name, cx.attempt_id(), request);
        let reply = if self.world.breaks(Break::RequestsAreNotCounted) {
            tokio::time::timeout(CALL_LIMIT, call).await.unwrap_or(Err(CallFailed("no reply")))
        } else {
            cx.starting(CALL_LIMIT, call).await?
        };
        match reply {
            Ok(Reply::Done) => Ok(()),
            Ok(_) => Err(ExecuteError::failed("the provider refuses it")),
            Err(CallFailed(why)) => Err(ExecuteError::failed(why).retryable()),
        }
    }

    async fn watch(&self, attempt: AttemptId, fails: bool) -> Result<Value, ExecuteError> {
        let world = &self.world;
        let breaks_after =
            world.chance(|rng, faults, _| rng.percent(faults.watch_lost).then(|| rng.millis(0, 5_000)));
        let mut broken = std::pin::pin!(async {
            match breaks_after {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        });
        loop {
            let mut changed = std::pin::pin!(world.provider.changed.notified());
            changed.as_mut().enable();
            let Some(object) = world.object(attempt) else {
                return Err(ExecuteError::interrupted("there is no such work"));
            };
            match object.work {
                Work::Inert if world.breaks(Break::ReattachOnlyWaits) => changed.await,
                Work::Inert => return Err(ExecuteError::interrupted("it never began")),
                Work::Alive => {
                    let through = async {
                        match object.done_at {
                            Some(at) => world.clock.until(at).await,
                            None => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        biased;
                        () = changed => {}
                        () = &mut broken => {
                            self.life.gate().await;
                            world.fault(|| format!("watch of {}", short(attempt)), &"lost");
                            return Err(ExecuteError::failed("the watch broke").retryable());
                        }
                        () = through => {
                            self.life.gate().await;
                            world.complete(attempt);
                        }
                    }
                }
                Work::Done if fails => return Err(ExecuteError::failed("the work failed").retryable()),
                Work::Done => return Ok(json!({ "attempt": attempt })),
                Work::Stopped => {
                    return Err(
                        ExecuteError::failed("it was stopped").with_output(json!({ "saved_by": attempt }))
                    );
                }
            }
            self.life.gate().await;
        }
    }

    async fn attach(&self, cx: &ExecutionContext, fails: bool) -> Result<Value, ExecuteError> {
        let attempt = cx.attempt_id();
        let look = self.call("look", attempt, Request::Look);
        match tokio::time::timeout(CALL_LIMIT, look).await {
            Ok(Ok(Reply::Seen(Some(Work::Inert)))) if self.world.breaks(Break::ReattachFeeds) => {
                let _ = self.call("begin", attempt, Request::Begin).await;
                self.watch(attempt, fails).await
            }
            Ok(Ok(Reply::Seen(Some(Work::Inert)))) if self.world.breaks(Break::ReattachOnlyWaits) => {
                self.watch(attempt, fails).await
            }
            Ok(Ok(Reply::Seen(None | Some(Work::Inert)))) => Err(ExecuteError::interrupted("it never began")),
            Ok(Ok(_)) => self.watch(attempt, fails).await,
            Ok(Err(CallFailed(why))) => Err(ExecuteError::interrupted(why)),
            Err(_) => Err(ExecuteError::interrupted("the provider does not say")),
        }
    }
}

#[async_trait]
impl Executor for Remote {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.kind.capabilities();
        if self.world.breaks(Break::NoCallDeadlineAfterTheEnd) {
            capabilities.start_deadline = Duration::ZERO;
        }
        capabilities
    }

    async fn execute(&self, cx: &ExecutionContext) -> Result<Value, ExecuteError> {
        let input: Input = cx.input()?;
        if cx.saved_handle().is_some() {
            return self.attach(cx, input.fails).await;
        }
        let attempt = cx.attempt_id();
        let plan = (Duration::from_millis(input.works_ms), Duration::from_millis(input.saves_ms));
        self.start(cx, "create", Request::Create(self.kind, plan)).await?;
        let saved = cx.save_handle(&Handle::new(json!({ "object": attempt }))).await;
        if let Err(error) = saved {
            if self.world.breaks(Break::RefusedSaveFeeds) && self.kind.two_step() {
                let _ = self.call("begin", attempt, Request::Begin).await;
            }
            return Err(error);
        }
        if self.kind.two_step() {
            self.start(cx, "begin", Request::Begin).await?;
        }
        cx.report_progress(ExecutionProgress::new(0).of(1));
        let done = self.watch(attempt, input.fails).await;
        cx.report_progress(ExecutionProgress::new(1).of(1));
        done
    }

    async fn stop(&self, handle: &Handle, request: &StopRequest) -> Result<StopStatus, StopError> {
        assert_eq!(handle.as_value()["object"], json!(request.attempt));
        let how = self.world.chance(|rng, faults, _| {
            if rng.percent(faults.stop_ignored) {
                StopHow::Never
            } else if rng.percent(faults.stop_acknowledged) {
                StopHow::After(rng.millis(0, 15_000))
            } else {
                StopHow::AtOnce
            }
        });
        let stop = Request::Stop { grace: request.grace, how };
        match self.call("stop", request.attempt, stop).await {
            Ok(Reply::Ended(was)) => {
                Ok(StopStatus::Confirmed { evidence: json!({ "was": format!("{was:?}") }) })
            }
            Ok(_) => Ok(StopStatus::Acknowledged {
                evidence: json!({ "heard": true }),
                ask_again: Duration::from_millis(500),
            }),
            Err(CallFailed(why)) => Err(StopError::new(why)),
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())
    }
}

impl fmt::Debug for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answered { .. } => "answered",
            Self::Lost { .. } => "request lost",
            Self::ReplyLost { .. } => "reply lost",
            Self::Refused { .. } => "503",
        })
    }
}
