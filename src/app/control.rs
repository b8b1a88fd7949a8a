//! Operators' commands, from the command line to the socket, and from the socket to the dispatcher.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::core::health::failure::{chain, one_line};
use crate::core::ownership::{Ownership, partition_of};
use crate::core::sweep::command::{CommandRefused, TenantCommand};
use crate::core::sweep::pause::PauseReason;
use crate::core::time::ticks::Ticks;
use crate::ports::{Clock, Outlet};
use crate::runtime::commands::DispatcherCommand;
use crate::runtime::fleet::Fleet;
use crate::runtime::tenant::Tenant;
use crate::telemetry::clock::SystemClock;
use crate::telemetry::control::{Control, ControlSocket};
pub use crate::telemetry::control::{ControlAnswer, ControlCommand, ControlRequest, ask};

/// The instant so long before now.
pub fn ago(time: Duration) -> Ticks {
    SystemClock.now().minus(time)
}

/// Finds the tenant of a command.
pub(super) struct CommandDesk {
    /// All tenants of the configuration.
    pub(super) configured: tokio::sync::watch::Receiver<Fleet>,
    pub(super) outlet: Arc<dyn Outlet>,
    pub(super) commands: mpsc::Sender<DispatcherCommand>,
}

impl CommandDesk {
    async fn order(&self, request: ControlRequest) -> Result<String, CommandRefused> {
        let command = match request.command {
            ControlCommand::Pause { reason } => TenantCommand::Pause(PauseReason::new(&reason)),
            ControlCommand::Resume => TenantCommand::Resume,
            ControlCommand::Backfill { since } => TenantCommand::Backfill(Ticks(since)),
        };
        let tenant = self.find(&request.tenant)?.id;
        let ownership = self.outlet.ownership().borrow().clone();
        if let Ownership::Partitions { count, .. } = ownership
            && !ownership.owns(tenant)
        {
            let partition = partition_of(tenant, count);
            return Err(CommandRefused::Elsewhere { partition });
        }
        let (answer, answered) = oneshot::channel();
        let order = DispatcherCommand::Operator {
            tenant,
            command,
            answer,
        };
        let _ = self.commands.send(order).await;
        answered.await.unwrap_or(Err(CommandRefused::Leaving))
    }

    /// By id, by name, or by a name that differs in upper and lower case only.
    fn find(&self, named: &str) -> Result<Arc<Tenant>, CommandRefused> {
        let fleet = self.configured.borrow().clone();
        let by = |test: &dyn Fn(&Tenant) -> bool| fleet.iter().find(|tenant| test(tenant)).cloned();
        by(&|tenant| tenant.id.to_string().eq_ignore_ascii_case(named))
            .or_else(|| by(&|tenant| *tenant.name == *named))
            .or_else(|| by(&|tenant| tenant.name.to_lowercase() == named.to_lowercase()))
            .ok_or_else(|| CommandRefused::Unknown {
                named: one_line(named, 60),
            })
    }
}

impl Control for CommandDesk {
    fn follow(&self, request: ControlRequest) -> BoxFuture<'_, ControlAnswer> {
        async move {
            match self.order(request).await {
                Ok(done) => ControlAnswer::Done(done),
                Err(refused) => {
                    let text = refused.to_string();
                    match refused {
                        CommandRefused::Unknown { .. } => ControlAnswer::Unknown(text),
                        CommandRefused::Future { .. } | CommandRefused::TooOld { .. } => {
                            ControlAnswer::Refused(text)
                        }
                        _ => ControlAnswer::Later(text),
                    }
                }
            }
        }
        .boxed()
    }
}

/// Serves the socket until `stop`. Without one, the daemon works as well.
pub(super) async fn serve(path: &Path, desk: CommandDesk, stop: CancellationToken) {
    let at = path.to_owned();
    let bound = spawn_blocking(move || ControlSocket::bind(&at)).await;
    match bound {
        Ok(Ok(socket)) => socket.serve(Arc::new(desk), stop.clone()).await,
        Ok(Err(error)) => {
            tracing::warn!(path = %path.display(), error = chain(&error),
                "operators' commands can't reach this daemon: set http.socket to a path of less than 90 bytes in a folder that it may write to, and restart it");
        }
        Err(_) => {}
    }
    stop.cancelled().await;
}
