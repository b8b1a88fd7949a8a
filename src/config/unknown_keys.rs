//! Explains unknown keys: which key was probably meant.
//!
//! A key may be misspelt, belong to another table, or stand below the wrong header: in TOML a header holds until the
//! next one.

use config::{Value, ValueKind};

use super::keys::{self, ConfigKey};
use super::origin::{Spot, Table, dotted};
use super::problems::{Diagnosis, Wrong, wrong};
use super::scope::{Owner, Scope};
use super::units::distance;
use crate::core::health::failure::one_line;

struct UnknownKey<'a> {
    scope: &'a Scope<'a>,
    table: &'a str,
    /// The known keys of this table.
    known: &'a [&'static ConfigKey],
    name: &'a str,
    is_table: bool,
    /// A tenant's key with no `[[tenants]]` above it.
    lacks_header: bool,
}

/// Keys that people try, and what to do instead.
#[rustfmt::skip]
const HINTS: [(&str, &str); 3] = [
    ("client_secret", "put the secret into a file that only the daemon can read and name it in client_secret_file, or name an \
        environment variable in client_secret_env"),
    ("tenant_id", "a tenant's id is the key id below its [[tenants]]"),
    ("interval", "set schedule in [poll], for example \"every 30s\""),
];

/// The remedy for a key that looks like a property.
const PROPERTIES: &str = "librdkafka's own properties are set below [kafka.properties]";

/// Reports each unknown key of a table once; keys that lack the same `[[tenants]]` are one mistake. Values are not shown:
/// they may be secrets.
pub(super) fn report(scope: &Scope<'_>, table: &str, values: &Table, diagnosis: &mut Diagnosis) {
    let known: Vec<&'static ConfigKey> = match scope.owner {
        Owner::Tenant(_) => keys::of_tenant(table).collect(),
        Owner::Daemon => keys::of_table(table).collect(),
        Owner::Folder => vec![keys::find("", "tenants")],
    };
    let is_unknown = |name: &str| known.iter().all(|key| key.name != name);
    let unknown = values.iter().filter(|(name, _)| is_unknown(name));
    let mut unknown: Vec<(Spot, &String, &Value)> = unknown
        .map(|(name, value)| (scope.file.of(value), name, value))
        .collect();
    unknown.sort_by_key(|(spot, name, _)| (spot.order, *name));
    let mut header_is_missing = false;
    for (spot, name, value) in unknown {
        let key = UnknownKey {
            scope,
            table,
            known: &known,
            name,
            is_table: matches!(value.kind, ValueKind::Table(_) | ValueKind::Array(_)),
            lacks_header: lacks_header(&scope.owner, name, values.contains_key("tenants")),
        };
        diagnosis.hides_tenants |=
            key.lacks_header || name == "tenants_dir" || distance(name, "tenants") <= 2;
        if !key.lacks_header || !std::mem::replace(&mut header_is_missing, true) {
            let path = dotted(table, &one_line(name, 80));
            let problem = scope.problem(&spot, &path, key.explain());
            diagnosis.problems.push(problem);
        }
    }
}

fn lacks_header(owner: &Owner, name: &str, has_tenants: bool) -> bool {
    let is_tenant_s = keys::of_tenant("").any(|key| key.name == name);
    let is_shared = keys::of_table("").any(|key| key.name == name);
    match owner {
        Owner::Tenant(_) => false,
        Owner::Daemon => is_tenant_s && !is_shared,
        Owner::Folder => is_tenant_s && !(is_shared && has_tenants),
    }
}

