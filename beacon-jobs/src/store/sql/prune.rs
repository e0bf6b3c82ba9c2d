use crate::error::Result;

/// Forgets jobs, some at a time, so that no other call waits for long: until `some`, which is told
/// how many are wanted still and returns how many it has deleted, finds no more.
pub(crate) async fn prune<F>(limit: u32, some: impl Fn(u32) -> F) -> Result<u64>
where
    F: Future<Output = Result<u64>>,
{
    let mut pruned = 0;
    loop {
        let left = u32::try_from(u64::from(limit).saturating_sub(pruned)).unwrap_or(0);
        match some(left).await {
            Ok(0) => return Ok(pruned),
            Ok(more) => pruned += more,
            // Those before are deleted, so an error would not be the truth.
            Err(_) if pruned > 0 => return Ok(pruned),
            Err(error) => return Err(error),
        }
    }
}
