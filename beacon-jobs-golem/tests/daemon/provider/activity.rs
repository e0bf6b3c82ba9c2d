//! An activity: what an exe-unit does, with real processes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use beacon_jobs::clock::{Clock, SystemClock};
use rustix::process::Pid;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use tokio::sync::{broadcast, watch};

use super::process::{Running, Runtime, lives};
use super::{Shared, gsb};

/// How often an exe-unit reports its counters; without them it is taken for dead after five seconds.
const REPORT: Duration = Duration::from_secs(1);
const KINDS: &[&str] =
    &["Exec", "GetExecBatchResults", "StreamExecBatchResults", "GetActivityState", "GetRunningCommand"];

/// What is known of an activity at the provider's place.
#[derive(Debug)]
pub(super) struct Activity {
    id: String,
    pub(super) agreement: String,
    stop: watch::Sender<bool>,
    over: watch::Sender<bool>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    runtime: Option<Pid>,
    command: Option<Pid>,
    begun: usize,
    batches: BTreeMap<String, Batch>,
}

/// A script, with the results that there are, and what happens for those who listen.
#[derive(Debug)]
struct Batch {
    results: watch::Sender<Vec<Value>>,
    events: broadcast::Sender<Value>,
}

impl Default for Batch {
    fn default() -> Self {
        Self { results: watch::Sender::default(), events: broadcast::Sender::new(16) }
    }
}

impl Activity {
    pub(super) fn new(id: &str, agreement: &str) -> Arc<Self> {
        Arc::new(Self {
            id: id.to_owned(),
            agreement: agreement.to_owned(),
            stop: watch::Sender::new(false),
            over: watch::Sender::new(false),
            seen: Mutex::default(),
        })
    }

    /// Whether any process of it lives, as the system has it.
    pub(super) fn lives(&self) -> bool {
        let seen = self.seen.lock().unwrap();
        // One whose runtime is on its way lives too.
        seen.runtime.is_none_or(lives) && !*self.over.borrow() || seen.command.is_some_and(lives)
    }

    pub(super) fn computes(&self) -> bool {
        self.seen.lock().unwrap().command.is_some_and(lives)
    }

    pub(super) fn begun(&self) -> usize {
        self.seen.lock().unwrap().begun
    }

    pub(super) fn scripts(&self) -> usize {
        self.seen.lock().unwrap().batches.len()
    }

    /// Tells it to end.
    pub(super) fn end(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until it has ended.
    pub(super) async fn ended(&self) {
        self.over.subscribe().wait_for(|over| *over).await.unwrap();
    }

    /// Runs it to its end, and tells the daemon of both.
    pub(super) async fn run(self: Arc<Self>, shared: Arc<Shared>) {
        let mut runtime = Runtime::start();
        self.seen.lock().unwrap().runtime = Some(runtime.group());
        let address = format!("/public/exeunit/{}", self.id);
        let group = runtime.group();
        let serving = gsb::serve(&shared.api, &address, KINDS, |kind, asked| {
            Arc::clone(&self).act(Arc::clone(&shared), group, kind, asked)
        });
        let initialize = async {
            let wait = shared.manners().create_after;
            SystemClock.sleep(wait).await;
            self.tell(&shared, json!(["Initialized", null])).await;
            std::future::pending::<()>().await;
        };
        let mut stop = self.stop.subscribe();
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            outcome = serving => panic!("the daemon does not hand over messages: {outcome:?}"),
            () = initialize => {}
            () = self.report(&shared) => {}
        }
        SystemClock.sleep(shared.manners().end_after).await;
        runtime.end().await;
        self.over.send_replace(true);
        self.tell(&shared, json!(["Terminated", null])).await;
    }

    /// Tells the daemon a state, until it has heard.
    async fn tell(&self, shared: &Shared, state: Value) {
        let path = format!("/activity-api/v1/activity/{}/state", self.id);
        let body = json!({ "state": state, "reason": null, "errorMessage": null });
        shared.surely(|| shared.api.put(&path, body.clone())).await;
    }

    /// Reports counters for as long as it lives.
    async fn report(&self, shared: &Shared) {
        let mut seconds = 0.0;
        loop {
            let usage = json!({ "currentUsage": [seconds, seconds], "timestamp": SystemClock.now().unix_timestamp() });
            let usage = json!({ "activityId": self.id, "usage": usage, "timeout": null });
            // A daemon that is frozen or down hears the next one.
            let _ = shared.api.post("/_gsb/local/activity/SetActivityUsage", usage).await;
            SystemClock.sleep(REPORT).await;
            seconds += REPORT.as_secs_f64();
        }
    }

