//! The scenarios that a genuine daemon passes too, on the fake.

use std::sync::Arc;

use beacon_jobs_golem::Builder;
use beacon_jobs_golem::fake::{Approval, Yagna};

use crate::bed::{self, quick};
use crate::scenarios::{self, Books, Trouble, World, each_scenario};

struct Fake(Yagna);

impl Fake {
    async fn new() -> Arc<Self> {
        let fake = Self(bed::yagna().await);
        fake.0.behave(|behaviour| behaviour.image = Some("cd".repeat(28)));
        Arc::new(fake)
    }
}

impl World for Fake {
    fn executor(&self) -> Builder {
        quick(&self.0.config())
    }

    fn alive(&self) -> usize {
        self.0.alive()
    }

    fn computing(&self) -> usize {
        self.0.computing()
    }

    fn begun(&self) -> usize {
        self.0.begun()
    }

    async fn books(&self) -> Books {
        let is_open = |state: &str| matches!(state, "Approved" | "Pending");
        Books {
            agreements: self.0.agreements().iter().filter(|it| is_open(&it.state)).count(),
            allocations: self.0.allocations(),
            demands: self.0.demands(),
            invoices_accepted: self.0.invoices_accepted(),
            notes_accepted: self.0.received("AcceptDebitNote"),
        }
    }

    async fn make(&self, trouble: Trouble) {
        self.0.behave(|behaviour| match trouble {
            Trouble::CreateIsLate(late) => behaviour.create_is_late = late,
            Trouble::NoApproval(none) => {
                behaviour.approval = if none { Approval::Never } else { Approval::Yes }
            }
            Trouble::Frozen(frozen) => behaviour.frozen = frozen,
            Trouble::EndsAfter(time) => behaviour.end_after = time,
            Trouble::InvoiceAfter(time) => behaviour.invoice_after = Some(time),
            Trouble::NoteEvery(time) => behaviour.note_every = time,
            Trouble::NoStream(none) => behaviour.streams = !none,
        });
    }

    fn complete(&self) {
        self.0.complete();
    }

    async fn kill_daemon(&self) {
        self.0.kill();
    }

    async fn restart_daemon(&self) {
        self.0.restart().await.unwrap();
    }
}

macro_rules! test_each {
    ($($scenario:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $scenario() {
                scenarios::$scenario(&Fake::new().await).await;
            }
        )*
    };
}
each_scenario!(test_each);
