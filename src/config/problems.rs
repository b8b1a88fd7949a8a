//! The mistakes in a configuration: each with its place, what is wrong, and the remedy.
//!
//! Invariant: no secret is ever in a [`Problem`]. Values of keys that may hold one are left out. A value of any other
//! key is left out if it looks like a secret that was pasted into the wrong key.

use std::collections::HashMap;
use std::fmt;

use config::{Value, ValueKind};
use uuid::Uuid;

use super::origin::{Provenance, Spot};
use crate::core::health::failure::one_line;

/// A report shows this many, and counts the rest.
const MAX_SHOWN: usize = 200;

/// What is wrong with one value, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    pub what: String,
    pub remedy: String,
}

pub fn wrong(what: impl Into<String>, remedy: impl Into<String>) -> Wrong {
    Wrong {
        what: what.into(),
        remedy: remedy.into(),
    }
}

/// What a valid value has to fulfil.
///
/// # Errors
/// It does not hold.
pub fn require(holds: bool, what: &str, remedy: &str) -> Result<(), Wrong> {
    holds.then_some(()).ok_or_else(|| wrong(what, remedy))
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file and the line, or the environment variable.
    pub origin: String,
    /// The key's path, `tenants[3].api.base_url`; empty for a mistake of the whole file.
    pub key: String,
    /// The tenant's name or id, if it is about one.
    pub tenant: Option<String>,
    /// The value as given; `None` if there is none, or if it could be a secret.
    pub value: Option<String>,
    pub what: String,
    pub remedy: String,
    /// Its place in a report.
    pub(super) order: (usize, usize),
}

impl Problem {
    pub(super) fn at(spot: &Spot, key: impl Into<String>, wrong: Wrong) -> Self {
        Self {
            origin: spot.to_string(),
            key: key.into(),
            tenant: None,
            value: None,
            what: wrong.what,
            remedy: wrong.remedy,
            order: spot.order,
        }
    }

    /// Place and mistake in one line, without the remedy.
    pub fn headline(&self) -> String {
        let mut text = self.origin.clone();
        if !self.key.is_empty() {
            text.push_str(&format!(": {}", self.key));
        }
        if let Some(value) = &self.value {
            text.push_str(&format!(" = {value}"));
        }
        if let Some(tenant) = &self.tenant {
            text.push_str(&format!(" (tenant {tenant})"));
        }
        format!("{text}: {}", self.what)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n    {}", self.headline(), self.remedy)
    }
}

/// All mistakes in a configuration: file by file, each from top to bottom, then the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(Vec<Problem>);

impl ConfigErrors {
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|one, other| (one.order, &one.key).cmp(&(other.order, &other.key)));
        // A table that is read in two parts is wrong once.
        problems.dedup();
        Self(problems)
    }

    pub(crate) fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = match self.0.len() {
            1 => "one error".to_owned(),
            count => format!("{count} errors"),
        };
        write!(f, "the configuration has {count}:")?;
        for problem in self.0.iter().take(MAX_SHOWN) {
            write!(f, "\n{problem}")?;
        }
        match self.0.len().saturating_sub(MAX_SHOWN) {
            0 => Ok(()),
            rest => write!(f, "\nand {rest} more"),
        }
    }
}

impl std::error::Error for ConfigErrors {}

/// What reading finds: mistakes, warnings, and the meaning of each key.
#[derive(Default)]
pub(super) struct Diagnosis {
    pub problems: Vec<Problem>,
    pub provenance: Provenance,
    /// A mistake may keep tenants from being seen.
    pub hides_tenants: bool,
    /// The place and the text of each.
    warnings: Vec<(String, String)>,
    /// The warnings that come after all others.
    last: Vec<(String, String)>,
}

impl Diagnosis {
    /// Reports a mistake that is not about a single key.
    pub fn refuse(&mut self, spot: &Spot, wrong: Wrong) {
        self.problems.push(Problem::at(spot, "", wrong));
    }

    pub fn warn(&mut self, place: impl fmt::Display, text: impl Into<String>) {
        self.warnings.push((place.to_string(), text.into()));
    }

    /// The warning comes after those about single keys.
    pub fn warn_last(&mut self, place: impl fmt::Display, text: String) {
        self.last.push((place.to_string(), text));
    }

    /// A text that several tenants cause is one warning.
    pub fn warnings(&self) -> Vec<String> {
        let all = || self.warnings.iter().chain(&self.last);
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for (_, text) in all() {
            *counts.entry(text).or_default() += 1;
        }
        let line = |(place, text): &(String, String)| match counts.remove(&**text)? {
            1 => Some(format!("{place}: {text}")),
            count => Some(format!("{place} and {} more: {text}", count - 1)),
        };
        let mut lines: Vec<String> = all().filter_map(line).collect();
        let rest = lines.len().saturating_sub(MAX_SHOWN);
        if rest > 0 {
            lines.truncate(MAX_SHOWN);
            lines.push(format!("and {rest} more warnings"));
        }
        lines
    }
}

/// A value as a report may show it; `None` for tables and for everything that may be or hold a secret. Values of
/// `[app]` are never shown, not even client ids and paths: secrets get pasted into the wrong line.
pub(super) fn shown(path: &str, value: &Value) -> Option<String> {
    let secret = path.starts_with("kafka.properties")
        || path.split('.').any(|part| {
            matches!(part, "app" | "proxy") || part.contains("secret") || part.contains("password")
        });
    match &value.kind {
        _ if secret => None,
        ValueKind::String(text) if !reads_plain(text) => None,
        ValueKind::String(text) => Some(format!("{:?}", one_line(text, 80))),
        _ => scalar(value),
    }
}

/// Whether a text consists of what people write into a configuration: words, numbers, times, hosts, ids. A secret is a
/// longer word, or has other characters (Entra's have a `~`). So have URLs that hold one, before an `@` or after a `?`.
pub(super) fn reads_plain(text: &str) -> bool {
    const LONGEST_WORD: usize = 12;
    let between = |c: char| c.is_whitespace() || "*/.,:[]".contains(c);
    let plain = |word: &str| {
        let letters = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
        let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
        is_number || (word.chars().count() <= LONGEST_WORD && word.chars().all(letters))
    };
    let is_id = text.len() == 36 && Uuid::try_parse(text).is_ok();
    is_id || text.split(between).all(plain)
}

/// The text of a single value; `None` for tables and lists. All values are read from texts, because the environment has
/// only those.
pub(super) fn scalar(value: &Value) -> Option<String> {
    value.clone().into_string().ok()
}

/// The text of a value that is given in quotes.
pub(super) fn quoted_text(value: &Value) -> Option<&str> {
    match &value.kind {
        ValueKind::String(text) => Some(text),
        _ => None,
    }
}
