//! How often somebody may ask.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::api::Shared;
use crate::problem::{Code, Problem};

/// How many requests pass before those who have not asked for a while are forgotten.
const FORGET_EVERY: u32 = 4096;

/// So many requests a minute for each principal, and for each address. A cancel is never counted.
#[derive(Debug)]
pub(crate) struct RateLimit {
    principals: DefaultKeyedRateLimiter<String>,
    addresses: DefaultKeyedRateLimiter<IpAddr>,
    clock: DefaultClock,
    passed: AtomicU32,
}

impl RateLimit {
    /// All of a minute's requests may come at once.
    pub(crate) fn new(per_minute: NonZeroU32) -> Self {
        let quota = Quota::per_minute(per_minute);
        Self {
            principals: RateLimiter::keyed(quota),
            addresses: RateLimiter::keyed(quota),
            clock: DefaultClock::default(),
            passed: AtomicU32::new(0),
        }
    }

    pub(crate) fn principal(&self, id: &str) -> Result<(), Problem> {
        self.judge(self.principals.check_key(&id.to_owned()))
    }

    fn address(&self, address: IpAddr) -> Result<(), Problem> {
        self.judge(self.addresses.check_key(&network(address)))
    }

    fn judge(
        &self,
        checked: Result<(), governor::NotUntil<governor::clock::QuantaInstant>>,
    ) -> Result<(), Problem> {
        if self.passed.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            self.principals.retain_recent();
            self.addresses.retain_recent();
        }
        checked.map_err(|not_until| {
            let wait = not_until.wait_time_from(self.clock.now()).as_secs() + 1;
            Problem::new(Code::TooManyRequests, format!("too many requests; ask again in {wait} s"))
                .with_retry_after(wait)
        })
    }
}

/// Whoever has one address of a network of IPv6 has them all.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}

/// Refuses what an address asks too often. Who lets axum tell the addresses gets this.
///
/// # Cancellation safety
/// That of the route.
pub(crate) async fn by_address(State(api): State<Shared>, request: Request, next: Next) -> Response {
    let from = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|from| from.0.ip());
    if let (Some(limit), Some(from)) = (&api.rate_limit, from)
        && !is_cancel(&request)
        && let Err(problem) = limit.address(from)
    {
        return problem.into_response();
    }
    next.run(request).await
}

/// Whose money runs must be heard, whatever else asked from there.
fn is_cancel(request: &Request) -> bool {
    request.method() == Method::POST && request.uri().path().ends_with("/cancel")
}
