//! Demands, proposals and agreements.

use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Call, Client, checked_id, rfc3339};
use crate::error::{Answer, CallError};

const M: &str = "market-api";

/// What one side offers or demands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms {
    pub(crate) properties: Map<String, Value>,
    pub(crate) constraints: String,
}

impl Terms {
    fn json(&self) -> Value {
        json!({ "properties": self.properties, "constraints": self.constraints })
    }
}

/// What a provider proposes.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Proposal {
    pub(crate) proposal_id: String,
    pub(crate) issuer_id: String,
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) properties: Map<String, Value>,
}

/// What a demand brought. Other kinds of events have no proposal.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Event {
    #[serde(default)]
    pub(crate) proposal: Option<Proposal>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Side {
    pub(crate) properties: Map<String, Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Agreement {
    pub(crate) agreement_id: String,
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) demand: Side,
}

#[derive(Debug, Deserialize)]
struct Row {
    id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DemandRow {
    demand_id: String,
    #[serde(default)]
    properties: Map<String, Value>,
}

impl Client {
    pub(crate) async fn subscribe(&self, demand: &Terms, limit: Duration) -> Result<String, CallError> {
        let call = Call::new("Subscribe", Method::POST, &[M, "v1", "demands"]);
        self.read_id(call.body(demand.json()).limit(limit)).await
    }

    /// The own demands that carry this property with this value.
    pub(crate) async fn demands_with(&self, name: &str, value: &str) -> Result<Vec<String>, CallError> {
        let call = Call::new("ListDemands", Method::GET, &[M, "v1", "demands"]);
        let rows: Vec<DemandRow> = self.read(call).await?;
        let ours = |row: &DemandRow| row.properties.get(name).and_then(Value::as_str) == Some(value);
        Ok(rows.into_iter().filter(ours).map(|row| row.demand_id).collect())
    }

    /// Ends a demand. One that is not known any more has ended.
    pub(crate) async fn unsubscribe(&self, demand: &str) -> Result<(), CallError> {
        let path = [M, "v1", "demands", demand];
        match self.tell(Call::new("Unsubscribe", Method::DELETE, &path)).await {
            Err(error) if matches!(error.status(), Some(404 | 410)) => Ok(()),
            done => done,
        }
    }

    /// What has come since, and is taken by reading. The daemon holds the call for up to `hold`.
    pub(crate) async fn collect(&self, demand: &str, hold: Duration) -> Result<Vec<Event>, CallError> {
        let path = [M, "v1", "demands", demand, "events"];
        let call = Call::new("CollectProposals", Method::GET, &path).query("maxEvents", 50);
        self.read(call.timeout(hold)).await
    }

    pub(crate) async fn counter(
        &self,
        demand: &str,
        proposal: &str,
        terms: &Terms,
    ) -> Result<String, CallError> {
        let path = [M, "v1", "demands", demand, "proposals", proposal];
        self.read_id(Call::new("Counter", Method::POST, &path).body(terms.json())).await
    }

    pub(crate) async fn decline(&self, demand: &str, proposal: &str, why: &str) -> Result<(), CallError> {
        let path = [M, "v1", "demands", demand, "proposals", proposal, "reject"];
        self.tell(Call::new("Decline", Method::POST, &path).body(json!({ "message": why }))).await
    }

    /// Makes an agreement that the provider does not know of yet: it is inert.
    pub(crate) async fn create_agreement(
        &self,
        proposal: &str,
        valid_to: time::OffsetDateTime,
        limit: Duration,
    ) -> Result<String, CallError> {
        let body = json!({ "proposalId": proposal, "validTo": rfc3339(valid_to) });
        let call = Call::new("CreateAgreement", Method::POST, &[M, "v1", "agreements"]);
        self.read_id(call.body(body).limit(limit)).await
    }

    pub(crate) async fn confirm(&self, agreement: &str, session: &str) -> Result<(), CallError> {
        let path = [M, "v1", "agreements", agreement, "confirm"];
        let call = Call::new("ConfirmAgreement", Method::POST, &path);
        self.tell(call.query("appSessionId", session)).await
    }

    /// Waits for the provider's word; an error of status 408 says that there is none yet.
    pub(crate) async fn wait_for_approval(&self, agreement: &str, hold: Duration) -> Result<(), CallError> {
        let path = [M, "v1", "agreements", agreement, "wait"];
        self.tell(Call::new("WaitForApproval", Method::POST, &path).timeout(hold)).await
    }

    pub(crate) async fn agreement(&self, agreement: &str) -> Result<Agreement, CallError> {
        let path = [M, "v1", "agreements", agreement];
        let it: Agreement = self.read(Call::new("GetAgreement", Method::GET, &path)).await?;
        if it.agreement_id != agreement {
            let what = format!("it is about the agreement {:?}", it.agreement_id);
            return Err(CallError::new("GetAgreement", Answer::Unreadable, what));
        }
        Ok(it)
    }

    /// The agreements that were confirmed under a session id, or made after a time.
    pub(crate) async fn agreements(
        &self,
        filter: &'static str,
        value: &str,
    ) -> Result<Vec<String>, CallError> {
        const NAME: &str = "ListAgreements";
        let call = Call::new(NAME, Method::GET, &[M, "v1", "agreements"]).query(filter, value);
        let rows: Vec<Row> = self.read(call).await?;
        rows.into_iter().map(|row| checked_id(NAME, row.id)).collect()
    }

    /// Takes back an agreement that the provider has not approved. Only then.
    pub(crate) async fn cancel_agreement(&self, agreement: &str, why: &str) -> Result<(), CallError> {
        let path = [M, "v1", "agreements", agreement, "cancel"];
        self.tell(Call::new("CancelAgreement", Method::POST, &path).body(json!({ "message": why }))).await
    }

    /// Ends an approved agreement. The daemon itself waits for the provider without a limit.
    pub(crate) async fn terminate(
        &self,
        agreement: &str,
        why: &str,
        limit: Duration,
    ) -> Result<(), CallError> {
        let path = [M, "v1", "agreements", agreement, "terminate"];
        let reason = json!({ "message": why, "golem.requestor.code": "Cancelled" });
        self.tell(Call::new("TerminateAgreement", Method::POST, &path).body(reason).limit(limit)).await
    }
}
