//! The button in somebody else's page, which is HTML and one tag, before a server that fails in every
//! way or tells of stops as it is scripted to.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderName, header};
use axum::response::Response;
use axum::routing::{get, post};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::driver::browser;
use crate::page::Page;

const PAGE: &str = r#"<!doctype html><html lang="en"><title>A page of somebody else</title><meta charset="utf-8">
<link rel="icon" href="data:,"><script type="module" src="/ui/beacon-jobs.js"></script><main>
<beacon-cancel-button job-id="job" status="running" token-key="mine"></beacon-cancel-button>
<beacon-job-progress job-id="job" token-key="mine"></beacon-job-progress></main></html>"#;

/// An answer: status, type, and the body in the pieces in which it is sent.
type Answer = (u16, &'static str, Vec<Vec<u8>>);

/// What is answered, in order; the last is answered again and again.
#[derive(Clone, Debug, Default)]
struct Script {
    cancels: Arc<Mutex<VecDeque<Answer>>>,
    events: Arc<Mutex<VecDeque<Answer>>>,
    /// The `Last-Event-ID` of each connection, empty where there was none.
    last_ids: Arc<Mutex<Vec<String>>>,
}

fn next(answers: &Mutex<VecDeque<Answer>>) -> Response {
    let mut answers = answers.lock().unwrap();
    let (status, kind, pieces) = answers.pop_front().expect("no answer is left");
    if answers.is_empty() {
        answers.push_back((status, kind, pieces.clone()));
    }
    drop(answers);
    let pieces = stream::unfold(pieces.into_iter(), async |mut pieces| {
        // Apart, so that each arrives as a piece of its own.
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        Some((Ok::<_, Infallible>(Bytes::from(pieces.next()?)), pieces))
    });
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, kind)
        .body(Body::from_stream(pieces))
        .unwrap()
}

fn execution(id: usize) -> Value {
    let labels = json!({"region": "r", "model": format!("m{id}"), "question": "Größe?"});
    json!({"id": id.to_string(), "executor": "x", "labels": labels, "status": "running", "attempt": 1,
        "started_at": null, "finished_at": null, "error": null, "output": null, "late_output": null, "stop": null})
}

fn progress(running: usize, cancelled: usize) -> Value {
    json!({"total": 3, "completed": 0, "failed": 0, "cancelled": cancelled, "running": running, "queued": 0})
}

fn stops(acknowledged: usize, confirmed: usize, unconfirmed: usize) -> Value {
    json!({"total": 3, "not_needed": 0, "requested": 0, "acknowledged": acknowledged, "confirmed": confirmed, "unconfirmed": unconfirmed})
}

fn detail() -> Value {
    json!({"job": {"id": "job", "owner": "me", "created_at": "2026-01-01T00:00:00Z", "waiting_for": [], "labels": {}},
        "status": "running", "progress": progress(3, 0), "executions": [execution(0), execution(1), execution(2)],
        "cancellation": null, "stops": stops(0, 0, 0)})
}

fn event(name: &str, id: &str, data: &Value) -> String {
    format!("event: {name}\nid: {id}\ndata: {data}\n\n")
}

fn stop(execution: usize, id: &str, state: &str, evidence: &Value, why: &Value) -> String {
    let data = json!({"job_id": "job", "execution_id": execution.to_string(), "state": state,
        "requested_at": "2026-01-01T00:00:01Z", "confirmed_at": null, "evidence": evidence, "why": why});
    event("stop", id, &data)
}

fn job(id: &str, counts: &Value, over: bool) -> String {
    let cancellation = json!({"cancelled_at": "2026-01-01T00:00:01Z", "cancelled_by": "me", "reason": null});
    let data = json!({"id": "job", "owner": "me", "status": "cancelled", "labels": {}, "created_at": "2026-01-01T00:00:00Z",
        "started_at": null, "finished_at": null, "progress": progress(0, 3), "cancellation": cancellation,
        "waiting_for": [], "stops": counts, "over": over});
    event("job", id, &data)
}

fn events(text: &str) -> Answer {
    (200, "text/event-stream", vec![text.as_bytes().to_vec()])
}

