//! Reload: the files are read again, and what can change at run time changes, as one step.
//!
//! Invariants: a configuration with a mistake changes nothing; applying a good one can't fail half-way (tenants are built
//! before the first of them is handed over); untouched tenants are the same objects as before, so that nothing of theirs
//! (token, place, sweep at work, request budget) is touched.
//!
//! What can't change at run time keeps its value and is named, in the log and in the status, until a restart.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::fleet::{Before, Builder};
use super::mounts::Mounts;
use crate::config::{ConfigErrors, Problem};
use crate::core::diff::Diff;
use crate::core::health::failure::chain;
use crate::core::health::status::{ConfigurationState, ConfigurationStatus};
use crate::core::time::ticks::Ticks;
use crate::ports::Clock;
use crate::runtime::commands::Command;
use crate::runtime::fleet::Fleet;
use crate::settings::Settings;
use crate::telemetry::logging::LogFilterHandle;
use crate::telemetry::systemd;

/// Mistakes of one reload that are logged; the status and `incidentd check --offline` have them all.
const MISTAKES: usize = 20;

/// Thousands of tenants' files are read within a second or two.
const LOAD: Duration = Duration::from_secs(60);

/// Reads the configuration again, as at the start. Blocks.
pub type Load = Arc<dyn Fn() -> Result<Settings, ConfigErrors> + Send + Sync>;

/// How a daemon is told to reload.
#[derive(Clone)]
pub struct Reload {
    /// Notified for each reload that is asked for; what is asked while one is at work is one more.
    pub asked: Arc<Notify>,
    pub load: Load,
    pub log: LogFilterHandle,
}

/// What is known of the configuration, for the status.
pub struct ReloadStatus(Mutex<ConfigurationStatus>);

impl ReloadStatus {
    pub fn new(loaded: Ticks) -> Self {
        Self(Mutex::new(ConfigurationStatus {
            state: ConfigurationState::Ok,
            loaded,
            restart_needed: Vec::new(),
            error: None,
        }))
    }

    pub fn now(&self) -> ConfigurationStatus {
        self.0.lock().clone()
    }

    fn refuse(&self, why: String) {
        let mut now = self.0.lock();
        now.state = ConfigurationState::Refused;
        now.error = Some(why);
    }

    fn accept(&self, loaded: Ticks, restart_needed: Vec<&'static str>) {
        *self.0.lock() = ConfigurationStatus {
            state: ConfigurationState::Ok,
            loaded,
            restart_needed,
            error: None,
        };
    }
}

pub struct Reloader {
    pub reload: Reload,
    pub builder: Builder,
    /// As the daemon was started: what can't change at run time is in force as it stands here.
    pub started_with: Arc<Settings>,
    /// As the fleet was built from last.
    pub settings: Arc<Settings>,
    pub mounts: Mounts,
    pub fleet: watch::Sender<Fleet>,
    pub status: Arc<ReloadStatus>,
    pub clock: Arc<dyn Clock>,
    pub commands: mpsc::Sender<Command>,
}

impl Reloader {
    /// Reloads whenever it is asked to, and when Kubernetes has replaced mounted files, until `stop`. `status` is what
    /// systemd is told after each.
    pub async fn run(mut self, status: impl Fn() -> String, stop: CancellationToken) {
        let asked = self.reload.asked.clone();
        self.look(|mounts, settings| mounts.of(settings)).await;
        if self.mounts.any() {
            // The files were read before the links were: they may have been replaced in between.
            self.reload(Say::Changes).await;
        }
        while stop
            .run_until_cancelled(self.wanted(&asked))
            .await
            .is_some()
        {
            systemd::reloading();
            self.reload(Say::All).await;
            if stop.is_cancelled() {
                break;
            }
            // What tenants rest for may have been mended outside the configuration.
            self.command(Command::RetryAll).await;
            systemd::ready(&status());
        }
    }

    async fn wanted(&self, asked: &Notify) {
        tokio::select! {
            () = asked.notified() => {}
            () = self.mounts.replaced() => {
                tracing::info!("mounted files were replaced: the configuration is read again");
            }
        }
    }

