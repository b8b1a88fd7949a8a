//! Token services, and the pauses that they request.
//!
//! A 429 of Entra counts for the app in all tenants: "wait for this authority, not just this tenant". After the pause,
//! all tenants that need a token would ask at once. So one request goes first, and each answer other than 429 allows
//! one more at a time. A pause that was too short then costs one request, not one per tenant.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::core::health::failure::{Failure, Health, Reaction};
use crate::core::pace::throttle::Throttle;

/// A token service that answers this many requests at once has recovered.
const RECOVERED: u32 = 64;
/// How long a tenant waits while others go first.
const BEHIND: Duration = Duration::from_secs(2);

/// The token services of a process, by scheme, host and port.
#[derive(Debug)]
pub struct Authorities {
    started: Instant,
    known: Mutex<HashMap<String, Authority>>,
}

#[derive(Debug, Default)]
struct Authority {
    throttle: Throttle,
    /// No request goes out before this, on the clock of [`Authorities::now`].
    closed_until: Duration,
    /// The requests that may run at once after a pause.
    allowed: Option<u32>,
    running: u32,
}

impl Default for Authorities {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            known: Mutex::default(),
        }
    }
}

impl Authorities {
    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Admits one request.
    ///
    /// # Errors
    /// `throttled`: a pause is not over yet, or other requests go first after it.
    pub(super) fn enter<'a>(
        self: &'a Arc<Self>,
        name: &'a str,
    ) -> Result<AuthorityRequest<'a>, Failure> {
        let sent = self.now();
        let mut known = self.known.lock();
        let authority = known.entry(name.to_owned()).or_default();
        let left = authority.closed_until.saturating_sub(sent);
        if !left.is_zero() {
            return Err(paused(left));
        }
        let allowed = authority.allowed.unwrap_or(u32::MAX);
        if authority.running >= allowed {
            return Err(paused(BEHIND));
        }
        authority.running += 1;
        Ok(AuthorityRequest {
            authorities: self,
            name,
            sent,
        })
    }
}

fn paused(left: Duration) -> Failure {
    Failure::new(
        Health::Throttled,
        Reaction::Wait(left),
        "the token service asked all tenants of this app to pause",
        "nothing to do: token requests go on by themselves; if this comes often, look for other programs that use the same \
         app registration",
    )
    // The same cause as for the 429 itself, so that both belong to one alarm.
    .caused_by("entra 429")
}

/// A running request.
pub(super) struct AuthorityRequest<'a> {
    authorities: &'a Arc<Authorities>,
    name: &'a str,
    sent: Duration,
}

impl AuthorityRequest<'_> {
    /// When it was sent.
    pub(super) fn sent(&self) -> Duration {
        self.sent
    }

    /// Records the answer. The pause of a 429 becomes the pause of the authority, and grows with each 429.
    pub(super) fn end<T>(self, answer: Result<T, Failure>) -> Result<T, Failure> {
        let now = self.authorities.now();
        let mut known = self.authorities.known.lock();
        let authority = known.entry(self.name.to_owned()).or_default();
        match answer {
            Err(mut failure) if failure.status == Some(429) => {
                if let Reaction::Wait(asked) = failure.reaction {
                    let pause = authority.throttle.refused(asked, self.sent, now);
                    authority.closed_until = authority.closed_until.max(now + pause);
                    failure.reaction = Reaction::Wait(authority.closed_until - now);
                }
                authority.allowed = Some(1);
                Err(failure)
            }
            // A missing answer says nothing about the number of requests.
            Err(failure) if failure.status.is_none() => Err(failure),
            answer => {
                authority.throttle.served();
                let allowed = authority.allowed.map(|allowed| allowed.saturating_add(1));
                authority.allowed = allowed.filter(|allowed| *allowed < RECOVERED);
                answer
            }
        }
    }
}

impl Drop for AuthorityRequest<'_> {
    fn drop(&mut self) {
        if let Some(authority) = self.authorities.known.lock().get_mut(self.name) {
            authority.running = authority.running.saturating_sub(1);
        }
    }
}
