//! Client secrets: where they are read from, and how they (and assertions) are kept out of every text.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::credential::{Key, Place, Proof};
use super::files::{self, FileError, PATIENCE};
use crate::core::health::failure::{Failure, Health, Reaction, one_line};

const MAX_FILE: u64 = 64 << 10;
const REDACTED: &str = "[redacted]";
/// Secrets of at least so many bytes are cut out in pieces, too.
const LONG: usize = 32;
/// Bytes of the shortest piece that is cut out: fewer are no help to anyone who guesses the rest, and may be a word.
const PIECE: usize = 16;

/// Where a client secret comes from.
#[derive(Debug, Clone)]
pub enum Secret {
    /// Read anew at each token request, so that a rotated file needs no restart.
    File(PathBuf),
    /// A variable of the environment, as it was at the process's start.
    Variable { name: String, value: SecretString },
}

impl Secret {
    /// The secret without the line end that mounted files and shells add.
    ///
    /// # Errors
    /// The file is missing, unreadable, empty, not UTF-8, of several lines or larger than 64 KiB: `credential`, naming the path.
    pub(super) async fn read(&self) -> Result<Proof, Failure> {
        self.read_as(Key::SecretFile).await
    }

    /// The same for the second of two secrets.
    pub(super) async fn read_as_next(&self) -> Result<Proof, Failure> {
        self.read_as(Key::NextSecretFile).await
    }

    async fn read_as(&self, key: Key) -> Result<Proof, Failure> {
        match self {
            Secret::Variable { name, value } => Ok(Proof {
                value: trimmed(value.expose_secret()),
                place: Place::variable(name),
            }),
            Secret::File(path) => read_file(path, key).await,
        }
    }

    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Secret::File(path) => Some(path),
            Secret::Variable { .. } => None,
        }
    }
}

/// A secret never begins or ends with white space; a byte-order mark is what some editors put first.
fn trimmed(text: &str) -> SecretString {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    SecretString::from(text.trim().to_owned())
}

