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
    Instant(fn(&Incident) -> i64),
    Text(fn(&Incident) -> Option<&str>),
    /// With its members, which spaces separate.
    Enumeration(fn(&Incident) -> Cow<'_, str>, &'static str),
}

/// What one request asks for.
#[derive(Default)]
pub(super) struct Query {
    filter: Vec<Comparison>,
    /// Incidents that were last updated earlier can't match, so that a large tenant need not be read whole.
    pub updated_from: i64,
    pub top: usize,
    pub skip: usize,
    pub expand: bool,
    pub count: bool,
}

type Comparison = Box<dyn Fn(&Incident) -> bool>;

impl Query {
    /// The error names what is invalid. `link_followed`: the `$skiptoken` is known to be valid.
    pub fn parse(query: &str, dialect: &Dialect, link_followed: bool) -> Result<Self, String> {
        let mut parsed = Self {
            top: dialect.top,
            updated_from: i64::MIN,
            ..Self::default()
        };
        let mut seen = Vec::new();
        for (key, value) in urlencoded::pairs(query) {
            let (Some(key), Some(value)) = (key, value) else {
                return Err(query.to_owned());
            };
            match key.as_str() {
                "$filter" => parsed.filter(&value, dialect).ok_or(value)?,
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
        self.filter.iter().all(|comparison| comparison(incident))
    }

    /// `property operator literal`, joined by `and`.
    fn filter(&mut self, text: &str, dialect: &Dialect) -> Option<()> {
        let words = words(text)?;
        let mut words = words.iter().map(String::as_str);
        loop {
            let property = (dialect.property)(words.next()?)?;
            let comparison = self.comparison(property, words.next()?, words.next()?)?;
            self.filter.push(comparison);
            match words.next() {
                None => return Some(()),
                Some("and") => {}
                Some(_) => return None,
            }
        }
    }

    /// Sections 1.1 and 3.1: times are unquoted, strings and enumerations quoted.
    fn comparison(
        &mut self,
        property: Property,
        operator: &str,
        literal: &str,
    ) -> Option<Comparison> {
        match (property, operator) {
            (Property::Instant(of), _) => {
                let holds: fn(&i64, &i64) -> bool = match operator {
                    "ge" => i64::ge,
                    "gt" => i64::gt,
                    "le" => i64::le,
                    "lt" => i64::lt,
                    "eq" => i64::eq,
                    _ => return None,
                };
                let at = time::parse(literal)?;
                // No incident is created after its last update: a bound of either time bounds the update.
                if matches!(operator, "ge" | "gt" | "eq") {
                    self.updated_from = self.updated_from.max(at);
                }
                Some(Box::new(move |incident| holds(&of(incident), &at)))
            }
            (property, "eq" | "ne") => {
                let equal = operator == "eq";
                let quoted = literal.strip_prefix('\'')?.strip_suffix('\'')?;
                let value = quoted.replace("''", "'");
                Some(match property {
                    Property::Text(of) => Box::new(move |i| (of(i) == Some(&*value)) == equal),
                    Property::Enumeration(of, members)
                        if members.split(' ').any(|m| m == value) =>
                    {
                        Box::new(move |i| (of(i) == *value) == equal)
                    }
                    _ => return None,
                })
            }
            _ => None,
        }
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

/// Splits at spaces outside of quotes. A doubled quote is a quote of the text.
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
