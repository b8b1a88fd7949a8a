//! How the app authenticates: by a secret (section 4.1), by an assertion of its own (`certificate`), or by a token of an issuer
//! that its registration trusts (4.6). The errors are those of section 4.3.
//!
//! Signatures of foreign tokens are not checked: the simulator has no issuer's keys.

use serde::Deserialize;
use serde_json::Value;

use super::super::jwt;
use super::super::tenant::{FederatedCredential, Tenant};
use super::super::time::{self, SECOND};
use super::form::{Form, malformed};
use super::{Receiver, TokenError, certificate, error, guid_text};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Whether the app authenticated by an assertion, and not by a secret.
pub(super) fn check(
    tenant: &Tenant,
    client: &str,
    form: &Form,
    receiver: &mut Receiver<'_>,
) -> Result<bool, TokenError> {
    if guid_text(client) != Some(tenant.client_id) {
        return Err(error(700016, [client, &tenant.name]));
    }
    if !tenant.consented {
        return Err(error(7000229, [client, &tenant.id.to_string()]));
    }
    match (form.get("client_secret"), form.get("client_assertion")) {
        (None, None) => Err(error(7000218, [])),
        (Some(_), Some(_)) => Err(malformed()),
        (Some(secret), None) => {
            let secret = secret.encoded.then_some(secret.value.as_str());
            by_secret(tenant, client, secret).map(|()| false)
        }
        (None, Some(assertion)) => {
            if form.required("client_assertion_type")? != ASSERTION_TYPE {
                return Err(error(90023, []));
            }
            by_assertion(tenant, client, &assertion.value, receiver).map(|()| true)
        }
    }
}

/// `None`: the client did not encode the secret.
fn by_secret(tenant: &Tenant, client: &str, secret: Option<&str>) -> Result<(), TokenError> {
    if secret != Some(&tenant.secret) {
        return Err(error(7000215, [client]));
    }
    match tenant.secret_expired {
        true => Err(error(7000222, [client])),
        false => Ok(()),
    }
}

/// What a foreign token claims.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    /// In seconds, as is `exp`.
    #[serde(default)]
    nbf: i64,
    exp: i64,
}

/// An audience may be an array of one, as Kubernetes writes it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    Text(String),
    Array([String; 1]),
}

fn by_assertion(
    tenant: &Tenant,
    client: &str,
    assertion: &str,
    receiver: &mut Receiver<'_>,
) -> Result<(), TokenError> {
    let malformed = |what: &str| error(50027, [what]);
    let (header, claims) = jwt::read(assertion).ok_or_else(|| malformed("not three parts"))?;
    if claims.get("iss").and_then(Value::as_str) == Some(client) {
        return certificate::check(tenant, client, assertion, receiver);
    }
    let claims = serde_json::from_value(claims).map_err(|_| malformed("a claim is missing"));
    let claims: Claims = claims?;
    if header.get("alg").and_then(Value::as_str) != Some("RS256") {
        return Err(malformed("its algorithm is not RS256"));
    }
    trusted(&tenant.federated, &claims)?;
    let [from, until] = [claims.nbf, claims.exp].map(|seconds| seconds.saturating_mul(SECOND));
    if receiver.now < from || receiver.now >= until {
        let times = [receiver.now, from, until].map(time::format);
        return Err(TokenError(700024, times.to_vec()));
    }
    Ok(())
}

/// Section 4.6: issuer, audience and subject must match one record exactly.
fn trusted(known: &[FederatedCredential], claims: &Claims) -> Result<(), TokenError> {
    let (Audience::Text(audience) | Audience::Array([audience])) = &claims.aud;
    let of_issuer = || known.iter().filter(|fic| fic.issuer == claims.iss);
    let for_audience = || of_issuer().filter(|fic| fic.audience == *audience);
    Err(if known.is_empty() {
        error(70021, [&claims.iss])
    } else if of_issuer().next().is_none() {
        error(700211, [&claims.iss])
    } else if for_audience().next().is_none() {
        error(700212, [audience])
    } else if !for_audience().any(|fic| fic.subject == claims.sub) {
        error(700213, [&claims.sub])
    } else {
        return Ok(());
    })
}
