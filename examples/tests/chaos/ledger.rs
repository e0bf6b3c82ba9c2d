//! What the users of the nodes asked for, and what they were told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use beacon_jobs::clock::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::chance::Chance;
use crate::support::{TOKEN, request};

/// How long one answer may take; a frozen node gives none.
const PATIENCE: Duration = Duration::from_secs(4);
const EXECUTIONS: u64 = 4;

/// One job, as its user knows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Somebody asked for a cancel.
    pub(crate) asked: bool,
    /// It was told that the job is cancelled.
    pub(crate) acknowledged: bool,
    /// It was told that the job had come to its end before.
    pub(crate) too_late: bool,
    /// The first outcome that anybody saw.
    pub(crate) outcome: Option<String>,
}

#[derive(Debug, Default)]
struct Inner {
    urls: Vec<String>,
    jobs: BTreeMap<String, Known>,
    wrong: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Arc<Mutex<Inner>>);

impl Ledger {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// The nodes that answer just now.
    pub(crate) fn set_urls(&self, urls: Vec<String>) {
        self.inner().urls = urls;
    }

    pub(crate) fn accepted(&self) -> usize {
        self.inner().jobs.len()
    }

    pub(crate) fn jobs(&self) -> BTreeMap<String, Known> {
        self.inner().jobs.clone()
    }

    /// What went wrong while it was watched.
    pub(crate) fn wrong(&self) -> Vec<String> {
        self.inner().wrong.clone()
    }

    fn accuse(&self, what: String) {
        self.inner().wrong.push(what);
    }

    /// Asks any node that answers.
    async fn ask(&self, chance: &mut Chance, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
        let urls = self.inner().urls.clone();
        if urls.is_empty() {
            chance.moment(100).await;
            return None;
        }
        let url = &urls[usize::try_from(chance.below(urls.len() as u64)).unwrap()];
        let answer = request(url, method, path, Some(TOKEN), body);
        let answer = tokio::time::timeout(PATIENCE, answer).await.ok().flatten();
        if answer.is_none() {
            chance.moment(100).await;
        }
        answer
    }

    /// Submits a job, and cancels every third: goes on asking until there is an answer.
    pub(crate) async fn use_it(&self, chance: &mut Chance, id: String) {
        let cancels = chance.once_in(3);
        let executions: Vec<Value> = (0..EXECUTIONS).map(|index| execution(chance, index, cancels)).collect();
        let job = json!({
            "id": id, "max_attempts": 100, "backoff_seconds": 0, "stop_wait_seconds": 3600, "executions": executions,
        });
        loop {
            match self.ask(chance, "POST", "/api/v1/jobs", &job.to_string()).await {
                Some((200 | 201, _)) => break,
                None | Some((503 | 504, _)) => {}
                Some((status, answer)) => return self.accuse(format!("{id} submitted: {status} {answer}")),
            }
        }
        self.inner().jobs.insert(id.clone(), Known { asked: cancels, ..Known::default() });
        if !cancels {
            return;
        }
        chance.moment(2000).await;
        let mode = chance.one_of(&["graceful", "immediate"]);
        let body = json!({ "mode": mode, "grace_seconds": chance.below(2) }).to_string();
        loop {
            match self.ask(chance, "POST", &format!("/api/v1/jobs/{id}/cancel"), &body).await {
                Some((200, answer)) if answer["new_status"] == "cancelled" => {
                    self.inner().jobs.get_mut(&id).unwrap().acknowledged = true;
                    return;
                }
                Some((409, _)) => {
                    self.inner().jobs.get_mut(&id).unwrap().too_late = true;
                    return;
                }
                None | Some((503 | 504, _)) => {}
                Some((status, answer)) => return self.accuse(format!("{id} cancelled: {status} {answer}")),
            }
        }
    }

    /// Looks at all jobs again and again: an outcome that anybody saw is the outcome for ever, and one
    /// that was promised is there from that moment.
    pub(crate) async fn watch(&self, mut chance: Chance) {
        loop {
            SystemClock.sleep(Duration::from_millis(200)).await;
            let before = self.jobs();
            let Some((200, page)) = self.ask(&mut chance, "GET", "/api/v1/jobs?limit=200", "").await else {
                continue;
            };
            for job in page["jobs"].as_array().into_iter().flatten() {
                let (Some(id), Some(status)) = (job["id"].as_str(), job["status"].as_str()) else { continue };
                let Some(known) = before.get(id) else { continue };
                if known.acknowledged && status != "cancelled" {
                    self.accuse(format!("{id}: its cancel was acknowledged, and then it was {status}"));
                }
                self.saw(id, status);
            }
        }
    }

    /// Somebody saw a job like this.
    pub(crate) fn saw(&self, id: &str, status: &str) {
        let mut inner = self.inner();
        let terminal = ["completed", "failed", "cancelled"].contains(&status);
        let Some(known) = inner.jobs.get_mut(id) else { return };
        let two = known.outcome.clone().filter(|outcome| outcome != status);
        if terminal && known.outcome.is_none() {
            known.outcome = Some(status.to_owned());
        }
        if let Some(outcome) = two {
            inner.wrong.push(format!("{id}: it was {outcome}, and then it was {status}"));
        }
    }
}

/// Short work at a provider that may misbehave. What is to be cancelled may go on for ever.
fn execution(chance: &mut Chance, index: u64, cancels: bool) -> Value {
    let endless = cancels && chance.once_in(2);
    let mut faults = json!({});
    let mut fault = |chance: &mut Chance, name: &str, times: u64, most: u64| {
        if chance.once_in(times) {
            faults[name] = json!(chance.below(most) + 1);
        }
    };
    fault(chance, "create_takes_ms", 5, 1500);
    fault(chance, "begin_takes_ms", 3, 1900);
    fault(chance, "works_on_ms", 5, 1500);
    fault(chance, "lost_creates", 10, 1);
    fault(chance, "lost_begins", 10, 1);
    fault(chance, "failing_creates", 10, 2);
    fault(chance, "failing_stops", 8, 3);
    fault(chance, "failing_looks", 8, 3);
    fault(chance, "hanging_calls", 10, 1);
    let milliseconds = (!endless).then(|| chance.below(1500));
    let when_told = chance.one_of(&["ends", "ends", "saves_itself", "ignores"]);
    json!({
        "executor": chance.one_of(&["stand-in", "stand-in", "stand-in-refusing"]),
        "lane": format!("lane {}", index % 3),
        "input": { "milliseconds": milliseconds, "when_told": when_told, "faults": faults },
    })
}
