//! The files and the environment, read from end to end into [`Settings`].

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{Map, Value};
use tracing::level_filters::LevelFilter;

use super::access::{self, Exposed};
use super::app::{AppParts, Context};
use super::layers;
use super::origin::{File, Spot};
use super::problems::{Diagnosis, Wrong, reads_plain, wrong};
use super::section::{ConfigSection, Owner, Scope};
use super::tenants::{Defaults, Taken, Tenants};
use super::{api, kafka, poll};
use crate::config::credential_files::OnUnreadable;
use crate::config::library_checks::LibraryChecks;
use crate::config::unknown_keys::{self, Known};
use crate::core::health::failure::one_line;
use crate::settings::{HttpSettings, LedgerSettings, LogFormat, LogSettings, Settings};

/// Where the daemon listens unless `http.listen` says otherwise.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9464));

/// What to do where there is no main file.
const MISSING: &str = "create it with incidentd init, or name another file with --config";

/// What the files came to. The settings are valid only when nothing was reported.
pub(super) struct Draft {
    pub settings: Settings,
    pub tenants_dir: Option<PathBuf>,
    pub taken: Taken,
}

/// `None` when the main file can't be parsed.
pub(super) fn read(
    path: &Path,
    environment: &HashMap<String, String>,
    checks: &dyn LibraryChecks,
    on_unreadable: OnUnreadable,
    diagnosis: &mut Diagnosis,
) -> Option<Draft> {
    let file = File::new(path, 0);
    let mut table = layers::read(path, &file, MISSING, diagnosis)?;
    let mut exposed = access::look_at_file(path, &file, &table);
    layers::overlay(&mut table, environment, diagnosis);
    let context = Context {
        folder: path.parent().unwrap_or(Path::new("")),
        environment,
        checks,
        on_unreadable,
    };
    let whole = Spot::whole(&file);
    let Some(main) = read_main(&file, table, &context, diagnosis) else {
        // Not reached: a test loads them.
        let what = wrong(
            "the built-in defaults are not valid",
            "report this as a bug",
        );
        diagnosis.refuse(&whole, what);
        return None;
    };
    if main.defaults.shared_api.proxy.is_none() {
        layers::warn_of_unusable_proxies(environment, diagnosis);
    }
    let mut tenants = Tenants::new(main.defaults, &context);
    tenants.read_all(main.tables, &file, diagnosis);
    let mut hidden = main.hides_tenants;
    hidden |= read_folder(&main.tenant_files, &mut tenants, &mut exposed, diagnosis);
    hidden |= explain_strays(diagnosis);
    layers::warn_of_unread(environment, diagnosis);
    if tenants.is_empty() && !hidden {
        let remedy = match main.tenants_dir {
            Some(_) => "add each customer with: incidentd init --tenant TENANT_ID --name NAME",
            None => {
                "add [[tenants]] with the customer's id below it; or set tenants_dir, and add each customer with: incidentd init --tenant TENANT_ID --name NAME"
            }
        };
        diagnosis.refuse(&whole, wrong("there is no tenant", remedy));
    }
    let (tenants, taken) = tenants.finish(&main.app, diagnosis);
    access::warn(exposed, diagnosis);
    Some(Draft {
        settings: Settings {
            tenants,
            ..main.settings
        },
        tenants_dir: main.tenants_dir,
        taken,
    })
}

/// `http.listen` alone. `None` when the main file can't be parsed, and no variable says it.
pub(super) fn listen(
    path: &Path,
    environment: &HashMap<String, String>,
    diagnosis: &mut Diagnosis,
) -> Option<SocketAddr> {
    let file = File::new(path, 0);
    let read = layers::read(path, &file, MISSING, diagnosis);
    let readable = read.is_some();
    let mut table = read.unwrap_or_default();
    layers::overlay(&mut table, environment, diagnosis);
    if !readable && !table.contains_key("http") {
        return None;
    }
    let mut root = root(diagnosis, &file, Owner::Daemon, table);
    Some(in_section(&mut root, "http", read_http).listen)
}

/// The main file, without its tenants.
struct MainFile {
    settings: Settings,
    defaults: Defaults,
    tenants_dir: Option<PathBuf>,
    /// What is in it.
    tenant_files: Vec<PathBuf>,
    tables: Vec<(Spot, Map<String, Value>)>,
    /// Where `[app]` is.
    app: Spot,
    /// A mistake keeps tenants from being seen.
    hides_tenants: bool,
}

