//! Reload: the files are read again, and all settings that can change at run time change in one step.
//!
//! Invariants: a configuration with a mistake changes nothing. A good one can't fail half-way: all tenants are built before the
//! first is handed over. Untouched tenants are the same objects as before, so they keep their token, their turn, their running
//! sweep and their request budget.
//!
//! A setting that can't change at run time keeps its value until a restart. The log and the status name its key.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::fleet::{Before, Builder};
use super::mounts::Mounts;
use super::preview::{Load, ReloadPreviewer};
use crate::config::Problem;
use crate::core::diff::Diff;
use crate::core::health::failure::chain;
use crate::core::health::status::{ConfigurationState, ConfigurationStatus};
use crate::core::time::ticks::Ticks;
use crate::ports::Clock;
use crate::runtime::commands::DispatcherCommand;
use crate::runtime::fleet::Fleet;
use crate::settings::Settings;
use crate::telemetry::logging::LogFilterHandle;
use crate::telemetry::systemd;

/// This many mistakes of one reload are logged; the status and `incidentd check --offline` show all.
const MISTAKES: usize = 20;

/// The time to read the files; those of thousands of tenants take a second or two.
const LOAD: Duration = Duration::from_secs(60);

/// How a reload is requested, and what it needs.
#[derive(Clone)]
pub struct Reload {
    /// Notified for each requested reload. Requests during a reload lead to one more.
    pub asked: Arc<Notify>,
    pub load: Load,
    pub log: LogFilterHandle,
}

/// The state of the configuration, for the status.
pub struct ReloadStatus(Mutex<ConfigurationStatus>);

impl ReloadStatus {
    pub fn new(loaded: Ticks) -> Self {
        Self(Mutex::new(in_force(loaded, Vec::new())))
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
        *self.0.lock() = in_force(loaded, restart_needed);
    }
}

fn in_force(loaded: Ticks, restart_needed: Vec<&'static str>) -> ConfigurationStatus {
    ConfigurationStatus {
        state: ConfigurationState::Ok,
        loaded,
        restart_needed,
        error: None,
    }
}

pub struct Reloader {
    pub reload: Reload,
    pub builder: Builder,
    /// The settings at the start: those that can't change at run time are in force.
    pub started_with: Arc<Settings>,
    /// The settings that the fleet was built from last.
    pub settings: Arc<Settings>,
    pub mounts: Mounts,
    /// All tenants of the configuration. What follows it takes those that this process has.
    pub configured: watch::Sender<Fleet>,
    pub status: Arc<ReloadStatus>,
    pub preview: Arc<ReloadPreviewer>,
    pub clock: Arc<dyn Clock>,
    pub commands: mpsc::Sender<DispatcherCommand>,
}

impl Reloader {
    /// Reloads on each request, and when Kubernetes has replaced mounted files, until `stop`. After each reload, systemd gets
    /// `status`.
    pub async fn run(mut self, status: impl Fn() -> String, stop: CancellationToken) {
        let asked = self.reload.asked.clone();
        self.look(|mounts, settings| mounts.of(settings)).await;
        if self.mounts.any() {
            // At the start the files were read before the links: a replacement in between would be missed.
            self.reload(LogReload::OfChanges).await;
        }
        while stop
            .run_until_cancelled(self.wanted(&asked))
            .await
            .is_some()
        {
            systemd::reloading();
            self.reload(LogReload::Always).await;
            if stop.is_cancelled() {
                break;
            }
            // The cause of a failure may have been corrected outside the configuration.
            self.command(DispatcherCommand::RetryAll).await;
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

    async fn reload(&mut self, log: LogReload) {
        // Before the files are read: a replacement in between is noticed afterwards.
        self.look(|mounts, _| mounts.again()).await;
        let load = self.reload.load.clone();
        let refused = match timeout(LOAD, spawn_blocking(move || load())).await {
            Ok(Ok(Ok(settings))) => {
                let refused = self.apply(settings, log).await.err();
                self.look(|mounts, settings| mounts.of(settings)).await;
                refused
            }
            Ok(Ok(Err(errors))) => {
                // The status changes before the log line, here and below: a reader of the log looks there next.
                self.status.refuse(errors.to_string());
                log_mistakes(errors.problems());
                Some(errors.to_string())
            }
            Ok(Err(broken)) => Some(format!("a defect in incidentd ended the reload: {broken}")),
            // The thread keeps running: nothing can end a read that the disk does not answer.
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

    /// Fails only while the daemon stops: then there is nothing to do.
    async fn command(&self, command: DispatcherCommand) {
        let _ = self.commands.send(command).await;
    }

    async fn look(&mut self, look: impl FnOnce(&Mounts, &Settings) -> Mounts + Send + 'static) {
        let (mounts, settings) = (self.mounts.clone(), self.settings.clone());
        if let Ok(mounts) = spawn_blocking(move || look(&mounts, &settings)).await {
            self.mounts = mounts;
        }
    }

    async fn apply(&mut self, settings: Settings, log: LogReload) -> Result<(), String> {
        let before = Before {
            settings: &self.settings,
            fleet: &self.configured.borrow().clone(),
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
        if log == LogReload::Always || changes || !restart_needed.is_empty() {
            log_applied(&settings, &diff, &restart_needed);
        }
        self.configured.send_replace(fleet);
        if let Err(error) = self.reload.log.set(&settings.log.level) {
            // Can't happen: the configuration has parsed it in the same way.
            tracing::warn!(error = chain(&error), "log.level stays as it was");
        }
        self.settings = Arc::new(settings);
        self.preview.accept(self.settings.clone());
        self.status.accept(self.clock.now(), restart_needed);
        Ok(())
    }
}

/// When a successful reload is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LogReload {
    Always,
    /// Only if something has changed: no operator requested this reload.
    OfChanges,
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

/// Logs one line per mistake: a report of many lines is hard to read in a journal.
fn log_mistakes(problems: &[Problem]) {
    for problem in problems.iter().take(MISTAKES) {
        tracing::error!(
            error = problem.headline(),
            remedy = problem.remedy,
            "mistake in the configuration"
        );
    }
}