    async fn reload(&mut self, say: Say) {
        // Before the files are read: what is replaced while they are is noticed afterwards.
        self.look(|mounts, _| mounts.again()).await;
        let load = self.reload.load.clone();
        let refused = match timeout(LOAD, spawn_blocking(move || load())).await {
            Ok(Ok(Ok(settings))) => {
                let refused = self.apply(settings, say).await.err();
                self.look(|mounts, settings| mounts.of(settings)).await;
                refused
            }
            Ok(Ok(Err(errors))) => {
                // The status first, here and below: a reader of the log looks there next.
                self.status.refuse(errors.to_string());
                log_mistakes(errors.problems());
                Some(errors.to_string())
            }
            Ok(Err(broken)) => Some(format!("a defect in incidentd ended the reload: {broken}")),
            // The thread is left to itself: nothing ends a read that the disk does not answer.
            Err(_) => Some(format!(
                "the configuration could not be read within {} s: a disk, or a file on the network, does not answer",
                LOAD.as_secs()
            )),
        };
        if let Some(why) = refused {
            self.status.refuse(why.clone());
            let error = why.lines().next().unwrap_or_default().trim_end_matches(':');
            tracing::error!(
                error,
                "the configuration was not reloaded: the one before stays in force; correct the files and reload again"
            );
        }
    }

    /// Without a dispatcher, the daemon is stopping: then there is nothing to do.
    async fn command(&self, command: Command) {
        let _ = self.commands.send(command).await;
    }

    async fn look(&mut self, look: impl FnOnce(&Mounts, &Settings) -> Mounts + Send + 'static) {
        let (mounts, settings) = (self.mounts.clone(), self.settings.clone());
        if let Ok(mounts) = spawn_blocking(move || look(&mounts, &settings)).await {
            self.mounts = mounts;
        }
    }

    async fn apply(&mut self, settings: Settings, say: Say) -> Result<(), String> {
        let before = Before {
            settings: &self.settings,
            fleet: &self.fleet.borrow().clone(),
        };
        let fleet = self
            .builder
            .build(&settings, Some(before))
            .map_err(|error| chain(&error))?;
        let diff = Diff::between(
            before.fleet.iter().map(|tenant| (tenant.id, tenant)),
            fleet.iter().map(|tenant| (tenant.id, tenant)),
            |was, is| Arc::ptr_eq(was, is),
        );
        let restart_needed = self.started_with.restart_needed(&settings);
        let log_level = self.settings.log.level != settings.log.level;
        let changes = diff.untouched < fleet.len() || !diff.removed.is_empty() || log_level;
        if say == Say::All || changes || !restart_needed.is_empty() {
            log_applied(&settings, &diff, &restart_needed);
        }
        self.fleet.send_replace(fleet.clone());
        self.command(Command::Fleet(fleet)).await;
        if let Err(error) = self.reload.log.set(&settings.log.level) {
            // The configuration has read it the same way.
            tracing::warn!(error = chain(&error), "log.level stays as it was");
        }
        self.settings = Arc::new(settings);
        self.status.accept(self.clock.now(), restart_needed);
        Ok(())
    }
}

/// What of a reload that succeeds is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Say {
    All,
    /// Nothing, if nothing has changed: nobody asked for this reload.
    Changes,
}

fn log_applied<K>(settings: &Settings, diff: &Diff<K>, restart_needed: &[&str]) {
    for warning in &settings.warnings {
        tracing::warn!("configuration: {warning}");
    }
    if !restart_needed.is_empty() {
        tracing::warn!(
            keys = restart_needed.join(", "),
            "these keys have new values that need a restart; until then the old ones hold"
        );
    }
    let (added, changed) = (diff.added.len(), diff.changed.len());
    tracing::info!(
        tenants = added + changed + diff.untouched,
        added,
        removed = diff.removed.len(),
        changed,
        untouched = diff.untouched,
        "configuration reloaded"
    );
}

/// One line each: whoever reads a journal sees no report of many lines.
fn log_mistakes(problems: &[Problem]) {
    for problem in problems.iter().take(MISTAKES) {
        tracing::error!(
            error = problem.headline(),
            remedy = problem.remedy,
            "mistake in the configuration"
        );
    }
}
