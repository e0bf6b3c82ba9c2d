//! The market: demands find offers, proposals become agreements.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::service::{Answer, Asked, error, ok};
use super::state::{Agreement, Demand, Proposal, State};
use super::{Approval, Shared};

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

impl Shared {
    pub(super) fn market(self: &Arc<Self>, call: &str, asked: &Asked) -> Answer {
        let id = asked.id(3);
        let mut state = self.state();
        match call {
            "Subscribe" => {
                let demand = state.name("demand");
                let properties = object(&asked.body["properties"]);
                let constraints = asked.body["constraints"].as_str().unwrap_or_default().to_owned();
                state.demands.insert(demand.clone(), Demand { properties, constraints, events: Vec::new() });
                state.find_offers(&demand);
                (201, json!(demand))
            }
            "ListDemands" => {
                let row = |(id, it): (&String, &Demand)| {
                    let Demand { properties, constraints, .. } = it;
                    json!({ "demandId": id, "properties": properties, "constraints": constraints })
                };
                ok(state.demands.iter().map(row).collect())
            }
            "Unsubscribe" => match state.demands.remove(id) {
                Some(_) => (204, Value::Null),
                None => error(404, format!("Subscription [{id}] wasn't found.")),
            },
            "Counter" => state.counter(id, asked.id(5), &asked.body),
            "Decline" => (204, Value::Null),
            "CreateAgreement" => {
                let now = self.now();
                state.create_agreement(&asked.body, now)
            }
            "ListAgreements" => {
                let session = asked.query("appSessionId");
                let fits = |it: &&Agreement| session.is_none() || it.session.as_deref() == session;
                let row = |(id, it): (&String, &Agreement)| {
                    let made_at = crate::client::rfc3339(it.made_at);
                    json!({ "id": id, "timestamp": made_at, "approvedDate": null, "role": "Requestor" })
                };
                ok(state.agreements.iter().filter(|(_, it)| fits(it)).map(row).collect())
            }
            "GetAgreement" => match state.agreements.get(id) {
                Some(it) => ok(json!({
                    "agreementId": id, "state": it.state,
                    "demand": { "properties": it.demand, "constraints": "()" },
                    "offer": { "properties": it.offer, "providerId": it.provider },
                })),
                None => error(404, format!("Agreement [{id}] not found.")),
            },
            "ConfirmAgreement" => {
                let answer = state.confirm(id, asked.query("appSessionId"));
                let (approval, after) = (state.behaviour.approval, state.behaviour.approve_after);
                if answer.0 == 204 && approval != Approval::Never {
                    let id = id.to_owned();
                    drop(state);
                    self.after(after, move |shared| shared.decide(&id, approval));
                }
                answer
            }
            _ => match state.agreements.get_mut(id) {
                Some(it) if it.state == "Pending" => {
                    it.state = "Cancelled";
                    ok(Value::Null)
                }
                Some(it) => {
                    let now = it.state;
                    error(410, format!("Can't update Agreement state from {now} to Cancelled"))
                }
                None => error(404, format!("Agreement [{id}] not found.")),
            },
        }
    }

    /// The provider answers to an agreement, unless it was taken back.
    fn decide(self: &Arc<Self>, id: &str, approval: Approval) {
        let mut state = self.state();
        if state.behaviour.frozen {
            return;
        }
        if let Some(agreement) = state.agreements.get_mut(id).filter(|it| it.state == "Pending") {
            agreement.state = if approval == Approval::Yes { "Approved" } else { "Rejected" };
        }
        drop(state);
        self.changed.notify_waiters();
    }

    pub(super) async fn collect(&self, asked: &Asked) -> Answer {
        let id = asked.id(3).to_owned();
        let events = self.wait(asked.hold(), |state| match state.demands.get_mut(&id) {
            None => Some(None),
            Some(demand) if demand.events.is_empty() => None,
            Some(demand) => Some(Some(std::mem::take(&mut demand.events))),
        });
        match events.await {
            Some(None) => error(404, format!("Subscription [{id}] wasn't found.")),
            Some(Some(events)) => ok(Value::Array(events)),
            None => ok(json!([])),
        }
    }

    pub(super) async fn wait_for_approval(&self, asked: &Asked) -> Answer {
        let id = asked.id(3).to_owned();
        let decided = self.wait(asked.hold(), |state| {
            Some(state.agreements.get(&id).map(|it| it.state)).filter(|state| *state != Some("Pending"))
        });
        match decided.await {
            None => error(408, "Timeout while waiting for Agreement approval"),
            Some(Some("Approved")) => (204, Value::Null),
            Some(Some("Proposal")) => error(400, format!("Agreement [{id}] should be confirmed first")),
            Some(Some(state)) => error(410, state),
            Some(None) => error(404, format!("Agreement [{id}] not found.")),
        }
    }

