//! The whole life of a job in one terminal: submit, run, cancel, evidence.

use std::time::Duration;

use beacon_jobs::cancel::{Actor, CancelOutcome, CancelRequest};
use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::job::{ExecutionRecord, JobDetail, parse_job_file};
use beacon_jobs::process::ProcessExecutor;
use beacon_jobs::runner::JobRunner;
use beacon_jobs::stop::StopState;
use beacon_jobs::store::ExecutionPage;
use beacon_jobs::{JobId, Jobs, Settled};
use serde_json::{Value, json};

use crate::cli::DemoArgs;
use crate::exit::Exit;
use crate::signals::Signals;
use crate::values::Database;
use crate::watch::View;
use crate::{database, evidence, print};

/// Two models, three questions and two regions; the file that the page and the README name.
const JOB: &[u8] = include_bytes!("../jobs/bias.json");
const OWNER: &str = "demo";
const LOOK: Duration = Duration::from_millis(250);
/// How long the stops may take: the grace, and time for a slow machine.
const SETTLE: Duration = Duration::from_secs(30);

/// Runs the demonstration. It succeeds only if every stop was confirmed.
pub(crate) async fn run(args: &DemoArgs) -> Result<(), Exit> {
    let mut signals = Signals::listen()?;
    let folder = tempfile::Builder::new()
        .prefix("beacon-demo-")
        .tempdir()
        .map_err(|error| Exit::failed(format!("no temporary folder can be made: {error}")))?;
    let store = database::open(&Database::Sqlite(folder.path().join("demo.db"))).await?.store;
    let jobs = Jobs::new(store);
    let runner = JobRunner::builder(&jobs).executor(ProcessExecutor::new()).start().await.map_err(failed)?;
    let spec = parse_job_file(JOB).map_err(failed)?;
    let count = spec.executions.len();
    let id = jobs.submit(OWNER, spec).await.map_err(failed)?.id;
    print::line(&format!(
        "1. submitted job {id}: {count} executions, each a real child process with about 20 s of work"
    ))?;
    print::line(&format!(
        "2. it runs; it is cancelled {} s after its first process has begun",
        args.cancel_after
    ))?;

    let mut view = View::new(false);
    tokio::select! {
        ran = run_for(&jobs, &id, &mut view, Duration::from_secs(args.cancel_after)) => ran?,
        // Whoever is in a hurry sees the end all the same.
        _ = signals.next() => {}
    }
    let request = CancelRequest::new(Actor::Owner(OWNER.to_owned())).with_reason("the demonstration is over");
    let answer = jobs.cancel(&id, &request).await.map_err(failed)?;
    view.clear();
    let CancelOutcome::Cancelled { record, .. } = answer.outcome else {
        return Err(Exit::failed(
            "the job was over before it could be cancelled; use a smaller --cancel-after",
        ));
    };
    print::line(&format!(
        "3. cancelled: {} executions; waiting until their work is shown to have ended",
        record.executions_cancelled
    ))?;
    let settled = tokio::select! {
        settled = jobs.settled(&id, SETTLE) => settled.map_err(failed)?,
        signal = signals.next() => return Err(Exit::failed(format!("ended by {signal}"))),
    };
    // The runner goes first: what the work left behind when it was told to end is stored by then.
    runner.shutdown(Duration::ZERO).await;
    let detail = read(&jobs, &id).await?;
    print::line("4. the evidence:")?;
    let rows: Vec<Value> = detail.executions.iter().map(row).collect();
    evidence::table(&rows).iter().try_for_each(|line| print::line(&format!("   {line}")))?;
    judge(&detail, settled)
}

/// Shows the job until its first execution has run for `time`.
async fn run_for(jobs: &Jobs, id: &JobId, view: &mut View, time: Duration) -> Result<(), Exit> {
    let mut end = None;
    loop {
        let detail = read(jobs, id).await?;
        view.show(&json!({
            "status": detail.job.status,
            "progress": detail.job.progress,
            "executions": detail.executions.iter().map(row).collect::<Vec<_>>(),
        }))?;
        if detail.job.progress.running > 0 && end.is_none() {
            end = Some(SystemClock.now() + time);
        }
        if detail.job.status.is_terminal() || end.is_some_and(|end| SystemClock.now() >= end) {
            return Ok(());
        }
        SystemClock.sleep(LOOK).await;
    }
}

async fn read(jobs: &Jobs, id: &JobId) -> Result<JobDetail, Exit> {
    let detail = jobs.get(id, ExecutionPage::ALL).await.map_err(failed)?;
    detail.ok_or_else(|| Exit::failed(format!("job {id} is not in its database")))
}

fn row(execution: &ExecutionRecord) -> Value {
    // What has no JSON form shows as an empty row.
    serde_json::to_value(execution).unwrap_or_default()
}

/// Says how it went, and fails unless every execution that began is shown to have ended.
fn judge(detail: &JobDetail, settled: Settled) -> Result<(), Exit> {
    let began = detail.executions.iter().filter(|execution| execution.attempt > 0).collect::<Vec<_>>();
    let confirmed = |execution: &ExecutionRecord| {
        execution.stop.as_ref().is_some_and(|stop| stop.state == StopState::Confirmed)
    };
    let stopped = began.iter().filter(|execution| confirmed(execution)).count();
    let kept = began.iter().filter(|execution| execution.late_output.is_some()).count();
    let never = detail.executions.len() - began.len();
    let slowest = began
        .iter()
        .filter_map(|execution| execution.stop.as_ref())
        .filter_map(|stop| Some((stop.confirmed_at? - stop.requested_at).whole_milliseconds()))
        .max()
        .unwrap_or(0);
    print::line(&format!(
        "{stopped} of {} processes that had begun are confirmed as ended (slowest: {slowest} ms); {never} never began; {kept} partial results kept aside",
        began.len()
    ))?;
    if !began.is_empty() && stopped == began.len() && matches!(settled, Settled::Yes(_)) {
        return Ok(());
    }
    Err(Exit::failed(format!("{} stops are not confirmed", began.len() - stopped)))
}

fn failed(error: beacon_jobs::Error) -> Exit {
    Exit::failed(error.to_string())
}
