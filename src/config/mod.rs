//! The configuration: TOML files and the environment, validated once into [`settings`].
//!
//! Theory: a layer (`layers`) yields tables of values, each with its origin; a `section` reads one table key by key;
//! `app`, `api` (with `clouds`), `poll`, `kafka` and `tenants` say what each key means. Nothing stops at the first mistake: all are
//! collected (`problems`) and reported together, so that one edit mends the file.
//!
//! Precedence: a tenant's own key, then the environment, then the main file, then the default. A file of `tenants_dir`
//! only adds tenants.
//!
//! Invariants: [`Settings`] exist only without problems. No secret is ever in an error or a warning.

mod api;
mod app;
mod clouds;
mod kafka;
mod layers;
mod listen;
mod poll;
mod problems;
mod section;
pub mod settings;
mod tenants;
mod units;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{Map, Value};
use tracing::level_filters::LevelFilter;

pub use listen::listen;
pub use problems::{ConfigErrors, Problem};
use settings::{HttpSettings, LedgerSettings, LogFormat, LogSettings, Settings};

use app::{AppParts, World};
use problems::{Findings, Wrong, wrong};
use section::{Place, Section};
use tenants::{Defaults, Tenants};

const DEFAULT_LISTEN: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(
    std::net::Ipv4Addr::LOCALHOST,
    9464,
));

/// What to do where there is no main file.
const MISSING: &str =
    "create it (config/minimal.toml is a start), or name another file with --config";

/// Reads and validates the main file, the files of its `tenants_dir`, and the environment.
///
/// Relative paths within the files start from the main file's folder.
///
/// # Errors
/// All mistakes found. When the main file can't be parsed, that is the only one.
pub fn load(path: &Path, environment: &HashMap<String, String>) -> Result<Settings, ConfigErrors> {
    let mut findings = Findings::default();
    let settings = read(path, environment, &mut findings);
    match settings {
        Some(settings) if findings.problems.is_empty() => Ok(Settings {
            warnings: findings.warnings(),
            ..settings
        }),
        _ => Err(ConfigErrors(findings.problems)),
    }
}

/// The process's environment. What is not UTF-8 is kept, with replacement characters, so that it gets reported where it
/// matters instead of being passed over.
pub fn process_environment() -> HashMap<String, String> {
    let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os()
        .map(|(name, value)| (lossy(name), lossy(value)))
        .collect()
}

fn read(
    path: &Path,
    environment: &HashMap<String, String>,
    findings: &mut Findings,
) -> Option<Settings> {
    let mut table = layers::read(path, MISSING, findings)?;
    layers::overlay(&mut table, environment, findings);
    let world = World {
        folder: path.parent().unwrap_or(Path::new("")),
        environment,
    };
    let (api_defaults, poll_defaults) = match (api::defaults(), poll::defaults()) {
        (Some(api), Ok(poll)) => (api, poll),
        // Not reached: a test loads them.
        _ => {
            findings.file(
                "the built-in defaults",
                "they are not valid",
                "report this as a bug",
            );
            return None;
        }
    };
    let file: Arc<str> = path.display().to_string().into();
    let mut root = root(findings, &file, table);

    let tenants_dir = root.parse("tenants_dir", |text| world.path(text));
    let app = in_section(&mut root, "app", |section| {
        AppParts::read(section, &AppParts::NONE, &world)
    });
    let mut api = in_section(&mut root, "api", |section| {
        api::read(section, &api_defaults, &world)
    });
    let (limits, poll) = in_section(&mut root, "poll", |section| {
        let poll = poll::read(section, &poll_defaults, &mut api.settings);
        (poll::read_limits(section), poll)
    });
    let (kafka, topic) = in_section(&mut root, "kafka", kafka::read);
    let ledger = in_section(&mut root, "ledger", |section| read_ledger(section, &world));
    let http = in_section(&mut root, "http", read_http);
    let log = in_section(&mut root, "log", read_log);
    let tables = root.tables("tenants");
    root.finish();

    let mut tenants = Tenants::new(
        Defaults {
            shared_app: app.complete().map(Arc::new),
            app,
            shared_api: Arc::new(api.settings.clone()),
            api,
            shared_poll: Arc::new(poll.settings.clone()),
            poll,
            topic,
        },
        &world,
    );
    tenants.read_all(tables, &file, findings);
    if let Some(folder) = tenants_dir {
        read_tenants_dir(&folder, &mut tenants, findings);
    }
    Some(Settings {
        tenants: tenants.finish(&file, findings),
        max_concurrent: limits.max_concurrent,
        max_in_flight: limits.max_in_flight,
        kafka,
        ledger,
        http,
        log,
        warnings: Vec::new(),
    })
}

