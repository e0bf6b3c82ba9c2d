//! An API over a store, callers, and a hand that runs jobs step by step.

mod clock;
mod document;
mod events;
mod faulty;
mod hand;
pub(crate) mod stores;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use beacon_jobs::conformance::HookedStore;
use beacon_jobs::context::JobContext;
use beacon_jobs::job::{AuditEntry, ExecutionSpec, JobDetail, JobSpec};
use beacon_jobs::store::{ClaimedJob, ExecutionPage, JobStore, MemoryStore};
use beacon_jobs::{JobId, Jobs, JobsBuilder};
use beacon_jobs_http::{Api, ApiBuilder, BearerTokens, Principal};
use serde_json::{Value, json};
use tower::ServiceExt;

pub(crate) use clock::TokioClock;
pub(crate) use events::{Event, Events};
pub(crate) use faulty::{Fault, Faults};
pub(crate) use hand::Hand;

/// Long enough that only a hang reaches it.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// An API with three callers: alice, bob, and the administrator root.
pub(crate) struct World {
    pub(crate) jobs: Jobs,
    /// The store without its faults.
    pub(crate) store: Arc<dyn JobStore>,
    pub(crate) faults: Faults,
    pub(crate) api: Api,
    pub(crate) router: Router,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|builder| builder)
    }

    pub(crate) fn with(set: impl FnOnce(ApiBuilder) -> ApiBuilder) -> Self {
        Self::over(Arc::new(MemoryStore::new()), set)
    }

    pub(crate) fn over(store: Arc<dyn JobStore>, set: impl FnOnce(ApiBuilder) -> ApiBuilder) -> Self {
        Self::behind(store, |jobs| jobs, set)
    }

    pub(crate) fn behind(
        store: Arc<dyn JobStore>,
        make: impl FnOnce(JobsBuilder) -> JobsBuilder,
        set: impl FnOnce(ApiBuilder) -> ApiBuilder,
    ) -> Self {
        let faults = Faults::default();
        let jobs = make(Jobs::builder(HookedStore::new(Arc::clone(&store), faults.clone()))).build();
        let api = set(Api::builder(&jobs).authenticator(tokens())).build().unwrap();
        Self { jobs, store, faults, router: api.router(), api }
    }

    pub(crate) async fn send(&self, ask: Ask) -> Reply {
        send(&self.router, ask).await
    }

    /// A job of alice with this many executions.
    pub(crate) async fn submit(&self, executions: usize) -> JobId {
        self.jobs.submit("alice", work(executions)).await.unwrap().id
    }

    /// A job of alice with this many executions, in a hand.
    pub(crate) async fn claimed(&self, executions: usize) -> (JobId, Hand, ClaimedJob) {
        let id = self.submit(executions).await;
        let hand = Hand::join(&self.store).await;
        let job = hand.claim().await;
        (id, hand, job)
    }

    /// A running job of alice, one of its two executions begun, with a live context.
    pub(crate) async fn running(&self) -> (JobId, JobContext) {
        let (id, hand, job) = self.claimed(2).await;
        let begun = hand.start(&job, 0).await;
        hand.run(&begun).await;
        let context = self.jobs.contexts().register(id.clone()).unwrap();
        (id, context)
    }

    pub(crate) async fn detail(&self, id: &JobId) -> JobDetail {
        self.jobs.get(id, ExecutionPage::ALL).await.unwrap().unwrap()
    }

    /// All that a refused request must leave as it was.
    pub(crate) async fn snapshot(&self, id: &JobId) -> (Option<JobDetail>, Vec<AuditEntry>, usize, bool) {
        let store = &self.store;
        let detail = store.get(id, ExecutionPage::ALL).await.unwrap();
        let all = store.list(&Default::default()).await.unwrap().jobs.len();
        (detail, store.audit(id).await.unwrap(), all, self.jobs.contexts().is_running(id))
    }
}

pub(crate) fn tokens() -> BearerTokens {
    BearerTokens::new()
        .with_token(token("alice"), Principal::owner("alice"))
        .and_then(|tokens| tokens.with_token(token("bob"), Principal::owner("bob")))
        .and_then(|tokens| tokens.with_token(token("root"), Principal::admin("root")))
        .unwrap()
}

/// The secret of a caller.
pub(crate) fn token(name: &str) -> String {
    format!("sesame-{name}-0123456789abcdef")
}

pub(crate) fn work(executions: usize) -> JobSpec {
    JobSpec::new((0..executions).map(|n| ExecutionSpec::new("work", json!(n))))
}

/// A request in the making. By alice unless said otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    method: Method,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Ask {
    pub(crate) fn get(target: impl Into<String>) -> Self {
        Self::new(Method::GET, target)
    }

    pub(crate) fn post(target: impl Into<String>) -> Self {
        Self::new(Method::POST, target)
    }

    pub(crate) fn cancel(id: impl std::fmt::Display) -> Self {
        Self::post(format!("/api/v1/jobs/{id}/cancel"))
    }

    pub(crate) fn new(method: Method, target: impl Into<String>) -> Self {
        let ask = Self { method, target: target.into(), headers: Vec::new(), body: Vec::new() };
        ask.by("alice")
    }

    pub(crate) fn by(self, name: &str) -> Self {
        self.nameless().header("authorization", format!("Bearer {}", token(name)))
    }

    /// Without a credential.
    pub(crate) fn nameless(mut self) -> Self {
        self.headers.retain(|(name, _)| name != "authorization");
        self
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").raw(body.to_string())
    }

    pub(crate) fn raw(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn to(mut self, target: impl Into<String>) -> Self {
        self.target = target.into();
        self
    }

    pub(crate) fn request(self) -> Request<Body> {
        let mut request = Request::builder().method(self.method).uri(self.target);
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        request.body(Body::from(self.body)).unwrap()
    }
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks that this is an answer, and gives its body.
    #[track_caller]
    pub(crate) fn ok(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/json");
        self.body
    }

    /// Checks that this is a problem in full form with these marks, and gives its body.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, code: &str) -> Value {
        assert_eq!((self.status.as_u16(), self.body["code"].as_str()), (status, Some(code)), "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["status"], status);
        for member in ["type", "title", "detail", "error"] {
            assert!(self.body[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {self:?}");
        }
        assert!(!self.body["error"].as_str().unwrap().contains('\n'), "{self:?}");
        let retry = self.headers.contains_key("retry-after");
        assert_eq!(retry, matches!(status, 429 | 503), "Retry-After belongs to 429 and 503: {self:?}");
        assert_eq!(self.headers.contains_key("www-authenticate"), status == 401, "{self:?}");
        self.body
    }
}

pub(crate) async fn send(router: &Router, ask: Ask) -> Reply {
    let request = ask.request();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = router.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    document::check(&method, &path, head.status, &head.headers, &body);
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    Reply { status: head.status, headers: head.headers, body }
}
