//! Allocations, debit notes and invoices.

use std::time::Duration;

use reqwest::Method;
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{Call, Client, checked_id, rfc3339};
use crate::convert;
use crate::error::CallError;

const P: &str = "payment-api";

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Allocation {
    pub(crate) allocation_id: String,
    #[serde(deserialize_with = "amount")]
    pub(crate) total_amount: Decimal,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) timestamp: OffsetDateTime,
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub(crate) timeout: Option<OffsetDateTime>,
}

/// What goes into a demand that an allocation is to pay for.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Decorations {
    pub(crate) properties: Vec<Decoration>,
    pub(crate) constraints: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Decoration {
    pub(crate) key: String,
    pub(crate) value: Value,
}

/// The two kinds of bills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    DebitNote,
    Invoice,
}

/// A debit note or an invoice. Its amount is of all that the agreement has cost so far.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document {
    #[serde(alias = "debitNoteId", alias = "invoiceId")]
    pub(crate) id: String,
    #[serde(alias = "totalAmountDue", deserialize_with = "amount")]
    pub(crate) amount: Decimal,
    pub(crate) status: String,
}

impl Document {
    pub(crate) fn is_accepted(&self) -> bool {
        matches!(&*self.status, "ACCEPTED" | "SETTLED")
    }

    /// Whether it is still to be accepted.
    pub(crate) fn is_open(&self) -> bool {
        matches!(&*self.status, "RECEIVED" | "FAILED")
    }
}

fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    let value = Value::deserialize(deserializer)?;
    convert::amount(&value).map_err(serde::de::Error::custom)
}

impl Client {
    /// Puts money aside. It is given back at `timeout` by itself.
    pub(crate) async fn allocate(
        &self,
        total: Decimal,
        platform: &str,
        timeout: OffsetDateTime,
        limit: Duration,
    ) -> Result<String, CallError> {
        const NAME: &str = "CreateAllocation";
        let body = json!({
            "totalAmount": total.to_string(),
            "paymentPlatform": platform,
            "timeout": rfc3339(timeout),
            "makeDeposit": false,
        });
        let call = Call::new(NAME, Method::POST, &[P, "v1", "allocations"]).body(body).limit(limit);
        let made: Allocation = self.read(call).await?;
        checked_id(NAME, made.allocation_id)
    }

    pub(crate) async fn allocations(&self) -> Result<Vec<Allocation>, CallError> {
        self.read(Call::new("ListAllocations", Method::GET, &[P, "v1", "allocations"])).await
    }

    /// Gives the money back. What was given back before is as well.
    pub(crate) async fn release(&self, allocation: &str) -> Result<(), CallError> {
        let path = [P, "v1", "allocations", allocation];
        match self.tell(Call::new("ReleaseAllocation", Method::DELETE, &path)).await {
            Err(error) if matches!(error.status(), Some(404 | 410)) => Ok(()),
            done => done,
        }
    }

    pub(crate) async fn decorations(&self, allocation: &str) -> Result<Decorations, CallError> {
        let call = Call::new("Decorate", Method::GET, &[P, "v1", "demandDecorations"]);
        self.read(call.query("allocationIds", allocation)).await
    }

    /// The bills of an agreement, of those that came after a time.
    pub(crate) async fn bills(
        &self,
        kind: Kind,
        agreement: &str,
        after: OffsetDateTime,
    ) -> Result<Vec<Document>, CallError> {
        let (name, path) = match kind {
            Kind::DebitNote => ("ListDebitNotes", [P, "v1", "debitNotes"]),
            Kind::Invoice => ("ListInvoices", [P, "v1", "invoices"]),
        };
        let call = Call::new(name, Method::GET, &path).query("afterTimestamp", rfc3339(after));
        // One that cannot be read must not hide those that can: it may be of another program.
        let rows: Vec<Value> = self.read(call).await?;
        let mut bills = Vec::new();
        for row in rows.into_iter().filter(|row| row["agreementId"] == agreement) {
            match Document::deserialize(row) {
                Ok(bill) => bills.push(bill),
                Err(error) => tracing::warn!(%error, agreement, "a bill cannot be read, and is not paid"),
            }
        }
        Ok(bills)
    }

    /// Promises to pay what a bill says: yagna takes no other amount.
    pub(crate) async fn accept(
        &self,
        kind: Kind,
        bill: &Document,
        allocation: &str,
    ) -> Result<(), CallError> {
        let (name, documents) = match kind {
            Kind::DebitNote => ("AcceptDebitNote", "debitNotes"),
            Kind::Invoice => ("AcceptInvoice", "invoices"),
        };
        let path = [P, "v1", documents, &bill.id, "accept"];
        let body = json!({ "totalAmountAccepted": bill.amount.to_string(), "allocationId": allocation });
        self.tell(Call::new(name, Method::POST, &path).body(body).timeout(Duration::from_secs(5))).await
    }
}
