//! A row of the matrix: the request, the answer, and the expected result.

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
    /// v2, with another issuer's token instead of a secret.
    TokenFederated,
    /// v2, for Microsoft Graph.
    TokenGraph,
    Defender,
    DefenderLink,
    DefenderOne,
    Graph,
    GraphLink,
    /// A nextLink to a host that is not configured.
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

/// When the request is repeated while it goes on failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Immediately with a new token, once; then slowly.
    NewToken,
    /// It passes by itself.
    Transient,
    /// After this many seconds, each time.
    After(u64),
    /// Microsoft is still replicating a change.
    Spreading,
    /// An operator has to act.
    Slow,
}

impl Pace {
    pub const ALL_BUT_AFTER: [Pace; 4] =
        [Pace::NewToken, Pace::Transient, Pace::Spreading, Pace::Slow];

    /// The pace of `failure`, from its pauses. `None`: it has none of the expected paces.
    pub fn of(failure: &Failure) -> Option<Pace> {
        let after = pause(failure.reaction, 1, 0).as_secs();
        [Pace::After(after)]
            .into_iter()
            .chain(Self::ALL_BUT_AFTER)
            .find(|pace| pace.is_kept_by(failure.reaction))
    }

    fn is_kept_by(self, reaction: Reaction) -> bool {
        // The pauses don't show what happens immediately.
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

    /// The pauses that Microsoft's documentation allows after this many failures in a row.
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
    /// A token or a page, and what must be said about an incomplete page.
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
    /// `label` names the answer as in the documentation.
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
