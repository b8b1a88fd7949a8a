//! Where values come from: TOML files, and the environment laid over the main one.
//!
//! Each file is parsed by itself and never merged into one growing tree, so that thousands of tenants' files cost no more
//! than their bytes. Failure modes, each a reported problem: a file that is missing, unreadable, too large, not UTF-8
//! or not TOML; a variable that names no key. A variable that looks like ours and is not read is warned of.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use config::{ConfigError, Environment, Map, Source, Value, ValueKind};
use url::Url;

use super::lines::{SyntaxErrors, Toml};
use super::origin::{File, Spot};
use super::problems::{Diagnosis, Wrong, wrong};
use super::section::dotted;
use crate::core::health::failure::one_line;

const PREFIX: &str = "incidentd__";
/// Ten thousand tenants with overrides take a quarter of it.
const MAX_FILE: u64 = 16 << 20;
/// Deeper than any key. Tables are walked and dropped recursively; the parser of files has a bound of its own.
const MAX_DEPTH: usize = 16;

/// Parses one file; `None` when that failed and was reported. `missing` is the remedy when there is no such file.
pub(super) fn read(
    path: &Path,
    file: &File,
    missing: &str,
    diagnosis: &mut Diagnosis,
) -> Option<Map<String, Value>> {
    let whole = Spot::whole(file);
    let bytes = match read_regular(path, MAX_FILE) {
        Ok(bytes) => bytes,
        Err(error) => {
            let remedy = match error.kind() {
                io::ErrorKind::NotFound => missing,
                io::ErrorKind::PermissionDenied => "let the user who runs incidentd read it",
                _ => "name a readable file",
            };
            diagnosis.refuse(&whole, wrong(format!("it can't be read: {error}"), remedy));
            return None;
        }
    };
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let end = error.utf8_error().valid_up_to();
            let before = error.as_bytes().get(..end).unwrap_or_default();
            let line = memchr::memchr_iter(b'\n', before).count() + 1;
            let spot = Spot::File {
                file: file.clone(),
                line: Some(line),
            };
            let what = wrong("it is not text in UTF-8", "save it as UTF-8");
            diagnosis.refuse(&spot, unread(what, file));
            return None;
        }
    };
    match config::File::from_str(&text, Toml).collect() {
        Ok(table) => Some(table),
        Err(error) => {
            report_syntax(&error, file, diagnosis);
            None
        }
    }
}

fn report_syntax(error: &ConfigError, file: &File, diagnosis: &mut Diagnosis) {
    let errors = match error {
        ConfigError::FileParse { cause, .. } => cause.downcast_ref::<SyntaxErrors>(),
        _ => None,
    };
    let Some(SyntaxErrors(errors)) = errors else {
        let what = wrong("it is not valid TOML", "correct it");
        diagnosis.refuse(&Spot::whole(file), unread(what, file));
        return;
    };
    for (n, (line, wrong)) in errors.iter().enumerate() {
        let spot = Spot::File {
            file: file.clone(),
            line: Some(*line),
        };
        let is_last = n + 1 == errors.len();
        diagnosis.refuse(
            &spot,
            match is_last {
                true => unread(wrong.clone(), file),
                false => wrong.clone(),
            },
        );
    }
}

/// A mistake after which the keys of a file can't be told: a report without them must not look like all there is.
fn unread(wrong: Wrong, file: &File) -> Wrong {
    let rest = match file.rank {
        0 => "nothing else was looked at, in this file or in others",
        _ => "nothing else in this file was looked at",
    };
    Wrong {
        remedy: format!("{}; {rest}", wrong.remedy),
        ..wrong
    }
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
    diagnosis: &mut Diagnosis,
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
            let names = Spot::Variable(format!("{}…", PREFIX.to_uppercase()).into());
            let what = wrong("it can't be read", "unset variables that are not UTF-8");
            diagnosis.refuse(&names, what);
            return;
        }
    };
    for (key, mut variables) in names {
        variables.sort_unstable();
        let origin = one_line(&variables.join(" and "), 200);
        let spot = Spot::Variable(origin.as_str().into());
        let parts: Vec<&str> = key.split('.').collect();
        if variables.len() > 1 {
            let what = wrong(
                format!("they both set {}", one_line(&key, 80)),
                "unset one of them",
            );
            diagnosis.refuse(&spot, what);
        } else if parts.len() > MAX_DEPTH || parts.iter().any(|part| part.is_empty()) {
            let remedy = "name it INCIDENTD__SECTION__KEY, or unset it";
            diagnosis.refuse(&spot, wrong("it names no key", remedy));
        } else if let Some(value) = values.remove(&key)
            && let Err(above) = set(table, &parts, Value::new(Some(&origin), value.kind))
        {
            let remedy = match above {
                "tenants" => {
                    "unset it: the environment can't hold [[tenants]], only files can".to_owned()
                }
                _ => format!(
                    "unset it: {} is one value, with no keys below it",
                    one_line(above, 80)
                ),
            };
            diagnosis.refuse(&spot, wrong("it names no key", remedy));
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

/// `Err`: the part of the key that a file gives a value of its own, or a list, so that nothing can lie below it.
fn set<'a>(table: &mut Map<String, Value>, parts: &[&'a str], value: Value) -> Result<(), &'a str> {
    match parts {
        [] => Ok(()),
        [key] => {
            table.insert((*key).into(), value);
            Ok(())
        }
        [key, rest @ ..] => {
            let origin = value.origin().map(str::to_owned);
            let empty = || Value::new(origin.as_ref(), ValueKind::Table(Map::new()));
            let inner = table.entry((*key).into()).or_insert_with(empty);
            match &mut inner.kind {
                ValueKind::Table(inner) => set(inner, rest, value),
                _ => Err(key),
            }
        }
    }
}

/// Warns of proxies in the environment that are passed over for their form, where no `api.proxy` stands before them. What
/// they hold is not shown: it may be a password.
pub(super) fn warn_of_unusable_proxies(
    environment: &HashMap<String, String>,
    diagnosis: &mut Diagnosis,
) {
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        let text = environment.get(name).map_or("", |text| text.trim());
        let url = match text.contains("://") {
            true => Url::parse(text),
            false => Url::parse(&format!("http://{text}")),
        };
        let usable = url.is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !text.is_empty() && !usable {
            let text = "it is not the address of an HTTP proxy, and is not used: give it as http://host:port";
            diagnosis.warn(Spot::Variable(name.into()), text.to_owned());
        }
    }
}

/// Warns of variables that look like a key's and lack an underscore: nobody reads them.
pub(super) fn warn_of_unread(environment: &HashMap<String, String>, diagnosis: &mut Diagnosis) {
    let single = |name: &str| {
        let lower = name.to_lowercase();
        let rest = lower.strip_prefix("incidentd_")?;
        (!lower.starts_with(PREFIX)).then(|| rest.replace("__", "_"))
    };
    let mut unread: Vec<(&String, String)> = environment
        .keys()
        .filter_map(|name| Some((name, single(name)?)))
        .collect();
    unread.sort();
    for (name, words) in unread {
        let meant = diagnosis.record.shared().find_map(|table| {
            let entries = table.entries.iter().filter(|entry| !entry.is_table);
            let mut paths = entries.map(|entry| dotted(&table.path, &entry.key));
            paths.find(|path| path.replace('.', "_") == words)
        });
        if let Some(path) = meant {
            let right = path.replace('.', "__").to_uppercase();
            diagnosis.warn(
                Spot::Variable(one_line(name, 200).into()),
                format!("it is not read; {path} is set by INCIDENTD__{right}, with two underscores at each place"),
            );
        }
    }
}
