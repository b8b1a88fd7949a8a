//! A row of the matrix: who is asked, what is answered, and what must follow.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use incidentd::core::health::failure::{Failure, Health, Reaction};
use incidentd::core::pace::backoff::pause;

use super::wire::Answer;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    TokenV2,
    TokenV1,
    /// v2, with another issuer's token in the place of a secret.
    TokenFederated,
    /// v2, for Microsoft Graph.
    TokenGraph,
    Defender,
    DefenderLink,
    DefenderOne,
    Graph,
    GraphLink,
    /// A nextLink that leads to a host nobody configured.
    ForeignLink,
}

impl Asked {
    pub fn is_graph(self) -> bool {
        matches!(self, Asked::TokenGraph | Asked::Graph | Asked::GraphLink)
    }

    pub fn is_token(self) -> bool {
        matches!(
            self,
            Asked::TokenV2 | Asked::TokenV1 | Asked::TokenFederated | Asked::TokenGraph
        )
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Asked::TokenV2 => "token v2",
            Asked::TokenV1 => "token v1",
            Asked::TokenFederated => "token, federated",
            Asked::TokenGraph => "token for Graph",
            Asked::Defender => "Defender list",
            Asked::DefenderLink => "Defender nextLink",
            Asked::DefenderOne => "Defender incident",
            Asked::Graph => "Graph list",
            Asked::GraphLink => "Graph nextLink",
            Asked::ForeignLink => "foreign nextLink",
        })
    }
}

/// When the request is made again, if it goes on failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Once at once with a new token; then slowly.
    NewToken,
    /// Passes by itself.
    Transient,
    /// So many seconds, each time.
    After(u64),
    /// What Microsoft is still spreading.
    Spreading,
    /// An operator has to act.
    Slow,
}

impl Pace {
    pub const ALL_BUT_AFTER: [Pace; 4] =
        [Pace::NewToken, Pace::Transient, Pace::Spreading, Pace::Slow];

    /// The pace of `failure`, by the pauses that follow it; `None` when it is none of those that are meant to be.
    pub fn of(failure: &Failure) -> Option<Pace> {
        let after = pause(failure.reaction, 1, 0).as_secs();
        [Pace::After(after)]
            .into_iter()
            .chain(Self::ALL_BUT_AFTER)
            .find(|pace| pace.is_kept_by(failure.reaction))
    }

    fn is_kept_by(self, reaction: Reaction) -> bool {
        // Of what is done at once, the pauses know nothing.
        (self == Pace::NewToken) == (reaction == Reaction::RenewToken)
            && [1, 10, 11].into_iter().all(|failures| {
                let allowed = self.allowed(failures);
                let (least, most) = (
                    pause(reaction, failures, 0),
                    pause(reaction, failures, u64::MAX),
                );
                least < most && allowed.contains(&least) && allowed.contains(&most)
            })
    }

    /// The pauses that Microsoft's documentation leaves room for, after so many failures in a row.
    fn allowed(self, failures: u32) -> RangeInclusive<Duration> {
        let (from, to) = match self {
            Pace::Transient if failures < 10 => (1, 2),
            Pace::Transient => (120, 300),
            Pace::After(seconds) => (seconds, seconds + seconds.div_ceil(10)),
            Pace::Spreading if failures <= 10 => (30, 60),
            Pace::NewToken | Pace::Spreading | Pace::Slow => (300, 1800),
        };
        Duration::from_secs(from)..=Duration::from_secs(to)
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pace::NewToken => f.write_str("at once, new token; 5 min"),
            Pace::Transient => f.write_str("2 s .. 5 min"),
            Pace::After(seconds) => write!(f, "{seconds} s"),
            Pace::Spreading => f.write_str("30-60 s for 10 tries; 5 min"),
            Pace::Slow => f.write_str("5 min"),
        }
    }
}

#[derive(Debug, Clone)]
pub enum Outcome {
    Fails {
        state: Health,
        pace: Pace,
        /// What the remedy must contain.
        remedy: &'static [&'static str],
    },
    /// A token or a page. What must be said about a page that is not whole.
    Serves { incomplete: Option<&'static str> },
}

#[derive(Debug, Clone)]
pub struct Row {
    pub asked: Asked,
    pub label: String,
    pub answer: Answer,
    pub outcome: Outcome,
}

impl Row {
    /// `label` says what the answer is, as the documentation calls it.
    pub fn fails(
        asked: Asked,
        label: impl Into<String>,
        answer: Answer,
        (state, pace): (Health, Pace),
        remedy: &'static [&'static str],
    ) -> Self {
        Self {
            asked,
            label: label.into(),
            answer,
            outcome: Outcome::Fails {
                state,
                pace,
                remedy,
            },
        }
    }

    pub fn serves(
        asked: Asked,
        label: &str,
        answer: Answer,
        incomplete: Option<&'static str>,
    ) -> Self {
        Self {
            asked,
            label: label.to_owned(),
            answer,
            outcome: Outcome::Serves { incomplete },
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.asked, self.label)
    }
}
