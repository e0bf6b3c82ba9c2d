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
    /// The provider has heard of its end.
    pub(super) told: bool,
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
    /// The daemon has asked the provider what it used.
    pub(super) usage_asked: bool,
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
    /// What that one prints meanwhile.
    pub(super) repeats: Option<String>,
    /// What has happened to it, for those who listen then.
    pub(super) events: Vec<Value>,
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
    /// Its process is dead.
    pub(super) is_down: bool,
    pub(super) stuck: usize,
    /// How many streams are open.
    pub(super) listeners: usize,
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

/// What an exe-unit says of a command that failed, and what the command itself said.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) message: String,
    pub(super) stderr: String,
}

impl Batch {
    /// Writes down what became of a command. An output that is empty is none, as an exe-unit has it.
    pub(super) fn push(&mut self, result: Result<String, Failed>, at: &str) {
        let index = self.results.len();
        let last = index + 1 == self.commands.len() || result.is_err();
        let outcome = if result.is_ok() { "Ok" } else { "Error" };
        let (stdout, stderr, message) = match result {
            Ok(stdout) => (stdout, String::new(), None),
            Err(failed) => (String::new(), failed.stderr, Some(failed.message)),
        };
        let finished = json!({ "return_code": i32::from(outcome != "Ok"), "message": message });
        self.tell(index, json!({ "finished": finished }), at);
        let [stdout, stderr] = [stdout, stderr].map(|said| Some(said).filter(|said| !said.is_empty()));
        self.results.push(json!({
            "index": index, "eventDate": at, "result": outcome, "stdout": stdout, "stderr": stderr,
            "message": message, "isBatchFinished": last,
        }));
    }

    pub(super) fn is_over(&self) -> bool {
        self.results.last().is_some_and(|it| it["isBatchFinished"] == true)
    }
}
