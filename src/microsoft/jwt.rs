//! Reads signed tokens (JWT). Nothing is verified: the receiver of a token decides whether it is valid.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::core::health::validity::Validity;
use crate::core::time::ticks::Ticks;

/// The claims of a token. `None`: they can't be read.
pub(super) fn claims(token: &str) -> Option<Map<String, Value>> {
    let payload = token.split('.').nth(1)?.trim_end_matches('=');
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

/// When a token is valid, as its claims say.
pub(super) fn validity(token: &str) -> Option<Validity> {
    let claims = claims(token)?;
    let at = |name: &str| {
        let seconds = claims.get(name)?.as_i64()?;
        (seconds > 0).then(|| Ticks::from_unix_seconds(seconds))
    };
    let from = at("nbf").or_else(|| at("iat"));
    at("exp").map(|until| Validity { from, until })
}

/// Whether this has the three parts of a signed token.
pub(super) fn is_whole(token: &str) -> bool {
    token.split('.').filter(|part| !part.is_empty()).count() == 3
}
