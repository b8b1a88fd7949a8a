//! What an answer with a token says: the token, and how long it lives. Entra and Azure's identity endpoints write it alike.

use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

pub(super) const SHORTEST_LIFE: Duration = Duration::from_secs(1);
/// The assumed lifetime of a token that has expired on arrival. Otherwise each use would request a new one, and Entra
/// would answer with AADSTS50196 and a pause for all tenants. The API's 401 shows when the token has really expired.
const LIFE_IF_OVER: Duration = Duration::from_secs(60);
/// Beyond the 28 h that the longest-lived tokens have ("Access tokens", token lifetime).
pub(super) const LONGEST_LIFE: Duration = Duration::from_secs(48 * 3600);

/// A token is visible ASCII; nothing else can be sent.
pub(super) fn token<'de, D: serde::Deserializer<'de>>(input: D) -> Result<SecretString, D::Error> {
    let text = String::deserialize(input)?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(serde::de::Error::custom("no token"));
    }
    Ok(SecretString::from(text))
}

/// Seconds as a number or as text, limited: no token is kept for ever, and a token that has expired on arrival does not
/// cause requests without a pause.
pub(super) fn lifetime<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    let seconds = seconds(&Value::deserialize(input)?);
    let seconds = seconds.ok_or_else(|| serde::de::Error::custom("expires_in is no number"))?;
    Ok(bounded_lifetime(seconds))
}

/// A number of seconds, which may be written as text.
pub(super) fn seconds(value: &Value) -> Option<f64> {
    let seconds = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    seconds.filter(|seconds| !f64::is_nan(*seconds))
}

pub(super) fn bounded_lifetime(seconds: f64) -> Duration {
    if seconds < SHORTEST_LIFE.as_secs_f64() {
        return LIFE_IF_OVER;
    }
    let bounded = seconds.clamp(SHORTEST_LIFE.as_secs_f64(), LONGEST_LIFE.as_secs_f64());
    Duration::from_secs(bounded as u64)
}
