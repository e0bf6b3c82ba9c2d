//! One function, cancelled in one manner.

use std::path::Path;
use std::time::Duration;

use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::job::StopRecord;
use beacon_jobs::stop::StopState;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::bed::{Bed, Ticks, until};
use crate::generated::generic_result::GenericStatus;
use crate::worker::{Seen, running_in_group};

/// How it is cancelled, and how the other side deals with that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// With a grace of a second and a half.
    Graceful,
    /// Without grace.
    Immediate,
    /// Without grace, and the worker ends no container before it is told to by its name.
    Lazy,
    /// Without grace, and the control plane calls the input terminated at once.
    Early,
}

impl Manner {
    pub(crate) const fn grace(self) -> Duration {
        match self {
            Self::Graceful => Duration::from_millis(1500),
            _ => Duration::ZERO,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) function: &'static str,
    pub(crate) manner: Manner,
}

/// What was seen of it. Times are counted from the cancel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// What Modal's runtime said of the input.
    pub(crate) reported: Option<(GenericStatus, time::Duration)>,
    pub(crate) last_tick: time::Duration,
    /// When all processes of the container were gone, and whether it had to be killed.
    pub(crate) gone: time::Duration,
    pub(crate) killed: bool,
    /// What we said, each word when it was new.
    pub(crate) said: Vec<(String, time::Duration)>,
    pub(crate) late_output: Option<Value>,
    /// What must not be.
    pub(crate) wrong: Vec<String>,
}

pub(crate) async fn run(row: Row, python: &Path) -> Outcome {
    let bed = Bed::new(python, row.function).await;
    bed.behave(|behaviour| match row.manner {
        Manner::Lazy => behaviour.terminate_after = None,
        Manner::Early => behaviour.ends_inputs_at_once = true,
        Manner::Graceful | Manner::Immediate => {}
    });
    let ticks = bed.ticks("ticks");
    let id = bed.submit(row.function, json!([ticks.path()]), json!({})).await;
    bed.begins(&ticks).await;
    let cancelled = SystemClock.now();
    bed.cancel(&id, row.manner.grace()).await;
    // Nothing else ends it.
    if row.manner == Manner::Lazy {
        ticks_after_report(row, &bed, &ticks).await;
    }
    let mut outcome = Outcome::default();
    let stop = until("confirmed", async || {
        let stop = bed.get(&id).await.executions[0].stop.clone()?;
        let word = word(&stop);
        if outcome.said.last().is_none_or(|(last, _)| *last != word) {
            outcome.said.push((word, SystemClock.now() - cancelled));
        }
        (stop.state == StopState::Confirmed).then_some(stop)
    })
    .await;
    let [seen] = bed.containers();
    outcome.wrong = judge(&stop, &seen, &ticks).await;
    outcome.reported = seen.reported.borrow().map(|(status, at)| (status, at - cancelled));
    outcome.last_tick = ticks.last().unwrap() - cancelled;
    if let Some(gone) = &*seen.gone.borrow() {
        outcome.gone = gone.at - cancelled;
        outcome.killed = gone.killed;
    }
    outcome.late_output = bed.get(&id).await.executions[0].late_output.clone();
    outcome
}

/// Work that its input leaves behind goes on until the container is stopped.
async fn ticks_after_report(row: Row, bed: &Bed, ticks: &Ticks) {
    let [seen] = bed.containers();
    if row.function != "swallows" {
        seen.reported.subscribe().wait_for(Option::is_some).await.unwrap();
    }
    ticks.more(5).await;
}

/// What speaks against a confirmation that was just made.
pub(crate) async fn judge(stop: &StopRecord, seen: &Seen, ticks: &Ticks) -> Vec<String> {
    let mut wrong = Vec::new();
    let group = seen.group.borrow().unwrap();
    let running = running_in_group(group);
    if !running.is_empty() {
        wrong.push(format!("confirmed, and these run: {running:?}"));
    }
    if seen.gone.borrow().is_none() {
        wrong.push("confirmed before its container has ended".to_owned());
    }
    if let Err(more) = ticks.have_ended().await {
        wrong.push(format!("confirmed, and then {more}"));
    }
    let confirmed: OffsetDateTime = stop.confirmed_at.unwrap();
    if ticks.last().is_some_and(|last| last > confirmed) {
        wrong.push(format!("confirmed at {confirmed}, and it ticked at {:?}", ticks.last()));
    }
    wrong
}

/// What a stop says: its state, and the rung of the evidence.
fn word(stop: &StopRecord) -> String {
    let level = stop.evidence.as_ref().and_then(|evidence| evidence["level"].as_str());
    match level {
        Some(level) => format!("{} ({level})", stop.state),
        None => stop.state.to_string(),
    }
}
