use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use tokio::time::sleep;

use super::federated_token::REPLACED_WITHIN;
use super::*;
use crate::core::health::failure::{Health, Reaction};
use crate::microsoft::fuzzing::StoppedClock;
use crate::microsoft::tests::support::http_options;
use crate::settings::SecretSource;

fn credential(credential: Credential) -> AppCredential {
    let app = AppSettings {
        client_id: Uuid::nil(),
        credential,
        not_after: None,
    };
    AppCredential::new(
        &app,
        &http_options(),
        &Clients::new(),
        Arc::new(StoppedClock(Ticks(0))),
    )
    .unwrap()
}

fn one_secret(source: SecretSource) -> AppCredential {
    credential(Credential::Secret {
        current: source,
        next: None,
    })
}

/// Keeps the secret of the first request, and refuses it.
#[derive(Default)]
struct Refusing(parking_lot::Mutex<Option<String>>);

impl TokenRequest for Refusing {
    fn audience(&self) -> &str {
        "https://login.example"
    }

    fn exchange_audience(&self) -> &'static str {
        "api://AzureADTokenExchange"
    }

    fn resource(&self) -> &str {
        "https://graph.microsoft.com"
    }

    fn issued(&self, _token: SecretString, _lifetime: Duration) -> IssuedToken {
        unreachable!("no test here has a managed identity")
    }

    fn send(&self, attempt: Attempt) -> BoxFuture<'_, Result<IssuedToken, Denial>> {
        let secret = attempt.proof.value.expose_secret().to_owned();
        self.0.lock().get_or_insert(secret);
        let refused = Failure::new(Health::Consent, Reaction::Slow, "refused", "none");
        Box::pin(async { Err(refused.into()) })
    }
}

/// The secret of the first request, or why there was none.
async fn read(credential: &AppCredential) -> Result<String, Failure> {
    let request = Refusing::default();
    let refused = credential.request(&request).await;
    let secret = request.0.lock().take();
    secret.ok_or_else(|| refused.expect_err("nothing was sent"))
}

#[test]
fn the_stamp_changes_with_a_file_s_content_place_and_permissions() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    fs::write(&first, "one").unwrap();
    let credential = credential(Credential::Secret {
        current: SecretSource::File(first.clone()),
        next: Some(second.clone()),
    });
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

/// The kubelet replaces a token this way: the path stays, and a link in it changes.
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
    let credential = credential(Credential::Federated(at("token")));
    let before = credential.stamp();
    symlink("tuesday", at("data.new")).unwrap();
    fs::rename(at("data.new"), at("data")).unwrap();
    assert_ne!(credential.stamp(), before);
}

