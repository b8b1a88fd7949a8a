//! Warns of configuration files that other users of the machine can change, or can read although they hold a password.
//!
//! Only modes are checked. A folder above that keeps others out makes them irrelevant.

use std::fs::{Metadata, metadata};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use config::Value;
use url::Url;

use super::origin::{Spot, Table, leaves};
use super::problems::{Diagnosis, scalar};
use super::section::Section;
use crate::core::format::tame;
use crate::core::naming::shell_word;
use crate::settings::oauth;

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

/// What other users can do to a file or a folder, and the command that ends it.
fn everyone_can(what: &str, chmod: &str, path: &Path) -> String {
    let path = shell_word(&tame(&path.display().to_string()));
    format!("every user of this machine can {what}: chmod {chmod} {path}")
}

/// The same for a file that only the daemon has to read.
pub(super) fn everyone_can_read(what: &str, path: &Path) -> String {
    let warning = everyone_can(what, "o=", path);
    format!("{warning}, and chown it to the user or the group that incidentd runs as")
}

/// Warns of what other users can do to a file: change it, replace it, or read its passwords. `table` is its content.
pub(super) fn look_at_file(path: &Path, file: &Spot, table: &Table, diagnosis: &mut Diagnosis) {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let folder = folder.unwrap_or(Path::new("."));
    if others_may(path, WRITE) {
        let what = "change it, and with it what incidentd does";
        diagnosis.warn_last(file, everyone_can(what, "o-w", path));
    } else if others_may(folder, WRITE) && mode(folder) & STICKY == 0 {
        let what = "put another file in its place";
        diagnosis.warn_last(file, everyone_can(what, "o-w", folder));
    }
    if !others_may(path, READ) {
        return;
    }
    let passwords = leaves("", table)
        .into_iter()
        .filter(|(key, value)| is_password(key, value))
        .map(|(key, value)| (file.of(value), key));
    if let Some((spot, key)) = passwords.min_by_key(|(spot, _)| spot.order) {
        let mut text = everyone_can_read("read the password in it", path);
        if !key.starts_with("tenants[") {
            let variable = key.to_uppercase().replace('.', "__");
            text += &format!("; or set it in the environment instead, as INCIDENTD__{variable}");
        }
        diagnosis.warn_last(format!("{spot}: {key}"), text);
    }
}

/// Warns if other users can add tenants to `tenants_dir`.
pub(super) fn check_tenants_dir(folder: &Path, root: &mut Section<'_>) {
    if others_may(folder, WRITE) {
        let text = everyone_can("add tenants to it", "o-w", folder);
        root.warn("tenants_dir", text);
    }
}

fn is_password(key: &str, value: &Value) -> bool {
    if !key.starts_with("kafka.properties.") && !key.ends_with("api.proxy") {
        return false;
    }
    let text = scalar(value).unwrap_or_default();
    match key.ends_with("api.proxy") {
        true => Url::parse(text.trim()).is_ok_and(|url| url.password().is_some()),
        false => is_secret(key) && !text.trim().is_empty(),
    }
}

/// Whether a property of librdkafka holds a password, a client secret or a private key.
fn is_secret(property: &str) -> bool {
    let property = property.to_lowercase();
    let words = ["password", "passphrase", "secret", "jaas"];
    let is_key = property.contains("key") && property.ends_with(".pem");
    let names_file = property.ends_with(oauth::SECRET_FILE);
    is_key || (!names_file && words.iter().any(|word| property.contains(word)))
}
