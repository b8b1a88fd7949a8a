//! Keys that nobody asked for: what was probably meant.
//!
//! A key may be misspelt, right in another table, or below a header that its writer did not think of: in TOML a header
//! holds until the next one. All keys are known only after all has been read, so that this comes last.

use super::origin::Spot;
use super::problems::{Problem, Wrong, wrong};
use super::section::{Owner, Scope, dotted};
use super::units::distance;
use crate::core::health::failure::one_line;

/// What a section was given and did not ask for.
pub(super) struct Stray {
    pub scope: Scope,
    /// The section's name.
    pub table: String,
    /// What it did ask for.
    pub known: Vec<Known>,
    /// It is a file of `tenants_dir` without any `[[tenants]]`.
    pub headless: bool,
    pub keys: Vec<StrayKey>,
}

pub(super) struct StrayKey {
    pub key: String,
    pub spot: Spot,
    pub is_table: bool,
}

/// A key that there is.
pub(super) struct Known {
    pub table: String,
    pub key: String,
    pub is_table: bool,
}

impl Known {
    /// As it is written: `[kafka.properties]`, `overlap`.
    fn written(&self) -> String {
        match (self.is_table, self.key.as_str()) {
            (true, "tenants") => "[[tenants]]".into(),
            (true, key) => format!("[{}]", dotted(&self.table, key)),
            (false, key) => key.into(),
        }
    }
}

/// Keys that people try, and what to do instead.
const HINTS: [(&str, &str); 3] = [
    (
        "client_secret",
        "put the secret into a file that only the daemon can read and name it in client_secret_file, or name an environment \
         variable in client_secret_env",
    ),
    (
        "tenant_id",
        "a tenant's id is the key id below its [[tenants]]",
    ),
    (
        "interval",
        "set schedule in [poll], for example \"every 30s\"",
    ),
];

/// Keys that a tenant has and the main file has not.
const OF_A_TENANT: [&str; 2] = ["id", "name"];

/// One problem for each stray key; those that lack the same `[[tenants]]` are one mistake. `everywhere`: all keys of the
/// main file.
pub(super) fn explain(stray: &Stray, everywhere: &[Known]) -> Vec<Problem> {
    let place = Place { stray, everywhere };
    let mut keys: Vec<&StrayKey> = stray.keys.iter().collect();
    keys.sort_by_key(|key| key.spot.order());
    let mut seen = false;
    keys.retain(|key| !stray.lacks_header(&key.key) || !std::mem::replace(&mut seen, true));
    keys.into_iter().map(|key| place.problem(key)).collect()
}

impl Stray {
    /// A tenant's key with no `[[tenants]]` above it.
    fn lacks_header(&self, key: &str) -> bool {
        match self.scope.owner {
            Owner::Tenant { .. } => false,
            _ if OF_A_TENANT.contains(&key) => true,
            Owner::Daemon => false,
            Owner::Folder => self.headless && may_be_a_tenant_s(key, None),
        }
    }

    /// Whether there may be tenants that could not be seen for this mistake.
    pub fn hides_tenants(&self) -> bool {
        self.keys.iter().any(|StrayKey { key, .. }| {
            self.lacks_header(key) || key == "tenants_dir" || distance(key, "tenants") <= 2
        })
    }
}

struct Place<'a> {
    stray: &'a Stray,
    everywhere: &'a [Known],
}

