//! Reads the files and the environment into [`Settings`].

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::access;
use super::kafka::{self, TenantTopics};
use super::layers;
use super::origin::{Spot, Table};
use super::problems::{Diagnosis, Problem, Wrong, reads_plain, require, wrong};
use super::scope::{Context, Owner, Scope};
use super::section::Section;
use super::tenants::{ExistingTenants, TenantParts, Tenants};
use super::values::{is_host_name, list};
use crate::core::health::failure::one_line;
use crate::settings::{
    HttpSettings, KafkaLedgerSettings, LedgerSettings, LogLevels, LogSettings, Settings,
};

/// The default of `http.listen`.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9464));

/// The settings are valid only if nothing was reported. `None` when the main file can't be parsed.
pub(super) fn read(
    context: Context<'_>,
    diagnosis: &mut Diagnosis,
) -> Option<(Settings, ExistingTenants)> {
    let file = Spot::file(context.main, 0);
    let mut table = layers::read(context.main, &file, diagnosis)?;
    layers::overlay(&mut table, context.environment, diagnosis);
    let scope = Scope::of_main(context, file.clone());
    let mut root = Section::new(diagnosis, &scope, file.clone(), table);
    let tenants_dir = root.own("tenants_dir", |text| context.path(text));
    let files = tenants_dir
        .as_deref()
        .map(|folder| files_of(folder, &mut root));
    let tables = root.tables("tenants");
    let parts = TenantParts::read(&mut root, None);
    let Some((shared, mut settings)) = parts.zip(read_daemon(&mut root)) else {
        // Not reached: a test loads them.
        let what = "the built-in defaults are not valid";
        diagnosis.refuse(&file, wrong(what, "report this as a bug"));
        return None;
    };
    warn_of_order(&mut root, &tables);
    root.diagnosis.hides_tenants |= root.refused("tenants") || root.refused("tenants_dir");
    let given = root.finish();
    let place = |table: &str, key: &str| {
        let table = given.get(table).cloned();
        let key = table.and_then(|table| Some(file.of(table.into_table().ok()?.get(key)?)));
        key.unwrap_or_else(|| file.clone())
    };
    if shared.api.settings.proxy.is_none() {
        layers::warn_of_unusable_proxies(context.environment, diagnosis);
    }
    let mut tenants = Tenants::new(&shared, &given, context);
    tenants.read_all(tables, &file, diagnosis);
    for (n, path) in files.unwrap_or_default().iter().enumerate() {
        let file = Spot::file(path, n + 1);
        diagnosis.hides_tenants |= read_tenants_file(path, file, &mut tenants, diagnosis).is_none();
    }
    layers::warn_of_unread(context.environment, diagnosis);
    if tenants.is_empty() && !diagnosis.hides_tenants {
        diagnosis.refuse(&file, no_tenant(tenants_dir.is_some()));
    }
    settings.folders.extend(tenants_dir.clone());
    let existing;
    (settings.tenants, existing) = tenants.finish(tenants_dir, diagnosis);
    let topics = TenantTopics {
        incidents: &shared.topic,
        alerts: shared.alerts_topic.as_ref(),
    };
    if let Some(key) = kafka::clashes_with_ledger(&settings, topics) {
        let what = format!("{key} is the same topic, and a record is no row of the ledger");
        let wrong = wrong(what, "give the ledger a topic of its own");
        let problem = Problem::at(&place("ledger", "topic"), "ledger.topic", wrong);
        diagnosis.problems.push(problem);
    }
    if let Some((key, topic)) = kafka::clashes_with_alerts(&settings, topics) {
        let what = format!(
            "{key} is the same topic, {topic}, where readers would take alerts for other records"
        );
        let wrong = wrong(what, "give the alerts a topic of their own");
        let place = place("kafka", "alerts_topic");
        let problem = Problem::at(&place, "kafka.alerts_topic", wrong);
        diagnosis.problems.push(problem);
    }
    Some((settings, existing))
}

fn no_tenant(has_folder: bool) -> Wrong {
    let add = "add each customer with: incidentd init --tenant TENANT_ID --name NAME";
    let remedy = match has_folder {
        true => add.to_owned(),
        false => {
            format!(
                "add [[tenants]] with the customer's id below it; or set tenants_dir, and {add}"
            )
        }
    };
    wrong("there is no tenant", remedy)
}

/// Reads the endpoints alone. `None` if the main file can't be parsed, and no variable gives them.
pub(super) fn endpoints(
    context: Context<'_>,
    diagnosis: &mut Diagnosis,
) -> Option<(HttpSettings, Option<LedgerSettings>)> {
    let file = Spot::file(context.main, 0);
    let read = layers::read(context.main, &file, diagnosis);
    let readable = read.is_some();
    let mut table = read.unwrap_or_default();
    layers::overlay(&mut table, context.environment, diagnosis);
    if !readable && !table.contains_key("http") {
        return None;
    }
    let scope = Scope::of_main(context, file.clone());
    let mut root = Section::new(diagnosis, &scope, file, table);
    let http = root.within("http", read_http)?;
    Some((http, root.within("ledger", read_ledger)))
}

/// The settings without tenants. `None` only when a default can't be read.
fn read_daemon(root: &mut Section<'_>) -> Option<Settings> {
    let mut poll = root.enter("poll");
    let (max_concurrent, max_in_flight) = (poll.get("max_concurrent")?, poll.get("max_in_flight")?);
    let ledger = root.within("ledger", read_ledger)?;
    Some(Settings {
        tenants: Vec::new(),
        max_concurrent,
        kafka: kafka::read(&mut root.enter("kafka"), max_in_flight, ledger.kind)?,
        ledger,
        http: root.within("http", read_http)?,
        log: root.within("log", read_log)?,
        warnings: Vec::new(),
        folders: vec![root.scope.context.folder().to_owned()],
    })
}

