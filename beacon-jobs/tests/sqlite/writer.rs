//! The writer: who shares a commit, who goes first, and what a lost caller or runtime leaves behind.

use std::time::Duration;

use beacon_jobs::cancel::CancelOutcome;
use beacon_jobs::job::JobStatus;
use beacon_jobs::store::{
    ExecutionPage, FinishOutcome, Heartbeat, JobStore, Refusal, SaveOutcome, StartExecution, StartOutcome,
};
use beacon_jobs::{AttemptId, Error, ErrorKind, RandomIds};
use sqlx::Executor;

use crate::bed::{Bed, assert_says, finish, lock, save, settle, spawn_all};

const LEASE: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_callers_share_their_commits() {
    let bed = Bed::new().await;
    const CALLERS: u32 = 64;
    const EACH: u32 = 20;
    let (job, fence) = bed.running("many", (CALLERS * EACH) as usize).await;
    let before = bed.store.commits();
    let tasks = spawn_all((0..CALLERS).map(|caller| {
        let (store, job) = (bed.store.clone(), job.clone());
        async move {
            for index in caller * EACH..(caller + 1) * EACH {
                let attempt = AttemptId::mint(&RandomIds);
                let start = StartExecution { fence, job: job.clone(), index, attempt };
                assert_eq!(store.start(&[start]).await.unwrap(), [StartOutcome::Started { number: 1 }]);
                let saved = store.save_handles(&[save(fence, &job, index, attempt, "call")]).await.unwrap();
                assert_eq!(saved, [SaveOutcome::Granted]);
                let finished = store.finish(&[finish(fence, &job, index, attempt)]).await.unwrap();
                assert_eq!(finished, [FinishOutcome::Finished]);
            }
        }
    }));
    for task in tasks {
        task.await.unwrap();
    }
    let commits = bed.store.commits() - before;
    let transitions = u64::from(3 * CALLERS * EACH);
    assert!(commits * 30 <= transitions, "{transitions} transitions took {commits} commits");
    let detail = bed.store.get(&job, ExecutionPage::NONE).await.unwrap().unwrap();
    assert_eq!(detail.job.progress.completed, u64::from(CALLERS * EACH));
}

#[tokio::test]
async fn a_cancel_goes_before_what_waited_longer() {
    let bed = Bed::new().await;
    let (job, fence) = bed.running("one", 2).await;
    let mut other = lock(&bed).await;
    // The writer waits for the lock with this one; all the rest waits for the writer.
    let (store, node) = (bed.store.clone(), bed.node);
    let first = tokio::spawn(async move { store.heartbeat(node, LEASE).await });
    settle().await;
    let starts = spawn_all((0..2).map(|index| {
        let (store, job) = (bed.store.clone(), job.clone());
        let start = StartExecution { fence, job, index, attempt: AttemptId::mint(&RandomIds) };
        async move { store.start(&[start]).await }
    }));
    settle().await;
    let (store, id) = (bed.store.clone(), job.clone());
    let cancel = tokio::spawn(async move { store.cancel(&id, &crate::bed::request()).await });
    settle().await;
    other.execute("ROLLBACK").await.unwrap();

    assert_eq!(first.await.unwrap().unwrap(), Heartbeat::Alive);
    let CancelOutcome::Cancelled { opened, .. } = cancel.await.unwrap().unwrap() else { panic!() };
    assert!(opened.is_empty(), "a start that came before the cancel went first: {opened:?}");
    for start in starts {
        assert_eq!(start.await.unwrap().unwrap(), [StartOutcome::Refused(Refusal::Cancelled)]);
    }
}

