//! Bills: accepted within the budget, and settled also when they come late.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use beacon_jobs::executor::ExecuteError;
use beacon_jobs::job::FailureKind;
use serde::Serialize;
use time::OffsetDateTime;
use tokio::sync::oneshot;

use crate::client::{Agreement, Document, Kind};
use crate::convert::ALLOCATION;
use crate::deal::{Deal, same_microsecond};
use crate::error::CallError;
use crate::executor::Inner;

/// How long is waited for the daemon to tell a provider that an agreement has ended.
const TERMINATE_LIMIT: Duration = Duration::from_secs(5);
/// Bills are looked for from a little before the deal was made: clocks differ.
const BEFORE: Duration = Duration::from_secs(600);

/// What an execution cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Cost {
    /// In GLM.
    amount: String,
    platform: String,
    state: Settled,
    #[serde(skip_serializing_if = "Option::is_none")]
    invoice: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Settled {
    Accepted,
    /// It has not come yet.
    Open,
    /// It asks for more than the budget.
    Refused,
}

/// What a process needs to know to settle a deal.
#[derive(Clone, Debug)]
struct Tail {
    agreement: String,
    allocation: String,
    since: OffsetDateTime,
    budget: rust_decimal::Decimal,
    platform: String,
}

impl Tail {
    fn of(deal: &Deal, agreement: &str, allocation: &str) -> Self {
        Self {
            agreement: agreement.to_owned(),
            allocation: allocation.to_owned(),
            since: deal.made_at - BEFORE,
            budget: deal.budget,
            platform: deal.platform.clone(),
        }
    }

    fn cost(&self, bill: Option<&Document>, state: Settled) -> Cost {
        Cost {
            amount: bill.map_or_else(|| "0".to_owned(), |bill| bill.amount.to_string()),
            platform: self.platform.clone(),
            state,
            invoice: bill.map(|bill| bill.id.clone()),
        }
    }
}

/// What may be left at the daemon of a deal that is over.
#[derive(Debug)]
pub(crate) enum Leftover {
    Allocation(String),
    /// The allocation of a deal for which nothing is owed.
    Unused(Deal),
    Demand(Deal),
}

impl Inner {
    /// Accepts debit notes as they come, until one asks for more than the budget. While nobody does,
    /// the provider ends the work by itself.
    pub(crate) async fn accept_notes(&self, deal: &Deal, agreement: &str) -> ExecuteError {
        let Some(allocation) = &deal.allocation else { return std::future::pending().await };
        loop {
            self.clock().sleep(self.limits.poll).await;
            let notes = self.client.bills(Kind::DebitNote, agreement, deal.made_at - BEFORE).await;
            let notes = notes.unwrap_or_else(|error| {
                tracing::debug!(%error, agreement, "no debit notes are read");
                Vec::new()
            });
            let open = notes.into_iter().filter(Document::is_open);
            // Each is of all so far, and stands for those before it.
            let Some(note) = open.max_by_key(|note| note.amount) else { continue };
            if note.amount > deal.budget {
                let message = format!(
                    "the budget of {} GLM is used up: the provider asks for {}",
                    deal.budget, note.amount
                );
                return ExecuteError::new(FailureKind::Provider, message);
            }
            if let Err(error) = self.client.accept(Kind::DebitNote, &note, allocation).await {
                tracing::warn!(%error, agreement, "a debit note is not accepted");
            }
        }
    }

    /// Ends the agreement of work that is done, and waits a while for its invoice.
    pub(crate) async fn settle_soon(self: &Arc<Self>, deal: &Deal, agreement: &str) -> Option<Cost> {
        let tail = Tail::of(deal, agreement, deal.allocation.as_deref()?);
        let limit = self.limits.invoice_limit;
        let cost = self.settle(&tail, limit).await;
        if cost.is_none() {
            tracing::info!(agreement, "the invoice has not come yet");
        }
        if cost.is_none() || self.client.release(&tail.allocation).await.is_err() {
            self.keep(tail.clone());
        }
        Some(cost.unwrap_or_else(|| tail.cost(None, Settled::Open)))
    }