impl UnknownKey<'_> {
    fn explain(&self) -> Wrong {
        let (name, table) = (self.name, self.table);
        if name == "tenants_dir" {
            return self.tenants_dir();
        }
        if self.lacks_header {
            let own = match self.is_table {
                true => format!("; its own [{name}] is then [tenants.{name}], below that"),
                false => String::new(),
            };
            return wrong(
                "it is a tenant's, and there is no line [[tenants]] above it",
                format!("write the line [[tenants]] above the tenant's keys{own}"),
            );
        }
        let is_folder = matches!(self.scope.owner, Owner::Folder);
        if let Some(key) = keys::of_table("").find(|key| is_folder && key.name == name) {
            let remedy = match key.is_tenant_s() {
                true => format!(
                    "for one tenant write [tenants.{name}] below its [[tenants]]; for all, set it in the main file"
                ),
                false => "set it in the main file".into(),
            };
            return wrong(
                "a file of tenants_dir holds tenants and nothing else",
                remedy,
            );
        }
        let kind = if self.is_table { "table" } else { "key" };
        let (start, place) = match (self.scope.is_tenant(), table) {
            (true, "") => ("a tenant has", String::new()),
            (true, _) => ("a tenant has", format!(" in {table}")),
            (false, "") => ("there is", String::new()),
            (false, _) => ("there is", format!(" in [{table}]")),
        };
        wrong(format!("{start} no such {kind}{place}"), self.remedy())
    }

    fn remedy(&self) -> String {
        let looks_like_a_property = self.table == "kafka"
            && !self.scope.is_tenant()
            && (self.is_table || self.name.contains('.'));
        let hint = HINTS.iter().find(|(hinted, _)| *hinted == self.name);
        let hint = hint.map(|(_, hint)| (*hint).to_owned());
        hint.or_else(|| looks_like_a_property.then(|| PROPERTIES.into()))
            .or_else(|| self.elsewhere())
            .or_else(|| self.misspelt())
            .unwrap_or_else(|| {
                let known: Vec<String> = self.known.iter().map(|key| key.written()).collect();
                format!("remove it; here are known: {}", known.join(", "))
            })
    }

    fn tenants_dir(&self) -> Wrong {
        let (what, file) = match self.scope.owner {
            Owner::Folder => {
                let remedy = "remove it here; only the main file names a folder of tenants";
                return wrong("it is a key of the main file", remedy);
            }
            Owner::Tenant(_) => (
                "[[tenants]], so that it counts as the tenant's".into(),
                "the main file",
            ),
            Owner::Daemon => (
                format!("[{}], so that it counts as a key of that table", self.table),
                "the file",
            ),
        };
        let remedy = format!("move it to the top of {file}, above the first line in brackets");
        wrong(format!("it stands below {what}"), remedy)
    }

    /// Where a key of this name belongs.
    fn elsewhere(&self) -> Option<String> {
        let is_tenant = self.scope.is_tenant();
        let found: Vec<&ConfigKey> = keys::of_main_file()
            .filter(|key| key.name == self.name && (is_tenant || key.table != self.table))
            .collect();
        let key = found.first()?;
        let places: Vec<String> = found.iter().map(|key| format!("[{}]", key.table)).collect();
        let (places, written) = (places.join(" or "), key.written());
        Some(match (is_tenant, key.table) {
            (true, _) if key.is_tenant_s() => {
                format!("write it as {} below [[tenants]]", key.path())
            }
            (true, "") => format!("it holds for the whole daemon: set {written} in the main file"),
            (true, _) => {
                format!("it holds for the whole daemon: set it in {places} of the main file")
            }
            (false, "") => format!("it stands by itself: write {written}"),
            (false, _) => format!("it belongs to {places}"),
        })
    }

    fn misspelt(&self) -> Option<String> {
        if let Some(key) = nearest(self.name, self.known.iter().copied(), 2) {
            return Some(format!("did you mean {}?", key.written()));
        }
        // In other tables more keys are similar by chance.
        let most = if self.name.len() >= 8 { 2 } else { 1 };
        let key =
            nearest(self.name, keys::of_main_file(), most).filter(|_| !self.scope.is_tenant())?;
        let place = match key.is_table() || key.table.is_empty() {
            true => String::new(),
            false => format!(", which belongs to [{}]", key.table),
        };
        Some(format!("did you mean {}{place}?", key.written()))
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