#[tokio::test]
async fn cancels_without_end_do_not_starve_a_heartbeat() {
    let bed = Bed::new().await;
    let job = bed.submit("one", 1).await;
    let cancels = spawn_all((0..4).map(|_| {
        let (store, job) = (bed.store.clone(), job.clone());
        async move {
            loop {
                store.cancel(&job, &crate::bed::request()).await.unwrap();
            }
        }
    }));
    settle().await;
    for _ in 0..20 {
        assert_eq!(bed.store.heartbeat(bed.node, LEASE).await.unwrap(), Heartbeat::Alive);
    }
    for cancel in &cancels {
        cancel.abort();
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_stops_nobody() {
    let bed = Bed::new().await;
    let (job, fence) = bed.running("one", 20).await;
    let mut other = lock(&bed).await;
    let starts = spawn_all((0..20).map(|index| {
        let (store, job) = (bed.store.clone(), job.clone());
        let start = StartExecution { fence, job, index, attempt: AttemptId::mint(&RandomIds) };
        async move { store.start(&[start]).await }
    }));
    let (store, id) = (bed.store.clone(), job.clone());
    let cancel = tokio::spawn(async move { store.cancel(&id, &crate::bed::request()).await });
    settle().await;
    cancel.abort();
    for start in starts.iter().step_by(2) {
        start.abort();
    }
    settle().await;
    other.execute("ROLLBACK").await.unwrap();
    for (index, start) in starts.into_iter().enumerate() {
        match start.await {
            Ok(outcome) => assert_eq!(outcome.unwrap().len(), 1),
            Err(error) => assert!(error.is_cancelled() && index % 2 == 0),
        }
    }
    // A cancel that was asked for holds, though nobody waits for its answer.
    let CancelOutcome::AlreadyCancelled { .. } = bed.cancel(&job).await.unwrap() else { panic!() };
}

#[tokio::test]
async fn the_end_of_a_runtime_answers_those_who_wait() {
    let bed = Bed::new().await;
    let (job, fence) = bed.running("one", 2).await;
    let mut other = lock(&bed).await;
    // This call makes the other runtime drive the writer.
    let driving = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (store, node) = (bed.store.clone(), bed.node);
    let (entered, is_in) = tokio::sync::oneshot::channel();
    driving.spawn(async move {
        let heartbeat = store.heartbeat(node, LEASE);
        tokio::pin!(heartbeat);
        let _ = futures_util::poll!(&mut heartbeat);
        let _ = entered.send(());
        heartbeat.await
    });
    is_in.await.unwrap();
    let (store, id) = (bed.store.clone(), job.clone());
    let start = StartExecution { fence, job: id, index: 0, attempt: AttemptId::mint(&RandomIds) };
    let waiting = tokio::spawn(async move { store.start(&[start]).await });
    settle().await;
    driving.shutdown_background();
    let answer: Result<_, Error> = waiting.await.unwrap();
    assert_says(answer, ErrorKind::OutcomeUnknown, &["runtime", "ask again"]);
    other.execute("ROLLBACK").await.unwrap();
    // The next call opens the file again.
    bed.start(fence, &job, 1).await;
}

#[tokio::test]
async fn an_attempt_id_that_is_used_twice_is_refused_and_fails_nobody() {
    let bed = Bed::new().await;
    let (job, fence) = bed.running("one", 8).await;
    let used = bed.start(fence, &job, 0).await;
    let mut other = lock(&bed).await;
    let starts = spawn_all((1..8).map(|index| {
        let (store, job) = (bed.store.clone(), job.clone());
        let attempt = if index == 3 { used } else { AttemptId::mint(&RandomIds) };
        async move { store.start(&[StartExecution { fence, job, index, attempt }]).await.unwrap()[0] }
    }));
    settle().await;
    other.execute("ROLLBACK").await.unwrap();
    for (start, index) in starts.into_iter().zip(1..) {
        let expected = match index {
            3 => StartOutcome::Refused(Refusal::Lost),
            _ => StartOutcome::Started { number: 1 },
        };
        assert_eq!(start.await.unwrap(), expected, "execution {index}");
    }
}

#[tokio::test]
async fn ten_thousand_executions_are_cancelled_in_one_commit() {
    let bed = Bed::new().await;
    let (job, fence) = bed.running("large", 10_000).await;
    let starts: Vec<_> = (0..500)
        .map(|index| StartExecution { fence, job: job.clone(), index, attempt: AttemptId::mint(&RandomIds) })
        .collect();
    bed.store.start(&starts).await.unwrap();
    let before = bed.store.commits();
    let CancelOutcome::Cancelled { record, stops, opened } = bed.cancel(&job).await.unwrap() else {
        panic!()
    };
    assert_eq!(bed.store.commits() - before, 1);
    let most = CancelOutcome::MOST_OPENED as usize;
    assert_eq!((record.executions_cancelled, opened.len()), (10_000, most));
    assert_eq!((stops.total, stops.requested, stops.not_needed, stops.open), (10_000, 500, 9_500, 500));
    let page = bed.store.get(&job, ExecutionPage { offset: 9_990, limit: 100 }).await.unwrap().unwrap();
    assert_eq!(
        page.executions.iter().map(|execution| execution.index).collect::<Vec<_>>(),
        (9_990..10_000).collect::<Vec<_>>()
    );
    assert_eq!((page.job.status, page.job.progress.cancelled), (JobStatus::Cancelled, 10_000));
    assert_eq!(page.stops, stops);
    assert_eq!(bed.store.prune(Duration::ZERO, 10).await.unwrap(), 0, "its stops are open");
}
