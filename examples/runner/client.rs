//! Requests to a running server.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Method, Request, StatusCode, Uri, header};
use beacon_jobs::clock::{Clock, SystemClock};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::cli::ServerArgs;
use crate::exit::Exit;
use crate::print;
use crate::secret::Secret;

/// How long an answer may take, beside what the server was asked to wait.
const PATIENCE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(5);
/// The largest answer that is read: a page of executions with their outputs.
const LARGEST_ANSWER: usize = 1 << 30;

/// The door to one server.
#[derive(Debug)]
pub(crate) struct Client {
    url: String,
    token: Option<Secret>,
    json: bool,
    http: HttpClient<HttpConnector, Full<Bytes>>,
}

/// What to ask.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    /// The path below `/api/v1`, with its query.
    pub(crate) path: &'a str,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) key: Option<&'a str>,
    /// How long the server itself may wait before it answers.
    pub(crate) wait: Duration,
}

impl<'a> Call<'a> {
    /// A question without a body.
    pub(crate) fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, body: None, key: None, wait: Duration::ZERO }
    }

    /// A request with a JSON body.
    pub(crate) fn post(path: &'a str, body: Vec<u8>) -> Self {
        Self { method: Method::POST, path, body: Some(body), key: None, wait: Duration::ZERO }
    }
}

/// Why there is no answer to use.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// The server could not be reached, or its answer could not be read.
    Unreachable(String),
    /// The server refused, and this is its problem body.
    Refused(StatusCode, Value),
}

impl NoAnswer {
    /// Whether the same call may succeed soon.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused(status, _) => {
                *status == StatusCode::SERVICE_UNAVAILABLE || *status == StatusCode::TOO_MANY_REQUESTS
            }
        }
    }
}

impl Client {
    /// A client of this server.
    pub(crate) fn new(args: &ServerArgs) -> Result<Self, Exit> {
        if args.url.starts_with("https:") {
            return Err(Exit::usage(
                "--url: this client speaks http alone; reach a remote server through a tunnel",
            ));
        }
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        let http = HttpClient::builder(TokioExecutor::new()).build(connector);
        Ok(Self { url: args.url.clone(), token: args.token.clone(), json: args.json, http })
    }

    /// Asks, and takes anything but success for the end of the program.
    pub(crate) async fn call(&self, call: Call<'_>) -> Result<Value, Exit> {
        match self.try_call(call).await {
            Ok(answer) => Ok(answer),
            Err(no_answer) => Err(self.give_up(no_answer)),
        }
    }

    /// Says why there is no answer: with `--json` as JSON on stdout too.
    pub(crate) fn give_up(&self, no_answer: NoAnswer) -> Exit {
        let (line, body) = match no_answer {
            NoAnswer::Unreachable(why) => {
                let line = format!(
                    "no runner answers at {}: {why}; start one, or set --url or BEACON_URL",
                    self.url
                );
                let body = serde_json::json!({ "error": line });
                (line, body)
            }
            NoAnswer::Refused(status, body) => (self.refusal(status, &body), body),
        };
        if self.json
            && let Err(exit) = print::line(&body.to_string())
        {
            return exit;
        }
        Exit::failed(print::plain(&line))
    }

    fn refusal(&self, status: StatusCode, body: &Value) -> String {
        if status == StatusCode::UNAUTHORIZED {
            let (what, token) = match self.token {
                Some(_) => ("does not know this token", "the one"),
                None => ("asks for a token", "one"),
            };
            return format!(
                "{} {what}; set BEACON_TOKEN or --token to {token} that it printed at its start",
                self.url
            );
        }
        let word = |name: &str| body.get(name).and_then(Value::as_str);
        let detail = word("detail").or(word("error")).or(word("title")).unwrap_or("no reason given");
        match word("code") {
            Some(code) => format!("refused ({status}, {code}): {detail}"),
            None => format!("refused ({status}): {detail}"),
        }
    }

    /// Asks.
    pub(crate) async fn try_call(&self, call: Call<'_>) -> Result<Value, NoAnswer> {
        let limit = PATIENCE + call.wait;
        tokio::select! {
            answer = self.exchange(call) => answer,
            () = SystemClock.sleep(limit) => {
                Err(NoAnswer::Unreachable(format!("no answer within {} s", limit.as_secs())))
            }
        }
    }

    async fn exchange(&self, call: Call<'_>) -> Result<Value, NoAnswer> {
        let unreachable = |error: &dyn std::error::Error| NoAnswer::Unreachable(root_of(error));
        let uri: Uri =
            format!("{}/api/v1{}", self.url, call.path).parse().map_err(|error| unreachable(&error))?;
        let mut request =
            Request::builder().method(call.method).uri(uri).header(header::ACCEPT, "application/json");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        if let Some(key) = call.key {
            request = request.header("Idempotency-Key", key);
        }
        if call.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(Bytes::from(call.body.unwrap_or_default()))).map_err(|_| {
            NoAnswer::Unreachable("the token or the key holds characters that no header may hold".into())
        })?;
        let answer = self.http.request(request).await.map_err(|error| unreachable(&error))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LARGEST_ANSWER)
            .collect()
            .await
            .map_err(|error| unreachable(&*error))?
            .to_bytes();
        let json = serde_json::from_slice(&body);
        match (status.is_success(), json) {
            (true, Ok(json)) => Ok(json),
            (true, Err(_)) => Err(NoAnswer::Unreachable("what answers there does not speak JSON".to_owned())),
            (false, json) => Err(NoAnswer::Refused(status, json.unwrap_or_default())),
        }
    }
}

/// The lowest-level cause: the others only say that there is one.
fn root_of(error: &dyn std::error::Error) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root.to_string()
}
