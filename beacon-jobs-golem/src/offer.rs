//! Offers of providers: what they ask, and which one is taken.

use std::fmt::Debug;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Map, Value};

use crate::call::{Ceiling, Providers};
use crate::client::Proposal;
use crate::convert::amount;

const SECONDS_OF_AN_HOUR: u32 = 3600;

/// What an offer asks, in GLM.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Price {
    /// Once.
    pub start: f64,
    /// For an hour of one processor's work.
    pub cpu_hour: f64,
    /// For an hour of the environment's life.
    pub env_hour: f64,
}

/// What a provider proposes, as a [`Scoring`] sees it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Offer {
    /// The provider's node id.
    pub provider_id: String,
    /// The name that the provider gives itself; anyone may take any.
    pub provider_name: String,
    /// What it asks.
    pub price: Price,
    /// All properties of the offer.
    pub properties: Map<String, Value>,
}

/// Chooses among the offers that keep to the limits of an execution.
///
/// The default takes the one that costs least if the environment and one processor are used for an hour.
pub trait Scoring: Debug + Send + Sync + 'static {
    /// How good an offer is: the highest is taken. `None` declines it.
    fn score(&self, offer: &Offer) -> Option<f64>;
}

/// The default.
#[derive(Debug)]
pub(crate) struct Cheapest;

impl Scoring for Cheapest {
    fn score(&self, offer: &Offer) -> Option<f64> {
        let Price { start, cpu_hour, env_hour } = offer.price;
        Some(-(start + cpu_hour + env_hour))
    }
}

/// Reads an offer; the error says why it is declined.
pub(crate) fn read(proposal: &Proposal, ceiling: &Ceiling, providers: &Providers) -> Result<Offer, String> {
    let id = &proposal.issuer_id;
    let names = |list: &[String]| list.iter().any(|name| name.eq_ignore_ascii_case(id));
    if names(&providers.deny) {
        return Err("the provider is denied".to_owned());
    }
    if !providers.allow.is_empty() && !names(&providers.allow) {
        return Err("the provider is not among those allowed".to_owned());
    }
    let price = price(&proposal.properties)?;
    let limits = [
        ("start", price.start, ceiling.start),
        ("cpu_hour", price.cpu_hour, ceiling.cpu_hour),
        ("env_hour", price.env_hour, ceiling.env_hour),
    ];
    for (name, asked, limit) in limits {
        if limit.is_some_and(|limit| asked > limit) {
            return Err(format!("it asks {asked} where max_price.{name} is {}", limit.unwrap_or_default()));
        }
    }
    let name = proposal.properties.get("golem.node.id.name").and_then(Value::as_str).unwrap_or_default();
    let number = |amount: Decimal| amount.to_f64().unwrap_or(f64::MAX);
    Ok(Offer {
        provider_id: id.clone(),
        provider_name: name.to_owned(),
        price: Price {
            start: number(price.start),
            cpu_hour: number(price.cpu_hour),
            env_hour: number(price.env_hour),
        },
        properties: proposal.properties.clone(),
    })
}

#[derive(Default)]
struct Asked {
    start: Decimal,
    cpu_hour: Decimal,
    env_hour: Decimal,
}

/// Linear prices: a coefficient for each counter of the usage vector, and the fixed price last.
fn price(properties: &Map<String, Value>) -> Result<Asked, String> {
    let list = |name: &str| {
        let list = properties.get(name).and_then(Value::as_array);
        list.ok_or_else(|| format!("its {name} is missing"))
    };
    let counters = list("golem.com.usage.vector")?;
    let coefficients = list("golem.com.pricing.model.linear.coeffs")?;
    let coefficients: Vec<_> = coefficients.iter().map(amount).collect::<Result<_, _>>()?;
    let Some((start, rates)) = coefficients.split_last().filter(|(_, rates)| rates.len() == counters.len())
    else {
        return Err("its prices do not fit its counters".to_owned());
    };
    let mut asked = Asked { start: *start, ..Asked::default() };
    for (counter, rate) in counters.iter().zip(rates) {
        let place = match counter.as_str() {
            Some("golem.usage.cpu_sec") => &mut asked.cpu_hour,
            Some("golem.usage.duration_sec") => &mut asked.env_hour,
            _ if rate.is_zero() => continue,
            _ => return Err(format!("it asks money for {counter}, of which nothing is known")),
        };
        *place = rate
            .checked_mul(Decimal::from(SECONDS_OF_AN_HOUR))
            .ok_or_else(|| "its price is out of all bounds".to_owned())?;
    }
    Ok(asked)
}
