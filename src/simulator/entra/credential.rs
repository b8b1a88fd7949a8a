//! How the app authenticates: by a secret (section 4.1), or by a token of an issuer that its registration trusts (4.6).
//!
//! No certificate is ever registered. Signatures of foreign tokens are not checked: the simulator has nobody's keys. The
//! errors are those of section 4.3.

use serde_json::Value;

use super::super::tenant::{FederatedCredential, Tenant};
use super::super::time::{self, SECOND};
use super::form::{Form, malformed};
use super::{TokenError, guid_text, jwt};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn denied(code: u32, text: String) -> TokenError {
    TokenError(401, "invalid_client", code, text)
}

/// Whether the app authenticated by an assertion, and not by a secret.
pub(super) fn check(
    tenant: &Tenant,
    client: &str,
    form: &Form,
    now: i64,
) -> Result<bool, TokenError> {
    if guid_text(client) != Some(tenant.client_id) {
        let text = format!(
            "Application with identifier '{client}' was not found in the directory '{}'. This can happen if the \
             application has not been installed by the administrator of the tenant or consented to by any user in the \
             tenant. You may have sent your authentication request to the wrong tenant.",
            tenant.name
        );
        return Err(TokenError(400, "unauthorized_client", 700016, text));
    }
    if !tenant.consented {
        let text = format!(
            "The client application {client} is missing service principal in the tenant {}. See instructions here: \
             https://go.microsoft.com/fwlink/?linkid=2225119",
            tenant.id
        );
        return Err(denied(7000229, text));
    }
    match (form.get("client_secret"), form.get("client_assertion")) {
        (None, None) => {
            let text = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
            Err(denied(7000218, text.to_owned()))
        }
        (Some(_), Some(_)) => Err(malformed()),
        (Some(secret), None) => {
            let secret = secret.encoded.then_some(secret.value.as_str());
            by_secret(tenant, client, secret).map(|()| false)
        }
        (None, Some(assertion)) => {
            if form.required("client_assertion_type")? != ASSERTION_TYPE {
                let text = "The client_assertion_type is not supported.".to_owned();
                return Err(TokenError(400, "invalid_request", 90023, text));
            }
            by_assertion(tenant, client, &assertion.value, now).map(|()| true)
        }
    }
}

/// `None`: the secret was not encoded, and so is no secret.
fn by_secret(tenant: &Tenant, client: &str, secret: Option<&str>) -> Result<(), TokenError> {
    let valid = |known: &String| Some(known.as_str()) == secret;
    if tenant.other_secrets.iter().any(valid) {
        return Ok(());
    }
    if !valid(&tenant.secret) {
        let text = format!(
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, \
             not the client secret ID, for a secret added to app '{client}'."
        );
        return Err(denied(7000215, text));
    }
    if tenant.secret_expired {
        let text = format!(
            "The provided client secret keys for app '{client}' are expired. Visit the Azure portal to create new keys \
             for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added \
             security: https://aka.ms/certCreds."
        );
        return Err(denied(7000222, text));
    }
    Ok(())
}

/// What a foreign token claims.
struct Claims {
    issuer: String,
    subject: String,
    audience: String,
    from: i64,
    until: i64,
}

fn by_assertion(
    tenant: &Tenant,
    client: &str,
    assertion: &str,
    now: i64,
) -> Result<(), TokenError> {
    let malformed =
        |what: &str| denied(50027, format!("JWT token is invalid or malformed: {what}."));
    let (header, claims) = jwt::read(assertion).ok_or_else(|| malformed("not three parts"))?;
    let claims = Claims::read(&claims).ok_or_else(|| malformed("a claim is missing"))?;
    if claims.issuer == client && claims.subject == client {
        let text =
            "Client assertion failed signature validation. The certificate is not registered.";
        return Err(denied(700027, text.to_owned()));
    }
    if header.get("alg").and_then(Value::as_str) != Some("RS256") {
        return Err(malformed("its algorithm is not RS256"));
    }
    trusted(&tenant.federated, &claims)?;
    if now < claims.from || now >= claims.until {
        let text = format!(
            "Client assertion is not within its valid time range. Current time: {}, assertion valid from {}, expiry \
             time of assertion {}.",
            time::format(now),
            time::format(claims.from),
            time::format(claims.until),
        );
        return Err(denied(700024, text));
    }
    Ok(())
}

/// Section 4.6: issuer, audience and subject must match one record exactly.
fn trusted(known: &[FederatedCredential], claims: &Claims) -> Result<(), TokenError> {
    let of_issuer = || known.iter().filter(|fic| fic.issuer == claims.issuer);
    let for_audience = || of_issuer().filter(|fic| fic.audience == claims.audience);
    let (code, what, value) = if known.is_empty() {
        (70021, "issuer", &claims.issuer)
    } else if of_issuer().next().is_none() {
        (700211, "issuer", &claims.issuer)
    } else if for_audience().next().is_none() {
        (700212, "audience", &claims.audience)
    } else if !for_audience().any(|fic| fic.subject == claims.subject) {
        (700213, "subject", &claims.subject)
    } else {
        return Ok(());
    };
    let text = format!(
        "No matching federated identity record found for presented assertion {what} '{value}'. Please check your \
         federated identity credential Subject, Audience and Issuer against the presented assertion."
    );
    Err(denied(code, text))
}

impl Claims {
    /// An audience may be an array of one, as Kubernetes writes it.
    fn read(claims: &Value) -> Option<Self> {
        let text = |name: &str| Some(claims.get(name)?.as_str()?.to_owned());
        let seconds = |name: &str| claims.get(name).map(Value::as_i64);
        let audience = match claims.get("aud")? {
            Value::Array(all) if all.len() == 1 => all.first()?.as_str()?,
            one => one.as_str()?,
        };
        Some(Self {
            issuer: text("iss")?,
            subject: text("sub")?,
            audience: audience.to_owned(),
            from: seconds("nbf").unwrap_or(Some(0))?.saturating_mul(SECOND),
            until: seconds("exp")??.saturating_mul(SECOND),
        })
    }
}
