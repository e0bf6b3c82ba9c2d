//! Waiting for a script's end, and closing what is done. Nothing here begins anything.

use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::executor::{ExecuteError, ExecutionContext};
use beacon_jobs::job::FailureKind;
use serde_json::{Value, json};

use crate::call::{Command, Input};
use crate::client::CommandResult;
use crate::convert;
use crate::deal::Deal;
use crate::error::CallError;
use crate::executor::Inner;
use crate::progress::Progress;

/// How long the daemon holds a poll for results.
const HOLD: Duration = Duration::from_secs(20);
/// Pauses after a call that brought no answer.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(10);
/// How many answers in a row may be unreadable.
const MOST_UNREADABLE: u32 = 5;
/// How often the end of an activity that is done is asked for before a stop takes that over.
const MOST_DESTROYS: u32 = 5;
/// How long after its lifetime a provider may be silent about its work.
const EXPIRY_MARGIN: Duration = Duration::from_secs(60);

impl Inner {
    /// Waits for the output of a deal, pays meanwhile, and closes it.
    pub(crate) async fn watch(
        self: &Arc<Self>,
        cx: &ExecutionContext,
        deal: Deal,
    ) -> Result<Value, ExecuteError> {
        let (Some(agreement), Some(activity), Some(batch)) = (&deal.agreement, &deal.activity, &deal.batch)
        else {
            return Err(ExecuteError::interrupted("the work had not begun, as far as is known"));
        };
        if let Some(demand) = &deal.demand
            && let Err(error) = self.client.unsubscribe(demand).await
        {
            tracing::debug!(%error, demand, "the demand is not ended yet");
        }
        let commands = commands_of(cx);
        let progress = Progress::new(cx, &commands);
        let results = tokio::select! {
            biased;
            results = self.results(&deal, agreement, activity, batch, &progress) => results?,
            error = self.accept_notes(&deal, agreement) => return Err(error),
            never = self.follow(activity, batch, &progress) => match never {},
        };
        if let Some(failure) = convert::failure(&results, &commands) {
            return Err(failure);
        }
        let outputs = convert::outputs(&results);
        if outputs.as_array().is_none_or(|outputs| outputs.len() != commands.len()) {
            let message = "the provider says that the script is done, and not what each command brought";
            return Err(
                ExecuteError::new(FailureKind::Provider, message).with_output(json!({ "results": outputs }))
            );
        }
        if let Err(error) = self.close(activity).await {
            let message = format!("the work is done, and its activity does not end: {error}");
            let error = ExecuteError::new(FailureKind::Provider, message).with_source(error);
            return Err(error.with_output(json!({ "results": outputs })));
        }
        let cost = self.settle_soon(&deal, agreement).await;
        let provider = deal.provider.as_ref().map(|(id, name)| json!({ "id": id, "name": name }));
        Ok(json!({ "results": outputs, "provider": provider, "agreement": agreement, "cost": cost }))
    }

    /// Polls until the script has ended. A daemon that does not answer says nothing about the work.
    async fn results(
        &self,
        deal: &Deal,
        agreement: &str,
        activity: &str,
        batch: &str,
        progress: &Progress<'_>,
    ) -> Result<Vec<CommandResult>, ExecuteError> {
        let mut pause = FIRST_PAUSE;
        let mut unreadable = 0;
        loop {
            let answer = self.client.results(activity, batch, HOLD).await;
            if let Ok(results) = &answer {
                progress.results(results);
            }
            match answer {
                Ok(results) if results.iter().any(|it| it.is_batch_finished || it.result != "Ok") => {
                    return Ok(results);
                }
                Ok(_) => {
                    (pause, unreadable) = (FIRST_PAUSE, 0);
                    // A daemon that holds no call must not be asked without a pause.
                    self.clock().sleep(FIRST_PAUSE).await;
                    continue;
                }
                Err(error) if error.is_unreadable() => {
                    unreadable += 1;
                    if unreadable >= MOST_UNREADABLE {
                        return Err(error.into_execute_error());
                    }
                }
                Err(error) if !error.is_transient() => return Err(error.into_execute_error()),
                Err(error) => {
                    tracing::debug!(%error, activity, "no results");
                    if let Some(why) = self.over(agreement, activity).await {
                        let message = format!("the provider ended the work: {why}");
                        let error_now = ExecuteError::new(FailureKind::Provider, message).retryable();
                        return Err(error_now.with_source(error));
                    }
                }
            }
            if self.clock().now() > deal.expires_at + EXPIRY_MARGIN {
                return Err(ExecuteError::new(FailureKind::Timeout, "the lifetime of the work is over"));
            }
            self.clock().sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// Why nothing more will come of an activity, if that is so.
    async fn over(&self, agreement: &str, activity: &str) -> Option<String> {
        if let Ok(state) = self.client.state(activity).await
            && state.is_over()
        {
            let said = state.error_message.or(state.reason);
            return Some(
                said.map_or_else(|| "the activity has ended".to_owned(), |it| crate::error::one_line(&it)),
            );
        }
        let state = self.client.agreement(agreement).await.ok()?.state;
        matches!(&*state, "Terminated" | "Expired" | "Cancelled" | "Rejected")
            .then(|| format!("the agreement is {}", state.to_lowercase()))
    }

    /// Ends an activity whose script is done.
    async fn close(&self, activity: &str) -> Result<(), CallError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.client.destroy(activity, self.limits.destroy_limit).await {
                Err(error) if tries < MOST_DESTROYS => {
                    tracing::debug!(%error, activity, "the activity has not ended yet");
                    self.clock().sleep(FIRST_PAUSE * 2_u32.pow(tries)).await;
                }
                done => return done,
            }
        }
    }
}

fn commands_of(cx: &ExecutionContext) -> Vec<Command> {
    cx.input::<Input>().map(|input| input.commands).unwrap_or_default()
}
