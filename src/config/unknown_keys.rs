//! Explains unknown keys: which key was probably meant.
//!
//! A key may be misspelt, belong to another table, or stand below the wrong header: in TOML a header holds until the
//! next one.

use config::{Map, Value, ValueKind};

use super::keys::{self, ConfigKey};
use super::origin::{Spot, dotted};
use super::problems::{Diagnosis, Wrong, wrong};
use super::scope::{Owner, Scope};
use super::units::distance;
use crate::core::health::failure::one_line;

struct UnknownKey<'a> {
    name: &'a str,
    spot: Spot,
    is_table: bool,
}

/// A table with unknown keys.
struct UnknownKeys<'a> {
    scope: &'a Scope<'a>,
    table: &'a str,
    /// The known keys of this table.
    known: Vec<&'static ConfigKey>,
    /// It gives `tenants`, in any form.
    has_tenants: bool,
}

/// Keys that people try, and what to do instead.
#[rustfmt::skip]
const HINTS: [(&str, &str); 3] = [
    ("client_secret", "put the secret into a file that only the daemon can read and name it in client_secret_file, or name an \
        environment variable in client_secret_env"),
    ("tenant_id", "a tenant's id is the key id below its [[tenants]]"),
    ("interval", "set schedule in [poll], for example \"every 30s\""),
];

/// Reports each unknown key of a table once; keys that lack the same `[[tenants]]` are one mistake. Values are not shown:
/// they may be secrets.
pub(super) fn report(
    scope: &Scope<'_>,
    table: &str,
    values: &Map<String, Value>,
    diagnosis: &mut Diagnosis,
) {
    let known: Vec<&'static ConfigKey> = match scope.owner {
        Owner::Tenant { .. } => keys::of_tenant(table).collect(),
        Owner::Daemon => keys::of_main_file()
            .filter(|key| key.table == table)
            .collect(),
        Owner::Folder => vec![keys::find("", "tenants")],
    };
    let unknown = values
        .iter()
        .filter(|(name, _)| !known.iter().any(|key| key.name == **name));
    let mut unknown: Vec<UnknownKey<'_>> = unknown
        .map(|(name, value)| UnknownKey {
            name,
            spot: Spot::of(value, &scope.file),
            is_table: matches!(value.kind, ValueKind::Table(_) | ValueKind::Array(_)),
        })
        .collect();
    unknown.sort_by_key(|key| (key.spot.order(), key.name));
    let keys = UnknownKeys {
        scope,
        table,
        known,
        has_tenants: values.contains_key("tenants"),
    };
    let mut header_is_missing = false;
    for key in &unknown {
        let lacks_header = keys.lacks_header(key.name);
        diagnosis.hides_tenants |=
            lacks_header || key.name == "tenants_dir" || distance(key.name, "tenants") <= 2;
        if !lacks_header || !std::mem::replace(&mut header_is_missing, true) {
            let path = dotted(table, &one_line(key.name, 80));
            let problem = scope.problem(&key.spot, &path, keys.explain(key));
            diagnosis.problems.push(problem);
        }
    }
}

