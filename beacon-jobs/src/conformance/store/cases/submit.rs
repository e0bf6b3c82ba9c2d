use std::time::Duration;

use serde_json::json;

use super::super::bed::Bed;
use super::super::words::*;
use crate::job::{AuditAction, ExecutionSpec, ExecutionStatus, JobSpec, JobStatus, Progress};
use crate::store::{ExecutionPage, Submission, Submitted};

fn keyed(name: &str, owner: &str, key: &str, spec: JobSpec) -> Submission {
    Submission { idempotency_key: Some(key.to_owned()), ..submission(name, owner, spec) }
}

pub(super) async fn a_new_job_is_queued_with_all_its_executions(bed: Bed) {
    let mut spec = JobSpec::new([
        ExecutionSpec::new("modal", json!({ "question": 1 })).with_lane("eu").with_label("region", "eu"),
        ExecutionSpec::new(DOUBLE, json!([1, 2])).with_timeout_seconds(60),
    ])
    .with_label("suite", "bias")
    .with_attachment(json!({ "as": ["given", "\u{0}\u{2028}", 1e21, null] }))
    .with_max_attempts(3);
    spec.min_success_rate = 0.5;
    let job = bed.submit_spec("job", spec.clone()).await;

    let detail = bed.get(&job).await;
    assert_eq!(detail.job.id, job);
    assert_eq!(detail.job.owner, ALICE);
    assert_eq!(detail.job.status, JobStatus::Queued);
    assert_eq!(detail.job.labels, spec.labels);
    assert_eq!(detail.job.progress, Progress { total: 2, queued: 2, ..Progress::default() });
    assert_eq!((detail.job.started_at, detail.job.finished_at), (None, None));
    assert_eq!(detail.job.cancellation, None);
    assert_eq!(detail.stops.total, 0);
    if let Some(now) = bed.now() {
        assert_eq!(detail.job.created_at, now);
    }
    let specs = std::mem::take(&mut spec.executions);
    assert_eq!(detail.rules, spec);
    assert_eq!(detail.executions.len(), 2);
    for (index, (execution, spec)) in detail.executions.iter().zip(&specs).enumerate() {
        assert_eq!(execution.index as usize, index);
        assert_eq!((&execution.executor, &execution.lane), (&spec.executor, &spec.lane));
        assert_eq!(execution.labels, spec.labels);
        assert_eq!((execution.status, execution.attempt), (ExecutionStatus::Queued, 0));
        assert_eq!((&execution.error, &execution.output, &execution.stop), (&None, &None, &None));
    }
}

pub(super) async fn a_submission_is_on_record(bed: Bed) {
    let job = bed.submit("job", 1).await;
    let entries = bed.store.audit(&job).await.unwrap();
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!((entries[0].action, entries[0].actor.as_str()), (AuditAction::Submitted, ALICE));
}

pub(super) async fn the_same_submission_again_gives_the_first_job(bed: Bed) {
    let first = submission("job", ALICE, spec(2));
    assert_eq!(bed.store.submit(&first).await.unwrap(), Submitted::Created(id("job")));
    let before = bed.snapshot(&id("job")).await;

    let again = bed.store.submit(&first).await.unwrap();

    assert_eq!(again, Submitted::Existing(id("job"), JobStatus::Queued));
    assert_eq!(bed.snapshot(&id("job")).await, before);
}

pub(super) async fn the_same_submission_again_tells_how_far_the_job_has_come(bed: Bed) {
    for (name, status) in [("a", JobStatus::Completed), ("b", JobStatus::Failed), ("c", JobStatus::Cancelled)]
    {
        bed.over(name, status).await;
        let again = bed.store.submit(&submission(name, ALICE, spec(1))).await.unwrap();
        assert_eq!(again, Submitted::Existing(id(name), status));
    }
}

pub(super) async fn an_equal_spec_under_a_used_key_gives_the_first_job(bed: Bed) {
    let first = keyed("first", ALICE, "key", spec(1));
    assert_eq!(bed.store.submit(&first).await.unwrap(), Submitted::Created(id("first")));

    let again = bed.store.submit(&keyed("second", ALICE, "key", spec(1))).await.unwrap();

    assert_eq!(again, Submitted::Existing(id("first"), JobStatus::Queued));
    assert_eq!(bed.store.get(&id("second"), ExecutionPage::NONE).await.unwrap(), None);
}