impl Place<'_> {
    /// Its value is not shown: nobody knows what it is, so that it may be a secret.
    fn problem(&self, key: &StrayKey) -> Problem {
        let path = dotted(&self.stray.table, &one_line(&key.key, 80));
        let wrong = self.explain(key);
        match &self.stray.scope.owner {
            Owner::Tenant { index, label, .. } => {
                Problem::at(&key.spot, format!("tenants[{index}].{path}"), wrong).of(label.as_ref())
            }
            Owner::Daemon | Owner::Folder => Problem::at(&key.spot, path, wrong),
        }
    }

    fn explain(&self, key: &StrayKey) -> Wrong {
        let name = key.key.as_str();
        if name == "tenants_dir" {
            return self.tenants_dir();
        }
        if self.stray.lacks_header(name) {
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
        let is_at_root = |known: &Known| known.table.is_empty() && known.key == name;
        if matches!(self.stray.scope.owner, Owner::Folder) && self.everywhere.iter().any(is_at_root)
        {
            return beside_tenants(name);
        }
        if self.stray.table == "kafka" && (key.is_table || name.contains('.')) && !self.is_tenant()
        {
            return wrong(
                self.no_such(key),
                "librdkafka's own properties are set below [kafka.properties]",
            );
        }
        let remedy = self
            .elsewhere(name)
            .or_else(|| self.misspelt(key))
            .unwrap_or_else(|| self.all_known());
        wrong(self.no_such(key), remedy)
    }

    fn is_tenant(&self) -> bool {
        matches!(self.stray.scope.owner, Owner::Tenant { .. })
    }

    fn no_such(&self, key: &StrayKey) -> String {
        let kind = if key.is_table { "table" } else { "key" };
        match (&self.stray.scope.owner, self.stray.table.as_str()) {
            (Owner::Tenant { .. }, "") => format!("a tenant has no such {kind}"),
            (Owner::Tenant { .. }, table) => format!("a tenant has no such {kind} in {table}"),
            (_, "") => format!("there is no such {kind}"),
            (_, table) => format!("there is no such {kind} in [{table}]"),
        }
    }

    fn tenants_dir(&self) -> Wrong {
        match (&self.stray.scope.owner, self.stray.table.as_str()) {
            (Owner::Folder, _) => wrong(
                "it is a key of the main file",
                "remove it here; only the main file names a folder of tenants",
            ),
            (Owner::Tenant { .. }, _) => wrong(
                "it stands below [[tenants]], so that it counts as the tenant's",
                "move it to the top of the main file, above the first line in brackets",
            ),
            (Owner::Daemon, table) => wrong(
                format!("it stands below [{table}], so that it counts as a key of that table"),
                "move it to the top of the file, above the first line in brackets",
            ),
        }
    }

    /// Where a key of this very name belongs.
    fn elsewhere(&self, name: &str) -> Option<String> {
        let mut found = self.everywhere.iter().filter(|known| {
            known.key == name && (self.is_tenant() || known.table != self.stray.table)
        });
        let known = found.next()?;
        let also = found.next().map(|other| format!(" or [{}]", other.table));
        let place = match known.table.as_str() {
            "" => None,
            table => Some(format!("[{table}]{}", also.unwrap_or_default())),
        };
        Some(match (self.is_tenant(), place) {
            (true, _) if may_be_a_tenant_s(&known.table, Some(name)) => {
                format!(
                    "write it as {} below [[tenants]]",
                    dotted(&known.table, name)
                )
            }
            (true, Some(place)) => {
                format!("it holds for the whole daemon: set it in {place} of the main file")
            }
            (true, None) => format!(
                "it holds for the whole daemon: set {} in the main file",
                known.written()
            ),
            (false, Some(place)) => format!("it belongs to {place}"),
            (false, None) => format!("it stands by itself: write {}", known.written()),
        })
    }

    fn misspelt(&self, key: &StrayKey) -> Option<String> {
        if let Some(known) = nearest(&key.key, &self.stray.known, 2) {
            return Some(format!("did you mean {}?", known.written()));
        }
        // Elsewhere more is near by chance.
        let most = if key.key.len() >= 8 { 2 } else { 1 };
        let known = nearest(&key.key, self.everywhere, most).filter(|_| !self.is_tenant())?;
        let name = known.written();
        Some(match known.is_table || known.table.is_empty() {
            true => format!("did you mean {name}?"),
            false => format!("did you mean {name}, which belongs to [{}]?", known.table),
        })
    }

    fn all_known(&self) -> String {
        let known: Vec<String> = self.stray.known.iter().map(Known::written).collect();
        format!("remove it; here are known: {}", known.join(", "))
    }
}

/// The key that `name` was probably meant for: at most so many letters apart, and fewer than half of its own.
fn nearest<'a>(name: &str, among: &'a [Known], most: usize) -> Option<&'a Known> {
    let near = among
        .iter()
        .min_by_key(|known| distance(name, &known.key))?;
    let apart = distance(name, &near.key);
    (apart <= most && apart < near.key.len() / 2).then_some(near)
}

/// A table of the main file at the root of a tenants' file.
fn beside_tenants(name: &str) -> Wrong {
    let remedy = match may_be_a_tenant_s(name, None) {
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

/// What a tenant may set for itself: whole tables, or one key of them.
pub(super) fn may_be_a_tenant_s(table: &str, key: Option<&str>) -> bool {
    match (table, key) {
        ("app" | "api" | "poll" | "kafka", None) => true,
        ("app" | "api", Some(_)) => true,
        ("poll", Some(key)) => !matches!(key, "max_concurrent" | "max_in_flight"),
        ("kafka", Some(key)) => key == "topic",
        _ => false,
    }
}
