use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot, watch};

use super::input::Launch;
use super::sweep::Swept;
use super::wire::{Ended, Exit, NotBegun, Order, Ready};
use crate::clock::{Clock, SystemClock};

/// How an attempt's processes ended, as far as it is known.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// The supervisor saw it.
    Reported { ready: Ready, ended: Ended },
    /// The supervisor was lost before it could tell; this is what was found then. `killed`: by a
    /// signal that was not ours, before it was ready.
    Lost { ready: Option<Ready>, swept: Swept, killed: bool },
    /// There was no supervisor; the command itself is over.
    Plain { exit: Exit, swept: Swept },
}

/// How far an attempt is, as its keeper sees it.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) ready: Option<Ready>,
    pub(super) begun: Option<Result<(), NotBegun>>,
    /// Who has been sent SIGKILL and is still there.
    pub(super) left: Vec<u32>,
    pub(super) end: Option<Arc<End>>,
}

/// How an attempt's keeper is reached.
#[derive(Debug)]
pub(super) struct Control {
    orders: mpsc::UnboundedSender<Order>,
    view: watch::Receiver<View>,
    force_at: Mutex<Option<OffsetDateTime>>,
}

/// The keeper's side of a [`Control`].
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) orders: mpsc::UnboundedReceiver<Order>,
    pub(super) view: watch::Sender<View>,
    pub(super) output: oneshot::Sender<Value>,
}

/// What a command wrote and how it exited, once it is over.
pub(super) type OutputReceiver = oneshot::Receiver<Value>;

impl Control {
    pub(super) fn new() -> (Arc<Self>, Seat, OutputReceiver) {
        let (orders, for_keeper) = mpsc::unbounded_channel();
        let (view, for_control) = watch::channel(View::default());
        let (output, for_execute) = oneshot::channel();
        let control = Self { orders, view: for_control, force_at: Mutex::new(None) };
        (Arc::new(control), Seat { orders: for_keeper, view, output }, for_execute)
    }

    /// Lets the command begin.
    pub(super) fn go(&self, launch: Launch) {
        // A keeper that is gone has ended everything; waiting for its answer tells.
        let _ = self.orders.send(Order::Go(launch));
    }

    /// Ends it all after this grace, or sooner if that was said before.
    pub(super) fn stop(&self, grace: Duration) {
        let at = SystemClock.now() + grace;
        let mut force_at = self.force_at.lock().unwrap_or_else(PoisonError::into_inner);
        *force_at = Some(force_at.map_or(at, |known| known.min(at)));
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        // As above.
        let _ = self.orders.send(Order::Stop { grace_ms });
    }

    /// From when on force is used, if it was told to stop.
    pub(super) fn force_at(&self) -> Option<OffsetDateTime> {
        *self.force_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// Waits until all is prepared. `None` when it ended before.
    pub(super) async fn ready(&self) -> Result<Ready, Option<NotBegun>> {
        let view = self.wait(|view| view.ready.is_some() || view.begun.is_some()).await;
        match view {
            Some(View { ready: Some(ready), .. }) => Ok(ready),
            Some(View { begun: Some(Err(not_begun)), .. }) => Err(Some(not_begun)),
            _ => Err(None),
        }
    }

    /// Waits until the command has begun, or could not. `None` when it ended before.
    pub(super) async fn begun(&self) -> Option<Result<(), NotBegun>> {
        self.wait(|view| view.begun.is_some()).await?.begun
    }

    /// Waits until all is over. `None` when its keeper was dropped with its runtime.
    pub(super) async fn end(&self) -> Option<Arc<End>> {
        self.wait(|view| view.end.is_some()).await?.end
    }

    /// Waits until the view fits, or shows an end.
    async fn wait(&self, fits: impl Fn(&View) -> bool + Send + Sync) -> Option<View> {
        let mut view = self.view.clone();
        let view = view.wait_for(|view| view.end.is_some() || fits(view)).await;
        view.ok().map(|view| view.clone())
    }
}
