//! Reads TOML files, and lays the environment over the main one.
//!
//! Files are parsed one by one and never merged, so that thousands of tenants' files cost no more than their bytes.
//! Reported problems: a file that is missing, unreadable, too large, not UTF-8 or not TOML; a variable that names no
//! key. A variable that resembles a key's and is not read causes a warning.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use config::{Value, ValueKind};
use url::Url;

use super::Environment;
use super::access;
use super::keys::{self, ConfigKey};
use super::lines;
use super::origin::{Spot, Table};
use super::problems::{Diagnosis, Wrong, wrong};
use crate::core::health::failure::one_line;

const PREFIX: &str = "incidentd__";
/// Ten thousand tenants with overrides take a quarter of this.
const MAX_FILE: u64 = 16 << 20;
/// Deeper than any key. Tables are walked and dropped recursively; the TOML parser has a limit of its own.
const MAX_DEPTH: usize = 16;

/// Parses one file; `None` if it can't be read, which is reported.
pub(super) fn read(path: &Path, file: &Spot, diagnosis: &mut Diagnosis) -> Option<Table> {
    let is_main = file.order.0 == 0;
    let bytes = match read_regular(path, MAX_FILE) {
        Ok(bytes) => bytes,
        Err(error) => {
            let remedy = match error.kind() {
                io::ErrorKind::NotFound if is_main => {
                    "create it with incidentd init, or name another file with --config"
                }
                io::ErrorKind::NotFound => {
                    "it is a link that leads nowhere, or was removed a moment ago: remove it, or try again"
                }
                io::ErrorKind::PermissionDenied => "let the user who runs incidentd read it",
                _ => "name a readable file",
            };
            diagnosis.refuse(file, wrong(format!("it can't be read: {error}"), remedy));
            return None;
        }
    };
    let mut errors = match lines::parse(&bytes) {
        Ok(table) => {
            access::look_at_file(path, file, &table, diagnosis);
            return Some(table);
        }
        Err(errors) => errors,
    };
    // Mistakes in keys are not known yet: the report must not look complete.
    if let Some((_, last)) = errors.last_mut() {
        last.remedy += match is_main {
            true => "; nothing else was looked at, in this file or in others",
            false => "; nothing else in this file was looked at",
        };
    }
    for (line, wrong) in errors {
        diagnosis.refuse(&file.line(line), wrong);
    }
    None
}

/// The content of a regular file of at most `max` bytes. Other files are refused: a pipe would block.
pub(super) fn read_regular(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(max + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::other(format!("it is larger than {max} bytes")));
    }
    Ok(bytes)
}

/// The `*.toml` of a folder in the order of their names, without hidden files.
pub(super) fn toml_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        if name.ends_with(b".toml") && !name.starts_with(b".") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Lays `INCIDENTD__SECTION__KEY` over the table. Each value keeps its variable's name as its origin.
pub(super) fn overlay(table: &mut Table, environment: &Environment, diagnosis: &mut Diagnosis) {
    let mut keys: BTreeMap<String, Vec<(&str, &str)>> = BTreeMap::new();
    for (name, text) in environment {
        if let Some(key) = name.to_lowercase().strip_prefix(PREFIX) {
            let key = key.replace("__", ".");
            keys.entry(key).or_default().push((name, text));
        }
    }
    for (key, mut variables) in keys {
        variables.sort_unstable();
        let names: Vec<&str> = variables.iter().map(|(name, _)| *name).collect();
        let origin = one_line(&names.join(" and "), 200);
        let done = match variables.as_slice() {
            [(_, text)] => set(table, &key, text, &origin),
            _ => {
                let what = format!("they both set {}", one_line(&key, 80));
                Err(wrong(what, "unset one of them"))
            }
        };
        if let Err(wrong) = done {
            diagnosis.refuse(&Spot::variable(&origin), wrong);
        }
    }
}

fn set(mut table: &mut Table, key: &str, text: &str, origin: &String) -> Result<(), Wrong> {
    let parts: Vec<&str> = key.split('.').collect();
    if parts.len() > MAX_DEPTH || parts.contains(&"") {
        let remedy = "name it INCIDENTD__SECTION__KEY, or unset it";
        return Err(wrong("it names no key", remedy));
    }
    let (above, name) = key.rsplit_once('.').unwrap_or(("", key));
    for part in above.split_terminator('.') {
        let empty = || Value::new(Some(origin), ValueKind::Table(Table::new()));
        let inner = table.entry(part.to_owned()).or_insert_with(empty);
        let ValueKind::Table(inner) = &mut inner.kind else {
            let remedy = match part {
                "tenants" => {
                    "unset it: the environment can't hold [[tenants]], only files can".into()
                }
                part => {
                    let part = one_line(part, 80);
                    format!("unset it: {part} is one value, with no keys below it")
                }
            };
            return Err(wrong("it names no key", remedy));
        };
        table = inner;
    }
    let value = Value::new(Some(origin), ValueKind::String(text.to_owned()));
    table.insert(name.to_owned(), value);
    Ok(())
}

/// Warns of proxies in the environment that can't be used. Their values are not shown: they may hold passwords.
pub(super) fn warn_of_unusable_proxies(environment: &Environment, diagnosis: &mut Diagnosis) {
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        let text = environment.get(name).map_or("", |text| text.trim());
        let url = match text.contains("://") {
            true => Url::parse(text),
            false => Url::parse(&format!("http://{text}")),
        };
        let usable = url.is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !text.is_empty() && !usable {
            let text = "it is not the address of an HTTP proxy, and is not used: give it as http://host:port";
            diagnosis.warn(Spot::variable(name), text.to_owned());
        }
    }
}

/// Warns of variables that name a key with one underscore instead of two: they are not read.
pub(super) fn warn_of_unread(environment: &Environment, diagnosis: &mut Diagnosis) {
    let mut names: Vec<&String> = environment.keys().collect();
    names.sort_unstable();
    for name in names {
        let lower = name.to_lowercase();
        let words = match lower.strip_prefix("incidentd_") {
            Some(words) if !words.starts_with('_') => words.replace("__", "_"),
            _ => continue,
        };
        let paths = keys::of_main_file().filter(|key| !key.is_table());
        let mut paths = paths.map(ConfigKey::path);
        if let Some(path) = paths.find(|path| path.replace('.', "_") == words) {
            let right = path.replace('.', "__").to_uppercase();
            let text = format!(
                "it is not read; {path} is set by INCIDENTD__{right}, with two underscores at each place"
            );
            diagnosis.warn(Spot::variable(&one_line(name, 200)), text);
        }
    }
}
