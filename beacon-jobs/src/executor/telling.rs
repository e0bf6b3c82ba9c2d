use tokio::sync::watch;

use crate::job::ExecutionProgress;

/// Where an attempt's progress is told, and read by the one task that writes it.
#[derive(Clone, Debug)]
pub(crate) struct Telling {
    told: watch::Sender<Option<ExecutionProgress>>,
}

impl Telling {
    pub(crate) fn tell(&self, progress: ExecutionProgress) {
        self.told.send_replace(Some(progress));
    }

    pub(crate) fn listen(&self) -> watch::Receiver<Option<ExecutionProgress>> {
        self.told.subscribe()
    }
}

impl Default for Telling {
    fn default() -> Self {
        Self { told: watch::Sender::new(None) }
    }
}
