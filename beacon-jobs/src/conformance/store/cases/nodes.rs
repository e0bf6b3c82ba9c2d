use std::time::Duration;

use super::super::StoreCapability;
use super::super::bed::Bed;
use super::super::words::*;
use crate::id::{IncarnationId, RandomIds};
use crate::stop::Minter;
use crate::store::{Heartbeat, Joined, NodeEnd, NodeRecord};

async fn record(bed: &Bed, node: IncarnationId) -> Option<NodeRecord> {
    let nodes = bed.store.nodes().await.unwrap();
    nodes.into_iter().find(|record| record.node.incarnation == node)
}

pub(super) async fn a_node_is_known_with_all_that_it_entered_with(bed: Bed) {
    let identity = bed.identity(&[DOUBLE, "modal"]);
    assert_eq!(bed.store.join(&identity, HOUR).await.unwrap(), Joined::Joined);
    let record = record(&bed, identity.incarnation).await.expect("it entered");
    assert_eq!((record.node, record.expired), (identity, false));
    if let Some(now) = bed.now() {
        assert_eq!(record.lease_until, now + HOUR);
    }
}

pub(super) async fn entering_again_with_the_same_incarnation_renews_nothing(bed: Bed) {
    let identity = bed.identity(&[DOUBLE]);
    bed.store.join(&identity, HOUR).await.unwrap();
    let before = record(&bed, identity.incarnation).await;
    bed.pass(INSTANT).await;
    assert_eq!(bed.store.join(&identity, 2 * HOUR).await.unwrap(), Joined::Joined);
    assert_eq!(record(&bed, identity.incarnation).await, before);
}

pub(super) async fn a_heartbeat_renews_the_lease_from_now_on(bed: Bed) {
    let node = bed.node().await;
    let before = record(&bed, node).await.expect("it entered").lease_until;
    assert_eq!(bed.store.heartbeat(node, 2 * HOUR).await.unwrap(), Heartbeat::Alive);
    let longer = record(&bed, node).await.expect("it entered").lease_until;
    assert!(longer > before);
    assert_eq!(bed.store.heartbeat(node, HOUR).await.unwrap(), Heartbeat::Alive);
    let shorter = record(&bed, node).await.expect("it entered").lease_until;
    assert!(shorter < longer, "a shorter lease counts too");
}

pub(super) async fn a_lease_that_ran_out_is_lost_for_good(bed: Bed) {
    let node = bed.node().await;
    bed.submit("job", 1).await;
    bed.lapse(node).await;
    for _ in 0..2 {
        assert_eq!(bed.store.heartbeat(node, HOUR).await.unwrap(), Heartbeat::Lost);
        assert_eq!(record(&bed, node).await.map(|record| record.expired), Some(true));
        assert_eq!(bed.claim(node).await, []);
    }
}

pub(super) async fn entering_again_does_not_bring_a_lost_incarnation_back(bed: Bed) {
    let identity = bed.identity(&[DOUBLE]);
    bed.store.join(&identity, HOUR).await.unwrap();
    bed.submit("job", 1).await;
    bed.lapse(identity.incarnation).await;
    assert_eq!(bed.store.join(&identity, HOUR).await.unwrap(), Joined::Joined);
    assert_eq!(bed.store.heartbeat(identity.incarnation, HOUR).await.unwrap(), Heartbeat::Lost);
    bed.end(identity.incarnation).await;
    assert_eq!(bed.store.join(&identity, HOUR).await.unwrap(), Joined::Joined);
    assert_eq!(bed.store.heartbeat(identity.incarnation, HOUR).await.unwrap(), Heartbeat::Lost);
    assert_eq!(bed.claim(identity.incarnation).await, []);
}

pub(super) async fn a_heartbeat_of_nobody_is_lost(bed: Bed) {
    let nobody = IncarnationId::mint(&RandomIds);
    assert_eq!(bed.store.heartbeat(nobody, HOUR).await.unwrap(), Heartbeat::Lost);
    assert_eq!(bed.store.nodes().await.unwrap(), [], "and enters nobody");
}

