//! JSON web tokens (sections 4.5 and 4.6). The simulator signs none; those that clients bring are only read.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// The tests search for its beginning, as the beginning of every token.
const HEADER: &[u8] = br#"{"alg":"RS256","kid":"simulated","typ":"JWT"}"#;

pub(super) fn join(claims: &[u8], signature: &[u8]) -> String {
    [HEADER, claims, signature]
        .map(|part| URL_SAFE_NO_PAD.encode(part))
        .join(".")
}

/// The header and the claims of a well-formed token.
pub(super) fn read(token: &str) -> Option<(Value, Value)> {
    let mut parts = token.split('.');
    let mut part = || URL_SAFE_NO_PAD.decode(parts.next()?).ok();
    let (header, claims, signature) = (part()?, part()?, part()?);
    let object = |bytes: &[u8]| {
        let value = serde_json::from_slice::<Value>(bytes).ok()?;
        value.is_object().then_some(value)
    };
    let whole = parts.next().is_none() && !signature.is_empty();
    Some((object(&header)?, object(&claims)?)).filter(|_| whole)
}
