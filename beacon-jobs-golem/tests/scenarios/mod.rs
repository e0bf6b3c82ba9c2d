//! What an execution on Golem is to show, whichever daemon it is that the executor talks to: the fake is
//! worth what the genuine one shows too. Each scenario begins and ends with nothing left.

mod bed;
mod begin;
mod outcome;
mod progress;
mod stop;
mod trouble;

use std::time::Duration;

use beacon_jobs_golem::Builder;

pub(crate) use self::begin::*;
pub(crate) use self::outcome::*;
pub(crate) use self::progress::*;
pub(crate) use self::stop::*;
pub(crate) use self::trouble::*;

/// What goes wrong, or does not any more.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    /// A new activity lives, and its provider's answer comes too late.
    CreateIsLate(bool),
    /// The provider says nothing to an agreement.
    NoApproval(bool),
    /// The provider's daemon does nothing, and answers nobody.
    Frozen(bool),
    /// How long work lives on that is to end.
    EndsAfter(Duration),
    /// How long after the end of an agreement its invoice comes.
    InvoiceAfter(Duration),
    /// How often a debit note comes.
    NoteEvery(Option<Duration>),
    /// The provider cannot stream what happens.
    NoStream(bool),
}

/// What the requestor's daemon has on record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Books {
    /// Agreements that are Pending or Approved.
    pub(crate) agreements: usize,
    /// Allocations that are not released.
    pub(crate) allocations: usize,
    pub(crate) demands: usize,
    pub(crate) invoices_accepted: usize,
    pub(crate) notes_accepted: usize,
}

/// A requestor's daemon with a provider behind it that has the programs `echo`, which prints its arguments each
/// on a line, `fail`, which complains that there is `no such model` and fails, `go_on`, which
/// goes on until it is completed and prints `done` then, and `tick`, which prints
/// `tick` with numbers again and again until then. No image can be deployed but that of the hash `cd…`.
pub(crate) trait World: Send + Sync + 'static {
    /// An executor for it whose limits are as short as they can be.
    fn executor(&self) -> Builder;

    /// How many activities live at the provider right now.
    fn alive(&self) -> usize;

    /// How many of them run a command.
    fn computing(&self) -> usize;

    /// How many commands have ever begun.
    fn begun(&self) -> usize;

    fn books(&self) -> impl Future<Output = Books> + Send;

    fn make(&self, trouble: Trouble) -> impl Future<Output = ()> + Send;

    /// Lets what goes on end by itself, also what begins later.
    fn complete(&self);

    /// Kills the requestor's daemon with SIGKILL.
    fn kill_daemon(&self) -> impl Future<Output = ()> + Send;

    /// Starts it again on what it has on record.
    fn restart_daemon(&self) -> impl Future<Output = ()> + Send;
}

/// Hands the names of all scenarios to a macro.
macro_rules! each_scenario {
    ($then:ident) => {
        $then! {
            work_runs_to_its_output_and_costs_what_the_invoice_says,
            a_command_that_fails_is_named_with_what_it_said,
            an_image_that_cannot_be_deployed_is_told_so,
            no_offer_that_fits_is_told_so,
            an_invoice_that_comes_late_is_settled_after_the_output,
            debit_notes_are_accepted_until_a_cancel,
            commands_that_are_done_are_counted_while_the_next_one_runs,
            the_last_line_of_what_runs_is_shown,
            a_provider_that_cannot_stream_costs_no_more_than_the_lines,
            the_next_node_watches_work_that_goes_on,
            a_cancel_while_offers_are_looked_for_leaves_nothing,
            a_cancel_before_an_approval_takes_the_agreement_back,
            a_creation_without_an_answer_in_time_leaves_nothing_running,
            a_cancel_of_running_work_is_confirmed_when_it_is_dead,
            work_that_ends_late_is_not_confirmed_before,
            a_provider_that_freezes_is_unconfirmed_until_it_thaws,
            a_daemon_that_dies_under_running_work_says_nothing_about_it,
            a_daemon_that_dies_in_a_stop_does_not_lose_it,
        }
    };
}
pub(crate) use each_scenario;
