//! Files that hold an app's credential: a secret, or another issuer's token.
//!
//! When the service starts, systemd makes copies of its secrets in a folder that exists only while it runs. A command
//! in a shell is not the service: if there is no copy, it reads the original, so that the configuration can be tried
//! before the first start.
//!
//! A file's name is shown only if it is certainly a path: a secret pasted into the wrong key must not reach a log.
//! Invariant: the content is never shown.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::Environment;
use super::access;
use super::layers::read_regular;
use super::problems::{Wrong, wrong};
use super::section::Section;
use super::service_copies::{
    COPIES, COPIES_VARIABLE, CREDENTIALS, FROM_FOLDER, NAMED_BY_UNIT, ORIGINALS, original,
};
use crate::core::health::failure::one_line;
use crate::core::secret_text::{MAX_FILE, NoSecret, secret_in};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    Secret,
    /// May be missing or empty: it exists only during a rotation, and the daemon has to start before and after it.
    NextSecret,
    Token,
    /// A certificate, as PEM. It is public.
    Certificate,
    /// A private key, as PEM; the same file may hold its certificate.
    Key,
}

impl FileKind {
    fn is_public(self) -> bool {
        matches!(self, Self::Token | Self::Certificate)
    }

    fn is_pem(self) -> bool {
        matches!(self, Self::Certificate | Self::Key)
    }

    /// What the file holds.
    fn content(self) -> &'static str {
        match self {
            Self::Secret | Self::NextSecret => "the secret's Value (not its ID)",
            Self::Token => "the token",
            Self::Certificate => "the certificate (PEM)",
            Self::Key => "the certificate's private key (PEM)",
        }
    }
}

/// Reads a key that names such a file. Returns the path to read.
pub(super) fn read(
    section: &mut Section<'_>,
    key: &'static str,
    kind: FileKind,
) -> Option<PathBuf> {
    let context = section.scope.context;
    let file = section.own(key, |text| {
        let path = context.path(text)?;
        Ok(CredentialFile::new(path, kind, context.environment))
    })?;
    match file.check() {
        Err(wrong) => section.refuse_credential(key, wrong)?,
        Ok(looks_like_id) => {
            // A warning and no error: Microsoft may change what a secret's Value looks like.
            if looks_like_id {
                let what = "holds a GUID, which looks like the secret's ID and not its Value";
                section.warn(key, format!("{}: {}", file.what(what), file.replace()));
            }
            if let Some(text) = file.caveat(Path::new(COPIES).exists()) {
                section.warn(key, text);
            }
        }
    }
    if !kind.is_public() && access::others_may(&file.read, access::ANY) {
        let what = format!("reach the secret in {}", file.read.display());
        section.warn(key, access::everyone_can_read(&what, &file.read));
    }
    Some(file.read)
}

struct CredentialFile {
    kind: FileKind,
    /// The path in the configuration.
    named: PathBuf,
    read: PathBuf,
    /// The file that it is a copy of, if it is a copy of the service's.
    original: Option<PathBuf>,
    /// Whether this process is the service.
    in_service: bool,
}

impl CredentialFile {
    fn new(named: PathBuf, kind: FileKind, environment: &Environment) -> Self {
        // Other services and console logins have the variable too, with folders of their own.
        let in_service = environment
            .get(COPIES_VARIABLE)
            .is_some_and(|folder| folder == COPIES);
        let original = original(&named);
        let is_missing =
            || matches!(named.metadata(), Err(error) if error.kind() == ErrorKind::NotFound);
        let read = match &original {
            Some(original) if !in_service && is_missing() => original.clone(),
            _ => named.clone(),
        };
        Self {
            kind,
            named,
            read,
            original,
            in_service,
        }
    }

    /// Whether the content looks like the ID that Microsoft Entra shows beside a secret's Value. Nothing else about the
    /// content is ever shown.
    fn check(&self) -> Result<bool, Wrong> {
        let is_next = self.kind == FileKind::NextSecret;
        let content = match read_regular(&self.read, MAX_FILE) {
            Ok(content) => content,
            Err(_) if is_next && self.read.metadata().is_err() => return Ok(false),
            Err(error) => return Err(self.unreadable(&error)),
        };
        match secret_in(&content) {
            _ if self.kind.is_pem() && !content.trim_ascii().is_empty() => Ok(false),
            Ok(text) => Ok(!self.kind.is_public() && Uuid::try_parse(text).is_ok()),
            Err(NoSecret::Empty) if is_next => Ok(false),
            Err(NoSecret::Empty) => Err(wrong(self.what("is empty"), self.fill())),
            Err(NoSecret::NotText) => Err(wrong(self.what("is not text"), self.replace())),
            Err(other) => Err(wrong(self.what(&other.to_string()), self.replace())),
        }
    }

