//! What ends before its work has begun.

use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::job::FailureKind;
use beacon_jobs::stop::StopState;
use serde_json::json;

use super::bed::{Bed, input, until};
use super::{Trouble, World};

pub(crate) async fn a_cancel_while_offers_are_looked_for_leaves_nothing<W: World>(world: &Arc<W>) {
    let bed = Bed::new(world).await;
    let _runner =
        bed.runner_with(world.executor().with_offers(Duration::from_secs(60), Duration::ZERO)).await;
    let mut asked = input("go_on");
    asked["runtime"] = json!({ "name": "nobody-has-this" });
    let id = bed.submit(asked).await;
    until("it is looked for", async || bed.books().await.demands == 1).await;
    bed.cancel(&id).await;
    let stop = bed.stop(&id, StopState::Confirmed).await;
    assert_eq!(stop.evidence.unwrap()["level"], json!("never_began"));
    bed.clean().await;
}

pub(crate) async fn a_cancel_before_an_approval_takes_the_agreement_back<W: World>(world: &Arc<W>) {
    let bed = Bed::new(world).await;
    let _runner = bed.runner().await;
    world.make(Trouble::NoApproval(true)).await;
    let id = bed.submit(input("go_on")).await;
    until("it waits", async || bed.books().await.agreements == 1).await;
    bed.cancel(&id).await;
    let evidence = bed.stop(&id, StopState::Confirmed).await.evidence.unwrap();
    assert_eq!(evidence["level"], json!("never_began"));
    assert_eq!(evidence["agreements"][0]["state"], json!("Cancelled"), "{evidence}");
    bed.clean().await;
    assert_eq!(bed.begun(), 0);
}

/// The provider has it, the daemon does not: nothing but the end of the agreement reaches it.
pub(crate) async fn a_creation_without_an_answer_in_time_leaves_nothing_running<W: World>(world: &Arc<W>) {
    let bed = Bed::new(world).await;
    // No bill comes: the daemon takes none for an activity that it does not know of.
    let executor = world.executor().with_invoices(Duration::from_secs(1), Duration::from_secs(2));
    let _runner = bed.runner_with(executor.with_confirm_limit(Duration::from_secs(2))).await;
    world.make(Trouble::CreateIsLate(true)).await;
    let id = bed.submit(input("go_on")).await;
    until("it lives", async || world.alive() == 1).await;
    let failure = bed.outcome(&id).await.error.unwrap();
    assert_eq!(failure.kind, FailureKind::Provider);
    assert!(failure.message.contains("no reply within"), "{failure}");
    until("it is dead", async || world.alive() == 0).await;
    // Nobody but the provider could tell.
    let stop = bed.stop(&id, StopState::Unconfirmed).await;
    assert_eq!(stop.evidence.unwrap()["level"], json!("agreement"));
    bed.clean().await;
    assert_eq!(bed.begun(), 0);
}
