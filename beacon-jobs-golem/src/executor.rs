//! The executor: how work is begun at a provider so that it cannot be lost.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use beacon_jobs::clock::Clock;
use beacon_jobs::executor::{Capabilities, ExecuteError, ExecutionContext, Executor};
use beacon_jobs::job::FailureKind;
use beacon_jobs::stop::{Handle, StopError, StopRequest, StopStatus};
use beacon_jobs::{Error, ErrorKind, Result};
use serde_json::Value;

use crate::builder::{Builder, Limits};
use crate::call::Input;
use crate::client::Client;
use crate::config::Config;
use crate::convert;
use crate::deal::{Deal, Phase, marked, session_of};
use crate::error::CallError;
use crate::offer::Scoring;

/// How long the daemon is asked to hold a call that waits for others.
const HOLD: Duration = Duration::from_secs(5);
/// The pause between two looks at what may have arrived.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// How long money stays aside after the work's lifetime and the wait for its invoice.
const SPARE: Duration = Duration::from_secs(600);

/// Runs executions on machines of Golem Network, through a local `yagna`.
///
/// The input of an execution names a runtime, what is run in it, and what that may cost, in GLM:
///
/// ```json
/// {"runtime": {"image": {"hash": "…", "url": "https://…/image.gvmi"}},
///  "commands": [{"transfer": {"from": "https://…/data", "to": "container:/golem/input/data"}},
///               {"run": {"entry_point": "/bin/sh", "args": ["-c", "wc /golem/input/data"]}}],
///  "budget": "1.0",
///  "max_price": {"start": "0.1", "cpu_hour": "0.5", "env_hour": "0.5"},
///  "providers": {"allow": [], "deny": ["0x…"]},
///  "subnet": "public", "payment_platform": "erc20-polygon-glm", "lifetime_seconds": 1800}
/// ```
///
/// `runtime`, `commands` and `budget` are needed. The image's hash is its SHA3-224, which the provider checks. Another
/// runtime than `vm` is asked for by name: `{"name": "wasmtime", "properties": {…}, "constraints": ["(…)"]}`;
/// properties and constraints go into the demand as they are, also beside an image. The runtime is
/// deployed and started before the first command.
///
/// The output holds what each command brought, who ran it, and what it cost:
///
/// ```json
/// {"results": [{"ok": true, "stdout": null, "stderr": null}, {"ok": true, "stdout": "3 9 21\n", "stderr": null}],
///  "provider": {"id": "0x…", "name": "…"}, "agreement": "…",
///  "cost": {"amount": "0.0123", "platform": "erc20-polygon-glm", "state": "accepted", "invoice": "…"}}
/// ```
///
/// `state` is `accepted`, `open` (no invoice came in time; a later one is accepted in the background) or `refused` (it asks
/// for more than the budget).
///
/// # How work begins
/// The attempt's handle is saved before money is put aside, and again with the agreement's id before the
/// provider hears of the agreement: until then nothing can run. One agreement and at most one activity
/// belong to an attempt, and all are found again by the session id that is made of the attempt's.
///
/// # How far it is
/// While the commands run, `progress` counts those that are done, and its message says what is under way: `deploy` or
/// `start` of the runtime, `run /bin/sh`, `transfer to container:/…`, with the last line that it printed where the provider streams
/// that. (A stock provider of yagna 0.17.6 does not: outputs are asked for at the end of a command.) The executor
/// listens to the daemon's stream, and asks for the end of one command after the other where there is none. Both
/// are hints: what becomes of the work is read from its results alone, which neither can hold up.
///
/// # How it ends
/// A stop accepts no more debit notes, takes back or terminates the agreement, and destroys the activity until its
/// provider says that it has ended. **That is the provider's statement**: compute on a stranger's machine cannot be
/// proven to have stopped, and the evidence says `attested_by: provider`. An agreement that was terminated
/// while its activity is unknown is no more than acknowledged. There is no grace: nothing can
/// be said to work on Golem but that it ends. Bills that come later are settled in the background, and never hold
/// up a stop.
///
/// The address of the daemon is most often one of loopback. Where several nodes use daemons of different
/// identities, each says so of the others' work, and leaves it to them.
#[derive(Clone)]
pub struct GolemExecutor {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) client: Client,
    pub(crate) limits: Limits,
    pub(crate) name: String,
    pub(crate) subnet: String,
    pub(crate) platform: String,
    pub(crate) scoring: Arc<dyn Scoring>,
    /// What is settled in the background.
    pub(crate) tails: Mutex<HashSet<String>>,
}

impl GolemExecutor {
    /// An executor for this daemon, with the usual limits.
    ///
    /// # Errors
    /// `Misconfigured` when the configuration cannot be used. Nothing is sent yet.
    pub fn new(config: &Config) -> Result<Self> {
        Self::builder(config).build()
    }

