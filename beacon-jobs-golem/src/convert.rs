//! Between an execution's input and what the market, the runtime and the bills say.

use beacon_jobs::executor::ExecuteError;
use beacon_jobs::job::FailureKind;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use crate::call::{Command, Input};
use crate::client::{CommandResult, Decorations, Terms};
use crate::deal::Deal;
use crate::error::one_line;

/// By these properties of a demand a deal is found again.
pub(crate) const SESSION: &str = "beacon-jobs.session";
pub(crate) const ALLOCATION: &str = "beacon-jobs.allocation";
/// What comes before the commands of an execution: `deploy` and `start`.
pub(crate) const PRELUDE: usize = 2;

/// An amount as yagna writes it: text, or a number. What cannot be kept exactly is no amount.
pub(crate) fn amount(value: &Value) -> Result<Decimal, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        other => return Err(format!("{other} is no amount")),
    };
    let read = Decimal::from_str_exact(&text).or_else(|_| Decimal::from_scientific(&text));
    match read {
        Ok(amount) if !amount.is_sign_negative() => Ok(amount.normalize()),
        _ => Err(format!("{text:?} is no amount")),
    }
}

/// What is demanded of providers.
pub(crate) fn demand(input: &Input, deal: &Deal, subnet: &str, paid: &Decorations) -> Terms {
    let mut properties = input.runtime.properties.clone();
    let mut constraints = input.runtime.constraints.clone();
    let runtime = input.runtime.name.as_deref().unwrap_or("vm");
    if let Some(image) = &input.runtime.image {
        let package = format!("hash:sha3:{}:{}", image.hash.to_lowercase(), image.url);
        properties.insert("golem.srv.comp.task_package".to_owned(), json!(package));
    }
    let expires_ms = i64::try_from(deal.expires_at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX);
    let ours = [
        ("golem.srv.comp.expiration", json!(expires_ms)),
        ("golem.srv.caps.multi-activity", json!(true)),
        ("golem.node.debug.subnet", json!(subnet)),
        ("golem.com.payment.chosen-platform", json!(deal.platform)),
        ("golem.com.payment.protocol.version", json!(3)),
        // After these times without us the provider ends the work by itself.
        ("golem.com.scheme.payu.debit-note.interval-sec?", json!(deal.note_interval)),
        ("golem.com.payment.debit-notes.accept-timeout?", json!(deal.accept_timeout)),
        (SESSION, json!(deal.session)),
        (ALLOCATION, json!(deal.allocation)),
    ];
    properties.extend(ours.map(|(name, value)| (name.to_owned(), value)));
    properties.extend(paid.properties.iter().map(|it| (it.key.clone(), it.value.clone())));
    constraints.push(format!("(golem.runtime.name={runtime})"));
    constraints.push("(golem.com.pricing.model=linear)".to_owned());
    constraints.push(format!("(golem.node.debug.subnet={subnet})"));
    constraints.extend(paid.constraints.iter().cloned());
    Terms { properties, constraints: format!("(&{})", constraints.concat()) }
}

/// The commands as an exe-unit reads them.
pub(crate) fn script(commands: &[Command]) -> Value {
    let capture = json!({ "atEnd": { "format": "str" } });
    let capture = json!({ "stdout": capture, "stderr": capture });
    let commands = commands.iter().map(|command| match command {
        Command::Run(run) => {
            json!({ "run": { "entry_point": run.entry_point, "args": run.args, "capture": capture } })
        }
        Command::Transfer(it) => json!({ "transfer": { "from": it.from, "to": it.to } }),
    });
    let prelude = [json!({ "deploy": {} }), json!({ "start": { "args": [] } })];
    Value::Array(prelude.into_iter().chain(commands).collect())
}

/// What the commands brought so far, in their order, without what we put before them.
pub(crate) fn outputs(results: &[CommandResult]) -> Value {
    let shown = results.iter().filter(|result| result.index >= PRELUDE).map(|result| {
        let mut shown = Map::new();
        shown.insert("ok".to_owned(), json!(result.result == "Ok"));
        shown.insert("stdout".to_owned(), result.stdout.clone().unwrap_or_default());
        shown.insert("stderr".to_owned(), result.stderr.clone().unwrap_or_default());
        if let Some(message) = &result.message {
            shown.insert("message".to_owned(), json!(message));
        }
        Value::Object(shown)
    });
    Value::Array(shown.collect())
}

/// The failure of a command, if there is one.
pub(crate) fn failure(results: &[CommandResult], commands: &[Command]) -> Option<ExecuteError> {
    let failed = results.iter().find(|result| result.result != "Ok")?;
    let said = failed.message.as_deref().map(one_line).filter(|said| !said.is_empty());
    let mut said = said.unwrap_or_else(|| "the provider does not say why".to_owned());
    // The provider itself says no more than the exit code.
    let stderr = failed.stderr.as_ref().and_then(Value::as_str).unwrap_or_default();
    if let Some(line) = stderr.lines().map(one_line).rfind(|line| !line.is_empty()) {
        said = format!("{said}: {line}");
    }
    let error = match failed.index.checked_sub(PRELUDE) {
        None => {
            let what = if failed.index == 0 { "deploy" } else { "start" };
            ExecuteError::new(
                FailureKind::Provider,
                format!("the provider could not {what} the runtime: {said}"),
            )
        }
        Some(index) => {
            let what = commands.get(index).map_or_else(|| "unknown".to_owned(), Command::label);
            ExecuteError::failed(format!("commands[{index}] ({what}) failed: {said}"))
        }
    };
    // Another machine may do better.
    Some(error.retryable().with_output(json!({ "results": outputs(results) })))
}
