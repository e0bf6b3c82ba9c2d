//! What is counted, by the `metrics` facade: nothing, and at no cost, until the host program installs a
//! recorder.
//!
//! | name | kind | labels | |
//! |---|---|---|---|
//! | [`CANCELS`] | counter | `outcome` | cancels that this process took: `cancelled`, `already_cancelled`, `already_finished`, `not_yours`, `not_found`, `error` |
//! | [`CANCEL_SECONDS`] | histogram | | how long a cancel took to be committed and signalled here; of many at once, all of them |
//! | [`CONTEXTS`] | gauge | | contexts registered in this process |
//! | [`CONTEXTS_ENDED`] | counter | `reason` | contexts of this process ended before their job was: `requested`, `deadline`, `shutdown`, `lease_lost` |
//! | [`CLAIMS`] | counter | `how` | jobs that this node took: `claimed`, `taken_over` |
//! | [`JOBS_FINISHED`] | counter | `status` | jobs that got their outcome by this process: `completed`, `failed`, `cancelled` |
//! | [`EXECUTIONS_FINISHED`] | counter | `status` | executions that did; those that a job's deadline failed with it are not in it |
//! | [`STOPS_SETTLED`] | counter | `executor`, `state` | stops that came to be `confirmed` or `unconfirmed` by this node's calls; one that becomes confirmed after all is in both |
//! | [`STOP_SECONDS`] | histogram | `executor` | from the request of a stop to its confirmation on record |
//! | [`STOPS_DRIVEN`] | gauge | `state`, `age` | stops of all jobs of the store, of any node, that are driven and not confirmed; `age` as [`StopAge`] says it |
//!
//! The gauges are set by [`Jobs::measure`](crate::Jobs::measure): call it before each time that they
//! are read. One whose store cannot be read is not a number.

use std::time::Duration;

use ::metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::cancel::{CancelOutcome, CancelReason};
use crate::job::{ExecutionStatus, JobStatus};
use crate::stop::StopState;
use crate::store::{DrivenStops, ExecutionResult, StopAge};

/// Cancels, by outcome.
pub const CANCELS: &str = "beacon_cancels_total";
/// Seconds from a cancel's call to its commit and its signal in this process.
pub const CANCEL_SECONDS: &str = "beacon_cancel_seconds";
/// Contexts registered in this process.
pub const CONTEXTS: &str = "beacon_contexts";
/// Contexts that were ended, by reason.
pub const CONTEXTS_ENDED: &str = "beacon_contexts_ended_total";
/// Jobs taken, by how.
pub const CLAIMS: &str = "beacon_claims_total";
/// Jobs with an outcome, by status.
pub const JOBS_FINISHED: &str = "beacon_jobs_finished_total";
/// Executions with an outcome, by status.
pub const EXECUTIONS_FINISHED: &str = "beacon_executions_finished_total";
/// Stops confirmed or said to be unconfirmed, by executor and state.
pub const STOPS_SETTLED: &str = "beacon_stops_settled_total";
/// Seconds from a stop's request to its confirmation on record, by executor.
pub const STOP_SECONDS: &str = "beacon_stop_seconds";
/// Stops that are driven and not confirmed, by state and age, of the whole store.
pub const STOPS_DRIVEN: &str = "beacon_stops_driven";

/// Tells the installed recorder what each name means. Call it once, after the recorder is installed.
pub fn describe() {
    describe_counter!(CANCELS, "Cancels that this process took, by outcome");
    describe_histogram!(CANCEL_SECONDS, "Seconds until a cancel was committed and signalled here");
    describe_gauge!(CONTEXTS, "Contexts registered in this process");
    describe_counter!(CONTEXTS_ENDED, "Contexts of this process that were ended, by reason");
    describe_counter!(CLAIMS, "Jobs that this node took, by how");
    describe_counter!(JOBS_FINISHED, "Jobs that got their outcome by this process, by status");
    describe_counter!(EXECUTIONS_FINISHED, "Executions that got their outcome by this process, by status");
    describe_counter!(STOPS_SETTLED, "Stops confirmed, or said to be unconfirmed, by this node's calls");
    describe_histogram!(STOP_SECONDS, "Seconds from a stop's request to its confirmation on record");
    describe_gauge!(
        STOPS_DRIVEN,
        "Stops of the whole store that are driven and not confirmed, by state and age"
    );
}

pub(crate) fn cancelled(outcome: Result<&CancelOutcome, ()>) {
    let word = match outcome {
        Ok(CancelOutcome::Cancelled { record, .. }) => {
            job_finished(JobStatus::Cancelled);
            executions_finished(ExecutionStatus::Cancelled, record.executions_cancelled);
            "cancelled"
        }
        Ok(CancelOutcome::AlreadyCancelled { .. }) => "already_cancelled",
        Ok(CancelOutcome::AlreadyFinished { .. }) => "already_finished",
        Ok(CancelOutcome::NotYours) => "not_yours",
        Ok(CancelOutcome::NotFound) => "not_found",
        Err(()) => "error",
    };
    counter!(CANCELS, "outcome" => word).increment(1);
}

pub(crate) fn cancel_took(time: Duration) {
    histogram!(CANCEL_SECONDS).record(time.as_secs_f64());
}

/// The word for a reason.
pub(crate) const fn name_of(reason: &CancelReason) -> &'static str {
    match reason {
        CancelReason::Requested { .. } => "requested",
        CancelReason::Deadline => "deadline",
        CancelReason::Shutdown => "shutdown",
        CancelReason::LeaseLost => "lease_lost",
    }
}

pub(crate) fn context_ended(reason: &'static str) {
    counter!(CONTEXTS_ENDED, "reason" => reason).increment(1);
}

pub(crate) fn claimed(taken_over: bool) {
    counter!(CLAIMS, "how" => if taken_over { "taken_over" } else { "claimed" }).increment(1);
}

pub(crate) fn job_finished(status: JobStatus) {
    counter!(JOBS_FINISHED, "status" => status.as_str()).increment(1);
}

/// An attempt's end was recorded, which may be its execution's.
pub(crate) fn attempt_finished(result: &ExecutionResult) {
    if let Some(status) = result.outcome() {
        executions_finished(status, 1);
    }
}

fn executions_finished(status: ExecutionStatus, count: u64) {
    counter!(EXECUTIONS_FINISHED, "status" => status.as_str()).increment(count);
}

/// A stop has come to this state, so long after it was asked for.
pub(crate) fn stop_settled(executor: &str, state: StopState, after: Duration) {
    counter!(STOPS_SETTLED, "executor" => executor.to_owned(), "state" => state.as_str()).increment(1);
    if state == StopState::Confirmed {
        histogram!(STOP_SECONDS, "executor" => executor.to_owned()).record(after.as_secs_f64());
    }
}

pub(crate) fn contexts(count: usize) {
    gauge!(CONTEXTS).set(count as f64);
}

/// Sets all states and ages: one that has none left must not keep its last number.
pub(crate) fn driven(stops: Option<&[DrivenStops]>) {
    for state in [StopState::Requested, StopState::Acknowledged, StopState::Unconfirmed] {
        for age in StopAge::ALL {
            let of_both = |it: &&DrivenStops| it.state == state && it.age == age;
            let count =
                |stops: &[DrivenStops]| stops.iter().filter(of_both).map(|it| it.count).sum::<u64>() as f64;
            gauge!(STOPS_DRIVEN, "state" => state.as_str(), "age" => age.as_str())
                .set(stops.map_or(f64::NAN, count));
        }
    }
}
