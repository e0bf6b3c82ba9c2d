//! What waits for the writer.

use std::collections::VecDeque;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::oneshot;

use super::batch::Shared;
use super::submit::NewJob;
use crate::cancel::{CancelOutcome, CancelRequest};
use crate::error::Result;
use crate::id::{IncarnationId, JobId};
use crate::stop::StopItem;
use crate::store::sql::{Fault, Taken};
use crate::store::{
    Claim, FinishJob, FinishJobOutcome, Heartbeat, Joined, NewSession, NodeEnd, NodeIdentity, Release,
    Submitted, TakeStops, TokenHash,
};

/// Where the answer to one caller goes. A caller that went away does not hear it; one whose
/// answer gets lost is told so.
#[derive(Debug)]
pub(super) struct Reply<T> {
    sender: Option<oneshot::Sender<Result<T, Fault>>>,
}

impl<T> Reply<T> {
    pub(super) fn new() -> (Self, oneshot::Receiver<Result<T, Fault>>) {
        let (sender, receiver) = oneshot::channel();
        (Self { sender: Some(sender) }, receiver)
    }

    pub(super) fn send(mut self, answer: Result<T, Fault>) {
        if let Some(sender) = self.sender.take() {
            let _ = sender.send(answer);
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take() {
            let _ = sender.send(Err(Fault::stopped()));
        }
    }
}

/// A call that has a transaction of its own.
#[derive(Debug)]
pub(super) enum Own {
    Cancel(JobId, CancelRequest, Reply<CancelOutcome>),
    CancelMany(Vec<JobId>, CancelRequest, Reply<Vec<CancelOutcome>>),
    Check(Reply<()>),
    Submit(NewJob, Reply<Submitted>),
    Join(NodeIdentity, Duration, Reply<Joined>),
    Heartbeat(IncarnationId, Duration, Reply<Heartbeat>),
    EndNode(IncarnationId, NodeEnd, Reply<()>),
    Claim(Claim, Reply<Vec<Taken>>),
    TakeOver(Claim, Reply<Vec<Taken>>),
    Release(Release, Reply<bool>),
    FinishJob(FinishJob, Reply<FinishJobOutcome>),
    TakeStops(TakeStops, Reply<Vec<StopItem>>),
    Prune(Duration, u32, Reply<u64>),
    GiveNonce(String, Duration, Reply<OffsetDateTime>),
    OpenSession(String, NewSession, Reply<Option<OffsetDateTime>>),
    EndSession(TokenHash, Reply<bool>),
}

/// What the writer does next.
#[derive(Debug)]
pub(super) enum Work {
    Own(Own),
    Batch(Vec<Shared>),
}

/// The calls that wait. Cancels come first; between the others the writer takes turns.
#[derive(Debug, Default)]
pub(super) struct Queue {
    first: VecDeque<Own>,
    own: VecDeque<Own>,
    shared: VecDeque<Shared>,
    firsts_in_a_row: u32,
    own_was_last: bool,
}

impl Queue {
    /// The most rows in a batch of more than one call: a cancel waits for no more than that.
    const MOST_ROWS: usize = 512;
    /// After so many cancels in a row something else has its turn.
    const MOST_FIRSTS: u32 = 16;

    pub(super) fn push_first(&mut self, call: Own) {
        self.first.push_back(call);
    }

    pub(super) fn push_own(&mut self, call: Own) {
        self.own.push_back(call);
    }

    pub(super) fn push_shared(&mut self, call: Shared) {
        self.shared.push_back(call);
    }

    pub(super) fn len(&self) -> usize {
        self.first.len() + self.own.len() + self.shared.len()
    }

    /// Whether nothing speaks for waiting a moment until more calls share a commit.
    pub(super) fn is_urgent(&self) -> bool {
        !self.first.is_empty()
    }

    pub(super) fn next(&mut self) -> Option<Work> {
        let others_wait = !self.own.is_empty() || !self.shared.is_empty();
        if (self.firsts_in_a_row < Self::MOST_FIRSTS || !others_wait)
            && let Some(call) = self.first.pop_front()
        {
            self.firsts_in_a_row += 1;
            return Some(Work::Own(call));
        }
        self.firsts_in_a_row = 0;
        let own_is_next = !self.own_was_last || self.shared.is_empty();
        if own_is_next && let Some(call) = self.own.pop_front() {
            self.own_was_last = true;
            return Some(Work::Own(call));
        }
        self.own_was_last = false;
        let batch = self.take_batch();
        (!batch.is_empty()).then_some(Work::Batch(batch))
    }

    fn take_batch(&mut self) -> Vec<Shared> {
        let mut rows = 0;
        let mut count = 0;
        for call in &self.shared {
            rows += call.rows();
            if count > 0 && rows > Self::MOST_ROWS {
                break;
            }
            count += 1;
        }
        self.shared.drain(..count).collect()
    }

    /// Takes out the calls that waited as early as when the queue had these lengths.
    pub(super) fn take_early(&mut self, lengths: Lengths) -> Self {
        fn front<T>(queue: &mut VecDeque<T>, count: usize) -> VecDeque<T> {
            let count = count.min(queue.len());
            queue.drain(..count).collect()
        }
        Self {
            first: front(&mut self.first, lengths.first),
            own: front(&mut self.own, lengths.own),
            shared: front(&mut self.shared, lengths.shared),
            ..Self::default()
        }
    }

    pub(super) fn lengths(&self) -> Lengths {
        Lengths { first: self.first.len(), own: self.own.len(), shared: self.shared.len() }
    }

    /// Answers all calls with a fault.
    pub(super) fn fail(self, fault: &Fault) {
        for call in self.first.into_iter().chain(self.own) {
            call.fail(fault);
        }
        for call in self.shared {
            call.fail(fault);
        }
    }
}

/// How many calls of each sort wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lengths {
    first: usize,
    own: usize,
    shared: usize,
}

impl Work {
    /// How many calls it answers.
    pub(super) fn callers(&self) -> usize {
        match self {
            Self::Own(_) => 1,
            Self::Batch(calls) => calls.len(),
        }
    }

    pub(super) fn fail(self, fault: &Fault) {
        match self {
            Self::Own(call) => call.fail(fault),
            Self::Batch(calls) => calls.into_iter().for_each(|call| call.fail(fault)),
        }
    }
}

impl Own {
    pub(super) fn fail(self, fault: &Fault) {
        let fault = fault.clone();
        match self {
            Self::Cancel(_, _, reply) => reply.send(Err(fault)),
            Self::CancelMany(_, _, reply) => reply.send(Err(fault)),
            Self::Check(reply) => reply.send(Err(fault)),
            Self::Submit(_, reply) => reply.send(Err(fault)),
            Self::Join(_, _, reply) => reply.send(Err(fault)),
            Self::Heartbeat(_, _, reply) => reply.send(Err(fault)),
            Self::EndNode(_, _, reply) => reply.send(Err(fault)),
            Self::Claim(_, reply) | Self::TakeOver(_, reply) => reply.send(Err(fault)),
            Self::Release(_, reply) | Self::EndSession(_, reply) => reply.send(Err(fault)),
            Self::FinishJob(_, reply) => reply.send(Err(fault)),
            Self::TakeStops(_, reply) => reply.send(Err(fault)),
            Self::Prune(_, _, reply) => reply.send(Err(fault)),
            Self::GiveNonce(_, _, reply) => reply.send(Err(fault)),
            Self::OpenSession(_, _, reply) => reply.send(Err(fault)),
        }
    }
}
