//! The commands of the dispatcher. They share one channel and take effect in the order in which they are sent.

use std::collections::HashSet;

use tokio::sync::oneshot;

use super::fleet::Fleet;
use crate::core::ids::TenantId;
use crate::core::ownership::Ownership;
use crate::core::sweep::command::{CommandRefused, TenantCommand};
use crate::core::time::schedule::Schedule;

pub enum DispatcherCommand {
    /// The schedule fires now.
    Fired(Schedule),
    /// These are the tenants from now on. Those that `ownership` lets be swept are swept, and all are shown.
    Fleet { fleet: Fleet, ownership: Ownership },
    /// Try all resting tenants again now.
    RetryAll,
    /// Record an operator's command.
    Operator {
        tenant: TenantId,
        command: TenantCommand,
        caller: CommandCaller,
    },
    /// Give these tenants up, so that another machine can take them over. `done` is sent when nothing runs for them any
    /// more. If the dispatcher ends before it reads the command, `done` is dropped. A later fleet with such a tenant
    /// takes it over again.
    Release {
        tenants: HashSet<TenantId>,
        done: oneshot::Sender<()>,
    },
}

/// Waits for an operator's command to be recorded.
pub struct CommandCaller {
    /// Called at the last moment before the write. `false`: the caller has gone, and nothing may be written.
    pub begin: Box<dyn FnOnce() -> bool + Send>,
    /// Gets what the operator reads. It is dropped when the tenant leaves first, or the dispatcher ends.
    pub answer: oneshot::Sender<Result<String, CommandRefused>>,
}
