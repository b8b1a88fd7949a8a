//! The certificate authorities that this system trusts.
//!
//! A vendored OpenSSL looks for them in `/usr/local/ssl`, where no distribution puts them. So this looks in the places
//! that Linux distributions use. `SSL_CERT_FILE` and `SSL_CERT_DIR` come first, as with any OpenSSL.

use std::env::var_os;
use std::fs;
use std::path::{Path, PathBuf};

/// A file or a folder with the authorities; `None` when there is none in any known place.
pub(super) fn of_the_system() -> Option<PathBuf> {
    let names_only_a_folder = var_os("SSL_CERT_FILE").is_none() && var_os("SSL_CERT_DIR").is_some();
    // The probe returns what these two variables name, if it exists.
    let found = openssl_probe::probe();
    let file = found.cert_file;
    let folder = found.cert_dir.into_iter().find(|folder| holds_any(folder));
    match names_only_a_folder {
        true => folder.or(file),
        false => file.or(folder),
    }
}

fn holds_any(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}