async fn serve(script: &Script) -> String {
    let policy = (HeaderName::from_static("content-security-policy"), "default-src 'self'; img-src data:");
    let (cancels, of_events) = (Arc::clone(&script.cancels), Arc::clone(&script.events));
    let last_ids = Arc::clone(&script.last_ids);
    let router = beacon_jobs_http::ui::routes()
        .route("/", get(async move || ([(header::CONTENT_TYPE, "text/html"), policy], PAGE)))
        .route(
            "/api/v1/jobs/job",
            get(async || ([(header::CONTENT_TYPE, "application/json")], detail().to_string())),
        )
        .route("/api/v1/jobs/job/cancel", post(async move || next(&cancels)))
        .route(
            "/api/v1/jobs/job/events",
            get(async move |request: Request| {
                let last =
                    request.headers().get("last-event-id").map(|last| last.to_str().unwrap().to_owned());
                last_ids.lock().unwrap().push(last.unwrap_or_default());
                next(&of_events)
            }),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, router).into_future());
    url
}

async fn open(page: &Page, url: &str) {
    page.go(url).await;
    page.until("the table", "return t.rows().length === 3").await;
}

#[tokio::test]
async fn answers_of_a_failing_server_are_told_in_words() {
    let script = Script::default();
    script.events.lock().unwrap().push_back(events(": nothing\n\n"));
    let problem = |status: u16, code: &str, detail: &str| {
        let body = json!({"type": "about:blank", "title": "t", "status": status, "detail": detail, "error": detail, "code": code});
        (status, "application/problem+json", vec![body.to_string().into_bytes()])
    };
    let cases = [
        (
            problem(500, "internal", "the server failed; its log says why"),
            "Server error (500)",
            "The server failed; its log says why.",
        ),
        (
            problem(503, "store_unavailable", "nothing was changed, send it again"),
            "Nothing was changed",
            "Nothing was changed, send it again.",
        ),
        (
            problem(503, "outcome_unknown", "send the same request again to know"),
            "Outcome not known",
            "Send the same request again to know.",
        ),
        (problem(409, "conflict", "the id is taken"), "Refused (409)", "The id is taken."),
        (
            (429, "text/plain", vec![b"slow down".to_vec()]),
            "Too many requests",
            "The server answered with status 429.",
        ),
        (
            (502, "text/html", vec![b"<script>alert(1)</script>".to_vec()]),
            "Server error (502)",
            "The server answered with status 502.",
        ),
        (
            (200, "application/json", vec![b"{\"ok\":tr".to_vec()]),
            "No answer from the server",
            "The answer of the server broke off. Whether the job was cancelled is not known; it is safe to press the button again.",
        ),
    ];
    script.cancels.lock().unwrap().extend(cases.iter().map(|(answer, ..)| answer.clone()));
    let url = serve(&script).await;
    browser("failing_server", async |page| {
        open(page, &url).await;
        for (_, title, text) in &cases {
            page.cancel("job").await;
            let toast = page.toast("error").await;
            assert_eq!((&toast["title"], &toast["text"]), (&json!(title), &json!(text)));
            // It can be pressed again.
            page.until("the button", "return t.shown(t.button('job')) && !t.button('job').disabled").await;
            page.click(
                "return document.querySelector('beacon-toasts').shadowRoot.querySelector('.error .close')",
            )
            .await;
        }
    })
    .await;
}

#[tokio::test]
async fn stopped_is_written_only_where_there_is_evidence() {
    let script = Script::default();
    let told = [
        stop(0, "1", "acknowledged", &json!({"level": "provider"}), &json!(null)),
        stop(1, "2", "unconfirmed", &json!(null), &json!("the provider does not answer")),
        stop(2, "3", "confirmed", &json!(null), &json!(null)),
        job("4", &stops(1, 1, 1), false),
    ];
    let last = stop(0, "5", "confirmed", &json!({"level": "provider", "ended_by": "force"}), &json!(null));
    let reopened = stop(0, "6", "requested", &json!(null), &json!("it was seen alive"));
    script.events.lock().unwrap().extend([
        events(&told.concat()),
        events(&last),
        events(&reopened),
        events(""),
    ]);
    let answer = json!({"ok": true, "job_id": "job", "previous_status": "running", "new_status": "cancelled", "context_cancelled": true,
        "executions_cancelled": 3, "cancelled_at": "2026-01-01T00:00:01Z", "cancelled_by": "me", "reason": null,
        "already_cancelled": false, "stops": stops(1, 1, 1)});
    script.cancels.lock().unwrap().push_back((
        200,
        "application/json",
        vec![answer.to_string().into_bytes()],
    ));
    let url = serve(&script).await;
    browser("stopped_with_evidence", async |page| {
        page.go(&url).await;
        page.get("window.saw = new Set(); setInterval(() => { for (const row of t.rows()) saw.add(`${row.id} ${row.stop}, ${row.why}`); }, 5)").await;
        page.until("reopened", "return saw.has('0 stopped, ') && t.rows()[0].stop === 'stopping'").await;
        let saw = page.get("return [...saw].filter((one) => !one.includes(' , ')).sort()").await;
        assert_eq!(saw, json!([
            "0 stopped, ",
            "0 stopping, asked for, no answer yet",
            "0 stopping, told to stop, its end is not shown yet",
            "1 not confirmed, the provider does not answer",
            "2 not confirmed, no evidence was given",
        ]));
        assert_eq!(page.get("return t.rows()[0].result").await, "", "evidence that no longer counts is gone");
        page.cancel("job").await;
        let toast = page.toast("success").await;
        assert_eq!(toast["title"], "Job cancelled");
        assert_eq!(toast["text"], "3 executions cancelled. 1 stopped, with evidence, 1 stopping, 1 not confirmed.");
    })
    .await;
}

