//! Cancels at awkward moments.

use std::time::Duration;

use beacon_jobs::job::JobStatus;
use beacon_jobs::stop::StopState;
use serde_json::json;

use super::row::judge;
use crate::bed::{Bed, until};
use crate::runtime;

const NOW: Duration = Duration::ZERO;

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cancel_the_work_goes_on() {
    let Some(python) = runtime::python() else { return };
    let bed = Bed::new(&python, "with_thread").await;
    let ticks = bed.ticks("ticks");
    let id = bed.submit("with_thread", json!([ticks.path()]), json!({})).await;
    ticks.more(150).await;
    let job = bed.get(&id).await;
    assert_eq!((job.job.status, &job.executions[0].stop), (JobStatus::Running, &None));
    let [seen] = bed.containers();
    assert!(seen.reported.borrow().is_none() && seen.gone.borrow().is_none());
    // That the container ends is the end of the thread, too.
    bed.plane.end_containers();
    seen.ends().await;
    ticks.have_ended().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_is_cancelled_while_its_container_starts_never_computes() {
    let Some(python) = runtime::python() else { return };
    for grace in [NOW, Duration::from_secs(2)] {
        let bed = Bed::new(&python, "plain").await;
        let ticks = bed.ticks("ticks");
        let id = bed.submit("plain", json!([ticks.path()]), json!({})).await;
        until("a container starts", async || bed.worker.seen().pop()?.group.borrow().as_ref().copied()).await;
        bed.cancel(&id, grace).await;
        let stop = bed.confirmed(&id).await;
        let [seen] = bed.containers();
        assert_eq!(judge(&stop, &seen, &ticks).await, [""; 0]);
        assert_eq!((ticks.count(), stop.evidence.unwrap()["level"].clone()), (0, json!("containers")));
    }
}

/// The control plane forgets the first container, which computes on beside the second.
#[tokio::test(flavor = "multi_thread")]
async fn both_containers_of_an_input_that_moved_are_waited_for() {
    let Some(python) = runtime::python() else { return };
    let bed = Bed::new(&python, "swallows").await;
    let ticks = bed.ticks("ticks");
    let id = bed.submit("swallows", json!([ticks.path()]), json!({})).await;
    bed.begins(&ticks).await;
    bed.containers_known(1).await;
    bed.plane.preempt(true);
    bed.containers_known(2).await;
    let seen: [_; 2] = bed.containers();
    seen[1].asks(1).await;
    ticks.more(3).await;
    bed.cancel(&id, NOW).await;
    let stop = bed.confirmed(&id).await;
    for seen in &seen {
        assert_eq!(judge(&stop, seen, &ticks).await, [""; 0]);
    }
    assert_eq!(stop.evidence.unwrap()["containers"].as_array().unwrap().len(), 2);
}

/// A container without work ends after a while; so its thread ends, long before the grace does.
#[tokio::test(flavor = "multi_thread")]
async fn a_thread_that_ends_with_its_idle_container_is_confirmed_in_its_grace() {
    let Some(python) = runtime::python() else { return };
    let bed = Bed::new(&python, "with_thread").await;
    bed.behave(|behaviour| behaviour.idle_for = Duration::from_secs(2));
    let ticks = bed.ticks("ticks");
    let id = bed.submit("with_thread", json!([ticks.path()]), json!({})).await;
    bed.begins(&ticks).await;
    bed.cancel(&id, Duration::from_secs(600)).await;
    let [seen] = bed.containers();
    seen.reported.subscribe().wait_for(Option::is_some).await.unwrap();
    ticks.more(5).await;
    let stop = bed.get(&id).await.executions[0].stop.clone().unwrap();
    assert_eq!(stop.state, StopState::Acknowledged, "terminated, and its thread computes: {stop:?}");
    let stop = bed.confirmed(&id).await;
    assert_eq!(judge(&stop, &seen, &ticks).await, [""; 0]);
    assert_eq!(bed.plane.calls()[0].cancelled, Some(false), "its container was not to be ended");
}
