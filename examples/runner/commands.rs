//! The client commands that ask once.

use std::path::Path;
use std::time::Duration;

use beacon_jobs::JobId;
use serde_json::{Map, Value, json};
use tokio::io::AsyncReadExt;

use crate::cli::{CancelArgs, JobsArgs, ShowArgs, SubmitArgs};
use crate::client::{Call, Client};
use crate::evidence;
use crate::exit::Exit;
use crate::print::{self, Table, plain};

/// How many executions are read at once.
const PAGE: usize = 1000;

/// Submits a job file.
pub(crate) async fn submit(args: &SubmitArgs) -> Result<(), Exit> {
    let client = Client::new(&args.server)?;
    let file = read(&args.file).await?;
    let mut call = Call::post("/jobs", file);
    call.key = args.key.as_deref();
    let answer = client.call(call).await?;
    if args.server.json {
        return print::line(&answer.to_string());
    }
    print::line(&plain(answer["id"].as_str().unwrap_or_default()))
}

async fn read(file: &Path) -> Result<Vec<u8>, Exit> {
    let unreadable =
        |error: std::io::Error| Exit::usage(format!("{} cannot be read: {error}", file.display()));
    if file == Path::new("-") {
        let mut text = Vec::new();
        tokio::io::stdin().read_to_end(&mut text).await.map_err(unreadable)?;
        return Ok(text);
    }
    tokio::fs::read(file).await.map_err(unreadable)
}

/// Cancels a job, and waits for its stops if asked to.
pub(crate) async fn cancel(args: &CancelArgs) -> Result<(), Exit> {
    let client = Client::new(&args.server)?;
    let mut body = Map::new();
    if let Some(reason) = &args.reason {
        body.insert("reason".to_owned(), json!(reason));
    }
    if let Some(mode) = args.mode {
        body.insert("mode".to_owned(), json!(mode));
    }
    if let Some(grace) = args.grace_seconds {
        body.insert("grace_seconds".to_owned(), json!(grace));
    }
    let query = args.wait.map(|seconds| format!("?wait={seconds}")).unwrap_or_default();
    let path = format!("/jobs/{}/cancel{query}", args.id);
    let mut call = Call::post(&path, Value::Object(body).to_string().into_bytes());
    call.wait = Duration::from_secs(args.wait.unwrap_or(0));
    let answer = client.call(call).await?;
    if args.server.json {
        print::line(&answer.to_string())?;
    } else {
        print::line(&plain(&told(&args.id, &answer)))?;
    }
    let count = |state: &str| answer["stops"][state].as_u64().unwrap_or(0);
    let missing = count("requested") + count("acknowledged") + count("unconfirmed");
    if args.wait.is_some() && missing > 0 {
        return Err(Exit::unsettled(format!(
            "{missing} of {} stops not confirmed yet; the runner goes on: see show {}",
            count("total"),
            args.id
        )));
    }
    Ok(())
}

fn told(id: &JobId, answer: &Value) -> String {
    let word = |name: &str| answer[name].as_str().unwrap_or("?");
    let how = match (answer["already_cancelled"].as_bool(), answer["escalated"].as_bool()) {
        (Some(true), Some(true)) => format!("was cancelled at {}, now made harsher", word("cancelled_at")),
        (Some(true), _) => {
            format!("was cancelled before, at {} by {}", word("cancelled_at"), word("cancelled_by"))
        }
        _ => format!("{}, was {}", word("new_status"), word("previous_status")),
    };
    format!(
        "{id}: {how}; executions cancelled: {}; stops: {}",
        answer["executions_cancelled"],
        counts(&answer["stops"])
    )
}

/// Stops by state, without those states in which there is none.
pub(crate) fn counts(stops: &Value) -> String {
    let states = ["requested", "acknowledged", "confirmed", "unconfirmed", "not_needed"];
    let some: Vec<String> = states
        .iter()
        .filter_map(|state| Some((stops[state].as_u64().filter(|count| *count > 0)?, state)))
        .map(|(count, state)| format!("{count} {}", state.replace('_', " ")))
        .collect();
    if some.is_empty() { "none".to_owned() } else { some.join(", ") }
}