    /// A sentence about the file that was read.
    fn what(&self, predicate: &str) -> String {
        if self.read == self.named {
            return format!("the file {predicate}");
        }
        let original = shown(&self.read);
        format!("{original}, from which systemd makes this copy, {predicate}")
    }

    fn unreadable(&self, error: &std::io::Error) -> Wrong {
        let is_forbidden = error.kind() == ErrorKind::PermissionDenied;
        let remedy = match self.original {
            Some(_) if is_forbidden && !self.in_service => {
                "it is for root alone: type the command as root (sudo)"
            }
            Some(_) => &self.fill(),
            None if self.named.starts_with(CREDENTIALS) => {
                "systemd puts it there while the service runs, from the file that the unit's LoadCredential names; until then \
                 name that file to commands, as in: INCIDENTD__APP__CLIENT_SECRET_FILE=/etc/incidentd/client-secret incidentd \
                 check"
            }
            None if is_forbidden => "let the user who runs incidentd read it",
            None if self.kind == FileKind::Token => {
                "give the path at which the token is kept (in Kubernetes AZURE_FEDERATED_TOKEN_FILE says it)"
            }
            None => &format!(
                "give the path of a file that holds {}, and nothing else",
                self.kind.content()
            ),
        };
        wrong(self.what(&format!("can't be read: {error}")), remedy)
    }

    /// What to do about a file that is missing or empty.
    fn fill(&self) -> String {
        let value = self.kind.content();
        let unit = self.unit_has_to_name_it().unwrap_or_default();
        match self.original.as_deref().map(shown) {
            Some(original) if self.read != self.named => {
                format!("write {value} into {original}, a file of root's alone (mode 0600){unit}")
            }
            Some(original) => format!(
                "write {value} into {original}, then: systemctl restart incidentd. systemd makes its copies when the service \
                 starts, and not when it reloads{unit}"
            ),
            None if self.kind == FileKind::Token => {
                "see to it that the issuer of the token writes it there before the daemon starts"
                    .into()
            }
            None if self.named.starts_with(CREDENTIALS) => format!(
                "write {value} into the file that the unit's LoadCredential names, and restart the service"
            ),
            None => format!("write {value} into it"),
        }
    }

    fn replace(&self) -> String {
        if self.kind == FileKind::Token {
            return "give the path of a file that holds a token (JWT), and nothing else".into();
        }
        let file = self.original.as_deref().map_or("it".into(), shown);
        let value = self.kind.content();
        format!("write {value}, and nothing else, into {file}")
    }

    /// A warning if this command can read the file and the service can't.
    fn caveat(&self, service_runs: bool) -> Option<String> {
        if self.read == self.named || !self.read.exists() {
            return None;
        }
        let read = shown(&self.read);
        match self.unit_has_to_name_it() {
            Some(unit) => Some(format!("{read} can be read{unit}")),
            None if service_runs => Some(format!(
                "the service runs, and has no copy of {read} yet: systemctl restart incidentd makes one, a reload does not"
            )),
            None => None,
        }
    }

    fn unit_has_to_name_it(&self) -> Option<String> {
        let (original, name) = (self.original.as_ref()?, self.named.file_name()?.to_str()?);
        if NAMED_BY_UNIT.contains(&name) || name.starts_with(FROM_FOLDER) {
            return None;
        }
        let line = format!("LoadCredential={name}:{}", original.display());
        let line = one_line(&line, 300);
        Some(format!(
            "; the unit as it is shipped makes no copy of that: with systemctl edit incidentd add [Service] {line}, or put the \
             file into {ORIGINALS}/secrets as NAME and name {COPIES}/{FROM_FOLDER}NAME here"
        ))
    }
}

