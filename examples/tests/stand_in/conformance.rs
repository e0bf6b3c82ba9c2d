use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use beacon_jobs::conformance::{ExecutorHarness, Fault, TestProvider, Work};
use beacon_jobs::executor::Executor;
use beacon_jobs::executor_conformance;
use serde_json::{Value, json};
use stand_in::{Client, Faults, Kind, Server, StandInExecutor};

struct Harness(Kind);

struct Provider {
    server: Server,
    kind: Kind,
}

impl ExecutorHarness for Harness {
    type Provider = Provider;

    async fn start(&self) -> Provider {
        Provider { server: Server::open().await.unwrap(), kind: self.0 }
    }
}

#[async_trait]
impl TestProvider for Provider {
    fn executor(&self) -> Arc<dyn Executor> {
        Arc::new(StandInExecutor::new(Client::new(self.server.url(), "the suite"), self.kind))
    }

    fn input(&self, work: Work) -> Option<Value> {
        Some(match work {
            Work::Ends => json!({ "milliseconds": 0 }),
            Work::Fails => json!({ "milliseconds": 0, "fails": true }),
            Work::GoesOn => json!({}),
            Work::SavesItself => json!({ "when_told": "saves_itself" }),
            Work::Ignores => json!({ "when_told": "ignores" }),
            Work::Illegal => json!({ "milliseconds": "many" }),
        })
    }

    async fn alive(&self) -> usize {
        self.server.floor().alive()
    }

    async fn begun(&self) -> usize {
        self.server.floor().begun()
    }

    async fn complete(&self) {
        self.server.floor().complete();
    }

    fn restarted(&self) -> Option<Arc<dyn Executor>> {
        // It keeps nothing in memory.
        Some(self.executor())
    }

    async fn inject(&self, fault: Fault) -> bool {
        let mut faults = Faults::default();
        match fault {
            Fault::StopsFail(times) => faults.failing_stops = times,
            Fault::StartsFail(times) => faults.failing_creates = times,
            Fault::RepliesLost(times) => faults.lost_begins = times,
            Fault::WatchesFail(times) => faults.failing_looks = times,
        }
        self.server.floor().set_faults(faults);
        true
    }
}

/// The suite for a kind that can do this besides what all can.
macro_rules! suite {
    ($kind:expr, $($capability:ident),*) => {
        executor_conformance!(
            Harness($kind),
            require = [
                $($capability,)*
                resume,
                grace,
                failing_work,
                force,
                restart,
                illegal_input,
                stop_faults,
                start_faults,
                lost_replies,
                watch_faults
            ]
        );
    };
}

/// Work is created, then begun, also after a stop.
mod two_step {
    use super::*;
    suite!(Kind::two_step(), two_step);
}

/// Work is created, then begun, but not after a stop.
mod refusing {
    use super::*;
    suite!(Kind::refusing(), two_step, refuses_start_after_stop);
}

/// Creating work begins it.
mod one_step {
    use super::*;

    const KIND: Kind = {
        let mut kind = Kind::one_step();
        // No case is to end because the server has had enough of its work.
        kind.lifetime_limit = Some(Duration::from_secs(3600));
        kind
    };

    suite!(KIND,);
}
