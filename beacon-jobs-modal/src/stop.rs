//! Ending a call: the ladder of evidence.

use std::time::Duration;

use beacon_jobs::stop::{StopError, StopRequest, StopStatus};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tonic::Code;

use crate::call::{Call, Phase};
use crate::error::CallError;
use crate::executor::ModalExecutor;
use crate::generated::generic_result::GenericStatus;
use crate::watch::{inputs, unfinished};

/// How soon an open stop is looked at again, and how late at most.
const ASK_AGAIN: Duration = Duration::from_millis(500);
const ASK_LATE: Duration = Duration::from_secs(5);
/// How soon where Modal will show no more than it has.
const ASK_CAPPED: Duration = Duration::from_secs(60);

/// What is known of the end of a call: the evidence of its stop, carried from call to call.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Evidence {
    level: Level,
    /// What shows the end, in a few words, once it is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shown_by: Option<String>,
    call: String,
    /// The hardest cancel that Modal has taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cancel: Option<Cancel>,
    /// What Modal said of the input in this very call; what it said before a seal is no evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    input: Option<InputSeen>,
    /// Every container in which the input was seen, by whichever process.
    #[serde(default)]
    containers: Vec<Container>,
    /// What Modal would not tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    withheld: Vec<String>,
    /// The question of this very call that got no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unanswered: Option<String>,
}

