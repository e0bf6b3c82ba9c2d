//! Containers that are not the fake's own: whoever plays Modal's worker starts and ends them.

use std::fmt::{self, Debug};
use std::io;
use std::sync::Arc;

use prost::Message;

use super::Shared;
use crate::generated::{FunctionInput, GenericResult};

/// Runs the inputs of functions that are deployed as [`Work::Contained`](super::Work::Contained), as
/// Modal's worker does: it starts containers, hands them cancels, and ends them.
///
/// No method may wait: each begins what it is asked for, and the [`Container`] is told what came of it.
pub trait Worker: Debug + Send + Sync {
    /// Starts a container for an input.
    fn start(&self, container: Container);

    /// The input of a container is cancelled. The container lives on.
    fn cancel(&self, task: &str);

    /// A container is to end, with all that runs in it. What ends it says so by [`Container::ended`].
    fn stop(&self, task: &str);
}

/// A container, as its worker has it: what it is to run, and where to say what becomes of it.
#[derive(Clone)]
pub struct Container {
    pub(super) shared: Arc<Shared>,
    pub(super) task: String,
    pub(super) call: String,
    pub(super) input: String,
    pub(super) function: String,
    pub(super) app: String,
    pub(super) name: String,
    pub(super) message: FunctionInput,
}

impl Container {
    /// Its id.
    #[must_use]
    pub fn task_id(&self) -> &str {
        &self.task
    }

    /// The id of the call that the input is of.
    #[must_use]
    pub fn call_id(&self) -> &str {
        &self.call
    }

    /// The input's id.
    #[must_use]
    pub fn input_id(&self) -> &str {
        &self.input
    }

    /// The function's id.
    #[must_use]
    pub fn function_id(&self) -> &str {
        &self.function
    }

    /// The name of the function's app.
    #[must_use]
    pub fn app(&self) -> &str {
        &self.app
    }

    /// The function's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The input as its client sent it: an encoded `modal.client.FunctionInput`.
    #[must_use]
    pub fn input(&self) -> Vec<u8> {
        self.message.encode_to_vec()
    }

    /// The container says what the input came to: an encoded `modal.client.GenericResult`, and the number of
    /// its `modal.client.DataFormat`. What comes after the end of the input, or after it was given to
    /// another container, is not believed.
    ///
    /// # Errors
    /// `InvalidData` when it is no such message.
    pub fn report(&self, result: &[u8], data_format: i32) -> io::Result<()> {
        let result = GenericResult::decode(result)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.shared.report(&self.task, &self.call, result, data_format);
        Ok(())
    }

    /// Makes room for a blob: its id, and the URL to put it to.
    #[must_use]
    pub fn new_blob(&self) -> (String, String) {
        self.shared.state().new_blob()
    }

    /// The URL to get a blob from.
    #[must_use]
    pub fn blob_url(&self, id: &str) -> String {
        self.shared.state().blob_url(id)
    }

    /// It has ended, with all that ran in it. An input that it held and that has no result is
    /// terminated.
    pub fn ended(&self) {
        self.shared.container_ended(&self.task);
    }
}

impl Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Container")
            .field("task", &self.task)
            .field("input", &self.input)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
