use std::sync::{Arc, Mutex};

use beacon_jobs::conformance::{StoreAnswer, StoreCall, StoreHooks};
use beacon_jobs::{Error, ErrorKind, Result};
use tokio::sync::Notify;

/// What befalls the calls that the API makes.
#[derive(Clone, Debug, Default)]
pub(crate) enum Fault {
    #[default]
    None,
    /// The store is out of reach before the call.
    Away,
    /// The call is committed, and its answer is lost.
    ReplyLost,
    /// Reads fail, writes work.
    BlindReads,
    /// The store holds what cannot be read. The text is what a store would say of it.
    Corrupt(&'static str),
    /// The call is committed; then tells `reached`, and answers after `go`.
    Slow { reached: Arc<Notify>, go: Arc<Notify> },
}

/// Around a store: makes the API's calls fail on demand. All clones fail together.
#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<Fault>>);

impl Faults {
    pub(crate) fn set(&self, fault: Fault) {
        *self.0.lock().unwrap() = fault;
    }

    fn now(&self) -> Fault {
        self.0.lock().unwrap().clone()
    }
}

fn reads(call: &StoreCall<'_>) -> bool {
    use StoreCall::{Audit, Check, DrivenStops, Get, List, Outline};
    matches!(call, Check | DrivenStops | Get(..) | Outline(_) | List(_) | Audit(_))
}

fn writes(call: &StoreCall<'_>) -> bool {
    use StoreCall::{Cancel, CancelMany, Submit};
    matches!(call, Submit(_) | Cancel(..) | CancelMany(..))
}

impl StoreHooks for Faults {
    async fn before(&self, call: &StoreCall<'_>) -> Result<()> {
        let (reads, writes) = (reads(call), writes(call));
        match self.now() {
            Fault::Away if reads || writes => Err(away()),
            Fault::BlindReads if reads => Err(away()),
            Fault::Corrupt(text) if reads || writes => Err(Error::new(ErrorKind::Corrupt, text)),
            _ => Ok(()),
        }
    }

    async fn after(&self, call: &StoreCall<'_>, answer: Result<StoreAnswer<'_>, &Error>) -> Result<()> {
        match self.now() {
            Fault::ReplyLost if writes(call) && answer.is_ok() => {
                Err(Error::new(ErrorKind::OutcomeUnknown, "lost at /var/lib/secret-place/jobs.db"))
            }
            Fault::Slow { reached, go } if writes(call) => {
                reached.notify_one();
                go.notified().await;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn away() -> Error {
    Error::new(ErrorKind::Unavailable, "database /var/lib/secret-place/jobs.db is locked")
}
