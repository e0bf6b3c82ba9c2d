use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use super::super::{StoreAnswer, StoreCall, StoreHooks};
use crate::error::{Error, Result};
use crate::id::AttemptId;
use crate::stop::Handle;
use crate::store::Signals;

/// Where a call can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    BeforeSave,
    /// The save is committed, and its caller does not know it yet.
    AfterSave,
    /// The cancel is committed, and its caller does not know it yet.
    AfterCancel,
}

/// Around a store: remembers which handles were saved, and can hold calls.
#[derive(Default)]
pub(super) struct Gate {
    handles: Mutex<Vec<(AttemptId, Handle)>>,
    closed: watch::Sender<Vec<Point>>,
    held: watch::Sender<Vec<Point>>,
    silent: AtomicBool,
}

impl Gate {
    /// Gives no hints to who asks for them from now on.
    pub(super) fn be_silent(&self) {
        self.silent.store(true, Ordering::Release);
    }

    /// Holds every call at this point, until [`open`](Self::open).
    pub(super) fn close(&self, point: Point) {
        self.closed.send_modify(|closed| closed.push(point));
    }

    pub(super) fn open(&self, point: Point) {
        self.closed.send_modify(|closed| closed.retain(|other| *other != point));
    }

    /// Waits until a call is held at this point.
    pub(super) async fn holds(&self, point: Point) {
        let mut held = self.held.subscribe();
        // It can only fail when the gate is gone, and this call holds on to it.
        let _ = held.wait_for(|held| held.contains(&point)).await;
    }

    /// The handles that were saved, or were about to be, in that order.
    pub(super) fn handles(&self) -> Vec<(AttemptId, Handle)> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn pass(&self, point: Point) {
        if self.closed.borrow().contains(&point) {
            let mut closed = self.closed.subscribe();
            self.held.send_modify(|held| held.push(point));
            let _ = closed.wait_for(|closed| !closed.contains(&point)).await;
        }
    }
}

impl StoreHooks for Gate {
    async fn before(&self, call: &StoreCall<'_>) -> Result<()> {
        if let StoreCall::SaveHandles(saves) = call {
            self.handles
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(saves.iter().map(|save| (save.attempt, save.handle.clone())));
            self.pass(Point::BeforeSave).await;
        }
        Ok(())
    }

    async fn after(&self, call: &StoreCall<'_>, _: Result<StoreAnswer<'_>, &Error>) -> Result<()> {
        match call {
            StoreCall::SaveHandles(_) => self.pass(Point::AfterSave).await,
            StoreCall::Cancel(..) | StoreCall::CancelMany(..) => self.pass(Point::AfterCancel).await,
            _ => {}
        }
        Ok(())
    }

    fn signals(&self, signals: Signals) -> Signals {
        if self.silent.load(Ordering::Acquire) { Signals::none() } else { signals }
    }
}
