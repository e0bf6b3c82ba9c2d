//! Signing in with a wallet: a message as EIP-4361 has it, signed as EIP-191 says, for a session.

mod address;
mod message;
mod personal;
mod signature;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use beacon_jobs::clock::{Clock, SystemClock};
use beacon_jobs::store::{NewSession, SessionStore, TokenHash};
use beacon_jobs::{Error, ErrorKind, Result};
use time::OffsetDateTime;

use self::message::Message;
pub use self::personal::verify_personal_sign;
use self::signature::WalletSignature;
use crate::auth::{AuthRefusal, Authenticator, Principal, bearer};
use crate::cors;

/// How far the clocks of a browser and this server may differ.
const SKEW: Duration = Duration::from_secs(60);

/// The length of a token: 256 bits as base64.
const TOKEN: usize = 43;

/// Lets people sign in with their wallet. Cloning is cheap.
///
/// 1. The page asks for a nonce, which is good for a few minutes and for one sign-in.
/// 2. The wallet signs a message that names this server, its address and the nonce.
/// 3. The server checks all of it and opens a session. Its token is 256 random bits, of which only
///    the SHA-256 is stored; it is shown as `Authorization: Bearer <token>`, as every other.
///
/// Whoever signs in is a principal with the role of an owner, whose id is the address in lower case.
///
/// The message must have: this server's domain, and its scheme where it has one; a URI of this
/// server; version 1; a chain id that is allowed; a nonce of this server, used for the first time; a
/// time of issue no more than the nonce's life ago; and where it has them, an expiration in the future
/// (which ends the session too) and a beginning in the past. The address must be as EIP-55 has it, or
/// in one case. Only an account's own key can sign: wallets that are contracts (EIP-1271) are refused.
#[derive(Clone)]
pub struct WalletSignIn {
    inner: Arc<Inner>,
}

struct Inner {
    sessions: Arc<dyn SessionStore>,
    clock: Arc<dyn Clock>,
    scheme: String,
    domain: String,
    chain_ids: BTreeSet<u64>,
    nonce_lifetime: Duration,
    session_lifetime: Duration,
}

/// Puts [`WalletSignIn`] together.
#[derive(Debug)]
pub struct WalletSignInBuilder {
    sessions: Arc<dyn SessionStore>,
    clock: Arc<dyn Clock>,
    public_url: String,
    chain_ids: BTreeSet<u64>,
    nonce_lifetime: Duration,
    session_lifetime: Duration,
}

/// Why somebody was not signed in.
#[derive(Debug)]
pub(crate) enum SignInError {
    /// A member of the request has another form.
    Malformed(&'static str, String),
    /// The proof does not hold; the part of the message, and what is wrong with it.
    Refused(&'static str, String),
    /// The store failed.
    Store(Error),
}

/// Somebody who has signed in.
pub(crate) struct SignedIn {
    pub(crate) token: String,
    pub(crate) address: String,
    pub(crate) expires_at: OffsetDateTime,
}

impl WalletSignIn {
    /// Sign-in to the server that browsers reach under this URL, `https://host` or
    /// `https://host:port`, with sessions in this store.
    pub fn builder(sessions: impl SessionStore, public_url: impl Into<String>) -> WalletSignInBuilder {
        WalletSignInBuilder {
            sessions: Arc::new(sessions),
            clock: Arc::new(SystemClock),
            public_url: public_url.into(),
            chain_ids: BTreeSet::from([1]),
            nonce_lifetime: Duration::from_secs(300),
            session_lifetime: Duration::from_secs(12 * 3600),
        }
    }

    /// Gives out a nonce. Returns it, and until when it is good.
    ///
    /// # Cancellation safety
    /// When dropped, a nonce may be given out that nobody knows.
    pub(crate) async fn nonce(&self) -> Result<(String, OffsetDateTime)> {
        let nonce: String = random::<16>()?.iter().map(|byte| format!("{byte:02x}")).collect();
        let expires_at = self.inner.sessions.give_nonce(&nonce, self.inner.nonce_lifetime).await?;
        Ok((nonce, expires_at))
    }

    /// Opens a session for whoever signed this message.
    ///
    /// # Cancellation safety
    /// When dropped, a session may be open whose token nobody knows.
    pub(crate) async fn sign_in(&self, text: &str, signature: &str) -> Result<SignedIn, SignInError> {
        let message = Message::read(text).map_err(|why| SignInError::Malformed("message", why))?;
        let signature = WalletSignature::read(signature)
            .map_err(|why| SignInError::Malformed("signature", why.to_owned()))?;
        let lifetime = self.check(&message)?;
        if signature.signer(text) != Some(message.address) {
            let why = format!("is not by {}, or of another message", message.address);
            return Err(SignInError::Refused("signature", why));
        }
        // Last, so that nobody can use up a nonce without a proof.
        let token = URL_SAFE_NO_PAD.encode(random::<32>().map_err(SignInError::Store)?);
        let address = message.address.to_string();
        let session =
            NewSession { token: TokenHash::of(token.as_bytes()), subject: address.clone(), lifetime };
        let opened = self.inner.sessions.open_session(message.nonce, &session).await;
        match opened.map_err(SignInError::Store)? {
            Some(expires_at) => Ok(SignedIn { token, address, expires_at }),
            None => {
                let why = "was used before, has expired, or is of another server; ask for a new one";
                Err(SignInError::Refused("nonce", why.to_owned()))
            }
        }
    }

    /// Checks all of a message but its signature and nonce. Returns how long the session may last.
    fn check(&self, message: &Message<'_>) -> Result<Duration, SignInError> {
        let Inner { scheme, domain, chain_ids, nonce_lifetime, session_lifetime, clock, .. } = &*self.inner;
        let refuse = |field, why: String| Err(SignInError::Refused(field, why));
        if message.version != "1" {
            return refuse("version", "is not 1".to_owned());
        }
        if !message.domain.eq_ignore_ascii_case(domain) {
            return refuse("domain", format!("is not {domain}, by which this server is known"));
        }
        if message.scheme.is_some_and(|given| !given.eq_ignore_ascii_case(scheme)) {
            return refuse("domain", format!("has another scheme than {scheme}"));
        }
        if !is_below(message.uri, scheme, domain) {
            return refuse("uri", format!("is not one of {scheme}://{domain}"));
        }
        if !chain_ids.contains(&message.chain_id) {
            let allowed: Vec<_> = chain_ids.iter().map(u64::to_string).collect();
            return refuse("chain_id", format!("is not allowed here; allowed: {}", allowed.join(" ")));
        }
        let now = clock.now();
        if message.issued_at > now + SKEW {
            return refuse("issued_at", "is in the future; is the clock of this device right?".to_owned());
        }
        if message.issued_at + *nonce_lifetime + SKEW < now {
            return refuse("issued_at", "is too long ago; sign a new message".to_owned());
        }
        if message.not_before.is_some_and(|not_before| not_before > now) {
            return refuse("not_before", "is in the future".to_owned());
        }
        let Some(expiration_time) = message.expiration_time else { return Ok(*session_lifetime) };
        match Duration::try_from(expiration_time - now) {
            Ok(left) if !left.is_zero() => Ok(left.min(*session_lifetime)),
            _ => refuse("expiration_time", "has passed".to_owned()),
        }
    }

    /// Ends the session whose token a request shows.
    ///
    /// # Cancellation safety
    /// When dropped, the session may or may not be ended.
    pub(crate) async fn sign_out(&self, head: &Parts) -> Result<bool, AuthRefusal> {
        let token = token(head)?;
        self.inner.sessions.end_session(&token).await.map_err(|error| unavailable(&error))
    }
}

/// Whether a URI is the origin of this server or one below it.
fn is_below(uri: &str, scheme: &str, domain: &str) -> bool {
    let Some((its_scheme, rest)) = uri.split_once("://") else { return false };
    let (its_domain, _) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    its_scheme.eq_ignore_ascii_case(scheme) && its_domain.eq_ignore_ascii_case(domain)
}

fn token(head: &Parts) -> Result<TokenHash, AuthRefusal> {
    let token = bearer(head)?;
    if token.len() == TOKEN { Ok(TokenHash::of(token)) } else { Err(AuthRefusal::Invalid) }
}

fn unavailable(error: &Error) -> AuthRefusal {
    AuthRefusal::Unavailable { why: error.to_string() }
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::new(ErrorKind::Unavailable, format!("this machine gives no random bytes: {error}"))
    })?;
    Ok(bytes)
}

