//! The copies that systemd makes of the service's secrets, and the files that it makes them of.

use std::path::{Component, Path, PathBuf};

/// Folder of the copies that systemd makes for a unit's LoadCredential.
pub(super) const CREDENTIALS: &str = "/run/credentials";
/// The same for incidentd's own unit.
pub(super) const COPIES: &str = "/run/credentials/incidentd.service";
/// The variable in which systemd gives a service that folder.
pub(super) const COPIES_VARIABLE: &str = "CREDENTIALS_DIRECTORY";
/// Folder of the originals.
pub(super) const ORIGINALS: &str = "/etc/incidentd";
/// The files that the shipped unit names, besides those of the folder `secrets`.
pub(super) const NAMED_BY_UNIT: [&str; 2] = ["client-secret", "client-secret-next"];
pub(super) const FROM_FOLDER: &str = "secrets_";

/// The original of a copy; `None` if the path is no copy of the service's.
pub(super) fn original(copy: &Path) -> Option<PathBuf> {
    let mut parts = copy.strip_prefix(COPIES).ok()?.components();
    let (Some(Component::Normal(name)), None) = (parts.next(), parts.next()) else {
        return None;
    };
    let name = name.to_str()?;
    let originals = Path::new(ORIGINALS);
    match name.strip_prefix(FROM_FOLDER) {
        Some("") => None,
        Some(name) => Some(originals.join("secrets").join(name)),
        None => Some(originals.join(name)),
    }
}

/// Whether a text is a path and no secret in the wrong key: there is such a file, or the unit makes one.
pub(super) fn is_surely_a_path(path: &Path) -> bool {
    original(path).is_some() || path.exists()
}
