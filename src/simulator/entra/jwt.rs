//! JSON web tokens (sections 4.5 and 4.6). Nobody signs them here; those that clients bring are only read.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::tenant::FederatedCredential;
use super::super::time::SECOND;
use super::Issued;

/// A v1-format token, which both APIs have, whichever endpoint issued it.
pub(super) fn write(issued: &Issued, rng: &mut StdRng) -> String {
    let tid = issued.tenant;
    // The service principal's object id in the customer's directory: the same for the same app and tenant.
    let principal = Uuid::from_u128(tid.as_u128() ^ issued.app.as_u128().rotate_left(64));
    let issuer = issuer(tid);
    let mut claims = json!({
        "aud": issued.audience, "iss": issuer, "iat": issued.from / SECOND, "nbf": issued.from / SECOND,
        "exp": issued.until / SECOND, "appid": issued.app, "appidacr": if issued.by_assertion { "2" } else { "1" },
        "idp": issuer, "idtyp": "app", "oid": principal, "sub": principal, "tid": tid,
        "uti": URL_SAFE_NO_PAD.encode(rng.random::<[u8; 16]>()), "ver": "1.0",
    });
    // Without any permission there is no such claim at all.
    if !issued.roles.is_empty() {
        claims["roles"] = json!(issued.roles);
    }
    let signature: Vec<u8> = std::iter::repeat_with(|| rng.random()).take(256).collect();
    join(&claims, &signature)
}

/// What the issuer of a federated credential would sign.
pub(in super::super) fn assertion(of: &FederatedCredential, from: i64, until: i64) -> String {
    let claims = json!({
        "iss": of.issuer, "sub": of.subject, "aud": [of.audience], "iat": from / SECOND, "nbf": from / SECOND,
        "exp": until / SECOND,
    });
    join(&claims, b"nobody checks the signature")
}

fn join(claims: &Value, signature: &[u8]) -> String {
    let header = json!({"typ": "JWT", "alg": "RS256", "kid": "simulated"}).to_string();
    let claims = claims.to_string();
    [header.as_bytes(), claims.as_bytes(), signature]
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

pub(in super::super) fn issuer(tenant: Uuid) -> String {
    format!("https://sts.windows.net/{tenant}/")
}
