//! Following a job: a bar on a terminal, plain lines in a pipe.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::Duration;

use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::job::ExecutionProgress;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::cli::WatchArgs;
use crate::client::{Call, Client};
use crate::commands;
use crate::evidence;
use crate::exit::Exit;
use crate::print::{self, plain};

/// How often the server is asked.
const EVERY: Duration = Duration::from_millis(500);
/// How often in a row the server may be away before the watch ends.
const MOST_MISSES: u32 = 60;

/// Follows a job until it has its outcome and no stop of it is open.
pub(crate) async fn run(args: &WatchArgs) -> Result<(), Exit> {
    let client = Client::new(&args.server)?;
    let path = format!("/jobs/{}?exec_limit=1000", args.id);
    let mut view = View::new(args.server.json);
    let mut misses = 0;
    let last = loop {
        match client.try_call(Call::get(&path)).await {
            Ok(detail) => {
                misses = 0;
                view.show(&detail)?;
                if is_over(&detail) {
                    break detail;
                }
            }
            Err(no_answer) if no_answer.may_pass() && view.has_shown() && misses < MOST_MISSES => misses += 1,
            Err(no_answer) => return Err(client.give_up(no_answer)),
        }
        SystemClock.sleep(EVERY).await;
    };
    view.end(&last)?;
    outcome(&args.id, &last)
}

/// The exit code that a job's end deserves.
fn outcome(id: &beacon_jobs::JobId, detail: &Value) -> Result<(), Exit> {
    match detail["status"].as_str() {
        Some("completed") => Ok(()),
        status => Err(Exit::not_completed(format!("{id} is {}", status.unwrap_or("in an unknown status")))),
    }
}

/// Whether a job has its outcome and nothing is being stopped any more. A stop that cannot be
/// confirmed is not waited for: it may never be.
fn is_over(detail: &Value) -> bool {
    let terminal =
        ["completed", "failed", "cancelled"].contains(&detail["status"].as_str().unwrap_or_default());
    let open = |state: &str| detail["stops"][state].as_u64().unwrap_or(0);
    terminal && open("requested") + open("acknowledged") == 0
}

fn executions(detail: &Value) -> impl Iterator<Item = &Value> {
    detail["executions"].as_array().into_iter().flatten()
}

/// What is shown of a job as it goes on.
#[derive(Debug)]
pub(crate) struct View {
    bar: Option<ProgressBar>,
    json: bool,
    last: String,
    seen: HashMap<usize, String>,
}

impl View {
    /// A bar on a terminal, lines elsewhere; with `json` one line of JSON for each change.
    pub(crate) fn new(json: bool) -> Self {
        let bar = (!json && std::io::stdout().is_terminal() && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(0);
            let style =
                ProgressStyle::with_template("{spinner} {elapsed:>4} [{bar:20}] {pos}/{len} {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
            bar
        });
        Self { bar, json, last: String::new(), seen: HashMap::new() }
    }

    fn has_shown(&self) -> bool {
        !self.last.is_empty()
    }

    /// Shows what has changed.
    pub(crate) fn show(&mut self, detail: &Value) -> Result<(), Exit> {
        let progress = &detail["progress"];
        let line = format!("{}: {}", detail["status"].as_str().unwrap_or("?"), commands::progress(progress));
        if let Some(bar) = &self.bar {
            let count = |status: &str| progress[status].as_u64().unwrap_or(0);
            bar.set_length(count("total"));
            bar.set_position(count("completed") + count("failed") + count("cancelled"));
            bar.set_message(line.clone());
            if !self.has_shown() {
                bar.enable_steady_tick(Duration::from_millis(120));
            }
            self.last = line;
            return Ok(());
        }
        for (place, execution) in executions(detail).enumerate() {
            let state = state(execution);
            if self.seen.get(&place).is_some_and(|seen| *seen == state)
                || (state == "queued" && !self.seen.contains_key(&place))
            {
                continue;
            }
            if !self.json {
                print::line(&plain(&format!("  {}: {state}", evidence::label(place, execution))))?;
            }
            self.seen.insert(place, state);
        }
        if line != self.last {
            let text = if self.json { brief(detail).to_string() } else { line.clone() };
            print::line(&text)?;
            self.last = line;
        }
        Ok(())
    }

    /// Shows how it ended.
    fn end(self, detail: &Value) -> Result<(), Exit> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            print::line(&self.last)?;
        }
        if self.json {
            return print::line(&brief(detail).to_string());
        }
        if executions(detail).any(|execution| execution["stop"].is_object()) {
            evidence::table(executions(detail)).iter().try_for_each(|line| print::line(line))?;
        }
        Ok(())
    }

    /// Takes the bar off the terminal.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// An execution's status, with that of its stop while there is one.
fn state(execution: &Value) -> String {
    let status = execution["status"].as_str().unwrap_or("?");
    match (execution["stop"]["state"].as_str(), execution["error"]["message"].as_str()) {
        (Some(stop), _) => format!("{status}, stop {stop}"),
        (None, Some(error)) => format!("{status}, {error}"),
        (None, None) if execution["finished_at"].is_null() => match how_far(&execution["progress"]) {
            Some(how_far) => format!("{status}, {how_far}"),
            None => status.to_owned(),
        },
        (None, None) => status.to_owned(),
    }
}

/// What its executor tells of an execution's progress.
fn how_far(progress: &Value) -> Option<String> {
    let progress: ExecutionProgress = serde_json::from_value(progress.clone()).ok()?;
    Some(progress.to_string())
}

fn brief(detail: &Value) -> Value {
    serde_json::json!({
        "id": detail["job"]["id"], "status": detail["status"], "progress": detail["progress"],
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_state_of_an_execution_tells_how_far_it_has_come() {
        let mut execution = json!({
            "status": "running", "finished_at": null, "stop": null, "error": null,
            "progress": { "done": 2, "total": 5, "message": "run /bin/sort" },
        });
        assert_eq!(state(&execution), "running, 2 of 5: run /bin/sort");
        execution["stop"] = json!({ "state": "requested" });
        assert_eq!(state(&execution), "running, stop requested");
        execution["stop"] = json!(null);
        execution["finished_at"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(state(&execution), "running");
        execution["progress"] = json!(null);
        execution["finished_at"] = json!(null);
        assert_eq!(state(&execution), "running");
    }
}