fn read_main(
    file: &File,
    table: Map<String, Value>,
    context: &Context<'_>,
    diagnosis: &mut Diagnosis,
) -> Option<MainFile> {
    let (api_defaults, poll_defaults) = (api::defaults()?, poll::defaults().ok()?);
    let mut root = root(diagnosis, file, Owner::Daemon, table);
    let tenants_dir = root.parse("tenants_dir", |text| context.path(text));
    let tenant_files = tenants_dir
        .as_ref()
        .map_or_else(Vec::new, |folder| files_of(folder, &mut root));
    if let Some(folder) = &tenants_dir {
        access::check_tenants_dir(folder, &mut root);
    }
    let (spot, app) = in_section(&mut root, "app", |section| {
        let app = AppParts::read(section, &AppParts::NONE, context);
        (section.spot().clone(), app)
    });
    let mut api = in_section(&mut root, "api", |section| {
        api::read(section, &api_defaults, context)
    });
    let (limits, poll) = in_section(&mut root, "poll", |section| {
        let poll = poll::read(section, &poll_defaults, &mut api.settings);
        (poll::read_limits(section), poll)
    });
    let (kafka, topic) = in_section(&mut root, "kafka", |section| kafka::read(section, context));
    let ledger = in_section(&mut root, "ledger", |section| read_ledger(section, context));
    let http = in_section(&mut root, "http", read_http);
    let log = in_section(&mut root, "log", read_log);
    let tables = root.tables("tenants");
    warn_of_order(&mut root, &tables);
    let hides_tenants = root.refused("tenants") || root.refused("tenants_dir");
    root.finish();
    Some(MainFile {
        settings: Settings {
            tenants: Vec::new(),
            max_concurrent: limits.max_concurrent,
            max_in_flight: limits.max_in_flight,
            kafka,
            ledger,
            http,
            log,
            warnings: Vec::new(),
            folders: [context.folder.to_owned()]
                .into_iter()
                .chain(tenants_dir.clone())
                .collect(),
        },
        defaults: Defaults {
            shared_app: app.complete().map(Arc::new),
            app,
            shared_api: Arc::new(api.settings.clone()),
            api,
            shared_poll: Arc::new(poll.settings.clone()),
            poll,
            topic,
        },
        tenants_dir,
        tenant_files,
        tables,
        app: spot,
        hides_tenants,
    })
}

fn root<'a>(
    diagnosis: &'a mut Diagnosis,
    file: &File,
    owner: Owner,
    table: Map<String, Value>,
) -> ConfigSection<'a> {
    let scope = Scope {
        file: file.clone(),
        owner,
    };
    ConfigSection::new(diagnosis, scope, Spot::whole(file), table)
}

