//! Warns of configuration files that other users of the machine can change, or can read although they hold a password.
//!
//! Only modes are checked. A folder above that keeps others out makes them irrelevant.

use std::collections::BTreeMap;
use std::fs::{Metadata, metadata};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use config::{Value, ValueKind};
use url::Url;

use super::origin::{File, Spot, Table, dotted};
use super::problems::{Diagnosis, scalar};
use super::section::Section;
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

/// Warns of what other users can do to a file: change it, replace it, or read its passwords. `table` is its content.
pub(super) fn look_at_file(path: &Path, file: &File, table: &Table, diagnosis: &mut Diagnosis) {
    let name = &file.name;
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let folder = folder.unwrap_or(Path::new("."));
    if others_may(path, WRITE) {
        let text = format!(
            "every user of this machine can change it, and with it what incidentd does: chmod o-w {name}"
        );
        diagnosis.warn_last(name, text);
    } else if others_may(folder, WRITE) && mode(folder) & STICKY == 0 {
        let folder = tame(&folder.display().to_string());
        let text = format!(
            "every user of this machine can put another file in its place: chmod o-w {folder}"
        );
        diagnosis.warn_last(name, text);
    }
    // Most files hold no password.
    if let Some((key, value)) = password_in("", table)
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
        diagnosis.warn_last(format!("{}: {key}", Spot::of(value, file)), text);
    }
}

/// Warns if other users can add tenants to `tenants_dir`.
pub(super) fn check_tenants_dir(folder: &Path, root: &mut Section<'_>) {
    if others_may(folder, WRITE) {
        let folder = tame(&folder.display().to_string());
        let text = format!("every user of this machine can add tenants to it: chmod o-w {folder}");
        root.warn("tenants_dir", text);
    }
}

/// The first password in a table: its key and its value.
fn password_in<'a>(path: &str, table: &'a Table) -> Option<(String, &'a Value)> {
    let sorted: BTreeMap<&String, &Value> = table.iter().collect();
    let mut entries = sorted.into_iter();
    entries.find_map(|(key, value)| password_below(dotted(path, key), value))
}

fn password_below(path: String, value: &Value) -> Option<(String, &Value)> {
    match &value.kind {
        ValueKind::Table(table) => password_in(&path, table),
        ValueKind::Array(values) => {
            let mut values = values.iter().enumerate();
            values.find_map(|(n, value)| password_below(format!("{path}[{n}]"), value))
        }
        _ => is_password(&path, value).then_some((path, value)),
    }
}

fn is_password(key: &str, value: &Value) -> bool {
    if !key.starts_with("kafka.properties.") && !key.ends_with("api.proxy") {
        return false;
    }
    let text = scalar(value).unwrap_or_default();
    let text = text.trim();
    match key.ends_with("api.proxy") {
        true => Url::parse(text).is_ok_and(|url| url.password().is_some()),
        false => is_secret(key) && !text.is_empty(),
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
