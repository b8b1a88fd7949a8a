//! The configuration after validation, as plain values. `config` makes them; `app` and the adapters read them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::core::ids::TenantId;
use crate::core::incident::version::Deduplicate;
pub use crate::core::sources::SourceKind;
use crate::core::time::schedule::Schedule;

pub use app::{
    AppSettings, Credential, IdentityEndpoint, ManagedIdentity, SecretSource, VaultIdentity,
    WorkloadIdentity,
};
pub(crate) use log_levels::LogLevels;
pub use log_levels::NotALogLevel;

mod app;
pub(crate) mod event_hubs;
mod log_levels;
pub(crate) mod oauth;

/// The whole configuration, validated. The keys are in `docs/configuration.md`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// At least one; ids and names are unique.
    pub tenants: Vec<TenantSettings>,
    /// Sweeps at work at once, over all tenants.
    pub(crate) max_concurrent: usize,
    pub(crate) kafka: KafkaSettings,
    pub(crate) ledger: LedgerSettings,
    pub(crate) http: HttpSettings,
    pub(crate) log: LogSettings,
    /// Warnings for the log.
    pub(crate) warnings: Vec<String>,
    /// The folders of the main file and of the tenants' files.
    pub(crate) folders: Vec<PathBuf>,
}

impl Settings {
    /// The keys whose values differ in `wanted` and take effect at a restart only.
    pub fn restart_needed(&self, wanted: &Self) -> Vec<&'static str> {
        // Without `..`: a new setting has to be put on one of the two sides.
        let Self {
            tenants: _,
            max_concurrent,
            kafka,
            ledger:
                LedgerSettings {
                    kind,
                    path,
                    kafka:
                        KafkaLedgerSettings {
                            topic,
                            group,
                            partitions,
                        },
                },
            http:
                HttpSettings {
                    listen,
                    hosts,
                    metrics,
                    socket,
                },
            log: LogSettings { format, level: _ },
            warnings: _,
            folders: _,
        } = self;
        let KafkaSettings {
            connection:
                KafkaConnection {
                    brokers,
                    properties: _,
                    max_in_flight,
                },
            status_topic: _,
            dead_letter_topic: _,
            files: _,
        } = kafka;
        let new = &wanted.kafka.connection;
        [
            (
                "poll.max_concurrent",
                *max_concurrent != wanted.max_concurrent,
            ),
            ("poll.max_in_flight", *max_in_flight != new.max_in_flight),
            ("kafka.brokers", *brokers != new.brokers),
            ("kafka.properties", !kafka.same_properties(&wanted.kafka)),
            ("ledger.kind", *kind != wanted.ledger.kind),
            ("ledger.path", *path != wanted.ledger.path),
            ("ledger.topic", *topic != wanted.ledger.kafka.topic),
            ("ledger.group", *group != wanted.ledger.kafka.group),
            (
                "ledger.partitions",
                *partitions != wanted.ledger.kafka.partitions,
            ),
            ("http.listen", *listen != wanted.http.listen),
            ("http.hosts", *hosts != wanted.http.hosts),
            ("http.metrics", *metrics != wanted.http.metrics),
            ("http.socket", *socket != wanted.http.socket),
            ("log.format", *format != wanted.log.format),
        ]
        .into_iter()
        .filter_map(|(key, differs)| differs.then_some(key))
        .collect()
    }

    /// Every folder that holds a file of the configuration, or one that it names (secrets, tokens, certificates), once.
    pub fn all_folders(&self) -> BTreeSet<&Path> {
        let named = self.tenants.iter().flat_map(|tenant| {
            let (credential, ca) = (tenant.app.credential.files(), &tenant.api.ca_file);
            credential.chain(ca.iter().map(|ca| ca.path.as_path()))
        });
        let named = named.chain(self.kafka.files.keys().map(PathBuf::as_path));
        let folders = self.folders.iter().map(PathBuf::as_path);
        folders.chain(named.filter_map(Path::parent)).collect()
    }
}

/// One tenant with every default and override applied. Parts that tenants have in common are shared.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantSettings {
    pub(crate) id: TenantId,
    pub(crate) name: Arc<str>,
    pub(crate) app: Arc<AppSettings>,
    pub(crate) api: Arc<ApiSettings>,
    pub(crate) poll: Arc<PollSettings>,
    pub(crate) topic: Arc<str>,
    /// `None`: alerts have no records of their own.
    pub(crate) alerts_topic: Option<Arc<str>>,
    pub(crate) format: RecordFormat,
}

/// How one tenant's API and its token service are reached.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiSettings {
    /// The API.
    pub source: SourceKind,
    /// Scheme and host of the incidents API, `https`, or `http` on loopback; its path is `/`.
    pub base_url: Url,
    /// Scheme and host of the token service, under the same rule.
    pub login_url: Url,
    /// Scope of the v2 endpoint, ending in `/.default`; the rest is the v1 endpoint's resource.
    pub scope: String,
    /// The version of Entra's endpoint.
    pub token_endpoint: TokenEndpoint,
    /// May hold a user and a password: never print it.
    pub proxy: Option<Url>,
    /// `None`: only the system's authorities are trusted.
    pub ca_file: Option<CaFile>,
    /// Silence that ends a request.
    pub request_timeout: Duration,
    /// Bytes of one page, decompressed.
    pub max_response: usize,
}

