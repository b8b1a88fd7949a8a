//! The OData that the list takes, and no more: `$filter` on four properties, `$top` up to 100, `$skip`.

use super::form;
use super::incident::Incident;
use super::realm::{Reading, Realm};
use super::time;

pub(super) const PAGE_LIMIT: usize = 100;

const STATUSES: [&str; 4] = ["Active", "InProgress", "Resolved", "Redirected"];

/// In which order incidents are listed. The documentation says newest first; users say in none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    #[default]
    NewestFirst,
    OldestFirst,
    /// Arbitrary, but the same while an incident keeps its last update.
    Shuffled,
}

/// What one request asks for.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Listing {
    filter: Vec<Comparison>,
    pub top: usize,
    pub skip: usize,
    /// Came by a nextLink of an empty page.
    pub after_empty: bool,
}

#[derive(Debug, PartialEq)]
enum Comparison {
    LastUpdate(Relation, i64),
    Created(Relation, i64),
    Status { equal: bool, value: String },
    AssignedTo { equal: bool, value: String },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Relation {
    Ge,
    Gt,
    Le,
    Lt,
    Eq,
}

impl Listing {
    /// The error is what is invalid, for the message.
    pub fn parse(query: &str, link_followed: bool) -> Result<Self, String> {
        let mut listing = Self {
            top: PAGE_LIMIT,
            ..Self::default()
        };
        let mut seen = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(key), Some(value)) = (form::decode(key), form::decode(value)) else {
                return Err(pair.to_owned());
            };
            match key.as_str() {
                "$filter" => listing.filter = filter(&value).ok_or(value)?,
                "$top" => {
                    listing.top = number(&value)
                        .filter(|top| (1..=PAGE_LIMIT).contains(top))
                        .ok_or_else(|| {
                            format!("The limit of '100' for Top query, got '{value}'")
                        })?;
                }
                "$skip" => listing.skip = number(&value).ok_or(value)?,
                "$skiptoken" if link_followed => {
                    (listing.after_empty, listing.skip) = skip_token(&value).ok_or(value)?;
                }
                _ => return Err(key),
            }
            if seen.contains(&key) {
                return Err(format!("{key} is given twice"));
            }
            seen.push(key);
        }
        Ok(listing)
    }

    fn matches(&self, incident: &Incident) -> bool {
        self.filter.iter().all(|comparison| match comparison {
            Comparison::LastUpdate(relation, at) => relation.holds(incident.last_update, *at),
            Comparison::Created(relation, at) => relation.holds(incident.created, *at),
            Comparison::Status { equal, value } => (incident.status == value) == *equal,
            Comparison::AssignedTo { equal, value } => {
                (incident.assigned_to.as_ref() == Some(value)) == *equal
            }
        })
    }

    /// Before this instant nothing can match: it saves walking a large tenant.
    fn updated_from(&self) -> i64 {
        let bounds = self
            .filter
            .iter()
            .filter_map(|comparison| match comparison {
                Comparison::LastUpdate(Relation::Ge | Relation::Gt | Relation::Eq, at) => Some(*at),
                _ => None,
            });
        bounds.max().unwrap_or(i64::MIN)
    }

    fn ids(&self, realm: &Realm, order: Order) -> Vec<u64> {
        let matching = realm
            .updated_since(self.updated_from())
            .filter(|incident| self.matches(incident));
        let page = |ids: &mut dyn Iterator<Item = u64>| -> Vec<u64> {
            ids.skip(self.skip).take(self.top + 1).collect()
        };
        match order {
            Order::NewestFirst => page(&mut matching.rev().map(|incident| incident.id)),
            Order::OldestFirst => page(&mut matching.map(|incident| incident.id)),
            Order::Shuffled => {
                let mut keyed: Vec<_> = matching
                    .map(|i| (scatter(i.id, i.last_update), i.id))
                    .collect();
                keyed.sort_unstable();
                page(&mut keyed.into_iter().map(|(_, id)| id))
            }
        }
    }
}

/// What a page holds.
pub(super) struct Page {
    pub incidents: Vec<Reading>,
    /// Whether anything matches beyond it.
    pub more: bool,
}

pub(super) fn select(realm: &mut Realm, listing: &Listing, order: Order, permuted: bool) -> Page {
    let mut ids = listing.ids(realm, order);
    let more = ids.len() > listing.top;
    ids.truncate(listing.top);
    let read = |id| realm.read(id, permuted);
    Page {
        incidents: ids.into_iter().filter_map(read).collect(),
        more,
    }
}

/// The token of a nextLink: where to go on, and whether an empty page was given for it already.
pub(super) fn write_skip_token(after_empty: bool, skip: usize) -> String {
    format!("{}{skip:08x}", if after_empty { "e" } else { "s" })
}

