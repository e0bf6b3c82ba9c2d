//! The provider: what runs there, until it is really ended.

use std::sync::Arc;

use rust_decimal::Decimal;
use serde_json::Value;

use super::state::{Bill, Failed};
use super::{Shared, Work};

impl Shared {
    /// Runs a script from where it stands, up to a command that goes on.
    pub(super) fn run(self: &Arc<Self>, activity: &str, batch: &str) {
        let now = self.stamp();
        let mut state = self.state();
        let image = state.behaviour.image.clone();
        let programs = state.programs.clone();
        let agreement = state.activities.get(activity).map(|it| it.agreement.clone()).unwrap_or_default();
        let wanted = state.agreements.get(&agreement).and_then(|it| {
            it.demand.get("golem.srv.comp.task_package").and_then(Value::as_str).map(str::to_owned)
        });
        let Some(running) = state.activities.get_mut(activity).filter(|it| it.alive) else { return };
        let mut begins = false;
        if let Some(script) = running.batches.get_mut(batch) {
            while !script.is_over() {
                let Some(command) = script.commands.get(script.results.len()).cloned() else { break };
                script.start(&now);
                let result = if command.get("deploy").is_some() {
                    deploy(wanted.as_deref(), image.as_deref())
                } else if let Some(run) = command.get("run") {
                    begins = true;
                    match result_of(run, &programs) {
                        Some(result) => result,
                        None => {
                            script.goes_on = true;
                            script.repeats = repeated(run, &programs);
                            running.computes = true;
                            break;
                        }
                    }
                } else {
                    Ok(String::new())
                };
                script.push(result, &now);
            }
        }
        state.begun += usize::from(begins);
        drop(state);
        self.changed.notify_waiters();
    }

    pub(super) fn complete(self: &Arc<Self>) {
        let now = self.stamp();
        let mut state = self.state();
        let mut on = Vec::new();
        for (id, activity) in state.activities.iter_mut().filter(|(_, it)| it.alive) {
            for (name, batch) in activity.batches.iter_mut().filter(|(_, batch)| batch.goes_on) {
                batch.goes_on = false;
                batch.repeats = None;
                batch.push(Ok("done\n".to_owned()), &now);
                activity.computes = false;
                on.push((id.clone(), name.clone()));
            }
        }
        drop(state);
        for (activity, batch) in on {
            self.run(&activity, &batch);
        }
    }

    /// Tells an activity to end; it does so after a while.
    pub(super) fn end_activity(self: &Arc<Self>, id: &str, reason: &'static str) {
        let mut state = self.state();
        let wait = state.behaviour.end_after;
        let Some(activity) = state.activities.get_mut(id).filter(|it| it.alive) else { return };
        if std::mem::replace(&mut activity.ending, true) {
            return;
        }
        drop(state);
        let id = id.to_owned();
        self.after(wait, move |shared| {
            if let Some(activity) = shared.state().activities.get_mut(&id) {
                activity.alive = false;
                activity.computes = false;
                activity.reason = Some(reason.to_owned());
            }
            shared.changed.notify_waiters();
        });
    }

    /// Ends an agreement at both sides.
    pub(super) fn end_agreement(self: &Arc<Self>, id: &str, state_now: &'static str) {
        if let Some(agreement) = self.state().agreements.get_mut(id) {
            agreement.state = state_now;
        }
        self.end_at_provider(id);
    }

    /// Ends an agreement at the provider, with what runs under it; its invoice follows.
    pub(super) fn end_at_provider(self: &Arc<Self>, id: &str) {
        let mut state = self.state();
        if let Some(agreement) = state.agreements.get_mut(id) {
            agreement.told = true;
        }
        let is_dead = state.behaviour.agent_is_dead;
        let ours = state.activities.iter().filter(|(_, it)| it.agreement == id);
        let activities: Vec<_> = ours.map(|(id, _)| id.clone()).collect();
        drop(state);
        self.changed.notify_waiters();
        if is_dead {
            return;
        }
        for activity in &activities {
            self.end_activity(activity, "the agreement was terminated");
        }
        // The daemon takes no bill for an activity that it does not know of.
        let is_known = |id: &String| self.state().activities.get(id).is_some_and(|it| it.known);
        if !activities.is_empty() && activities.iter().all(is_known) {
            self.send_invoice(id, activities);
        }
    }