impl fmt::Debug for ApiSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiSettings")
            .field("source", &self.source)
            .field("base_url", &self.base_url.as_str())
            .field("login_url", &self.login_url.as_str())
            .field("scope", &self.scope)
            .field("token_endpoint", &self.token_endpoint)
            .field("proxy", &self.proxy.as_ref().map(Url::host_str))
            .field("ca_file", &self.ca_file)
            .field("request_timeout", &self.request_timeout)
            .field("max_response", &self.max_response)
            .finish()
    }
}

/// Authorities to trust beside the system's.
#[derive(Clone, PartialEq, Eq)]
pub struct CaFile {
    /// A PEM file.
    pub path: PathBuf,
    /// The content when the configuration was read. A changed file is a new setting.
    pub pem: Arc<[u8]>,
}

impl fmt::Debug for CaFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.path, f)
    }
}

/// A version of Entra's token endpoint. They differ in the parameter that names the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenEndpoint {
    /// `/oauth2/token`, with a resource.
    V1,
    /// `/oauth2/v2.0/token`, with a scope.
    V2,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PollSettings {
    pub schedule: Schedule,
    pub lookback: Duration,
    pub overlap: Duration,
    pub reconcile_every: Duration,
    pub reconcile_window: Duration,
    /// At least 1.
    pub requests_per_minute: u32,
    pub deduplicate: Deduplicate,
}

#[derive(Debug, Clone)]
pub(crate) struct KafkaSettings {
    pub connection: KafkaConnection,
    pub status_topic: Option<Arc<str>>,
    pub dead_letter_topic: Option<Arc<str>>,
    /// The files that the properties name, which librdkafka reads once. Each has a fingerprint of its content when the
    /// configuration was read; `None` if it was no readable file.
    pub files: BTreeMap<PathBuf, Option<u64>>,
}

/// What a client of Kafka needs to know. `kafka` adds what it makes of it.
#[derive(Debug, Clone)]
pub struct KafkaConnection {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// librdkafka's own properties, passed on unchanged but for those of [`oauth`]. Values may be passwords: never print them.
    pub properties: Vec<(String, SecretString)>,
    /// Bytes fetched and not yet acknowledged, over all tenants. librdkafka's queue is larger, so that this budget
    /// limits memory.
    pub max_in_flight: usize,
}

impl KafkaSettings {
    /// Whether librdkafka's properties are the same, in any order, and so are the files that they name.
    pub fn same_properties(&self, other: &Self) -> bool {
        let of = |settings: &Self| -> BTreeMap<String, String> {
            let properties = settings.connection.properties.iter();
            properties
                .map(|(name, value)| (name.clone(), value.expose_secret().to_owned()))
                .collect()
        };
        of(self) == of(other) && self.files == other.files
    }
}

/// What the value of an incident's record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordFormat {
    /// A structured CloudEvent with the incident as its `data`.
    CloudEvents,
    /// The incident as Microsoft sent it.
    Raw,
    /// An Incident Finding of OCSF 1.8.0.
    Ocsf,
    /// An event of ECS 9.4.
    Ecs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LedgerKind {
    Local,
    Kafka,
}

#[derive(Debug, Clone)]
pub(crate) struct LedgerSettings {
    pub kind: LedgerKind,
    /// Of the local ledger: a folder, in which its file is made.
    pub path: PathBuf,
    pub kafka: KafkaLedgerSettings,
}

/// A ledger in Kafka's transactions, which several processes share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KafkaLedgerSettings {
    pub topic: Arc<str>,
    /// The consumer group whose members share the tenants. Transactional ids begin with it.
    pub group: Arc<str>,
    /// Partitions of the topic. Another number would move tenants to other partitions, away from their rows.
    pub partitions: u16,
}

#[derive(Debug, Clone)]
pub(crate) struct HttpSettings {
    pub listen: SocketAddr,
    /// Names that the endpoints answer to, beside addresses, `localhost` and the machine's own name.
    pub hosts: Vec<Arc<str>>,
    pub metrics: MetricsDetail,
    /// Where operators' commands are taken. `None`: see [`HttpSettings::command_socket`].
    pub socket: Option<PathBuf>,
}

impl HttpSettings {
    /// Where operators' commands are taken. The folder of a local ledger belongs to the daemon. `None`: with the ledger in
    /// Kafka no folder is sure to be writable.
    pub fn command_socket(&self, ledger: &LedgerSettings) -> Option<PathBuf> {
        let beside =
            || (ledger.kind == LedgerKind::Local).then(|| ledger.path.join("control.sock"));
        self.socket.clone().or_else(beside)
    }
}

/// Which series `/metrics` has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MetricsDetail {
    /// Some for each tenant, beside those of the fleet.
    Tenants,
    /// Those of the fleet only: their number does not depend on that of the tenants.
    Fleet,
}

#[derive(Debug, Clone)]
pub(crate) struct LogSettings {
    pub format: LogFormat,
    /// [`LogLevels`] as text.
    pub level: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Text when standard error is a terminal, else JSON.
    Auto,
    Json,
    Text,
}
