//! An incident as the formats of others see it: the members that have a place in them, from both APIs.
//!
//! Invariants:
//! - Reading never fails. A member of another type than Microsoft documents is left out; where the bytes can't be followed
//!   any further, what was read until then counts. The incident itself passes through whole, beside what is read here.
//! - What is read has a limit, however large the incident is ([`Room`]): of a text its beginning, and of alerts and
//!   evidence the first ones. [`IncidentView::cut`] says that something was left out.

mod members;
mod read;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashSet;

use crate::core::time::ticks::Ticks;

pub(super) use members::{Kind, List, TextMember};

/// How much of an incident is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// Bytes of one text, as written. A text in a list has less.
    pub text: usize,
    /// Bytes that alerts and evidence have in a record, about.
    pub lists: usize,
}

impl Room {
    /// The most of both. Many readers refuse longer texts, or events of more than a mebibyte.
    pub(super) const MOST: Self = Self {
        text: 4 << 10,
        lists: 256 << 10,
    };
    /// Even a small incident has room for this much.
    const LEAST: usize = 4 << 10;

    /// In the record of an incident of this size.
    pub(super) fn of(incident: usize) -> Self {
        Self {
            lists: incident.saturating_add(Self::LEAST).min(Self::MOST.lists),
            ..Self::MOST
        }
    }

    /// In each part of an incident, which must not be larger than `limit`. Most of a part is for its alerts as they came.
    pub(super) fn of_part(limit: usize) -> Self {
        Self {
            text: (limit / 128).min(Self::MOST.text),
            lists: (limit / 4).min(Self::MOST.lists),
        }
    }
}

/// The texts of an object, by member. `None`: it is absent, empty, `null`, or neither a text nor a number.
#[derive(Debug, Default)]
pub(super) struct Texts<'a>([Option<Cow<'a, str>>; TextMember::COUNT]);

impl Texts<'_> {
    pub(super) fn get(&self, member: TextMember) -> Option<&str> {
        self.0[member as usize].as_deref()
    }

    /// The instant that the text is. `None` also for 0001-01-01, which Microsoft's servers write for a time that is not known.
    pub(super) fn instant(&self, member: TextMember) -> Option<Ticks> {
        const UNKNOWN: Ticks = Ticks(-621_355_968_000_000_000);
        let at = self.get(member)?.parse().ok();
        at.filter(|at| *at != UNKNOWN)
    }
}

/// An incident or an alert.
#[derive(Debug, Default)]
pub(super) struct ObjectView<'a> {
    pub texts: Texts<'a>,
    lists: [Vec<Cow<'a, str>>; List::COUNT],
}

impl ObjectView<'_> {
    pub(super) fn list(&self, list: List) -> impl ExactSizeIterator<Item = &str> {
        self.lists[list as usize].iter().map(|text| &**text)
    }

    /// The bytes of all its texts.
    fn size(&self) -> usize {
        let texts = self.texts.0.iter().flatten();
        let texts = texts.chain(self.lists.iter().flatten());
        texts.map(|text| text.len()).sum()
    }
}

/// One thing that evidence of an alert shows: an address, a file's hash, an account.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Observation<'a> {
    pub kind: Kind,
    pub value: Cow<'a, str>,
    /// Microsoft's name for it.
    pub name: &'static str,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct IncidentView<'a> {
    pub incident: ObjectView<'a>,
    pub alerts: Vec<ObjectView<'a>>,
    /// Each once, in the order of the evidence.
    pub observations: Vec<Observation<'a>>,
    seen: HashSet<(Kind, Cow<'a, str>)>,
    /// The first and the last activity of any alert.
    pub activity: Option<(Ticks, Ticks)>,
    /// Something was left out because it was too long or too much.
    pub cut: bool,
}