fn shown(path: &Path) -> String {
    one_line(&path.display().to_string(), 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: &str = include_str!("../../systemd/incidentd.service");

    #[test]
    fn a_copy_is_made_of_what_the_unit_s_load_credential_names() {
        let lines = UNIT
            .lines()
            .filter_map(|line| line.strip_prefix("LoadCredential="));
        let mut files = Vec::new();
        for line in lines {
            let (name, path) = line.split_once(':').expect("a name and a path");
            let copies = Path::new(COPIES);
            if name == "secrets" {
                // systemd.exec(5): of a folder, each file's copy is called after the folder's credential, "_" and the file.
                let copy = copies.join("secrets_contoso");
                assert_eq!(original(&copy), Some(Path::new(path).join("contoso")));
            } else {
                assert_eq!(original(&copies.join(name)), Some(path.into()));
                files.push(name);
            }
        }
        assert_eq!(files, NAMED_BY_UNIT);
        assert!(UNIT.contains(COPIES), "the unit is called otherwise");
    }

    #[test]
    fn what_is_no_copy_of_the_service_s_has_no_original() {
        for path in [
            "/etc/incidentd/client-secret",
            "/run/credentials/other.service/client-secret",
            "/run/credentials/incidentd.service",
            "/run/credentials/incidentd.service/..",
            "/run/credentials/incidentd.service/a/b",
            "/run/credentials/incidentd.service/secrets_",
            "client-secret",
        ] {
            assert_eq!(original(Path::new(path)), None, "{path}");
        }
    }

    /// The file that is read, by a process with that variable.
    fn read_by(variable: Option<&str>) -> PathBuf {
        let environment = variable.map(|folder| (COPIES_VARIABLE.to_owned(), folder.to_owned()));
        let copy = Path::new(COPIES).join("secrets_nobody-of-this-name");
        CredentialFile::new(copy, FileKind::Secret, &environment.into_iter().collect()).read
    }

    #[test]
    fn only_outside_of_the_service_the_original_of_a_missing_copy_is_read() {
        let original = Path::new("/etc/incidentd/secrets/nobody-of-this-name");
        assert_eq!(read_by(None), original);
        for elsewhere in ["/run/credentials/getty@tty1.service", ""] {
            assert_eq!(read_by(Some(elsewhere)), original, "{elsewhere}");
        }
        assert_eq!(
            read_by(Some(COPIES)),
            Path::new(COPIES).join("secrets_nobody-of-this-name")
        );
    }

    fn checked(content: &[u8], kind: FileKind) -> Result<bool, Wrong> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), content).expect("it is written");
        CredentialFile::new(file.path().into(), kind, &Environment::new()).check()
    }

    #[test]
    fn a_line_break_within_a_secret_is_refused_and_one_behind_it_is_not() {
        for kind in [FileKind::Secret, FileKind::NextSecret, FileKind::Token] {
            for good in ["canary~a\n", "\u{feff}canary~a\r\n\n"] {
                assert_eq!(checked(good.as_bytes(), kind), Ok(false), "{good:?}");
            }
            for bad in ["canary~a\nb", "canary~a\r\nb\r\n", "canary~a\rb"] {
                let wrong = checked(bad.as_bytes(), kind).expect_err(bad);
                assert!(wrong.what.contains("more than one line"), "{}", wrong.what);
                assert!(!format!("{wrong:?}").contains("canary"));
            }
        }
    }

    #[test]
    fn a_secret_that_looks_like_an_id_is_told_apart() {
        let id = b"0f0f0f0f-0000-4000-8000-000000000001\n";
        assert_eq!(checked(id, FileKind::Secret), Ok(true));
        assert_eq!(checked(id, FileKind::NextSecret), Ok(true));
        assert_eq!(checked(b"0f0f0f0f~0000-4000", FileKind::Secret), Ok(false));
    }

    #[test]
    fn who_reads_is_named_only_where_that_is_what_is_wrong() {
        let folder = tempfile::tempdir().expect("a folder");
        let large = folder.path().join("large");
        std::fs::write(&large, vec![b'x'; 65 << 10]).expect("it is written");
        for path in [folder.path(), &large, &folder.path().join("absent")] {
            for kind in [FileKind::Secret, FileKind::Token] {
                let file = CredentialFile::new(path.into(), kind, &Environment::new());
                let remedy = file.check().err().map(|wrong| wrong.remedy);
                let remedy = remedy.expect("it is refused");
                assert!(remedy.starts_with("give the path"), "{remedy}");
                assert!(!remedy.contains("the user"), "{remedy}");
            }
        }
    }

    #[test]
    fn who_may_not_read_a_secret_of_the_service_s_is_told_that_root_may() {
        let forbidden = std::io::Error::from(ErrorKind::PermissionDenied);
        let remedy = |path: &str| {
            let file = CredentialFile::new(path.into(), FileKind::Secret, &Environment::new());
            file.unreadable(&forbidden).remedy
        };
        let root = "it is for root alone: type the command as root (sudo)";
        assert_eq!(
            remedy("/run/credentials/incidentd.service/client-secret"),
            root
        );
        assert!(remedy("/etc/elsewhere/client-secret").contains("let the user who runs incidentd"));
    }

    #[test]
    fn what_the_service_will_not_have_is_warned_of_where_it_can_be_read_here() {
        let original = tempfile::NamedTempFile::new().expect("a file");
        let caveat = |name: &str, service_runs| {
            let mut file = CredentialFile::new(
                Path::new(COPIES).join(name),
                FileKind::Secret,
                &Environment::new(),
            );
            // What it says it is: the original, which is there.
            file.read = original.path().to_owned();
            file.caveat(service_runs).unwrap_or_default()
        };
        let line = "LoadCredential=fabrikam-secret:/etc/incidentd/fabrikam-secret";
        let own = caveat("fabrikam-secret", false);
        assert!(own.contains(line), "{own}");
        for name in NAMED_BY_UNIT.into_iter().chain(["secrets_fabrikam"]) {
            assert_eq!(caveat(name, false), "", "{name}");
            let late = caveat(name, true);
            assert!(late.contains("systemctl restart incidentd"), "{late}");
        }
    }
}
