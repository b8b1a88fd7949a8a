//! The configuration: TOML files and the environment, validated once into [`crate::settings`].
//!
//! `keys` lists every key: its type, default and range, and whether a reload takes it. `layers` makes tables of values of
//! the files and the environment, each value with its origin. A `section` reads one table key by key; `app` (with
//! `credential_files`), `api` (with `clouds`), `poll`, `kafka`, `tenants` and `read` say what each key means. Nothing stops at the
//! first mistake: all are collected (`problems`) and reported together, so that one edit mends the file.
//!
//! Precedence: a tenant's own key, then the environment, then the main file, then the default. A file of `tenants_dir`
//! only adds tenants.
//!
//! Invariants: [`Settings`] exist only without problems. No secret is ever in an error or a warning.

mod access;
mod api;
mod app;
mod choices;
mod clouds;
mod credential_files;
mod effective;
mod identities;
mod identity_endpoint;
mod kafka;
mod keys;
mod layers;
mod library_checks;
mod lines;
mod origin;
mod poll;
mod problems;
mod read;
mod schema;
mod scope;
mod section;
mod service_copies;
mod tenants;
mod units;
mod unknown_keys;
mod values;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use effective::Effective;
pub use keys::{ConfigKey, keys};
pub(crate) use library_checks::{LibraryChecks, WrongCertificate};
pub use problems::ConfigErrors;
pub(crate) use problems::{Problem, Wrong, wrong};
pub(crate) use read::DEFAULT_LISTEN;
pub(crate) use schema::schema;
pub(crate) use tenants::{ExistingTenants, tenant_id, tenant_name};
pub(crate) use units::distance;

use crate::settings::{HttpSettings, LedgerKind, LedgerSettings, Settings};
use origin::Provenance;
use problems::Diagnosis;
use scope::Context;

/// Variables, each with its value.
pub(crate) type Environment = HashMap<String, String>;

/// Reads and validates the main file, the files of its `tenants_dir`, and the environment.
///
/// Relative paths within the files start from the main file's folder.
///
/// # Errors
/// All mistakes found. Of a file that can't be parsed, only the syntax errors.
pub(crate) fn load(
    path: &Path,
    environment: &Environment,
    checks: &dyn LibraryChecks,
) -> Result<Settings, ConfigErrors> {
    let context = Context {
        checks,
        needs_credentials: true,
        ..Context::for_reading(path, environment)
    };
    read_all(context).map(|(settings, _)| settings)
}

/// The same for commands that ask Microsoft and Kafka nothing: secrets may be missing, or unreadable for this user, and no
/// library is asked. The credentials in it are of no use.
///
/// # Errors
/// As [`load`].
pub fn load_for_reading(path: &Path, environment: &Environment) -> Result<Settings, ConfigErrors> {
    let context = Context::for_reading(path, environment);
    read_all(context).map(|(settings, _)| settings)
}

/// The configuration in force, key by key, each with where it comes from; secrets left out. A secret that can't be read is
/// a warning.
///
/// # Errors
/// As [`load`].
pub(crate) fn effective(
    path: &Path,
    environment: &Environment,
    checks: &dyn LibraryChecks,
) -> Result<Effective, ConfigErrors> {
    let context = Context {
        checks,
        ..Context::for_reading(path, environment)
    };
    let (settings, provenance) = read_all(context)?;
    Ok(Effective::new(path, settings, provenance))
}

fn read_all(context: Context<'_>) -> Result<(Settings, Provenance), ConfigErrors> {
    let mut diagnosis = Diagnosis::default();
    match read::read(context, &mut diagnosis) {
        Some((mut settings, _)) if diagnosis.problems.is_empty() => {
            settings.warnings = diagnosis.warnings();
            Ok((settings, diagnosis.provenance))
        }
        _ => Err(ConfigErrors::new(diagnosis.problems)),
    }
}

/// The tenants of a configuration that need not be right yet: what a new one has to differ from.
///
/// # Errors
/// The main file is not there, or can't be parsed. Other mistakes don't matter here.
pub(crate) fn existing_tenants(
    path: &Path,
    environment: &Environment,
) -> Result<ExistingTenants, ConfigErrors> {
    let mut diagnosis = Diagnosis::default();
    let context = Context::for_reading(path, environment);
    match read::read(context, &mut diagnosis) {
        Some((_, existing)) => Ok(existing),
        None => Err(ConfigErrors::new(diagnosis.problems)),
    }
}

/// The address of this configuration's daemon. Nothing else is checked: other mistakes, or a variable that only the
/// daemon has, must not keep a command from asking a daemon that runs.
///
/// # Errors
/// `http.listen` is wrong; or the main file can't be read, and no variable gives it.
pub(crate) fn listen(path: &Path, environment: &Environment) -> Result<SocketAddr, ConfigErrors> {
    let keys = ["http", "http.listen"];
    endpoints(path, environment, &keys).map(|(http, _)| http.listen)
}

/// Where a daemon takes operators' commands.
pub(crate) struct CommandSocket {
    /// `None`: nowhere.
    pub path: Option<PathBuf>,
    /// Whether the ledger is in Kafka, so that several processes may share the tenants.
    pub shared: bool,
}

/// Where this configuration's daemon takes operators' commands. Nothing else is checked, as in [`listen`].
///
/// # Errors
/// Keys that this depends on are wrong.
pub(crate) fn command_socket(
    path: &Path,
    environment: &Environment,
) -> Result<CommandSocket, ConfigErrors> {
    let keys = [
        "http",
        "http.socket",
        "ledger",
        "ledger.kind",
        "ledger.path",
    ];
    let (http, ledger) = endpoints(path, environment, &keys)?;
    Ok(CommandSocket {
        path: ledger
            .as_ref()
            .and_then(|ledger| http.command_socket(ledger)),
        shared: ledger.is_some_and(|ledger| ledger.kind == LedgerKind::Kafka),
    })
}

/// The endpoints' settings, if these keys are right.
fn endpoints(
    path: &Path,
    environment: &Environment,
    keys: &[&str],
) -> Result<(HttpSettings, Option<LedgerSettings>), ConfigErrors> {
    let mut diagnosis = Diagnosis::default();
    let context = Context::for_reading(path, environment);
    let found = read::endpoints(context, &mut diagnosis);
    let mut problems = diagnosis.problems;
    if found.is_some() {
        problems.retain(|problem| keys.contains(&problem.key.as_str()));
    }
    match found {
        Some(found) if problems.is_empty() => Ok(found),
        _ => Err(ConfigErrors::new(problems)),
    }
}

/// A list of brokers, as `kafka.brokers` takes it.
///
/// # Errors
/// What is wrong with it, and what to write.
pub(crate) fn brokers(text: &str) -> Result<String, String> {
    kafka::brokers(text).map_err(|wrong| format!("{}; {}", wrong.what, wrong.remedy))
}

/// A duration of at most a year, in the form of the configuration.
///
/// # Errors
/// What is wrong with it, and what to write.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const YEAR: u64 = 365 * 86_400_000;
    let millis = units::DURATION.read(text, 1, YEAR);
    let millis = millis.map_err(|wrong| format!("{}; {}", wrong.what, wrong.remedy))?;
    Ok(Duration::from_millis(millis))
}

/// The process's environment. Values that are not UTF-8 are kept with replacement characters, so that they are reported
/// where they are used.
pub(crate) fn process_environment() -> Environment {
    let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os()
        .map(|(name, value)| (lossy(name), lossy(value)))
        .collect()
}

#[cfg(test)]
mod tests;
