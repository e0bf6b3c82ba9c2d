use super::super::bed::Bed;
use super::super::{ExecutorCapability, Work};
use crate::ErrorKind;
use crate::job::{FailureKind, JobStatus};

pub(super) async fn its_name_can_stand_in_a_job(bed: Bed) {
    bed.spec(&[Work::GoesOn]).check().expect("the executor's name is legal");
    let shown = bed.provider.executor().to_string();
    assert!(!shown.is_empty() && !shown.contains('\n'), "it is shown on one line: {shown:?}");
}

pub(super) async fn its_name_and_capabilities_do_not_change(bed: Bed) {
    let (first, second) = (bed.provider.executor(), bed.provider.executor());
    assert_eq!(first.name(), second.name());
    assert_eq!(first.capabilities(), second.capabilities());
    if let Some(restarted) = bed.provider.restarted() {
        assert_eq!(first.name(), restarted.name());
        assert_eq!(first.capabilities(), restarted.capabilities());
    }
}

pub(super) async fn inputs_that_it_can_run_are_accepted(bed: Bed) {
    for work in [Work::Ends, Work::Fails, Work::GoesOn, Work::SavesItself, Work::Ignores] {
        if let Some(input) = bed.provider.input(work) {
            bed.provider.executor().check_input(&input).unwrap_or_else(|error| panic!("{work:?}: {error}"));
        }
    }
}

/// At submission, or when the execution is to begin: never later, and never as a success.
pub(super) async fn an_input_that_it_cannot_run_is_refused_and_begins_nothing(bed: Bed) {
    if !bed.can(ExecutorCapability::IllegalInput) {
        return;
    }
    let input = bed.provider.input(Work::Illegal).unwrap_or_default();
    if let Err(error) = bed.provider.executor().check_input(&input) {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    // No runner was there when it was submitted, so nobody has checked it.
    let job = bed.submit(&[Work::Illegal]).await;
    let _runner = bed.runner().await;
    let detail = bed.over_unbegun(&job).await;
    assert_eq!(detail.job.status, JobStatus::Failed);
    let kind = detail.executions[0].error.as_ref().map(|error| error.kind);
    assert_eq!(kind, Some(FailureKind::InvalidInput));
}
