//! Ending a deal: the ladder of evidence. Every step may be repeated, by any process.

use std::sync::Arc;
use std::time::Duration;

use beacon_jobs::stop::{StopError, StopRequest, StopStatus};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::client::{Agreement, rfc3339};
use crate::convert::SESSION;
use crate::deal::{Deal, Phase};
use crate::error::CallError;
use crate::executor::Inner;
use crate::pay::{Leftover, is_over, owes_nothing};

/// How soon an open stop is looked at again, and how late at most.
const ASK_AGAIN: Duration = Duration::from_millis(500);
const ASK_LATE: Duration = Duration::from_secs(5);
/// How soon where this node can do no more.
const ASK_CAPPED: Duration = Duration::from_secs(60);
/// How long after the time at which its timers are due a provider is given to act on them.
const TIMER_MARGIN: Duration = Duration::from_secs(60);
const WHY: &str = "cancelled by the requestor";

/// What is known of the end of a deal: the evidence of its stop. What it says of the provider comes from this
/// very call; what was said before a seal is no evidence.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Evidence {
    level: Level,
    /// Whose word it is. Nothing on Golem proves that a machine has stopped.
    attested_by: String,
    session: String,
    /// When this stop was first asked for, by this node's clock.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    asked_at: Option<OffsetDateTime>,
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    answered_at: Option<OffsetDateTime>,
    /// When the provider's own timers end the work at the latest.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    ends_by: Option<OffsetDateTime>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    agreements: Vec<AgreementSeen>,
    /// What the daemon or the provider would not do or tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    withheld: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct AgreementSeen {
    id: String,
    state: String,
    activities: Vec<ActivitySeen>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct ActivitySeen {
    id: String,
    /// The provider has said that it ended.
    destroyed: bool,
    /// What it had used when it was told to end, by the agreement's counters.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    usage: Value,
}

/// The rungs of the ladder, from the lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    /// It was asked for.
    #[default]
    Requested,
    /// The agreement is terminated. Its provider has heard so; whether an activity has ended is not known.
    Agreement,
    /// Every activity has ended, the provider says.
    Activity,
    /// No activity was ever asked for.
    NeverBegan,
}

impl Evidence {
    fn withhold(&mut self, error: &CallError) {
        self.withheld.push(error.to_string());
    }

    fn json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_else(|error| json!({ "unreadable": error.to_string() }))
    }
}

impl Inner {
    /// Tells the daemon and the provider to end a deal, and looks how far they have come.
    pub(crate) async fn climb(
        self: &Arc<Self>,
        deal: Deal,
        request: &StopRequest,
    ) -> Result<StopStatus, StopError> {
        if let Some(why) = self.elsewhere(&deal).await? {
            return Ok(StopStatus::Unconfirmable { why, evidence: None, ask_again: Some(ASK_CAPPED) });
        }
        let known: Option<Evidence> = request.evidence.as_ref().and_then(|it| Evidence::deserialize(it).ok());
        let now = self.clock().now();
        // A call that brings no answer leaves no evidence; since when it is over the request tells.
        let asked_at = known.and_then(|known| known.asked_at).unwrap_or(now - request.overdue);
        let mut evidence = Evidence {
            attested_by: "provider".to_owned(),
            session: deal.session.clone(),
            asked_at: Some(asked_at),
            // Only a sealed attempt has nobody who still accepts debit notes.
            ends_by: Some(if request.sealed { deal.ends_unpaid(asked_at) } else { deal.expires_at }),
            ..Evidence::default()
        };
        let name = format!("the demand of {}", deal.session);
        if let Err(error) = self.clear_now_or_later(name, Leftover::Demand(deal.clone())).await {
            evidence.withhold(&error);
        }
        let agreements = match &deal.agreement {
            Some(agreement) => vec![agreement.clone()],
            None => self.client.agreements("appSessionId", &deal.session).await?,
        };
        let mut level = Level::NeverBegan;
        let mut owes = false;
        for id in agreements {
            let mut agreement = match self.client.agreement(&id).await {
                Ok(agreement) => agreement,
                Err(error) if error.status() == Some(404) => {
                    let why = format!("the daemon does not know the agreement {id}: {error}");
                    return Ok(StopStatus::Unconfirmable {
                        why,
                        evidence: None,
                        ask_again: Some(ASK_CAPPED),
                    });
                }
                Err(error) => return Err(error.into()),
            };
            self.take_back(&mut agreement).await?;
            let reached = self.end(&deal, &mut agreement, &mut evidence).await;
            level = level.min(reached);
            if !owes_nothing(&agreement.state) && agreement.state != "Proposal" {
                owes = true;
                if reached > Level::Requested {
                    self.settle_later(&deal, &agreement);
                }
            }
        }
        // Before the seal an agreement may arrive that owes, and the next call looks again.
        if !owes && request.sealed {
            let name = format!("the money of {}", deal.session);
            self.clear_now_or_later(name, Leftover::Unused(deal.clone())).await.ok();
        }
        evidence.level = level;
        evidence.answered_at = Some(self.clock().now());
        self.status(&evidence, request)
    }

