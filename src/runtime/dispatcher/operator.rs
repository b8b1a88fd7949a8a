//! Operators' commands for single tenants: each waits until the tenant's work in progress has ended, and is then recorded.

use tokio::time::Instant;

use super::Dispatcher;
use super::work::{CommandAnswer, Ended, Work};
use crate::core::agenda::Input;
use crate::core::ids::TenantId;
use crate::core::sweep::command::{CommandRefused, TenantCommand};
use crate::runtime::commands::CommandCaller;
use crate::runtime::sweep::SweepOutcome;

/// A command that is not recorded yet.
pub(super) struct PendingCommand {
    pub(super) command: TenantCommand,
    pub(super) caller: CommandCaller,
}

impl Dispatcher {
    /// Takes a command, or refuses it at once.
    pub(super) fn take_command(&mut self, tenant: TenantId, pending: PendingCommand) {
        let may_sweep = (self.sweeper.outlet.ownership().borrow()).may_sweep(tenant);
        let entry = self.tenants.get_mut(&tenant).filter(|entry| !entry.gone);
        let waits = |other: &PendingCommand| !other.caller.answer.is_closed();
        let refused = match entry {
            None => CommandRefused::Leaving,
            Some(_) if !may_sweep => CommandRefused::NotReady,
            Some(entry) if entry.command.as_ref().is_some_and(waits) => CommandRefused::Busy,
            Some(entry) => {
                entry.command = Some(pending);
                return self.act(Input::Command(tenant));
            }
        };
        let (to, answer) = (pending.caller.answer, Err(refused));
        CommandAnswer { to, answer }.send();
    }

    /// Records the command that waits for `tenant`. It needs no permit, because it asks Microsoft nothing.
    pub(super) fn record(&mut self, tenant: TenantId) {
        let Some((tenant, _, memory)) = self.take(tenant) else {
            return;
        };
        let pending = self.tenants.get_mut(&tenant.id);
        let pending = pending.and_then(|entry| entry.command.take());
        let (of, sweeper, began) = (tenant.clone(), self.sweeper.clone(), Instant::now());
        let task = self.work.spawn(async move {
            let (outcome, answer) = match pending {
                None => (SweepOutcome::idle(memory), None),
                Some(PendingCommand { command, caller }) => {
                    let (begin, to) = (caller.begin, caller.answer);
                    let recorded = sweeper.record(&tenant, memory, &command, begin);
                    let (outcome, answer) = recorded.await;
                    if let Ok(done) = &answer {
                        tracing::info!(tenant = %tenant.id, name = %tenant.name, done, "an operator's command is recorded");
                    }
                    (outcome, Some(CommandAnswer { to, answer }))
                }
            };
            Ended {
                began,
                outcome,
                last_turn: None,
                answer,
            }
        });
        self.at_work.insert(task.id(), (of, Work::Record));
    }
}
