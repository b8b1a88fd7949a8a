//! What an app proves itself with at Entra: a client secret, two of them while one takes the other's place, or a token of
//! another issuer that the app registration trusts (workload identity federation).
//!
//! All tenants of one app registration share one [`Credential`], so that what one of them learns (which of two secrets
//! serves) holds for all, and is said once.
//!
//! Invariant: files are read at each use and never kept: whoever rotates them tells nobody.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::sleep;

use super::expiry::Expiry;
use super::secret::{Secret, read_file};
use crate::core::health::failure::{Failure, one_line};
use crate::core::time::ticks::Ticks;

/// How long a file that is just being replaced is given.
const REPLACED_WITHIN: Duration = Duration::from_millis(200);

/// What one app registration proves itself with.
#[derive(Debug)]
pub struct Credential {
    pub(super) kind: Kind,
    second_serves: AtomicBool,
    expiry: Expiry,
}

#[derive(Debug)]
pub(super) enum Kind {
    Secret(Secret),
    /// The second is tried when the first is refused.
    TwoSecrets(Secret, Secret),
    Federated(PathBuf),
}

impl Credential {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            second_serves: AtomicBool::new(false),
            expiry: Expiry::default(),
        }
    }

    pub fn secret(secret: Secret) -> Self {
        Self::new(Kind::Secret(secret))
    }

    /// Two secrets, so that one can take the other's place without a gap.
    pub fn two_secrets(first: Secret, second_file: PathBuf) -> Self {
        Self::new(Kind::TwoSecrets(first, Secret::File(second_file)))
    }

    /// A file that holds another issuer's token, which someone else keeps fresh.
    pub fn federated(token_file: PathBuf) -> Self {
        Self::new(Kind::Federated(token_file))
    }

    /// Changes when a file in use does, whoever replaces or mends it, through symbolic links too; 0 without files.
    pub(super) fn stamp(&self) -> u64 {
        let files = match &self.kind {
            Kind::Secret(secret) => [secret.file(), None],
            Kind::TwoSecrets(first, second) => [first.file(), second.file()],
            Kind::Federated(file) => [Some(file.as_path()), None],
        };
        let mut stamps = files.into_iter().flatten().map(stamp_of).peekable();
        if stamps.peek().is_none() {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        stamps.for_each(|stamp| stamp.hash(&mut hasher));
        hasher.finish()
    }

    /// Until when it is good, where it says so itself: a federated token does, a secret does not. Blocks to read a file that
    /// has changed.
    pub(super) fn expires(&self) -> Option<Ticks> {
        match &self.kind {
            Kind::Federated(file) => self.expiry.of(file, self.stamp()),
            Kind::Secret(_) | Kind::TwoSecrets(..) => None,
        }
    }

    pub(super) fn second_serves(&self) -> bool {
        self.second_serves.load(Ordering::Relaxed)
    }

    /// Notes which of two secrets was accepted. `true` when it is the second, and was the first until now.
    pub(super) fn turned_to_second(&self, second: bool) -> bool {
        let before = self.second_serves.swap(second, Ordering::Relaxed);
        second && !before
    }
}

/// What tells one state of a file from the next; the change time also tells of permissions. `None`: it can't be reached.
fn stamp_of(file: &Path) -> Option<impl Hash + use<>> {
    let data = std::fs::metadata(file).ok()?;
    Some((
        (data.dev(), data.ino(), data.len()),
        (data.mtime(), data.mtime_nsec()),
        (data.ctime(), data.ctime_nsec()),
    ))
}

/// The key of the configuration that names a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    SecretFile,
    SecretVariable,
    NextSecretFile,
    TokenFile,
}

/// Where a proof was read. A tenant may have a credential of its own under the same key: the file says which is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) key: Key,
    /// The file's path, or the variable's name.
    name: String,
}

/// Where systemd puts the copies that it makes at a service's start.
const SYSTEMD_COPIES: &str = "/run/credentials/";
const LONGEST_NAME: usize = 300;

impl Place {
    pub(super) fn file(key: Key, path: &Path) -> Self {
        Self::named(key, &path.display().to_string())
    }

    pub(super) fn variable(name: &str) -> Self {
        Self::named(Key::SecretVariable, name)
    }

    fn named(key: Key, name: &str) -> Self {
        let name = one_line(name, LONGEST_NAME);
        Self { key, name }
    }

