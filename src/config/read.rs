//! Reads the files and the environment into [`Settings`].

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{Map, Value};

use super::access::{self, Exposed};
use super::app::AppParts;
use super::context::{Context, OnUnreadable};
use super::layers;
use super::library_checks::LibraryChecks;
use super::origin::{File, Spot};
use super::problems::{Diagnosis, Wrong, reads_plain, wrong};
use super::scope::{Owner, Scope};
use super::section::ConfigSection;
use super::tenants::{Defaults, ExistingTenants, Tenants};
use super::{api, kafka, poll};
use crate::core::health::failure::one_line;
use crate::settings::{HttpSettings, LedgerSettings, LogLevels, LogSettings, Settings};

/// The default of `http.listen`.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9464));

/// The remedy if there is no main file.
const MISSING: &str = "create it with incidentd init, or name another file with --config";

/// The result of reading. The settings are valid only if nothing was reported.
pub(super) struct Draft {
    pub settings: Settings,
    pub existing: ExistingTenants,
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
    let scope = Scope {
        file,
        owner: Owner::Daemon,
    };
    let (file, whole) = (&scope.file, Spot::whole(&scope.file));
    let Some(main) = read_main(&scope, table, &context, diagnosis) else {
        // Not reached: a test loads them.
        let what = "the built-in defaults are not valid";
        diagnosis.refuse(&whole, wrong(what, "report this as a bug"));
        return None;
    };
    if main.defaults.shared_api.proxy.is_none() {
        layers::warn_of_unusable_proxies(environment, diagnosis);
    }
    let mut tenants = Tenants::new(main.defaults, &context);
    tenants.read_all(main.tables, file, diagnosis);
    read_folder(&main.tenant_files, &mut tenants, &mut exposed, diagnosis);
    layers::warn_of_unread(environment, diagnosis);
    if tenants.is_empty() && !diagnosis.hides_tenants {
        let remedy = match main.tenants_dir {
            Some(_) => "add each customer with: incidentd init --tenant TENANT_ID --name NAME",
            None => {
                "add [[tenants]] with the customer's id below it; or set tenants_dir, and add each customer with: incidentd init --tenant TENANT_ID --name NAME"
            }
        };
        diagnosis.refuse(&whole, wrong("there is no tenant", remedy));
    }
    let (tenants, mut existing) = tenants.finish(&main.app, diagnosis);
    existing.tenants_dir = main.tenants_dir;
    access::warn(exposed, diagnosis);
    Some(Draft {
        settings: Settings {
            tenants,
            ..main.settings
        },
        existing,
    })
}

/// Reads `http.listen` alone. `None` if the main file can't be parsed, and no variable gives it.
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
    let scope = Scope {
        file,
        owner: Owner::Daemon,
    };
    let mut root = ConfigSection::new(diagnosis, &scope, Spot::whole(&scope.file), table);
    Some(in_section(&mut root, "http", read_http)?.listen)
}

/// The main file, without its tenants.
struct MainFile {
    settings: Settings,
    defaults: Defaults,
    tenants_dir: Option<PathBuf>,
    /// The files in it.
    tenant_files: Vec<PathBuf>,
    tables: Vec<(Spot, Map<String, Value>)>,
    /// Where `[app]` is.
    app: Spot,
}

