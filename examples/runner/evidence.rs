//! Executions as a table: what became of each, and what shows that it was stopped.

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::print::{Table, plain, short};

/// How much of an evidence that has another form than ours is shown.
const MOST_EVIDENCE: usize = 48;

/// The lines of a table of these executions, as the API writes them.
pub(crate) fn table<'a>(executions: impl IntoIterator<Item = &'a Value>) -> Vec<String> {
    let mut table = Table::new([
        "EXECUTION",
        "STATUS",
        "TRY",
        "STOP",
        "TOOK",
        "LEVEL",
        "ENDED BY",
        "SHOWN BY, OR RESULT",
    ]);
    for (place, execution) in executions.into_iter().enumerate() {
        let stop = &execution["stop"];
        table.row([
            label(place, execution),
            word(&execution["status"]).to_owned(),
            execution["attempt"].to_string(),
            stop_state(execution).to_owned(),
            took(stop).unwrap_or_default(),
            word(&stop["evidence"]["level"]).to_owned(),
            word(&stop["evidence"]["ended_by"]).to_owned(),
            shown(execution),
        ]);
    }
    table.lines()
}

/// What names an execution: its labels, else its place.
pub(crate) fn label(place: usize, execution: &Value) -> String {
    let place = execution["index"].as_u64().unwrap_or(place as u64);
    let labels = &execution["labels"];
    let first = ["region", "question", "model"].iter().filter_map(|name| labels[name].as_str());
    let words = first.map(|word| short(&plain(word), 18)).collect::<Vec<_>>().join(" / ");
    if words.is_empty() { place.to_string() } else { format!("{place} {words}") }
}

/// How far the stop of an execution has come, in one word.
pub(crate) fn stop_state(execution: &Value) -> &str {
    match execution["stop"]["state"].as_str() {
        Some("not_needed") | None if execution["attempt"].as_u64() == Some(0) => {
            // What waits may begin yet.
            if execution["status"] == "queued" { "-" } else { "never began" }
        }
        None => "-",
        Some(state) => state,
    }
}

/// How long it took from the request to the confirmation.
fn took(stop: &Value) -> Option<String> {
    let at = |name: &str| OffsetDateTime::parse(stop[name].as_str()?, &Rfc3339).ok();
    let milliseconds = (at("confirmed_at")? - at("requested_at")?).whole_milliseconds();
    Some(format!("{milliseconds} ms"))
}

/// The evidence in a few words; for what was not stopped, why it failed or what it brought.
fn shown(execution: &Value) -> String {
    let stop = &execution["stop"];
    let evidence = &stop["evidence"];
    if let Some(why) = stop["why"].as_str() {
        return short(why, MOST_EVIDENCE);
    }
    if let Some(shown_by) = evidence["shown_by"].as_str() {
        return short(shown_by, MOST_EVIDENCE);
    }
    if let Value::Object(members) = evidence {
        let words = members
            .iter()
            .filter(|(name, _)| !["level", "ended_by"].contains(&name.as_str()))
            .map(|(name, value)| match value {
                Value::String(text) => format!("{name}={text}"),
                other => format!("{name}={other}"),
            })
            .collect::<Vec<_>>();
        return short(&words.join(" "), MOST_EVIDENCE);
    }
    if let Some(message) = execution["error"]["message"].as_str() {
        return short(&format!("{}: {message}", word(&execution["error"]["kind"])), MOST_EVIDENCE);
    }
    match &execution["output"] {
        Value::Null => String::new(),
        // What a command wrote last is most often its result.
        Value::Object(output) if output.contains_key("stdout") => {
            short(word(&output["stdout"]).trim_end().rsplit('\n').next().unwrap_or_default(), MOST_EVIDENCE)
        }
        other => short(&other.to_string(), MOST_EVIDENCE),
    }
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stop_is_shown_with_its_level_its_evidence_and_its_latency() {
        let stopped = json!({
            "labels": {"region": "us", "question": "q1", "model": "m"}, "status": "cancelled", "attempt": 1,
            "stop": {
                "state": "confirmed", "requested_at": "2026-01-01T00:00:00Z",
                "confirmed_at": "2026-01-01T00:00:00.25Z", "evidence": {"level": "cgroup", "ended_by": "term", "left": 0}, "why": null,
            },
        });
        let ended = json!({"labels": {}, "status": "cancelled", "attempt": 0, "stop": null});
        let waiting = json!({"labels": {}, "status": "queued", "attempt": 0, "stop": null});
        let lines = table([&stopped, &ended, &waiting]);
        assert_eq!(
            lines
                .iter()
                .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect::<Vec<_>>(),
            [
                "EXECUTION STATUS TRY STOP TOOK LEVEL ENDED BY SHOWN BY, OR RESULT",
                "0 us / q1 / m cancelled 1 confirmed 250 ms cgroup term left=0",
                "1 cancelled 0 never began",
                "2 queued 0 -",
            ]
        );
    }
}
