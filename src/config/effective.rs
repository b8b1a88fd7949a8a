//! The configuration in force as text: each key with its value and its origin.
//!
//! The form is TOML, but it is no file to copy: what may be a secret is left out. Keys without a value are left out
//! too.

use std::path::Path;

use super::keys::{self, ConfigKey};
use super::origin::{Spot, dotted};
use super::provenance::{KeyMeaning, Provenance};
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

/// A line before it is aligned: a header, a remark, or a key.
enum OutputLine {
    Header(String),
    Remark(String),
    Key { text: String, origin: String },
}

impl Effective {
    pub(super) fn new(path: &Path, settings: Settings, provenance: Provenance) -> Self {
        let folder = path
            .parent()
            .map(|folder| folder.join("").display().to_string());
        Self {
            settings,
            provenance,
            folder: folder.unwrap_or_default(),
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
            let keys = keys::of_main_file().filter(|key| key.table == table);
            let lines = keys.filter_map(|key| self.shared(key)).collect();
            add_table(&mut text, table, lines);
            let free = format!("{table}.properties");
            let below = self.provenance.below(&free);
            let lines = below.filter_map(|(key, meaning)| self.line(key, meaning));
            add_table(&mut text, &free, lines.collect());
        }
        for number in 0..self.settings.tenants.len() {
            let own = |key: &'static ConfigKey| {
                let path = own_path(key);
                let meaning = self.provenance.get(Some(number), &path)?;
                let shared = self.provenance.get(None, &path);
                match (meaning, shared) {
                    (KeyMeaning::Unset, None | Some(KeyMeaning::Unset)) => None,
                    (KeyMeaning::Unset, Some(_)) => Some(OutputLine::Remark(format!(
                        "# {path} of the main file is not used"
                    ))),
                    _ => self.line(&path, meaning),
                }
            };
            let lines = tenants_keys().filter_map(own).collect();
            add_table(&mut text, "[tenants]", lines);
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
        let line = |key: &'static ConfigKey| match self.provenance.get(Some(number), &own_path(key))
        {
            Some(own) => self.line(key.name, own),
            None => self.shared(key),
        };
        let id_and_name = keys::of_tenant("").filter(|key| !key.is_table());
        add_table(
            &mut text,
            "[tenants]",
            id_and_name.filter_map(line).collect(),
        );
        for table in tables().filter(|table| !table.is_empty()) {
            let lines = keys::of_tenant(table).filter_map(line).collect();
            add_table(&mut text, &dotted("tenants", table), lines);
        }
        Some(text)
    }

    /// The main file's line of a key.
    fn shared(&self, key: &ConfigKey) -> Option<OutputLine> {
        self.line(key.name, self.provenance.get(None, &key.path())?)
    }

    fn heading(&self, what: &str) -> String {
        format!(
            "# {what}, from {}.\n# Behind each value is where it comes from; files are named from that folder. No secret is shown.\n",
            self.main
        )
    }

    /// `None` when there is nothing to say.
    fn line(&self, key: &str, meaning: &KeyMeaning) -> Option<OutputLine> {
        let (literal, origin) = match meaning {
            KeyMeaning::Given { literal, spot } => (literal, self.name_of(spot)),
            KeyMeaning::Default { literal } => (literal, "default".into()),
            KeyMeaning::Derived { literal, from } => (literal, format!("from {from}")),
            KeyMeaning::Unset => return None,
        };
        let text = format!("{key} = {literal}");
        Some(OutputLine::Key { text, origin })
    }

    fn name_of(&self, spot: &Spot) -> String {
        let name = spot.to_string();
        match spot {
            Spot::Variable(name) => format!("environment {name}"),
            Spot::File { .. } => match name.strip_prefix(&self.folder) {
                Some(short) => short.into(),
                None => name,
            },
        }
    }
}

/// The tables of the main file, in the order of their keys.
fn tables() -> impl Iterator<Item = &'static str> {
    let tables = keys::of_main_file().filter(|key| key.is_table() && key.table.is_empty());
    std::iter::once("").chain(tables.map(|key| key.name))
}

/// What a tenant may give: its own keys first.
fn tenants_keys() -> impl Iterator<Item = &'static ConfigKey> {
    tables().flat_map(keys::of_tenant)
}

/// A key as a tenant's file has it.
fn own_path(key: &ConfigKey) -> String {
    match key.table {
        "tenants" => key.name.into(),
        _ => key.path(),
    }
}

fn add_table(text: &mut String, path: &str, mut lines: Vec<OutputLine>) {
    if lines.is_empty() {
        return;
    }
    if !path.is_empty() {
        lines.insert(0, OutputLine::Header(format!("[{path}]")));
    }
    let widths = lines.iter().filter_map(|line| match line {
        OutputLine::Key { text, .. } => Some(text.chars().count()),
        OutputLine::Header(_) | OutputLine::Remark(_) => None,
    });
    let width = widths
        .filter(|width| *width <= MAX_ALIGNED)
        .max()
        .unwrap_or(0);
    text.push('\n');
    for line in lines {
        let line = match line {
            OutputLine::Header(line) | OutputLine::Remark(line) => line,
            OutputLine::Key { text, origin } => format!("{text:width$}  # {origin}"),
        };
        text.push_str(&line);
        text.push('\n');
    }
}
