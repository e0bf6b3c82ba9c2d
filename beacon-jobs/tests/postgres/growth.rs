//! What has piled up costs nothing: no call reads more for it.

use std::time::Duration;

use beacon_jobs::job::JobStatus;
use beacon_jobs::stop::SealedBy;
use beacon_jobs::store::{
    ExecutionPage, ExecutionResult, FinishExecution, FinishJob, JobFilter, JobStore, NodeEnd, Release, Seal,
    StopAnswer, StopUpdate,
};
use serde_json::json;
use sqlx::PgConnection;

use crate::bed::{Bed, connect, finish, save, start, until};

const PILE: i64 = 100_000;

/// A hundred thousand jobs that have ended, one in four of them cancelled with its stop confirmed.
const FILL: &str = "
    INSERT INTO @.beacon_jobs (id, owner, digest, rules, labels, executors, executions, allow_overlap,
        min_success_rate, created_at, status, epoch, incarnation, started_at, finished_at,
        cancelled_from, cancelled_by, cancel_mode, executions_cancelled)
    SELECT 'old-' || i, 'alice', '', (SELECT rules FROM @.beacon_jobs WHERE id = 'template'), '{}', '{double}', 1,
        false, 1, now(), CASE WHEN i % 4 = 0 THEN 'cancelled' ELSE 'completed' END, 1, gen_random_uuid(), now(), now(),
        CASE WHEN i % 4 = 0 THEN 'running' END, CASE WHEN i % 4 = 0 THEN 'alice' END,
        CASE WHEN i % 4 = 0 THEN 'graceful' END, CASE WHEN i % 4 = 0 THEN 1 END
    FROM generate_series(1, 100000) i;
    INSERT INTO @.beacon_executions SELECT seq * 131072, CASE WHEN status = 'cancelled' THEN 22 ELSE 20 END, 1, 1, now(), now()
    FROM @.beacon_jobs WHERE id LIKE 'old-%';
    INSERT INTO @.beacon_specs SELECT j.seq * 131072, 'double', p.spec, p.input FROM @.beacon_jobs j,
        (SELECT * FROM @.beacon_specs LIMIT 1) p WHERE j.id LIKE 'old-%';
    INSERT INTO @.beacon_attempts SELECT seq * 131072, 1, gen_random_uuid(), incarnation, 1, 'double', now(), '{}', 'minter'
    FROM @.beacon_jobs WHERE id LIKE 'old-%';
    INSERT INTO @.beacon_stops SELECT seq * 131072, 1, 'double', 'confirmed', true, 'graceful', now(), now(), NULL, 1, now()
    FROM @.beacon_jobs WHERE id LIKE 'old-%' AND status = 'cancelled';
    INSERT INTO @.beacon_audit SELECT seq, 1, now(), 'alice', 'submitted', NULL, '{}' FROM @.beacon_jobs WHERE id LIKE 'old-%';
    INSERT INTO @.beacon_results SELECT key, NULL, '42' FROM @.beacon_executions WHERE status = 20 ON CONFLICT DO NOTHING;
";

