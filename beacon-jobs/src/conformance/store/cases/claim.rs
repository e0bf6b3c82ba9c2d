use serde_json::json;

use super::super::bed::Bed;
use super::super::words::*;
use crate::id::{IncarnationId, RandomIds};
use crate::job::{ExecutionSpec, ExecutionStatus, JobSpec, JobStatus};
use crate::store::{Claim, ClaimedJob};

fn names(claimed: &[ClaimedJob]) -> Vec<&str> {
    claimed.iter().map(|job| job.id.as_str()).collect()
}

pub(super) async fn a_claimed_job_comes_with_all_that_its_runner_needs(bed: Bed) {
    let mut spec = JobSpec::new([
        ExecutionSpec::new(DOUBLE, json!({ "n": 1 })).with_lane("eu").with_timeout_seconds(5),
        ExecutionSpec::new(DOUBLE, json!({ "n": 2 })),
    ])
    .with_label("suite", "bias");
    spec.timeout_seconds = Some(60);
    spec.allow_overlap = true;
    spec.max_parallel = Some(2);
    bed.submit_spec("job", spec.clone()).await;
    let node = bed.node().await;

    let claimed = bed.claim(node).await.remove(0);

    assert_eq!((claimed.fence.incarnation, claimed.fence.epoch), (node, 1));
    let specs = std::mem::take(&mut spec.executions);
    assert_eq!(claimed.rules, spec);
    assert_eq!(
        claimed.executions.iter().map(|execution| &execution.spec).collect::<Vec<_>>(),
        specs.iter().collect::<Vec<_>>()
    );
    for execution in &claimed.executions {
        assert_eq!((execution.status, execution.counted_attempts), (ExecutionStatus::Queued, 0));
        assert_eq!(execution.last_attempt, None);
    }
    let job = bed.get(&claimed.id).await.job;
    assert_eq!((job.status, job.started_at), (JobStatus::Running, Some(claimed.started_at)));
}

pub(super) async fn jobs_are_claimed_first_come_first_served(bed: Bed) {
    for name in ["c", "a", "b"] {
        bed.submit(name, 1).await;
        bed.pass(INSTANT).await;
    }
    let node = bed.node().await;
    let wish = Claim { limit: 2, ..bed.wish(node, &[]) };
    assert_eq!(names(&bed.store.claim(&wish).await.unwrap()), ["c", "a"]);
    assert_eq!(names(&bed.store.claim(&wish).await.unwrap()), ["b"]);
    assert_eq!(names(&bed.store.claim(&wish).await.unwrap()), [""; 0]);
}

pub(super) async fn a_claim_of_none_takes_none(bed: Bed) {
    let job = bed.submit("job", 1).await;
    let wish = Claim { limit: 0, ..bed.wish(bed.node().await, &[]) };
    assert_eq!(bed.store.claim(&wish).await.unwrap(), []);
    assert_eq!(bed.status(&job).await, JobStatus::Queued);
}

pub(super) async fn a_job_waits_for_a_node_that_has_all_its_executors(bed: Bed) {
    let execution = |name| ExecutionSpec::new(name, json!(null));
    bed.submit_spec("both", JobSpec::new([execution("modal"), execution(DOUBLE)])).await;
    bed.pass(INSTANT).await;
    bed.submit("one", 1).await;
    let node = bed.node_with(&[DOUBLE, "modal"]).await;

    assert_eq!(names(&bed.store.claim(&bed.wish(node, &[])).await.unwrap()), ["one"]);
    assert_eq!(bed.status(&id("both")).await, JobStatus::Queued);
    let executors = vec!["golem".to_owned(), "modal".to_owned(), DOUBLE.to_owned()];
    let wish = Claim { executors, ..bed.wish(node, &[]) };
    assert_eq!(names(&bed.store.claim(&wish).await.unwrap()), ["both"]);
}

pub(super) async fn only_queued_jobs_are_claimed(bed: Bed) {
    for (name, status) in [("a", JobStatus::Completed), ("b", JobStatus::Failed), ("c", JobStatus::Cancelled)]
    {
        bed.over(name, status).await;
    }
    bed.held("running", 1).await;
    let queued = bed.submit("cancelled-while-queued", 1).await;
    opened(bed.cancel(&queued, &by_alice()).await);
    assert_eq!(names(&bed.claim(bed.node().await).await), [""; 0]);
}

pub(super) async fn an_incarnation_without_a_live_lease_claims_nothing(bed: Bed) {
    let job = bed.submit("job", 1).await;
    let unknown = IncarnationId::mint(&RandomIds);
    assert_eq!(bed.claim(unknown).await, [], "one that never entered");
    let lapsed = bed.node().await;
    bed.lapse(lapsed).await;
    assert_eq!(bed.claim(lapsed).await, [], "one whose lease ran out");
    bed.end(lapsed).await;
    let ended = bed.node().await;
    bed.end(ended).await;
    assert_eq!(bed.claim(ended).await, [], "one that has ended");
    assert_eq!(bed.status(&job).await, JobStatus::Queued);
}
