//! What went wrong, in the operator's words, and how the daemon reacts to it.
//!
//! A [`Failure`] is made where its cause is known: in an adapter or in the decoder. The rest of the daemon decides by its
//! [`Reaction`] alone. Its texts are shown on the status page and in the log: they must never contain a secret, a token or an
//! assertion, and text from outside goes through [`one_line`] first.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::core::format::is_wild;

/// The state of a tenant. Each state other than [`Health::Ok`] is shown with a remedy.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// The last sweep ended without a failure.
    Ok,
    /// No sweep has ended since the daemon started.
    Starting,
    /// Microsoft asked for fewer requests.
    Throttled,
    /// No usable answer: network, time-out, 5xx, or a 200 that does not come from the API.
    Unreachable,
    /// The secret is wrong, expired or missing.
    Credential,
    /// The app is not consented in the tenant, or lacks a permission there.
    Consent,
    /// The tenant has no licence for, or no access to, what was asked.
    Forbidden,
    /// Something in the configuration, or in that of the topic, can't work.
    Misconfigured,
    /// An operator has paused it.
    Paused,
}

impl Health {
    pub(crate) const ALL: [Health; 9] = [
        Health::Ok,
        Health::Starting,
        Health::Throttled,
        Health::Unreachable,
        Health::Credential,
        Health::Consent,
        Health::Forbidden,
        Health::Misconfigured,
        Health::Paused,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Health::Ok => "ok",
            Health::Starting => "starting",
            Health::Throttled => "throttled",
            Health::Unreachable => "unreachable",
            Health::Credential => "credential",
            Health::Consent => "consent",
            Health::Forbidden => "forbidden",
            Health::Misconfigured => "misconfigured",
            Health::Paused => "paused",
        }
    }

    /// Rank in a list with the worst first: states that an operator must mend, then states that may pass, then the rest.
    pub fn severity(self) -> u8 {
        match self {
            Health::Credential => 8,
            Health::Consent => 7,
            Health::Misconfigured => 6,
            Health::Forbidden => 5,
            Health::Unreachable => 4,
            Health::Throttled => 3,
            Health::Starting => 2,
            Health::Paused => 1,
            Health::Ok => 0,
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How the daemon goes on after a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reaction {
    /// Passes by itself: try again from 2 s, doubling to 5 min.
    Backoff,
    /// The other side asked for this pause.
    Wait(Duration),
    /// An operator has to act: try again every few minutes, for ever.
    Slow,
    /// Passes within minutes if the operator has made the right change: try again twice a minute for a while, then as for
    /// [`Reaction::Slow`].
    Soon,
    /// The token was refused: renew it once and repeat the same request.
    RenewToken,
    /// One record is refused for its content. All others go on; the cursor stays before it, and each sweep tries it again.
    HoldBack,
    /// Another process has the tenant now. The sweep ends, and nothing is shown.
    Fenced,
}

/// Which part of a request may be to blame: a request without it may succeed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Suspect {
    /// None: any request would have failed in this way.
    Nothing,
    /// Perhaps the content of the page: a 5xx, no answer, a cut connection. If it persists, smaller pages are asked for.
    Page,
    /// Certainly the page's size.
    Size,
    /// The nextLink that was followed.
    Link,
    /// Certainly the nextLink: it leads to another host and was not followed.
    Elsewhere,
}

/// A failed operation of one tenant.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{what}")]
pub struct Failure {
    /// The state this puts the tenant in.
    pub health: Health,
    /// When to try again, and what to do before that.
    pub reaction: Reaction,
    /// The HTTP status that said so, when there was one.
    pub status: Option<u16>,
    /// What a repetition should leave out.
    pub suspect: Suspect,
    /// A short key that is equal for equal causes over all tenants (`defender 403 Forbidden`), so that a shared cause is one
    /// alarm. It contains nothing of a single tenant. `None`: the failure is this tenant's own, or its cause is not known.
    pub cause: Option<String>,
    /// What happened, one line.
    pub what: String,
    /// What the operator should do, one line.
    pub remedy: String,
}

impl Failure {
    pub(crate) fn new(
        health: Health,
        reaction: Reaction,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            health,
            reaction,
            status: None,
            suspect: Suspect::Nothing,
            cause: None,
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    #[must_use]
    pub(crate) fn suspecting(mut self, suspect: Suspect) -> Self {
        self.suspect = suspect;
        self
    }

    #[must_use]
    pub(crate) fn caused_by(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The same failure after the token was renewed for it: another token would be refused too.
    #[must_use]
    pub fn after_renewal(mut self) -> Self {
        if self.reaction == Reaction::RenewToken {
            self.reaction = match self.health {
                Health::Unreachable => Reaction::Backoff,
                _ => Reaction::Slow,
            };
        }
        self
    }

    #[must_use]
    pub(crate) fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }
}

/// Makes text from outside safe for a line of the log: characters that control a terminal or change the direction of the
/// text become spaces, several spaces become one, and the text is cut to `max` characters.
pub fn one_line(text: &str, max: usize) -> String {
    let mut line = String::new();
    let words = text.split(|c: char| c.is_whitespace() || is_wild(c));
    for word in words.filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > 4 * max {
            break;
        }
    }
    if line.chars().count() > max {
        line = line.chars().take(max.saturating_sub(1)).collect();
        line.push('…');
    }
    line
}

/// An error and its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn one_line_is_one_short_line(text in "\\PC{0,60}|[\\x00-\\x20a-z\\u{202a}-\\u{202e}]{0,60}", max in 1_usize..40) {
            let line = one_line(&text, max);
            prop_assert!(line.chars().count() <= max, "{line:?}");
            prop_assert!(!line.contains(is_wild), "{line:?}");
        }
    }

    #[test]
    fn entra_descriptions_become_one_line() {
        assert_eq!(
            one_line("AADSTS70011: no.\r\nTrace ID: 1\r\n", 80),
            "AADSTS70011: no. Trace ID: 1"
        );
    }
}
