//! The cases, by area, and the one list of them.

mod attempts;
mod cancel;
mod claim;
mod close;
mod escalate;
mod finish;
mod handle;
mod host;
mod nodes;
mod outcome;
mod progress;
mod prune;
mod races;
mod read;
mod release;
mod reopen;
mod seal;
mod signals;
mod start;
mod stops;
mod submit;
mod takeover;
mod terminal;
mod watch;

use super::Bed;

/// The list of all cases: `__store_cases! { some_macro, arguments }` becomes
/// `some_macro! { [arguments] area { case case } area { case } }`.
#[doc(hidden)]
#[macro_export]
macro_rules! __store_cases {
    ($callback:ident $(, $($arguments:tt)*)?) => {
        $crate::$callback! {
            [$($($arguments)*)?]
            submit {
                a_new_job_is_queued_with_all_its_executions
                a_submission_is_on_record
                the_same_submission_again_gives_the_first_job
                the_same_submission_again_tells_how_far_the_job_has_come
                an_equal_spec_under_a_used_key_gives_the_first_job
                another_name_under_a_used_key_is_a_conflict
                another_spec_under_a_used_key_is_a_conflict
                another_spec_under_a_used_id_is_a_conflict
                an_id_of_another_owner_is_a_conflict
                a_key_belongs_to_its_owner
                a_key_lives_as_long_as_its_job
                any_json_comes_back_as_it_was
            }
            read {
                a_job_that_does_not_exist_is_none
                a_store_that_works_says_so
                a_page_holds_the_executions_asked_for
                counts_cover_all_executions_whatever_the_page
                an_outline_is_what_get_tells_of_all_executions
                driven_stops_are_counted_by_state_and_age
                jobs_are_listed_newest_first
                a_listed_job_is_the_job_that_get_shows
                a_list_keeps_to_its_filter
                a_cursor_goes_on_where_the_page_ended
                a_page_that_ends_with_the_last_job_has_no_cursor
                a_cursor_from_elsewhere_is_refused
                a_queued_job_names_the_executors_that_no_live_node_has
                only_a_queued_job_waits_for_executors
            }
            claim {
                a_claimed_job_comes_with_all_that_its_runner_needs
                jobs_are_claimed_first_come_first_served
                a_claim_of_none_takes_none
                a_job_waits_for_a_node_that_has_all_its_executors
                only_queued_jobs_are_claimed
                an_incarnation_without_a_live_lease_claims_nothing
            }
            start {
                the_barrier_moves_an_execution_from_queued_to_starting
                the_same_start_again_gives_the_same_answer
                another_attempt_is_refused_while_one_is_under_way
                what_does_not_exist_cannot_be_started
                a_job_that_nobody_holds_starts_nothing
                a_stale_fence_starts_nothing
                nothing_starts_after_a_cancel
                nothing_starts_in_a_job_that_has_its_outcome
                an_execution_that_has_its_outcome_is_not_started_again
                a_retry_waits_until_the_older_stop_is_settled
                a_retry_goes_on_once_the_older_stop_is_declared_unconfirmable
                a_retry_of_a_job_that_allows_overlap_does_not_wait
                a_retry_waits_for_every_older_stop
                the_start_of_an_attempt_that_has_ended_is_not_repeated
                a_start_is_not_repeated_once_its_stop_is_requested
                an_attempt_id_is_used_once
                each_start_of_a_batch_gets_its_own_answer_in_order
                an_empty_batch_is_answered_with_nothing
                a_start_whose_reply_was_lost_does_not_leave_a_stop_open_for_ever
                an_owner_finds_what_it_started_when_it_takes_the_job_again
            }
            handle {
                a_save_grants_the_permit_and_the_execution_runs
                the_same_save_again_gives_the_same_answer
                a_saved_handle_reaches_who_takes_the_job_over
                a_new_holder_may_save_for_the_current_attempt
                a_save_after_a_cancel_is_refused_recorded_and_stopped
                a_refused_save_again_gives_the_same_answer
                a_save_in_a_job_that_timed_out_is_refused_recorded_and_stopped
                a_save_in_a_job_that_has_its_outcome_is_refused_recorded_and_stopped
                a_save_under_a_stale_fence_is_refused_recorded_and_stopped
                a_save_in_a_job_that_was_given_back_is_refused_recorded_and_stopped
                a_late_save_of_an_older_attempt_does_not_touch_the_newer
                a_save_of_an_attempt_that_has_completed_is_refused_recorded_and_stopped
                a_save_for_what_does_not_exist_is_refused
                a_late_handle_reopens_a_confirmed_stop_and_says_so
                a_late_handle_reopens_a_stop_that_was_settled_unconfirmed
                a_handle_known_before_does_not_reopen_a_confirmed_stop
                a_handle_makes_a_stop_that_waits_for_it_due_at_once
                each_save_of_a_batch_gets_its_own_answer_in_order
            }
            progress {
                what_is_told_is_read_as_it_was_and_the_last_stays
                it_is_told_before_the_handle_is_saved_and_by_who_took_the_job_over
                it_stays_with_what_has_ended
                the_next_attempt_begins_without
                it_is_refused_under_a_stale_fence_and_of_an_older_attempt
                it_is_refused_of_what_has_ended
                it_is_refused_of_what_does_not_exist
                each_report_of_a_batch_gets_its_own_answer_in_order
            }
            seal {
                a_seal_makes_an_open_stop_due_at_once
                the_same_seal_again_changes_nothing
                the_strongest_seal_stays
                a_seal_alone_requests_no_stop
                unknown_attempts_are_passed_over
                a_seal_needs_no_fence
                a_minter_that_comes_back_after_a_seal_by_time_reopens_what_was_confirmed
                a_later_proof_of_the_minters_end_does_not_reopen_what_was_confirmed
                a_finish_may_seal
                a_finish_that_does_not_seal_leaves_the_attempt_unsealed
                a_refused_finish_seals_all_the_same
                a_release_seals_what_it_hands_over
            }
            finish {
                an_output_completes_the_execution_with_nothing_to_stop
                an_attempt_may_complete_without_a_handle
                a_failure_requests_the_stop_in_the_same_commit
                a_failure_with_retry_returns_the_execution_to_queued_and_requests_the_stop
                an_interruption_requests_the_stop_and_does_not_count
                a_failure_counts
                an_execution_that_waits_for_another_attempt_may_be_failed_by_its_last
                a_completed_retry_leaves_no_error
                the_same_finish_again_gives_the_same_answer
                the_same_finish_again_tells_the_truth_also_after_the_job_has_ended
                an_output_after_a_cancel_is_kept_aside_and_is_not_the_result
                the_output_of_a_failure_after_a_cancel_is_kept_aside
                an_output_after_the_jobs_time_was_up_is_kept_aside
                an_end_under_a_stale_fence_is_kept_aside_and_its_attempt_goes_on
                an_end_under_a_stale_fence_stops_an_attempt_whose_handle_is_unknown
                the_output_of_an_older_attempt_does_not_touch_the_newer
                an_execution_that_has_its_outcome_keeps_it
                a_finish_of_what_does_not_exist_is_refused
                each_finish_of_a_batch_gets_its_own_answer_in_order
            }
            outcome {
                a_job_is_unfinished_while_an_execution_has_no_outcome
                a_job_completes_when_all_its_executions_completed
                the_share_of_completed_executions_decides
                the_same_end_again_gives_the_same_answer
                only_the_holder_ends_a_job
                a_job_that_nobody_holds_gets_no_outcome
                a_cancelled_job_gets_no_other_outcome
                a_job_whose_time_is_up_fails_with_all_that_is_unfinished
                open_stops_outlive_the_end_of_their_job
            }
            cancel {
                a_stop_that_is_open_is_not_opened_again
                a_cancel_of_many_answers_for_each_in_order
                a_cancel_of_many_spares_what_is_not_the_callers
                a_queued_job_is_cancelled_with_nothing_to_stop
                a_cancel_ends_what_has_no_outcome_and_stops_what_is_under_way
                the_job_shows_the_record_of_its_cancel
                a_cancel_is_on_record_once
                an_opened_stop_holds_all_that_its_driver_needs
                an_immediate_cancel_leaves_no_grace
                a_job_that_does_not_exist_is_not_found
                only_the_owner_may_cancel_and_a_refusal_changes_nothing
                an_administrator_may_cancel_and_is_named
                a_second_cancel_repeats_the_first_record_and_changes_nothing
                a_job_that_has_its_outcome_keeps_it
                an_illegal_request_is_refused_and_changes_nothing
                a_cancel_reaches_a_job_whose_owner_has_ended
                a_cancel_leaves_other_jobs_alone
                ten_thousand_executions_are_cancelled_in_one_commit
            }
            escalate {
                an_immediate_cancel_ends_a_running_grace
                an_escalation_is_on_record
                an_earlier_end_of_the_grace_is_an_escalation
                a_gentler_cancel_changes_nothing
                the_same_escalation_again_changes_nothing
                a_stop_that_others_hold_back_is_due_at_once_when_it_became_harsher
                a_confirmed_stop_does_not_become_harsher
            }
            terminal {
                a_completed_job_stays_completed_whatever_is_tried
                a_failed_job_stays_failed_whatever_is_tried
                a_cancelled_job_stays_cancelled_whatever_is_tried
                a_job_cancelled_while_queued_stays_cancelled_whatever_is_tried
            }
            nodes {
                a_node_is_known_with_all_that_it_entered_with
                entering_again_with_the_same_incarnation_renews_nothing
                a_heartbeat_renews_the_lease_from_now_on
                a_lease_that_ran_out_is_lost_for_good
                entering_again_does_not_bring_a_lost_incarnation_back
                a_heartbeat_of_nobody_is_lost
                a_node_that_has_ended_is_not_listed_and_does_not_come_back
                the_first_record_of_an_end_stays
                the_end_of_nobody_is_no_error
                a_stop_tells_what_is_known_of_its_minter
                a_node_that_was_given_up_is_gone_but_not_known_to_have_ended
                many_nodes_may_live_at_a_time
                a_store_for_one_node_refuses_a_second
            }
            takeover {
                the_job_of_a_node_that_has_ended_is_free
                the_job_of_a_node_whose_lease_ran_out_is_free
                the_job_of_a_live_node_is_not_free
                the_job_of_a_node_that_is_unknown_is_free
                a_job_whose_executions_are_all_over_is_taken_too
                a_node_takes_again_what_it_owns_and_does_not_run
                a_job_that_is_still_being_settled_is_not_taken
                only_running_jobs_are_taken_over
                a_take_over_keeps_to_its_executors_and_its_limit
                an_incarnation_without_a_live_lease_takes_nothing_over
                a_job_that_is_taken_over_comes_with_what_was_done
                who_lost_a_job_writes_nothing_to_it
                an_attempt_interrupted_by_the_next_holder_is_stopped
                held_tells_a_node_what_it_owns
                held_tells_a_node_what_became_of_the_jobs_that_it_runs
            }
            release {
                a_job_that_was_given_back_is_taken_over_at_once
                who_gave_a_job_back_does_not_hold_it
                only_the_holder_gives_a_job_back
                a_job_that_does_not_run_cannot_be_given_back
                a_job_that_was_given_back_can_be_cancelled
            }
            stops {
                stops_go_to_who_has_their_executor
                a_stop_that_was_taken_is_left_alone_until_its_hold_is_over
                no_more_stops_are_taken_than_asked_for
                the_stop_that_is_due_longest_is_taken_first
                evidence_of_a_sealed_attempt_confirms
                evidence_of_an_attempt_that_is_not_sealed_does_not_confirm
                a_seal_set_while_the_call_was_under_way_does_not_count
                a_seal_that_has_changed_since_it_was_seen_does_not_count
                a_seal_that_was_never_set_does_not_count
                a_stop_that_itself_seals_confirms
                evidence_of_any_form_tells_what_its_seal_rests_on
                nothing_that_a_stop_call_brings_takes_a_confirmation_back
                an_acknowledged_stop_shows_what_is_known_and_is_asked_again
                what_the_last_answer_showed_comes_with_the_stop
                what_another_call_showed_meanwhile_is_not_overwritten_and_holds_a_confirmation_back
                what_is_known_is_kept_when_a_stop_is_shown_as_unconfirmed
                a_call_without_an_answer_is_counted_and_told
                an_open_stop_is_due_again_when_the_driver_said
                an_unconfirmed_stop_may_still_be_asked_and_confirmed
                a_settled_stop_counts_as_over_and_is_asked_again_only_if_that_was_said
                an_attempt_that_nobody_asked_to_stop_is_not_confirmed
                each_answer_of_a_batch_is_recorded_in_order
            }
            watch {
                a_confirmation_that_rests_on_time_is_asked_again
                a_watch_without_an_answer_goes_on
                a_watch_ends_when_its_driver_says_so
                a_watch_ends_with_evidence_from_after_a_proof_of_the_minters_end
                no_other_confirmation_is_watched
                work_that_is_seen_alive_after_its_confirmation_opens_the_stop_again
                a_job_whose_stop_is_watched_is_not_pruned
            }
            host {
                a_stop_tells_on_which_host_it_was_begun
                a_stop_that_only_its_host_can_drive_is_left_to_it
                anybody_may_say_that_the_host_of_a_stop_is_missing
            }
            attempts {
                an_older_attempt_keeps_its_handle_and_its_stop_beside_a_newer
                evidence_of_the_first_attempt_never_confirms_the_second
                an_execution_shows_its_least_settled_attempt
                an_open_stop_is_not_hidden_behind_a_settled_one
                a_queued_retry_is_cancelled_and_its_older_stop_goes_on
                a_stop_is_open_whether_or_not_a_handle_is_known
                an_attempt_that_completed_is_not_stopped_when_its_job_is_cancelled
            }
            close {
                an_administrator_closes_a_stop_on_record
                a_settled_stop_is_not_closed_again
                an_unknown_attempt_has_no_stop_to_close
                a_closed_stop_lets_a_retry_begin
                better_news_after_a_closed_stop_is_taken
            }
            prune {
                a_job_is_kept_as_long_as_was_said
                a_pruned_job_is_gone_with_all_that_belongs_to_it
                a_job_without_an_outcome_is_never_pruned
                a_job_with_an_open_stop_is_never_pruned
                no_more_jobs_are_pruned_than_asked_for
                a_node_to_which_an_open_stop_refers_is_kept
            }
            signals {
                a_submission_is_told
                a_cancel_is_told_to_all_who_listen
                an_escalation_is_told
                a_stop_that_becomes_due_is_told
                a_job_that_was_given_back_is_told
            }
            reopen {
                everything_is_there_again
                an_acknowledged_cancel_holds
                a_job_is_taken_up_where_it_was
                what_was_pruned_stays_gone
            }
            races {
                a_cancel_and_the_end_of_the_job
                a_cancel_and_the_output_of_the_execution
                a_cancel_and_the_start_barrier
                a_cancel_and_the_permit
                a_cancel_and_the_jobs_time
                a_cancel_and_giving_the_job_back
                many_cancels_at_once
                many_equal_submissions_at_once
                many_claims_at_once_take_each_job_once
                many_drivers_at_once_take_each_stop_once
                two_starts_of_one_execution
            }
        }
    };
}

/// Runs the case of this name.
pub(super) async fn run(case: &str, bed: Bed) {
    crate::__store_cases! { __conformance_dispatch, case, bed }
    panic!("there is no case {case}");
}