    /// Answers to a message of the requestor's.
    async fn act(
        self: Arc<Self>,
        shared: Arc<Shared>,
        group: Pid,
        kind: String,
        asked: Value,
    ) -> Result<Value, Value> {
        let batch = asked["batch_id"].as_str().or(asked["batchId"].as_str()).unwrap_or_default().to_owned();
        match &*kind {
            "Exec" => {
                let script = asked["exeScript"].as_array().cloned().unwrap_or_default();
                self.seen.lock().unwrap().batches.insert(batch.clone(), Batch::default());
                tokio::spawn(self.script(shared, group, batch.clone(), script));
                Ok(json!(batch))
            }
            "GetExecBatchResults" => {
                let results = self.seen.lock().unwrap().batches.get(&batch).map(|it| it.results.subscribe());
                let Some(mut results) = results else { return Err(json!({ "notFound": "batch_id" })) };
                let hold = Duration::from_secs_f64(asked["timeout"].as_f64().unwrap_or_default());
                let last = asked["commandIndex"].as_u64().and_then(|index| usize::try_from(index).ok());
                let is_there = |results: &Vec<Value>| match last {
                    Some(last) => results.len() > last,
                    None => is_over(results),
                };
                let is_late = tokio::select! {
                    there = results.wait_for(is_there) => there.is_err(),
                    () = SystemClock.sleep(hold) => true,
                };
                let results = results.borrow().clone();
                match last {
                    None => Ok(json!(results)),
                    Some(_) if is_late => Err(json!("timeout")),
                    Some(last) => Ok(first_ones(results, last)),
                }
            }
            // The daemon takes one answer for each message, so a stream has one event here, and ends.
            "StreamExecBatchResults" if shared.manners().streams => {
                let events = self.seen.lock().unwrap().batches.get(&batch).map(|it| it.events.subscribe());
                let Some(mut events) = events else { return Err(json!({ "notFound": "batch_id" })) };
                events.recv().await.map_err(|error| json!({ "service": error.to_string() }))
            }
            other => Err(json!({ "service": format!("{other} is not served") })),
        }
    }

    /// Runs a script, up to the command that fails.
    async fn script(self: Arc<Self>, shared: Arc<Shared>, group: Pid, batch: String, script: Vec<Value>) {
        let last = script.len() - 1;
        let first = script.iter().position(|command| command.get("run").is_some());
        for (index, command) in script.into_iter().enumerate() {
            if Some(index) == first {
                self.seen.lock().unwrap().begun += 1;
            }
            let tell = |kind| self.tell_of(&batch, index, &kind);
            tell(json!({ "started": { "command": command } }));
            let line = |line: &str| tell(json!({ "stdout": format!("{line}\n") }));
            let (outcome, stdout, stderr) = self.command(&shared, group, &command, line).await;
            let is_last = index == last || outcome.is_err();
            let result = json!({
                "index": index, "eventDate": SystemClock.now().format(&Rfc3339).unwrap(),
                "result": if outcome.is_ok() { "Ok" } else { "Error" },
                "stdout": stdout, "stderr": stderr, "message": outcome.as_ref().err(), "isBatchFinished": is_last,
            });
            self.seen.lock().unwrap().batches[&batch].results.send_modify(|results| results.push(result));
            let code = i32::from(outcome.is_err());
            tell(json!({ "finished": { "return_code": code, "message": outcome.as_ref().err() } }));
            if outcome.is_err() {
                return;
            }
        }
    }

    /// Tells those who listen.
    fn tell_of(&self, batch: &str, index: usize, kind: &Value) {
        let at = SystemClock.now().format(&Rfc3339).unwrap();
        let at = at.trim_end_matches('Z');
        let event = json!({ "batch_id": batch, "index": index, "timestamp": at, "kind": kind });
        // Nobody may listen.
        let _ = self.seen.lock().unwrap().batches[batch].events.send(event);
    }

    async fn command(
        &self,
        shared: &Shared,
        group: Pid,
        command: &Value,
        line: impl Fn(&str) + Send + Sync,
    ) -> (Result<(), String>, Value, Value) {
        let nothing = |outcome| (outcome, Value::Null, Value::Null);
        if command.get("deploy").is_some() {
            let deployed = shared.deploy(&self.agreement);
            if deployed.is_ok() {
                self.tell(shared, json!(["Deployed", null])).await;
            }
            return nothing(deployed);
        }
        let Some(run) = command.get("run") else {
            if command.get("start").is_some() {
                self.tell(shared, json!(["Ready", null])).await;
            }
            return nothing(Ok(()));
        };
        let args: Vec<String> = serde_json::from_value(run["args"].clone()).unwrap_or_default();
        let program = run["entry_point"].as_str().unwrap_or_default();
        let running = match Running::start(group, &shared.programs, program, &args) {
            Ok(running) => running,
            Err(why) => return nothing(Err(format!("Runtime error: {why}"))),
        };
        self.seen.lock().unwrap().command = Some(running.pid());
        let output = running.output(line).await;
        let outcome = match output.status.code() {
            Some(0) => Ok(()),
            code => Err(format!("ExeScript command exited with code {}", code.unwrap_or(-1))),
        };
        (outcome, text(&output.stdout), text(&output.stderr))
    }
}

/// An output that is empty is none, as an exe-unit has it.
fn text(output: &[u8]) -> Value {
    if output.is_empty() { Value::Null } else { json!(String::from_utf8_lossy(output)) }
}

/// The results up to one. As an exe-unit has it, that one says that the batch is finished, and it alone has output.
fn first_ones(mut results: Vec<Value>, last: usize) -> Value {
    results.truncate(last + 1);
    for (index, result) in results.iter_mut().enumerate() {
        if index == last {
            result["isBatchFinished"] = json!(true);
        } else {
            (result["stdout"], result["stderr"]) = (Value::Null, Value::Null);
        }
    }
    json!(results)
}

fn is_over(results: &[Value]) -> bool {
    results.last().is_some_and(|it| it["isBatchFinished"] == true)
}
