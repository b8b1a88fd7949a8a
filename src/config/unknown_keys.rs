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

/// Reports each unknown key of a table once; keys that lack the same `[[tenants]]` are one mistake. Values are not shown:
/// they may be secrets.
pub(super) fn report(scope: &Scope<'_>, table: &str, values: &Table, diagnosis: &mut Diagnosis) {
    let known: Vec<&'static ConfigKey> = match scope.owner {
        Owner::Tenant { .. } => keys::of_tenant(table).collect(),
        Owner::Daemon => keys::of_table(table).collect(),
        Owner::Folder => vec![keys::find("", "tenants")],
    };
    let is_unknown = |name: &str| known.iter().all(|key| key.name != name);
    let unknown = values.iter().filter(|(name, _)| is_unknown(name));
    let mut unknown: Vec<(Spot, &String, &Value)> = unknown
        .map(|(name, value)| (Spot::of(value, &scope.file), name, value))
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
    let is_of_any_tenant = keys::of_tenant("").any(|key| key.name == name);
    let is_shared_too = keys::of_table("").any(|key| key.name == name);
    match owner {
        Owner::Tenant { .. } => false,
        Owner::Daemon => is_of_any_tenant && !is_shared_too,
        Owner::Folder => is_of_any_tenant && (!is_shared_too || !has_tenants),
    }
}

impl UnknownKey<'_> {
    fn explain(&self) -> Wrong {
        let name = self.name;
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
            let what = "a file of tenants_dir holds tenants and nothing else";
            return match key.is_tenant_s() {
                true => wrong(
                    what,
                    format!(
                        "for one tenant write [tenants.{name}] below its [[tenants]]; for all, set it in the main file"
                    ),
                ),
                false => wrong(what, "set it in the main file"),
            };
        }
        let kind = if self.is_table { "table" } else { "key" };
        let what = match (self.scope.is_tenant(), self.table) {
            (true, "") => format!("a tenant has no such {kind}"),
            (true, table) => format!("a tenant has no such {kind} in {table}"),
            (false, "") => format!("there is no such {kind}"),
            (false, table) => format!("there is no such {kind} in [{table}]"),
        };
        wrong(what, self.remedy())
    }

    fn remedy(&self) -> String {
        if let Some((_, hint)) = HINTS.iter().find(|(hinted, _)| *hinted == self.name) {
            return (*hint).into();
        }
        let looks_like_a_property = self.is_table || self.name.contains('.');
        if self.table == "kafka" && looks_like_a_property && !self.scope.is_tenant() {
            return "librdkafka's own properties are set below [kafka.properties]".into();
        }
        let meant = self.elsewhere().or_else(|| self.misspelt());
        meant.unwrap_or_else(|| {
            let known: Vec<String> = self.known.iter().map(|key| key.written()).collect();
            format!("remove it; here are known: {}", known.join(", "))
        })
    }

    fn tenants_dir(&self) -> Wrong {
        let (what, file) = match self.scope.owner {
            Owner::Folder => {
                return wrong(
                    "it is a key of the main file",
                    "remove it here; only the main file names a folder of tenants",
                );
            }
            Owner::Tenant { .. } => (
                "it stands below [[tenants]], so that it counts as the tenant's".into(),
                "the main file",
            ),
            Owner::Daemon => (
                format!(
                    "it stands below [{}], so that it counts as a key of that table",
                    self.table
                ),
                "the file",
            ),
        };
        let remedy = format!("move it to the top of {file}, above the first line in brackets");
        wrong(what, remedy)
    }

    /// Where a key of this name belongs.
    fn elsewhere(&self) -> Option<String> {
        let mut found = keys::of_main_file().filter(|key| {
            key.name == self.name && (self.scope.is_tenant() || key.table != self.table)
        });
        let key = found.next()?;
        let also = found.next().map(|other| format!(" or [{}]", other.table));
        let place = format!("[{}]{}", key.table, also.unwrap_or_default());
        let (path, written) = (key.path(), key.written());
        Some(match (self.scope.is_tenant(), key.table) {
            (true, _) if key.is_tenant_s() => format!("write it as {path} below [[tenants]]"),
            (true, "") => format!("it holds for the whole daemon: set {written} in the main file"),
            (true, _) => {
                format!("it holds for the whole daemon: set it in {place} of the main file")
            }
            (false, "") => format!("it stands by itself: write {written}"),
            (false, _) => format!("it belongs to {place}"),
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