impl UnknownKeys<'_> {
    /// A tenant's key with no `[[tenants]]` above it.
    fn lacks_header(&self, name: &str) -> bool {
        let is_of_any_tenant = keys::of_tenant("").any(|key| key.name == name);
        let is_shared_too =
            keys::of_main_file().any(|key| key.table.is_empty() && key.name == name);
        match self.scope.owner {
            Owner::Tenant { .. } => false,
            Owner::Daemon => is_of_any_tenant && !is_shared_too,
            Owner::Folder => is_of_any_tenant && (!is_shared_too || !self.has_tenants),
        }
    }

    fn explain(&self, key: &UnknownKey<'_>) -> Wrong {
        let name = key.name;
        if name == "tenants_dir" {
            return self.tenants_dir();
        }
        if self.lacks_header(name) {
            let own = match key.is_table {
                true => format!("; its own [{name}] is then [tenants.{name}], below that"),
                false => String::new(),
            };
            return wrong(
                "it is a tenant's, and there is no line [[tenants]] above it",
                format!("write the line [[tenants]] above the tenant's keys{own}"),
            );
        }
        if let Some((_, hint)) = HINTS.iter().find(|(hinted, _)| *hinted == name) {
            return wrong(self.no_such(key), *hint);
        }
        let is_folder = matches!(self.scope.owner, Owner::Folder);
        let mut roots = keys::of_main_file().filter(|known| known.table.is_empty());
        if let Some(root) = roots.find(|known| is_folder && known.name == name) {
            return beside_tenants(root);
        }
        if self.table == "kafka" && (key.is_table || name.contains('.')) && !self.scope.is_tenant()
        {
            return wrong(
                self.no_such(key),
                "librdkafka's own properties are set below [kafka.properties]",
            );
        }
        let remedy = self.elsewhere(name).or_else(|| self.misspelt(name));
        wrong(
            self.no_such(key),
            remedy.unwrap_or_else(|| {
                let known: Vec<String> = self.known.iter().map(|key| key.written()).collect();
                format!("remove it; here are known: {}", known.join(", "))
            }),
        )
    }

    fn no_such(&self, key: &UnknownKey<'_>) -> String {
        let kind = if key.is_table { "table" } else { "key" };
        match (self.scope.is_tenant(), self.table) {
            (true, "") => format!("a tenant has no such {kind}"),
            (true, table) => format!("a tenant has no such {kind} in {table}"),
            (false, "") => format!("there is no such {kind}"),
            (false, table) => format!("there is no such {kind} in [{table}]"),
        }
    }

    fn tenants_dir(&self) -> Wrong {
        match self.scope.owner {
            Owner::Folder => wrong(
                "it is a key of the main file",
                "remove it here; only the main file names a folder of tenants",
            ),
            Owner::Tenant { .. } => wrong(
                "it stands below [[tenants]], so that it counts as the tenant's",
                "move it to the top of the main file, above the first line in brackets",
            ),
            Owner::Daemon => wrong(
                format!(
                    "it stands below [{}], so that it counts as a key of that table",
                    self.table
                ),
                "move it to the top of the file, above the first line in brackets",
            ),
        }
    }

    /// Where a key of this name belongs.
    fn elsewhere(&self, name: &str) -> Option<String> {
        let mut found = keys::of_main_file()
            .filter(|key| key.name == name && (self.scope.is_tenant() || key.table != self.table));
        let key = found.next()?;
        let also = found.next().map(|other| format!(" or [{}]", other.table));
        let place = format!("[{}]{}", key.table, also.unwrap_or_default());
        let is_root = key.table.is_empty();
        Some(match self.scope.is_tenant() {
            true if key.is_tenant_s() => format!("write it as {} below [[tenants]]", key.path()),
            true if is_root => format!(
                "it holds for the whole daemon: set {} in the main file",
                key.written()
            ),
            true => format!("it holds for the whole daemon: set it in {place} of the main file"),
            false if is_root => format!("it stands by itself: write {}", key.written()),
            false => format!("it belongs to {place}"),
        })
    }

    fn misspelt(&self, name: &str) -> Option<String> {
        if let Some(key) = nearest(name, self.known.iter().copied(), 2) {
            return Some(format!("did you mean {}?", key.written()));
        }
        // In other tables more keys are similar by chance.
        let most = if name.len() >= 8 { 2 } else { 1 };
        let key = nearest(name, keys::of_main_file(), most).filter(|_| !self.scope.is_tenant())?;
        let written = key.written();
        Some(match key.is_table() || key.table.is_empty() {
            true => format!("did you mean {written}?"),
            false => format!("did you mean {written}, which belongs to [{}]?", key.table),
        })
    }
}

/// The most similar key: at most `most` letters apart, and fewer than half of its length.
fn nearest(
    name: &str,
    among: impl Iterator<Item = &'static ConfigKey>,
    most: usize,
) -> Option<&'static ConfigKey> {
    let near = among.min_by_key(|key| distance(name, key.name))?;
    let apart = distance(name, near.name);
    (apart <= most && apart < near.name.len() / 2).then_some(near)
}

/// Explains a table of the main file at the root of a tenants' file.
fn beside_tenants(key: &ConfigKey) -> Wrong {
    let name = key.name;
    let remedy = match key.is_tenant_s() {
        true => format!(
            "for one tenant write [tenants.{name}] below its [[tenants]]; for all, set it in the main file"
        ),
        false => "set it in the main file".into(),
    };
    wrong(
        "a file of tenants_dir holds tenants and nothing else",
        remedy,
    )
}
