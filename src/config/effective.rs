//! The configuration in force as text: each key with its value, and behind it where that comes from.
//!
//! In the form of TOML, for reading; what may be a secret is left out, so that it is no file to copy. Keys that are not
//! set are left out too.

use std::path::Path;

use super::origin::Spot;
use super::section::dotted;
use crate::config::provenance::{Entry, Meaning, Provenance, Table};
use crate::config::unknown_keys::may_be_a_tenant_s;
use crate::settings::{Settings, TenantSettings};

/// Beyond this width a value does not push the others' origins to the right.
const MAX_ALIGNED: usize = 64;

pub struct Effective {
    settings: Settings,
    record: Provenance,
    /// The main file's folder, with its slash: files are named from there.
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
    pub(super) fn new(path: &Path, settings: Settings, record: Provenance) -> Self {
        let folder = path
            .parent()
            .map(|folder| folder.join("").display().to_string());
        Self {
            settings,
            record,
            folder: folder.unwrap_or_default(),
            main: path.display().to_string(),
        }
    }

    /// What is allowed but worth a line.
    pub fn warnings(&self) -> &[String] {
        &self.settings.warnings
    }

    /// The main file's settings, then what each tenant has of its own.
    pub fn all(&self) -> String {
        let mut text = self.heading("The configuration in force");
        for table in self.in_order() {
            let lines = table
                .entries
                .iter()
                .filter_map(|entry| self.line("", entry, None));
            add_table(&mut text, &table.path, lines.collect());
        }
        let mut tables = self
            .record
            .tables
            .iter()
            .filter(|table| table.tenant.is_some())
            .peekable();
        while let Some(first) = tables.peek().map(|table| table.tenant) {
            let mut lines = vec![OutputLine::Header("[[tenants]]".into())];
            let mut own: Vec<&Table> = Vec::new();
            while let Some(table) = tables.next_if(|table| table.tenant == first) {
                own.push(table);
            }
            // A tenant's root is the last to be finished; its id and name come first.
            own.sort_by_key(|table| !table.path.is_empty());
            for table in own {
                let entry = |entry| self.line(&table.path, entry, self.shared(&table.path, entry));
                lines.extend(table.entries.iter().filter_map(entry));
            }
            add(&mut text, lines);
        }
        text
    }

    /// All that holds for one tenant, named by its name or its id.
    pub fn of_tenant(&self, name: &str) -> Option<String> {
        let is_it = |tenant: &TenantSettings| {
            *tenant.name == *name || tenant.id.to_string().eq_ignore_ascii_case(name)
        };
        let number = self.settings.tenants.iter().position(is_it)?;
        let name = &self.settings.tenants.get(number)?.name;
        let mut text = self.heading(&format!("What holds for the tenant {name}"));
        let own = |path: &str| {
            let mut tables = self.record.tables.iter();
            tables.find(|table| table.tenant == Some(number) && table.path == path)
        };
        let root = own("").into_iter().flat_map(|table| &table.entries);
        let mut lines = vec![OutputLine::Header("[[tenants]]".into())];
        lines.extend(root.filter_map(|entry| self.line("", entry, None)));
        add(&mut text, lines);
        for table in self.in_order() {
            let (path, own) = (&table.path, own(&table.path));
            let entries = table
                .entries
                .iter()
                .filter(|entry| may_be_a_tenant_s(path, Some(&entry.key)));
            let lines = entries.filter_map(|shared| {
                let own =
                    own.and_then(|own| own.entries.iter().find(|entry| entry.key == shared.key));
                match own {
                    Some(own) if !matches!(own.meaning, Meaning::Inherited) => {
                        self.line("", own, None)
                    }
                    _ => self.line("", shared, None),
                }
            });
            add_table(&mut text, &dotted("tenants", path), lines.collect());
        }
        Some(text)
    }

    /// The main file's tables as people write them: what stands outside of tables first, a table before those within it.
    fn in_order(&self) -> Vec<&Table> {
        let mut tables: Vec<&Table> = Vec::new();
        for table in self.record.shared() {
            let within = dotted(&table.path, "");
            let at = tables
                .iter()
                .position(|known| table.path.is_empty() || known.path.starts_with(&within));
            tables.insert(at.unwrap_or(tables.len()), table);
        }
        tables
    }

    fn heading(&self, what: &str) -> String {
        format!(
            "# {what}, from {}.\n# Behind each value is where it comes from; files are named from that folder. No secret is shown.\n",
            self.main
        )
    }

    /// The main file's entry for a tenant's.
    fn shared(&self, path: &str, entry: &Entry) -> Option<&Entry> {
        let table = self.record.shared().find(|table| table.path == path)?;
        table.entries.iter().find(|shared| shared.key == entry.key)
    }

    /// `None` when there is nothing to say. `shared`: what a tenant's key stands in place of.
    fn line(&self, path: &str, entry: &Entry, shared: Option<&Entry>) -> Option<OutputLine> {
        if entry.is_table {
            return None;
        }
        let key = dotted(path, &entry.key);
        let (literal, origin) = match &entry.meaning {
            Meaning::Given { literal, spot } => (literal, self.name_of(spot)),
            Meaning::Default { literal } => (literal, "default".into()),
            Meaning::Derived { literal, from } => (literal, format!("from {from}")),
            Meaning::Unset
                if shared.is_some_and(|shared| !matches!(shared.meaning, Meaning::Unset)) =>
            {
                return Some(OutputLine::Remark(format!(
                    "# {key} of the main file is not used"
                )));
            }
            Meaning::Unset | Meaning::Inherited => return None,
        };
        Some(OutputLine::Key {
            text: format!("{key} = {literal}"),
            origin,
        })
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

fn add_table(text: &mut String, path: &str, mut lines: Vec<OutputLine>) {
    if lines.is_empty() {
        return;
    }
    if !path.is_empty() {
        lines.insert(0, OutputLine::Header(format!("[{path}]")));
    }
    add(text, lines);
}

fn add(text: &mut String, lines: Vec<OutputLine>) {
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
