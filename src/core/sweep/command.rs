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
    #[error("{since} is in the future: it is {now} now; give a time that has passed")]
    Future { since: Ticks, now: Ticks },
    #[error(
        "Microsoft keeps incidents for 180 days, and has nothing from {since}; give a time after {oldest}"
    )]
    TooOld { since: Ticks, oldest: Ticks },
    #[error("no tenant of the configuration that runs is called {named:?}; see incidentd status")]
    Unknown { named: String },
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
    #[error("the ledger was not written: {}; {}; then repeat the command", .0.what, .0.remedy)]
    Ledger(Failure),
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

    /// What the operator reads after the state of the tenant called `name` went from `before` to `after`.
    pub fn done(&self, name: &str, before: &TenantState, after: &TenantState) -> String {
        match (self, &before.paused, &after.paused) {
            (Self::Pause(_), Some(pause), _) => {
                format!("{name} has been paused since {}", pause.since)
            }
            (Self::Pause(_), None, _) => format!(
                "{name} is paused, and its cursor stays at {}; to read on from there: {}",
                after.cursor,
                resume_command(name)
            ),
            (Self::Resume, None, _) => format!("{name} is not paused"),
            (Self::Resume, Some(_), _) => format!("{name} is read on from {}", after.cursor),
            (Self::Backfill(since), ..) if before == after => {
                format!("{name} has nothing to fill in: the next sweep reads all since {since}")
            }
            (Self::Backfill(since), _, paused) => {
                let when = match paused {
                    Some(_) => format!("after {}", resume_command(name)),
                    None => "beside live polling; incidentd status shows how far".to_owned(),
                };
                format!("{name} is read again from {since} on, {when}")
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
