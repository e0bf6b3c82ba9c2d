//! The provider's side of the market, of activities' events and of bills.

use std::sync::Arc;

use beacon_jobs::clock::{Clock, SystemClock};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::activity::Activity;
use super::{PAUSE, Shared};

/// What every activity costs, in GLM.
pub(crate) const BILL: &str = "0.01";
const SESSION: &str = "provider";

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn now() -> String {
    SystemClock.now().format(&Rfc3339).unwrap()
}

/// A time as it stands in a query.
fn quoted(time: &str) -> String {
    time.replace(':', "%3A").replace('+', "%2B")
}

impl Shared {
    /// What is offered.
    fn terms(&self) -> Value {
        let platform = "golem.com.payment.platform.erc20-holesky-tglm.address";
        json!({
            "properties": {
                "golem.node.id.name": "the-tests-own",
                "golem.node.debug.subnet": "public",
                "golem.runtime.name": "vm",
                "golem.srv.caps.multi-activity": true,
                "golem.com.payment.protocol.version": 3,
                "golem.com.pricing.model": "linear",
                "golem.com.pricing.model.linear.coeffs": [0.0001, 0.0001, 0.0],
                "golem.com.scheme": "payu",
                "golem.com.usage.vector": ["golem.usage.cpu_sec", "golem.usage.duration_sec"],
                (platform): self.identity,
            },
            "constraints": "(golem.srv.comp.expiration>0)",
        })
    }

    pub(super) async fn publish(&self) -> String {
        text(&self.surely(|| self.api.post("/market-api/v1/offers", self.terms())).await)
    }

    /// Answers to proposals, and approves agreements.
    pub(super) async fn negotiate(self: Arc<Self>, offer: String) {
        let path = format!("/market-api/v1/offers/{offer}/events?timeout=3&maxEvents=20");
        loop {
            let events = self.surely(|| self.api.get(&path)).await;
            for event in events.as_array().into_iter().flatten() {
                match event["eventType"].as_str() {
                    Some("ProposalEvent") => {
                        let id = text(&event["proposal"]["proposalId"]);
                        let path = format!("/market-api/v1/offers/{offer}/proposals/{id}");
                        // A demand may be withdrawn before it is answered.
                        let _ = self.api.post(&path, self.terms()).await;
                    }
                    Some("AgreementEvent") if self.manners().approves => {
                        self.approve(&event["agreement"]).await;
                    }
                    _ => {}
                }
            }
        }
    }

    async fn approve(&self, agreement: &Value) {
        let id = text(&agreement["agreementId"]);
        if let Some(package) = agreement["demand"]["properties"]["golem.srv.comp.task_package"].as_str() {
            self.packages.lock().unwrap().insert(id.clone(), package.to_owned());
        }
        let path = format!("/market-api/v1/agreements/{id}/approve?appSessionId={SESSION}&timeout=5");
        // It may have been taken back.
        let _ = self.api.post(&path, json!(null)).await;
    }

    /// Ends what runs under agreements that are terminated, and bills it.
    pub(super) async fn watch_agreements(self: Arc<Self>) {
        let mut after = now();
        loop {
            let path = format!(
                "/market-api/v1/agreementEvents?timeout=3&maxEvents=20&appSessionId={SESSION}&afterTimestamp={}",
                quoted(&after)
            );
            let events = self.surely(|| self.api.get(&path)).await;
            for event in events.as_array().into_iter().flatten() {
                after = text(&event["eventDate"]);
                if event["eventType"] == "AgreementTerminatedEvent" {
                    tokio::spawn(Arc::clone(&self).close(text(&event["agreementId"])));
                }
            }
        }
    }

    async fn close(self: Arc<Self>, agreement: String) {
        let ours: Vec<_> = {
            let activities = self.activities();
            let ours = activities.iter().filter(|(_, it)| it.agreement == agreement);
            ours.map(|(id, it)| (id.clone(), Arc::clone(it))).collect()
        };
        for (_, activity) in &ours {
            activity.end();
        }
        for (_, activity) in &ours {
            activity.ended().await;
        }
        let Some(wait) = self.manners().invoice_after.filter(|_| !ours.is_empty()) else { return };
        SystemClock.sleep(wait).await;
        let ids: Vec<_> = ours.into_iter().map(|(id, _)| id).collect();
        let bill =
            json!({ "agreementId": agreement, "activityIds": ids, "amount": BILL, "paymentDueDate": now() });
        let made = self.surely(|| self.api.post("/payment-api/v1/invoices", bill.clone())).await;
        let path = format!("/payment-api/v1/invoices/{}/send?timeout=5", text(&made["invoiceId"]));
        let send = || async {
            match self.api.post(&path, json!(null)).await {
                // A requestor's daemon takes no bill for an activity that it does not know of.
                Err(why) if why.contains("Not found: agreement id for activity") => Ok(Value::Null),
                answer => answer,
            }
        };
        self.surely(send).await;
    }

    /// Runs activities that are to be, and ends those that are to end.
    pub(super) async fn watch_activities(self: Arc<Self>) {
        let mut after = now();
        loop {
            let path = format!(
                "/activity-api/v1/events?timeout=3&maxEvents=20&appSessionId={SESSION}&afterTimestamp={}",
                quoted(&after)
            );
            // It says 408 when there is none.
            let Ok(events) = self.api.get(&path).await else {
                SystemClock.sleep(PAUSE / 10).await;
                continue;
            };
            for event in events.as_array().into_iter().flatten() {
                after = text(&event["eventDate"]);
                let id = text(&event["activityId"]);
                if event["eventType"].get("CreateActivity").is_some() {
                    let activity = Activity::new(&id, &text(&event["agreementId"]));
                    self.activities().insert(id.clone(), Arc::clone(&activity));
                    tokio::spawn(Arc::clone(&activity).run(Arc::clone(&self)));
                    tokio::spawn(Arc::clone(&self).send_notes(id, activity));
                } else if let Some(activity) = self.activities().get(&id) {
                    activity.end();
                }
            }
        }
    }

    /// Sends debit notes while an activity lives.
    async fn send_notes(self: Arc<Self>, id: String, activity: Arc<Activity>) {
        let Some(every) = self.manners().note_every else { return };
        let mut due = 0_u32;
        loop {
            tokio::select! {
                () = activity.ended() => return,
                () = SystemClock.sleep(every) => {}
            }
            due += 1;
            let note =
                json!({ "activityId": id, "totalAmountDue": format!("0.{due:04}"), "paymentDueDate": now() });
            let made = self.surely(|| self.api.post("/payment-api/v1/debitNotes", note.clone())).await;
            let path = format!("/payment-api/v1/debitNotes/{}/send?timeout=5", text(&made["debitNoteId"]));
            self.surely(|| self.api.post(&path, json!(null))).await;
        }
    }
}