/// `None` only when a default can't be read.
fn read_main(
    scope: &Scope,
    table: Map<String, Value>,
    context: &Context<'_>,
    diagnosis: &mut Diagnosis,
) -> Option<MainFile> {
    let shared = ["app", "api", "poll", "kafka"].into_iter();
    let shared = shared.filter_map(|name| Some((name.to_owned(), table.get(name)?.clone())));
    let shared: Map<String, Value> = shared.collect();
    let mut root = ConfigSection::new(diagnosis, scope, Spot::whole(&scope.file), table);
    let tenants_dir = root.own("tenants_dir", |text| context.path(text));
    let mut tenant_files = Vec::new();
    if let Some(folder) = &tenants_dir {
        tenant_files = files_of(folder, &mut root);
        access::check_tenants_dir(folder, &mut root);
    }
    let (spot, app) = in_section(&mut root, "app", |section| {
        let app = AppParts::read(section, &AppParts::NONE, context);
        (section.spot().clone(), app)
    });
    let mut api = in_section(&mut root, "api", |section| {
        api::read(section, None, context)
    })?;
    let (poll, max_concurrent, max_in_flight) = in_section(&mut root, "poll", |section| {
        let poll = poll::read(section, &mut api.settings, None)?;
        let max_concurrent: u64 = section.get("max_concurrent")?;
        Some((poll, max_concurrent, section.get("max_in_flight")?))
    })?;
    let (kafka, topic) = in_section(&mut root, "kafka", |section| {
        kafka::read(section, max_in_flight, context)
    })?;
    let ledger = in_section(&mut root, "ledger", |section| read_ledger(section, context))?;
    let http = in_section(&mut root, "http", read_http)?;
    let log = in_section(&mut root, "log", read_log)?;
    let tables = root.tables("tenants");
    warn_of_order(&mut root, &tables);
    let hides_tenants = root.refused("tenants") || root.refused("tenants_dir");
    root.finish();
    diagnosis.hides_tenants |= hides_tenants;
    let folder = Some(context.folder.to_owned());
    Some(MainFile {
        settings: Settings {
            tenants: Vec::new(),
            max_concurrent: max_concurrent.try_into().ok()?,
            kafka,
            ledger,
            http,
            log,
            warnings: Vec::new(),
            folders: folder.into_iter().chain(tenants_dir.clone()).collect(),
        },
        defaults: Defaults {
            shared_app: app.complete().map(Arc::new),
            app,
            shared_api: Arc::new(api.settings.clone()),
            api,
            shared_poll: Arc::new(poll),
            topic,
            tables: shared,
        },
        tenants_dir,
        tenant_files,
        tables,
        app: spot,
    })
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

/// Warns of a table below `[[tenants]]`: it holds for all tenants, but looks like the tenant's.
fn warn_of_order(root: &mut ConfigSection<'_>, tenants: &[(Spot, Map<String, Value>)]) {
    let first = tenants.iter().filter_map(|(spot, _)| spot.line()).min();
    let below = |spot: Spot| {
        let line = spot.line();
        line.is_some_and(|line| first.is_some_and(|first| line > first))
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

/// The files of `tenants_dir`. If the folder can't be read, the key is refused.
fn files_of(folder: &Path, root: &mut ConfigSection<'_>) -> Vec<PathBuf> {
    layers::toml_files(folder).unwrap_or_else(|error| {
        let what = format!("the folder can't be read: {error}");
        root.refuse("tenants_dir", wrong(what, "create it, or correct the key"));
        Vec::new()
    })
}

/// Reads the files of `tenants_dir`.
fn read_folder(
    files: &[PathBuf],
    tenants: &mut Tenants<'_>,
    exposed: &mut Vec<Exposed>,
    diagnosis: &mut Diagnosis,
) {
    let missing =
        "it is a link that leads nowhere, or was removed a moment ago: remove it, or try again";
    for (n, path) in files.iter().enumerate() {
        let file = File::new(path, n + 1);
        let Some(table) = layers::read(path, &file, missing, diagnosis) else {
            diagnosis.hides_tenants = true;
            continue;
        };
        exposed.extend(access::look_at_file(path, &file, &table));
        let (whole, holds_more) = (Spot::whole(&file), table.keys().any(|key| key != "tenants"));
        let owner = Owner::Folder;
        let scope = Scope { file, owner };
        let mut root = ConfigSection::new(diagnosis, &scope, whole.clone(), table);
        let tables = root.tables("tenants");
        let is_refused = root.refused("tenants");
        root.finish();
        diagnosis.hides_tenants |= is_refused;
        if tables.is_empty() && !holds_more && !is_refused {
            let remedy =
                "add the line [[tenants]] and the customer's id below it, or remove the file";
            diagnosis.refuse(&whole, wrong("it holds no tenant", remedy));
            diagnosis.hides_tenants = true;
        }
        tenants.read_all(tables, &scope.file, diagnosis);
    }
}

fn read_ledger(section: &mut ConfigSection<'_>, context: &Context<'_>) -> Option<LedgerSettings> {
    section.read("kind", |text| match text {
        "local" => Ok(text.to_owned()),
        _ => Err(wrong(
            "this version keeps a \"local\" ledger only",
            "set it to \"local\", or leave it out",
        )),
    });
    let path = section.read("path", |text| context.path(text))?;
    Some(LedgerSettings { path })
}

fn read_http(section: &mut ConfigSection<'_>) -> Option<HttpSettings> {
    let listen = |text: &str| {
        let remedy =
            "give an IP address and a port, for example \"127.0.0.1:9464\" or \"[::]:9464\"";
        text.parse::<SocketAddr>()
            .map_err(|_| wrong("it is not an address to listen on", remedy))
    };
    Some(HttpSettings {
        listen: section.read("listen", listen)?,
        hosts: section.texts("hosts", host_name),
    })
}

/// A host name (RFC 1123, section 2.1; with the underscores that containers use).
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

fn read_log(section: &mut ConfigSection<'_>) -> Option<LogSettings> {
    Some(LogSettings {
        format: section.get("format")?,
        level: section.read("level", log_level)?,
    })
}

fn log_level(text: &str) -> Result<String, Wrong> {
    if text.parse::<LogLevels>().is_ok() {
        return Ok(text.into());
    }
    Err(wrong(
        "it is no level and no filter",
        "give off, error, warn, info, debug or trace, or a filter such as \"info,incidentd::microsoft=debug\"",
    ))
}
