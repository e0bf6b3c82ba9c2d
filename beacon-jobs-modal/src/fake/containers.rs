//! What runs: inputs in containers, until they are really ended.

use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::clock::Clock;
use serde_json::json;

use super::state::{self, Input, State, Task};
use super::{Behaviour, Container, Shared, Work};
use crate::generated::generic_result::GenericStatus;
use crate::generated::{DataFormat, FunctionInput, GenericResult};

impl Shared {
    pub(super) fn now(&self) -> f64 {
        self.clock.now().unix_timestamp_nanos() as f64 / 1e9
    }

    /// Does something after a time, at once if there is none.
    pub(super) fn after(self: &Arc<Self>, time: Duration, act: impl FnOnce(&Arc<Self>) + Send + 'static) {
        if time.is_zero() {
            return act(self);
        }
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            shared.clock.sleep(time).await;
            act(&shared);
        });
    }

    /// An input has arrived: it gets a container after a while.
    pub(super) fn take_input(self: &Arc<Self>, call: &str, message: FunctionInput, args: Vec<u8>) -> String {
        let mut state = self.state();
        let id = state.name("in");
        let wait = state.behaviour.start_after;
        if let Some(call) = state.calls.get_mut(call) {
            call.inputs.push(Input {
                id: id.clone(),
                message,
                args,
                task: String::new(),
                started_at: 0.0,
                ended: None,
                data_format: DataFormat::Cbor.into(),
            });
        }
        drop(state);
        let (call, input) = (call.to_owned(), id.clone());
        self.after(wait, move |shared| shared.start(&call, &input));
        id
    }

    /// An input starts in a container of its own.
    fn start(self: &Arc<Self>, call_id: &str, input_id: &str) {
        let now = self.now();
        let mut state = self.state();
        let task = state.name("ta");
        let work = state.work_of(call_id).cloned();
        let worker = state.worker.clone().filter(|_| work == Some(Work::Contained));
        let Some(call) = state.calls.get_mut(call_id) else { return };
        let function = call.function_id.clone();
        let Some(input) = call.inputs.iter_mut().find(|input| input.id == input_id && input.ended.is_none())
        else {
            return;
        };
        input.task.clone_from(&task);
        input.started_at = now;
        let (args, message) = (input.args.clone(), input.message.clone());
        let running = Task {
            call: call_id.to_owned(),
            computes: true,
            worker: worker.clone(),
            started_at: now,
            ended_at: None,
            recorded: false,
        };
        state.tasks.insert(task.clone(), running);
        state.begun += 1;
        let names = state.functions.get(&function).map(|it| (it.app.clone(), it.name.clone()));
        let result = match work {
            Some(Work::Returns(value)) => Some(state.result(GenericStatus::Success, Some(&value), "")),
            Some(Work::Echoes) => Some(state.result(GenericStatus::Success, Some(&state::echo(&args)), "")),
            Some(Work::Raises(said)) => Some(state.result(GenericStatus::Failure, None, &said)),
            _ => None,
        };
        drop(state);
        if let Some(worker) = worker {
            let (app, name) = names.unwrap_or_default();
            let (call, input) = (call_id.to_owned(), input_id.to_owned());
            worker.start(Container {
                shared: Arc::clone(self),
                task,
                call,
                input,
                function,
                app,
                name,
                message,
            });
        }
        match result {
            Some(result) => self.end_input(call_id, result, false),
            None => self.changed.notify_waiters(),
        }
    }

    /// The inputs of a call come to an end; their containers idle, unless something computes on.
    fn end_input(self: &Arc<Self>, call_id: &str, result: GenericResult, computes_on: bool) {
        let now = self.now();
        let mut state = self.state();
        let idle_for = state.behaviour.idle_for;
        let Some(call) = state.calls.get_mut(call_id) else { return };
        let mut idle = Vec::new();
        for input in call.inputs.iter_mut().filter(|input| input.ended.is_none()) {
            input.ended = Some((result.clone(), now));
            idle.push(input.task.clone());
        }
        idle.retain(|id| {
            let Some(task) = state.tasks.get_mut(id) else { return false };
            // Of what goes on in a container of a worker nothing is known before it has ended.
            task.computes &= computes_on || task.worker.is_some();
            !computes_on || task.worker.is_some()
        });
        drop(state);
        self.changed.notify_waiters();
        for id in idle {
            self.after(idle_for, move |shared| shared.end_container(&id));
        }
    }

    /// A container says what its input came to.
    pub(super) fn report(
        self: &Arc<Self>,
        task: &str,
        call_id: &str,
        result: GenericResult,
        data_format: i32,
    ) {
        let mut state = self.state();
        let inputs = state.calls.get_mut(call_id).map(|call| &mut call.inputs);
        let mut held = inputs.into_iter().flatten().filter(|it| it.task == task && it.ended.is_none());
        let Some(input) = held.next() else { return };
        input.data_format = data_format;
        drop(state);
        self.end_input(call_id, result, true);
    }

    /// A container ends, with all that runs in it, or its worker is told to end it.
    fn end_container(self: &Arc<Self>, id: &str) {
        let worker = self.state().tasks.get(id).and_then(|task| task.worker.clone());
        match worker {
            Some(worker) => worker.stop(id),
            None => self.container_ended(id),
        }
    }

    pub(super) fn container_ended(self: &Arc<Self>, id: &str) {
        let now = self.now();
        let mut state = self.state();
        let record_after = state.behaviour.record_after;
        let Some(task) = state.tasks.get_mut(id).filter(|task| task.ended_at.is_none()) else { return };
        task.computes = false;
        task.ended_at = Some(now);
        let call_id = task.call.clone();
        let result = state.result(GenericStatus::Terminated, None, "the container was ended");
        if let Some(call) = state.calls.get_mut(&call_id) {
            for input in call.inputs.iter_mut().filter(|input| input.task == id && input.ended.is_none()) {
                input.ended = Some((result.clone(), now));
            }
        }
        drop(state);
        self.changed.notify_waiters();
        let id = id.to_owned();
        self.after(record_after, move |shared| {
            if let Some(task) = shared.state().tasks.get_mut(&id) {
                task.recorded = true;
            }
            shared.changed.notify_waiters();
        });
    }

    pub(super) fn cancel(self: &Arc<Self>, call_id: &str, terminate: bool) {
        let mut state = self.state();
        let work = state.work_of(call_id).cloned();
        let Behaviour { terminate_after, ends_inputs_at_once: ends_at_once, .. } = state.behaviour;
        let Some(call) = state.calls.get_mut(call_id) else { return };
        call.cancelled = Some(call.cancelled.unwrap_or(false) || terminate);
        let never_started = call.inputs.iter().any(|input| input.started_at == 0.0);
        let under_way = call.unfinished() > 0;
        let result = match &work {
            Some(Work::Saves(value)) if !never_started => {
                Some(state.result(GenericStatus::Success, Some(value), ""))
            }
            Some(Work::Swallows) if !never_started => None,
            Some(Work::Contained) if !never_started && !ends_at_once => None,
            _ => Some(state.result(GenericStatus::Terminated, None, "")),
        };
        let containers = state.containers_of(call_id);
        let contained: Vec<_> = containers
            .iter()
            .filter_map(|id| Some((id.clone(), state.tasks.get(id)?.worker.clone()?)))
            .collect();
        drop(state);
        for (id, worker) in contained {
            worker.cancel(&id);
        }
        if let Some(result) = result.filter(|_| under_way) {
            self.end_input(call_id, result, work == Some(Work::LeavesAThread));
        }
        if let Some(time) = terminate_after.filter(|_| terminate) {
            for id in containers {
                self.after(time, move |shared| shared.end_container(&id));
            }
        }
        self.changed.notify_waiters();
    }

    pub(super) fn stop_container(self: &Arc<Self>, id: &str) {
        let stop_after = self.state().behaviour.stop_after;
        if let Some(time) = stop_after {
            let id = id.to_owned();
            self.after(time, move |shared| shared.end_container(&id));
        }
    }

    pub(super) fn end_containers(self: &Arc<Self>) {
        let all: Vec<_> = self.state().tasks.keys().cloned().collect();
        for id in all {
            self.end_container(&id);
        }
    }

    pub(super) fn complete(self: &Arc<Self>) {
        let calls: Vec<_> = self.state().calls.keys().cloned().collect();
        for call in calls {
            let mut state = self.state();
            let result = state.result(GenericStatus::Success, Some(&json!({ "done": true })), "");
            drop(state);
            self.end_input(&call, result, false);
        }
    }

    pub(super) fn preempt(self: &Arc<Self>, lingers: bool) {
        let mut state = self.state();
        let mut moved = Vec::new();
        for (id, call) in &mut state.calls {
            for input in call.inputs.iter_mut().filter(|it| it.ended.is_none() && it.started_at > 0.0) {
                moved.push((id.clone(), input.id.clone(), std::mem::take(&mut input.task)));
                input.started_at = 0.0;
            }
        }
        let wait = state.behaviour.start_after;
        drop(state);
        for (call, input, task) in moved {
            if !lingers {
                self.end_container(&task);
            }
            self.after(wait, move |shared| shared.start(&call, &input));
        }
    }
}

impl State {
    fn containers_of(&self, call: &str) -> Vec<String> {
        let of_call = self.tasks.iter().filter(|(_, task)| task.call == call && task.ended_at.is_none());
        of_call.map(|(id, _)| id.clone()).collect()
    }
}
