//! Nodes against each other, and against cancels.

use beacon_jobs::cancel::CancelOutcome;
use beacon_jobs::job::JobStatus;
use beacon_jobs::store::{
    FinishJobOutcome, FinishOutcome, JobStore, NodeEnd, Refusal, Release, SaveOutcome, StartOutcome,
};
use tokio::task::JoinSet;

use crate::bed::{Bed, connect, finish, finish_job, save, start, until};

/// What waits while a take-over commits is stale when it goes on, though all that it read before was
/// in order.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_take_over_is_refused() {
    let bed = Bed::new().await;
    let (job, fence) = bed.running("job", 3).await;
    let (one, two) = (bed.start(fence, &job, 0).await, bed.start(fence, &job, 1).await);
    let mut other = connect().await;
    // Another node's take-over that has not committed yet.
    let take = "BEGIN; UPDATE @.beacon_jobs SET incarnation = gen_random_uuid(), epoch = epoch + 1";
    bed.execute(&mut other, take).await;
    let (store, stale) = (bed.store.clone(), start(fence, &job, 2));
    let started = tokio::spawn(async move { store.start(&[stale]).await.unwrap() });
    let (store, stale) = (bed.store.clone(), save(fence, &job, 0, one, "stale"));
    let saved = tokio::spawn(async move { store.save_handles(&[stale]).await.unwrap() });
    let (store, stale) = (bed.store.clone(), finish(fence, &job, 1, two));
    let finished = tokio::spawn(async move { store.finish(&[stale]).await.unwrap() });
    let mut watcher = connect().await;
    // Each waits, or has its answer already, which is then a wrong one.
    let waiting = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%{}%'",
        bed.schema()
    );
    until(async || {
        let waiting = bed.number(&mut watcher, &waiting).await;
        let done = [started.is_finished(), saved.is_finished(), finished.is_finished()];
        waiting + done.iter().filter(|done| **done).count() as i64 == 3
    })
    .await;
    bed.execute(&mut other, "COMMIT").await;
    assert_eq!(started.await.unwrap(), [StartOutcome::Refused(Refusal::Lost)]);
    assert_eq!(saved.await.unwrap(), [SaveOutcome::Refused(Refusal::Lost)]);
    assert_eq!(finished.await.unwrap(), [FinishOutcome::Refused(Refusal::Lost)]);
    let attempts = bed.number(&mut watcher, "SELECT count(*) FROM @.beacon_attempts").await;
    assert_eq!(attempts, 2, "nothing passed the barrier");
    assert_eq!(
        bed.store.take_stops(&bed.stops()).await.unwrap().len(),
        2,
        "what was refused is to be stopped"
    );
}

/// The same with a cancel: it holds the job, and the permit and the result that wait for it come late.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_cancel_comes_late() {
    let bed = Bed::new().await;
    let (job, fence) = bed.running("job", 3).await;
    let (one, two) = (bed.start(fence, &job, 0).await, bed.start(fence, &job, 1).await);
    let mut host = connect().await;
    bed.execute(&mut host, "BEGIN").await;
    let pending = bed.store.cancel_in(&mut host, &job, &crate::bed::request()).await.unwrap();
    let mut waiting = JoinSet::new();
    let (store, late) = (bed.store.clone(), start(fence, &job, 2));
    waiting.spawn(async move {
        assert_eq!(store.start(&[late]).await.unwrap(), [StartOutcome::Refused(Refusal::Cancelled)])
    });
    let (store, late) = (bed.store.clone(), save(fence, &job, 0, one, "late"));
    waiting.spawn(async move {
        assert_eq!(store.save_handles(&[late]).await.unwrap(), [SaveOutcome::Refused(Refusal::Cancelled)])
    });
    let (store, late) = (bed.store.clone(), finish(fence, &job, 1, two));
    waiting.spawn(async move {
        assert_eq!(store.finish(&[late]).await.unwrap(), [FinishOutcome::Refused(Refusal::Cancelled)])
    });
    let (store, late) = (bed.store.clone(), finish_job(fence, &job));
    waiting.spawn(async move {
        assert_eq!(store.finish_job(&late).await.unwrap(), FinishJobOutcome::Refused(Refusal::Cancelled))
    });
    let mut watcher = connect().await;
    bed.until_waiting(&mut watcher, 4).await;
    bed.execute(&mut host, "COMMIT").await;
    let CancelOutcome::Cancelled { opened, .. } = pending.committed(&bed.store) else { panic!() };
    assert_eq!(opened.len(), 2);
    while let Some(done) = waiting.join_next().await {
        done.unwrap();
    }
    assert_eq!(bed.store.take_stops(&bed.stops()).await.unwrap().len(), 2);
}

