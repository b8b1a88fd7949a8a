//! Looks for OpenSSL's headers before a crate is built that needs them, so that a build without them ends at once, with one line
//! that says what to install. The look itself is in `build.rs`.
//!
//! The crates that need the headers have build scripts of their own, and cargo runs a build script only after those of the
//! packages that it depends on. So this package takes the place of a crate that they all depend on: `vcpkg`, which finds
//! libraries on Windows, where incidentd does not run. Without it, `openssl-sys` fails first where cargo has few jobs, with a
//! page of text.
//!
//! What follows is the part of that crate's interface that they compile against. They call it on Windows only.

use std::path::PathBuf;

#[derive(Default)]
pub struct Config;

pub struct Library {
    pub include_paths: Vec<PathBuf>,
}

impl Config {
    pub fn new() -> Self {
        Self
    }

    pub fn emit_includes(&mut self, _: bool) -> &mut Self {
        self
    }

    pub fn find_package(&mut self, name: &str) -> Result<Library, String> {
        Err(format!(
            "incidentd is not built on Windows: {name} is not looked for there"
        ))
    }
}