    /// Ends the agreement where it has not ended, and waits for its invoice.
    async fn settle(self: &Arc<Self>, tail: &Tail, limit: Duration) -> Option<Cost> {
        let give_up = self.clock().uptime() + limit;
        let mut has_ended = false;
        loop {
            if !has_ended {
                let ended = self.end_agreement(&tail.agreement, "the work is over").await;
                // 410 where it has ended before, and 409 where the provider has never heard of it.
                has_ended = ended.is_ok() || self.has_ended(&tail.agreement).await;
            }
            match self.look_for_invoice(tail).await {
                Ok(Some(cost)) => return Some(cost),
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, agreement = tail.agreement, "the bill is not settled"),
            }
            let now = self.clock().uptime();
            if now >= give_up {
                return None;
            }
            self.clock().sleep(self.limits.poll.min(give_up - now)).await;
        }
    }

    /// Ends an approved agreement. The daemon tells the provider, which may take any time, and writes it down only then: where
    /// nobody waits for that any more it never does, and cannot end the agreement again. So a request
    /// whose answer does not come now goes on, for as long as the provider may work without us.
    pub(crate) async fn end_agreement(
        self: &Arc<Self>,
        agreement: &str,
        why: &'static str,
    ) -> Result<(), CallError> {
        let (tell, told) = oneshot::channel();
        let (inner, id) = (Arc::clone(self), agreement.to_owned());
        let limit = self.limits.note_interval + self.limits.accept_timeout;
        self.in_background(format!("the end of {agreement}"), async move {
            let answer = inner.client.terminate(&id, why, limit.max(TERMINATE_LIMIT)).await;
            // Who asked may have gone on.
            let _ = tell.send(answer);
        });
        tokio::select! {
            biased;
            // It is not told where an earlier request is still under way.
            told = told => told.unwrap_or_else(|_| Err(CallError::late("TerminateAgreement"))),
            () = self.clock().sleep(TERMINATE_LIMIT) => Err(CallError::late("TerminateAgreement")),
        }
    }

    async fn has_ended(&self, agreement: &str) -> bool {
        let state = self.client.agreement(agreement).await.map(|it| it.state);
        state.is_ok_and(|state| is_over(&state))
    }

    async fn look_for_invoice(&self, tail: &Tail) -> Result<Option<Cost>, CallError> {
        let invoices = self.client.bills(Kind::Invoice, &tail.agreement, tail.since).await?;
        if let Some(accepted) = invoices.iter().find(|invoice| invoice.is_accepted()) {
            return Ok(Some(tail.cost(Some(accepted), Settled::Accepted)));
        }
        let Some(invoice) = invoices.iter().find(|invoice| invoice.is_open()) else { return Ok(None) };
        if invoice.amount > tail.budget {
            tracing::warn!(
                agreement = tail.agreement,
                amount = %invoice.amount,
                budget = %tail.budget,
                "the invoice asks for more than the budget, and is not accepted"
            );
            return Ok(Some(tail.cost(Some(invoice), Settled::Refused)));
        }
        self.client.accept(Kind::Invoice, invoice, &tail.allocation).await?;
        Ok(Some(tail.cost(Some(invoice), Settled::Accepted)))
    }

    /// Settles a deal in the background, and gives the rest of the money back.
    fn keep(self: &Arc<Self>, tail: Tail) {
        let inner = Arc::clone(self);
        self.in_background(tail.agreement.clone(), async move {
            if inner.settle(&tail, inner.limits.settle_limit).await.is_none() {
                tracing::warn!(agreement = tail.agreement, "no invoice came; the money is given back");
            }
            inner.surely(&Leftover::Allocation(tail.allocation)).await;
        });
    }

    /// Does what is left to do, once in this process for each name.
    fn in_background(self: &Arc<Self>, name: String, settling: impl Future<Output = ()> + Send + 'static) {
        if !self.tails.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone()) {
            return;
        }
        let inner = Arc::clone(self);
        tokio::spawn(async move {
            settling.await;
            inner.tails.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
        });
    }

    /// Tries until it is cleared; the daemon itself does it when its time is up.
    async fn surely(&self, leftover: &Leftover) {
        let give_up = self.clock().uptime() + self.limits.settle_limit;
        while let Err(error) = self.clear(leftover).await {
            tracing::debug!(%error, ?leftover, "it is not cleared yet");
            if self.clock().uptime() >= give_up {
                return;
            }
            self.clock().sleep(self.limits.poll).await;
        }
    }

    async fn clear(&self, leftover: &Leftover) -> Result<(), CallError> {
        match leftover {
            Leftover::Allocation(id) => self.client.release(id).await,
            Leftover::Unused(deal) => self.release_unused(deal).await,
            Leftover::Demand(deal) => self.withdraw_demand(deal).await,
        }
    }

    /// Clears what a stop has left: now, or in the background where the daemon does not do it now. It runs
    /// nothing, and holds up no stop.
    pub(crate) async fn clear_now_or_later(
        self: &Arc<Self>,
        name: String,
        leftover: Leftover,
    ) -> Result<(), CallError> {
        let cleared = self.clear(&leftover).await;
        if let Err(error) = &cleared {
            tracing::warn!(%error, name, "it is tried again in the background");
            let inner = Arc::clone(self);
            self.in_background(name, async move { inner.surely(&leftover).await });
        }
        cleared
    }

    /// Settles what has been stopped, in the background.
    pub(crate) fn settle_later(self: &Arc<Self>, deal: &Deal, agreement: &Agreement) {
        let known = deal.allocation.as_deref().or_else(|| allocation_of(agreement));
        if let Some(allocation) = known {
            self.keep(Tail::of(deal, &agreement.agreement_id, allocation));
        }
    }

    /// Gives back the money of a deal for which nothing is owed.
    async fn release_unused(&self, deal: &Deal) -> Result<(), CallError> {
        let allocations = match &deal.allocation {
            Some(allocation) => vec![allocation.clone()],
            None => {
                let ours = |ends: Option<OffsetDateTime>| {
                    ends.is_some_and(|ends| same_microsecond(ends, deal.allocation_ends_at))
                };
                let all = self.client.allocations().await?;
                let found = all.into_iter().filter(|it| ours(it.timeout) && it.total_amount == deal.budget);
                found.map(|it| it.allocation_id).collect()
            }
        };
        for allocation in allocations {
            self.client.release(&allocation).await?;
        }
        Ok(())
    }

    /// Finds the money that is aside for agreements which are over, and settles them.
    pub(crate) async fn open_payments(self: &Arc<Self>) -> Result<usize, CallError> {
        let allocations = self.client.allocations().await?;
        let Some(oldest) = allocations.iter().map(|it| it.timestamp).min() else { return Ok(0) };
        let after = crate::client::rfc3339(oldest - BEFORE);
        let mut found = 0;
        for id in self.client.agreements("afterDate", &after).await? {
            let agreement = self.client.agreement(&id).await?;
            let Some(allocation) = allocation_of(&agreement) else { continue };
            let Some(allocation) = allocations.iter().find(|it| it.allocation_id == allocation) else {
                continue;
            };
            if !is_over(&agreement.state) {
                continue;
            }
            found += 1;
            if owes_nothing(&agreement.state) {
                self.client.release(&allocation.allocation_id).await?;
                continue;
            }
            let platform = agreement.demand.properties.get("golem.com.payment.chosen-platform");
            self.keep(Tail {
                agreement: id,
                allocation: allocation.allocation_id.clone(),
                since: allocation.timestamp - BEFORE,
                budget: allocation.total_amount,
                platform: platform.and_then(|it| it.as_str()).unwrap_or_default().to_owned(),
            });
        }
        Ok(found)
    }
}

fn allocation_of(agreement: &Agreement) -> Option<&str> {
    agreement.demand.properties.get(ALLOCATION).and_then(|it| it.as_str())
}

/// Whether the provider never agreed.
pub(crate) fn owes_nothing(state: &str) -> bool {
    matches!(state, "Cancelled" | "Rejected")
}

pub(crate) fn is_over(state: &str) -> bool {
    matches!(state, "Terminated" | "Cancelled" | "Rejected" | "Expired")
}
