//! How far work has come is shown while it runs, and whatever is streamed of it decides nothing.

use std::time::Duration;

use beacon_jobs::JobId;
use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::job::{ExecutionProgress, ExecutionStatus};
use beacon_jobs::stop::StopState;
use beacon_jobs_golem::fake::{Fault, Work};
use serde_json::{Value, json};

use crate::bed::{Bed, input};

const EVER: u32 = u32::MAX;

/// Commands of these programs, one after the other.
fn script(programs: &[&str]) -> Value {
    let commands = programs.iter().map(|program| json!({ "run": { "entry_point": program } }));
    let mut asked = input("");
    asked["commands"] = commands.collect();
    asked
}

fn fails() -> Fault {
    Fault::Fails(500, "{\"message\":\"GSB error: not served\"}".to_owned())
}

fn event(index: u64, kind: &Value) -> String {
    let event =
        json!({ "batch_id": "any", "index": index, "timestamp": "2026-01-01T00:00:00.123", "kind": kind });
    format!("event: runtime\ndata: {event}\nid: 0\n\n")
}

async fn progress(bed: &Bed, id: &JobId) -> Option<ExecutionProgress> {
    bed.get(id).await.executions[0].progress.clone()
}

/// Waits until a job's progress reads like this.
async fn shows_like(bed: &Bed, id: &JobId, fits: impl Fn(&str) -> bool) {
    let mut last = String::new();
    for _ in 0..12_000 {
        last = progress(bed, id).await.map(|it| it.to_string()).unwrap_or_default();
        if fits(&last) {
            return;
        }
        SystemClock.sleep(Duration::from_millis(5)).await;
    }
    panic!("it stays {last:?}");
}

/// Waits until a job's progress reads so.
async fn shows(bed: &Bed, id: &JobId, wanted: &str) {
    shows_like(bed, id, |now| now == wanted).await;
}

async fn completes(bed: &Bed, id: &JobId) {
    let record = bed.outcome(id).await;
    assert_eq!((record.status, record.attempt), (ExecutionStatus::Completed, 1), "{:?}", record.error);
    bed.clean().await;
}

#[tokio::test]
async fn commands_that_are_done_are_counted_with_what_the_running_one_says() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    bed.yagna.install("train", Work::Repeats("  epoch 1\repoch 2\t\u{1b}[m".to_owned()));
    let id = bed.submit(script(&["echo", "train", "echo"])).await;
    shows_like(&bed, &id, |now| now.starts_with("1 of 3: run train: epoch 2 ")).await;
    bed.yagna.complete();
    completes(&bed, &id).await;
    shows(&bed, &id, "3 of 3").await;
    bed.yagna.until(|yagna| yagna.listeners() == 0).await;
}

#[tokio::test]
async fn a_runtime_that_is_on_its_way_is_no_command() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    bed.yagna.behave(|behaviour| behaviour.deploy_after = Duration::from_secs(3600));
    let id = bed.submit(script(&["echo"])).await;
    shows(&bed, &id, "0 of 1: deploy").await;
    bed.cancel(&id).await;
    bed.stop(&id, StopState::Confirmed).await;
    bed.clean().await;
}

/// Nothing else says a word here.
#[tokio::test]
async fn the_stream_tells_of_each_command() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    bed.yagna.inject("GetResults", EVER, fails());
    bed.yagna.inject("GetResultsTo", EVER, fails());
    let id = bed.submit(script(&["go_on", "echo", "go_on"])).await;
    bed.yagna.until(|yagna| yagna.listeners() == 1).await;
    bed.yagna.until(|yagna| yagna.computing() == 1).await;
    bed.yagna.complete();
    shows(&bed, &id, "2 of 3: run go_on").await;
    bed.cancel(&id).await;
    bed.stop(&id, StopState::Confirmed).await;
    bed.clean().await;
}

/// Polls for all results are not answered here.
#[tokio::test]
async fn without_a_stream_each_command_is_asked_for() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    bed.yagna.inject("StreamResults", EVER, fails());
    bed.yagna.inject("GetResults", EVER, fails());
    let id = bed.submit(script(&["go_on", "echo", "go_on"])).await;
    shows(&bed, &id, "0 of 3: run go_on").await;
    bed.yagna.complete();
    shows(&bed, &id, "2 of 3: run go_on").await;
    // Its word that the batch is finished is said of what was asked for.
    assert_eq!(bed.get(&id).await.executions[0].status, ExecutionStatus::Running);
    bed.cancel(&id).await;
    bed.stop(&id, StopState::Confirmed).await;
    bed.clean().await;
}

