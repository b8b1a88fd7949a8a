//! A configuration in its own folder, for the tenants of a simulator.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use incidentd::simulator::{Options, Simulator, Tenant, World};
use tempfile::TempDir;
use uuid::Uuid;

use super::tell;

/// Writes the configuration that a test needs. Dropping it removes its folder, with secret and ledger.
pub struct Setup {
    dir: TempDir,
    /// Dotted keys and TOML values.
    keys: BTreeMap<String, String>,
    tenants: Vec<Tenant>,
    /// The own keys of single tenants, in the same form.
    own: Vec<(Uuid, String, String)>,
}

impl Setup {
    /// For all tenants that the simulator has now, swept every second. Kafka's settings other than the address have
    /// their defaults.
    pub fn new(simulator: &Simulator, brokers: &str, topic: &str) -> Self {
        Self::at(
            &simulator.url(),
            simulator.world().tenants(),
            brokers,
            topic,
        )
    }

    /// The same for a Microsoft at this address, with tenants of the app that all simulated ones share.
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

    /// Sets a dotted key to a TOML value.
    pub fn key(mut self, key: &str, value: &str) -> Self {
        self.keys.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Sets a key to a text.
    pub fn text(self, key: &str, value: &str) -> Self {
        self.key(key, &format!("{value:?}"))
    }

    /// Sets a tenant's own key to a text. With its own `api.source` it does not inherit the addresses of `[api]`: set
    /// them too.
    pub fn own_text(mut self, tenant: Uuid, key: &str, value: &str) -> Self {
        let value = format!("{value:?}");
        self.own.push((tenant, key.to_owned(), value));
        self
    }

    /// Removes a key that was set.
    pub fn without(mut self, key: &str) -> Self {
        self.keys.remove(key);
        self
    }

    /// Writes the file as it is now, and returns its path.
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

/// A simulator of `tenants` healthy tenants, without request quotas, so that tests are fast.
pub async fn simulator(tenants: u32, options: Options) -> Simulator {
    let options = Options {
        tenants: (1..=tenants).map(Tenant::numbered).collect(),
        quotas: false,
        ..options
    };
    Simulator::start(options).await.expect("a simulator")
}

/// The same with this number of incidents in each tenant, drawn from a seed, which is returned. `INCIDENTD_TEST_SEED`
/// repeats an earlier run.
pub async fn drawn_simulator(tenants: u32, incidents: usize) -> (Simulator, u64) {
    let seed = number("INCIDENTD_TEST_SEED").unwrap_or_else(|| Uuid::new_v4().as_u64_pair().0);
    tell(format_args!("INCIDENTD_TEST_SEED={seed}"));
    let options = Options {
        seed,
        ..Options::default()
    };
    let simulator = simulator(tenants, options).await;
    create_in_each(&simulator.world(), incidents);
    (simulator, seed)
}

/// Gives each tenant this number of new incidents.
pub fn create_in_each(world: &World, incidents: usize) {
    for tenant in world.tenants() {
        world.create(tenant.id, incidents).expect("a tenant");
    }
}

/// The number in an environment variable, if it is set.
pub fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

/// A topic name that no other test has.
pub fn unique(name: &str) -> String {
    format!("{name}-{}", uuid::Uuid::new_v4())
}