#[test]
fn of_a_copy_that_systemd_made_the_original_is_named() {
    let hint = |path: &str| ProofPlace::file(&client_secret::FILE, Path::new(path)).hint();
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

fn variable(value: &str) -> SecretSource {
    SecretSource::Env {
        name: "SECRET".to_owned(),
        value: SecretString::from(value.to_owned()),
    }
}

#[test]
fn a_credential_without_files_never_changes() {
    assert_eq!(one_secret(variable("s")).stamp(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_being_replaced_is_read_once_more() {
    for half_written in ["", " \n", "head.payl", "head.payload."] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        fs::write(&file, half_written).unwrap();
        let credential = credential(Credential::Federated(file.clone()));
        let (token, ()) = tokio::join!(read(&credential), async {
            sleep(REPLACED_WITHIN / 2).await;
            fs::write(&file, "head.payload.signature\n").unwrap();
        });
        assert_eq!(token.unwrap(), "head.payload.signature");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_file_that_stays_empty_names_its_key() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let credential = credential(Credential::Federated(file.path().to_owned()));
    let failure = read(&credential).await.unwrap_err();
    assert!(
        failure.remedy.contains("app.federated_token_file"),
        "{failure:?}"
    );
    assert!(failure.cause.is_some(), "all who share it are one alarm");
    assert!(failure.what.contains("is empty"), "{failure:?}");
}

async fn read_bytes(bytes: &[u8]) -> Result<String, Failure> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    read(&one_secret(SecretSource::File(file.path().to_owned()))).await
}

#[tokio::test]
async fn line_ends_around_a_secret_are_dropped() {
    for bytes in [
        "s3~cr/t",
        "s3~cr/t\n",
        "s3~cr/t\r\n",
        "\u{feff}s3~cr/t \n\n",
    ] {
        let secret = read_bytes(bytes.as_bytes()).await.unwrap();
        assert_eq!(secret, "s3~cr/t", "from {bytes:?}");
    }
    let secret = read(&one_secret(variable("s3~cr/t\n"))).await.unwrap();
    assert_eq!(secret, "s3~cr/t");
}

#[tokio::test]
async fn a_secret_file_of_no_use_is_a_credential_failure_that_names_the_path() {
    let too_long = vec![b'x'; 64 * 1024 + 1];
    for (bytes, why) in [
        (&b""[..], "is empty"),
        (b"\n", "is empty"),
        (b"canary\nb", "more than one line"),
        (b"\xff\xfe", "not UTF-8"),
        (&too_long, "larger than"),
    ] {
        let failure = read_bytes(bytes).await.unwrap_err();
        assert_eq!(failure.health, Health::Credential);
        assert!(failure.what.contains(why), "{failure:?}");
        let shown = format!("{failure:?}");
        assert!(!shown.contains("canary") && !shown.contains("daemon's user"));
    }
    let absent = one_secret(SecretSource::File("/nonexistent/client-secret".into()));
    let failure = read(&absent).await.unwrap_err();
    assert!(
        failure.what.contains("/nonexistent/client-secret"),
        "{failure:?}"
    );
    assert_eq!(
        (failure.health, failure.reaction),
        (Health::Credential, Reaction::Slow)
    );
}

fn token(claims: &str) -> String {
    format!("aGVhZA.{}.c2lnbmVk\n", URL_SAFE_NO_PAD.encode(claims))
}

/// A federated token's file, and the expiry that is read from it.
struct TokenFile {
    _folder: tempfile::TempDir,
    file: PathBuf,
}

impl TokenFile {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            file: folder.path().join("token"),
            _folder: folder,
        }
    }

    fn expires(&self, content: &str) -> Option<Ticks> {
        fs::write(&self.file, content).unwrap();
        let token = FederatedToken::new(self.file.clone(), &federated_token::FILE);
        token.validity(&|| 1).map(|it| it.until)
    }
}

#[test]
fn the_file_s_token_says_when_it_ends_and_a_new_one_says_it_anew() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let kind = FederatedToken::new(file.clone(), &federated_token::FILE);
    let expires = |stamp| kind.validity(&|| stamp).map(|it| it.until);
    assert_eq!(expires(1), None, "there is no file yet");
    fs::write(&file, token(r#"{"exp":1700000000,"sub":"x"}"#)).unwrap();
    assert_eq!(expires(1), None, "nothing has changed, as far as is known");
    let first = Some(Ticks::from_unix_seconds(1_700_000_000));
    assert_eq!(expires(2), first);
    fs::write(&file, token(r#"{"exp":1700003600}"#)).unwrap();
    assert_eq!(expires(2), first);
    assert_eq!(expires(3), Some(Ticks::from_unix_seconds(1_700_003_600)));
    let a_folder = FederatedToken::new(folder.path().to_owned(), &federated_token::FILE);
    assert_eq!(a_folder.validity(&|| 4), None, "a folder is no token");
}

#[test]
fn what_does_not_say_is_not_known() {
    let file = TokenFile::new();
    for claims in [
        "",
        "{}",
        "[]",
        r#"{"exp":"soon"}"#,
        r#"{"exp":-1}"#,
        r#"{"exp":null}"#,
    ] {
        assert_eq!(file.expires(&token(claims)), None, "{claims}");
    }
    assert_eq!(file.expires("opaque"), None);
}

proptest! {
    #[test]
    fn no_token_panics(text in "[a-zA-Z0-9_.=-]{0,60}", number: i64) {
        let file = TokenFile::new();
        let _ = file.expires(&text);
        let _ = file.expires(&token(&format!("{{\"exp\":{number}}}")));
    }
}

#[test]
fn the_expiry_of_a_client_secret_touches_no_disk() {
    let untouched = || panic!("the file was looked at");
    let file = || SecretSource::File("/nonexistent".into());
    let two = credential(Credential::Secret {
        current: file(),
        next: Some("/nonexistent".into()),
    });
    for credential in [one_secret(file()), two] {
        assert_eq!(credential.kind.validity(&untouched), None);
    }
}
