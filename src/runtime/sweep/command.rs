//! Records an operator's command in the tenant's state. It reads and writes the ledger alone.

use super::memory::Memory;
use super::{SweepOutcome, Sweeper};
use crate::core::naming::tenant_word;
use crate::core::sweep::command::{CommandRefused, TenantCommand};
use crate::core::sweep::cursor::TenantState;
use crate::ports::Batch;
use crate::runtime::tenant::Tenant;

impl Sweeper {
    /// Records `command`. No other work of the tenant may be in progress: it would write the state as it was before. Returns
    /// what the operator gets to read, too. `begin` is asked at the last moment before the write, and `false` prevents it.
    pub async fn record(
        &self,
        tenant: &Tenant,
        mut memory: Memory,
        command: &TenantCommand,
        begin: impl FnOnce() -> bool + Send,
    ) -> (SweepOutcome, Result<String, CommandRefused>) {
        match self.change(tenant, &memory, command, begin).await {
            Ok((before, after)) => {
                // An operator who asks for a back-fill expects that places which rest are tried again.
                memory.unreadable.resting.wake();
                if let TenantCommand::Backfill(since) = *command {
                    let ordered = memory.list.ordered.map_or(since, |known| known.min(since));
                    memory.list.ordered = Some(ordered);
                }
                let answer = command.done(
                    &tenant.name,
                    &tenant_word(&tenant.name, tenant.id),
                    &before,
                    &after,
                );
                (SweepOutcome::unread(after).with(memory), Ok(answer))
            }
            Err(refused) => (SweepOutcome::idle(memory), Err(refused)),
        }
    }

    /// The state before and after.
    async fn change(
        &self,
        tenant: &Tenant,
        memory: &Memory,
        command: &TenantCommand,
        begin: impl FnOnce() -> bool + Send,
    ) -> Result<(TenantState, TenantState), CommandRefused> {
        let (now, rules) = (self.clock.now(), &tenant.rules);
        let lease = self.lease(tenant).map_err(CommandRefused::Ledger)?;
        let recorded = lease.state().await.map_err(CommandRefused::Ledger)?;
        let first = || TenantState::first(now, rules.lookback);
        let before = recorded.clone().unwrap_or_else(first);
        let after = command.apply(&before, &rules.reach, memory.last_full, now)?;
        if recorded.as_ref() != Some(&after) {
            if !begin() {
                return Err(CommandRefused::Abandoned);
            }
            let state = Some(after.clone());
            let batch = Batch {
                state,
                ..Batch::default()
            };
            let written = lease.commit(batch).await.result;
            written.map_err(CommandRefused::Unconfirmed)?;
        }
        Ok((before, after))
    }
}
