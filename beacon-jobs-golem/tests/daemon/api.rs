//! The REST API of a daemon, as the tests and their provider use it.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

/// Longer than any call here is held. A frozen daemon answers nothing at all.
const LIMIT: Duration = Duration::from_secs(8);

#[derive(Clone, Debug)]
pub(crate) struct Api {
    http: reqwest::Client,
    pub(crate) base: String,
    pub(crate) key: String,
}

impl Api {
    pub(crate) fn new(base: String, key: String) -> Self {
        // Another test of this process may have set it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(LIMIT).build().unwrap();
        Self { http, base, key }
    }

    /// The answer of a call: its status, and its body as far as that is JSON. The error says why there is none.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(u16, Value), String> {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
        let status = answer.status().as_u16();
        let text = answer.text().await.map_err(|error| format!("{error:?}"))?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    /// What a successful call brings.
    async fn good(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, String> {
        match self.call(method.clone(), path, body).await? {
            (200..=299, body) => Ok(body),
            (status, body) => Err(format!("{method} {path}: {status} {body}")),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, String> {
        self.good(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Result<Value, String> {
        self.good(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Result<Value, String> {
        self.good(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn answers(&self) -> bool {
        self.get("/me").await.is_ok()
    }
}
