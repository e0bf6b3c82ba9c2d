use std::time::Duration;

use crate::cancel::{CancelOutcome, CancelRequest};
use crate::id::{IncarnationId, JobId};
use crate::job::{AuditEntry, JobDetail, JobOutline};
use crate::stop::{StopItem, StopState};
use crate::store::*;

/// A call of a store, with what the caller gave.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum StoreCall<'a> {
    /// [`check`](JobStore::check).
    Check,
    /// [`submit`](JobStore::submit).
    Submit(&'a Submission),
    /// [`get`](JobStore::get).
    Get(&'a JobId, ExecutionPage),
    /// [`outline`](JobStore::outline).
    Outline(&'a JobId),
    /// [`list`](JobStore::list).
    List(&'a JobFilter),
    /// [`audit`](JobStore::audit).
    Audit(&'a JobId),
    /// [`cancel`](JobStore::cancel).
    Cancel(&'a JobId, &'a CancelRequest),
    /// [`cancel_many`](JobStore::cancel_many).
    CancelMany(&'a [JobId], &'a CancelRequest),
    /// [`join`](JobStore::join).
    Join(&'a NodeIdentity, Duration),
    /// [`heartbeat`](JobStore::heartbeat).
    Heartbeat(IncarnationId, Duration),
    /// [`end_node`](JobStore::end_node).
    EndNode(IncarnationId, NodeEnd),
    /// [`nodes`](JobStore::nodes).
    Nodes,
    /// [`claim`](JobStore::claim).
    Claim(&'a Claim),
    /// [`take_over`](JobStore::take_over).
    TakeOver(&'a Claim),
    /// [`held`](JobStore::held).
    Held(IncarnationId, &'a [JobId]),
    /// [`release`](JobStore::release).
    Release(&'a Release),
    /// [`start`](JobStore::start).
    Start(&'a [StartExecution]),
    /// [`save_handles`](JobStore::save_handles).
    SaveHandles(&'a [SaveHandle]),
    /// [`report_progress`](JobStore::report_progress).
    ReportProgress(&'a [ReportProgress]),
    /// [`seal`](JobStore::seal).
    Seal(&'a [Seal]),
    /// [`finish`](JobStore::finish).
    Finish(&'a [FinishExecution]),
    /// [`finish_job`](JobStore::finish_job).
    FinishJob(&'a FinishJob),
    /// [`take_stops`](JobStore::take_stops).
    TakeStops(&'a TakeStops),
    /// [`record_stops`](JobStore::record_stops).
    RecordStops(&'a [StopUpdate]),
    /// [`driven_stops`](JobStore::driven_stops).
    DrivenStops,
    /// [`close_stop`](JobStore::close_stop).
    CloseStop(&'a CloseStop),
    /// [`prune`](JobStore::prune).
    Prune(Duration, u32),
}

impl StoreCall<'_> {
    /// The name of the method.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Submit(..) => "submit",
            Self::Get(..) => "get",
            Self::Outline(..) => "outline",
            Self::List(..) => "list",
            Self::Audit(..) => "audit",
            Self::Cancel(..) => "cancel",
            Self::CancelMany(..) => "cancel_many",
            Self::Join(..) => "join",
            Self::Heartbeat(..) => "heartbeat",
            Self::EndNode(..) => "end_node",
            Self::Nodes => "nodes",
            Self::Claim(..) => "claim",
            Self::TakeOver(..) => "take_over",
            Self::Held(..) => "held",
            Self::Release(..) => "release",
            Self::Start(..) => "start",
            Self::SaveHandles(..) => "save_handles",
            Self::ReportProgress(..) => "report_progress",
            Self::Seal(..) => "seal",
            Self::Finish(..) => "finish",
            Self::FinishJob(..) => "finish_job",
            Self::TakeStops(..) => "take_stops",
            Self::RecordStops(..) => "record_stops",
            Self::DrivenStops => "driven_stops",
            Self::CloseStop(..) => "close_stop",
            Self::Prune(..) => "prune",
        }
    }
}

/// What a store answered to a call.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum StoreAnswer<'a> {
    /// Of [`check`](JobStore::check).
    Check,
    /// Of [`submit`](JobStore::submit).
    Submit(&'a Submitted),
    /// Of [`get`](JobStore::get).
    Get(&'a Option<JobDetail>),
    /// Of [`outline`](JobStore::outline).
    Outline(&'a Option<JobOutline>),
    /// Of [`list`](JobStore::list).
    List(&'a JobList),
    /// Of [`audit`](JobStore::audit).
    Audit(&'a Vec<AuditEntry>),
    /// Of [`cancel`](JobStore::cancel).
    Cancel(&'a CancelOutcome),
    /// Of [`cancel_many`](JobStore::cancel_many).
    CancelMany(&'a Vec<CancelOutcome>),
    /// Of [`join`](JobStore::join).
    Join(&'a Joined),
    /// Of [`heartbeat`](JobStore::heartbeat).
    Heartbeat(&'a Heartbeat),
    /// Of [`end_node`](JobStore::end_node).
    EndNode,
    /// Of [`nodes`](JobStore::nodes).
    Nodes(&'a Vec<NodeRecord>),
    /// Of [`claim`](JobStore::claim).
    Claim(&'a Vec<ClaimedJob>),
    /// Of [`take_over`](JobStore::take_over).
    TakeOver(&'a Vec<ClaimedJob>),
    /// Of [`held`](JobStore::held).
    Held(&'a Vec<HeldJob>),
    /// Of [`release`](JobStore::release).
    Release(&'a bool),
    /// Of [`start`](JobStore::start).
    Start(&'a Vec<StartOutcome>),
    /// Of [`save_handles`](JobStore::save_handles).
    SaveHandles(&'a Vec<SaveOutcome>),
    /// Of [`report_progress`](JobStore::report_progress).
    ReportProgress(&'a Vec<bool>),
    /// Of [`seal`](JobStore::seal).
    Seal,
    /// Of [`finish`](JobStore::finish).
    Finish(&'a Vec<FinishOutcome>),
    /// Of [`finish_job`](JobStore::finish_job).
    FinishJob(&'a FinishJobOutcome),
    /// Of [`take_stops`](JobStore::take_stops).
    TakeStops(&'a Vec<StopItem>),
    /// Of [`record_stops`](JobStore::record_stops).
    RecordStops(&'a Vec<Option<StopState>>),
    /// Of [`driven_stops`](JobStore::driven_stops).
    DrivenStops(&'a Vec<DrivenStops>),
    /// Of [`close_stop`](JobStore::close_stop).
    CloseStop(&'a CloseStopOutcome),
    /// Of [`prune`](JobStore::prune).
    Prune(&'a u64),
}
