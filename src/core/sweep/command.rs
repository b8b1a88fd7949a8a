//! What an operator orders for one tenant, and how the tenant's state changes with it.
//!
//! The result is part of the state in the ledger. So it holds after a restart and in another process, and only the process
//! that reads the tenant writes it.

use super::backlog::Interval;
use super::cursor::{CLOCKS_DIFFER, LastFull, RETENTION, Reach, TenantState, full_from};
use super::pause::{Pause, PauseReason, resume_command};
use crate::core::health::failure::Failure;
use crate::core::time::ticks::Ticks;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TenantCommand {
    Pause(PauseReason),
    Resume,
    /// Read what was last updated since then once more. What the ledger has is not published again.
    Backfill(Ticks),
}

/// Why a command is not recorded. The tenant's state stays.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommandRefused {
    #[error("{} is in the future: it is {} now; give a time that has passed", since.second(), now.second())]
    Future { since: Ticks, now: Ticks },
    #[error(
        "Microsoft keeps incidents for 180 days, and has nothing from {}; give a time after {}",
        since.second(), oldest.second()
    )]
    TooOld { since: Ticks, oldest: Ticks },
    #[error("no tenant of the configuration that runs is called {named:?}; see incidentd status")]
    Unknown { named: String },
    #[error("{named:?} names no single tenant: {which}")]
    Ambiguous { named: String, which: String },
    /// Another process has the tenant.
    #[error(
        "this replica does not have the tenant: it belongs to partition {partition} of the ledger; ask the other replicas, one of \
         them has it"
    )]
    Elsewhere { partition: u16 },
    #[error("the tenant's partition of the ledger is not read yet; repeat the command in a moment")]
    NotReady,
    #[error("another command for the tenant is not recorded yet; repeat this one in a moment")]
    Busy,
    #[error("the daemon stops, or the tenant leaves it; repeat the command in a moment")]
    Leaving,
    #[error("the caller no longer waits")]
    Abandoned,
    #[error("nothing is recorded, because the ledger can't be read: {}; {}", .0.what, then_repeat(.0))]
    Ledger(Failure),
    /// The write has begun.
    #[error(
        "the ledger does not confirm the command, which may still take effect: {}; look with incidentd status; {}",
        .0.what, then_repeat(.0)
    )]
    Unconfirmed(Failure),
}

/// What the operator does about `failure` before the next try.
fn then_repeat(failure: &Failure) -> String {
    match failure.remedy.starts_with("nothing to do") {
        true => "repeat the command in a moment".to_owned(),
        false => format!("{}; then repeat the command", failure.remedy),
    }
}

impl TenantCommand {
    /// The tenant's state after the command, which may be the same as before.
    ///
    /// # Errors
    /// The command asks for what Microsoft can't have.
    pub fn apply(
        &self,
        state: &TenantState,
        reach: &Reach,
        last_full: LastFull,
        now: Ticks,
    ) -> Result<TenantState, CommandRefused> {
        let mut state = state.clone();
        match self {
            // A second pause does not begin anew.
            Self::Pause(reason) => match &mut state.paused {
                Some(pause) if reason.as_str().is_empty() || *reason == pause.reason => {}
                Some(pause) => pause.reason = reason.clone(),
                None => {
                    let (since, reason) = (now, reason.clone());
                    state.paused = Some(Pause { since, reason });
                }
            },
            Self::Resume => state.paused = None,
            Self::Backfill(since) => {
                let (since, oldest) = (*since, now.minus(RETENTION));
                if since > now.plus(CLOCKS_DIFFER) {
                    return Err(CommandRefused::Future { since, now });
                }
                if since < oldest.minus(CLOCKS_DIFFER) {
                    return Err(CommandRefused::TooOld { since, oldest });
                }
                let to = full_from(&state, reach, last_full);
                open(&mut state, since, to);
            }
        }
        Ok(state)
    }

    /// What the operator reads after the state of the tenant called `name` went from `before` to `after`. `word` names the
    /// tenant on a command line.
    pub fn done(
        &self,
        name: &str,
        word: &str,
        before: &TenantState,
        after: &TenantState,
    ) -> String {
        match (self, &before.paused, &after.paused) {
            (Self::Pause(_), Some(pause), now) => {
                let reason = match now {
                    Some(now) if now.reason != pause.reason => {
                        format!("; the reason is now: {}", now.reason.as_str())
                    }
                    _ => String::new(),
                };
                format!(
                    "{name} has been paused since {}{reason}",
                    pause.since.second()
                )
            }
            (Self::Pause(_), None, _) => format!(
                "{name} is paused, and its cursor stays at {}; to read on from there: {}",
                after.cursor.second(),
                resume_command(word)
            ),
            (Self::Resume, None, _) => format!("{name} is not paused"),
            (Self::Resume, Some(_), _) => {
                format!("{name} is read on from {}", after.cursor.second())
            }
            (Self::Backfill(since), _, paused) => {
                let covers = |open: &Interval| (open.from..open.to).contains(since);
                let open = after.backlog.intervals().iter().any(covers);
                let since = since.second();
                let when = match paused {
                    Some(_) => format!("after {}", resume_command(word)),
                    None => "beside live polling; incidentd status shows how far".to_owned(),
                };
                match before == after {
                    true if open => format!(
                        "{name} is to be read again from {since} on already, {when}; nothing changes"
                    ),
                    true => format!(
                        "{name} has nothing to fill in: the next sweep reads all since {since}"
                    ),
                    false => format!("{name} is read again from {since} on, {when}"),
                }
            }
        }
    }
}

/// Opens `since..to`. What follows is read by the next full sweep, which would leave it out if it were open. What lies before
/// the start of the first range was never read.
fn open(state: &mut TenantState, since: Ticks, to: Ticks) {
    if since >= to {
        return;
    }
    let start = state.start.clamp(since, to);
    state.backlog.open(Interval::unread(since, start));
    state.backlog.open(Interval::again(start, to));
    state.start = state.start.min(since);
}

#[cfg(test)]
mod tests;