pub(super) async fn read_file(path: &Path, key: Key) -> Result<Proof, Failure> {
    let place = Place::file(key, path);
    let bytes = match files::read(path, MAX_FILE + 1).await {
        Ok(bytes) => bytes,
        Err(FileError::Busy) => return Err(not_read(&place)),
        // A disk that hangs must not be asked here: it would hold up all tenants.
        Err(FileError::Silent) => return Err(silent(&place)),
        Err(FileError::Failed(error)) => {
            let why = format!("can't be read: {}", one_line(&error.to_string(), 100));
            let forbidden = error.kind() == io::ErrorKind::PermissionDenied;
            return Err(match key {
                Key::NextSecretFile if !path.exists() => no_second(&why),
                _ if forbidden => forbidden_to_read(&place, &why),
                _ => unusable(&place, &why),
            });
        }
    };
    if bytes.len() as u64 > MAX_FILE {
        return Err(unusable(&place, "is larger than 64 KiB"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| unusable(&place, "is not UTF-8 text"))?;
    let value = trimmed(text);
    if value.expose_secret().is_empty() {
        return Err(unusable(&place, "is empty"));
    }
    if value.expose_secret().contains(['\n', '\r']) {
        return Err(unusable(&place, "has more than one line"));
    }
    Ok(Proof { value, place })
}

/// That the second secret's file is not there is no mistake of the configuration: what stands for its path may be the
/// secret itself, and is not shown.
fn no_second(why: &str) -> Failure {
    Failure::new(
        Health::Credential,
        Reaction::Slow,
        format!("the file of app.client_secret_next_file {why}"),
        "put the new secret's Value into the file that app.client_secret_next_file names, and let the daemon's user read it",
    )
    .caused_by("no second client secret")
}

fn unusable(place: &Place, why: &str) -> Failure {
    let hint = place.hint();
    let remedy = match place.key {
        Key::TokenFile => format!(
            "let what issues the token (in Kubernetes, the projected service account token) write it to {hint}"
        ),
        _ => format!("put the secret's Value, and nothing else, into {hint}"),
    };
    failed(place, why, remedy)
}

fn forbidden_to_read(place: &Place, why: &str) -> Failure {
    let remedy = format!("let the daemon's user read {}", place.hint());
    failed(place, why, remedy)
}

/// The disk may answer again, and nothing is known of what the file holds.
fn silent(place: &Place) -> Failure {
    let why = format!("can't be read: its disk did not answer within {PATIENCE:?}");
    let remedy = format!(
        "check the disk, or the network share, that holds {}",
        place.hint()
    );
    failed(place, &why, remedy)
}

/// Not the file's fault, nor that of what it holds.
fn not_read(place: &Place) -> Failure {
    let file = file_of(place);
    Failure::new(
        Health::Unreachable,
        Reaction::Backoff,
        format!("{file} was not read within {PATIENCE:?}: other files that do not answer keep all the daemon's readers"),
        "nothing to do for this tenant; look for a disk or a network share that does not answer, and for what else keeps \
         this machine busy",
    )
    .caused_by("no reader for files")
}

fn file_of(place: &Place) -> String {
    let path = place.name();
    match place.key {
        Key::TokenFile => format!("the federated token's file {path}"),
        _ => format!("the client secret's file {path}"),
    }
}

fn failed(place: &Place, why: &str, remedy: String) -> Failure {
    let path = place.name();
    let what = format!("{} {why}", file_of(place));
    Failure::new(Health::Credential, Reaction::Slow, what, remedy)
        .caused_by(format!("no credential in {path}"))
}

/// `text` without `secret`, as [`scrub_all`].
pub(super) fn scrub(text: &str, secret: &str) -> String {
    scrub_all(text, &[secret])
}

/// `text` without any of `secrets`, and without any piece of 16 bytes or more of one that has 32 or more. Goes before any
/// cutting of the text: afterwards half a secret would no longer be found.
///
/// The longest goes first, since another may be a part of it. Pieces go last, since the rest of a secret that lost one would
/// no longer be found.
pub(super) fn scrub_all(text: &str, secrets: &[&str]) -> String {
    let mut secrets = secrets.to_vec();
    secrets.sort_by_key(|secret| Reverse(secret.len()));
    let whole = |text: String, secret: &&str| without_whole(&text, secret);
    let text = secrets.iter().fold(text.to_owned(), whole);
    without_pieces(text, &secrets)
}

/// `text` without `secret`, however that is spelled: encoded as in a form or a link, with whichever characters the other
/// side chose to encode, or escaped as in JSON.
fn without_whole(text: &str, secret: &str) -> String {
    if secret.is_empty() {
        return text.to_owned();
    }
    // As it stands first: of a secret with a `%` in it, that is the one spelling that could be misread below.
    let text = text.replace(secret, REDACTED);
    let (mut clean, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, behind)) = rest.split_first() {
        if let Some(behind) = behind_secret(rest, secret.as_bytes()) {
            clean.extend_from_slice(REDACTED.as_bytes());
            rest = behind;
        } else {
            clean.push(*first);
            rest = behind;
        }
    }
    String::from_utf8_lossy(&clean).into_owned()
}

/// `text` without any run of [`PIECE`] bytes or more that it shares with one of `secrets`. Shorter secrets than [`LONG`]
/// count only whole: a part of them may be an innocent word.
fn without_pieces(text: String, secrets: &[&str]) -> String {
    let long = secrets.iter().filter(|secret| secret.len() >= LONG);
    if text.len() < PIECE {
        return text;
    }
    let pieces: HashSet<&[u8]> = long
        .flat_map(|secret| secret.as_bytes().windows(PIECE))
        .collect();
    let mut clean = Vec::with_capacity(text.len());
    // Up to here everything is in `clean`, or cut out.
    let mut done = 0;
    let shared = text.as_bytes().windows(PIECE).enumerate();
    for (at, _) in shared.filter(|(_, window)| pieces.contains(window)) {
        if at > done || clean.is_empty() {
            clean.extend_from_slice(text.as_bytes().get(done..at).unwrap_or_default());
            clean.extend_from_slice(REDACTED.as_bytes());
        }
        done = at + PIECE;
    }
    if clean.is_empty() {
        return text;
    }
    clean.extend_from_slice(text.as_bytes().get(done..).unwrap_or_default());
    String::from_utf8_lossy(&clean).into_owned()
}

/// The host of an address that came from outside, without any of `secrets`; never its path or query. `base` is what the
/// address may be relative to.
///
/// They are cut out before the address is parsed and once more afterwards: the parser turns a host into small letters and
/// undoes its percent signs, and leaves white space out, in which a secret could hide.
pub(super) fn host_without(address: &str, base: Option<&Url>, secrets: &[&str]) -> String {
    let address: String = address.split_ascii_whitespace().collect();
    let url = Url::options()
        .base_url(base)
        .parse(&scrub_all(&address, secrets));
    let small: Vec<String> = secrets.iter().map(|it| it.to_lowercase()).collect();
    let small: Vec<&str> = small.iter().map(String::as_str).collect();
    match url.as_ref().map(Url::host_str) {
        Ok(Some(host)) => one_line(&scrub_all(host, &small), 100),
        _ => "an unnamed place".to_owned(),
    }
}

/// What follows the secret when `text` begins with it.
fn behind_secret<'a>(text: &'a [u8], secret: &[u8]) -> Option<&'a [u8]> {
    secret.iter().try_fold(text, |text, byte| {
        let (found, length) = spelled(text)?;
        if found == *byte {
            return text.get(length..);
        }
        match text.split_first()? {
            (literal, behind) if literal == byte => Some(behind),
            (b'+', behind) if *byte == b' ' => Some(behind),
            _ => None,
        }
    })
}

