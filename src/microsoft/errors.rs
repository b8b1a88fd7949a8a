//! Refusals of the incidents APIs, classified by status and `code` ("Common Microsoft Defender XDR API error codes",
//! "Microsoft Graph error responses and resource types").
//!
//! A body may be HTML, empty or cut off; then the status alone decides. The message is free text that Microsoft
//! changes. It is shown, and only refines: the pause of a 429, whether a 400 is about the page size, whether a 403 is
//! about a licence, whether a 400 or a 401 is a temporary fault of the service ([`transient`]).

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION};

use super::entra::CONDITIONAL_ACCESS;
use super::scrub::host_without;
use super::{proxy, retry_after, transient};
use crate::core::health::failure::{Failure, Health, Reaction, Suspect, one_line};
use crate::core::sources::SourceFacts;
use crate::ports::PageAsk;

const NOTHING_TO_DO: &str = "nothing to do unless it lasts: it usually passes by itself; then look at Microsoft's service health, and give support \
                             the id in the message";
const LICENCE: &str = "the tenant needs a licence that includes Microsoft Defender XDR, and someone must have opened \
                       https://security.microsoft.com there once";

mod body;

use body::ApiErrorBody;

/// An answer without a page.
pub(super) struct PageRefusal<'a> {
    pub(super) status: StatusCode,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    pub(super) asked: RequestKind,
    /// The token of the request. It is removed from the message, in case the other side repeats it.
    pub(super) token: &'a str,
}

/// What was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestKind {
    List,
    Link,
    One,
}

impl From<&PageAsk> for RequestKind {
    fn from(ask: &PageAsk) -> Self {
        match ask {
            PageAsk::Query(_) => RequestKind::List,
            PageAsk::Link(_) => RequestKind::Link,
            PageAsk::One(_) => RequestKind::One,
        }
    }
}

/// What is known about the API and the app before the first request.
pub(super) struct ApiContext {
    pub(super) facts: &'static SourceFacts,
    pub(super) host: String,
    /// The scope of the token, from the configuration.
    pub(super) scope: String,
    pub(super) consent_remedy: String,
}