    /// An executor to be set up.
    #[must_use]
    pub fn builder(config: &Config) -> Builder {
        Builder::new(config.clone())
    }

    /// Takes up the payments that processes left open when they died: money that is aside for
    /// agreements of this crate which are over. Tells how many there were; they are settled in the
    /// background. Call it when a node starts.
    ///
    /// # Errors
    /// `Unavailable` when the daemon does not answer as it should.
    ///
    /// # Cancellation safety
    /// May be dropped at any await; what was found by then is settled.
    pub async fn recover(&self) -> Result<usize> {
        let found = self.inner.open_payments().await;
        found.map_err(|error| Error::new(ErrorKind::Unavailable, error.to_string()).with_source(error))
    }
}

/// An attempt that is to end needs no more.
pub(crate) fn told_to_end() -> ExecuteError {
    ExecuteError::new(FailureKind::Refused, "the attempt is to end")
}

impl Inner {
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.client.clock
    }

    fn read(&self, input: &Value) -> Result<Input> {
        Input::read(input, self.limits.most_lifetime.as_secs())
    }

    async fn plan(&self, cx: &ExecutionContext, input: &Input) -> Result<Deal, ExecuteError> {
        let invalid = |error: Error| ExecuteError::new(FailureKind::InvalidInput, error.to_string());
        let identity = self.client.identity().await.map_err(CallError::into_execute_error)?;
        let limits = &self.limits;
        let lifetime = input.lifetime_seconds.map_or(limits.lifetime, Duration::from_secs);
        let now = self.clock().now();
        let expires_at = now + lifetime;
        Ok(Deal {
            session: session_of(cx.attempt_id()),
            identity: identity.to_owned(),
            phase: Phase::Planned,
            budget: input.budget().map_err(invalid)?,
            platform: input.payment_platform.clone().unwrap_or_else(|| self.platform.clone()),
            made_at: now,
            expires_at,
            allocation_ends_at: marked(expires_at + limits.settle_limit + SPARE, cx.attempt_id()),
            allocation: None,
            demand: None,
            agreement: None,
            provider: None,
            activity: None,
            batch: None,
            note_interval: limits.note_interval.as_secs(),
            accept_timeout: limits.accept_timeout.as_secs(),
        })
    }

    /// From an input to a script that runs.
    async fn begin(&self, cx: &ExecutionContext) -> Result<Deal, ExecuteError> {
        let invalid = |error: Error| ExecuteError::new(FailureKind::InvalidInput, error.to_string());
        let input = self.read(&cx.spec().input).map_err(invalid)?;
        let ceiling = input.ceiling().map_err(invalid)?;
        let subnet = input.subnet.as_deref().unwrap_or(&self.subnet);
        let mut deal = self.plan(cx, &input).await?;
        cx.save_handle(&deal.handle()?).await?;

        let limit = self.limits.start_deadline;
        let (client, ends_at) = (&self.client, deal.allocation_ends_at);
        let allocation = client.allocate(deal.budget, &deal.platform, ends_at, limit);
        let allocation = self.starting(cx, allocation).await?;
        deal.allocation = Some(allocation.clone());
        let paid = client.decorations(&allocation).await.map_err(CallError::into_execute_error)?;
        let terms = convert::demand(&input, &deal, subnet, &paid);
        let demand = self.starting(cx, client.subscribe(&terms, limit)).await?;
        deal.demand = Some(demand.clone());

        let (proposal, offer) = self.negotiate(cx, &demand, &terms, &ceiling, &input.providers).await?;
        deal.provider = Some((offer.provider_id, offer.provider_name));
        let agreement = client.create_agreement(&proposal, deal.expires_at, limit);
        let agreement = self.starting(cx, agreement).await?;
        deal.agreement = Some(agreement.clone());
        deal.phase = Phase::Agreed;
        cx.save_handle(&deal.handle()?).await?;
        self.starting(cx, self.agree(&agreement, &deal.session)).await?;

        let activity = self.ask_for_activity(cx, &mut deal, &agreement).await?;
        deal.activity = Some(activity.clone());
        deal.phase = Phase::Active;
        cx.save_handle(&deal.handle()?).await?;
        let script = convert::script(&input.commands);
        deal.batch = Some(self.starting(cx, client.exec(&activity, &script, limit)).await?);
        cx.save_handle(&deal.handle()?).await?;
        Ok(deal)
    }

    /// Asks for the activity, and saves before that it is asked for.
    async fn ask_for_activity(
        &self,
        cx: &ExecutionContext,
        deal: &mut Deal,
        agreement: &str,
    ) -> Result<String, ExecuteError> {
        deal.phase = Phase::Creating;
        let asked = match cx.save_handle(&deal.handle()?).await {
            Ok(()) => self.starting(cx, self.create(agreement)).await,
            Err(error) => Err(error),
        };
        if asked.as_ref().is_err_and(|error| error.failure().kind == FailureKind::Refused) {
            // It was not asked for, and a stop can be confirmed only where that is on record.
            deal.phase = Phase::Agreed;
            if let Err(error) = cx.save_handle(&deal.handle()?).await {
                tracing::debug!(%error, agreement, "the permit stays refused");
            }
        }
        asked
    }

    /// Sends what creates or begins something. One without an answer is taken to be on its way until its
    /// deadline, whatever became of the connection.
    async fn starting<T: Send>(
        &self,
        cx: &ExecutionContext,
        request: impl Future<Output = Result<T, CallError>> + Send,
    ) -> Result<T, ExecuteError> {
        let request = async {
            match request.await {
                Err(error) if error.may_be_on_its_way() => {
                    tracing::debug!(%error, "it may still arrive");
                    std::future::pending().await
                }
                answer => answer,
            }
        };
        cx.starting(self.limits.start_deadline, request).await?.map_err(CallError::into_execute_error)
    }

    /// Shows the agreement to the provider, and waits for its word.
    async fn agree(&self, agreement: &str, session: &str) -> Result<(), CallError> {
        let confirmed = self.client.confirm(agreement, session).await;
        let is_lost = confirmed.as_ref().is_err_and(CallError::may_be_on_its_way);
        if !is_lost {
            confirmed?;
        }
        loop {
            let answer = self.client.wait_for_approval(agreement, HOLD).await;
            match answer {
                Err(error) if error.is_transient() => {}
                // So it says of an agreement whose confirmation has not arrived.
                Err(error) if is_lost && error.status() == Some(400) => {}
                answer => return answer,
            }
            self.clock().sleep(LOOK_PAUSE).await;
        }
    }

    /// Asks for the activity. One whose reply was lost on its way to us is found in the daemon's list; one
    /// whose reply was lost on its way to the daemon is not, and ends with the agreement.
    async fn create(&self, agreement: &str) -> Result<String, CallError> {
        let hold = self.limits.start_deadline * 4 / 5;
        let error = match self.client.create_activity(agreement, hold).await {
            Ok(activity) => return Ok(activity),
            Err(error) => error,
        };
        loop {
            if let Ok(known) = self.client.activities(agreement).await
                && let [activity] = &known[..]
            {
                return Ok(activity.clone());
            }
            if !error.may_be_on_its_way() {
                return Err(error);
            }
            self.clock().sleep(LOOK_PAUSE).await;
        }
    }

    /// Why a deal cannot be reached from here.
    pub(crate) async fn elsewhere(&self, deal: &Deal) -> Result<Option<String>, CallError> {
        let identity = self.client.identity().await?;
        Ok((deal.identity != identity).then(|| {
            format!("the work was begun by the node {}, and this key is of {identity}", deal.identity)
        }))
    }
}