    fn status(&self, evidence: &Evidence, request: &StopRequest) -> Result<StopStatus, StopError> {
        if evidence.level >= Level::Activity {
            return Ok(StopStatus::Confirmed { evidence: evidence.json() });
        }
        let ends_by = evidence.ends_by.unwrap_or_else(|| self.clock().now());
        let is_past = self.clock().now() > ends_by + TIMER_MARGIN;
        let withheld = evidence.withheld.join("; ");
        let timers = format!("its own timers end the work by {}", rfc3339(ends_by));
        if evidence.level == Level::Agreement {
            if is_past {
                let why = format!(
                    "the provider was told that the agreement is over, and has not shown the end of its \
                     activity; {timers}, which is past"
                );
                let evidence = Some(evidence.json());
                return Ok(StopStatus::Unconfirmable { why, evidence, ask_again: None });
            }
            let ask_again = (request.overdue / 8).clamp(ASK_AGAIN, ASK_LATE);
            return Ok(StopStatus::Acknowledged { evidence: evidence.json(), ask_again });
        }
        let why = format!("the provider has not shown the end: {withheld}; {timers}");
        if is_past {
            return Ok(StopStatus::Unconfirmable {
                why: format!("{why}, which is past"),
                evidence: Some(evidence.json()),
                ask_again: Some(ASK_CAPPED),
            });
        }
        Err(StopError::new(why))
    }

    /// Ends the demand, so that nothing more comes of it.
    pub(crate) async fn withdraw_demand(&self, deal: &Deal) -> Result<(), CallError> {
        let demands = match &deal.demand {
            Some(demand) => vec![demand.clone()],
            None => self.client.demands_with(SESSION, &deal.session).await?,
        };
        for demand in demands {
            self.client.unsubscribe(&demand).await?;
        }
        Ok(())
    }

    /// Takes back an agreement that the provider has not approved. It may approve meanwhile.
    async fn take_back(&self, agreement: &mut Agreement) -> Result<(), CallError> {
        if agreement.state != "Pending" {
            return Ok(());
        }
        match self.client.cancel_agreement(&agreement.agreement_id, WHY).await {
            Ok(()) => agreement.state = "Cancelled".to_owned(),
            Err(error) if matches!(error.status(), Some(409 | 410)) => {
                agreement.state = self.client.agreement(&agreement.agreement_id).await?.state;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Destroys the activities of an agreement, terminates it, and tells how much of that is shown.
    async fn end(self: &Arc<Self>, deal: &Deal, agreement: &mut Agreement, evidence: &mut Evidence) -> Level {
        let id = agreement.agreement_id.clone();
        // What no provider has approved has no activity.
        if owes_nothing(&agreement.state) || agreement.state == "Proposal" {
            let seen = AgreementSeen { id, state: agreement.state.clone(), activities: Vec::new() };
            evidence.agreements.push(seen);
            return Level::NeverBegan;
        }
        let mut activities: Vec<String> = deal.activity.iter().cloned().collect();
        let listed = self.client.activities(&id).await;
        let is_listed = listed.is_ok();
        match listed {
            Ok(listed) => {
                activities.extend(listed.into_iter().filter(|it| deal.activity.as_ref() != Some(it)))
            }
            Err(error) => evidence.withhold(&error),
        }
        let mut seen = Vec::new();
        for activity in activities {
            // Of what has ended the daemon tells what it was told before, which may be nothing.
            let usage = self.client.usage(&activity);
            let (usage, destroyed) = tokio::join!(usage, self.destroy(&activity, evidence));
            let usage = usage.map(|mut usage| usage["currentUsage"].take()).unwrap_or_default();
            seen.push(ActivitySeen { id: activity, destroyed, usage });
        }
        let is_terminated = self.terminate(agreement, evidence).await;
        let all_destroyed = seen.iter().all(|it| it.destroyed);
        let may_hide =
            seen.is_empty() && !(is_listed && deal.agreement.is_some() && deal.phase == Phase::Agreed);
        let level = match (all_destroyed && !may_hide, is_terminated) {
            (true, _) if seen.is_empty() => Level::NeverBegan,
            (true, _) => Level::Activity,
            (false, true) => Level::Agreement,
            (false, false) => Level::Requested,
        };
        evidence.agreements.push(AgreementSeen { id, state: agreement.state.clone(), activities: seen });
        level
    }

    /// Whether the provider says that the activity has ended: its answer to a destroy, or its final state.
    async fn destroy(&self, activity: &str, evidence: &mut Evidence) -> bool {
        let Err(error) = self.client.destroy(activity, self.limits.destroy_limit).await else { return true };
        evidence.withhold(&error);
        match self.client.state(activity).await {
            Ok(state) if state.is_over() => true,
            Ok(state) => {
                evidence.withheld.push(format!("the activity {activity} is {}", state.pair()));
                false
            }
            Err(error) => {
                evidence.withhold(&error);
                false
            }
        }
    }

    async fn terminate(self: &Arc<Self>, agreement: &mut Agreement, evidence: &mut Evidence) -> bool {
        if is_over(&agreement.state) {
            return true;
        }
        let id = &agreement.agreement_id;
        if let Err(error) = self.end_agreement(id, WHY).await {
            // Another may have ended it meanwhile.
            match self.client.agreement(id).await {
                Ok(now) => agreement.state = now.state,
                Err(second) => evidence.withhold(&second),
            }
            if !is_over(&agreement.state) {
                evidence.withhold(&error);
                return false;
            }
            return true;
        }
        agreement.state = "Terminated".to_owned();
        true
    }
}