impl PageRefusal<'_> {
    /// Classifies this answer as a failure.
    pub(super) fn classify(&self, api: &ApiContext) -> Failure {
        let said = ApiErrorBody::read(self.body, self.headers, self.token);
        let what = format!(
            "{} answered {}{}",
            api.host,
            self.status.as_u16(),
            said.after_status()
        );
        let assessment = self.assess(api, &said);
        let cause = key(&[api.facts.name, self.status.as_str(), &said.code]);
        assessment
            .into_failure(what)
            .with_status(self.status.as_u16())
            .suspecting(self.suspect(&said))
            .caused_by(cause)
    }

    /// What the answer means, of which the status is only a part.
    fn kind(&self, said: &ApiErrorBody) -> AnswerMeaning {
        let status = self.status.as_u16();
        match status {
            _ if transient::too_many(status) => AnswerMeaning::Throttled,
            400..=599 if said.throttled => AnswerMeaning::Throttled,
            401 | 403 if said.claims_wanted => AnswerMeaning::Claims,
            _ if transient::status(status) => AnswerMeaning::Passing,
            400..=499 if said.passing => AnswerMeaning::Passing,
            400 | 401 if transient::text(&said.reasons) => AnswerMeaning::Passing,
            401 if said.vague || transient::keys(&said.reasons) => AnswerMeaning::Keys,
            // These count as temporary anyway. The status chooses the remedy.
            404 | 410 if self.asked != RequestKind::List => AnswerMeaning::AsItsStatus,
            // These statuses are clear, unless the answer itself says that the reason is unknown.
            403 | 404 | 407 | 410 if !said.knows_nothing() => AnswerMeaning::AsItsStatus,
            400..=499 if said.vague => AnswerMeaning::Passing,
            _ => AnswerMeaning::AsItsStatus,
        }
    }

    /// The remedy for a fault that passes by itself, including its other possible cause.
    fn until_it_passes(&self, api: &ApiContext, said: &ApiErrorBody) -> String {
        let status = self.status.as_u16();
        // A refused link or incident is requested in another way, without the operator.
        let goes_on = status != 403 && self.asked != RequestKind::List;
        if !said.knows_nothing() || transient::status(status) || goes_on {
            return NOTHING_TO_DO.to_owned();
        }
        if status == 403 {
            return format!(
                "{NOTHING_TO_DO}; if it lasts, a permission may be missing: incidentd check --tenant NAME shows which the app \
                 has, and incidentd consent the link for the tenant's administrator"
            );
        }
        let remedy = self.by_status(api, said).remedy;
        format!("{NOTHING_TO_DO}; if it lasts, the status may be right: {remedy}")
    }

    fn suspect(&self, said: &ApiErrorBody) -> Suspect {
        match (self.kind(said), self.status.as_u16(), self.asked) {
            // Even with a pause: a gateway adds one to any failure behind it.
            (AnswerMeaning::Passing, ..) => Suspect::Page,
            (AnswerMeaning::Throttled | AnswerMeaning::Claims | AnswerMeaning::Keys, ..) => {
                Suspect::Nothing
            }
            // A nextLink lives for an unknown time, and servers have been seen to refuse their own.
            (_, 400 | 404 | 410, RequestKind::Link) => Suspect::Link,
            // The list shows the incident, so neither the request nor the API is wrong.
            (_, 400 | 404 | 410, RequestKind::One) => Suspect::Page,
            (_, 400, RequestKind::List) if said.names_page_size() => Suspect::Size,
            _ => Suspect::Nothing,
        }
    }

    fn assess(&self, api: &ApiContext, said: &ApiErrorBody) -> Assessment {
        use {Health as H, Reaction as R};
        match self.kind(said) {
            AnswerMeaning::Throttled => assessed(
                H::Throttled,
                R::Wait(retry_after::pause(self.headers, &said.message)),
                "none: the daemon waits as long as asked, and longer each time; if it happens often, other programs use the \
                 same app, or poll.requests_per_minute is too high",
            ),
            AnswerMeaning::Passing => assessed(
                H::Unreachable,
                retry_after::reaction(self.headers),
                self.until_it_passes(api, said),
            ),
            // The only fault may be a token that was issued before the policy changed.
            AnswerMeaning::Claims if self.status == StatusCode::UNAUTHORIZED => {
                assessed(H::Forbidden, R::RenewToken, CONDITIONAL_ACCESS)
            }
            AnswerMeaning::Claims => assessed(H::Forbidden, R::Slow, CONDITIONAL_ACCESS),
            AnswerMeaning::Keys => assessed(H::Unreachable, R::RenewToken, unknown_keys(api)),
            AnswerMeaning::AsItsStatus => self.by_status(api, said),
        }
    }

    fn by_status(&self, api: &ApiContext, said: &ApiErrorBody) -> Assessment {
        use {Health as H, Reaction as R};
        match self.status.as_u16() {
            401 => assessed(H::Misconfigured, R::RenewToken, wrong_audience(api, said)),
            403 => forbidden(api, said),
            407 => proxy::wants_login(&api.host, &proxy::offered(self.headers), false).into(),
            400 | 404 | 410 if self.asked == RequestKind::Link => assessed(
                H::Unreachable,
                R::Backoff,
                "none: the nextLink was no longer accepted, and the sweep goes on without it",
            ),
            400 | 404 | 410 if self.asked == RequestKind::One => assessed(
                H::Unreachable,
                R::Backoff,
                "none: the incident is published as the list shows it, and asked for again later",
            ),
            302 | 303 | 307 => assessed(H::Unreachable, R::Backoff, self.redirected()),
            301 | 308 | 404 | 410 => assessed(H::Misconfigured, R::Slow, self.gone(api)),
            200..=399 => assessed(
                H::Unreachable,
                R::Backoff,
                "check what stands between here and Microsoft: this is no answer of the API",
            ),
            _ => assessed(
                H::Misconfigured,
                R::Slow,
                "the API does not accept the daemon's request: check api.base_url, and report this with the message",
            ),
        }
    }

    fn redirected(&self) -> String {
        format!(
            "check what stands between here and Microsoft (a proxy's log-in page?): the answer leads to {}, and redirects \
             are not followed, because they would carry the token away",
            self.location()
        )
    }

    fn location(&self) -> String {
        location(self.headers, &[self.token])
    }

    fn gone(&self, api: &ApiContext) -> String {
        if self.status.is_redirection() {
            format!(
                "the answer leads to {}; {}",
                self.location(),
                api.facts.dialect.gone
            )
        } else {
            api.facts.dialect.gone.to_owned()
        }
    }
}

