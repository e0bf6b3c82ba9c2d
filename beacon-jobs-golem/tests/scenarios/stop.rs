//! Cancels of work that runs.

use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::stop::StopState;
use serde_json::json;

use super::bed::Bed;
use super::{Trouble, World};

pub(crate) async fn a_cancel_of_running_work_is_confirmed_when_it_is_dead<W: World>(world: &Arc<W>) {
    let bed = Bed::new(world).await;
    let _runner = bed.runner().await;
    let id = bed.computing().await;
    bed.cancel(&id).await;
    let evidence = bed.stop(&id, StopState::Confirmed).await.evidence.unwrap();
    assert_eq!((world.alive(), &evidence["level"]), (0, &json!("activity")));
    let agreement = &evidence["agreements"][0];
    assert_eq!(agreement["state"], json!("Terminated"), "{evidence}");
    assert_eq!(agreement["activities"][0]["destroyed"], json!(true), "{evidence}");
    assert!(agreement["activities"][0]["usage"].is_array(), "{evidence}");
    bed.clean().await;
    assert_eq!((bed.begun(), bed.books().await.invoices_accepted), (1, 1));
}

pub(crate) async fn work_that_ends_late_is_not_confirmed_before<W: World>(world: &Arc<W>) {
    let bed = Bed::new(world).await;
    // The end takes longer than the daemon waits for it.
    let _runner = bed.runner_with(world.executor().with_destroy_limit(Duration::from_millis(500))).await;
    world.make(Trouble::EndsAfter(Duration::from_secs(3))).await;
    let id = bed.computing().await;
    bed.cancel(&id).await;
    let stop = bed.stop(&id, StopState::Acknowledged).await;
    assert_eq!((world.alive(), &stop.evidence.unwrap()["level"]), (1, &json!("agreement")));
    let evidence = bed.stop(&id, StopState::Confirmed).await.evidence.unwrap();
    assert_eq!((world.alive(), &evidence["level"]), (0, &json!("activity")));
    bed.clean().await;
}