fn in_section<T>(
    root: &mut ConfigSection<'_>,
    key: &'static str,
    read: impl FnOnce(&mut ConfigSection<'_>) -> T,
) -> T {
    let mut section = root.section(key);
    let value = read(&mut section);
    section.finish();
    value
}

/// A header holds for the whole file, wherever it stands; below a tenant it looks like the tenant's.
fn warn_of_order(root: &mut ConfigSection<'_>, tenants: &[(Spot, Map<String, Value>)]) {
    let first = tenants.iter().filter_map(|(spot, _)| spot.line()).min();
    let below = |spot: &Spot| {
        spot.line()
            .is_some_and(|line| first.is_some_and(|first| line > first))
    };
    for key in ["app", "api", "poll", "kafka"] {
        if root.given_at(key).is_some_and(below) {
            let text = format!(
                "it holds for all tenants, though it stands below [[tenants]]; move it above the first of them, or write \
                 [tenants.{key}] for the one"
            );
            root.warn(key, text);
        }
    }
}

/// What was probably meant by keys that nobody asked for. Whether one of them hides tenants.
fn explain_strays(diagnosis: &mut Diagnosis) -> bool {
    let strays = std::mem::take(&mut diagnosis.strays);
    if strays.is_empty() {
        return false;
    }
    let free = "kafka.properties";
    let tables = diagnosis.record.shared().filter(|table| table.path != free);
    let known: Vec<Known> = tables
        .flat_map(|table| {
            table.entries.iter().map(|entry| Known {
                table: table.path.clone(),
                key: entry.key.clone(),
                is_table: entry.is_table,
            })
        })
        .collect();
    for stray in &strays {
        diagnosis
            .problems
            .extend(unknown_keys::explain(stray, &known));
    }
    strays.iter().any(unknown_keys::Stray::hides_tenants)
}

/// The files of `tenants_dir`. The mistake is the key's: what it names may be anything.
fn files_of(folder: &Path, root: &mut ConfigSection<'_>) -> Vec<PathBuf> {
    layers::toml_files(folder).unwrap_or_else(|error| {
        let what = format!("the folder can't be read: {error}");
        root.refuse("tenants_dir", wrong(what, "create it, or correct the key"));
        Vec::new()
    })
}

/// Reads the files of `tenants_dir`. Whether a mistake keeps tenants from being seen.
fn read_folder(
    files: &[PathBuf],
    tenants: &mut Tenants<'_>,
    exposed: &mut Vec<Exposed>,
    diagnosis: &mut Diagnosis,
) -> bool {
    let mut hidden = false;
    for (n, path) in files.iter().enumerate() {
        let file = File::new(path, n + 1);
        let missing =
            "it is a link that leads nowhere, or was removed a moment ago: remove it, or try again";
        let Some(table) = layers::read(path, &file, missing, diagnosis) else {
            hidden = true;
            continue;
        };
        exposed.extend(access::look_at_file(path, &file, &table));
        let mut root = root(diagnosis, &file, Owner::Folder, table);
        let tables = root.tables("tenants");
        hidden |= root.refused("tenants");
        let empty = tables.is_empty() && root.is_empty() && !root.refused("tenants");
        root.finish();
        if empty {
            let remedy =
                "add the line [[tenants]] and the customer's id below it, or remove the file";
            diagnosis.refuse(&Spot::whole(&file), wrong("it holds no tenant", remedy));
            hidden = true;
        }
        tenants.read_all(tables, &file, diagnosis);
    }
    hidden
}

fn read_ledger(section: &mut ConfigSection<'_>, context: &Context<'_>) -> LedgerSettings {
    section.parse_or("kind", &String::from("local"), |text| match text {
        "local" => Ok(text.into()),
        _ => Err(wrong(
            "this version keeps a \"local\" ledger only",
            "set it to \"local\", or leave it out",
        )),
    });
    let default = PathBuf::from("/var/lib/incidentd/ledger");
    LedgerSettings {
        path: section.parse_or("path", &default, |text| context.path(text)),
    }
}

fn read_http(section: &mut ConfigSection<'_>) -> HttpSettings {
    let listen = |text: &str| {
        let remedy =
            "give an IP address and a port, for example \"127.0.0.1:9464\" or \"[::]:9464\"";
        text.parse()
            .map_err(|_| wrong("it is not an address to listen on", remedy))
    };
    HttpSettings {
        listen: section.parse_or("listen", &DEFAULT_LISTEN, listen),
        hosts: section.texts("hosts", host_name),
    }
}

/// A name as callers write it in front of the port (RFC 1123, section 2.1; with the underscores that containers have).
fn host_name(text: &str) -> Result<Arc<str>, Wrong> {
    let letters = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(letters);
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.len() <= 253 && name.split('.').all(is_label) {
        return Ok(name.to_ascii_lowercase().into());
    }
    let what = match reads_plain(text) {
        true => format!("{:?} is no host name", one_line(text, 80)),
        false => "one of them is no host name".to_owned(),
    };
    let remedy = "give the names by which callers reach the endpoints, without scheme, port and path, for example \
                  [\"incidentd\", \"incidentd.monitoring.svc\"]; addresses need not be named";
    Err(wrong(what, remedy))
}

fn read_log(section: &mut ConfigSection<'_>) -> LogSettings {
    let formats = [
        ("auto", LogFormat::Auto),
        ("json", LogFormat::Json),
        ("text", LogFormat::Text),
    ];
    LogSettings {
        format: section.choice_or("format", LogFormat::Auto, &formats),
        level: section.parse_or("level", &String::from("info"), log_level),
    }
}

/// As `telemetry::logging` reads it: levels, alone or for a named target.
fn log_level(text: &str) -> Result<String, Wrong> {
    // Nothing at all would be read as a level, too.
    let is_level =
        |word: &str| !word.trim().is_empty() && word.trim().parse::<LevelFilter>().is_ok();
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
