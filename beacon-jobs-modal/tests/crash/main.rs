//! A node is killed with SIGKILL between every two calls of the ways in which a call begins and is stopped, at
//! the provider's side and at the store's. The next node finds everything: no work that nobody knows
//! of, no input given twice, nothing confirmed that computes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's panic is its verdict")]

mod bed;
mod node;
mod point;

use std::time::Duration;

use beacon_jobs::job::JobStatus;
use beacon_jobs::stop::StopState;
use beacon_jobs_modal::fake::Work;

use crate::bed::Bed;
use crate::point::{Point, Side, When};

/// The ways of a call from its lookup to its being watched.
async fn dies_while_it_begins(point: Point) {
    let bed = Bed::new(Work::GoesOn).await;
    let id = bed.submit().await;
    bed.arm(point);
    bed.run_and_kill(point, async {}).await;

    // The next node watches it, or ends it and begins anew.
    let _next = bed.runner().await;
    bed.until_running(&id).await;
    bed.alive(1).await;
    bed.assert_fed_once();
    bed.plane.complete();
    let job = bed.finished(&id).await;
    assert_eq!(job.job.status, JobStatus::Completed, "{job:?}");
    bed.settled(&id).await;
    bed.assert_fed_once();

    // And a cancel after the same death ends all there is.
    let bed = Bed::new(Work::GoesOn).await;
    let id = bed.submit().await;
    bed.arm(point);
    bed.run_and_kill(point, async {}).await;
    bed.cancel(&id).await;
    let _next = bed.runner().await;
    bed.settled(&id).await;
    let job = bed.get(&id).await;
    assert_eq!(job.job.status, JobStatus::Cancelled);
    for stop in job.executions.iter().filter_map(|execution| execution.stop.as_ref()) {
        assert!(matches!(stop.state, StopState::Confirmed | StopState::NotNeeded), "{stop:?}");
    }
    assert_eq!(bed.plane.alive(), 0);
    bed.assert_fed_once();
    assert!(bed.plane.begun() <= 1);
}

/// The way of a stop, from the cancel's commit to the record of its evidence.
async fn dies_while_it_stops(point: Point, work: Work) {
    let bed = Bed::new(work.clone()).await;
    if work == Work::LeavesAThread {
        bed.plane.behave(|behaviour| behaviour.terminate_after = None);
    }
    let id = bed.submit().await;
    let cancel = async {
        bed.alive(1).await;
        bed.arm(point);
        bed.cancel(&id).await;
    };
    bed.run_and_kill(point, cancel).await;
    let _next = bed.runner().await;
    bed.settled(&id).await;
    let job = bed.get(&id).await;
    let stop = job.executions[0].stop.clone().unwrap();
    assert_eq!(stop.state, StopState::Confirmed, "{stop:?}");
    assert_eq!((bed.plane.alive(), bed.plane.begun()), (0, 1));
    assert_eq!(job.job.status, JobStatus::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_every_two_calls_of_a_beginning_it_loses_nothing() {
    let points = [
        (Side::Provider, "WorkspaceNameLookup", 1),
        (Side::Provider, "FunctionGet", 1),
        (Side::Store, "start", 1),
        (Side::Provider, "FunctionMap", 1),
        (Side::Store, "save_handles", 1),
        (Side::Provider, "FunctionPutInputs", 1),
        (Side::Store, "save_handles", 2),
        (Side::Provider, "FunctionFinishInputs", 1),
        (Side::Provider, "FunctionCallGetInfo", 1),
        (Side::Store, "save_handles", 3),
    ];
    kill_at_all(&points, dies_while_it_begins).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_every_two_calls_of_a_stop_it_stops_all_the_same() {
    let points = [
        (Side::Store, "take_stops", 1),
        (Side::Provider, "FunctionCallCancel", 1),
        (Side::Provider, "FunctionCallGetInfo", 1),
        (Side::Provider, "TaskGetInfo", 1),
        (Side::Store, "record_stops", 1),
        (Side::Store, "record_stops", 2),
    ];
    kill_at_all(&points, |point| dies_while_it_stops(point, Work::GoesOn)).await;
    let by_force = [(Side::Provider, "ContainerStop", 1)];
    kill_at_all(&by_force, |point| dies_while_it_stops(point, Work::LeavesAThread)).await;
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

/// Longer than anything here takes; only what hangs sees it.
const LIMIT: Duration = Duration::from_secs(60);
