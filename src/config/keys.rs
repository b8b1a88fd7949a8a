//! Every key of the configuration, one row each.
//!
//! From these rows come the ranges and defaults that values are read with, the keys that the diagnosis suggests, what
//! `incidentd config` shows and in which order, and docs/configuration.md. A key that has no row can't be given. To add a
//! key, add its row here and its field in [`crate::settings`], and read it where the fields beside it are read.

use super::choices::names;
use super::problems::Wrong;
use super::units::{DURATION, Measure, NUMBER, SIZE};
use crate::core::incident::version::Deduplicate;
use crate::core::sources::Cloud;
use crate::settings::{
    LedgerKind, LogFormat, MetricsDetail, RecordFormat, SourceKind, TokenEndpoint,
};

use Holder::{Daemon, Everyone, Startup, Tenant};
use KeyType::{Amount, Choice, Credential, List, Path, Table, Text, Url, Variable};

/// What a key holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum KeyType {
    /// Keys of its own.
    Table,
    /// A text, and what the manual calls it.
    Text(&'static str),
    Path,
    /// The path of a file with a secret or a token.
    Credential,
    /// The name of an environment variable with a secret.
    Variable,
    /// Scheme and host of a URL. A proxy's may hold a password.
    Url,
    /// Texts.
    List,
    /// From the lowest to the highest value, in the measure's smallest unit.
    Amount(&'static Measure, u64, u64),
    Choice(fn() -> Vec<&'static str>),
}

/// Where a key may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    /// In the main file, for the whole daemon. A new value takes a restart.
    Startup,
    /// In the main file, for the whole daemon.
    Daemon,
    /// In the main file for all tenants, and by a tenant for itself.
    Everyone,
    Tenant,
}

/// One key.
#[derive(Debug)]
pub struct ConfigKey {
    /// Empty for a key outside of tables; `tenants` for one that only a tenant has.
    pub(super) table: &'static str,
    pub(super) name: &'static str,
    pub(super) kind: KeyType,
    /// Empty when there is none.
    pub(super) default: &'static str,
    holder: Holder,
    about: &'static str,
}

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const DAY: u64 = 24 * 60 * MINUTE;
/// Microsoft keeps Defender XDR's data for 180 days ("Data security and retention in Microsoft Defender XDR").
const RETENTION: u64 = 180 * DAY;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

#[rustfmt::skip]
static KEYS: &[ConfigKey] = &[
    row("", "tenants_dir", Path, "", Daemon, "folder whose *.toml files hold tenants, one or several each"),
    row("", "app", Table, "", Everyone, "the app registration that reads the tenants"),
    row("app", "client_id", Text("GUID"), "", Everyone, "\"Application (client) ID\" of the app registration"),
    row("app", "client_secret_file", Credential, "", Everyone, "file that holds the client secret's Value"),
    row("app", "client_secret_env", Variable, "", Everyone, "environment variable that holds the secret's Value"),
    row("app", "client_secret_next_file", Credential, "", Everyone, "file of a second secret, tried when the first is refused"),
    row("app", "federated_token_file", Credential, "", Everyone, "file of another issuer's token, in place of a secret"),
    row("app", "certificate_file", Credential, "", Everyone, "PEM file of a certificate, in place of a secret"),
    row("app", "certificate_key_file", Credential, "", Everyone, "PEM file of its private key, if that is another file"),
    row("app", "managed_identity", Text("system or GUID"), "", Everyone, "managed identity of Azure, in place of a secret"),
    row("app", "key_vault_secret", Text("URL"), "", Everyone, "identifier of the client secret in Azure Key Vault, read by the managed or federated identity"),
    row("app", "credential_not_after", Text("date"), "", Everyone, "when the credential ends, for one that does not say so itself"),
    row("", "api", Table, "", Everyone, "the API to read"),
    row("api", "source", Choice(names::<SourceKind>), "graph", Everyone, "the API to read: Microsoft Graph or Defender XDR"),
    row("api", "cloud", Choice(names::<Cloud>), "commercial", Everyone, "Microsoft's cloud in which the tenant is"),
    row("api", "base_url", Url, "", Everyone, "scheme and host of the API; follows from source and cloud"),
    row("api", "login_url", Url, "", Everyone, "scheme and host of the token service; follows from cloud"),
    row("api", "scope", Text("text"), "", Everyone, "what tokens are asked for; follows from source and cloud"),
    row("api", "token_endpoint", Choice(names::<TokenEndpoint>), "v2", Everyone, "version of the token service's endpoint"),
    row("api", "proxy", Url, "", Everyone, "HTTP proxy; without it that of the environment is used"),
    row("api", "ca_file", Path, "", Everyone, "PEM file of authorities to trust beside the system's"),
    row("", "poll", Table, "", Everyone, "how often and how far back tenants are read"),
    row("poll", "schedule", Text("schedule"), "*/30 * * * * *", Everyone, "when a tenant is swept: six cron fields in UTC, or \"every 30s\""),
    row("poll", "lookback", duration(MINUTE, RETENTION), "24h", Everyone, "how far back the first sweep of a tenant reads"),
    row("poll", "overlap", duration(SECOND, RETENTION), "15m", Everyone, "how far behind its cursor each sweep begins"),
    row("poll", "reconcile_every", duration(MINUTE, 30 * DAY), "6h", Everyone, "how often a longer window is read again"),
    row("poll", "reconcile_window", duration(SECOND, RETENTION), "7d", Everyone, "that window"),
    row("poll", "requests_per_minute", number(1, 6000), "", Everyone, "budget of requests for each tenant; follows from source"),
    row("poll", "request_timeout", duration(SECOND, 10 * MINUTE), "30s", Everyone, "silence that ends a request"),
    row("poll", "deduplicate", Choice(names::<Deduplicate>), "version", Everyone, "publish each version of an incident, or each incident once"),
    row("poll", "max_response", size(MIB, GIB), "64MiB", Everyone, "largest page, decompressed"),
    row("poll", "max_concurrent", number(1, 10_000), "64", Startup, "sweeps at work at once, over all tenants"),
    row("poll", "max_in_flight", size(MIB, 1024 * GIB), "64MiB", Startup, "bytes fetched and not yet acknowledged, over all tenants"),
    row("", "kafka", Table, "", Everyone, "where records go"),
    row("kafka", "brokers", Text("list of host:port"), "localhost:9092", Startup, "Kafka's bootstrap servers"),
    row("kafka", "topic", Text("topic"), "security.incidents", Everyone, "topic of the incidents"),
    row("kafka", "properties", Table, "", Startup, "librdkafka's own properties, passed on unchanged"),
    row("kafka", "format", Choice(names::<RecordFormat>), "cloudevents", Everyone, "format of the incidents' records"),
    row("kafka", "alerts_topic", Text("topic"), "", Everyone, "topic of the alerts, each version a record of its own; none are published without it"),
    row("kafka", "status_topic", Text("topic"), "", Daemon, "topic of the tenants' states; none are published without it"),
    row("kafka", "dead_letter_topic", Text("topic"), "", Daemon, "topic of elements that can't be read; none are published without it"),
    row("", "ledger", Table, "", Startup, "the record of what was published"),
    row("ledger", "kind", Choice(names::<LedgerKind>), "local", Startup, "a file of this machine, or Kafka's transactions"),
    row("ledger", "path", Path, "/var/lib/incidentd/ledger", Startup, "folder of the local ledger"),
    row("ledger", "topic", Text("topic"), "incidentd.ledger", Startup, "compacted topic of the ledger in Kafka"),
    row("ledger", "group", Text("group"), "incidentd", Startup, "consumer group whose members share the tenants"),
    row("ledger", "partitions", number(1, 1000), "32", Startup, "partitions of the ledger's topic, for ever"),
    row("", "http", Table, "", Startup, "the endpoints"),
    row("http", "listen", Text("address:port"), "127.0.0.1:9464", Startup, "address of the endpoints"),
    row("http", "hosts", List, "", Startup, "names that the endpoints answer to, beside addresses and localhost"),
    row("http", "metrics", Choice(names::<MetricsDetail>), "tenants", Startup, "series for each tenant, or for the fleet only"),
    row("http", "socket", Path, "", Startup, "Unix socket for pause, resume and backfill; in the folder of a local ledger without it"),
    row("", "log", Table, "", Daemon, "the log"),
    row("log", "format", Choice(names::<LogFormat>), "auto", Startup, "text, JSON, or text on a terminal and JSON elsewhere"),
    row("log", "level", Text("filter"), "info", Daemon, "a level, or levels by part: info,incidentd::microsoft=debug"),
    row("", "tenants", Table, "", Daemon, "one table for each tenant"),
    row("tenants", "id", Text("GUID"), "", Tenant, "the customer's tenant id"),
    row("tenants", "name", Text("text"), "", Tenant, "what to call the tenant; its id without one"),
];

/// What a key without a row is read as.
static UNKNOWN: ConfigKey = row("", "", Text("text"), "", Tenant, "");

const fn number(low: u64, high: u64) -> KeyType {
    Amount(&NUMBER, low, high)
}

const fn duration(low: u64, high: u64) -> KeyType {
    Amount(&DURATION, low, high)
}

const fn size(low: u64, high: u64) -> KeyType {
    Amount(&SIZE, low, high)
}

const fn row(
    table: &'static str,
    name: &'static str,
    kind: KeyType,
    default: &'static str,
    holder: Holder,
    about: &'static str,
) -> ConfigKey {
    ConfigKey {
        table,
        name,
        kind,
        default,
        holder,
        about,
    }
}

/// Every key that holds a value, and `kafka.properties`: what the manual describes.
pub fn keys() -> impl Iterator<Item = &'static ConfigKey> {
    KEYS.iter()
        .filter(|key| !key.is_table() || key.name == "properties")
}

