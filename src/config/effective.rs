//! The configuration in force as text: each key with its value and its origin.
//!
//! The form is TOML, but it is no file to copy: what may be a secret is left out. Keys without a value are left out
//! too.

use std::path::Path;

use super::keys::{self, ConfigKey};
use super::origin::{KeyMeaning, Provenance, dotted};
use crate::settings::{Settings, TenantSettings};

/// Longer lines are not aligned.
const MAX_ALIGNED: usize = 64;

pub struct Effective {
    settings: Settings,
    provenance: Provenance,
    /// The main file's folder, with its slash. Files are named relative to it.
    folder: String,
    main: String,
}

/// A header's key and value, or a remark, which has no origin.
struct OutputLine {
    text: String,
    origin: String,
}

impl Effective {
    pub(super) fn new(path: &Path, settings: Settings, provenance: Provenance) -> Self {
        let folder = path.parent().map(|folder| folder.join(""));
        Self {
            settings,
            provenance,
            folder: folder.unwrap_or_default().display().to_string(),
            main: path.display().to_string(),
        }
    }

    /// Warnings.
    pub fn warnings(&self) -> &[String] {
        &self.settings.warnings
    }

    /// The main file's settings, then each tenant's own.
    pub fn all(&self) -> String {
        let mut text = self.heading("The configuration in force");
        for table in tables() {
            let keys = keys::of_table(table);
            let lines = keys.filter_map(|key| Some(self.line(key.name, self.shared(key)?)));
            add_table(&mut text, table, lines.collect());
            if table == "kafka" {
                add_table(&mut text, "kafka.properties", self.properties());
            }
        }
        for number in 0..self.settings.tenants.len() {
            let lines = tables().flat_map(keys::of_tenant).filter_map(|key| {
                let path = own_path(key);
                match self.own(number, key)? {
                    Some(meaning) => Some(self.line(&path, meaning)),
                    None => self.shared(key).map(|_| OutputLine {
                        text: format!("# {path} of the main file is not used"),
                        origin: String::new(),
                    }),
                }
            });
            add_table(&mut text, "[tenants]", lines.collect());
        }
        text
    }

    /// All settings of one tenant, by its name or its id.
    pub fn of_tenant(&self, name: &str) -> Option<String> {
        let is_it = |tenant: &TenantSettings| {
            *tenant.name == *name || tenant.id.to_string().eq_ignore_ascii_case(name)
        };
        let number = self.settings.tenants.iter().position(is_it)?;
        let name = &self.settings.tenants.get(number)?.name;
        let mut text = self.heading(&format!("What holds for the tenant {name}"));
        for table in tables() {
            let keys = keys::of_tenant(table).filter(|key| !key.is_table());
            let lines = keys.filter_map(|key| {
                let own = self.own(number, key);
                let meaning = own.unwrap_or_else(|| self.shared(key))?;
                Some(self.line(key.name, meaning))
            });
            let header = match table {
                "" => "[tenants]".to_owned(),
                table => dotted("tenants", table),
            };
            add_table(&mut text, &header, lines.collect());
        }
        Some(text)
    }

    /// librdkafka's properties, whose names are free.
    fn properties(&self) -> Vec<OutputLine> {
        let all = self.provenance.iter().filter_map(|((_, path), meaning)| {
            let key = path.strip_prefix("kafka.properties.")?;
            Some(self.line(key, meaning.as_ref()?))
        });
        all.collect()
    }

    /// The main file's meaning of a key.
    fn shared(&self, key: &ConfigKey) -> Option<&KeyMeaning> {
        self.provenance.get(&(None, key.path()))?.as_ref()
    }

    /// A tenant's own meaning of a key, if it has one. That is `None` if it does not use the shared one.
    fn own(&self, tenant: usize, key: &ConfigKey) -> Option<Option<&KeyMeaning>> {
        let meaning = self.provenance.get(&(Some(tenant), own_path(key)))?;
        Some(meaning.as_ref())
    }

    fn heading(&self, what: &str) -> String {
        format!(
            "# {what}, from {}.\n# Behind each value is where it comes from; files are named from that folder. No secret is shown.\n",
            self.main
        )
    }

    fn line(&self, key: &str, KeyMeaning { literal, origin }: &KeyMeaning) -> OutputLine {
        let origin = origin.strip_prefix(&self.folder).unwrap_or(origin);
        OutputLine {
            text: format!("{key} = {literal}"),
            origin: origin.replacen("environment variable ", "environment ", 1),
        }
    }
}

/// The tables of the main file, in the order of their keys.
fn tables() -> impl Iterator<Item = &'static str> {
    let tables = keys::of_table("").filter(|key| key.is_table());
    std::iter::once("").chain(tables.map(|key| key.name))
}

/// A key as a tenant's file has it.
fn own_path(key: &ConfigKey) -> String {
    match key.table {
        "tenants" => key.name.into(),
        _ => key.path(),
    }
}

fn add_table(text: &mut String, path: &str, lines: Vec<OutputLine>) {
    if lines.is_empty() {
        return;
    }
    text.push('\n');
    if !path.is_empty() {
        *text += &format!("[{path}]\n");
    }
    let keys = lines.iter().filter(|line| !line.origin.is_empty());
    let widths = keys.map(|line| line.text.chars().count());
    let width = widths.filter(|width| *width <= MAX_ALIGNED).max();
    let width = width.unwrap_or(0);
    for OutputLine { text: line, origin } in lines {
        *text += &match origin.is_empty() {
            true => format!("{line}\n"),
            false => format!("{line:width$}  # {origin}\n"),
        };
    }
}
