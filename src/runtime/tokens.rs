//! Keeps each tenant's token: one request per lifetime, however many callers ask.
//!
//! Invariants:
//! - At most one token request runs for a tenant (single flight). All callers that wait for it share its answer, a token or a
//!   failure.
//! - A token is renewed in the background while it is still good ([`renew_in_background`]), so that only the first sweep
//!   waits for one. If that renewal fails, the old token is used until its end.
//! - After a 429 of a token service no tenant sends requests to it, and nothing else stops: tenants with a token go on. After
//!   the pause, requests start again one by one (`authorities`).
//! - After the API refuses a token it is renewed once, and not again while the new token is young.

use parking_lot::Mutex;
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
use crate::core::health::expiry::CredentialEnd;
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

/// The most renewals at a time, over all tenants. A renewal without an answer for a second no longer counts.
const RENEWALS: usize = 16;
/// If the API also refuses the token that replaced a refused one, that token is not renewed before this age.
const YOUNG: Duration = Duration::from_secs(5 * 60);
/// How often the tokens are checked for renewal.
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
    /// Locked while a request runs.
    request: tokio::sync::Mutex<LastRequest>,
    /// How many requests have ended. A caller that sees it change while it waits for the lock shares the answer.
    ended: AtomicU64,
    held: Mutex<Option<HeldToken>>,
    /// Pauses that the token service requested with a status other than 429.
    other_pauses: Mutex<Throttle>,
    /// The stamp of the credential before the last request, if that request failed.
    refused: Mutex<Option<u64>>,
}

/// How the last request failed. Its lock is the right to make a request.
#[derive(Default)]
struct LastRequest {
    failure: Option<Failure>,
}

#[derive(Clone)]
struct HeldToken {
    token: AccessToken,
    roles: Option<Arc<[String]>>,
    granted: Instant,
    /// When the token ends; the steady part counts from `granted`.
    ends: Look,
    renew: Instant,
    failed_renewals: u32,
    /// The token replaced one that the API refused, and the API has not accepted it yet.
    for_refused: bool,
}

impl TokenKeeper {
    pub fn new(tenant: TenantId, source: Arc<dyn TokenSource>, context: TokenContext) -> Self {
        Self {
            tenant,
            stamps: Stamps::new(source.clone()),
            source,
            context,
            request: tokio::sync::Mutex::default(),
            ended: AtomicU64::new(0),
            held: Mutex::new(None),
            other_pauses: Mutex::default(),
            refused: Mutex::new(None),
        }
    }

    /// Returns a valid token.
    pub async fn token(&self) -> Result<AccessToken, Failure> {
        if let Some(token) = self.good_token() {
            return Ok(token);
        }
        let request = self.request_guard().await;
        match self.good_token() {
            Some(token) => Ok(token),
            None => self.request(request?, false).await,
        }
    }

    /// Whether a new token may be accepted where `refused` was not. Right after a renewal for the same reason it would
    /// not be, and Entra answers too many requests with AADSTS50196.
    pub fn may_renew(&self, refused: &AccessToken) -> bool {
        let held = self.held.lock();
        held.as_ref().is_none_or(|held| {
            !held.token.same_as(refused) || !held.for_refused || held.granted.elapsed() >= YOUNG
        })
    }

    /// Records that the API has accepted `token`: a later refusal has another reason.
    pub fn note_served(&self, token: &AccessToken) {
        let mut held = self.held.lock();
        if let Some(held) = held.as_mut()
            && held.token.same_as(token)
        {
            held.for_refused = false;
        }
    }

    /// Returns a token other than `refused`, which the API answered with 401.
    pub async fn renew(&self, refused: &AccessToken) -> Result<AccessToken, Failure> {
        let request = self.request_guard().await;
        match self.good_token() {
            Some(token) if !token.same_as(refused) => Ok(token),
            _ => self.request(request?, true).await,
        }
    }

    /// Forgets `token`, which lacks a permission. A token's permissions never change, but the next token may have more.
    pub fn forget(&self, token: &AccessToken) {
        let mut held = self.held.lock();
        if held.as_ref().is_some_and(|held| held.token.same_as(token)) {
            *held = None;
        }
    }

    /// Whether a file of the credential has changed since the last token request, which failed. If so, the next may
    /// succeed.
    pub async fn credential_changed(&self) -> bool {
        let refused = *self.refused.lock();
        match refused {
            Some(refused) => self.stamps.look().await.is_some_and(|now| now != refused),
            None => false,
        }
    }

