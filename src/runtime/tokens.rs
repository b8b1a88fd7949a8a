//! Keeps each tenant's token: one request for one lifetime, however many ask.
//!
//! Invariants:
//! - Of one tenant at most one token request is on its way (single flight); who waits for it shares its answer, be it a
//!   token or a failure.
//! - A token is renewed in the background while it is still good ([`renew_in_background`]), so that no sweep waits for
//!   one, except the first. When that renewal fails, the old token serves on to its end.
//! - A 429 of the token service stops requests to that authority, for every tenant, and stops nothing else: tenants with
//!   a token go on. After the pause requests begin anew one by one (`authorities`).
//! - A token is renewed for a refusal of the API's once, and not again while the new one is young.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

pub use self::authorities::Authorities;
use self::stamps::Stamps;
use super::limits::{Lane, Permits};
use crate::core::health::failure::{Failure, Reaction};
use crate::core::ids::TenantId;
use crate::core::pace::backoff::{pause, renewal_age};
use crate::core::pace::throttle::Throttle;
use crate::core::time::spread::{Use, jitter};
use crate::core::time::ticks::Ticks;
use crate::core::time::wallclock::Look;
use crate::ports::{AccessToken, Clock, Event, Observer, TokenSource};

mod authorities;
mod stamps;

/// Renewals on their way at once, over all tenants; one that is silent for a second counts no more.
const RENEWALS: usize = 16;
/// A token that was renewed because its forerunner was refused, and is refused as well, is not renewed before.
const YOUNG: Duration = Duration::from_secs(5 * 60);
/// How often tokens are looked over.
const LOOK: Duration = Duration::from_secs(1);

/// What all keepers share.
#[derive(Clone)]
pub struct TokenContext {
    pub authorities: Arc<Authorities>,
    pub observer: Arc<dyn Observer>,
    pub clock: Arc<dyn Clock>,
}

/// One tenant's token.
pub struct TokenKeeper {
    tenant: TenantId,
    source: Arc<dyn TokenSource>,
    stamps: Stamps,
    context: TokenContext,
    /// Held while a request is on its way.
    flight: tokio::sync::Mutex<Flight>,
    /// How many requests have ended.
    landed: AtomicU64,
    held: Mutex<Option<Held>>,
    /// Requests that failed with a pause asked for, other than for being too many.
    stumbles: Mutex<Throttle>,
    /// The credential's stamp before the last request that was made, if that failed.
    refused: Mutex<Option<u64>>,
}

/// The right to make a request, and how the last one failed.
#[derive(Default)]
struct Flight {
    failure: Option<Failure>,
}

#[derive(Clone)]
struct Held {
    token: AccessToken,
    granted: Instant,
    /// Counted from `granted` on.
    ends: Look,
    renew: Instant,
    failed_renewals: u32,
    /// It took the place of one that the API had refused, and was not accepted yet.
    for_refused: bool,
}

impl TokenKeeper {
    pub fn new(tenant: TenantId, source: Arc<dyn TokenSource>, context: TokenContext) -> Self {
        Self {
            tenant,
            stamps: Stamps::new(source.clone()),
            source,
            context,
            flight: tokio::sync::Mutex::default(),
            landed: AtomicU64::new(0),
            held: Mutex::new(None),
            stumbles: Mutex::default(),
            refused: Mutex::new(None),
        }
    }

    /// A token that is good now.
    pub async fn token(&self) -> Result<AccessToken, Failure> {
        if let Some(token) = self.good_token() {
            return Ok(token);
        }
        let flight = self.board().await;
        match self.good_token() {
            Some(token) => Ok(token),
            None => self.request(flight?, false).await,
        }
    }

    /// Whether another token may fare better than `refused`. One that was renewed for the same reason a moment ago would
    /// not, and each renewal is a request: Entra answers too many of them with AADSTS50196.
    pub fn may_renew(&self, refused: &AccessToken) -> bool {
        let held = self.held.lock();
        held.as_ref().is_none_or(|held| {
            !held.token.same_as(refused) || !held.for_refused || held.granted.elapsed() >= YOUNG
        })
    }

    /// The API has accepted `token`: when it is refused later on, that is another matter.
    pub fn note_served(&self, token: &AccessToken) {
        let mut held = self.held.lock();
        if let Some(held) = held.as_mut()
            && held.token.same_as(token)
        {
            held.for_refused = false;
        }
    }

    /// A token other than `refused`, which the API answered with 401.
    pub async fn renew(&self, refused: &AccessToken) -> Result<AccessToken, Failure> {
        let flight = self.board().await;
        match self.good_token() {
            Some(token) if !token.same_as(refused) => Ok(token),
            _ => self.request(flight?, true).await,
        }
    }

    /// Forgets `token`, which the API understood and found too weak: permissions are frozen in a token, so the next one
    /// may have more.
    pub fn forget(&self, token: &AccessToken) {
        let mut held = self.held.lock();
        if held.as_ref().is_some_and(|held| held.token.same_as(token)) {
            *held = None;
        }
    }

    /// Whether a file of the credential has changed since the last token request, which failed: the next one may not.
    pub async fn credential_changed(&self) -> bool {
        let refused = *self.refused.lock();
        match refused {
            Some(refused) => self.stamps.look().await.is_some_and(|now| now != refused),
            None => false,
        }
    }

    /// When what the app proves itself with ends, where that is known. May read a small file.
    pub fn credential_expires(&self) -> Option<Ticks> {
        self.source.credential_expires()
    }

