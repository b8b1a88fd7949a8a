//! A token, and how long it lives.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use secrecy::SecretString;
use tokio::time::Instant;

use crate::settings::oauth::OauthSettings;

/// The part of its life after which it is renewed.
const RENEWAL: f64 = 0.7;
/// Between two exchanges, however short tokens live.
const SHORTEST: Duration = Duration::from_secs(1);

/// Moments of both clocks: the one stops while the machine is suspended, and the other can be set.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    steady: Instant,
    wall: SystemTime,
}

impl Moment {
    pub(super) fn now() -> Self {
        Self {
            steady: Instant::now(),
            wall: wall_clock(),
        }
    }

    /// Seconds since 1970, by this machine's clock.
    pub(super) fn unix(self) -> f64 {
        let since = self.wall.duration_since(UNIX_EPOCH);
        since.unwrap_or_default().as_secs_f64()
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "librdkafka compares with this machine's own clock"
)]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

#[derive(Clone)]
pub(in crate::kafka) struct LogInToken {
    pub(super) value: SecretString,
    /// What librdkafka calls its user in texts.
    pub(super) client_id: String,
    /// What Kafka gets beside it (RFC 7628, section 3.1).
    pub(super) extensions: Arc<[(String, String)]>,
    life: Duration,
    since: Moment,
}

impl LogInToken {
    /// `since`: when it was asked for.
    pub(super) fn new(
        value: SecretString,
        settings: &OauthSettings,
        life: Duration,
        since: Moment,
    ) -> Self {
        Self {
            value,
            client_id: settings.client_id.clone(),
            extensions: Arc::clone(&settings.extensions),
            life,
            since,
        }
    }

    /// What is left of its life; the shorter time, where the clocks differ.
    pub(in crate::kafka) fn left(&self) -> Duration {
        let steady = self.since.steady.elapsed();
        let wall = wall_clock().duration_since(self.since.wall);
        self.life
            .saturating_sub(steady.max(wall.unwrap_or_default()))
    }

    /// How long to wait before it is renewed.
    pub(super) fn renewal(&self) -> Duration {
        let of_life = self.life.mul_f64(RENEWAL);
        let gone = self.life.saturating_sub(self.left());
        of_life.saturating_sub(gone).max(SHORTEST)
    }

    /// When it expires, by this machine's clock, in milliseconds since 1970.
    pub(super) fn end(&self) -> i64 {
        let end = wall_clock() + self.left();
        let since_1970 = end.duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
    }
}
