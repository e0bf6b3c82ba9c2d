//! The cases, by area, and the one list of them.

mod cancel;
mod contract;
mod crash;
mod faults;
mod run;
mod stop;

use super::Bed;

/// The list of all cases: `__executor_cases! { some_macro, arguments }` becomes
/// `some_macro! { [arguments] area { case case } area { case } }`.
#[doc(hidden)]
#[macro_export]
macro_rules! __executor_cases {
    ($callback:ident $(, $($arguments:tt)*)?) => {
        $crate::$callback! {
            [$($($arguments)*)?]
            contract {
                its_name_can_stand_in_a_job
                its_name_and_capabilities_do_not_change
                inputs_that_it_can_run_are_accepted
                an_input_that_it_cannot_run_is_refused_and_begins_nothing
            }
            run {
                work_that_ends_brings_its_output
                work_that_goes_on_is_waited_for
                work_that_fails_fails_its_execution_and_leaves_nothing_alive
                executions_run_side_by_side
                nothing_computes_before_its_handle_is_saved
                what_computes_has_a_saved_handle
                an_attempt_whose_time_is_up_is_really_over
                a_runner_that_shuts_down_leaves_nothing_that_nobody_watches
                a_runner_that_is_dropped_fails_nothing
                a_runner_that_is_dropped_completes_nothing
                work_that_a_shutdown_interrupts_is_not_over
            }
            cancel {
                cancelled_work_is_really_over
                work_cancelled_at_once_is_really_over
                all_work_of_a_cancelled_job_is_really_over
                work_may_save_itself_while_its_grace_lasts
                work_that_ignores_its_grace_is_forced
                a_harsher_cancel_ends_a_running_grace
                a_job_cancelled_before_its_start_begins_nothing
                a_refused_permit_begins_nothing
                a_cancel_whose_answer_comes_late_stops_the_work_all_the_same
                work_cancelled_between_its_permit_and_its_begin_is_really_over
            }
            stop {
                a_stop_may_be_asked_for_again_after_the_end
                the_stop_of_work_that_ended_by_itself_is_confirmed
                many_may_stop_the_same_work_at_once
                the_stop_of_a_strange_handle_confirms_nothing
                another_process_can_stop_the_work
                work_that_has_not_begun_can_be_stopped
                work_that_was_stopped_before_it_began_never_begins
            }
            crash {
                work_that_can_be_resumed_is_only_watched_by_the_next_process
                work_that_cannot_be_resumed_is_ended_and_begun_again
                the_work_of_a_dead_process_is_really_over_once_cancelled
                work_that_never_began_is_not_begun_by_the_next_process
                a_handle_is_enough_to_end_the_work_of_a_dead_process
            }
            faults {
                a_stop_is_driven_until_the_provider_answers
                a_start_that_did_not_arrive_is_tried_again
                work_whose_start_was_not_answered_is_not_forgotten
                work_is_watched_over_errors
            }
        }
    };
}

/// Runs the case of this name.
pub(super) async fn run(case: &str, bed: Bed) {
    crate::__executor_cases! { __conformance_dispatch, case, bed }
    panic!("there is no case {case}");
}
