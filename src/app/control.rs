//! Operators' commands, from the command line to the socket, and from the socket to the dispatcher.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::core::health::failure::{chain, one_line};
use crate::core::ids::TenantId;
use crate::core::naming::{self, Nameable};
use crate::core::ownership::{Ownership, partition_of};
use crate::core::sweep::command::{CommandRefused, TenantCommand};
use crate::core::sweep::pause::PauseReason;
use crate::core::time::ticks::Ticks;
use crate::ports::{Clock, Outlet};
use crate::runtime::commands::{CommandCaller, DispatcherCommand};
use crate::runtime::fleet::Fleet;
use crate::runtime::tenant::Tenant;
use crate::telemetry::clock::SystemClock;
use crate::telemetry::control::{BeginNotice, Control, ControlSocket};
pub use crate::telemetry::control::{ControlAnswer, ControlCommand, ControlRequest, NoAnswer, ask};

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
    async fn order(
        &self,
        request: ControlRequest,
        begin: BeginNotice,
    ) -> Result<String, CommandRefused> {
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
            caller: CommandCaller { begin, answer },
        };
        let _ = self.commands.send(order).await;
        answered.await.unwrap_or(Err(CommandRefused::Leaving))
    }

    fn find(&self, named: &str) -> Result<Arc<Tenant>, CommandRefused> {
        let fleet = self.configured.borrow().clone();
        let named = one_line(named, 200);
        naming::find(&fleet, &named)
            .cloned()
            .map_err(|names| match names.as_slice() {
                [] => CommandRefused::Unknown {
                    named: one_line(&named, 60),
                },
                several => CommandRefused::Ambiguous {
                    which: naming::which(several),
                    named: one_line(&named, 60),
                },
            })
    }
}

impl Nameable for Arc<Tenant> {
    fn id(&self) -> TenantId {
        self.id
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Control for CommandDesk {
    fn follow(&self, request: ControlRequest, begin: BeginNotice) -> BoxFuture<'_, ControlAnswer> {
        async move {
            match self.order(request, begin).await {
                Ok(done) => ControlAnswer::Done(done),
                Err(refused) => {
                    let text = refused.to_string();
                    match refused {
                        CommandRefused::Unknown { .. } | CommandRefused::Ambiguous { .. } => {
                            ControlAnswer::Unknown(text)
                        }
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
            let path = path.display();
            tracing::warn!(%path, error = chain(&error), remedy = unbound(&error),
                "operators' commands can't reach this daemon");
        }
        Err(_) => {}
    }
    stop.cancelled().await;
}

/// What to do about a socket that can't be made.
fn unbound(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::AddrInUse => {
            "another incidentd has it: give each one an http.socket of its own, and restart this one"
        }
        ErrorKind::AlreadyExists => {
            "remove the file, or set http.socket to another path, and restart the daemon"
        }
        ErrorKind::InvalidInput => {
            "the path is too long for a socket: set http.socket to a short one, for example \
             /run/incidentd/control.sock, and restart the daemon"
        }
        _ => "set http.socket to a path in a folder that the daemon may write to, and restart it",
    }
}
