//! A configuration in a folder of its own, for the tenants of a simulator.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use incidentd::simulator::{Options, Simulator, Tenant};
use tempfile::TempDir;
use uuid::Uuid;

/// Writes the configuration that a test needs; the folder, with secret and ledger in it, is removed with it.
pub struct Setup {
    dir: TempDir,
    /// Dotted keys and TOML values.
    keys: BTreeMap<String, String>,
    tenants: Vec<Tenant>,
    /// What single tenants have for themselves, in the same form.
    own: Vec<(Uuid, String, String)>,
}

impl Setup {
    /// For all tenants that the simulator has now, swept every second. Everything of Kafka but its address is as a new
    /// user has it.
    pub fn new(simulator: &Simulator, brokers: &str, topic: &str) -> Self {
        Self::at(
            &simulator.url(),
            simulator.world().tenants(),
            brokers,
            topic,
        )
    }

    /// The same for a Microsoft at this address, for tenants of the app that all simulated ones share.
    pub fn at(url: &str, tenants: Vec<Tenant>, brokers: &str, topic: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let secret = dir.path().join("client-secret");
        fs::write(&secret, Tenant::SECRET).expect("a secret");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("its owner's");
        Self {
            dir,
            keys: BTreeMap::new(),
            tenants,
            own: Vec::new(),
        }
        .text("app.client_id", &Tenant::CLIENT_ID.to_string())
        .text("app.client_secret_file", "client-secret")
        .text("api.base_url", url)
        .text("api.login_url", url)
        .text("poll.schedule", "every 1s")
        .key("poll.requests_per_minute", "6000")
        .text("kafka.brokers", brokers)
        .text("kafka.topic", topic)
        .text("ledger.path", "ledger")
        .text("http.listen", "127.0.0.1:0")
    }

    /// A key, dotted, with its value as TOML has it.
    pub fn key(mut self, key: &str, value: &str) -> Self {
        self.keys.insert(key.to_owned(), value.to_owned());
        self
    }

    /// A key whose value is text.
    pub fn text(self, key: &str, value: &str) -> Self {
        self.key(key, &format!("{value:?}"))
    }

    /// A key of one tenant's own whose value is text. Its `api.source` leaves the addresses of `[api]` behind: give them too.
    pub fn own_text(mut self, tenant: Uuid, key: &str, value: &str) -> Self {
        let value = format!("{value:?}");
        self.own.push((tenant, key.to_owned(), value));
        self
    }

    /// Without a key that was set.
    pub fn without(mut self, key: &str) -> Self {
        self.keys.remove(key);
        self
    }

    /// Writes the file as it is now; its path.
    pub fn write(&self) -> PathBuf {
        let mut text = String::new();
        for (key, value) in &self.keys {
            writeln!(text, "{key} = {value}").expect("room");
        }
        for Tenant { id, name, .. } in &self.tenants {
            writeln!(text, "[[tenants]]\nid = \"{id}\"\nname = \"{name}\"").expect("room");
            for (_, key, value) in self.own.iter().filter(|(owner, ..)| owner == id) {
                writeln!(text, "{key} = {value}").expect("room");
            }
        }
        let path = self.path().join("incidentd.toml");
        fs::write(&path, text).expect("a configuration");
        path
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn ledger_file(&self) -> PathBuf {
        self.path().join("ledger").join("ledger.redb")
    }
}

/// A simulator of `tenants` tenants that all is well with, without request quotas: tests are in a hurry.
pub async fn simulator(tenants: u32, options: Options) -> Simulator {
    let options = Options {
        tenants: (1..=tenants).map(Tenant::numbered).collect(),
        quotas: false,
        ..options
    };
    Simulator::start(options).await.expect("a simulator")
}

/// A name that no other test's topic has.
pub fn unique(name: &str) -> String {
    format!("{name}-{}", uuid::Uuid::new_v4())
}