    /// For tests that care for the key alone.
    pub(super) fn of(key: Key) -> Self {
        Self::named(key, "somewhere")
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Goes into a hint where something is to be put.
    pub(super) fn hint(&self) -> String {
        let name = &self.name;
        let key = match self.key {
            Key::SecretVariable => {
                return format!(
                    "the environment variable {name} (app.client_secret_env; then restart incidentd)"
                );
            }
            Key::SecretFile => "app.client_secret_file",
            Key::NextSecretFile => "app.client_secret_next_file",
            Key::TokenFile => "app.federated_token_file",
        };
        if name.starts_with(SYSTEMD_COPIES) {
            return format!(
                "the file that the systemd unit's LoadCredential= copies to {name} ({key}; then restart incidentd)"
            );
        }
        format!("{name} ({key})")
    }
}

/// What one request proves the app with.
#[derive(Debug, Clone)]
pub(super) struct Proof {
    pub(super) value: SecretString,
    pub(super) place: Place,
}

impl Proof {
    pub(super) fn same_as(&self, other: &Proof) -> bool {
        self.value.expose_secret() == other.value.expose_secret()
    }
}

/// Another issuer's token, as it is now. A file that is unreadable, empty or cut short may just be being replaced, and
/// is read once more; what it holds then is for Entra to judge.
///
/// # Errors
/// As for [`Secret::read`].
pub(super) async fn read_token(file: &Path) -> Result<Proof, Failure> {
    let now = read_file(file, Key::TokenFile).await;
    match now {
        Ok(token) if is_whole(token.value.expose_secret()) => Ok(token),
        _ => {
            sleep(REPLACED_WITHIN).await;
            read_file(file, Key::TokenFile).await
        }
    }
}

/// Whether this has the three parts of a signed token.
fn is_whole(token: &str) -> bool {
    token.split('.').filter(|part| !part.is_empty()).count() == 3
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn the_stamp_changes_with_a_file_s_content_place_and_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        fs::write(&first, "one").unwrap();
        let credential = Credential::two_secrets(Secret::File(first.clone()), second.clone());
        let mut stamps = vec![credential.stamp()];
        let mut changed = |what: &str| {
            let stamp = credential.stamp();
            assert!(!stamps.contains(&stamp), "{what} left the stamp alone");
            assert_eq!(stamp, credential.stamp(), "{what}: it does not hold still");
            stamps.push(stamp);
        };
        fs::write(&second, "two").unwrap();
        changed("a second file that appears");
        fs::write(&first, "longer").unwrap();
        changed("new content");
        let mode = fs::Permissions::from_mode(0o604);
        fs::set_permissions(&first, mode).unwrap();
        changed("new permissions");
        let replacement = folder.path().join("replacement");
        fs::write(&replacement, "second").unwrap();
        fs::rename(&replacement, &first).unwrap();
        changed("a file put into its place");
        fs::remove_file(&first).unwrap();
        changed("its removal");
    }

    /// As the kubelet replaces a token: the path stays, a link on the way to it changes.
    #[test]
    fn the_stamp_changes_when_a_link_on_the_way_is_swapped() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for day in ["monday", "tuesday"] {
            fs::create_dir(at(day)).unwrap();
            fs::write(at(day).join("token"), "equally long").unwrap();
        }
        symlink("monday", at("data")).unwrap();
        symlink("data/token", at("token")).unwrap();
        let credential = Credential::federated(at("token"));
        let before = credential.stamp();
        symlink("tuesday", at("data.new")).unwrap();
        fs::rename(at("data.new"), at("data")).unwrap();
        assert_ne!(credential.stamp(), before);
    }

    #[test]
    fn of_a_copy_that_systemd_made_the_original_is_named() {
        let hint = |path: &str| Place::file(Key::SecretFile, Path::new(path)).hint();
        assert_eq!(
            hint("/etc/incidentd/fabrikam"),
            "/etc/incidentd/fabrikam (app.client_secret_file)"
        );
        assert_eq!(
            hint("/run/credentials/incidentd.service/secrets_contoso"),
            "the file that the systemd unit's LoadCredential= copies to \
             /run/credentials/incidentd.service/secrets_contoso (app.client_secret_file; then restart incidentd)"
        );
    }

    #[test]
    fn a_credential_without_files_never_changes() {
        let secret = Secret::Variable {
            name: "SECRET".to_owned(),
            value: SecretString::from("s".to_owned()),
        };
        assert_eq!(Credential::secret(secret).stamp(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_is_being_replaced_is_read_once_more() {
        for half_written in ["", " \n", "head.payl", "head.payload."] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("token");
            fs::write(&file, half_written).unwrap();
            let (read, ()) = tokio::join!(read_token(&file), async {
                sleep(REPLACED_WITHIN / 2).await;
                fs::write(&file, "head.payload.signature\n").unwrap();
            });
            let token = read.unwrap().value;
            assert_eq!(token.expose_secret(), "head.payload.signature");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_file_that_stays_empty_names_its_key() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let failure = read_token(file.path()).await.unwrap_err();
        assert!(
            failure.remedy.contains("app.federated_token_file"),
            "{failure:?}"
        );
        assert!(failure.cause.is_some(), "all who share it are one alarm");
        assert!(failure.what.contains("is empty"), "{failure:?}");
    }
}
