//! Who is asking, by an API key of one's own: `cargo run -p beacon-jobs-examples --example api_key`,
//! then the line that it prints.

use std::collections::BTreeMap;
use std::error::Error;

use async_trait::async_trait;
use axum::http::request::Parts;
use beacon_jobs::Jobs;
use beacon_jobs::store::{MemoryStore, TokenHash};
use beacon_jobs_http::auth::AuthRefusal;
use beacon_jobs_http::{Api, Authenticator, Principal};

/// Knows customers by the header `X-Api-Key`. Only hashes of the keys are kept, as in a database.
#[derive(Debug, Default)]
pub struct ApiKeys {
    customers: BTreeMap<TokenHash, String>,
}

impl ApiKeys {
    /// Adds a customer with a key, which is made of at least 128 random bits.
    #[must_use]
    pub fn with(mut self, key: &str, customer: &str) -> Self {
        self.customers.insert(TokenHash::of(key.as_bytes()), customer.to_owned());
        self
    }
}

#[async_trait]
impl Authenticator for ApiKeys {
    async fn authenticate(&self, head: &Parts) -> Result<Principal, AuthRefusal> {
        let key = head.headers.get("x-api-key").ok_or(AuthRefusal::Missing)?;
        let customer = self.customers.get(&TokenHash::of(key.as_bytes())).ok_or(AuthRefusal::Invalid)?;
        Ok(Principal::owner(customer))
    }
}

/// The API for these customers.
pub fn service(jobs: &Jobs, keys: ApiKeys) -> beacon_jobs::Result<axum::Router> {
    Ok(Api::builder(jobs).authenticator(keys).build()?.router())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let keys = ApiKeys::default().with("a-key-for-the-example-0123456789", "acme");
    let router = service(&Jobs::new(MemoryStore::new()), keys)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    println!("curl -H 'X-Api-Key: a-key-for-the-example-0123456789' http://{address}/api/v1/jobs");
    axum::serve(listener, router).await?;
    Ok(())
}
