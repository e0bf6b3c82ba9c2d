//! Allocations and bills.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use rust_decimal::prelude::FromPrimitive;
use serde_json::{Value, json};

use super::Shared;
use super::service::{Answer, Asked, error, ok};
use super::state::{Allocation, Bill, State};
use crate::convert::amount;

impl Shared {
    pub(super) fn payment(&self, call: &str, asked: &Asked) -> Answer {
        let id = asked.id(3);
        let mut state = self.state();
        match call {
            "CreateAllocation" => {
                let Ok(total) = amount(&asked.body["totalAmount"]) else {
                    return (400, json!("Json deserialize error: invalid totalAmount"));
                };
                let funds = Decimal::from_f64(state.behaviour.funds).unwrap_or_default();
                let held = state.allocations.values().filter(|it| !it.released).map(|it| it.total);
                let held: Decimal = held.sum();
                if held + total > funds {
                    let short = funds - held;
                    return (
                        400,
                        json!({
                            "type": "/insufficient-account-funds",
                            "title": "Insufficient account funds",
                            "detail": format!("Insufficient account funds. Requested: {total}, available: {short}"),
                        }),
                    );
                }
                let id = state.name("allocation");
                let made = Allocation {
                    total,
                    platform: asked.body["paymentPlatform"].as_str().unwrap_or_default().to_owned(),
                    timeout: asked.body["timeout"].clone(),
                    made_at: self.now(),
                    released: false,
                    spent: BTreeMap::new(),
                };
                let shown = made.json(&id);
                state.allocations.insert(id, made);
                (201, shown)
            }
            "ListAllocations" => {
                let open = state.allocations.iter().filter(|(_, it)| !it.released);
                ok(open.map(|(id, it)| it.json(id)).collect())
            }
            "ReleaseAllocation" => match state.allocations.get_mut(id) {
                None => error(404, "Not found"),
                Some(it) if it.released => error(410, format!("Allocation {id} has been already released")),
                Some(it) => {
                    it.released = true;
                    ok(Value::Null)
                }
            },
            "Decorate" => {
                let id = asked.query("allocationIds").unwrap_or_default();
                let Some(it) = state.allocations.get(id) else {
                    return error(404, format!("Allocation {id} not found"));
                };
                let address = format!("golem.com.payment.platform.{}.address", it.platform);
                ok(json!({
                    "properties": [{ "key": address, "value": super::IDENTITY }],
                    "constraints": [format!("({address}=*)")],
                }))
            }
            "ListDebitNotes" | "ListInvoices" => {
                let wanted = call == "ListInvoices";
                let bills = state.bills.iter().filter(|(_, it)| it.is_invoice == wanted);
                ok(bills.map(|(id, it)| it.json(id)).collect())
            }
            _ => state.accept(id, &asked.body),
        }
    }
}

impl Allocation {
    fn json(&self, id: &str) -> Value {
        let spent: Decimal = self.spent.values().sum();
        json!({
            "allocationId": id, "address": super::IDENTITY, "paymentPlatform": self.platform,
            "totalAmount": self.total.to_string(), "spentAmount": spent.to_string(),
            "remainingAmount": (self.total - spent).to_string(),
            "timestamp": crate::client::rfc3339(self.made_at), "timeout": self.timeout,
            "deposit": null, "makeDeposit": false, "extendTimeout": null,
        })
    }
}

impl Bill {
    fn json(&self, id: &str) -> Value {
        if self.is_invoice {
            json!({
                "invoiceId": id, "agreementId": self.agreement, "activityIds": [self.activity],
                "amount": self.amount.to_string(), "status": self.status,
            })
        } else {
            json!({
                "debitNoteId": id, "agreementId": self.agreement, "activityId": self.activity,
                "totalAmountDue": self.amount.to_string(), "status": self.status,
            })
        }
    }
}

impl State {
    fn accept(&mut self, id: &str, body: &Value) -> Answer {
        let Some(bill) = self.bills.get_mut(id) else { return error(404, "Not found") };
        if amount(&body["totalAmountAccepted"]).ok() != Some(bill.amount.normalize()) {
            return error(400, "Invalid amount accepted");
        }
        if bill.status == "ACCEPTED" {
            return ok(Value::Null);
        }
        let name = body["allocationId"].as_str().unwrap_or_default();
        let Some(allocation) = self.allocations.get_mut(name).filter(|it| !it.released) else {
            return error(400, format!("Allocation {name} not found"));
        };
        let before = allocation.spent.get(&bill.agreement).copied().unwrap_or_default();
        let more = (bill.amount - before).max(Decimal::ZERO);
        let spent: Decimal = allocation.spent.values().sum();
        let left = allocation.total - spent;
        if more > left {
            return error(400, format!("Not enough funds. Allocated: {left} Needed: {more}"));
        }
        allocation.spent.insert(bill.agreement.clone(), before + more);
        bill.status = "ACCEPTED";
        ok(Value::Null)
    }
}