#[tokio::test]
async fn without_anything_else_the_end_is_counted() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    bed.yagna.inject("StreamResults", EVER, fails());
    bed.yagna.inject("GetResultsTo", EVER, fails());
    let id = bed.submit(script(&["echo", "echo"])).await;
    completes(&bed, &id).await;
    shows(&bed, &id, "2 of 2").await;
}

#[tokio::test]
async fn a_command_that_fails_is_not_counted() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    let id = bed.submit(script(&["echo", "fail", "echo"])).await;
    assert_eq!(bed.outcome(&id).await.status, ExecutionStatus::Failed);
    shows(&bed, &id, "1 of 3: run fail").await;
    bed.clean().await;
}

#[tokio::test]
async fn the_next_node_does_not_take_back_what_was_shown() {
    let bed = Bed::new().await;
    let runner = bed.runner().await;
    let id = bed.submit(script(&["echo", "go_on"])).await;
    shows(&bed, &id, "1 of 2: run go_on").await;
    runner.shutdown(Duration::from_secs(20)).await;
    let asked = bed.yagna.received("GetResultsTo");
    bed.yagna.inject("StreamResults", EVER, fails());
    bed.yagna.inject("GetResultsTo", EVER, fails());
    let _next = bed.runner().await;
    // It asks again after a pause.
    bed.yagna.until(|yagna| yagna.received("GetResultsTo") > asked + 1).await;
    assert_eq!(progress(&bed, &id).await.unwrap().to_string(), "1 of 2: run go_on");
    bed.yagna.complete();
    shows(&bed, &id, "2 of 2").await;
    completes(&bed, &id).await;
}

#[tokio::test]
async fn a_line_without_measure_is_left_out() {
    let bed = Bed::new().await;
    let _runner = bed.runner().await;
    let long = event(2, &json!({ "stdout": "long ".repeat(30_000) }));
    let good = event(2, &json!({ "stderr": "good\n" }));
    let bad = event(2, &json!({ "stdout": [1, 2] }));
    let unknown = event(2, &json!({ "surprise": {} }));
    bed.yagna.inject("StreamResults", 1, Fault::Answers(format!("data:\n{good}{long}{bad}{unknown}")));
    bed.yagna.inject("StreamResults", EVER, fails());
    let id = bed.submit(script(&["go_on"])).await;
    shows(&bed, &id, "0 of 1: run go_on: good").await;
    bed.yagna.complete();
    completes(&bed, &id).await;
}

/// What is streamed without a stop is cut, and not begun again at once.
#[tokio::test]
async fn a_stream_without_an_end_is_cut() {
    for text in ["x".repeat(10_000), "\n".repeat(10_000), event(2, &json!({ "stdout": "again" }))] {
        let bed = Bed::new().await;
        let _runner = bed.runner().await;
        bed.yagna.inject("StreamResults", EVER, Fault::Endless(text));
        let id = bed.computing().await;
        bed.yagna.until(|yagna| yagna.received("StreamResults") >= 2).await;
        bed.yagna.complete();
        completes(&bed, &id).await;
    }
}

/// Each of them for ever, while work runs to its end, and while it is cancelled.
#[tokio::test]
async fn whatever_is_streamed_the_outcome_is_that_of_the_work() {
    let finished = |index| event(index, &json!({ "finished": { "return_code": 0, "message": null } }));
    let failed = event(2, &json!({ "finished": { "return_code": 1, "message": "no" } }));
    let streams = [
        fails(),
        Fault::Fails(404, String::new()),
        Fault::ReplyLost,
        Fault::Stalls,
        Fault::Answers("\u{0}<html>\n\ndata: {\ndata: [1]\nevent\n".to_owned()),
        Fault::Answers(format!("{}{}{}", finished(1), finished(u64::MAX), finished(1 << 40))),
        Fault::Answers(format!("{}{failed}", finished(2))),
        Fault::Endless(finished(2)),
    ];
    for stream in streams {
        for is_cancelled in [false, true] {
            let bed = Bed::new().await;
            let _runner = bed.runner().await;
            bed.yagna.inject("StreamResults", EVER, stream.clone());
            let id = bed.computing().await;
            bed.yagna.until(|yagna| yagna.received("StreamResults") > 0).await;
            shows_like(&bed, &id, |now| !now.is_empty()).await;
            assert_eq!(bed.get(&id).await.executions[0].status, ExecutionStatus::Running, "{stream:?}");
            if is_cancelled {
                bed.cancel(&id).await;
                bed.stop(&id, StopState::Confirmed).await;
                bed.clean().await;
            } else {
                bed.yagna.complete();
                completes(&bed, &id).await;
                shows(&bed, &id, "1 of 1").await;
            }
        }
    }
}
