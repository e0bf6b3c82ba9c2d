use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use super::faults::{Fault, Faults};
use super::{Behaviour, CallRecord, Work, Worker};
use crate::generated::generic_result::{DataOneof, GenericStatus};
use crate::generated::{FunctionGetOutputsItem, FunctionInput, GenericResult, InputCategoryInfo, InputInfo};

#[derive(Debug)]
pub(super) struct Function {
    pub(super) app: String,
    pub(super) name: String,
    pub(super) work: Work,
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) function_id: String,
    pub(super) inputs: Vec<Input>,
    pub(super) cancelled: Option<bool>,
    pub(super) expired: bool,
    pub(super) created_at: f64,
}

#[derive(Debug)]
pub(super) struct Input {
    pub(super) id: String,
    /// As its client sent it.
    pub(super) message: FunctionInput,
    pub(super) args: Vec<u8>,
    /// The container that holds it, or held it last.
    pub(super) task: String,
    pub(super) started_at: f64,
    pub(super) ended: Option<(GenericResult, f64)>,
    /// Of the result.
    pub(super) data_format: i32,
}

#[derive(Debug)]
pub(super) struct Task {
    pub(super) call: String,
    pub(super) computes: bool,
    /// Who runs it, if it is not the fake's own.
    pub(super) worker: Option<Arc<dyn Worker>>,
    pub(super) started_at: f64,
    pub(super) ended_at: Option<f64>,
    /// Its end is on record.
    pub(super) recorded: bool,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) behaviour: Behaviour,
    pub(super) worker: Option<Arc<dyn Worker>>,
    pub(super) faults: Faults,
    pub(super) functions: BTreeMap<String, Function>,
    pub(super) calls: BTreeMap<String, Call>,
    pub(super) tasks: BTreeMap<String, Task>,
    pub(super) blobs: HashMap<String, Vec<u8>>,
    pub(super) blob_address: SocketAddr,
    pub(super) begun: usize,
    pub(super) stuck: usize,
    pub(super) received: HashMap<&'static str, usize>,
    named: u64,
}

impl State {
    pub(super) fn new(blob_address: SocketAddr) -> Self {
        Self {
            behaviour: Behaviour::default(),
            worker: None,
            faults: Faults::default(),
            functions: BTreeMap::new(),
            calls: BTreeMap::new(),
            tasks: BTreeMap::new(),
            blobs: HashMap::new(),
            blob_address,
            begun: 0,
            stuck: 0,
            received: HashMap::new(),
            named: 0,
        }
    }

    /// A name as Modal makes them, in the order of their making.
    pub(super) fn name(&mut self, prefix: &str) -> String {
        self.named += 1;
        format!("{prefix}-{:08}", self.named)
    }

    pub(super) fn new_blob(&mut self) -> (String, String) {
        let id = self.name("bl");
        let url = self.blob_url(&id);
        (id, url)
    }

    pub(super) fn blob_url(&self, id: &str) -> String {
        format!("http://{}/{id}", self.blob_address)
    }

    pub(super) fn deploy(&mut self, app: &str, name: &str, work: Work) {
        let id = self.name("fu");
        self.functions.retain(|_, known| (&*known.app, &*known.name) != (app, name));
        self.functions.insert(id, Function { app: app.to_owned(), name: name.to_owned(), work });
    }

    pub(super) fn function_id(&self, app: &str, name: &str) -> Option<String> {
        let mut functions = self.functions.iter();
        functions.find(|(_, known)| known.app == app && known.name == name).map(|(id, _)| id.clone())
    }

    /// A call without inputs.
    pub(super) fn new_call(&mut self, function_id: String, created_at: f64) -> String {
        let id = self.name("fc");
        let call = Call { function_id, inputs: Vec::new(), cancelled: None, expired: false, created_at };
        self.calls.insert(id.clone(), call);
        id
    }

    /// Counts a request, and tells what is to go wrong with it.
    pub(super) fn fault(&mut self, request: &'static str) -> Option<Fault> {
        *self.received.entry(request).or_default() += 1;
        self.faults.take(request)
    }