    pub(super) async fn terminate(self: &Arc<Self>, asked: &Asked) -> Answer {
        let id = asked.id(3).to_owned();
        let refused = {
            let state = self.state();
            let is_told = state.agreements.get(&id).is_some_and(|it| it.told);
            match state.agreements.get(&id).map(|it| it.state) {
                None => Some(error(404, format!("Agreement [{id}] not found."))),
                // The provider takes it for over, and the daemon can do nothing about that.
                Some("Approved") if is_told => {
                    let why = "Protocol error while terminating: Remote Terminate: Can't finish operation on Agreement";
                    Some(error(500, format!("{why} [P-{id}] due to internal error.")))
                }
                Some("Approved") => None,
                Some("Proposal") => Some(error(409, "Can't terminate Agreement in state Proposal")),
                Some(now) => {
                    Some(error(410, format!("Can't update Agreement state from {now} to Terminated")))
                }
            }
        };
        if let Some(refused) = refused {
            return refused;
        }
        // The daemon waits for the provider without a limit. What it has sent arrives, also when nobody waits for
        // the answer any more; then it is not written down here.
        let (shared, told) = (Arc::clone(self), id.clone());
        let arrives = tokio::spawn(async move {
            shared.once(|state| (!state.behaviour.frozen).then_some(())).await;
            shared.end_at_provider(&told);
        });
        if let Err(panic) = arrives.await {
            return error(500, panic.to_string());
        }
        if let Some(agreement) = self.state().agreements.get_mut(&id) {
            agreement.state = "Terminated";
        }
        ok(Value::Null)
    }
}

/// Whether an offer has what is demanded of the properties that all offers have here.
fn fits(properties: &Map<String, Value>, constraints: &str) -> bool {
    let terms = constraints.split(['(', ')']).filter_map(|term| term.split_once('='));
    let differs = |(name, value): (&str, &str)| {
        properties.get(name).and_then(Value::as_str).is_some_and(|offered| offered != value && value != "*")
    };
    !terms.into_iter().any(differs)
}

impl State {
    /// Puts what the market has to offer before a demand.
    fn find_offers(&mut self, demand: &str) {
        for offered in self.behaviour.offers.clone() {
            let properties = object(&json!({
                "golem.node.id.name": offered.name,
                "golem.node.debug.subnet": "public",
                "golem.runtime.name": "vm",
                "golem.com.pricing.model": "linear",
                "golem.com.pricing.model.linear.coeffs": offered.price,
                "golem.com.usage.vector": ["golem.usage.cpu_sec", "golem.usage.duration_sec"],
            }));
            let demanded = self.demands.get(demand).map(|it| &*it.constraints).unwrap_or_default();
            if !fits(&properties, demanded) {
                continue;
            }
            let proposal = Proposal {
                demand: demand.to_owned(),
                provider: offered.provider,
                properties,
                is_draft: false,
                countered: false,
                terms: Map::new(),
            };
            self.propose(proposal, None);
        }
    }

    fn propose(&mut self, proposal: Proposal, answers: Option<&str>) {
        let id = self.name("R");
        let event = json!({
            "eventType": "ProposalEvent",
            "eventDate": "2026-01-01T00:00:00Z",
            "proposal": {
                "proposalId": id, "issuerId": proposal.provider, "prevProposalId": answers,
                "state": if proposal.is_draft { "Draft" } else { "Initial" },
                "properties": proposal.properties, "constraints": "()",
            },
        });
        if let Some(demand) = self.demands.get_mut(&proposal.demand) {
            demand.events.push(event);
        }
        self.proposals.insert(id, proposal);
    }

    fn counter(&mut self, demand: &str, proposal: &str, terms: &Value) -> Answer {
        if !self.demands.contains_key(demand) {
            return error(404, format!("Subscription [{demand}] wasn't found."));
        }
        let Some(countered) = self.proposals.get_mut(proposal) else {
            return error(404, format!("Proposal [{proposal}] not found."));
        };
        if std::mem::replace(&mut countered.countered, true) {
            return error(410, format!("Proposal [{proposal}] was already countered"));
        }
        let mut draft = countered.clone();
        let id = self.name("R");
        let answers = self.behaviour.offers.iter().any(|it| it.provider == draft.provider && it.answers)
            && !self.behaviour.frozen;
        if answers {
            draft.is_draft = true;
            draft.countered = false;
            draft.terms = object(&terms["properties"]);
            self.propose(draft, Some(&id));
        }
        ok(json!(id))
    }

    fn create_agreement(&mut self, body: &Value, now: time::OffsetDateTime) -> Answer {
        let id = body["proposalId"].as_str().unwrap_or_default();
        let Some(proposal) = self.proposals.get(id).cloned() else {
            return error(404, format!("Proposal [{id}] not found."));
        };
        if !proposal.is_draft {
            return error(400, format!("Proposal [{id}] was never countered by the provider"));
        }
        let order = self.number();
        let agreement = format!("{order:064x}");
        let made = Agreement {
            state: "Proposal",
            told: false,
            session: None,
            provider: proposal.provider,
            offer: proposal.properties,
            demand: proposal.terms,
            made_at: now,
            order,
        };
        self.agreements.insert(agreement.clone(), made);
        ok(json!(agreement))
    }

    fn confirm(&mut self, id: &str, session: Option<&str>) -> Answer {
        match self.agreements.get_mut(id) {
            None => error(404, format!("Agreement [{id}] not found.")),
            Some(it) if it.state == "Proposal" => {
                it.state = "Pending";
                it.session = session.map(str::to_owned);
                (204, Value::Null)
            }
            Some(it) => error(410, format!("Can't update Agreement state from {} to Pending", it.state)),
        }
    }
}
