//! Reads a file with a proof, and says what is wrong with a file without one.

use std::io;
use std::path::Path;

use super::{Proof, ProofKey, ProofPlace};
use crate::core::health::failure::{Failure, Health, Reaction, one_line};
use crate::core::secret_text::{MAX_FILE, NoSecret, secret_in};
use crate::microsoft::files::{self, FileError, PATIENCE};

/// The present proof in a file.
///
/// # Errors
/// The file is missing, unreadable, empty, not UTF-8, of several lines or larger than 64 KiB: `credential`, with the
/// path. No thread was free to read it: `unreachable`.
pub(super) async fn read(path: &Path, key: &'static ProofKey) -> Result<Proof, Failure> {
    read_or(path, key, failed).await
}

/// Like [`read`]; `absent` makes the failure for a missing file.
pub(super) async fn read_or(
    path: &Path,
    key: &'static ProofKey,
    absent: fn(&ProofPlace, &io::Error) -> Failure,
) -> Result<Proof, Failure> {
    let place = ProofPlace::file(key, path);
    let bytes = bytes(&place, path, absent).await?;
    match secret_in(&bytes) {
        Ok(text) => Ok(Proof {
            value: text.into(),
            place,
        }),
        Err(no_secret) => Err(unusable(&place, &no_secret.to_string(), place.key.fill)),
    }
}

/// The present content of a file of any form.
///
/// # Errors
/// As [`read`], but for the form.
pub(super) async fn content(path: &Path, key: &'static ProofKey) -> Result<Vec<u8>, Failure> {
    let place = ProofPlace::file(key, path);
    let bytes = bytes(&place, path, failed).await?;
    match bytes.len() as u64 > MAX_FILE {
        true => Err(unusable(&place, &NoSecret::TooLarge.to_string(), key.fill)),
        false => Ok(bytes),
    }
}

async fn bytes(
    place: &ProofPlace,
    path: &Path,
    absent: fn(&ProofPlace, &io::Error) -> Failure,
) -> Result<Vec<u8>, Failure> {
    let read = files::read(path, MAX_FILE + 1).await;
    read.map_err(|error| match error {
        FileError::Busy => not_read(place),
        FileError::Silent => silent(place),
        FileError::Absent(error) => absent(place, &error),
        FileError::Failed(error) => failed(place, &error),
    })
}

/// A missing file of the second secret is not a mistake in the configuration. Its path is not shown, because it may be
/// the secret itself.
pub(super) fn no_second(place: &ProofPlace, error: &io::Error) -> Failure {
    let key = place.key.name;
    Failure::new(
        Health::Credential,
        Reaction::Slow,
        format!("the file of {key} {}", why(error)),
        format!("put the new secret's Value into the file that {key} names, and let the daemon's user read it"),
    )
    .caused_by("no second client secret")
}

fn why(error: &io::Error) -> String {
    format!("can't be read: {}", one_line(&error.to_string(), 100))
}

fn failed(place: &ProofPlace, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let remedy = format!("let the daemon's user read {}", place.hint());
            no_credential(place, &why(error), remedy)
        }
        _ => unusable(place, &why(error), place.key.fill),
    }
}

/// `remedy` may name the place.
pub(super) fn unusable(place: &ProofPlace, why: &str, remedy: &str) -> Failure {
    no_credential(place, why, place.fill_in(remedy))
}

/// The disk may answer again, and the content of the file is not known.
fn silent(place: &ProofPlace) -> Failure {
    let why = format!("can't be read: its disk did not answer within {PATIENCE:?}");
    let remedy = format!(
        "check the disk, or the network share, that holds {}",
        place.hint()
    );
    no_credential(place, &why, remedy)
}

fn no_credential(place: &ProofPlace, why: &str, remedy: String) -> Failure {
    let (noun, path) = (place.key.noun, place.name());
    let what = format!("{noun}'s file {path} {why}");
    Failure::new(Health::Credential, Reaction::Slow, what, remedy)
        .caused_by(format!("no credential in {path}"))
}

/// The failure if neither the file nor its content is the cause.
fn not_read(place: &ProofPlace) -> Failure {
    let (noun, path) = (place.key.noun, place.name());
    Failure::new(
        Health::Unreachable,
        Reaction::Backoff,
        format!("{noun}'s file {path} was not read within {PATIENCE:?}: other files that do not answer keep all the daemon's readers"),
        "nothing to do for this tenant; look for a disk or a network share that does not answer, and for what else keeps \
         this machine busy",
    )
    .caused_by("no reader for files")
}