fn root<'a>(findings: &'a mut Findings, file: &Arc<str>, table: Map<String, Value>) -> Section<'a> {
    let place = Place {
        file: Arc::clone(file),
        tenant: None,
    };
    Section::new(findings, place, "", table)
}

fn in_section<T>(
    root: &mut Section<'_>,
    key: &'static str,
    read: impl FnOnce(&mut Section<'_>) -> T,
) -> T {
    let mut section = root.section(key);
    let value = read(&mut section);
    section.finish();
    value
}

fn read_tenants_dir(folder: &Path, tenants: &mut Tenants<'_>, findings: &mut Findings) {
    let files = match layers::toml_files(folder) {
        Ok(files) => files,
        Err(error) => {
            let what = format!("the folder of tenants_dir can't be read: {error}");
            findings.file(
                folder.display().to_string(),
                what,
                "create it, or correct tenants_dir",
            );
            return;
        }
    };
    for path in files {
        let Some(table) = layers::read(&path, "it was there a moment ago: try again", findings)
        else {
            continue;
        };
        let file: Arc<str> = path.display().to_string().into();
        let mut root = root(findings, &file, table);
        let tables = root.tables("tenants");
        let without = tables.is_empty() && !root.refused("tenants");
        root.finish();
        if without {
            findings.file(
                &*file,
                "it holds no [[tenants]]",
                "add the tenant, or remove the file",
            );
        }
        tenants.read_all(tables, &file, findings);
    }
}

fn read_ledger(section: &mut Section<'_>, world: &World<'_>) -> LedgerSettings {
    section.parse("kind", |text| match text {
        "local" => Ok(()),
        _ => Err(wrong(
            "this version keeps a \"local\" ledger only",
            "set it to \"local\", or leave it out",
        )),
    });
    let path = section.parse("path", |text| world.path(text));
    LedgerSettings {
        path: path.unwrap_or_else(|| PathBuf::from("/var/lib/incidentd/ledger")),
    }
}

fn read_http(section: &mut Section<'_>) -> HttpSettings {
    let listen = section.parse("listen", |text| {
        let remedy =
            "give an IP address and a port, for example \"127.0.0.1:9464\" or \"[::]:9464\"";
        text.parse()
            .map_err(|_| wrong("it is not an address to listen on", remedy))
    });
    HttpSettings {
        listen: listen.unwrap_or(DEFAULT_LISTEN),
    }
}

fn read_log(section: &mut Section<'_>) -> LogSettings {
    let formats = [
        ("auto", LogFormat::Auto),
        ("json", LogFormat::Json),
        ("text", LogFormat::Text),
    ];
    LogSettings {
        format: section
            .choice("format", &formats)
            .unwrap_or(LogFormat::Auto),
        level: section
            .parse("level", log_level)
            .unwrap_or_else(|| "info".into()),
    }
}

/// As `telemetry::logging` reads it: levels, alone or for a named target.
fn log_level(text: &str) -> Result<String, Wrong> {
    let is_level = |word: &str| word.trim().parse::<LevelFilter>().is_ok();
    let understood = |part: &str| match part.split_once('=') {
        Some((target, level)) => !target.trim().is_empty() && is_level(level),
        None => !part.trim().is_empty() && is_level(part),
    };
    if text.split(',').all(understood) {
        return Ok(text.into());
    }
    Err(wrong(
        "it is no level and no filter",
        "give off, error, warn, info, debug or trace, or a filter such as \"info,incidentd::microsoft=debug\"",
    ))
}

#[cfg(test)]
mod tests;