/// The byte that `text` begins with, its escape undone, and how long its spelling is.
fn spelled(text: &[u8]) -> Option<(u8, usize)> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let hex = |high, low| u8::try_from(16 * digit(high)? + digit(low)?).ok();
    let escaped = match text {
        [b'%', high, low, ..] => hex(*high, *low).map(|byte| (byte, 3)),
        [b'\\', b'u', b'0', b'0', high, low, ..] => hex(*high, *low).map(|byte| (byte, 6)),
        [b'\\', byte @ (b'"' | b'\\' | b'/'), ..] => Some((*byte, 2)),
        _ => None,
    };
    escaped.or(text.first().map(|byte| (*byte, 1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::Index;
    use std::io::Write;

    #[test]
    fn a_host_from_outside_is_named_without_a_secret_however_that_is_spelled() {
        const SECRET: &str = "s3cret-Value";
        for address in [
            "https://s3cret-Value.login.example/path",
            "https://S3CRET-VALUE.example",
            "https://s3cret%2DValue.example",
            "https://%53%33cret-value.example",
            "https://s3cret-\tvalue.example",
            "//s3c\nret-value.example",
        ] {
            let base = Url::parse("https://graph.microsoft.com").unwrap();
            let host = host_without(address, Some(&base), &["other", SECRET]);
            let shown = host.to_lowercase().contains(&SECRET.to_lowercase());
            assert!(!shown, "{address:?}: {host}");
        }
        let host = host_without("https://login.example/s3cret-Value?a", None, &[SECRET]);
        assert_eq!(host, "login.example");
    }

    #[test]
    fn of_a_secret_that_holds_another_nothing_remains() {
        let text = scrub_all("said: old-and-new!", &["old", "old-and-new"]);
        assert_eq!(text, "said: [redacted]!");
    }

    /// The longest run of bytes that both have.
    fn longest_shared(text: &str, secret: &str) -> usize {
        let (text, secret) = (text.as_bytes(), secret.as_bytes());
        let shares = |length: &usize| {
            let mut runs = secret.windows(*length);
            runs.any(|run| text.windows(*length).any(|other| other == run))
        };
        (1..=secret.len()).take_while(shares).last().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn of_a_long_secret_no_piece_of_16_bytes_or_more_remains(
            secret in "[A-Za-z0-9_.-]{32,300}",
            pieces in proptest::collection::vec((any::<Index>(), any::<Index>(), "[ -Z]{0,20}"), 1..4),
        ) {
            let mut text = String::from("said: ");
            for (from, length, between) in &pieces {
                let from = from.index(secret.len() - PIECE + 1);
                let length = PIECE + length.index(secret.len() - from - PIECE + 1);
                text += &secret[from..from + length];
                text += between;
            }
            let clean = scrub_all(&text, &["another", &secret]);
            prop_assert!(longest_shared(&clean, &secret) < PIECE, "{clean}");
            prop_assert!(clean.contains("said: [redacted]"), "{clean}");
            let host = host_without(&format!("https://{secret}.example/"), None, &[&secret]);
            prop_assert!(longest_shared(&host, &secret.to_lowercase()) < PIECE, "{host}");
        }

        #[test]
        fn a_text_that_shares_no_16_bytes_with_a_secret_stays_as_it_is(
            text in "[a-mü ]{0,200}",
            secret in "[n-z]{32,100}",
            shared in 0..PIECE,
        ) {
            let text = format!("{text}-{}-{text}", &secret[..shared]);
            prop_assert_eq!(scrub(&text, &secret), text);
        }
    }

    #[test]
    fn a_piece_of_a_long_secret_is_cut_out_wherever_it_is_from_and_next_to_whatever_it_stands() {
        let secret: String = (0..40).map(|n| format!("{:x}", n * 7919 + 65537)).collect();
        for piece in [
            &secret[..100],
            &secret[40..56],
            &secret[secret.len() - 100..],
        ] {
            assert_eq!(scrub(piece, &secret), REDACTED);
            let text = format!("ü{piece}ü {piece}, {piece}");
            let clean = format!("ü{REDACTED}ü {REDACTED}, {REDACTED}");
            assert_eq!(scrub(&text, &secret), clean);
            let host = format!("https://a.{}.example/", piece.get(..40).unwrap_or(piece));
            let named = host_without(&host.to_uppercase(), None, &[&secret]);
            assert_eq!(longest_shared(&named, &secret) / PIECE, 0, "{named}");
        }
    }

    async fn read_bytes(bytes: &[u8]) -> Result<SecretString, Failure> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let proof = Secret::File(file.path().to_owned()).read().await?;
        Ok(proof.value)
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
            assert_eq!(secret.expose_secret(), "s3~cr/t", "from {bytes:?}");
        }
        let variable = Secret::Variable {
            name: "SECRET".to_owned(),
            value: SecretString::from("s3~cr/t\n".to_owned()),
        };
        assert_eq!(
            variable.read().await.unwrap().value.expose_secret(),
            "s3~cr/t"
        );
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
            let told = format!("{failure:?}");
            assert!(!told.contains("canary") && !told.contains("daemon's user"));
        }
        let absent = Secret::File("/nonexistent/client-secret".into());
        let failure = absent.read().await.unwrap_err();
        assert!(
            failure.what.contains("/nonexistent/client-secret"),
            "{failure:?}"
        );
        assert_eq!(
            (failure.health, failure.reaction),
            (Health::Credential, Reaction::Slow)
        );
    }

    #[test]
    fn every_spelling_of_a_secret_is_scrubbed() {
        let secret = r#"p+q/r~s"%41\ü t"#;
        for spelling in [
            secret,
            "p%2Bq%2Fr%7Es%22%2541%5C%C3%BC+t",
            "p%2bq%2fr~s%22%2541%5c%c3%bc%20t",
            r#"p+q\/r~s\"%41\\ü t"#,
            r#"p\u002Bq/r\u007es\u0022%41\u005cü\u0020t"#,
        ] {
            let text = format!("ä {spelling} b %zz {spelling}");
            assert_eq!(scrub(&text, secret), "ä [redacted] b %zz [redacted]");
        }
        assert_eq!(scrub("unharmed", ""), "unharmed");
    }
}
