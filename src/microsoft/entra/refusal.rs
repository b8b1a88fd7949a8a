//! Entra's refusals, classified by HTTP status and `error`.
//!
//! Microsoft: `error` "should be used to react to errors"; AADSTS numbers "are subject to change at any time"
//! ("Microsoft Entra authentication and authorization error codes"). So a number outside the table changes nothing, and
//! no number overrides a 429 or a 5xx.

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::super::credential::{Denial, ProofPlace};
use super::super::errors::{Assessment, assessed, key, location};
use super::super::scrub::scrub_all;
use super::super::{proxy, retry_after, transient};
use super::aadsts;
use crate::core::health::failure::{Health, Reaction, one_line};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Leaves room for the trace and correlation ids after the longest of Entra's sentences, because Entra's support asks
/// for them.
const MAX_DESCRIPTION: usize = 500;

/// A complete answer to a token request.
pub(super) struct TokenAnswer<'a> {
    pub(super) status: StatusCode,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    /// Where the proof that was sent is stored; a hint names it.
    pub(super) place: &'a ProofPlace,
    /// Everything secret that was sent or may be sent. It is removed from all texts, in case the other side repeats it.
    pub(super) secrets: &'a [&'a str],
}

impl TokenAnswer<'_> {
    pub(super) fn json(&self) -> &[u8] {
        self.body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(self.body)
    }

    /// Classifies an answer without a token.
    pub(super) fn classify(&self, host: &str, consent_remedy: &str) -> Denial {
        let said = EntraErrorBody::read(self.json(), self.secrets);
        let status = self.status.as_u16();
        let assessment = self.assess(&said, host, consent_remedy);
        let cause = self.cause(&said, assessment.health);
        let what = match said.text.as_str() {
            "" => format!("{host} answered a token request with {status}"),
            text => format!("{host} refused a token ({status}): {text}"),
        };
        let refused = matches!(status, 400 | 401);
        Denial {
            failure: assessment
                .into_failure(what)
                .with_status(status)
                .caused_by(cause),
            of_the_proof: refused && said.error == "invalid_client",
            code: said.code.filter(|_| refused),
        }
    }

    /// `entra 90002`, or without a number `entra 503` or `entra 400 invalid_scope`. It also names the credential: two
    /// credentials that are refused for the same reason have to be corrected separately.
    fn cause(&self, said: &EntraErrorBody, health: Health) -> String {
        let refused = match said.code {
            Some(code) => format!("entra {code}"),
            None => key(&["entra", self.status.as_str(), &said.error]),
        };
        match health {
            Health::Credential => format!("{refused} {}", self.place.name()),
            _ => refused,
        }
    }

    fn assess(&self, said: &EntraErrorBody, host: &str, consent_remedy: &str) -> Assessment {
        let known = said.code.and_then(aadsts::look_up);
        let own = said.code.and_then(|code| self.place.key.hint(code));
        let transient =
            transient::code(&said.error) || known.is_none() && transient::text(&said.text);
        match self.status.as_u16() {
            status if transient::too_many(status) => self.throttled(),
            400..=599 if transient::throttled(&said.error) => self.throttled(),
            status if transient::status(status) => self.passes_by_itself(),
            407 => proxy::wants_login(host, &proxy::offered(self.headers), false).into(),
            300..=399 => assessed(
                Health::Unreachable,
                Reaction::Backoff,
                format!(
                    "check api.login_url, and what stands between here and Microsoft: the answer leads to {}, and redirects \
                     are not followed, because they would carry the secret away",
                    location(self.headers, self.secrets)
                ),
            ),
            _ if transient => self.passes_by_itself(),
            _ => match known {
                Some(row)
                    if row.health == Health::Throttled
                        && retry_after::retry_after(self.headers).is_some() =>
                {
                    self.throttled()
                }
                Some(row) if own.is_some() => assessed(
                    Health::Credential,
                    row.reaction,
                    self.place.fill_in(own.unwrap_or_default()),
                ),
                Some(row) if row.health == Health::Consent => assessed(
                    row.health,
                    row.reaction,
                    format!("{}: {consent_remedy}", row.hint),
                ),
                Some(row) => assessed(row.health, row.reaction, self.place.fill_in(row.hint)),
                None => by_error(&said.error, self.place, consent_remedy),
            },
        }
    }

    fn throttled(&self) -> Assessment {
        assessed(
            Health::Throttled,
            Reaction::Wait(retry_after::pause(self.headers, "")),
            "none: the daemon waits as long as asked; if it happens often, something else asks for tokens of the same app",
        )
    }

    fn passes_by_itself(&self) -> Assessment {
        assessed(
            Health::Unreachable,
            retry_after::reaction(self.headers),
            "nothing to do unless it lasts: it usually passes by itself; then look at Microsoft's service health",
        )
    }
}

/// The assessment by `error` alone.
fn by_error(error: &str, place: &ProofPlace, consent_remedy: &str) -> Assessment {
    use {Health as H, Reaction as R};
    match error {
        "invalid_client" | "invalid_grant" => {
            assessed(H::Credential, R::Slow, place.fill_in(place.key.check))
        }
        "unauthorized_client" | "interaction_required" => {
            assessed(H::Consent, R::Slow, consent_remedy)
        }
        "" => assessed(
            H::Unreachable,
            R::Backoff,
            "check api.login_url, and whether a proxy or a firewall refuses the way: this is not Entra's own error",
        ),
        "invalid_resource" | "invalid_scope" => assessed(
            H::Misconfigured,
            R::Slow,
            "check api.scope: it names one API and ends in /.default; and that api.login_url is of the same cloud",
        ),
        _ => assessed(
            H::Misconfigured,
            R::Slow,
            "check the tenant's id, app.client_id, api.login_url and api.scope; the message says more",
        ),
    }
}

/// The content of an error's body. The body may be plain text (a 429's is `Too Many Requests`), HTML or empty.
struct EntraErrorBody {
    error: String,
    /// The first AADSTS number.
    code: Option<u64>,
    /// Safe to show.
    text: String,
}

impl EntraErrorBody {
    fn read(body: &[u8], secrets: &[&str]) -> Self {
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            return Self::from_text(body, secrets);
        };
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
        let description = text("error_description");
        let shown = |text: &str, max| one_line(&scrub_all(text, secrets), max);
        let error = shown(text("error"), 60);
        let code = value.pointer("/error_codes/0").and_then(Value::as_u64);
        let text = match (error.as_str(), description) {
            (error, "") => error.to_owned(),
            (error, description) => {
                // Times and ids follow the sentence, and support asks for the trace id.
                format!("{error}: {}", shown(description, MAX_DESCRIPTION))
            }
        };
        EntraErrorBody {
            code: code.or_else(|| code_in(description)),
            error,
            text,
        }
    }

    fn from_text(body: &[u8], secrets: &[&str]) -> Self {
        let text = String::from_utf8_lossy(body);
        let text = if text.trim_start().starts_with('<') {
            "an HTML page".to_owned()
        } else {
            one_line(&scrub_all(&text, secrets), MAX_DESCRIPTION)
        };
        EntraErrorBody {
            error: String::new(),
            code: None,
            text,
        }
    }
}

/// The number after the first `AADSTS`.
fn code_in(description: &str) -> Option<u64> {
    let (_, rest) = description.split_once("AADSTS")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests;