#[tokio::test]
async fn events_are_taken_once_in_order_and_from_where_a_connection_broke() {
    let status = |id: &str, status: &str, attempt: u32| {
        let error = json!({"kind": "k", "message": format!("größer {attempt}")});
        let data = json!({"job_id": "job", "id": "0", "status": status, "attempt": attempt, "started_at": null, "finished_at": null, "error": error});
        event("execution", id, &data)
    };
    // Comments, other line ends, pieces that end in the middle of a letter, and an event that is not whole.
    let first = format!(
        ": hello\r\n\r\n{}{}",
        status("a", "running", 1).replace('\n', "\r\n"),
        status("b", "queued", 2)
    );
    let broken = status("c", "failed", 9);
    let bytes = [first.as_bytes(), &broken.as_bytes()[..broken.len() - 1]].concat();
    let is_within_letter = |byte: u8| byte & 0xc0 == 0x80;
    let pieces = bytes.chunk_by(|_, next| !is_within_letter(*next)).flat_map(|piece| piece.chunks(61));
    let pieces = pieces.map(<[u8]>::to_vec).collect();
    let last = job("e", &stops(0, 0, 0), true);
    let mut rest = vec![status("d", "running", 3).into_bytes()];
    rest.extend(vec![b": the page has time to show it\n\n".to_vec(); 20]);
    rest.push(last.into_bytes());
    let script = Script::default();
    script.events.lock().unwrap().extend([
        (200, "text/event-stream", pieces),
        (503, "text/plain", vec![]),
        (200, "text/event-stream", rest),
    ]);
    let url = serve(&script).await;
    let last_ids = Arc::clone(&script.last_ids);
    browser("events", async |page| {
        let hook = "window.words = []; const look = () => { const row = t.rows()[0]; if (row && words.at(-1) !== row.status + row.result) words.push(row.status + row.result); }; setInterval(look, 5)";
        page.go(&url).await;
        page.get(hook).await;
        page.until("the rest", "return words.some((word) => word.startsWith('running (attempt 3)'))").await;
        page.until("the end", "return t.progress().querySelector('.link').textContent === ''").await;
        let words = page.get("return words").await;
        assert!(words.as_array().unwrap().contains(&json!("queued (attempt 2)k: größer 2")), "{words}");
        assert!(!words.to_string().contains("attempt 9"), "an event that was not whole was taken: {words}");
        let ids = last_ids.lock().unwrap().clone();
        assert_eq!(ids, ["", "b", "b"], "the last whole event is told, and after the end nothing is asked");
    })
    .await;
}

#[tokio::test]
async fn a_violation_of_the_policy_is_noticed() {
    let script = Script::default();
    script.events.lock().unwrap().push_back(events(": nothing\n\n"));
    let url = serve(&script).await;
    browser("violation", async |page| {
        open(page, &url).await;
        assert_eq!(page.faults().await, Vec::<String>::new());
        page.get(
            "document.body.append(Object.assign(document.createElement('style'), {textContent: 'p {}'}))",
        )
        .await;
        let faults = page.faults().await;
        assert!(faults.iter().any(|fault| fault.contains("policy: style-src")), "{faults:?}");
        page.get("setTimeout(() => { throw new Error('of a script'); })").await;
        page.until("it was thrown", "return t.faults.length > 0").await;
        assert!(page.faults().await.iter().any(|fault| fault.contains("of a script")));
    })
    .await;
}
