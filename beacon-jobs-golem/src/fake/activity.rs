//! The requestor's side of activities.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Shared;
use super::service::{Answer, Asked, error, ok};
use super::state::{Activity, Batch};

fn unknown(id: &str) -> Answer {
    error(500, format!("DAO error: Not found: activity id: {id}"))
}

fn timeout() -> Answer {
    error(408, "GSB error: timeout")
}

impl Shared {
    pub(super) fn activity(self: &Arc<Self>, call: &str, asked: &Asked) -> Answer {
        let mut state = self.state();
        match call {
            "ListActivities" => {
                let agreement = asked.query("agreementId").unwrap_or_default();
                let ours = state.activities.iter().filter(|(_, it)| it.known && it.agreement == agreement);
                ok(ours.map(|(id, _)| json!(id)).collect())
            }
            "GetUsage" => match state.activities.get_mut(asked.id(3)).filter(|it| it.known) {
                Some(it) => {
                    // Of what has ended the daemon tells what it has on record.
                    it.usage_asked |= it.alive;
                    let usage = it.usage_asked.then_some([1.5, 2.5]);
                    ok(json!({ "currentUsage": usage, "timestamp": 1_700_000_000 }))
                }
                None => unknown(asked.id(3)),
            },
            _ => {
                let id = asked.id(3).to_owned();
                let text = asked.body["text"].as_str().unwrap_or_default();
                let Ok(commands) = serde_json::from_str::<Vec<Value>>(text) else {
                    return error(400, "cannot parse the script");
                };
                let batch = state.name("batch");
                match state.activities.get_mut(&id).filter(|it| it.known) {
                    None => unknown(&id),
                    Some(it) if !it.alive => error(500, "GSB error: endpoint address not found"),
                    Some(it) => {
                        it.batches.insert(batch.clone(), Batch { commands, ..Batch::default() });
                        let wait = state.behaviour.deploy_after;
                        drop(state);
                        let name = batch.clone();
                        self.after(wait, move |shared| shared.run(&id, &name));
                        ok(json!(batch))
                    }
                }
            }
        }
    }

    pub(super) async fn create_activity(self: &Arc<Self>, asked: &Asked) -> Answer {
        let agreement = match &asked.body {
            Value::String(id) => id.clone(),
            body => body["agreementId"].as_str().unwrap_or_default().to_owned(),
        };
        let frozen = self.state().behaviour.frozen;
        let (late, id) = {
            let mut state = self.state();
            match state.agreements.get(&agreement).map(|it| it.state) {
                Some("Approved") => {}
                Some(now) => return error(400, format!("Bad request: agreement state is {now}")),
                None => return error(404, format!("Agreement [{agreement}] not found.")),
            }
            if state.activities.values().any(|it| it.agreement == agreement && it.alive) {
                return error(500, "Only single Activity allowed");
            }
            let id = state.name("activity");
            let late = state.behaviour.create_is_late;
            if !frozen {
                let made = Activity {
                    agreement: agreement.clone(),
                    alive: true,
                    known: !late,
                    ending: false,
                    usage_asked: false,
                    computes: late,
                    batches: std::collections::BTreeMap::new(),
                    reason: None,
                };
                state.activities.insert(id.clone(), made);
            }
            (late || frozen, id)
        };
        self.changed.notify_waiters();
        self.send_notes(&id);
        if late {
            self.clock_out(asked.hold()).await;
            return timeout();
        }
        ok(json!({ "activityId": id }))
    }

    pub(super) async fn destroy(self: &Arc<Self>, asked: &Asked) -> Answer {
        let id = asked.id(3).to_owned();
        let is_known = self.state().activities.get(&id).is_some_and(|it| it.known);
        if !is_known {
            return unknown(&id);
        }
        let is_deaf = {
            let state = self.state();
            state.behaviour.frozen || state.behaviour.agent_is_dead
        };
        if !is_deaf {
            self.end_activity(&id, "destroyed by the requestor");
        }
        let ended = self.wait(asked.hold(), |state| {
            let behaviour = &state.behaviour;
            let is_heard = !(behaviour.frozen || behaviour.half_way);
            let is_over = state.activities.get(&id).is_some_and(|it| !it.alive);
            (is_over && is_heard).then_some(())
        });
        match ended.await {
            Some(()) => ok(Value::Null),
            None => timeout(),
        }
    }

    pub(super) async fn get_state(&self, asked: &Asked) -> Answer {
        let id = asked.id(3);
        let frozen = self.state().behaviour.frozen;
        if frozen {
            self.clock_out(asked.hold().min(Duration::from_secs(1))).await;
            return timeout();
        }
        let state = self.state();
        match state.activities.get(id).filter(|it| it.known) {
            None => unknown(id),
            // The daemon serves what it has stored.
            Some(it) if it.ending && (it.alive || state.behaviour.half_way) => {
                ok(json!({ "state": ["Ready", "Terminated"], "reason": null, "errorMessage": null }))
            }
            Some(it) if !it.alive => {
                ok(json!({ "state": ["Terminated", null], "reason": it.reason, "errorMessage": null }))
            }
            Some(_) => ok(json!({ "state": ["Ready", null], "reason": null, "errorMessage": null })),
        }
    }

    pub(super) async fn results(&self, asked: &Asked) -> Answer {
        let (id, batch) = (asked.id(3).to_owned(), asked.id(5).to_owned());
        let over = self.wait(asked.hold(), |state| {
            let activity = state.activities.get(&id);
            let Some(activity) = activity.filter(|it| it.known) else { return Some(unknown(&id)) };
            if !activity.alive {
                return Some(error(500, "GSB error: endpoint address not found"));
            }
            match activity.batches.get(&batch) {
                None => Some(error(404, "batch not found")),
                Some(batch) if batch.is_over() => Some(ok(json!(batch.results))),
                Some(_) => None,
            }
        });
        if let Some(answer) = over.await {
            return answer;
        }
        let state = self.state();
        let so_far = state.activities.get(&id).and_then(|it| it.batches.get(&batch));
        ok(so_far.map_or_else(|| json!([]), |batch| json!(batch.results)))
    }

    /// The results up to the command asked for, once that one has ended. As the daemon has it, the last one of these says
    /// that the batch is finished, whether or not it is.
    pub(super) async fn results_to(&self, asked: &Asked) -> Answer {
        let (id, batch) = (asked.id(3).to_owned(), asked.id(5).to_owned());
        let Some(last) = asked.query("commandIndex").and_then(|it| it.parse::<usize>().ok()) else {
            return error(400, "Query deserialize error: invalid digit found in string");
        };
        let ended = self.wait(asked.hold(), |state| {
            let Some(activity) = state.activities.get(&id).filter(|it| it.known) else {
                return Some(unknown(&id));
            };
            if !activity.alive {
                return Some(error(500, "GSB error: endpoint address not found"));
            }
            let Some(batch) = activity.batches.get(&batch) else {
                return Some(error(404, "batch not found"));
            };
            let results = batch.results.get(..=last)?.iter().enumerate().map(|(index, result)| {
                let mut result = result.clone();
                if index < last {
                    (result["stdout"], result["stderr"]) = (Value::Null, Value::Null);
                }
                result["isBatchFinished"] = json!(index == last || result["result"] == "Error");
                result
            });
            Some(ok(results.collect()))
        });
        ended.await.unwrap_or_else(timeout)
    }

    async fn clock_out(&self, hold: Duration) {
        beacon_jobs::clock::Clock::sleep(&self.clock, hold).await;
    }
}