    pub(super) fn work_of(&self, call: &str) -> Option<&Work> {
        let call = self.calls.get(call)?;
        self.functions.get(&call.function_id).map(|function| &function.work)
    }

    pub(super) fn alive(&self) -> usize {
        self.tasks.values().filter(|task| task.computes).count()
    }

    pub(super) fn expire(&mut self) {
        for call in self.calls.values_mut() {
            call.expired |= call.inputs.iter().all(|input| input.ended.is_some());
        }
    }

    pub(super) fn records(&self) -> Vec<CallRecord> {
        let record = |(id, call): (&String, &Call)| CallRecord {
            id: id.clone(),
            function: self.functions.get(&call.function_id).map_or_else(String::new, |it| it.name.clone()),
            inputs: call.inputs.len(),
            cancelled: call.cancelled,
            containers: self
                .tasks
                .iter()
                .filter(|(_, task)| task.call == *id)
                .map(|(task_id, task)| (task_id.clone(), task.computes))
                .collect(),
        };
        self.calls.iter().map(record).collect()
    }

    /// Moves what is too big for a message into a blob.
    pub(super) fn result(
        &mut self,
        status: GenericStatus,
        value: Option<&Value>,
        said: &str,
    ) -> GenericResult {
        let mut result =
            GenericResult { status: status.into(), exception: said.to_owned(), ..GenericResult::default() };
        if let Some(value) = value {
            let mut bytes = Vec::new();
            // What was read as JSON can be written.
            let _ = ciborium::into_writer(value, &mut bytes);
            result.data_oneof = Some(if bytes.len() as u64 > self.behaviour.inline_bytes {
                let id = self.name("bl");
                self.blobs.insert(id.clone(), bytes);
                DataOneof::DataBlobId(id)
            } else {
                DataOneof::Data(bytes)
            });
        }
        result
    }
}

impl Input {
    fn task_id(&self, is_told: bool) -> String {
        if is_told { self.task.clone() } else { String::new() }
    }
}

impl Call {
    pub(super) fn output(&self, names_container: bool) -> Option<FunctionGetOutputsItem> {
        let input = self.inputs.first().filter(|_| !self.expired)?;
        let (result, at) = input.ended.as_ref()?;
        Some(FunctionGetOutputsItem {
            result: Some(result.clone()),
            idx: 0,
            input_id: input.id.clone(),
            data_format: input.data_format,
            task_id: input.task_id(names_container),
            input_started_at: input.started_at,
            output_created_at: *at,
            retry_count: 0,
        })
    }

    pub(super) fn unfinished(&self) -> usize {
        self.inputs.iter().filter(|input| input.ended.is_none()).count()
    }

    /// The inputs whose end is one of these; none stands for those under way.
    pub(super) fn category(
        &self,
        of: &[Option<GenericStatus>],
        names_containers: bool,
    ) -> Option<InputCategoryInfo> {
        let status = |input: &Input| {
            input.ended.as_ref().map(|(result, _)| {
                GenericStatus::try_from(result.status).unwrap_or(GenericStatus::Unspecified)
            })
        };
        let fitting = self.inputs.iter().enumerate().filter(|(_, input)| of.contains(&status(input)));
        let latest: Vec<_> = fitting
            .map(|(idx, input)| InputInfo {
                input_id: input.id.clone(),
                idx: i32::try_from(idx).unwrap_or(i32::MAX),
                task_id: input.task_id(names_containers),
                started_at: input.started_at,
                finished_at: input.ended.as_ref().map_or(0.0, |(_, at)| *at),
            })
            .collect();
        Some(InputCategoryInfo { total: i32::try_from(latest.len()).unwrap_or(i32::MAX), latest })
    }
}

/// The arguments of an input, as JSON.
pub(super) fn echo(args: &[u8]) -> Value {
    match crate::convert::output(args) {
        Ok(Value::Array(mut both)) if both.len() == 2 => {
            let kwargs = both.pop();
            json!({ "args": both.pop(), "kwargs": kwargs })
        }
        other => json!({ "unreadable": format!("{other:?}") }),
    }
}