    /// When the token ends, for the status page.
    pub fn expires(&self) -> Option<Ticks> {
        let held = self.held()?;
        let now = Look {
            wall: self.context.clock.now(),
            steady: held.granted.elapsed(),
        };
        Some(held.ends.seen_from(now))
    }

    fn held(&self) -> Option<Held> {
        self.held.lock().clone()
    }

    fn good_token(&self) -> Option<AccessToken> {
        let held = self.held()?;
        (held.ends.steady > held.granted.elapsed()).then_some(held.token)
    }

    fn renewal_is_due(&self) -> bool {
        self.held().is_some_and(|held| held.renew <= Instant::now())
    }

    async fn renew_if_due(&self) {
        let flight = self.board().await;
        if !self.renewal_is_due() {
            return;
        }
        let renewed = match flight {
            Ok(flight) => self.request(flight, false).await.map(drop),
            Err(failure) => Err(failure),
        };
        if let Err(failure) = renewed {
            tracing::debug!(tenant = %self.tenant, error = %failure, "token renewal failed, the old token serves on");
            let mut held = self.held.lock();
            if let Some(held) = held.as_mut() {
                held.failed_renewals += 1;
                let chance = jitter(self.tenant, Use::Backoff, u64::from(held.failed_renewals));
                held.renew = Instant::now() + pause(failure.reaction, held.failed_renewals, chance);
            }
        }
    }

    /// Waits until no request is on its way. `Err` is the failure of the one that was waited for.
    async fn board(&self) -> Result<tokio::sync::MutexGuard<'_, Flight>, Failure> {
        let before = self.landed.load(Ordering::Acquire);
        let flight = self.flight.lock().await;
        let waited = self.landed.load(Ordering::Acquire) != before;
        match &flight.failure {
            Some(failure) if waited => Err(failure.clone()),
            _ => Ok(flight),
        }
    }

    /// One exchange, whose outcome is left to those who wait for it. Dropped half-way, it leaves the next of them to ask.
    async fn request(
        &self,
        mut flight: tokio::sync::MutexGuard<'_, Flight>,
        for_refused: bool,
    ) -> Result<AccessToken, Failure> {
        let outcome = self.exchange(for_refused).await;
        flight.failure = outcome.as_ref().err().cloned();
        self.landed.fetch_add(1, Ordering::Release);
        outcome
    }

    async fn exchange(&self, for_refused: bool) -> Result<AccessToken, Failure> {
        let entry = self.context.authorities.enter(self.source.authority())?;
        // Taken before: a file that changes while Entra refuses what stood in it counts as changed.
        // Where the disk was silent, one that answers later on counts as a change.
        let stamp = self.stamps.look().await.unwrap_or_default();
        let answer = self.source.request().await;
        *self.refused.lock() = answer.is_err().then_some(stamp);
        self.context
            .observer
            .see(Event::TokenRequest { ok: answer.is_ok() });
        let sent = entry.sent();
        let grant = match entry.end(answer) {
            Ok(grant) => grant,
            Err(failure) => return Err(self.heed(failure, sent)),
        };
        *self.stumbles() = Throttle::default();
        let ends_at = self.context.clock.now().plus(grant.lifetime);
        let now = Instant::now();
        let chance = jitter(
            self.tenant,
            Use::Renewal,
            ends_at.unix_seconds().cast_unsigned(),
        );
        *self.held.lock() = Some(Held {
            token: grant.token.clone(),
            granted: now,
            ends: Look {
                wall: ends_at,
                steady: grant.lifetime,
            },
            renew: now + renewal_age(grant.lifetime, chance),
            failed_renewals: 0,
            for_refused,
        });
        Ok(grant.token)
    }

    /// A pause that is asked for again and again grows. That of a 429 has grown already, for the whole authority.
    fn heed(&self, mut failure: Failure, sent: Duration) -> Failure {
        if let (Reaction::Wait(asked), false) = (failure.reaction, failure.status == Some(429)) {
            let now = self.context.authorities.now();
            let pause = self.stumbles().refused(asked, sent, now);
            failure.reaction = Reaction::Wait(pause);
        }
        failure
    }

    fn stumbles(&self) -> MutexGuard<'_, Throttle> {
        self.stumbles.lock()
    }
}

/// Renews the tokens of `keepers`, who are asked for each time, before they end, until `stop`. A token service that is
/// silent holds up nobody's renewal but its own.
pub async fn renew_in_background(
    mut keepers: impl FnMut() -> Vec<Arc<TokenKeeper>>,
    stop: CancellationToken,
) {
    let slots = Permits::new(RENEWALS);
    let mut renewals = JoinSet::new();
    let mut at_work: HashMap<TenantId, AbortHandle> = HashMap::new();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(look.tick()).await.is_some() {
        while renewals.try_join_next().is_some() {}
        at_work.retain(|_, renewal| !renewal.is_finished());
        for keeper in keepers() {
            let tenant = keeper.tenant;
            if keeper.renewal_is_due() && !at_work.contains_key(&tenant) {
                let slots = slots.clone();
                let renewal = renewals.spawn(async move {
                    let mut slot = slots.take(Lane::Main).await;
                    slot.wait(keeper.renew_if_due()).await;
                });
                at_work.insert(tenant, renewal);
            }
        }
    }
}

#[cfg(test)]
mod tests;
