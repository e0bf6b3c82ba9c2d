//! A node is killed with SIGKILL between every two calls of the ways in which work begins and is stopped, at
//! the daemon's side and at the store's. The next node finds everything: nothing lives that nobody knows
//! of, no script runs twice, no money stays aside, nothing is confirmed that lives.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's panic is its verdict")]

mod bed;
mod node;
mod point;

use std::time::Duration;

use beacon_jobs::job::JobStatus;
use beacon_jobs::stop::StopState;

use crate::bed::Bed;
use crate::point::{Point, Side, When};

/// Longer than anything here takes; only what hangs sees it.
const LIMIT: Duration = Duration::from_secs(60);
const SETTLED: &[StopState] = &[StopState::Confirmed, StopState::NotNeeded];

/// Whether nobody can tell an activity that was never asked for from one that only its provider knows.
fn is_ambiguous(point: Point) -> bool {
    matches!(
        (point.call, point.nth, point.when),
        ("CreateActivity", _, When::Before) | ("save_handles", 3, When::After)
    )
}

/// The ways of work from the first call to its being watched.
async fn dies_while_it_begins(point: Point) {
    if !is_ambiguous(point) {
        let bed = Bed::new().await;
        let id = bed.submit().await;
        bed.arm(point);
        bed.run_and_kill(point, async {}).await;

        // The next node watches it, or ends it and begins anew.
        let _next = bed.runner().await;
        let job = bed.completed(&id).await;
        assert_eq!(job.job.status, JobStatus::Completed, "{job:?}");
        bed.stopped(&id, SETTLED).await;
        bed.clean().await;
        bed.assert_begun_once();
    }

    // And a cancel after the same death ends all there is.
    let bed = Bed::new().await;
    let id = bed.submit().await;
    bed.arm(point);
    bed.run_and_kill(point, async {}).await;
    bed.cancel(&id).await;
    let _next = bed.runner().await;
    let ends = if is_ambiguous(point) { &[StopState::Unconfirmed] } else { SETTLED };
    bed.stopped(&id, ends).await;
    assert_eq!(bed.get(&id).await.job.status, JobStatus::Cancelled);
    if is_ambiguous(point) {
        // Nothing was begun, so no invoice comes: the money is given back when that is over.
        assert_eq!(bed.yagna.alive(), 0);
    }
    bed.clean().await;
    bed.assert_begun_once();
    assert!(bed.yagna.begun() <= 1);
}

/// The way of a stop, from the cancel's commit to the last cent.
async fn dies_while_it_stops(point: Point) {
    let bed = Bed::new().await;
    let id = bed.submit().await;
    let cancel = async {
        bed.yagna.until(|yagna| yagna.computing() == 1 && yagna.demands() == 0).await;
        bed.arm(point);
        bed.cancel(&id).await;
    };
    bed.run_and_kill(point, cancel).await;
    let _next = bed.runner().await;
    bed.stopped(&id, &[StopState::Confirmed]).await;
    bed.clean().await;
    assert_eq!(bed.get(&id).await.job.status, JobStatus::Cancelled);
    assert_eq!((bed.yagna.alive(), bed.yagna.begun(), bed.yagna.invoices_accepted()), (0, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_every_two_calls_up_to_an_agreement_it_loses_nothing() {
    let points = [
        (Side::Provider, "Me", 1),
        (Side::Store, "start", 1),
        (Side::Store, "save_handles", 1),
        (Side::Provider, "CreateAllocation", 1),
        (Side::Provider, "Decorate", 1),
        (Side::Provider, "Subscribe", 1),
        (Side::Provider, "CollectProposals", 1),
        (Side::Provider, "Counter", 1),
        (Side::Provider, "CreateAgreement", 1),
    ];
    kill_at_all(&points, dies_while_it_begins).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_every_two_calls_from_an_agreement_to_its_work_it_loses_nothing() {
    let points = [
        (Side::Store, "save_handles", 2),
        (Side::Provider, "ConfirmAgreement", 1),
        (Side::Provider, "WaitForApproval", 1),
        (Side::Store, "save_handles", 3),
        (Side::Provider, "CreateActivity", 1),
        (Side::Store, "save_handles", 4),
        (Side::Provider, "Exec", 1),
        (Side::Store, "save_handles", 5),
        (Side::Provider, "Unsubscribe", 1),
        (Side::Provider, "GetResults", 1),
    ];
    kill_at_all(&points, dies_while_it_begins).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_every_two_calls_of_a_stop_it_stops_all_the_same() {
    let points = [
        (Side::Store, "take_stops", 1),
        (Side::Provider, "Unsubscribe", 1),
        (Side::Provider, "GetAgreement", 1),
        (Side::Provider, "ListActivities", 1),
        (Side::Provider, "DestroyActivity", 1),
        (Side::Provider, "GetUsage", 1),
        (Side::Provider, "TerminateAgreement", 1),
        (Side::Store, "record_stops", 1),
        (Side::Provider, "ListInvoices", 1),
        (Side::Provider, "AcceptInvoice", 1),
        (Side::Provider, "ReleaseAllocation", 1),
    ];
    kill_at_all(&points, dies_while_it_stops).await;
}

async fn kill_at_all<F: Future<Output = ()>>(calls: &[(Side, &'static str, u32)], die: impl Fn(Point) -> F) {
    for &(side, call, nth) in calls {
        for when in [When::Before, When::After] {
            let point = Point { side, call, nth, when };
            println!("killed {point}");
            let dies = die(point);
            tokio::pin!(dies);
            tokio::time::timeout(LIMIT, dies).await.unwrap_or_else(|_| panic!("killed {point}, it hangs"));
        }
    }
    println!("{} deaths", calls.len() * 2);
}
