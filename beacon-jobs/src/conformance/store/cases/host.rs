use std::time::Duration;

use super::super::bed::Bed;
use super::super::words::*;
use crate::host::ProcessIdentity;
use crate::id::{AttemptId, IncarnationId, RandomIds};
use crate::job::JobStatus;
use crate::store::{HostBound, TakeStops};

/// Takes what a node on this host may drive, if the double's work can be ended only from its own.
async fn taken(bed: &Bed, here: &str, missing_after: Duration) -> Vec<AttemptId> {
    let take = TakeStops {
        incarnation: IncarnationId::mint(&RandomIds),
        executors: vec![DOUBLE.to_owned()],
        host_bound: HostBound { executors: vec![DOUBLE.to_owned()], here: here.to_owned(), missing_after },
        hold: Duration::ZERO,
        limit: 10,
    };
    let items = bed.store.take_stops(&take).await.expect("take_stops");
    items.iter().map(|item| item.attempt).collect()
}

pub(super) async fn a_stop_tells_on_which_host_it_was_begun(bed: Bed) {
    let held = bed.held("job", 1).await;
    bed.begun(&held, 0).await;
    let here = ProcessIdentity::current().host();
    assert_eq!(opened(bed.cancel(&held.job, &by_alice()).await)[0].host, here);
    assert_eq!(bed.due().await[0].host, here);
}

pub(super) async fn a_stop_that_only_its_host_can_drive_is_left_to_it(bed: Bed) {
    let (_, attempt) = bed.over("job", JobStatus::Cancelled).await;
    assert_eq!(taken(&bed, "another", HOUR).await, []);
    assert_eq!(taken(&bed, &ProcessIdentity::current().host(), HOUR).await, [attempt]);
    assert_eq!(bed.due().await.len(), 1, "of an executor that is not bound it goes to anybody");
}

pub(super) async fn anybody_may_say_that_the_host_of_a_stop_is_missing(bed: Bed) {
    let (_, attempt) = bed.over("job", JobStatus::Cancelled).await;
    while taken(&bed, "another", INSTANT).await.is_empty() {
        bed.pass(INSTANT).await;
    }
    bed.record(attempt, None, unconfirmed(true, true)).await;
    assert_eq!(taken(&bed, "another", Duration::ZERO).await, [], "it has been said");
    assert_eq!(taken(&bed, &ProcessIdentity::current().host(), HOUR).await, [attempt], "it may come back");
}
