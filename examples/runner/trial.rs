//! What `--stand-in` adds to `serve`, for tests: executors at a provider that plays one, and points at
//! which this process dies.

use std::sync::Arc;

use beacon_jobs::conformance::HookedStore;
use beacon_jobs::store::JobStore;
use stand_in::{Client, Kind, Points, StandInExecutor};

use crate::exit::Exit;

/// A provider that plays one.
#[derive(Debug)]
pub(crate) struct Trial {
    url: String,
    points: Arc<Points>,
}

impl Trial {
    /// The one at this address, with the points that a variable names.
    pub(crate) fn new(url: &str) -> Result<Self, Exit> {
        let points = match std::env::var(Points::VARIABLE) {
            Ok(text) => text.parse().map_err(|error| Exit::usage(format!("{} {error}", Points::VARIABLE)))?,
            Err(_) => Points::default(),
        };
        Ok(Self { url: url.to_owned(), points: Arc::new(points) })
    }

    /// A store at whose points this process dies.
    pub(crate) fn store(&self, store: Arc<dyn JobStore>) -> Arc<dyn JobStore> {
        Arc::new(HookedStore::new(store, Arc::clone(&self.points)))
    }

    /// An executor of each kind, for a node of this name.
    pub(crate) fn executors(&self, node: &str) -> impl Iterator<Item = StandInExecutor> {
        let client = Client::new(&self.url, format!("{node}/{}", std::process::id()));
        Kind::all()
            .into_iter()
            .map(move |kind| StandInExecutor::new(client.clone(), kind).with_points(Arc::clone(&self.points)))
    }
}
