use std::collections::HashMap;
use std::time::Duration;

use prost::Message;
use tonic::{Code, Status};

use crate::generated::{Detail, RpcRetryPolicy, RpcStatus};

/// What can go wrong with a call to the control plane.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// It does nothing, and answers with this code.
    Fails(Code),
    /// It does what it is asked, and its answer is lost.
    ReplyLost,
    /// It does what it is asked, and does not answer.
    Hangs,
    /// It does nothing, and does not answer.
    Stalls,
    /// It was on its way for so long: it is done after this time, and who sent it was told at once
    /// that the connection broke.
    Late(Duration),
    /// It does nothing, and asks to be asked again after this time.
    Throttled(Duration),
}

/// What is still to go wrong, for each call.
#[derive(Debug, Default)]
pub(super) struct Faults(HashMap<&'static str, Vec<(u32, Fault)>>);

impl Faults {
    pub(super) fn add(&mut self, rpc: &'static str, times: u32, fault: Fault) {
        self.0.entry(rpc).or_default().push((times, fault));
    }

    pub(super) fn take(&mut self, rpc: &str) -> Option<Fault> {
        let faults = self.0.get_mut(rpc)?;
        faults.retain(|(times, _)| *times > 0);
        let (times, fault) = faults.first_mut()?;
        *times -= 1;
        Some(*fault)
    }
}

/// An answer that asks for patience, as Modal gives it.
pub(super) fn throttled(patience: Duration) -> Status {
    const MESSAGE: &str = "too many requests";
    let policy = RpcRetryPolicy { retry_after_secs: patience.as_secs_f32() };
    let detail = Detail {
        type_url: "type.modal.com/modal.client.RPCRetryPolicy".to_owned(),
        value: policy.encode_to_vec(),
    };
    let status = RpcStatus {
        code: Code::ResourceExhausted as i32,
        message: MESSAGE.to_owned(),
        details: vec![detail],
    };
    Status::with_details(Code::ResourceExhausted, MESSAGE, status.encode_to_vec().into())
}
