use std::sync::Arc;

use async_trait::async_trait;
use axum::http::request::Parts;

use super::{AuthRefusal, Authenticator, Principal};

/// Asks several authenticators one after another: the first that knows the credential tells.
///
/// ```
/// use beacon_jobs_http::auth::FirstOf;
/// use beacon_jobs_http::{BearerTokens, Principal};
///
/// let tokens = BearerTokens::new().with_token("alices-secret", Principal::owner("alice"))?;
/// let programs = BearerTokens::new().with_token("a-programs-secret", Principal::owner("backup"))?;
/// let either = FirstOf::default().then(tokens).then(programs);
/// # Ok::<_, beacon_jobs::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct FirstOf {
    all: Vec<Arc<dyn Authenticator>>,
}

impl FirstOf {
    /// Asks this one too, after those before.
    #[must_use]
    pub fn then(mut self, authenticator: impl Authenticator) -> Self {
        self.all.push(Arc::new(authenticator));
        self
    }
}

#[async_trait]
impl Authenticator for FirstOf {
    /// Who is known to one of them. Otherwise: unavailable if one of them was, as it might have known
    /// the credential; invalid if one of them saw one.
    async fn authenticate(&self, head: &Parts) -> Result<Principal, AuthRefusal> {
        let mut refusal = AuthRefusal::Missing;
        for authenticator in &self.all {
            match (authenticator.authenticate(head).await, &refusal) {
                (Ok(principal), _) => return Ok(principal),
                (Err(AuthRefusal::Missing), _) | (Err(_), AuthRefusal::Unavailable { .. }) => {}
                (Err(other), _) => refusal = other,
            }
        }
        Err(refusal)
    }
}
