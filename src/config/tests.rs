mod access;
mod certificates;
mod clouds;
mod conflicts;
mod credentials;
mod examples;
mod garbage;
mod identities;
mod keys;
mod misplaced;
mod reports;
mod schema;
mod tenants;
mod values;
mod vaults;

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::library_checks::NoLibraryChecks;
use super::{ConfigErrors, load};
use crate::settings::{Settings, TenantSettings};

const CANARY: &str = "S3cr3t~canary.value";

/// A configuration in its own folder, with a secret in the file `secret`.
struct Fixture {
    folder: TempDir,
    environment: HashMap<String, String>,
}

impl Fixture {
    fn new(main: &str) -> Self {
        let fixture = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            environment: HashMap::new(),
        };
        fixture
            .with_file("incidentd.toml", main)
            .with_mode("incidentd.toml", 0o640)
            .with_file("secret", format!("{CANARY}\n"))
            .with_mode("secret", 0o600)
    }

    fn with_mode(self, name: &str, mode: u32) -> Self {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(self.folder.path().join(name), mode).expect("the mode");
        self
    }

    fn with_file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("the folder");
        fs::write(&path, content).expect("the file");
        self
    }

    fn with_env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    fn main(&self) -> PathBuf {
        self.folder.path().join("incidentd.toml")
    }

    fn load(&self) -> Result<Settings, ConfigErrors> {
        load(&self.main(), &self.environment, &NoLibraryChecks)
    }

    #[track_caller]
    fn valid(&self) -> Settings {
        self.load().unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// The warnings, without the folder's own name.
    #[track_caller]
    fn warnings(&self) -> Vec<String> {
        let folder = format!("{}/", self.folder.path().display());
        let warnings = self.valid().warnings;
        warnings
            .iter()
            .map(|warning| warning.replace(&folder, ""))
            .collect()
    }

    /// The report, without the folder's own name.
    #[track_caller]
    fn report(&self) -> String {
        match self.load() {
            Ok(_) => panic!("the configuration was accepted"),
            Err(errors) => {
                let folder = format!("{}/", self.folder.path().display());
                errors.to_string().replace(&folder, "")
            }
        }
    }
}

/// A valid configuration with `more` before its tenants.
fn with(more: &str) -> Fixture {
    Fixture::new(&format!("{APP}\n{more}\n{TENANT}"))
}

const APP: &str = r#"
[app]
client_id = "0f0f0f0f-0000-4000-8000-000000000001"
client_secret_file = "secret"
"#;

const TENANT: &str = r#"
[[tenants]]
id = "11111111-1111-1111-1111-111111111111"
name = "contoso"
"#;

fn only(settings: &Settings) -> &TenantSettings {
    assert_eq!(settings.tenants.len(), 1, "{settings:?}");
    &settings.tenants[0]
}
