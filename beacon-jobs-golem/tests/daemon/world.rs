//! The network as the scenarios see it.

use std::time::Duration;

use beacon_jobs_golem::{Builder, Config, GolemExecutor};
use serde_json::Value;

use crate::network::Network;
use crate::scenarios::{Books, Trouble, World};

/// Longer than a start takes that goes well: a daemon looks for news of an activity once in a second.
pub(crate) const START_DEADLINE: Duration = Duration::from_secs(5);

impl Network {
    pub(crate) fn config(&self) -> Config {
        let api = &self.requestor.api;
        Config::new(api.key.clone()).with_api_url(api.base.clone())
    }

    /// Undoes all trouble that was made.
    pub(crate) fn calm(&self) {
        self.provider.behave(|manners| *manners = crate::provider::Manners::default());
        self.let_complete(false);
    }

    /// How many rows of a list have one of these values in a field.
    async fn count(&self, path: &str, field: &str, values: &[&str]) -> usize {
        let rows = self.requestor.api.get(path).await.unwrap_or_default();
        let fits = |row: &&Value| row[field].as_str().is_some_and(|it| values.contains(&it));
        rows.as_array().into_iter().flatten().filter(fits).count()
    }

    async fn length(&self, path: &str) -> usize {
        self.requestor.api.get(path).await.ok().and_then(|rows| rows.as_array().map(Vec::len)).unwrap_or(1)
    }
}

impl World for Network {
    fn executor(&self) -> Builder {
        GolemExecutor::builder(&self.config())
            .with_start_deadline(START_DEADLINE)
            .with_offers(Duration::from_secs(30), Duration::ZERO)
            .with_destroy_limit(Duration::from_secs(3))
            .with_poll(Duration::from_millis(100))
            .with_invoices(Duration::from_secs(20), Duration::from_secs(40))
    }

    fn alive(&self) -> usize {
        self.provider.alive()
    }

    fn computing(&self) -> usize {
        self.provider.computing()
    }

    fn begun(&self) -> usize {
        self.provider.begun()
    }

    async fn books(&self) -> Books {
        let approved = self.length("/market-api/v1/agreements?state=Approved").await;
        let pending = self.length("/market-api/v1/agreements?state=Pending").await;
        Books {
            agreements: approved + pending,
            allocations: self.length("/payment-api/v1/allocations").await,
            demands: self.length("/market-api/v1/demands").await,
            invoices_accepted: self.count("/payment-api/v1/invoices", "status", &["ACCEPTED"]).await,
            notes_accepted: self.count("/payment-api/v1/debitNotes", "status", &["ACCEPTED"]).await,
        }
    }

    async fn make(&self, trouble: Trouble) {
        match trouble {
            Trouble::Frozen(frozen) => self.provider_daemon.freeze(frozen).await,
            other => self.provider.behave(|manners| match other {
                Trouble::CreateIsLate(late) => {
                    manners.create_after = if late { START_DEADLINE * 2 } else { Duration::ZERO };
                }
                Trouble::NoApproval(none) => manners.approves = !none,
                Trouble::EndsAfter(time) => manners.end_after = time,
                Trouble::InvoiceAfter(time) => manners.invoice_after = Some(time),
                Trouble::NoteEvery(time) => manners.note_every = time,
                Trouble::NoStream(none) => manners.streams = !none,
                Trouble::Frozen(_) => {}
            }),
        }
    }

    fn complete(&self) {
        self.let_complete(true);
    }

    async fn kill_daemon(&self) {
        self.requestor.kill().await;
    }

    async fn restart_daemon(&self) {
        self.requestor.again().await;
    }
}