/// The rungs of the ladder.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    /// Modal has taken the cancel.
    #[default]
    Requested,
    /// The input has come to an end. That says nothing about code that runs.
    Input,
    /// Every container that held the input is on record as finished.
    Containers,
    /// The input never started.
    NeverStarted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cancel {
    terminate_containers: bool,
    /// No input could arrive after it.
    after_seal: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct InputSeen {
    ended: bool,
    started: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reported: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Container {
    id: String,
    /// By Modal's clock, in seconds since 1970; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    finished_at: Option<f64>,
    /// It was told to stop, whatever runs in it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    stopped: bool,
}

impl Evidence {
    fn add(&mut self, task: &str) {
        if !task.is_empty() && !self.containers.iter().any(|known| known.id == task) {
            self.containers.push(Container { id: task.to_owned(), finished_at: None, stopped: false });
        }
    }

    fn withhold(&mut self, error: &CallError) {
        let what = error.to_string();
        if !self.withheld.contains(&what) {
            self.withheld.push(what);
        }
    }
}

impl ModalExecutor {
    /// Why a call cannot be reached from here: its id means nothing to another server or account, and
    /// what is not found there may well run.
    pub(crate) async fn elsewhere(&self, call: &Call) -> Result<Option<String>, CallError> {
        let server = self.client.server();
        if call.server != server {
            return Ok(Some(format!("the call was made at {}, and this node uses {server}", call.server)));
        }
        let workspace = self.client.workspace().await?;
        Ok((call.workspace != workspace).then(|| {
            format!("the call was made in the workspace {}, and this token is of {workspace}", call.workspace)
        }))
    }

    /// Tells Modal to end the call as hard as is due, and climbs as far as its records go.
    pub(crate) async fn climb(&self, call: Call, request: &StopRequest) -> Result<StopStatus, StopError> {
        if let Some(why) = self.elsewhere(&call).await? {
            return Ok(StopStatus::Unconfirmable { why, evidence: None, ask_again: None });
        }
        let mut evidence: Evidence =
            request.evidence.as_ref().and_then(|known| Evidence::deserialize(known).ok()).unwrap_or_default();
        evidence.level = Level::Requested;
        evidence.call.clone_from(&call.call_id);
        evidence.withheld.clear();
        (evidence.shown_by, evidence.unanswered) = (None, None);
        for task in &call.tasks {
            evidence.add(task);
        }
        if let Err(error) = self.cancel(&call, request, &mut evidence).await {
            if error.code() == Code::NotFound {
                let why = format!("Modal does not know the call {} any more", call.call_id);
                return Ok(StopStatus::Unconfirmable { why, evidence: None, ask_again: None });
            }
            return Err(error.into());
        }
        let ask_again = (request.overdue / 8).clamp(ASK_AGAIN, ASK_LATE);
        match self.look(&call, request, &mut evidence).await {
            Ok(status) => {
                Ok(status
                    .unwrap_or_else(|| StopStatus::Acknowledged { evidence: json(&evidence), ask_again }))
            }
            // Which containers were seen up to there may be seen by nobody again.
            Err(error) => {
                let ask_again = error.retry_after.unwrap_or(ask_again);
                evidence.unanswered = Some(error.to_string());
                Ok(StopStatus::Acknowledged { evidence: json(&evidence), ask_again })
            }
        }
    }

    /// Reads Modal's records. `None` when they do not show the end yet.
    async fn look(
        &self,
        call: &Call,
        request: &StopRequest,
        evidence: &mut Evidence,
    ) -> Result<Option<StopStatus>, CallError> {
        self.look_at_input(call, evidence).await?;
        let has_ended = evidence.input.as_ref().is_some_and(|input| input.ended);
        let has_started = evidence.input.as_ref().is_none_or(|input| input.started);
        if has_ended && !has_started && evidence.containers.is_empty() {
            evidence.level = Level::NeverStarted;
            evidence.shown_by = Some("Modal's records: the input never started".to_owned());
            return Ok(Some(StopStatus::Confirmed { evidence: json(evidence) }));
        }
        let all_finished = self.look_at_containers(request, evidence).await?;
        if has_ended && all_finished && !evidence.containers.is_empty() {
            evidence.level = Level::Containers;
            let ids: Vec<_> = evidence.containers.iter().map(|container| &*container.id).collect();
            evidence.shown_by = Some(format!("Modal's records: {} finished", ids.join(", ")));
            return Ok(Some(StopStatus::Confirmed { evidence: json(evidence) }));
        }
        if has_ended {
            evidence.level = Level::Input;
        }
        if has_ended && !evidence.withheld.is_empty() {
            let why = format!(
                "the input has ended, and no more is known of what ran: {}",
                evidence.withheld.join("; ")
            );
            let evidence = Some(json(evidence));
            return Ok(Some(StopStatus::Unconfirmable { why, evidence, ask_again: Some(ASK_CAPPED) }));
        }
        Ok(None)
    }

    async fn cancel(
        &self,
        call: &Call,
        request: &StopRequest,
        evidence: &mut Evidence,
    ) -> Result<(), CallError> {
        let due = Cancel { terminate_containers: request.grace.is_zero(), after_seal: request.sealed };
        let is_done = evidence.cancel.is_some_and(|done| {
            done.terminate_containers >= due.terminate_containers && done.after_seal >= due.after_seal
        });
        if !is_done {
            self.client.cancel(&call.call_id, due.terminate_containers).await?;
            evidence.cancel = Some(due);
        }
        Ok(())
    }

    async fn look_at_input(&self, call: &Call, evidence: &mut Evidence) -> Result<(), CallError> {
        let mut seen = match self.client.call_info(&call.function_id, &call.call_id).await {
            Ok(info) => {
                let mut started = false;
                for input in inputs(&info) {
                    started |= input.started_at > 0.0 || !input.task_id.is_empty();
                    evidence.add(&input.task_id);
                }
                // `latest` may leave inputs out: only one that is shown not to have started has not.
                let shown = i32::try_from(inputs(&info).count()).unwrap_or(i32::MAX);
                started |= shown < info.total_inputs;
                // An input that Modal took and does not show has not ended.
                let is_missing = call.phase == Phase::Fed && info.total_inputs == 0;
                Some(InputSeen { ended: unfinished(&info) <= 0 && !is_missing, started, reported: None })
            }
            Err(error) if error.is_not_offered() || error.code() == Code::NotFound => {
                evidence.withhold(&error);
                None
            }
            Err(error) => return Err(error),
        };
        // It names the container that reported, and is what is left where the above is not offered.
        let answer = self.client.outputs(&call.call_id, Duration::ZERO).await?;
        if let Some(item) = answer.outputs.first() {
            evidence.add(&item.task_id);
            let status = item.result.as_ref().map_or(0, |result| result.status);
            let word = GenericStatus::try_from(status).map_or("UNKNOWN", |status| status.as_str_name());
            let reported = word.trim_start_matches("GENERIC_STATUS_").to_lowercase();
            let seen = seen.get_or_insert(InputSeen { ended: true, started: true, reported: None });
            seen.started |= item.input_started_at > 0.0 || !item.task_id.is_empty();
            seen.reported = Some(reported);
        }
        evidence.input = seen;
        Ok(())
    }

    /// Reads what is on record of each container, and stops by force what has not finished in time.
    /// Tells whether all have finished.
    async fn look_at_containers(
        &self,
        request: &StopRequest,
        evidence: &mut Evidence,
    ) -> Result<bool, CallError> {
        let by_force = request.grace.is_zero()
            && self.limits.container_stop.is_some_and(|limit| request.overdue >= limit);
        let mut containers = std::mem::take(&mut evidence.containers);
        for container in containers.iter_mut().filter(|container| container.finished_at.is_none()) {
            match self.client.container(&container.id).await {
                Ok(record) if record.finished_at > 0.0 => container.finished_at = Some(record.finished_at),
                Ok(_) if by_force && !container.stopped => {
                    match self.client.stop_container(&container.id).await {
                        Ok(()) => container.stopped = true,
                        Err(error) => {
                            tracing::warn!(%error, task = container.id, "a container is not stopped")
                        }
                    }
                }
                Ok(_) => {}
                Err(error) if error.is_not_offered() || error.code() == Code::NotFound => {
                    evidence.withhold(&error);
                }
                Err(error) => {
                    evidence.containers = containers;
                    return Err(error);
                }
            }
        }
        evidence.containers = containers;
        Ok(evidence.containers.iter().all(|container| container.finished_at.is_some()))
    }
}

fn json(evidence: &Evidence) -> serde_json::Value {
    serde_json::to_value(evidence).unwrap_or_else(|error| json!({ "unreadable": error.to_string() }))
}