#[async_trait]
impl Executor for GolemExecutor {
    fn name(&self) -> &str {
        &self.inner.name
    }

    fn capabilities(&self) -> Capabilities {
        let limits = &self.inner.limits;
        let mut capabilities = Capabilities::default();
        capabilities.two_step = true;
        capabilities.resume = true;
        // An agreement that was not shown to the provider yet cannot be ended, and could still be.
        capabilities.refuses_start_after_stop = false;
        capabilities.grace = false;
        capabilities.lifetime_limit = Some(limits.most_lifetime);
        capabilities.start_deadline = limits.start_deadline;
        capabilities.confirm_limit = limits.confirm_limit;
        capabilities
    }

    fn check_input(&self, input: &Value) -> Result<()> {
        self.inner.read(input).map(drop)
    }

    async fn execute(&self, cx: &ExecutionContext) -> Result<Value, ExecuteError> {
        let inner = &self.inner;
        let deal = match cx.saved_handle() {
            None => inner.begin(cx).await?,
            Some(handle) => {
                let deal: Deal =
                    handle.read().map_err(|error: Error| ExecuteError::interrupted(error.to_string()))?;
                if let Some(why) = inner.elsewhere(&deal).await.map_err(CallError::into_execute_error)? {
                    return Err(ExecuteError::interrupted(why));
                }
                deal
            }
        };
        let token = cx.token();
        tokio::select! {
            biased;
            () = token.cancelled() => Err(told_to_end()),
            output = inner.watch(cx, deal) => output,
        }
    }

    async fn stop(&self, handle: &Handle, request: &StopRequest) -> Result<StopStatus, StopError> {
        self.inner.climb(handle.read()?, request).await
    }
}

impl fmt::Display for GolemExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Golem through yagna at {}", self.inner.client.api())
    }
}

impl fmt::Debug for GolemExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GolemExecutor")
            .field("name", &self.inner.name)
            .field("api", &self.inner.client.api())
            .field("limits", &self.inner.limits)
            .finish_non_exhaustive()
    }
}
