//! The files that `init` writes, made from the examples in `config/`.

use std::path::Path;

use crate::core::ids::TenantId;
use crate::settings::event_hubs;

const MAIN: &str = include_str!("../../../config/incidentd.toml");
const TENANT: &str = include_str!("../../../config/tenant.toml");

/// Where the service's secrets are, in the example.
const SERVICE_SECRETS: &str = "/run/credentials/incidentd.service/";
/// The example's tenants begin here.
const TENANTS: &str = "# The customers: one [[tenants]] each.\n";

/// The example's compression, and what Azure Event Hubs has in its place.
const COMPRESSION: &str = "\n\"compression.type\" = \"zstd\"\n";
const NO_COMPRESSION: &str = "\n# Azure Event Hubs takes \"gzip\" only, in Premium and Dedicated.\n# \"compression.type\" = \"gzip\"\n";

/// The folder of tenants' files that a new configuration names.
pub(super) const TENANTS_DIR: &str = "tenants.d";

pub(super) struct MainTemplate<'a> {
    pub client_id: Option<String>,
    pub brokers: Option<&'a str>,
    /// It is the service's: systemd keeps its secrets and its ledger. Other files have them beside them.
    pub is_service: bool,
}

impl MainTemplate<'_> {
    /// The whole example without its tenants, and with a folder for them.
    pub fn text(&self) -> String {
        let (shared, _) = MAIN.split_once(TENANTS).unwrap_or((MAIN, ""));
        let mut text = with_schema(shared).replace(
            &format!("# tenants_dir = \"{TENANTS_DIR}\""),
            &format!("tenants_dir = \"{TENANTS_DIR}\""),
        );
        if let Some(id) = &self.client_id {
            text = with_value(&text, "client_id", id);
        }
        if let Some(brokers) = self.brokers {
            text = with_value(&text, "brokers", brokers);
            if event_hubs::is_among(brokers) {
                text = text.replace(COMPRESSION, NO_COMPRESSION);
            }
        }
        if !self.is_service {
            text = text.replace(SERVICE_SECRETS, "");
            text = with_value(&text, "path", "ledger");
        }
        let end = "# The customers: one file each in tenants_dir, written by: incidentd init --tenant TENANT_ID --name NAME\n";
        text + end
    }
}

pub(super) fn tenant(id: TenantId, name: Option<&str>) -> String {
    let text = with_value(&with_schema(TENANT), "id", &id.to_string());
    match name {
        Some(name) => with_value(&text, "name", name),
        None => text.replace("\nname = ", "\n# name = "),
    }
}

/// An example names the schema beside it; a file elsewhere names the one that the package installs, if it is installed.
fn with_schema(example: &str) -> String {
    const INSTALLED: &str = "/usr/share/doc/incidentd/examples/incidentd.schema.json";
    let line = match Path::new(INSTALLED).exists() {
        true => format!("#:schema file://{INSTALLED}"),
        false => "# For an editor that checks TOML: incidentd config --schema prints the schema of this file.".to_owned(),
    };
    example.replacen("#:schema ./incidentd.schema.json", &line, 1)
}

/// The line of a key, from 1.
pub(super) fn line_of(text: &str, key: &str) -> usize {
    let is_it = |line: &str| value_of(line, key).is_some();
    text.lines().position(is_it).map_or(0, |at| at + 1)
}

fn value_of<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.strip_prefix(key)?.strip_prefix(" = ")
}

fn with_value(text: &str, key: &str, value: &str) -> String {
    let line = |line: &str| match value_of(line, key) {
        Some(_) => format!("{key} = {}\n", literal(value)),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// A TOML string. The text has no control characters, so only these two are escaped.
fn literal(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_for_azure_event_hubs_has_no_compression_that_they_refuse() {
        let main = |brokers| {
            let main = MainTemplate {
                client_id: None,
                brokers: Some(brokers),
                is_service: true,
            };
            main.text()
        };
        let elsewhere = main("kafka1:9092");
        assert!(elsewhere.contains(COMPRESSION), "{elsewhere}");
        let there = main("contoso.servicebus.windows.net:9093");
        assert!(there.contains(NO_COMPRESSION), "{there}");
        assert!(!there.contains("zstd"), "{there}");
    }

    /// The examples must contain what is replaced.
    #[test]
    fn the_service_s_file_has_its_folder_its_secret_and_what_was_given() {
        let main = |is_service| {
            let main = MainTemplate {
                client_id: Some("0f0f0f0f-0000-4000-8000-000000000001".into()),
                brokers: Some("kafka1:9092,kafka2:9092"),
                is_service,
            };
            main.text()
        };
        let (service, other) = (main(true), main(false));
        for (text, key, value) in [
            (&service, "tenants_dir", "tenants.d"),
            (
                &service,
                "client_id",
                "0f0f0f0f-0000-4000-8000-000000000001",
            ),
            (&service, "brokers", "kafka1:9092,kafka2:9092"),
            (
                &service,
                "client_secret_file",
                "/run/credentials/incidentd.service/client-secret",
            ),
            (&service, "path", "/var/lib/incidentd/ledger"),
            (&other, "client_secret_file", "client-secret"),
            (&other, "path", "ledger"),
        ] {
            let line = text.lines().nth(line_of(text, key).wrapping_sub(1));
            assert_eq!(line, Some(&*format!("{key} = \"{value}\"")));
        }
        assert!(!service.contains("\n[[tenants]]"), "{service}");
        assert!(!other.contains("/run/credentials"), "{other}");
    }

    #[test]
    fn a_tenant_without_a_name_keeps_none_and_a_name_with_quotes_is_written_as_toml() {
        let id = "22222222-2222-2222-2222-222222222222"
            .parse()
            .expect("a GUID");
        let named = tenant(id, Some(r#"The "Contoso" \ Co"#));
        assert!(
            named.contains(r#"name = "The \"Contoso\" \\ Co""#),
            "{named}"
        );
        assert!(
            named.contains("\nid = \"22222222-2222-2222-2222-222222222222\"\n"),
            "{named}"
        );
        let nameless = tenant(id, None);
        assert_eq!(line_of(&nameless, "name"), 0, "{nameless}");
    }
}