/// Lists jobs.
pub(crate) async fn jobs(args: &JobsArgs) -> Result<(), Exit> {
    let client = Client::new(&args.server)?;
    let mut query = format!("/jobs?limit={}", args.limit);
    if let Some(status) = args.status {
        query.push_str(&format!("&status={status}"));
    }
    for label in &args.labels {
        query.push_str(&format!("&label={}", encoded(&label.0)));
    }
    if let Some(cursor) = &args.cursor {
        query.push_str(&format!("&cursor={}", encoded(cursor)));
    }
    let answer = client.call(Call::get(&query)).await?;
    if args.server.json {
        return print::line(&answer.to_string());
    }
    let mut table = Table::new(["JOB", "STATUS", "DONE", "FAILED", "OWNER", "CREATED"]);
    for job in answer["jobs"].as_array().into_iter().flatten() {
        let text = |name: &str| job[name].as_str().unwrap_or_default().to_owned();
        let progress = &job["progress"];
        table.row([
            text("id"),
            text("status"),
            format!("{}/{}", progress["completed"], progress["total"]),
            progress["failed"].to_string(),
            text("owner"),
            text("created_at"),
        ]);
    }
    table.lines().iter().try_for_each(|line| print::line(line))?;
    match answer["next_cursor"].as_str() {
        Some(cursor) => print::line(&format!("there are more: --cursor {}", plain(cursor))),
        None => Ok(()),
    }
}

/// Shows a job with all its executions.
pub(crate) async fn show(args: &ShowArgs) -> Result<(), Exit> {
    let client = Client::new(&args.server)?;
    let mut detail = page(&client, &args.id, 0).await?;
    loop {
        let have = detail["executions"].as_array().map_or(0, Vec::len);
        if have < PAGE || have as u64 >= detail["progress"]["total"].as_u64().unwrap_or(0) {
            break;
        }
        let mut next = page(&client, &args.id, have).await?;
        let Some(more) =
            next["executions"].as_array_mut().filter(|more| !more.is_empty()).map(std::mem::take)
        else {
            break;
        };
        if let Some(all) = detail["executions"].as_array_mut() {
            all.extend(more);
        }
    }
    if args.server.json {
        return print::line(&detail.to_string());
    }
    summary(&detail)
        .iter()
        .chain(&evidence::table(detail["executions"].as_array().into_iter().flatten()))
        .try_for_each(|line| print::line(line))
}

async fn page(client: &Client, id: &JobId, offset: usize) -> Result<Value, Exit> {
    client.call(Call::get(&format!("/jobs/{id}?exec_limit={PAGE}&exec_offset={offset}"))).await
}

/// The head of a job in a few lines.
fn summary(detail: &Value) -> Vec<String> {
    let job = &detail["job"];
    let text = |name: &str| job[name].as_str().unwrap_or("-");
    let mut lines = vec![
        format!("job       {}", text("id")),
        format!("status    {}", detail["status"].as_str().unwrap_or("-")),
        format!("owner     {}", text("owner")),
        format!("created   {}", text("created_at")),
        format!("started   {}", text("started_at")),
        format!("finished  {}", text("finished_at")),
        format!("progress  {}", progress(&detail["progress"])),
    ];
    if let Some(by) = detail["cancellation"]["cancelled_by"].as_str() {
        let reason =
            detail["cancellation"]["reason"].as_str().map(|reason| format!(": {reason}")).unwrap_or_default();
        lines.push(format!("cancelled by {by}{reason}"));
    }
    if let Some(missing) = job["waiting_for"].as_array().filter(|missing| !missing.is_empty()) {
        let names: Vec<&str> = missing.iter().filter_map(Value::as_str).collect();
        lines.push(format!("waits for a node with executor {}", names.join(", ")));
    }
    lines.into_iter().map(|line| plain(&line)).collect()
}

/// A job's executions by status, without those in which there is none.
pub(crate) fn progress(progress: &Value) -> String {
    let count = |status: &str| progress[status].as_u64().unwrap_or(0);
    let more = ["failed", "cancelled", "running", "queued"]
        .iter()
        .filter(|status| count(status) > 0)
        .map(|status| format!(", {} {status}", count(status)))
        .collect::<String>();
    format!("{} of {} completed{more}", count("completed"), count("total"))
}

/// A text as it may stand in a query.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut query, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            query.push(char::from(byte));
        } else {
            query.push_str(&format!("%{byte:02X}"));
        }
        query
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_plain_in_a_query_is_encoded() {
        assert_eq!(encoded("a:b c&é"), "a%3Ab%20c%26%C3%A9");
    }

    #[test]
    fn counts_name_only_what_there_is() {
        assert_eq!(
            counts(&json!({"total": 3, "confirmed": 2, "not_needed": 1, "requested": 0})),
            "2 confirmed, 1 not needed"
        );
        assert_eq!(counts(&json!({"total": 0})), "none");
        assert_eq!(
            progress(&json!({"total": 3, "completed": 2, "failed": 1, "queued": 0})),
            "2 of 3 completed, 1 failed"
        );
    }
}
