//! Entry points for the fuzz targets in `tests/fuzz`, and for the test that runs their seeds. Only these are built with
//! them.
//!
//! Each takes one input, reads it in every way in which the daemon may read an answer, and panics if a promise is
//! broken: the texts of a failure are one short line each and contain no secret in any spelling, and a pause is
//! bounded.

#![allow(
    clippy::expect_used,
    reason = "called by tests only, where a panic is the verdict"
)]

use std::sync::LazyLock;
use std::time::Duration;

use memchr::memmem;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::consent::consent_remedy;
use super::entra;
use super::errors::{ApiContext, PageRefusal, RequestKind};
use super::source::partial;
use crate::core::health::failure::{Failure, Reaction};
use crate::core::sources::SourceKind;
use crate::core::time::ticks::Ticks;
use crate::ports::Clock;
use crate::settings::{ApiSettings, TokenEndpoint};

/// The token of a request.
const TOKEN: &str = "eyJCanary.Token-7c41_e9d0.c2ln";
/// Longer than any text of a failure, including hosts and links from the configuration.
const LONG: usize = 1200;
const PAUSES: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(3600);

/// A clock that stands still.
pub(super) struct StoppedClock(pub(super) Ticks);

impl Clock for StoppedClock {
    fn now(&self) -> Ticks {
        self.0
    }
}

static APIS: LazyLock<[ApiContext; 2]> = LazyLock::new(|| SourceKind::ALL.map(api));

fn api(source: SourceKind) -> ApiContext {
    let facts = source.facts();
    ApiContext {
        facts,
        host: "api.example".to_owned(),
        scope: "https://api.example/.default".to_owned(),
        consent_remedy: consent_remedy(&facts.permission, "https://login.example/consent"),
    }
}

/// Settings that reach no host other than `base`.
pub(super) fn api_settings(source: SourceKind, base: &str) -> ApiSettings {
    let base = Url::parse(base).expect("a URL");
    ApiSettings {
        source,
        base_url: base.clone(),
        login_url: base,
        scope: "https://api.security.microsoft.com/.default".to_owned(),
        token_endpoint: TokenEndpoint::V2,
        proxy: None,
        ca_file: None,
        request_timeout: Duration::from_secs(30),
        max_response: 1 << 20,
    }
}

/// An answer that refuses a page or a token, or says that it is incomplete, as sent: status line, head, empty line,
/// body.
pub fn error_body(input: &[u8]) {
    let answer = Head::read(input);
    for api in APIS.iter() {
        for asked in [RequestKind::List, RequestKind::Link, RequestKind::One] {
            let refusal = PageRefusal {
                status: answer.status,
                headers: &answer.headers,
                body: answer.body,
                asked,
                token: TOKEN,
            };
            check(&refusal.classify(api), &[TOKEN]);
        }
    }
    if let Some(why) = partial(answer.status, &answer.headers, TOKEN) {
        check_text(&why, &[TOKEN]);
    }
    entra::fuzzing::refused(&answer);
}

/// The body of a token answer with status 200, and the same bytes as the claims of a token.
pub fn token_answer(input: &[u8]) {
    entra::fuzzing::granted(input);
    entra::fuzzing::claimed(input);
}

/// A parsed answer. Bytes without a status count as 400, and lines that are not headers are left out, so that every
/// input is used.
pub(super) struct Head<'a> {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: &'a [u8],
}

impl<'a> Head<'a> {
    /// A 200 with this body.
    pub(super) fn ok(body: &'a [u8]) -> Self {
        Self {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body,
        }
    }

    fn read(input: &'a [u8]) -> Self {
        let end = memmem::find(input, b"\n\n");
        let head = input.get(..end.unwrap_or(input.len())).unwrap_or_default();
        let body = end.and_then(|end| input.get(end + 2..)).unwrap_or_default();
        let mut lines = head.split(|byte| *byte == b'\n');
        let status = lines.next().and_then(|line| {
            let line = std::str::from_utf8(line).ok()?;
            StatusCode::from_bytes(line.split(' ').nth(1)?.as_bytes()).ok()
        });
        Self {
            status: status.unwrap_or(StatusCode::BAD_REQUEST),
            headers: lines.filter_map(header).collect(),
            body,
        }
    }
}

fn header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = line.split_at_checked(colon)?;
    let value = HeaderValue::from_bytes(value.get(1..)?.trim_ascii()).ok()?;
    Some((HeaderName::from_bytes(name).ok()?, value))
}

/// Checks a failure against the promises for all failures.
pub(super) fn check(failure: &Failure, hidden: &[&str]) {
    let cause = failure.cause.as_deref().unwrap_or_default();
    for text in [&failure.what, &failure.remedy, cause] {
        check_text(text, hidden);
    }
    assert!(
        !failure.what.is_empty() && !failure.remedy.is_empty(),
        "says nothing: {failure:?}"
    );
    if let Reaction::Wait(pause) = failure.reaction {
        assert!(PAUSES.contains(&pause), "waits for {pause:?}: {failure:?}");
    }
}

fn check_text(text: &str, hidden: &[&str]) {
    let one_line = !text.chars().any(|c| c.is_control() || c == '\u{2028}');
    assert!(one_line, "more than one line: {text:?}");
    assert!(text.chars().count() <= LONG, "endless: {text:?}");
    for secret in hidden {
        assert!(!shows(text, secret), "{secret} is shown: {text:?}");
    }
}

/// Whether `text` shows `secret`, as it is or with its escapes resolved.
fn shows(text: &str, secret: &str) -> bool {
    let holds = |bytes: &[u8]| memmem::find(bytes, secret.as_bytes()).is_some();
    holds(text.as_bytes())
        || holds(&undone(text.as_bytes(), percent))
        || holds(&undone(text.as_bytes(), json))
}

/// `text` with each escape replaced by its byte. `escape` returns that byte and the length of the escape.
fn undone(mut text: &[u8], escape: fn(&[u8]) -> Option<(u8, usize)>) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    while let Some(first) = text.first() {
        let (byte, length) = escape(text).unwrap_or((*first, 1));
        plain.push(byte);
        text = text.get(length..).unwrap_or_default();
    }
    plain
}

fn percent(text: &[u8]) -> Option<(u8, usize)> {
    let digits = text.strip_prefix(b"%")?.get(..2)?;
    Some((hex(digits)?, 3))
}

fn json(text: &[u8]) -> Option<(u8, usize)> {
    match text.strip_prefix(b"\\")? {
        [b'u', b'0', b'0', digits @ ..] => Some((hex(digits.get(..2)?)?, 6)),
        [byte @ (b'"' | b'\\' | b'/'), ..] => Some((*byte, 2)),
        _ => None,
    }
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    match digits {
        [high, low] => u8::try_from(16 * digit(*high)? + digit(*low)?).ok(),
        _ => None,
    }
}
