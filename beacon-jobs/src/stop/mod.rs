//! Ending remote work, and the evidence that it ended.
//!
//! A stop belongs to an attempt. It is opened by the commit that ends the attempt, driven by
//! calling [`Executor::stop`](crate::executor::Executor::stop) until it is settled, and confirmed
//! only by evidence from a call that began after the attempt was sealed.

mod handle;
mod item;
mod state;
mod status;

pub use handle::Handle;
pub use item::{Minter, SealedBy, StopItem};
pub use state::StopState;
pub use status::{StopError, StopRequest, StopStatus};
