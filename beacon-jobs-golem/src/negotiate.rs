//! From a demand to a proposal that both sides can agree to. Nothing here binds anybody.

use std::time::Duration;

use beacon_jobs::executor::{ExecuteError, ExecutionContext};
use beacon_jobs::job::FailureKind;

use crate::call::{Ceiling, Providers};
use crate::client::{Proposal, Terms};
use crate::error::CallError;
use crate::executor::{Inner, told_to_end};
use crate::offer::{self, Offer};

/// How long the daemon holds a poll for proposals.
const HOLD: Duration = Duration::from_secs(5);
/// The pause after a poll that brought no answer.
const PAUSE: Duration = Duration::from_millis(200);

/// The best proposal so far, and what was wrong with others.
#[derive(Default)]
struct Haul {
    best: Option<(f64, String, Offer)>,
    /// Until when better ones are waited for, as an uptime.
    until: Option<Duration>,
    declined: usize,
    last_why: String,
}

impl Inner {
    /// Waits for offers, answers those that fit, and takes the best of those that came to terms.
    pub(crate) async fn negotiate(
        &self,
        cx: &ExecutionContext,
        demand: &str,
        terms: &Terms,
        ceiling: &Ceiling,
        providers: &Providers,
    ) -> Result<(String, Offer), ExecuteError> {
        let give_up = self.clock().uptime() + self.limits.offer_limit;
        let token = cx.token();
        let mut haul = Haul::default();
        loop {
            let now = self.clock().uptime();
            let end = haul.until.map_or(give_up, |until| until.min(give_up));
            if now >= end {
                return haul
                    .best
                    .map(|(_, proposal, offer)| (proposal, offer))
                    .ok_or_else(|| self.no_offer(haul.declined, &haul.last_why));
            }
            let hold = HOLD.min(end - now);
            let events = tokio::select! {
                biased;
                () = token.cancelled() => return Err(told_to_end()),
                events = self.client.collect(demand, hold) => events,
            };
            match events {
                Ok(events) => {
                    for proposal in events.into_iter().filter_map(|event| event.proposal) {
                        self.look_at(proposal, demand, terms, (ceiling, providers), &mut haul).await;
                    }
                }
                Err(error) if error.is_transient() => self.clock().sleep(PAUSE).await,
                Err(error) => return Err(error.into_execute_error()),
            }
        }
    }

    async fn look_at(
        &self,
        proposal: Proposal,
        demand: &str,
        terms: &Terms,
        (ceiling, providers): (&Ceiling, &Providers),
        haul: &mut Haul,
    ) {
        let read = offer::read(&proposal, ceiling, providers);
        let scored = read.and_then(|offer| {
            let score = self.scoring.score(&offer).filter(|score| !score.is_nan());
            score.map(|score| (score, offer)).ok_or_else(|| "the scoring declines it".to_owned())
        });
        let id = &proposal.proposal_id;
        // What becomes of an answer shows in what comes of it; a provider that is gone is no loss.
        let told = match (scored, &*proposal.state) {
            (Err(why), _) => {
                haul.declined += 1;
                haul.last_why.clone_from(&why);
                self.client.decline(demand, id, &why).await
            }
            (Ok(_), "Initial") => self.client.counter(demand, id, terms).await.map(drop),
            (Ok((score, offer)), "Draft") => {
                let until = self.clock().uptime() + self.limits.offer_window;
                haul.until.get_or_insert(until);
                if haul.best.as_ref().is_none_or(|(best, ..)| score > *best) {
                    haul.best = Some((score, id.clone(), offer));
                }
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(error) = told {
            let error: CallError = error;
            tracing::debug!(%error, proposal = %id, "a proposal is not answered");
        }
    }

    fn no_offer(&self, declined: usize, last_why: &str) -> ExecuteError {
        let within = self.limits.offer_limit.as_secs_f32();
        let message = if declined == 0 {
            format!("no provider's offer fits the demand within {within} s; check subnet and runtime")
        } else {
            format!(
                "no offer within {within} s that keeps to the limits; {declined} declined, the last as {last_why}"
            )
        };
        ExecuteError::new(FailureKind::Provider, message).retryable()
    }
}