/// Thousands of cancels against as many ends: whoever loses is told what the job became.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn losing_cancels_are_told_the_truth_in_a_race_of_thousands() {
    const JOBS: usize = 1_500;
    let bed = Bed::new().await;
    let other = bed.other().await;
    for number in 0..JOBS {
        bed.submit(&format!("job-{number}"), 1).await;
    }
    let wish = beacon_jobs::store::Claim { limit: u32::MAX, ..bed.wish() };
    let claimed = bed.store.claim(&wish).await.unwrap();
    assert_eq!(claimed.len(), JOBS);
    let starts: Vec<_> = claimed.iter().map(|job| start(job.fence, &job.id, 0)).collect();
    bed.store.start(&starts).await.unwrap();
    let finishes: Vec<_> =
        starts.iter().map(|start| finish(start.fence, &start.job, 0, start.attempt)).collect();
    bed.store.finish(&finishes).await.unwrap();
    let mut races = JoinSet::new();
    for job in claimed {
        let (first, second) = (bed.store.clone(), other.store.clone());
        races.spawn(async move {
            let end = finish_job(job.fence, &job.id);
            let request = crate::bed::request();
            let (cancelled, again, finished) = tokio::join!(
                second.cancel(&job.id, &request),
                first.cancel(&job.id, &request),
                first.finish_job(&end)
            );
            (job.id, [cancelled.unwrap(), again.unwrap()], finished.unwrap())
        });
    }
    let (mut won, mut lost) = (0, 0);
    while let Some(race) = races.join_next().await {
        let (job, cancels, finished) = race.unwrap();
        match bed.status(&job).await.unwrap() {
            JobStatus::Completed => {
                lost += 2;
                assert_eq!(finished, FinishJobOutcome::Finished(JobStatus::Completed));
                for cancel in cancels {
                    assert_eq!(cancel, CancelOutcome::AlreadyFinished { status: JobStatus::Completed });
                }
            }
            JobStatus::Cancelled => {
                won += 1;
                lost += 1;
                assert_eq!(finished, FinishJobOutcome::Refused(Refusal::Cancelled));
                let wins = cancels.iter().filter(|cancel| matches!(cancel, CancelOutcome::Cancelled { .. }));
                assert_eq!(wins.count(), 1, "{cancels:?}");
                let losers =
                    cancels.iter().filter(|cancel| matches!(cancel, CancelOutcome::AlreadyCancelled { .. }));
                assert_eq!(losers.count(), 1, "{cancels:?}");
            }
            status => panic!("{job} is {status}"),
        }
    }
    println!("{won} cancels won, {lost} lost, all were told the truth");
    assert!(won > 0 && lost > won, "{won} won, {lost} lost: nothing was raced");
}

/// Cancels of many jobs and of one race in one commit each, whatever the order in which they name
/// the jobs.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cancels_of_many_jobs_do_not_stand_in_each_others_way() {
    const JOBS: usize = 60;
    let bed = Bed::new().await;
    let other = bed.other().await;
    for round in 0..5 {
        let mut ids = Vec::new();
        for number in 0..JOBS {
            let (job, fence) = bed.running(&format!("job-{round}-{number}"), 2).await;
            bed.start(fence, &job, 1).await;
            ids.push(job);
        }
        let backwards: Vec<_> = ids.iter().rev().cloned().collect();
        let request = crate::bed::request();
        let (first, second, single) = tokio::join!(
            bed.store.cancel_many(&ids, &request),
            other.store.cancel_many(&backwards, &request),
            other.store.cancel(&ids[JOBS / 2], &request),
        );
        let (first, second, single) = (first.unwrap(), second.unwrap(), single.unwrap());
        for (place, job) in ids.iter().enumerate() {
            let mut answers = vec![&first[place], &second[JOBS - 1 - place]];
            answers.extend((place == JOBS / 2).then_some(&single));
            let won: Vec<_> = answers
                .iter()
                .filter_map(|answer| match answer {
                    CancelOutcome::Cancelled { opened, stops, .. } => Some((opened.len(), stops.open)),
                    CancelOutcome::AlreadyCancelled { .. } => None,
                    other => panic!("{job}: {other:?}"),
                })
                .collect();
            assert_eq!(won, [(1, 1)], "{job}");
        }
    }
}

/// Two nodes want the same jobs, and one gets each.
#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_claim_share_the_jobs() {
    let bed = Bed::new().await;
    let other = bed.other().await;
    for number in 0..60 {
        bed.submit(&format!("job-{number}"), 1).await;
    }
    let mut claims = JoinSet::new();
    for turn in 0..60 {
        let node =
            if turn % 2 == 0 { (bed.store.clone(), bed.wish()) } else { (other.store.clone(), other.wish()) };
        claims.spawn(async move { node.0.claim(&node.1).await.unwrap() });
    }
    let mut taken = Vec::new();
    while let Some(claimed) = claims.join_next().await {
        taken.extend(claimed.unwrap().into_iter().map(|job| job.id));
    }
    // A claim passes over what another one has just locked.
    while let Some(job) = bed.store.claim(&bed.wish()).await.unwrap().pop() {
        taken.push(job.id);
    }
    let count = taken.len();
    taken.sort();
    taken.dedup();
    assert_eq!((taken.len(), count), (60, 60));
    let again = "SELECT count(*) FROM @.beacon_jobs WHERE epoch <> 1";
    assert_eq!(bed.number(&mut connect().await, again).await, 0, "each was taken once");
}

