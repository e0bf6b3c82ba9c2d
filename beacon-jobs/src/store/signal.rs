use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::id::JobId;

/// A hint that something changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// A job was taken in, or given back.
    Queued,
    /// A job was cancelled, or its cancel became harsher.
    Cancelled(JobId),
    /// An open stop became due.
    StopsDue,
    /// Anything else about a job changed.
    Job(JobId),
    /// Hints were lost: read again whatever matters.
    Missed,
}

/// The sending end, for stores.
#[derive(Clone, Debug)]
pub struct SignalSender(broadcast::Sender<Signal>);

impl SignalSender {
    /// A sender that keeps the last 1 024 hints for slow readers.
    #[must_use]
    pub fn new() -> Self {
        Self(broadcast::Sender::new(1024))
    }

    /// Sends a hint to whoever listens.
    pub fn send(&self, signal: Signal) {
        // Without a listener there is nobody to tell.
        let _ = self.0.send(signal);
    }

    /// A stream of the hints sent from now on.
    #[must_use]
    pub fn subscribe(&self) -> Signals {
        Signals(Some(self.0.subscribe()))
    }
}

impl Default for SignalSender {
    fn default() -> Self {
        Self::new()
    }
}

/// A stream of hints.
#[derive(Debug)]
pub struct Signals(Option<broadcast::Receiver<Signal>>);

impl Signals {
    /// A stream on which nothing ever comes.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// Whether hints can come.
    #[cfg(feature = "conformance")]
    pub(crate) const fn is_live(&self) -> bool {
        self.0.is_some()
    }

    /// Waits for the next hint. Never returns once no sender is left.
    ///
    /// # Cancellation safety
    /// Dropping the future loses no hint.
    pub async fn next(&mut self) -> Signal {
        if let Some(receiver) = &mut self.0 {
            match receiver.recv().await {
                Ok(signal) => return signal,
                Err(RecvError::Lagged(_)) => return Signal::Missed,
                Err(RecvError::Closed) => self.0 = None,
            }
        }
        std::future::pending().await
    }
}
