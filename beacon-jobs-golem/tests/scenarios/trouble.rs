//! Nodes and daemons that freeze, die and come back.

use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::job::ExecutionStatus;
use beacon_jobs::stop::StopState;
use serde_json::json;

use super::bed::{Bed, until};
use super::{Trouble, World};

pub(crate) async fn the_next_node_watches_work_that_goes_on<W: World>(world: &Arc<W>) {
    let bed = Bed::new(world).await;
    let runner = bed.runner().await;
    let id = bed.computing().await;
    let report = runner.shutdown(Duration::from_secs(20)).await;
    assert_eq!((report.unsettled, report.open_stops), (0, 0), "{report:?}");
    assert_eq!(world.computing(), 1, "it goes on meanwhile");
    let _next = bed.runner().await;
    until("it is watched", async || bed.record(&id).await.status == ExecutionStatus::Running).await;
    world.complete();
    let record = bed.outcome(&id).await;
    assert_eq!((record.status, record.attempt), (ExecutionStatus::Completed, 1), "{:?}", record.error);
    assert_eq!(record.output.unwrap()["results"][0]["stdout"], json!("done\n"));
    bed.clean().await;
    assert_eq!(bed.begun(), 1);
}

pub(crate) async fn a_provider_that_freezes_is_unconfirmed_until_it_thaws<W: World>(world: &Arc<W>) {
    let bed = Bed::new(world).await;
    let executor = world.executor().with_confirm_limit(Duration::from_secs(1));
    let _runner = bed.runner_with(executor).await;
    let id = bed.computing().await;
    world.make(Trouble::Frozen(true)).await;
    bed.cancel(&id).await;
    let why = bed.stop(&id, StopState::Unconfirmed).await.why.unwrap();
    assert!(why.contains("timers end the work by 20"), "{why}");
    assert_eq!(world.alive(), 1);
    world.make(Trouble::Frozen(false)).await;
    let evidence = bed.stop(&id, StopState::Confirmed).await.evidence.unwrap();
    assert_eq!((world.alive(), &evidence["level"]), (0, &json!("activity")));
    bed.clean().await;
}

pub(crate) async fn a_daemon_that_dies_under_running_work_says_nothing_about_it<W: World>(world: &Arc<W>) {
    let bed = Bed::new(world).await;
    let _runner = bed.runner().await;
    let id = bed.computing().await;
    world.kill_daemon().await;
    assert_eq!(world.computing(), 1, "it goes on meanwhile");
    world.restart_daemon().await;
    assert_eq!(bed.record(&id).await.status, ExecutionStatus::Running);
    world.complete();
    let record = bed.outcome(&id).await;
    assert_eq!((record.status, record.attempt), (ExecutionStatus::Completed, 1), "{:?}", record.error);
    bed.clean().await;
    assert_eq!((bed.begun(), bed.books().await.invoices_accepted), (1, 1));
}

pub(crate) async fn a_daemon_that_dies_in_a_stop_does_not_lose_it<W: World>(world: &Arc<W>) {
    let bed = Bed::new(world).await;
    let _runner = bed.runner().await;
    world.make(Trouble::EndsAfter(Duration::from_secs(1))).await;
    let id = bed.computing().await;
    bed.cancel(&id).await;
    world.kill_daemon().await;
    let is_open = |state| !matches!(state, StopState::Confirmed | StopState::NotNeeded);
    assert!(bed.record(&id).await.stop.is_some_and(|stop| is_open(stop.state)));
    world.restart_daemon().await;
    let evidence = bed.stop(&id, StopState::Confirmed).await.evidence.unwrap();
    assert_eq!((world.alive(), &evidence["level"]), (0, &json!("activity")));
    bed.clean().await;
    assert_eq!((bed.begun(), bed.books().await.invoices_accepted), (1, 1));
}
