//! Warns of configuration files that other users of the machine can change, or can read although they hold a password.
//!
//! Only modes are checked. A folder above that keeps others out makes them irrelevant.

use std::fs::{Metadata, metadata};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use config::{Map, Value, ValueKind};
use url::Url;

use super::origin::{File, Spot, dotted};
use super::problems::{Diagnosis, scalar};
use super::section::ConfigSection;
use crate::core::format::tame;

const READ: u32 = 0o004;
const WRITE: u32 = 0o002;
const PASS: u32 = 0o001;
pub(super) const ANY: u32 = 0o007;
/// In such a folder only its owner can remove a file.
const STICKY: u32 = 0o1000;

fn mode(path: &Path) -> u32 {
    let mode = |there: Metadata| there.permissions().mode();
    metadata(path).map_or(0, mode)
}

/// Whether users outside owner and group have one of the permissions `bits`, and can reach the file.
pub(super) fn others_may(path: &Path, bits: u32) -> bool {
    // A file without these permissions, the usual case, takes one system call.
    mode(path) & bits != 0
        && path.canonicalize().is_ok_and(|path| {
            path.ancestors()
                .skip(1)
                .all(|folder| mode(folder) & PASS != 0)
        })
}

/// A warning and its place.
pub(super) struct Exposed {
    place: String,
    text: String,
}

/// What other users can do to a file: change it, replace it, or read its passwords. `table` is its content.
pub(super) fn look_at_file(path: &Path, file: &File, table: &Map<String, Value>) -> Vec<Exposed> {
    let name = &file.name;
    let mut exposed = Vec::new();
    let mut add = |place: String, text: String| exposed.push(Exposed { place, text });
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let folder = folder.unwrap_or(Path::new("."));
    if others_may(path, WRITE) {
        let text = format!(
            "every user of this machine can change it, and with it what incidentd does: chmod o-w {name}"
        );
        add(name.to_string(), text);
    } else if others_may(folder, WRITE) && mode(folder) & STICKY == 0 {
        let folder = tame(&folder.display().to_string());
        let text = format!(
            "every user of this machine can put another file in its place: chmod o-w {folder}"
        );
        add(name.to_string(), text);
    }
    // Most files hold no password.
    if let Some((key, spot)) = find_in("", table, file)
        && others_may(path, READ)
    {
        let variable = match key.starts_with("tenants[") {
            true => String::new(),
            false => format!(
                "; or set it in the environment instead, as INCIDENTD__{}",
                key.to_uppercase().replace('.', "__")
            ),
        };
        let text = format!(
            "every user of this machine can read the password in it: chmod o= {name}, and chown it to the user or the \
             group that incidentd runs as{variable}"
        );
        add(format!("{spot}: {key}"), text);
    }
    exposed
}

/// Adds these warnings after those about single keys.
pub(super) fn warn(exposed: Vec<Exposed>, diagnosis: &mut Diagnosis) {
    for Exposed { place, text } in exposed {
        diagnosis.warn(place, text);
    }
}

/// Warns if other users can add tenants to `tenants_dir`.
pub(super) fn check_tenants_dir(folder: &Path, root: &mut ConfigSection<'_>) {
    if others_may(folder, WRITE) {
        let folder = tame(&folder.display().to_string());
        let text = format!("every user of this machine can add tenants to it: chmod o-w {folder}");
        root.warn("tenants_dir", text);
    }
}

/// The first password in a table: its key and its place.
fn find_in(path: &str, table: &Map<String, Value>, file: &File) -> Option<(String, Spot)> {
    let mut keys: Vec<_> = table.iter().collect();
    keys.sort_by_key(|(key, _)| key.as_str());
    let mut found = keys.into_iter();
    found.find_map(|(key, value)| find_below(dotted(path, key), value, file))
}

fn find_below(path: String, value: &Value, file: &File) -> Option<(String, Spot)> {
    let is_property = || path.starts_with("kafka.properties.") && is_secret(&path);
    match &value.kind {
        ValueKind::Table(table) => find_in(&path, table, file),
        ValueKind::Array(values) => {
            let mut found = values.iter().enumerate();
            found.find_map(|(n, value)| find_below(format!("{path}[{n}]"), value, file))
        }
        ValueKind::String(text) if path.ends_with("api.proxy") && has_password(text) => {
            Some((path, Spot::of(value, file)))
        }
        _ if is_property() && scalar(value).is_some_and(|text| !text.trim().is_empty()) => {
            Some((path, Spot::of(value, file)))
        }
        _ => None,
    }
}

/// Whether a property of librdkafka holds a password, a client secret or a private key.
fn is_secret(property: &str) -> bool {
    let property = property.to_lowercase();
    let of = |word: &str| property.contains(word);
    of("password")
        || of("passphrase")
        || of("secret")
        || of("jaas")
        || (of("key") && property.ends_with(".pem"))
}

fn has_password(proxy: &str) -> bool {
    Url::parse(proxy.trim()).is_ok_and(|url| url.password().is_some())
}