/// Warns of a table below `[[tenants]]`: it holds for all tenants, but looks like the tenant's.
fn warn_of_order(root: &mut Section<'_>, tenants: &[(Spot, Table)]) {
    let Some((first, _)) = tenants.first() else {
        return;
    };
    for key in ["app", "api", "poll", "kafka"] {
        let below = root.given_at(key);
        if below.is_some_and(|spot| !spot.is_variable() && spot.order > first.order) {
            let text = format!(
                "it holds for all tenants, though it stands below [[tenants]]; move it above the first of them, or write \
                 [tenants.{key}] for the one"
            );
            root.warn(key, text);
        }
    }
}

/// The files of `tenants_dir`. If the folder can't be read, the key is refused.
fn files_of(folder: &Path, root: &mut Section<'_>) -> Vec<PathBuf> {
    access::check_tenants_dir(folder, root);
    layers::toml_files(folder).unwrap_or_else(|error| {
        let what = format!("the folder can't be read: {error}");
        root.refuse("tenants_dir", wrong(what, "create it, or correct the key"));
        Vec::new()
    })
}

/// Reads a file of `tenants_dir`. `None` if a mistake keeps its tenants from being seen.
fn read_tenants_file(
    path: &Path,
    file: Spot,
    tenants: &mut Tenants<'_>,
    diagnosis: &mut Diagnosis,
) -> Option<()> {
    let table = layers::read(path, &file, diagnosis)?;
    let holds_more = table.keys().any(|key| key != "tenants");
    let scope = Scope {
        owner: Owner::Folder,
        ..Scope::of_main(tenants.context, file.clone())
    };
    let mut root = Section::new(diagnosis, &scope, file.clone(), table);
    let tables = root.tables("tenants");
    let is_refused = root.refused("tenants");
    root.finish();
    if tables.is_empty() && !holds_more && !is_refused {
        let remedy = "add the line [[tenants]] and the customer's id below it, or remove the file";
        diagnosis.refuse(&file, wrong("it holds no tenant", remedy));
        return None;
    }
    tenants.read_all(tables, &file, diagnosis);
    (!is_refused).then_some(())
}

fn read_ledger(section: &mut Section<'_>) -> Option<LedgerSettings> {
    let context = section.scope.context;
    Some(LedgerSettings {
        kind: section.get("kind")?,
        path: section.read("path", |text| context.path(text))?,
        kafka: KafkaLedgerSettings {
            topic: section.read("topic", kafka::topic_name)?,
            group: section.read("group", group_name)?,
            partitions: section.get("partitions")?,
        },
    })
}

/// A consumer group's name. Kafka accepts any text; these are the characters that ACLs and commands take without quotes.
fn group_name(text: &str) -> Result<Arc<str>, Wrong> {
    kafka::topic_name(text).map_err(|wrong| Wrong {
        what: "it is no name of a consumer group that every tool accepts".into(),
        ..wrong
    })
}

fn read_http(section: &mut Section<'_>) -> Option<HttpSettings> {
    let context = section.scope.context;
    let listen = |text: &str| {
        let remedy =
            "give an IP address and a port, for example \"127.0.0.1:9464\" or \"[::]:9464\"";
        text.parse::<SocketAddr>()
            .map_err(|_| wrong("it is not an address to listen on", remedy))
    };
    Some(HttpSettings {
        listen: section.read("listen", listen)?,
        hosts: section.own("hosts", hosts).unwrap_or_default(),
        metrics: section.get("metrics")?,
        socket: section.own("socket", |text| context.path(text).and_then(socket_path)),
    })
}

/// The socket is made in a folder beside its place, under a name of at most 11 bytes more.
fn socket_path(path: PathBuf) -> Result<PathBuf, Wrong> {
    let length = |path: &Path| path.as_os_str().len();
    let (all, folder) = (length(&path), path.parent().map_or(0, length));
    let what = format!("it has {all} bytes, too many for a Unix socket");
    let remedy = "give a path of at most 107 bytes in a folder of at most 96, for example \"/run/incidentd/control.sock\"";
    require(all <= 107 && folder <= 96, &what, remedy)?;
    Ok(path)
}

fn hosts(text: &str) -> Result<Vec<Arc<str>>, Wrong> {
    list(text).map(host_name).collect()
}

fn host_name(text: &str) -> Result<Arc<str>, Wrong> {
    let what = match reads_plain(text) {
        true => format!("{:?} is no host name", one_line(text, 80)),
        false => "one of them is no host name".to_owned(),
    };
    let remedy = "give the names by which callers reach the endpoints, without scheme, port and path, for example \
                  [\"incidentd\", \"incidentd.monitoring.svc\"]; addresses need not be named";
    require(is_host_name(text), &what, remedy)?;
    let name = text.strip_suffix('.').unwrap_or(text);
    Ok(name.to_ascii_lowercase().into())
}

fn read_log(section: &mut Section<'_>) -> Option<LogSettings> {
    Some(LogSettings {
        format: section.get("format")?,
        level: section.read("level", log_level)?,
    })
}

fn log_level(text: &str) -> Result<String, Wrong> {
    let is_one = text.parse::<LogLevels>().is_ok();
    let remedy = "give off, error, warn, info, debug or trace, or a filter such as \"info,incidentd::microsoft=debug\"";
    require(is_one, "it is no level and no filter", remedy)?;
    Ok(text.into())
}
