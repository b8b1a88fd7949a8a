//! What runs for a tenant, and how it ended.

use tokio::sync::oneshot;
use tokio::task::JoinError;
use tokio::time::Instant;

use super::Dispatcher;
use crate::core::agenda::WorkResult;
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::core::sweep::command::CommandRefused;
use crate::runtime::sweep::memory::Memory;
use crate::runtime::sweep::{Halt, SweepOutcome};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Sweep,
    Fill,
    /// An operator's command is recorded.
    Record,
}

pub(super) struct Ended {
    pub(super) began: Instant,
    pub(super) outcome: SweepOutcome,
    /// When it last had a turn in its lane, if it had one.
    pub(super) last_turn: Option<Instant>,
    /// Sent when the status shows the outcome.
    pub(super) answer: Option<CommandAnswer>,
}

/// What an operator waits for.
pub(super) struct CommandAnswer {
    pub(super) to: oneshot::Sender<Result<String, CommandRefused>>,
    pub(super) answer: Result<String, CommandRefused>,
}

impl CommandAnswer {
    pub(super) fn send(self) {
        // A caller that no longer waits needs no answer.
        let _ = self.to.send(self.answer);
    }
}

impl Ended {
    /// The outcome of work that panicked. This is a bug, and only this tenant is affected. Its memory is lost.
    pub(super) fn broken(error: &JoinError) -> Self {
        let failure = Failure::new(
            Health::Unreachable,
            Reaction::Backoff,
            format!("a defect in incidentd ended the sweep: {error}"),
            "report this with the log lines before it; the tenant is tried again",
        );
        Self {
            began: Instant::now(),
            outcome: SweepOutcome {
                halt: Some(Halt::Failed(failure)),
                ..SweepOutcome::default()
            },
            last_turn: None,
            answer: None,
        }
    }
}

impl Dispatcher {
    /// The part of `outcome` that the agenda needs.
    pub(super) fn result(&self, work: Work, outcome: &SweepOutcome, memory: &Memory) -> WorkResult {
        match &outcome.halt {
            Some(Halt::Paused(_)) => WorkResult::Paused,
            _ if work == Work::Record => WorkResult::Recorded,
            // The next sweep tries a held-back record again; the tenant's other incidents must not wait for it.
            None | Some(Halt::HeldBack(_)) => WorkResult::Done {
                backlog: outcome
                    .state
                    .as_ref()
                    .is_some_and(|state| !self.sweeper.awake(memory, state).is_empty()),
            },
            Some(Halt::Failed(failure)) => WorkResult::Failed {
                reaction: failure.reaction,
                credential: failure.health == Health::Credential,
            },
            Some(Halt::Stopped) => WorkResult::Stopped,
        }
    }
}