    /// The credential and its end, if that is known. May read a small file.
    pub fn credential_end(&self) -> Option<CredentialEnd> {
        self.source.credential_end()
    }

    /// Where an administrator of the tenant consents to the app, if the source knows.
    pub fn consent_link(&self) -> Option<String> {
        self.source.consent_link()
    }

    /// The application permissions in the token, if there is one and it can be read.
    pub fn roles(&self) -> Option<Arc<[String]>> {
        self.held()?.roles
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

    fn held(&self) -> Option<HeldToken> {
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
        let request = self.request_guard().await;
        if !self.renewal_is_due() {
            return;
        }
        let renewed = match request {
            Ok(request) => self.request(request, false).await.map(drop),
            Err(failure) => Err(failure),
        };
        if let Err(failure) = renewed {
            tracing::debug!(tenant = %self.tenant, error = %failure, "token renewal failed, the old token stays in use");
            let mut held = self.held.lock();
            if let Some(held) = held.as_mut() {
                held.failed_renewals += 1;
                let chance = jitter(self.tenant, Use::Backoff, u64::from(held.failed_renewals));
                held.renew = Instant::now() + pause(failure.reaction, held.failed_renewals, chance);
            }
        }
    }

    /// Waits until no request runs. `Err`: the failure of the request that it waited for.
    async fn request_guard(&self) -> Result<tokio::sync::MutexGuard<'_, LastRequest>, Failure> {
        let before = self.ended.load(Ordering::Acquire);
        let request = self.request.lock().await;
        let waited = self.ended.load(Ordering::Acquire) != before;
        match &request.failure {
            Some(failure) if waited => Err(failure.clone()),
            _ => Ok(request),
        }
    }

    /// Makes one request, and shares its outcome with all waiting callers. If it is dropped early, the next caller
    /// makes one.
    async fn request(
        &self,
        mut request: tokio::sync::MutexGuard<'_, LastRequest>,
        for_refused: bool,
    ) -> Result<AccessToken, Failure> {
        let outcome = self.exchange(for_refused).await;
        request.failure = outcome.as_ref().err().cloned();
        self.ended.fetch_add(1, Ordering::Release);
        outcome
    }

    async fn exchange(&self, for_refused: bool) -> Result<AccessToken, Failure> {
        let entry = self.context.authorities.enter(self.source.authority())?;
        // Read the stamp before the request: a file that changes while Entra refuses its old content counts as changed.
        // After a look without an answer, any later answer counts as a change.
        let stamp = self.stamps.look().await.unwrap_or_default();
        let answer = self.source.request().await;
        *self.refused.lock() = answer.is_err().then_some(stamp);
        self.context
            .observer
            .see(Event::TokenRequest { ok: answer.is_ok() });
        let sent = entry.sent();
        let grant = match entry.end(answer) {
            Ok(grant) => grant,
            Err(failure) => return Err(self.lengthened(failure, sent)),
        };
        *self.other_pauses.lock() = Throttle::default();
        let ends_at = self.context.clock.now().plus(grant.lifetime);
        let now = Instant::now();
        let chance = jitter(
            self.tenant,
            Use::Renewal,
            ends_at.unix_seconds().cast_unsigned(),
        );
        *self.held.lock() = Some(HeldToken {
            token: grant.token.clone(),
            roles: grant.roles,
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

    /// Lengthens a pause that is requested repeatedly. The pause of a 429 has grown already, for the whole authority.
    fn lengthened(&self, mut failure: Failure, sent: Duration) -> Failure {
        if let (Reaction::Wait(asked), false) = (failure.reaction, failure.status == Some(429)) {
            let now = self.context.authorities.now();
            let pause = self.other_pauses.lock().refused(asked, sent, now);
            failure.reaction = Reaction::Wait(pause);
        }
        failure
    }
}

/// Renews the tokens of `keepers` before they end, until `stop`. Calls `keepers` at each check. A token service without
/// an answer delays only its own renewals.
pub async fn renew_in_background(
    mut keepers: impl FnMut() -> Vec<Arc<TokenKeeper>>,
    stop: CancellationToken,
) {
    let permits = Permits::new(RENEWALS);
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
                let permits = permits.clone();
                let renewal = renewals.spawn(async move {
                    let mut permit = permits.take(Lane::Main).await;
                    permit.wait(keeper.renew_if_due()).await;
                });
                at_work.insert(tenant, renewal);
            }
        }
    }
}

#[cfg(test)]
mod tests;
