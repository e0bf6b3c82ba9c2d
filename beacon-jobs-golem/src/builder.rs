//! How an executor is set up.

use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::Result;
use beacon_jobs::clock::{Clock, SystemClock};

use crate::client::Client;
use crate::config::Config;
use crate::executor::{GolemExecutor, Inner};
use crate::offer::{Cheapest, Scoring};

/// Times that the executor keeps to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) start_deadline: Duration,
    pub(crate) confirm_limit: Duration,
    pub(crate) offer_limit: Duration,
    pub(crate) offer_window: Duration,
    pub(crate) lifetime: Duration,
    pub(crate) most_lifetime: Duration,
    pub(crate) note_interval: Duration,
    pub(crate) accept_timeout: Duration,
    pub(crate) destroy_limit: Duration,
    pub(crate) invoice_limit: Duration,
    pub(crate) settle_limit: Duration,
    pub(crate) poll: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            start_deadline: Duration::from_secs(75),
            confirm_limit: Duration::from_secs(600),
            offer_limit: Duration::from_secs(300),
            offer_window: Duration::from_secs(5),
            lifetime: Duration::from_secs(30 * 60),
            most_lifetime: Duration::from_secs(24 * 3600),
            note_interval: Duration::from_secs(120),
            accept_timeout: Duration::from_secs(240),
            destroy_limit: Duration::from_secs(10),
            invoice_limit: Duration::from_secs(60),
            settle_limit: Duration::from_secs(3600),
            poll: Duration::from_secs(5),
        }
    }
}

/// Sets up a [`GolemExecutor`].
#[derive(Debug)]
pub struct Builder {
    config: Config,
    name: String,
    subnet: String,
    platform: String,
    limits: Limits,
    scoring: Arc<dyn Scoring>,
    clock: Arc<dyn Clock>,
}

impl Builder {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            name: "golem".to_owned(),
            subnet: "public".to_owned(),
            platform: "erc20-holesky-tglm".to_owned(),
            limits: Limits::default(),
            scoring: Arc::new(Cheapest),
            clock: Arc::new(SystemClock),
        }
    }

    /// The name that executions refer to. `golem` if it is not set.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The subnet of executions that name none. `public` if it is not set.
    #[must_use]
    pub fn with_subnet(mut self, subnet: impl Into<String>) -> Self {
        self.subnet = subnet.into();
        self
    }

    /// With what executions are paid that name nothing else. `erc20-holesky-tglm` if it is not set: a
    /// network for tests. Real money is `erc20-polygon-glm`.
    #[must_use]
    pub fn with_payment_platform(mut self, platform: impl Into<String>) -> Self {
        self.platform = platform.into();
        self
    }

    /// How offers are chosen. The cheapest one if it is not set.
    #[must_use]
    pub fn with_scoring(mut self, scoring: Arc<dyn Scoring>) -> Self {
        self.scoring = scoring;
        self
    }

    /// How long a request that creates or begins something may be on its way: so long is a provider's
    /// approval and the creation of an activity waited for, and no stop is confirmed before that is
    /// over. 75 seconds if it is not set.
    #[must_use]
    pub const fn with_start_deadline(mut self, limit: Duration) -> Self {
        self.limits.start_deadline = limit;
        self
    }

    /// After how long an open stop is shown as unconfirmed; it goes on all the same. Ten minutes
    /// if it is not set.
    #[must_use]
    pub const fn with_confirm_limit(mut self, limit: Duration) -> Self {
        self.limits.confirm_limit = limit;
        self
    }

    /// How long is looked for an offer, and for how long after the first that fits better ones are waited
    /// for. Five minutes and five seconds if it is not set.
    #[must_use]
    pub const fn with_offers(mut self, limit: Duration, window: Duration) -> Self {
        self.limits.offer_limit = limit;
        self.limits.offer_window = window;
        self
    }

    /// How long work may live that does not say so itself, and how long any may. The provider is told, and ends
    /// it then by itself. 30 minutes and a day if it is not set. (A stock provider of yagna 0.17.6 takes
    /// five minutes at least.)
    #[must_use]
    pub const fn with_lifetime(mut self, usual: Duration, most: Duration) -> Self {
        self.limits.lifetime = usual;
        self.limits.most_lifetime = most;
        self
    }

    /// The dead man's switch: how often the provider sends a debit note, and for how long it works
    /// on without its acceptance. Whole seconds; 120 and 240 if it is not set, as a stock provider offers.
    #[must_use]
    pub const fn with_debit_notes(mut self, interval: Duration, accept_timeout: Duration) -> Self {
        self.limits.note_interval = interval;
        self.limits.accept_timeout = accept_timeout;
        self
    }

    /// How long the daemon waits in one call for the provider to say that an activity has ended. Ten
    /// seconds if it is not set; it must leave time for other calls within the runner's
    /// [`stop_call_limit`](beacon_jobs::runner::RunnerOptions::stop_call_limit).
    #[must_use]
    pub const fn with_destroy_limit(mut self, limit: Duration) -> Self {
        self.limits.destroy_limit = limit;
        self
    }

    /// How long an execution that is done waits for its invoice, so that its output tells what it cost; and
    /// how long a late invoice is waited for in the background before the money is given back.
    /// A minute and an hour if it is not set.
    #[must_use]
    pub const fn with_invoices(mut self, limit: Duration, late: Duration) -> Self {
        self.limits.invoice_limit = limit;
        self.limits.settle_limit = late;
        self
    }

    /// How often is looked for debit notes and invoices. Five seconds if it is not set.
    #[must_use]
    pub const fn with_poll(mut self, pause: Duration) -> Self {
        self.limits.poll = pause;
        self
    }

    /// Where the executor's time comes from. The machine's clock if it is not set.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Makes the executor. Nothing is sent before its first call.
    ///
    /// # Errors
    /// `Misconfigured` when the daemon's address is no URL, or the key cannot be sent.
    pub fn build(self) -> Result<GolemExecutor> {
        let inner = Inner {
            client: Client::new(&self.config, self.clock)?,
            limits: self.limits,
            name: self.name,
            subnet: self.subnet,
            platform: self.platform,
            scoring: self.scoring,
            tails: std::sync::Mutex::default(),
        };
        Ok(GolemExecutor { inner: Arc::new(inner) })
    }
}