/// Two nodes take over what a dead one held: one gets each job, and the dead one's writes are refused.
#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_take_over_share_the_jobs_of_a_dead_one() {
    let dead = Bed::new().await;
    let mut held = Vec::new();
    for number in 0..30 {
        held.push(dead.running(&format!("job-{number}"), 1).await);
    }
    let (one, two) = (dead.other().await, dead.other().await);
    dead.store.end_node(dead.node, NodeEnd::Abandoned).await.unwrap();
    let starts: Vec<_> = held.iter().map(|(job, fence)| start(*fence, job, 0)).collect();
    let (first, second, started) = tokio::join!(one.take_over(), two.take_over(), dead.store.start(&starts));
    let mut taken: Vec<_> = first.into_iter().chain(second).collect();
    taken.extend(
        one.take_over().await.into_iter().filter(|job| !held.iter().any(|(_, fence)| *fence == job.fence)),
    );
    let mut ids: Vec<_> = taken.iter().map(|job| job.id.clone()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 30, "every job has a new holder");
    // A start either came before the take-over, which shows its attempt, or was refused.
    for (start, outcome) in starts.iter().zip(started.unwrap()) {
        let first = taken.iter().find(|job| job.id == start.job).unwrap();
        let seen = first.executions[0].last_attempt.as_ref().map(|attempt| attempt.id);
        match outcome {
            StartOutcome::Started { .. } => assert_eq!(seen, Some(start.attempt)),
            refused => assert_eq!((refused, seen), (StartOutcome::Refused(Refusal::Lost), None)),
        }
    }
    let late = starts.iter().map(|late| start(late.fence, &late.job, 0)).collect::<Vec<_>>();
    for outcome in dead.store.start(&late).await.unwrap() {
        assert_eq!(outcome, StartOutcome::Refused(Refusal::Lost));
    }
}

/// A cancel from one node against each write of the other: whichever is first, both tell the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cancel_from_another_node_races_each_transition() {
    let bed = Bed::new().await;
    let other = bed.other().await;
    let mut won = [0; 4];
    for round in 0..40 {
        let name = |what: &str| format!("{what}-{round}");
        let (starting, fence) = bed.running(&name("start"), 1).await;
        let (cancel, outcomes) = tokio::join!(other.cancel(&starting), async {
            bed.store.start(&[start(fence, &starting, 0)]).await
        });
        let CancelOutcome::Cancelled { opened, .. } = cancel.unwrap() else { panic!() };
        let started = outcomes.unwrap()[0];
        won[0] += usize::from(matches!(started, StartOutcome::Started { .. }));
        match opened.len() {
            0 => assert_eq!(started, StartOutcome::Refused(Refusal::Cancelled)),
            _ => assert_eq!(started, StartOutcome::Started { number: 1 }),
        }

        let (saving, fence) = bed.running(&name("save"), 1).await;
        let attempt = bed.start(fence, &saving, 0).await;
        let handles = [save(fence, &saving, 0, attempt, "call")];
        let (cancel, outcomes) = tokio::join!(other.cancel(&saving), bed.store.save_handles(&handles));
        let CancelOutcome::Cancelled { opened, .. } = cancel.unwrap() else { panic!() };
        let granted = outcomes.unwrap()[0] == SaveOutcome::Granted;
        won[1] += usize::from(granted);
        assert_eq!(granted, opened[0].handle.is_some(), "who was first is seen by both");

        let (ending, fence) = bed.running(&name("finish"), 1).await;
        let attempt = bed.start(fence, &ending, 0).await;
        let results = [finish(fence, &ending, 0, attempt)];
        let (cancel, outcomes) = tokio::join!(other.cancel(&ending), bed.store.finish(&results));
        let CancelOutcome::Cancelled { opened, record, .. } = cancel.unwrap() else { panic!() };
        let finished = outcomes.unwrap()[0] == FinishOutcome::Finished;
        won[2] += usize::from(finished);
        assert_eq!((opened.is_empty(), record.executions_cancelled), (finished, u64::from(!finished)));

        let (given, fence) = bed.running(&name("release"), 1).await;
        let release = Release { fence, job: given.clone(), sealed: vec![] };
        let (cancel, released) = tokio::join!(other.cancel(&given), bed.store.release(&release));
        assert!(matches!(cancel.unwrap(), CancelOutcome::Cancelled { .. }));
        won[3] += usize::from(released.unwrap());
        assert_eq!(bed.status(&given).await, Some(JobStatus::Cancelled));
    }
    println!("before the cancel came start, save, finish and release: {won:?} of 40 times");
}
