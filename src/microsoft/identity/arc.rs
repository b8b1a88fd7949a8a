//! The proof that Azure Arc's agent asks for before it gives a token: the content of a file that only its group may read.
//!
//! The agent names the file in its answer. Any program of this machine could have answered in its place, so no other file
//! than one of the agent's is read: its content goes out with the next request.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use secrecy::SecretString;

use super::super::challenge::challenges;
use super::super::files::{self, FileError, PATIENCE};
use crate::core::health::failure::{Failure, Health, Reaction, one_line};
use crate::core::secret_text::secret_in;

pub(super) const VERSION: &str = "2020-06-01";
/// What the agent's answers and Azure's own libraries keep to.
const MOST: u64 = 4096;

/// The key in the file that an answer names, which has to be in `folder`.
///
/// # Errors
/// The answer names no file of the agent's, or it can't be read.
pub(super) async fn key(headers: &HeaderMap, folder: &Path) -> Result<SecretString, Failure> {
    let path = key_file(headers, folder)?;
    let shown = one_line(&path.display().to_string(), 200);
    let unusable = |why: &str| {
        refused(
            format!("the key file {shown} of Azure Arc's agent {why}"),
            "look at the state of Azure Arc's agent on this machine: azcmagent show, journalctl -u himdsd",
        )
    };
    let content = match files::read(&path, MOST + 1).await {
        Ok(content) => content,
        Err(FileError::Absent(error) | FileError::Failed(error)) => {
            let why = format!("can't be read: {}", one_line(&error.to_string(), 100));
            return Err(match error.kind() {
                ErrorKind::PermissionDenied => not_of_the_group(&shown, &why),
                _ => unusable(&why),
            });
        }
        Err(FileError::Silent | FileError::Busy) => {
            return Err(unusable(&format!("was not read within {PATIENCE:?}")));
        }
    };
    if content.len() as u64 > MOST {
        return Err(unusable(&format!("is larger than {MOST} bytes")));
    }
    let key = secret_in(&content).map_err(|none| unusable(&none.to_string()))?;
    // It is sent in a header.
    match key.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(key.into()),
        false => Err(unusable("does not hold a key")),
    }
}

fn key_file(headers: &HeaderMap, folder: &Path) -> Result<PathBuf, Failure> {
    const REMEDY: &str =
        "see what answers at IDENTITY_ENDPOINT: it has to be Azure Arc's agent (himds)";
    let challenges = challenges(headers.get_all(WWW_AUTHENTICATE).iter());
    let basic = challenges.iter().find(|it| it.scheme == "basic");
    let path = basic
        .and_then(|basic| basic.get("realm"))
        .map(PathBuf::from);
    let Some(path) = path else {
        let what = "the identity endpoint refuses the request and names no key file, as Azure Arc's agent does";
        return Err(refused(what.to_owned(), REMEDY));
    };
    match path.parent() == Some(folder) && path.extension() == Some(OsStr::new("key")) {
        true => Ok(path),
        false => Err(refused(
            format!(
                "the identity endpoint asks for the content of {}, which is no key file of Azure Arc's agent (*.key in {}), so \
                 it is not read",
                one_line(&path.display().to_string(), 200),
                folder.display()
            ),
            REMEDY,
        )),
    }
}

/// The agent's folder is closed to others, too.
fn not_of_the_group(shown: &str, why: &str) -> Failure {
    refused(
        format!("the key file {shown} of Azure Arc's agent {why}"),
        "add the user that runs incidentd to the group himds, and restart incidentd: usermod --append --groups himds USER, or \
         under systemd SupplementaryGroups=himds in the unit",
    )
}

fn refused(what: String, remedy: &str) -> Failure {
    Failure::new(Health::Credential, Reaction::Slow, what, remedy)
        .caused_by("azure arc without a key")
}

#[cfg(test)]
mod tests;
