//! The content of an API's answer besides its status.

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use serde_json::Value;

use super::super::challenge::{Challenge, challenges};
use super::super::scrub::scrub_all;
use crate::core::health::failure::one_line;
use crate::microsoft::transient;

pub(super) const MAX_MESSAGE: usize = 300;
/// The most nested errors that are examined.
const MOST_CODES: usize = 6;
/// How JSON begins in base64: `{"` and a letter.
const ENCODED_JSON: &str = "eyJ";
const SHORTEST_CLAIMS: usize = 12;

/// The content of an error's body, safe to show, and what follows from it.
#[derive(Default)]
pub(super) struct ApiErrorBody {
    pub(super) json: bool,
    pub(super) code: String,
    pub(super) message: String,
    /// The message and the reasons in the head.
    pub(super) reasons: String,
    /// What Microsoft's support asks for, with its name: Defender's `target`, Graph's `request-id`.
    tracking_id: (&'static str, String),
    pub(super) throttled: bool,
    pub(super) passing: bool,
    /// Whether a code names no fault.
    pub(super) vague: bool,
    /// Whether another code names one.
    telling: bool,
    pub(super) claims_wanted: bool,
}

impl ApiErrorBody {
    pub(super) fn read(body: &[u8], headers: &HeaderMap, token: &str) -> Self {
        let challenges = challenges(headers.get_all(WWW_AUTHENTICATE).iter());
        // A short text would be found in every word.
        let claims = challenges
            .iter()
            .filter_map(|it| it.get("claims"))
            .filter(|claims| claims.len() >= SHORTEST_CLAIMS);
        let hidden: Vec<&str> = claims.chain([token]).collect();
        let mut said = Self::from_body(body, &hidden);
        said.heed(&challenges, &hidden);
        said
    }

    /// `{"error":{"code","message","target"}}` from Defender, `{"error":{"code","message","innerError":{"request-id"}}}` from
    /// Graph; anything else is a message at best.
    fn from_body(body: &[u8], hidden: &[&str]) -> Self {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            return Self::from_text(body, hidden);
        };
        let text = |name: &str, max: usize| {
            let text = value
                .pointer(&format!("/error/{name}"))
                .and_then(Value::as_str);
            shown(text.unwrap_or_default(), hidden, max)
        };
        let ids = [
            ("tracking id", text("target", 60)),
            ("request id", text("innerError/request-id", 60)),
        ];
        let codes = codes(&value);
        let any = |is: fn(&str) -> bool| codes.iter().any(|code| is(code));
        ApiErrorBody {
            json: value.is_object(),
            code: text("code", 60),
            message: text("message", MAX_MESSAGE),
            reasons: String::new(),
            tracking_id: ids
                .into_iter()
                .find(|(_, id)| !id.is_empty())
                .unwrap_or_default(),
            throttled: any(transient::throttled),
            passing: any(transient::code),
            vague: any(transient::vague),
            telling: any(|code| !code.is_empty() && !transient::vague(code)),
            claims_wanted: false,
        }
    }

    fn from_text(body: &[u8], hidden: &[&str]) -> Self {
        let text = String::from_utf8_lossy(body);
        let message = if text.trim_start().starts_with('<') {
            "an HTML page".to_owned()
        } else {
            shown(&text, hidden, MAX_MESSAGE)
        };
        ApiErrorBody {
            message,
            ..ApiErrorBody::default()
        }
    }

    /// Reads the head: a claims challenge, and why a token was refused.
    fn heed(&mut self, challenges: &[Challenge], hidden: &[&str]) {
        let described: Vec<String> = challenges
            .iter()
            .filter_map(|it| it.get("error_description"))
            .map(|text| shown(text, hidden, MAX_MESSAGE))
            .collect();
        self.reasons = format!("{} {}", self.message, described.join(" ")).to_lowercase();
        self.claims_wanted = challenges
            .iter()
            .any(|it| it.get("error") == Some("insufficient_claims") || it.get("claims").is_some())
            || ["continuous access evaluation", "insufficient_claims"]
                .iter()
                .any(|words| self.reasons.contains(words));
        if self.message.is_empty() {
            self.message = described.into_iter().next().unwrap_or_default();
        }
    }

    /// ` Forbidden: message (tracking id …)`, as far as known.
    pub(super) fn after_status(&self) -> String {
        let mut text = String::new();
        if !self.code.is_empty() {
            text.push_str(&format!(" {}", self.code));
        }
        if !self.message.is_empty() {
            text.push_str(&format!(": {}", self.message));
        }
        let (name, id) = &self.tracking_id;
        if !id.is_empty() {
            text.push_str(&format!(" ({name} {id})"));
        }
        text
    }

    /// `The limit of '50' for Top query has been exceeded.`, or `Invalid page size specified`.
    pub(super) fn names_page_size(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        let mut words = message.split(|c: char| !c.is_ascii_alphanumeric());
        message.contains("page size")
            || (message.contains("limit") && words.any(|word| word == "top"))
    }

    /// The audience of the refused token: `Invalid Authorization payload. AppId: …, Audience: …, Issuer: …`.
    pub(super) fn audience(&self) -> Option<&str> {
        let (_, rest) = self.message.split_once("Audience: ")?;
        let audience = rest.split([',', ' ']).next()?;
        (!audience.is_empty()).then_some(audience)
    }

    pub(super) fn names_licence(&self) -> bool {
        self.names(&["license", "licence", "provisioned"])
    }

    /// Whether no code names a fault, and the message does not name what the app lacks either.
    pub(super) fn knows_nothing(&self) -> bool {
        let lacks = self.names_licence()
            || self.audience().is_some()
            || self.names(&["permission", "privilege", "role"]);
        self.vague && !self.telling && !lacks
    }

    fn names(&self, words: &[&str]) -> bool {
        let message = self.message.to_ascii_lowercase();
        words.iter().any(|word| message.contains(word))
    }
}

/// The code of an error, and the more specific ones that Graph nests in it ("Microsoft Graph error responses and resource
/// types", innererror).
fn codes(body: &Value) -> Vec<&str> {
    let mut codes = Vec::new();
    let mut error = body.get("error");
    while let Some(value) = error.filter(|_| codes.len() < MOST_CODES) {
        codes.push(
            value
                .get("code")
                .and_then(Value::as_str)
                .unwrap_or_default(),
        );
        error = value.get("innerError").or_else(|| value.get("innererror"));
    }
    codes
}

/// Text from the other side in one line, without secrets.
fn shown(text: &str, hidden: &[&str], max: usize) -> String {
    one_line(&without_claims(&scrub_all(text, hidden)), max)
}

/// `text` without encoded JSON. A claims challenge or another token may be repeated in a message, and must not be shown.
fn without_claims(text: &str) -> String {
    let of_base64 =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_' | '.' | '=' | '%');
    let (mut clean, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(ENCODED_JSON) {
        let (before, from) = rest.split_at(at);
        let end = from.find(|c| !of_base64(c)).unwrap_or(from.len());
        clean.push_str(before);
        clean.push_str(if end >= SHORTEST_CLAIMS {
            "[redacted]"
        } else {
            &from[..end]
        });
        rest = &from[end..];
    }
    clean + rest
}