/// The rows of the main file.
pub(super) fn of_main_file() -> impl Iterator<Item = &'static ConfigKey> {
    KEYS.iter().filter(|key| key.holder != Tenant)
}

/// The rows of a table of the main file; of those outside of tables, when that is empty.
pub(super) fn of_table(table: &str) -> impl Iterator<Item = &'static ConfigKey> {
    of_main_file().filter(move |key| key.table == table)
}

/// The rows that a tenant may give in `table`; of its root, when that is empty.
pub(super) fn of_tenant(table: &str) -> impl Iterator<Item = &'static ConfigKey> {
    let own = KEYS
        .iter()
        .filter(move |key| table.is_empty() && key.holder == Tenant);
    let shared = KEYS
        .iter()
        .filter(move |key| key.table == table && key.holder == Everyone);
    own.chain(shared)
}

pub(super) fn find(table: &str, name: &str) -> &'static ConfigKey {
    KEYS.iter()
        .find(|key| key.name == name && (key.table == table || key.holder == Tenant))
        .unwrap_or(&UNKNOWN)
}

impl ConfigKey {
    /// Its path in a file, `poll.overlap`.
    pub fn path(&self) -> String {
        super::origin::dotted(self.table, self.name)
    }

    /// Its type in the words of the documents.
    pub fn type_name(&self) -> &'static str {
        match self.kind {
            Table => "table",
            Text(name) => name,
            Path | Credential => "path",
            Variable => "name of a variable",
            Url => "URL",
            List => "list of texts",
            Amount(measure, ..) => measure.name,
            Choice(_) => "choice",
        }
    }

    /// The default as it is written in a file. `None`: the key has none.
    pub fn default(&self) -> Option<&'static str> {
        (!self.default.is_empty()).then_some(self.default)
    }

    /// What it may be, as people write it: `1s to 180d`.
    pub fn range(&self) -> Option<String> {
        match self.kind {
            Amount(measure, low, high) => Some(measure.range(low, high)),
            Choice(names) => Some(names().join(", ")),
            _ => None,
        }
    }

    /// Whether a reload takes a new value; otherwise it takes a restart.
    pub fn is_reloadable(&self) -> bool {
        self.holder != Startup
    }

    /// Whether a tenant may give it.
    pub fn is_tenant_s(&self) -> bool {
        matches!(self.holder, Everyone | Tenant)
    }

    /// What it is for, in one line.
    pub fn about(&self) -> &'static str {
        self.about
    }

    pub(super) fn is_table(&self) -> bool {
        matches!(self.kind, Table)
    }

    /// A number, a number of milliseconds, or of bytes.
    pub(super) fn amount(&self, text: &str) -> Result<u64, Wrong> {
        match self.kind {
            Amount(measure, low, high) => measure.read(text, low, high),
            _ => NUMBER.read(text, 0, u64::MAX),
        }
    }

    /// As it is written: `[kafka.properties]`, `overlap`.
    pub(super) fn written(&self) -> String {
        match (self.is_table(), self.name) {
            (true, "tenants") => "[[tenants]]".into(),
            (true, _) => format!("[{}]", self.path()),
            (false, name) => name.into(),
        }
    }
}