/// The severity of a refusal, when to try again, and what to do.
pub(super) struct Assessment {
    pub(super) health: Health,
    reaction: Reaction,
    remedy: String,
}

pub(super) fn assessed(
    health: Health,
    reaction: Reaction,
    remedy: impl Into<String>,
) -> Assessment {
    Assessment {
        health,
        reaction,
        remedy: remedy.into(),
    }
}

impl Assessment {
    pub(super) fn into_failure(self, what: String) -> Failure {
        Failure::new(self.health, self.reaction, what, self.remedy)
    }
}

impl From<Failure> for Assessment {
    fn from(failure: Failure) -> Self {
        assessed(failure.health, failure.reaction, failure.remedy)
    }
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AnswerMeaning {
    /// Too many requests.
    Throttled,
    /// A temporary fault of the service.
    Passing,
    /// A Conditional Access policy requires something that an app can't provide ("Claims challenges, claims requests
    /// and client capabilities").
    Claims,
    /// The API can't verify tokens at the moment.
    Keys,
    AsItsStatus,
}

fn unknown_keys(api: &ApiContext) -> String {
    format!(
        "nothing to do unless it lasts: the API can't check tokens at the moment; if it lasts, check that api.scope ({}), \
         api.base_url and api.login_url belong to the tenant's cloud, and look at Microsoft's service health",
        api.scope
    )
}

/// A cause made of `words`. Only plain words are used, which name an error and never a customer.
pub(super) fn key(words: &[&str]) -> String {
    let plain = |word: &&str| {
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        !word.is_empty() && word.chars().all(name)
    };
    let words: Vec<&str> = words.iter().copied().filter(plain).collect();
    words.join(" ")
}

/// The host of a redirect, never its path or query, without any of `secrets`.
pub(super) fn location(headers: &HeaderMap, secrets: &[&str]) -> String {
    let address = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    host_without(address.unwrap_or_default(), None, secrets)
}

fn wrong_audience(api: &ApiContext, said: &ApiErrorBody) -> String {
    match said.audience() {
        Some(audience) => format!(
            "the token is for {}, and was asked for with the scope {}: check that api.scope, api.base_url and \
             api.login_url belong to the tenant's cloud",
            one_line(audience, 100),
            api.scope
        ),
        None => format!(
            "if a new token is refused, too: check that api.scope ({}), api.base_url and api.login_url belong to the \
             tenant's cloud, and this machine's clock",
            api.scope
        ),
    }
}

fn forbidden(api: &ApiContext, said: &ApiErrorBody) -> Assessment {
    use {Health as H, Reaction as R};
    match said.code.as_str() {
        "DisabledFeature" => assessed(H::Forbidden, R::Slow, LICENCE),
        "DisallowedOperation" => assessed(
            H::Forbidden,
            R::Slow,
            "ask the tenant's administrator what is not allowed there; the message says the rest",
        ),
        // A firewall or a proxy also answers 403, but not in the API's format.
        "" if !said.json => assessed(
            H::Unreachable,
            R::Backoff,
            "check whether a proxy or a firewall refuses the way to Microsoft: this is not the API's own error",
        ),
        // Most tokens for another API are refused with 401, but not all.
        _ if said.audience().is_some() => {
            assessed(H::Misconfigured, R::Slow, wrong_audience(api, said))
        }
        _ if said.names_licence() => assessed(H::Forbidden, R::Slow, LICENCE),
        _ => assessed(H::Consent, R::Slow, api.consent_remedy.clone()),
    }
}

#[cfg(test)]
mod tests;