/// Every call of the contract, once or more.
async fn everything(bed: &Bed) {
    let store = &bed.store;
    for round in 0..8 {
        let name = |what: &str| format!("{what}-{round}");
        let (job, fence) = bed.running(&name("done"), 2).await;
        let attempts = [bed.start(fence, &job, 0).await, bed.start(fence, &job, 1).await];
        for (index, attempt) in (0..).zip(attempts) {
            store.save_handles(&[save(fence, &job, index, attempt, "call")]).await.unwrap();
            store.finish(&[finish(fence, &job, index, attempt)]).await.unwrap();
        }
        store.finish_job(&FinishJob { fence, job: job.clone(), timed_out: false }).await.unwrap();
        assert_eq!(bed.status(&job).await, Some(JobStatus::Completed));

        let (job, fence) = bed.running(&name("late"), 1).await;
        bed.start(fence, &job, 0).await;
        store.finish_job(&FinishJob { fence, job: job.clone(), timed_out: true }).await.unwrap();

        let (job, fence) = bed.running(&name("cancelled"), 2).await;
        let attempt = bed.start(fence, &job, 0).await;
        bed.cancel(&job).await.unwrap();
        store.cancel(&job, &crate::bed::request().immediate()).await.unwrap();
        store.seal(&[Seal { attempt, by: SealedBy::Minter }]).await.unwrap();
        let stops = store.take_stops(&bed.stops()).await.unwrap();
        assert!(stops.iter().any(|item| item.attempt == attempt));
        let updates: Vec<_> = stops
            .iter()
            .map(|item| StopUpdate {
                attempt: item.attempt,
                seen_seal: item.sealed,
                seen_confirmed: false,
                seen_tries: None,
                watch: false,
                answer: StopAnswer::Ended { evidence: json!({}), seals: true },
                due_in: Duration::ZERO,
            })
            .collect();
        store.record_stops(&updates).await.unwrap();

        let (job, fence) = bed.running(&name("failed"), 1).await;
        let attempt = bed.start(fence, &job, 0).await;
        let failure = beacon_jobs::job::Failure::new(beacon_jobs::job::FailureKind::Failed, "it failed");
        let result = ExecutionResult::Failed { failure, output: None, retry: true, counts: true };
        store.finish(&[FinishExecution { result, ..finish(fence, &job, 0, attempt) }]).await.unwrap();
        store.start(&[start(fence, &job, 0)]).await.unwrap();
        store.release(&Release { fence, job: job.clone(), sealed: vec![attempt] }).await.unwrap();
        assert_eq!(bed.take_over().await.len(), 1);
        bed.cancel(&job).await.unwrap();

        let many = [name("one"), name("two")];
        for name in &many {
            let (job, fence) = bed.running(name, 2).await;
            bed.start(fence, &job, 0).await;
        }
        store.cancel_many(&many.map(|name| crate::bed::id(&name)), &crate::bed::request()).await.unwrap();

        store.heartbeat(bed.node, crate::bed::HOUR).await.unwrap();
        store.held(bed.node, std::slice::from_ref(&job)).await.unwrap();
        store.nodes().await.unwrap();
        store.get(&job, ExecutionPage::ALL).await.unwrap();
        store.audit(&job).await.unwrap();
        for (owner, status) in [
            (None, None),
            (Some("alice".to_owned()), None),
            (None, Some(JobStatus::Queued)),
            (None, Some(JobStatus::Running)),
            (None, Some(JobStatus::Completed)),
        ] {
            let filter = JobFilter { owner, status, limit: 5, ..JobFilter::default() };
            store.list(&filter).await.unwrap();
        }
        store.prune(crate::bed::HOUR, 100).await.unwrap();
    }
    store.end_node(bed.node, NodeEnd::CleanExit).await.unwrap();
}

/// How often a table was read from end to end, and how many rows were read through indexes.
async fn reads(bed: &Bed, connection: &mut PgConnection, table: &str) -> (i64, i64) {
    let of = |column: &str| {
        format!(
            "SELECT coalesce(sum({column}), 0)::bigint FROM pg_stat_all_tables \
             WHERE schemaname = '{}' AND relname = 'beacon_{table}'",
            bed.schema()
        )
    };
    let scans = bed.number(connection, &of("seq_scan")).await;
    (scans, bed.number(connection, &of("idx_tup_fetch")).await)
}

const TABLES: [&str; 7] = ["jobs", "executions", "specs", "results", "attempts", "stops", "audit"];

#[tokio::test(flavor = "multi_thread")]
async fn no_call_reads_what_has_ended() {
    let bed = Bed::with(|options| options.with_max_connections(2).with_notifications(false)).await;
    let mut admin = connect().await;
    bed.cancel(&bed.submit("template", 1).await).await.unwrap();
    // The plans of the first calls are made while there is next to nothing.
    everything(&Bed::enter(bed.store.clone(), bed.schema()).await).await;
    // What the server knows of the tables by itself, and when, is left out.
    for table in TABLES {
        bed.execute(&mut admin, &format!("ALTER TABLE @.beacon_{table} SET (autovacuum_enabled = false)"))
            .await;
    }
    bed.execute(&mut admin, FILL).await;
    assert!(bed.number(&mut admin, "SELECT count(*) FROM @.beacon_attempts").await > PILE);
    let mut before = Vec::new();
    bed.execute(&mut admin, "SELECT pg_stat_force_next_flush()").await;
    for table in TABLES {
        before.push(reads(&bed, &mut admin, table).await);
    }
    let second = Bed::enter(bed.store.clone(), bed.schema()).await;
    // Jobs of the second round have names of their own.
    let renamed = "UPDATE @.beacon_jobs SET id = 'first-' || id WHERE id NOT LIKE 'old-%'";
    bed.execute(&mut admin, renamed).await;
    everything(&second).await;
    // A session counts for all to see when it ends.
    bed.store.close().await;
    let sessions = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%{}%' AND pid <> pg_backend_pid()",
        bed.schema()
    );
    until(async || bed.number(&mut admin, &sessions).await == 0).await;
    let mut read = 0;
    for (table, (scans, rows)) in TABLES.iter().zip(before) {
        let mut admin = connect().await;
        let after = reads(&bed, &mut admin, table).await;
        println!("{table}: {} scans, {} rows by index", after.0 - scans, after.1 - rows);
        let own = i64::from(*table == "jobs");
        assert!(after.0 - scans <= own, "{table} was read from end to end {} times", after.0 - scans);
        read += after.1 - rows;
    }
    assert!(read < 10_000, "{read} rows were read");
}
