//! The runtime in which stores and floors are called.
#![allow(dead_code, reason = "each bench uses a part of it")]

use tokio::runtime::Runtime;

use crate::measure::Result;

/// The runtime in which store and floor run.
pub(crate) fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// Runs `work` on a bed, which is made when the first round comes. In a task, as callers of a store
/// are; what runs in `block_on` itself hands each step to another thread.
pub(crate) fn on_worker<B, T, M, W>(
    runtime: &Runtime,
    bed: &mut Option<B>,
    make: impl FnOnce() -> M,
    work: impl FnOnce(B) -> W,
) -> Result<T>
where
    B: Send + 'static,
    T: Send + 'static,
    M: Future<Output = Result<B>> + Send + 'static,
    W: Future<Output = (B, Result<T>)> + Send + 'static,
{
    let made = match bed.take() {
        Some(made) => made,
        None => runtime.block_on(make())?,
    };
    let (made, result) = runtime.block_on(runtime.spawn(work(made)))?;
    *bed = Some(made);
    result
}
