//! A token, and how long it lives.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::client::OAuthToken;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

/// The part of its life after which it is renewed: before librdkafka asks for the next one, at four fifths.
const RENEWAL: f64 = 0.7;
/// How long a client keeps a token for: it asks again after four fifths of this. So a token that comes early, after Kafka has
/// refused the last one, reaches all clients.
const LENT: Duration = Duration::from_secs(60);
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
    life: Duration,
    since: Moment,
}

impl LogInToken {
    /// `since`: when it was asked for.
    pub(super) fn new(
        value: SecretString,
        client_id: String,
        life: Duration,
        since: Moment,
    ) -> Self {
        Self {
            value,
            client_id,
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

    /// When a client asks for the next one at the latest, by this machine's clock, in milliseconds since 1970.
    pub(super) fn end(&self) -> i64 {
        let end = wall_clock() + self.left().min(LENT);
        let since_1970 = end.duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
    }
}

impl From<LogInToken> for OAuthToken {
    fn from(token: LogInToken) -> Self {
        Self {
            token: token.value.expose_secret().to_owned(),
            lifetime_ms: token.end(),
            principal_name: token.client_id,
        }
    }
}