fn skip_token(text: &str) -> Option<(bool, usize)> {
    let (kind, skip) = text.split_at_checked(1)?;
    let after_empty = match kind {
        "e" => true,
        "s" => false,
        _ => return None,
    };
    Some((after_empty, usize::from_str_radix(skip, 16).ok()?))
}

fn number(text: &str) -> Option<usize> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn scatter(id: u64, last_update: i64) -> u64 {
    let mixed = (id ^ (last_update as u64).rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9)
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
fn filter(text: &str) -> Option<Vec<Comparison>> {
    let words = words(text)?;
    let mut words = words.iter().map(String::as_str);
    let mut filter = Vec::new();
    loop {
        filter.push(comparison(words.next()?, words.next()?, words.next()?)?);
        match words.next() {
            None => return Some(filter),
            Some("and") => {}
            Some(_) => return None,
        }
    }
}

fn comparison(property: &str, operator: &str, literal: &str) -> Option<Comparison> {
    let instant = || Some((Relation::parse(operator)?, time::parse(literal)?));
    let string = || {
        let equal = match operator {
            "eq" => true,
            "ne" => false,
            _ => return None,
        };
        let quoted = literal.strip_prefix('\'')?.strip_suffix('\'')?;
        Some((equal, quoted.replace("''", "'")))
    };
    Some(match property {
        "lastUpdateTime" => instant().map(|(relation, at)| Comparison::LastUpdate(relation, at))?,
        "createdTime" => instant().map(|(relation, at)| Comparison::Created(relation, at))?,
        "status" => string()
            .filter(|(_, value)| STATUSES.contains(&value.as_str()))
            .map(|(equal, value)| Comparison::Status { equal, value })?,
        "assignedTo" => string().map(|(equal, value)| Comparison::AssignedTo { equal, value })?,
        _ => return None,
    })
}

/// Splits at spaces, but not within quotes; a doubled quote is one that belongs to the text.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for letter in text.chars() {
        match letter {
            ' ' if !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            _ => {
                quoted ^= letter == '\'';
                word.push(letter);
            }
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    (!quoted).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_filters_are_understood() {
        for (query, comparisons) in [
            ("", 0),
            ("$filter=lastUpdateTime+ge+2020-06-03T18:04:29.4633333Z", 1),
            (
                "%24filter=createdTime%20gt%202020-06-03T18%3A04%3A29Z%20and%20status%20eq%20'Active'",
                2,
            ),
            (
                "$filter=assignedTo+ne+'O''Neil and son'&$top=100&$skip=0",
                1,
            ),
            (
                "$filter=lastUpdateTime ge 2020-01-01T00:00:00Z and lastUpdateTime lt 2020-01-02T00:00:00Z",
                2,
            ),
        ] {
            let listing = Listing::parse(query, false);
            assert_eq!(listing.map(|l| l.filter.len()), Ok(comparisons), "{query}");
        }
    }

    #[test]
    fn all_else_is_refused() {
        for query in [
            "$top=101",
            "$top=0",
            "$top=ten",
            "$top=",
            "$top=+5",
            "$skip=-1",
            "$skip=1&$skip=2",
            "$orderby=lastUpdateTime",
            "$select=incidentId",
            "$expand=alerts",
            "$count=true",
            "$skiptoken=s00000000",
            "top=5",
            "$TOP=5",
            "$filter=",
            "$filter=severity eq 'High'",
            "$filter=incidentId eq 1",
            "$filter=status eq Active",
            "$filter=status eq 'active'",
            "$filter=status gt 'Active'",
            "$filter=status eq 'Active",
            "$filter=lastUpdateTime ge '2020-06-03T18:04:29Z'",
            "$filter=lastUpdateTime ge 2020-06-03T18:04:29+00:00",
            "$filter=lastUpdateTime ge 2020-06-03T18:04:29%2B00:00",
            "$filter=lastUpdateTime ge 2020-06-03T18:04:29.46333333Z",
            "$filter=lastUpdateTime GE 2020-06-03T18:04:29Z",
            "$filter=lastUpdateTime ne 2020-06-03T18:04:29Z",
            "$filter=lastupdatetime ge 2020-06-03T18:04:29Z",
            "$filter=(lastUpdateTime ge 2020-06-03T18:04:29Z)",
            "$filter=status eq 'Active' or status eq 'Resolved'",
            "$filter=status eq 'Active' and",
            "$filter=lastUpdateTime ge 2020-06-03T18:04:29Z%",
        ] {
            assert!(Listing::parse(query, false).is_err(), "{query} was taken");
        }
    }
}
