//! A store with a closure around each of its calls.

use std::pin::Pin;
use std::sync::Arc;

use beacon_jobs::conformance::{HookedStore, StoreAnswer, StoreCall, StoreHooks};
use beacon_jobs::store::JobStore;
use beacon_jobs::{Error, Result};
use tokio::sync::Semaphore;

/// What the hook says: go on, or answer with this error instead.
pub type Answer = Pin<Box<dyn Future<Output = Result<()>> + Send>>;
/// Given the call's name and whether it is before (`true`) or after.
pub type Hook = Box<dyn Fn(&'static str, bool) -> Answer + Send + Sync>;

pub struct Probe(Hook);

pub type Probed = HookedStore<Arc<dyn JobStore>, Probe>;

impl Probe {
    pub fn new(store: &Arc<dyn JobStore>, hook: Hook) -> Probed {
        HookedStore::new(Arc::clone(store), Self(hook))
    }

    /// A store on which calls of this name wait for a permit, that they give back.
    pub fn gated(store: &Arc<dyn JobStore>, call: &'static str, gate: &Arc<Semaphore>) -> Probed {
        let gate = Arc::clone(gate);
        let hook: Hook = Box::new(move |name, before| {
            let gate = Arc::clone(&gate);
            Box::pin(async move {
                if name == call && before {
                    let _permit = gate.acquire().await;
                }
                Ok(())
            })
        });
        Self::new(store, hook)
    }
}

impl StoreHooks for Probe {
    async fn before(&self, call: &StoreCall<'_>) -> Result<()> {
        (self.0)(call.name(), true).await
    }

    async fn after(&self, call: &StoreCall<'_>, _: Result<StoreAnswer<'_>, &Error>) -> Result<()> {
        (self.0)(call.name(), false).await
    }
}