pub(super) async fn another_name_under_a_used_key_is_a_conflict(bed: Bed) {
    let named = |name: &str| keyed(name, ALICE, "key", spec(1).with_id(id(name)));
    assert_eq!(bed.store.submit(&named("first")).await.unwrap(), Submitted::Created(id("first")));

    let other = bed.store.submit(&named("second")).await.unwrap();

    assert_eq!(other, Submitted::Conflict(id("first")));
    assert_eq!(bed.store.get(&id("second"), ExecutionPage::NONE).await.unwrap(), None);
    let again = bed.store.submit(&named("first")).await.unwrap();
    assert_eq!(again, Submitted::Existing(id("first"), JobStatus::Queued));
}

pub(super) async fn another_spec_under_a_used_key_is_a_conflict(bed: Bed) {
    bed.store.submit(&keyed("first", ALICE, "key", spec(1))).await.unwrap();
    let before = bed.snapshot(&id("first")).await;

    let other = bed.store.submit(&keyed("second", ALICE, "key", spec(2))).await.unwrap();

    assert_eq!(other, Submitted::Conflict(id("first")));
    assert_eq!(bed.store.get(&id("second"), ExecutionPage::NONE).await.unwrap(), None);
    assert_eq!(bed.snapshot(&id("first")).await, before);
}

pub(super) async fn another_spec_under_a_used_id_is_a_conflict(bed: Bed) {
    bed.submit("job", 1).await;
    let before = bed.snapshot(&id("job")).await;

    let other = bed.store.submit(&submission("job", ALICE, spec(2))).await.unwrap();

    assert_eq!(other, Submitted::Conflict(id("job")));
    assert_eq!(bed.snapshot(&id("job")).await, before);
}

pub(super) async fn an_id_of_another_owner_is_a_conflict(bed: Bed) {
    bed.submit("job", 1).await;
    let before = bed.snapshot(&id("job")).await;

    let other = bed.store.submit(&submission("job", "bob", spec(1))).await.unwrap();

    assert_eq!(other, Submitted::Conflict(id("job")));
    assert_eq!(bed.snapshot(&id("job")).await, before);
}

pub(super) async fn a_key_belongs_to_its_owner(bed: Bed) {
    bed.store.submit(&keyed("of-alice", ALICE, "key", spec(1))).await.unwrap();

    let other = bed.store.submit(&keyed("of-bob", "bob", "key", spec(2))).await.unwrap();

    assert_eq!(other, Submitted::Created(id("of-bob")));
}

pub(super) async fn a_key_lives_as_long_as_its_job(bed: Bed) {
    bed.store.submit(&keyed("first", ALICE, "key", spec(1))).await.unwrap();
    opened(bed.cancel(&id("first"), &by_alice()).await);
    assert_eq!(bed.store.prune(Duration::ZERO, 10).await.unwrap(), 1);

    let next = bed.store.submit(&keyed("second", ALICE, "key", spec(2))).await.unwrap();

    assert_eq!(next, Submitted::Created(id("second")));
}

pub(super) async fn any_json_comes_back_as_it_was(bed: Bed) {
    let value = json!({
        "text": "quote \" backslash \\ newline \n nul \u{0} snowman \u{2603} crab \u{1f980}",
        "": null,
        "nested": [[], {}, [true, false, null]],
        "numbers": [0, -1, u64::MAX, i64::MIN, 0.1, -1.5],
    });
    let spec = JobSpec::new([ExecutionSpec::new(DOUBLE, value.clone())]);
    bed.submit_spec("job", spec).await;
    let node = bed.node().await;
    let claimed = bed.claim(node).await.remove(0);
    assert_eq!(claimed.executions[0].spec.input, value, "an input");
    let held = Held::from(claimed);

    let attempt = bed.started(&held, 0).await;
    let handle = crate::stop::Handle::new(value.clone());
    bed.save(held.save(0, attempt, &handle)).await;
    bed.finish(held.finish(0, attempt, completed(value.clone()))).await;

    assert_eq!(bed.execution(&held.job, 0).await.output.as_ref(), Some(&value), "an output");
    let again = bed.take_over(node, &[]).await.remove(0);
    let past = again.executions[0].last_attempt.clone().expect("the attempt is known");
    assert_eq!(past.handle, Some(handle), "a handle");
}
