//! A tenant that an operator has paused.

use crate::core::health::failure::{Failure, Health, Reaction, one_line};
use crate::core::time::ticks::Ticks;

/// The most characters of a reason.
pub const MOST_REASON: usize = 200;

/// An operator has paused the tenant: nothing is asked of Microsoft, and the cursor stays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pause {
    pub since: Ticks,
    pub reason: PauseReason,
}

/// One line of at most [`MOST_REASON`] characters. May be empty.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PauseReason(Box<str>);

impl Pause {
    /// The failure to show of a paused tenant. `word` names it on a command line.
    pub fn failure(&self, word: &str) -> Failure {
        let what = match self.reason.as_str() {
            "" => "an operator has paused it".to_owned(),
            reason => format!("an operator has paused it: {reason}"),
        };
        let remedy = format!("when it is to be read again: {}", resume_command(word));
        Failure::new(Health::Paused, Reaction::Slow, what, remedy)
    }
}

/// What the operator types to have the tenant read again. `word` names it on a command line.
pub(super) fn resume_command(word: &str) -> String {
    format!("incidentd resume {word}")
}

impl PauseReason {
    pub fn new(text: &str) -> Self {
        Self(one_line(text, MOST_REASON).into_boxed_str())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}