    fn send_invoice(self: &Arc<Self>, agreement: &str, activities: Vec<String>) {
        let shared = Arc::clone(self);
        let agreement = agreement.to_owned();
        tokio::spawn(async move {
            let ended = |state: &mut super::State| {
                let is_over = |id: &String| state.activities.get(id).is_none_or(|it| !it.alive);
                activities.iter().all(is_over).then_some(state.behaviour.invoice_after)
            };
            let after = shared.wait(std::time::Duration::from_secs(3600), ended).await.flatten();
            let Some(after) = after else { return };
            beacon_jobs::clock::Clock::sleep(&shared.clock, after).await;
            let mut state = shared.state();
            if state.bills.values().any(|it| it.is_invoice && it.agreement == agreement) {
                return;
            }
            let id = state.name("invoice");
            let amount = Decimal::from_str_exact(&state.behaviour.invoice).unwrap_or_default();
            let activity = activities.first().cloned().unwrap_or_default();
            let bill = Bill { is_invoice: true, agreement, activity, amount, status: "RECEIVED" };
            state.bills.insert(id, bill);
            drop(state);
            shared.changed.notify_waiters();
        });
    }

    /// Sends debit notes while an activity lives, and ends it where they are not accepted.
    pub(super) fn send_notes(self: &Arc<Self>, activity: &str) {
        let (every, patience) = {
            let state = self.state();
            (state.behaviour.note_every, state.behaviour.note_patience)
        };
        let Some(every) = every else { return };
        let (shared, id) = (Arc::clone(self), activity.to_owned());
        tokio::spawn(async move {
            let mut due = Decimal::ZERO;
            loop {
                beacon_jobs::clock::Clock::sleep(&shared.clock, every).await;
                let note = {
                    let mut state = shared.state();
                    let Some(activity) = state.activities.get(&id).filter(|it| it.alive) else { return };
                    let agreement = activity.agreement.clone();
                    due += Decimal::from_str_exact(&state.behaviour.note).unwrap_or_default();
                    let name = state.name("note");
                    let activity = id.clone();
                    let bill =
                        Bill { is_invoice: false, agreement, activity, amount: due, status: "RECEIVED" };
                    state.bills.insert(name.clone(), bill);
                    name
                };
                shared.changed.notify_waiters();
                if let Some(patience) = patience {
                    let id = id.clone();
                    shared.after(patience, move |shared| {
                        let open = shared.state().bills.get(&note).is_some_and(|it| it.status != "ACCEPTED");
                        if open {
                            shared.end_for_no_payment(&id);
                        }
                    });
                }
            }
        });
    }

    fn end_for_no_payment(self: &Arc<Self>, activity: &str) {
        let agreement = {
            let state = self.state();
            state.activities.get(activity).filter(|it| it.alive).map(|it| it.agreement.clone())
        };
        if let Some(agreement) = agreement {
            self.end_agreement(&agreement, "Terminated");
        }
    }

    pub(super) fn expire(self: &Arc<Self>) {
        let all: Vec<_> = self.state().agreements.keys().cloned().collect();
        for id in all {
            self.end_agreement(&id, "Expired");
        }
    }
}

fn deploy(wanted: Option<&str>, image: Option<&str>) -> Result<String, Failed> {
    let hash = |package: &str| package.split(':').nth(2).map(str::to_owned);
    match (wanted.and_then(hash), image) {
        (Some(wanted), Some(image)) if wanted != image => {
            let why = format!("calculated hash {image} differs from the expected one {wanted}");
            let message = format!(
                "Local service error: Transfer error: Incorrect hash provided or downloaded image is corrupted: {why}"
            );
            Err(Failed { message, stderr: String::new() })
        }
        _ => Ok(String::new()),
    }
}

/// What a command prints again and again.
fn repeated(run: &Value, programs: &std::collections::HashMap<String, Work>) -> Option<String> {
    match programs.get(run["entry_point"].as_str()?)? {
        Work::Repeats(line) => Some(line.clone()),
        _ => None,
    }
}

/// What a command brings; nothing where it goes on.
fn result_of(
    run: &Value,
    programs: &std::collections::HashMap<String, Work>,
) -> Option<Result<String, Failed>> {
    let exited = |code: u8, said: String| Failed {
        message: format!("ExeScript command exited with code {code}"),
        stderr: said,
    };
    let entry_point = run["entry_point"].as_str().unwrap_or_default();
    let args = run["args"].as_array().cloned().unwrap_or_default();
    let words = args.iter().filter_map(Value::as_str).map(|word| format!("{word}\n"));
    match programs.get(entry_point) {
        Some(Work::Prints(text)) => Some(Ok(text.clone())),
        Some(Work::Echoes) => Some(Ok(words.collect())),
        Some(Work::Fails(said)) => Some(Err(exited(1, format!("{said}\n")))),
        Some(Work::GoesOn | Work::Repeats(_)) => None,
        None => Some(Err(exited(127, format!("{entry_point}: not found\n")))),
    }
}
