//! A store whose process dies at a point right after a commit, before anybody is told of it.

use beacon_jobs::cancel::CancelOutcome;
use beacon_jobs::conformance::{StoreAnswer, StoreCall, StoreHooks};
use beacon_jobs::{Error, Result};

use crate::points::{Point, Points};

/// Around a store: passes a point once a call that did something is committed.
impl StoreHooks for Points {
    async fn after(&self, _: &StoreCall<'_>, answer: Result<StoreAnswer<'_>, &Error>) -> Result<()> {
        match answer {
            Ok(StoreAnswer::Claim(jobs)) if !jobs.is_empty() => self.pass(Point::AfterClaim),
            Ok(StoreAnswer::TakeOver(jobs)) if !jobs.is_empty() => self.pass(Point::AfterTakeOver),
            Ok(StoreAnswer::Cancel(CancelOutcome::Cancelled { .. })) => self.pass(Point::AfterCancel),
            Ok(StoreAnswer::Start(_)) => self.pass(Point::AfterStart),
            Ok(StoreAnswer::RecordStops(_)) => self.pass(Point::AfterRecord),
            Ok(StoreAnswer::Release(true)) => self.pass(Point::AfterRelease),
            _ => {}
        }
        Ok(())
    }
}
