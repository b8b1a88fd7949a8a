//! Where values come from: TOML files, and the environment laid over the main one.
//!
//! Each file is parsed by itself and never merged into one growing tree, so that thousands of tenants' files cost no more
//! than their bytes. Failure modes, each a reported problem: a file that is missing, unreadable, too large, not UTF-8
//! or not TOML; a variable that names no key.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use config::{ConfigError, Environment, FileFormat, Map, Source, Value, ValueKind};

use super::problems::Findings;
use crate::core::failure::one_line;

const PREFIX: &str = "incidentd__";
/// Ten thousand tenants with overrides take a quarter of it.
const MAX_FILE: u64 = 16 << 20;
/// Deeper than any key. Tables are walked and dropped recursively; the parser of files has a bound of its own.
const MAX_DEPTH: usize = 16;

/// Parses one file; `None` when that failed and was reported. `missing` is the remedy when there is no such file.
pub(super) fn read(
    path: &Path,
    missing: &str,
    findings: &mut Findings,
) -> Option<Map<String, Value>> {
    let origin = path.display().to_string();
    let bytes = match read_regular(path, MAX_FILE) {
        Ok(bytes) => bytes,
        Err(error) => {
            let remedy = match error.kind() {
                io::ErrorKind::NotFound => missing,
                io::ErrorKind::PermissionDenied => "let the daemon's user read it",
                _ => "name a readable file",
            };
            findings.file(origin, format!("it can't be read: {error}"), remedy);
            return None;
        }
    };
    let Ok(text) = String::from_utf8(bytes) else {
        findings.file(origin, "it is not text in UTF-8", "save it as UTF-8");
        return None;
    };
    // The parser bounds its own depth.
    let file = config::File::from_str(&text, FileFormat::Toml);
    let parsed = file.collect().map_err(|error| syntax_error(&error));
    parsed
        .map_err(|what| findings.file(origin, what, "correct it; the file must be valid TOML"))
        .ok()
}

/// The content of a regular file of at most `max` bytes. Anything else (a pipe would block) is an error.
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

/// One line of place and reason. The parser's own text has also the offending line, which may hold a secret.
fn syntax_error(error: &ConfigError) -> String {
    let ConfigError::FileParse { cause, .. } = error else {
        return "it is not valid TOML".into();
    };
    let text = cause.to_string();
    let is_excerpt = |line: &&str| {
        let rest = line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit());
        rest.starts_with('|')
    };
    let placed = text.strip_prefix("TOML parse error at ");
    let (place, reasons) = match placed.and_then(|text| text.split_once('\n')) {
        Some((place, reasons)) => (Some(place), reasons),
        None => (None, text.as_str()),
    };
    let reasons: Vec<&str> = reasons.lines().filter(|line| !is_excerpt(line)).collect();
    let reason = one_line(&reasons.join(", "), 200);
    match place {
        Some(place) => format!("{}: {reason}", one_line(place, 60)),
        None => reason,
    }
}

/// The `*.toml` of a folder, in the order of their names; hidden ones are left alone, as the shell does.
pub(super) fn toml_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden
            && path
                .extension()
                .is_some_and(|extension| extension == "toml")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Lays `INCIDENTD__SECTION__KEY` over the table. Each value keeps its variable's name as its origin.
pub(super) fn overlay(
    table: &mut Map<String, Value>,
    environment: &HashMap<String, String>,
    findings: &mut Findings,
) {
    let ours: HashMap<String, String> = environment
        .iter()
        .filter(|(name, _)| name.to_lowercase().starts_with(PREFIX))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mut names: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in ours.keys() {
        names.entry(key_of(name)).or_default().push(name);
    }
    let source = Environment::with_prefix("incidentd")
        .prefix_separator("__")
        .separator("__");
    let mut values = match source.source(Some(ours.clone())).collect() {
        Ok(values) => values,
        Err(_) => {
            findings.file(
                "the environment",
                "it can't be read",
                "unset variables that are not UTF-8",
            );
            return;
        }
    };
    for (key, mut variables) in names {
        variables.sort_unstable();
        let origin = format!(
            "environment variable {}",
            one_line(&variables.join(" and "), 200)
        );
        let parts: Vec<&str> = key.split('.').collect();
        if variables.len() > 1 {
            findings.file(origin, format!("they both set {key}"), "unset one of them");
        } else if parts.len() > MAX_DEPTH || parts.iter().any(|part| part.is_empty()) {
            findings.file(
                origin,
                "it names no key",
                "name it INCIDENTD__SECTION__KEY, or unset it",
            );
        } else if let Some(value) = values.remove(&key) {
            set(table, &parts, Value::new(Some(&origin), value.kind));
        }
    }
}

/// The key as `config::Environment` makes it of a variable's name.
fn key_of(name: &str) -> String {
    let lower = name.to_lowercase();
    lower
        .strip_prefix(PREFIX)
        .unwrap_or(&lower)
        .replace("__", ".")
}

fn set(table: &mut Map<String, Value>, parts: &[&str], value: Value) {
    match parts {
        [] => {}
        [key] => {
            table.insert((*key).into(), value);
        }
        [key, rest @ ..] => {
            let origin = value.origin().map(str::to_owned);
            let empty = || Value::new(origin.as_ref(), ValueKind::Table(Map::new()));
            let inner = table.entry((*key).into()).or_insert_with(empty);
            // What is no table stays as it is: its reader reports it.
            if let ValueKind::Table(inner) = &mut inner.kind {
                set(inner, rest, value);
            }
        }
    }
}
