use std::collections::{BTreeMap, HashMap};

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::faults::Faults;
use super::{AgreementRecord, Behaviour, Work};

#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) total: Decimal,
    pub(super) platform: String,
    pub(super) timeout: Value,
    pub(super) made_at: OffsetDateTime,
    pub(super) released: bool,
    /// What was accepted from it, by agreement.
    pub(super) spent: BTreeMap<String, Decimal>,
}

#[derive(Debug)]
pub(super) struct Demand {
    pub(super) properties: Map<String, Value>,
    pub(super) constraints: String,
    pub(super) events: Vec<Value>,
}

#[derive(Debug, Clone)]
pub(super) struct Proposal {
    pub(super) demand: String,
    pub(super) provider: String,
    pub(super) properties: Map<String, Value>,
    pub(super) is_draft: bool,
    pub(super) countered: bool,
    /// What was demanded in answer.
    pub(super) terms: Map<String, Value>,
}

#[derive(Debug)]
pub(super) struct Agreement {
    pub(super) state: &'static str,
    pub(super) session: Option<String>,
    pub(super) provider: String,
    pub(super) offer: Map<String, Value>,
    pub(super) demand: Map<String, Value>,
    pub(super) made_at: OffsetDateTime,
    pub(super) order: u64,
}

#[derive(Debug)]
pub(super) struct Activity {
    pub(super) agreement: String,
    pub(super) alive: bool,
    /// The requestor's daemon has heard of it.
    pub(super) known: bool,
    /// It was told to end.
    pub(super) ending: bool,
    pub(super) computes: bool,
    pub(super) batches: BTreeMap<String, Batch>,
    pub(super) reason: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) commands: Vec<Value>,
    pub(super) results: Vec<Value>,
    /// It waits at a command that goes on.
    pub(super) goes_on: bool,
}

#[derive(Debug)]
pub(super) struct Bill {
    pub(super) is_invoice: bool,
    pub(super) agreement: String,
    pub(super) activity: String,
    pub(super) amount: Decimal,
    pub(super) status: &'static str,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) behaviour: Behaviour,
    pub(super) faults: Faults,
    pub(super) programs: HashMap<String, Work>,
    pub(super) allocations: BTreeMap<String, Allocation>,
    pub(super) demands: BTreeMap<String, Demand>,
    pub(super) proposals: BTreeMap<String, Proposal>,
    pub(super) agreements: BTreeMap<String, Agreement>,
    pub(super) activities: BTreeMap<String, Activity>,
    pub(super) bills: BTreeMap<String, Bill>,
    pub(super) begun: usize,
    pub(super) stuck: usize,
    pub(super) received: HashMap<&'static str, usize>,
    named: u64,
}

impl State {
    /// A number that was not given before.
    pub(super) fn number(&mut self) -> u64 {
        self.named += 1;
        self.named
    }

    /// A name that was not given before.
    pub(super) fn name(&mut self, prefix: &str) -> String {
        format!("{prefix}-{:08x}", self.number())
    }

    pub(super) fn accepted(&self) -> f64 {
        let spent = self.allocations.values().flat_map(|it| it.spent.values());
        spent.sum::<Decimal>().to_f64().unwrap_or(f64::MAX)
    }

    pub(super) fn records(&self) -> Vec<AgreementRecord> {
        let mut agreements: Vec<_> = self.agreements.iter().collect();
        agreements.sort_by_key(|(_, it)| it.order);
        let record = |(id, it): (&String, &Agreement)| AgreementRecord {
            id: id.clone(),
            state: it.state.to_owned(),
            session: it.session.clone(),
            provider: it.provider.clone(),
            activities: self
                .activities
                .iter()
                .filter(|(_, activity)| activity.agreement == *id)
                .map(|(id, activity)| (id.clone(), activity.alive, activity.batches.len()))
                .collect(),
        };
        agreements.into_iter().map(record).collect()
    }
}

impl Batch {
    /// Writes down what became of a command; tells whether the batch is over.
    pub(super) fn push(&mut self, result: &Result<String, String>, at: &str) -> bool {
        let index = self.results.len();
        let last = index + 1 == self.commands.len() || result.is_err();
        self.results.push(match result {
            Ok(stdout) => json!({
                "index": index, "eventDate": at, "result": "Ok", "stdout": stdout, "stderr": "",
                "message": null, "isBatchFinished": last,
            }),
            Err(said) => json!({
                "index": index, "eventDate": at, "result": "Error", "stdout": null, "stderr": said,
                "message": said, "isBatchFinished": last,
            }),
        });
        last
    }

    pub(super) fn is_over(&self) -> bool {
        self.results.last().is_some_and(|it| it["isBatchFinished"] == true)
    }
}
