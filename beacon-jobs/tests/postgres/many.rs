//! Cancels of very many jobs at once.

use beacon_jobs::JobId;
use beacon_jobs::cancel::CancelOutcome;
use beacon_jobs::store::JobStore;

use crate::bed::{Bed, connect, request};

const JOBS: i64 = 40_000;

/// Running jobs of an execution with an attempt each.
const FILL: &str = "
    INSERT INTO @.beacon_jobs (id, owner, digest, rules, labels, executors, executions, allow_overlap,
        min_success_rate, created_at, status, epoch, incarnation, started_at)
    SELECT 'many-' || i, 'alice', '', '{}', '{}', '{double}', 1, false, 1, now(), 'running', 1, gen_random_uuid(), now()
    FROM generate_series(1, 40000) i;
    INSERT INTO @.beacon_executions SELECT seq * 131072, 12, 1, 1, now() FROM @.beacon_jobs;
    INSERT INTO @.beacon_attempts SELECT seq * 131072, 1, gen_random_uuid(), incarnation, 1, 'double', now(), '{}'
    FROM @.beacon_jobs;
";

/// The server would give up a statement that compared each job with each other.
#[tokio::test(flavor = "multi_thread")]
async fn forty_thousand_jobs_are_cancelled_by_one_statement() {
    let bed = Bed::new().await;
    let mut admin = connect().await;
    bed.execute(&mut admin, FILL).await;
    let ids: Vec<_> = (1..=JOBS).map(|job| JobId::new(format!("many-{job}")).unwrap()).collect();
    let answers = bed.store.cancel_many(&ids, &request()).await.unwrap();
    assert_eq!(answers.len(), ids.len());
    let mut handed_over = 0;
    for answer in &answers {
        let CancelOutcome::Cancelled { record, stops, opened } = answer else { panic!("{answer:?}") };
        assert_eq!((record.executions_cancelled, stops.requested), (1, 1));
        handed_over += opened.len();
    }
    // Of many stops the first are handed over, and all are due.
    assert_eq!(handed_over, CancelOutcome::MOST_OPENED as usize);
    let due = "SELECT count(*) FROM @.beacon_stops WHERE state = 'requested' AND due_at <= now()";
    assert_eq!(bed.number(&mut admin, due).await, JOBS);
    let on_record = "SELECT count(DISTINCT job) FROM @.beacon_audit WHERE action = 'cancelled'";
    assert_eq!(bed.number(&mut admin, on_record).await, JOBS);
    let again = bed.store.cancel_many(&ids[..3], &request()).await.unwrap();
    assert!(again.iter().all(|answer| matches!(answer, CancelOutcome::AlreadyCancelled { .. })));
}
