//! The executor suite catches what is broken: each of these breaks fails the case named.

use std::panic::catch_unwind;

use beacon_jobs::conformance::{__run_executor_case, ExecutorHarness};

use super::workshop::{Bug, Kind, Workshop};

struct Broken(Bug);

impl ExecutorHarness for Broken {
    type Provider = Workshop;

    async fn start(&self) -> Workshop {
        // Where the provider refuses it, a begin past the permit does no harm.
        let refuses_start_after_stop = self.0 != Bug::BeginsUnasked;
        let kind = Kind { two_step: true, resume: true, refuses_start_after_stop };
        Workshop::new(kind, Some(self.0))
    }
}

macro_rules! caught {
    ($($name:ident: $bug:ident fails $($case:literal),+;)+) => {
        $(#[test]
        fn $name() {
            for case in [$($case),+] {
                let caught = catch_unwind(|| __run_executor_case(&Broken(Bug::$bug), case, &[])).is_err();
                assert!(caught, "{case} passes");
            }
        })+
    };
}

caught! {
    a_begin_before_the_handle_is_saved: BeginsAtCreate fails
        "run::nothing_computes_before_its_handle_is_saved",
        "cancel::a_refused_permit_begins_nothing";
    a_begin_past_the_permit: BeginsUnasked fails
        "cancel::a_refused_permit_begins_nothing",
        "cancel::work_cancelled_between_its_permit_and_its_begin_is_really_over";
    a_begin_by_who_only_watches: BeginsWhenResumed fails
        "crash::work_that_never_began_is_not_begun_by_the_next_process";
    a_begin_after_a_stop: BeginsAfterStop fails
        "stop::work_that_was_stopped_before_it_began_never_begins";
    a_stop_that_is_said_to_have_ended_the_work: ConfirmsUnseen fails
        "cancel::work_cancelled_at_once_is_really_over",
        "cancel::all_work_of_a_cancelled_job_is_really_over",
        "crash::the_work_of_a_dead_process_is_really_over_once_cancelled",
        "stop::many_may_stop_the_same_work_at_once",
        "stop::another_process_can_stop_the_work";
    a_stop_that_believes_any_handle: ConfirmsStrangers fails
        "stop::the_stop_of_a_strange_handle_confirms_nothing";
    a_stop_without_evidence: ShowsNothing fails
        "stop::the_stop_of_work_that_ended_by_itself_is_confirmed",
        "cancel::cancelled_work_is_really_over";
    a_stop_that_leaves_no_grace: ForcesAtOnce fails
        "cancel::work_may_save_itself_while_its_grace_lasts";
    a_stop_that_works_once: StopsOnce fails
        "stop::a_stop_may_be_asked_for_again_after_the_end",
        "stop::the_stop_of_work_that_ended_by_itself_is_confirmed";
    a_watch_that_gives_up: GivesUp fails
        "faults::work_is_watched_over_errors";
    an_input_that_is_not_looked_at: RunsAnything fails
        "contract::an_input_that_it_cannot_run_is_refused_and_begins_nothing";
    an_output_that_is_lost: LosesOutputs fails
        "run::work_that_ends_brings_its_output",
        "crash::work_that_can_be_resumed_is_only_watched_by_the_next_process";
    capabilities_that_change: Fickle fails
        "contract::its_name_and_capabilities_do_not_change";
    work_that_begins_twice: BeginsTwice fails
        "cancel::cancelled_work_is_really_over",
        "run::work_that_ends_brings_its_output";
}