#[async_trait]
impl Authenticator for WalletSignIn {
    async fn authenticate(&self, head: &Parts) -> Result<Principal, AuthRefusal> {
        let session = self.inner.sessions.session(&token(head)?).await;
        match session.map_err(|error| unavailable(&error))? {
            Some(session) => Ok(Principal::owner(session.subject)),
            None => Err(AuthRefusal::Invalid),
        }
    }
}

impl fmt::Debug for WalletSignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WalletSignIn").field("domain", &self.inner.domain).finish_non_exhaustive()
    }
}

impl WalletSignInBuilder {
    /// Sets the chains that a message may name, by their EIP-155 ids; 1, Ethereum, by default.
    #[must_use]
    pub fn chain_ids(mut self, chain_ids: impl IntoIterator<Item = u64>) -> Self {
        self.chain_ids = chain_ids.into_iter().collect();
        self
    }

    /// Sets how long a nonce is good: 30 s to 1 h, 5 min by default.
    #[must_use]
    pub fn nonce_lifetime(mut self, lifetime: Duration) -> Self {
        self.nonce_lifetime = lifetime;
        self
    }

    /// Sets how long a session is open: 1 min to 90 days, 12 h by default.
    #[must_use]
    pub fn session_lifetime(mut self, lifetime: Duration) -> Self {
        self.session_lifetime = lifetime;
        self
    }

    /// Uses another clock than the machine's for the times in messages.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The sign-in.
    ///
    /// # Errors
    /// `InvalidInput` names the setting that is not allowed.
    pub fn build(self) -> Result<WalletSignIn> {
        let seconds = |name: &str, given: Duration, least: u64, most: u64| {
            if (Duration::from_secs(least)..=Duration::from_secs(most)).contains(&given) {
                return Ok(());
            }
            Err(Error::invalid(
                name,
                format!("must be from {least} to {most} seconds, is {}", given.as_secs()),
            ))
        };
        seconds("nonce_lifetime", self.nonce_lifetime, 30, 3600)?;
        seconds("session_lifetime", self.session_lifetime, 60, 90 * 24 * 3600)?;
        if self.chain_ids.is_empty() {
            return Err(Error::invalid("chain_ids", "must name at least one chain"));
        }
        cors::origin(&self.public_url).map_err(|error| Error::invalid("public_url", error.message()))?;
        let (scheme, domain) = self.public_url.split_once("://").unwrap_or_default();
        Ok(WalletSignIn {
            inner: Arc::new(Inner {
                scheme: scheme.to_owned(),
                domain: domain.to_owned(),
                sessions: self.sessions,
                clock: self.clock,
                chain_ids: self.chain_ids,
                nonce_lifetime: self.nonce_lifetime,
                session_lifetime: self.session_lifetime,
            }),
        })
    }
}
