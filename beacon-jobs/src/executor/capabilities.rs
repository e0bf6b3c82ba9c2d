use std::time::Duration;

/// What an executor and its provider can do. The default is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Work is created inert, and begins only with a second request after its handle was saved.
    pub two_step: bool,
    /// A saved handle is enough to wait for the work's output, from any process that
    /// [reaches](Self::reach) it.
    pub resume: bool,
    /// The provider refuses to begin an attempt that it was told to stop.
    pub refuses_start_after_stop: bool,
    /// From where a handle can be stopped.
    pub reach: Reach,
    /// The work can be told to save itself before it is forced.
    pub grace: bool,
    /// The longest time that the provider lets an attempt live, whatever happens to us.
    pub lifetime_limit: Option<Duration>,
    /// The longest time that a request which creates or begins work may be on its way after its
    /// sender has died. Zero where the request cannot outlive the sender.
    pub start_deadline: Duration,
    /// After this time an open stop is shown as unconfirmed. It is still retried.
    pub confirm_limit: Duration,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            two_step: false,
            resume: false,
            refuses_start_after_stop: false,
            reach: Reach::AnyNode,
            grace: false,
            lifetime_limit: None,
            start_deadline: Duration::from_secs(60),
            confirm_limit: Duration::from_secs(600),
        }
    }
}

/// From where work can be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// From any node that has the executor.
    AnyNode,
    /// Only from the host on which the work runs.
    ThisHost,
}
