//! The OData that a list accepts, and no more (sections 1.1 and 3.1). Each API's [`Dialect`] says which part of it.

use std::borrow::Cow;

use super::incident::Incident;
use super::{time, urlencoded};

/// What one API documents of OData.
#[derive(Clone, Copy)]
pub(super) struct Dialect {
    /// The largest `$top`, and the page without one.
    pub top: usize,
    pub property: fn(&str) -> Option<Property>,
    /// Whether `$expand=alerts` and `$count` are known.
    pub expand_and_count: bool,
}

/// What a filter can compare.
pub(super) enum Property {
    LastUpdate,
    Created,
    Text {
        of: TextOf,
        /// The members of an enumeration; `None`: any text.
        members: Option<&'static [&'static str]>,
    },
}

pub(super) type TextOf = fn(&Incident) -> Option<Cow<'_, str>>;

/// What one request asks for.
#[derive(Default)]
pub(super) struct Query {
    filter: Vec<Comparison>,
    pub top: usize,
    pub skip: usize,
    pub expand: bool,
    pub count: bool,
}

enum Comparison {
    LastUpdate(Relation, i64),
    Created(Relation, i64),
    Text {
        of: TextOf,
        equal: bool,
        value: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Relation {
    Ge,
    Gt,
    Le,
    Lt,
    Eq,
}

impl Query {
    /// The error is what is invalid, for the message. `link_followed`: a `$skiptoken` is known to be good.
    pub fn parse(query: &str, dialect: &Dialect, link_followed: bool) -> Result<Self, String> {
        let mut parsed = Self {
            top: dialect.top,
            ..Self::default()
        };
        let mut seen = Vec::new();
        for (key, value) in urlencoded::pairs(query) {
            let (Some(key), Some(value)) = (key, value) else {
                return Err(query.to_owned());
            };
            match key.as_str() {
                "$filter" => parsed.filter = filter(&value, dialect).ok_or(value)?,
                "$top" => parsed.top = top(&value, dialect.top)?,
                "$skip" => parsed.skip = number(&value).ok_or(value)?,
                "$expand" if dialect.expand_and_count && value == "alerts" => parsed.expand = true,
                "$count" if dialect.expand_and_count => {
                    parsed.count = value.parse().map_err(|_| value)?;
                }
                "$skiptoken" if link_followed => {}
                _ => return Err(key),
            }
            if seen.contains(&key) {
                return Err(format!("{key} is given twice"));
            }
            seen.push(key);
        }
        Ok(parsed)
    }

    pub fn matches(&self, incident: &Incident) -> bool {
        self.filter.iter().all(|comparison| match comparison {
            Comparison::LastUpdate(relation, at) => relation.holds(incident.last_update, *at),
            Comparison::Created(relation, at) => relation.holds(incident.created, *at),
            Comparison::Text { of, equal, value } => {
                (of(incident).as_deref() == Some(value)) == *equal
            }
        })
    }

    /// Before this instant nothing can match: it saves walking a large tenant.
    pub fn updated_from(&self) -> i64 {
        let bound = |comparison: &Comparison| match comparison {
            Comparison::LastUpdate(Relation::Ge | Relation::Gt | Relation::Eq, at) => Some(*at),
            _ => None,
        };
        let bounds = self.filter.iter().filter_map(bound);
        bounds.max().unwrap_or(i64::MIN)
    }
}

/// Section 3.1: a `$top` that is too large is refused, neither ignored nor cut.
fn top(value: &str, limit: usize) -> Result<usize, String> {
    match number(value) {
        None | Some(0) => Err(format!("Invalid value '{value}' for $top")),
        Some(top) if top > limit => Err(format!(
            "The limit of '{limit}' for Top query has been exceeded. The value from the incoming request is '{top}'."
        )),
        Some(top) => Ok(top),
    }
}

fn number(text: &str) -> Option<usize> {
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

impl Relation {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "ge" => Self::Ge,
            "gt" => Self::Gt,
            "le" => Self::Le,
            "lt" => Self::Lt,
            "eq" => Self::Eq,
            _ => return None,
        })
    }

    fn holds(self, left: i64, right: i64) -> bool {
        match self {
            Self::Ge => left >= right,
            Self::Gt => left > right,
            Self::Le => left <= right,
            Self::Lt => left < right,
            Self::Eq => left == right,
        }
    }
}

/// `property operator literal`, joined by `and`.
fn filter(text: &str, dialect: &Dialect) -> Option<Vec<Comparison>> {
    let words = words(text)?;
    let mut words = words.iter().map(String::as_str);
    let mut filter = Vec::new();
    loop {
        let property = (dialect.property)(words.next()?)?;
        filter.push(comparison(property, words.next()?, words.next()?)?);
        match words.next() {
            None => return Some(filter),
            Some("and") => {}
            Some(_) => return None,
        }
    }
}

/// Sections 1.1 and 3.1: times are unquoted, strings and enumerations quoted.
fn comparison(property: Property, operator: &str, literal: &str) -> Option<Comparison> {
    let instant = || Some((Relation::parse(operator)?, time::parse(literal)?));
    Some(match property {
        Property::LastUpdate => instant().map(|(how, at)| Comparison::LastUpdate(how, at))?,
        Property::Created => instant().map(|(how, at)| Comparison::Created(how, at))?,
        Property::Text { of, members } => {
            let equal = match operator {
                "eq" => true,
                "ne" => false,
                _ => return None,
            };
            let quoted = literal.strip_prefix('\'')?.strip_suffix('\'')?;
            let value = quoted.replace("''", "'");
            let known = members.is_none_or(|members| members.contains(&value.as_str()));
            known.then_some(Comparison::Text { of, equal, value })?
        }
    })
}

/// Splits at spaces, but not within quotes; a doubled quote is one that belongs to the text.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for letter in text.chars() {
        quoted ^= letter == '\'';
        match words.last_mut() {
            Some(word) if letter != ' ' || quoted => word.push(letter),
            _ => words.push(String::new()),
        }
    }
    words.retain(|word| !word.is_empty());
    (!quoted).then_some(words)
}

#[cfg(test)]
mod tests;