pub(super) async fn a_node_that_has_ended_is_not_listed_and_does_not_come_back(bed: Bed) {
    for how in [NodeEnd::CleanExit, NodeEnd::ProcessGone] {
        let node = bed.node_with(&[DOUBLE]).await;
        bed.store.end_node(node, how).await.unwrap();
        assert_eq!(record(&bed, node).await, None);
        assert_eq!(bed.store.heartbeat(node, HOUR).await.unwrap(), Heartbeat::Lost);
    }
}

pub(super) async fn the_first_record_of_an_end_stays(bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt = bed.begun(&held, 0).await;
    opened(bed.cancel(&held.job, &by_alice()).await);
    bed.end(held.fence.incarnation).await;
    let Minter::Ended(first) = bed.due_stop(attempt).await.expect("it is due").minter else {
        panic!("the minter has ended")
    };
    bed.pass(INSTANT).await;
    bed.store.end_node(held.fence.incarnation, NodeEnd::ProcessGone).await.unwrap();
    assert_eq!(bed.due_stop(attempt).await.expect("it is due").minter, Minter::Ended(first));
}

pub(super) async fn the_end_of_nobody_is_no_error(bed: Bed) {
    bed.store.end_node(IncarnationId::mint(&RandomIds), NodeEnd::CleanExit).await.unwrap();
    assert_eq!(bed.store.nodes().await.unwrap(), []);
}

pub(super) async fn a_stop_tells_what_is_known_of_its_minter(bed: Bed) {
    let held = bed.held("job", 1).await;
    let attempt = bed.begun(&held, 0).await;
    opened(bed.cancel(&held.job, &by_alice()).await);
    let minter = async || bed.due_stop(attempt).await.expect("it is due").minter;
    assert_eq!(minter().await, Minter::Alive);
    bed.lapse(held.fence.incarnation).await;
    let until = record(&bed, held.fence.incarnation).await.expect("it has not ended").lease_until;
    assert_eq!(minter().await, Minter::Expired(until));
    bed.end(held.fence.incarnation).await;
    assert!(matches!(minter().await, Minter::Ended(_)));
}

/// Nothing is known of a node that was given up, but that its lease ran out.
pub(super) async fn a_node_that_was_given_up_is_gone_but_not_known_to_have_ended(bed: Bed) {
    let held = bed.held("job", 1).await;
    let node = held.fence.incarnation;
    let attempt = bed.begun(&held, 0).await;
    opened(bed.cancel(&held.job, &by_alice()).await);
    bed.lapse(node).await;
    let before = bed.due_stop(attempt).await.expect("it is due").minter;
    bed.store.end_node(node, NodeEnd::Abandoned).await.unwrap();
    assert_eq!(record(&bed, node).await, None);
    assert_eq!(bed.store.heartbeat(node, HOUR).await.unwrap(), Heartbeat::Lost);
    assert!(matches!(before, Minter::Expired(_)), "{before:?}");
    assert_eq!(bed.due_stop(attempt).await.expect("it is due").minter, before);
}

pub(super) async fn many_nodes_may_live_at_a_time(bed: Bed) {
    if !bed.can(StoreCapability::ManyNodes) {
        return;
    }
    let nodes = [bed.node_with(&[DOUBLE]).await, bed.node_with(&[DOUBLE]).await, bed.node_with(&[]).await];
    for node in nodes {
        assert_eq!(bed.store.heartbeat(node, HOUR).await.unwrap(), Heartbeat::Alive);
    }
    assert_eq!(bed.store.nodes().await.unwrap().len(), 3);
}

pub(super) async fn a_store_for_one_node_refuses_a_second(bed: Bed) {
    if bed.store.allows_many_nodes() {
        return;
    }
    let first = bed.node().await;
    let second = bed.identity(&[DOUBLE]);
    match bed.store.join(&second, Duration::from_secs(60)).await.unwrap() {
        Joined::Occupied(record) => assert_eq!(record.node.incarnation, first),
        Joined::Joined => panic!("the first node is alive"),
    }
    assert_eq!(record(&bed, second.incarnation).await, None, "a refusal enters nobody");
    bed.lapse(first).await;
    let occupied = bed.store.join(&second, Duration::from_secs(60)).await.unwrap();
    assert!(matches!(occupied, Joined::Occupied(first) if first.expired), "it may still settle");
    bed.end(first).await;
    assert_eq!(bed.store.join(&second, Duration::from_secs(60)).await.unwrap(), Joined::Joined);
}
