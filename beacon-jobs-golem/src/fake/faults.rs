use std::collections::HashMap;
use std::time::Duration;

/// What can go wrong with a call to the daemon.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// It does nothing, and answers with this status and body.
    Fails(u16, String),
    /// It does what it is asked, and answers with this body instead of its own.
    Answers(String),
    /// It does nothing, and answers with this text again and again, without an end.
    Endless(String),
    /// It does what it is asked, and the connection breaks before its answer.
    ReplyLost,
    /// It does what it is asked, and does not answer.
    Hangs,
    /// It does nothing, and does not answer.
    Stalls,
    /// It was on its way for so long: it is done after this time, and who sent it was told at once
    /// that the connection broke.
    Late(Duration),
}

/// What is still to go wrong, for each call.
#[derive(Debug, Default)]
pub(super) struct Faults(HashMap<&'static str, Vec<(u32, Fault)>>);

impl Faults {
    pub(super) fn add(&mut self, call: &'static str, times: u32, fault: Fault) {
        self.0.entry(call).or_default().push((times, fault));
    }

    pub(super) fn take(&mut self, call: &str) -> Option<Fault> {
        let faults = self.0.get_mut(call)?;
        faults.retain(|(times, _)| *times > 0);
        let (times, fault) = faults.first_mut()?;
        *times -= 1;
        Some(fault.clone())
    }
}
