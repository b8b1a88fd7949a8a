//! Reads an incident into a view, in one pass without building a tree. See [`super`].

use std::borrow::Cow;
use std::net::IpAddr;

use crate::core::incident::json::{Begins, Broken, Scalar, Scanner};
use crate::core::time::ticks::Ticks;

use super::members::{ALERT, ALERT_ALONE, COMMENT, EVIDENCE, INCIDENT, Kind, Place, TextMember};
use super::{IncidentView, ObjectView, Observation, Room};

/// What an alert takes in a record beside its texts, about.
const ALERT_COST: usize = 384;
const OBSERVATION_COST: usize = 80;
/// The most items of a list of texts.
const ITEMS: usize = 64;
/// Evidence is not looked at below this depth.
const DEPTH: usize = 5;

impl<'a> IncidentView<'a> {
    /// Reads as much of an incident as there is room for.
    pub(in crate::record) fn of(raw: &'a [u8], room: Room) -> Self {
        let mut reader = Reader {
            view: Self::default(),
            room,
            spare: None,
        };
        let mut incident = ObjectView::default();
        // Where it breaks off, what was read until then counts.
        let _ = reader.object(&mut Scanner::new(raw), INCIDENT, &mut incident);
        Self {
            incident,
            ..reader.view
        }
    }

    /// Reads an alert that has a record of its own: as the incident, and as its only alert.
    pub(in crate::record) fn of_alert(raw: &'a [u8], room: Room) -> Self {
        let mut reader = Reader {
            view: Self::default(),
            room,
            spare: None,
        };
        let (mut alone, mut alert) = (ObjectView::default(), ObjectView::default());
        // As above.
        let _ = reader.object(&mut Scanner::new(raw), ALERT_ALONE, &mut alone);
        let _ = reader.read_alert(&mut Scanner::new(raw), &mut alert);
        Self {
            incident: alone,
            alerts: vec![alert],
            ..reader.view
        }
    }
}

struct Reader<'a> {
    view: IncidentView<'a>,
    /// What is left of it.
    room: Room,
    /// An alert that had nothing in it. A page can hold millions of these.
    spare: Option<Box<ObjectView<'a>>>,
}

impl<'a> Reader<'a> {
    /// Reads the members of the next value that have a place. If it is no object, it is skipped.
    fn object(
        &mut self,
        input: &mut Scanner<'a>,
        places: &[(&str, Place)],
        object: &mut ObjectView<'a>,
    ) -> Result<(), Broken> {
        if !input.enter(Begins::Object) {
            return input.skip().map(|_| ());
        }
        while let Some(key) = input.key()? {
            match places.iter().find(|(name, _)| key.is(name)) {
                Some((_, place)) => self.member(input, *place, object)?,
                None => {
                    input.skip()?;
                }
            }
        }
        Ok(())
    }

    fn member(
        &mut self,
        input: &mut Scanner<'a>,
        place: Place,
        object: &mut ObjectView<'a>,
    ) -> Result<(), Broken> {
        match place {
            // If a key occurs twice, the last value counts, as with most JSON readers.
            Place::Text(member) => {
                object.texts.0[member as usize] = self.text(input, self.room.text)?
            }
            Place::Into(list) => each(input, |input| {
                let text = self.text(input, self.room.text / 8)?;
                let texts = &mut object.lists[list as usize];
                if texts.len() == ITEMS {
                    self.view.cut = true;
                } else if let Some(text) = text.filter(|text| !texts.contains(text)) {
                    texts.push(text);
                }
                Ok(())
            })?,
            Place::Comments => each(input, |input| self.object(input, COMMENT, object))?,
            Place::Alerts => {
                self.view.alerts.clear();
                each(input, |input| self.alert(input))?;
            }
            Place::Evidence => self.evidence(input, None, DEPTH)?,
        }
        Ok(())
    }

    fn alert(&mut self, input: &mut Scanner<'a>) -> Result<(), Broken> {
        let mut alert = self.spare.take().unwrap_or_default();
        self.read_alert(input, &mut alert)?;
        if alert.size() == 0 {
            self.spare = Some(alert);
            return Ok(());
        }
        match self.room.take(alert.size() + ALERT_COST) {
            true => self.view.alerts.push(*alert),
            false => self.view.cut = true,
        }
        Ok(())
    }

    fn read_alert(
        &mut self,
        input: &mut Scanner<'a>,
        alert: &mut ObjectView<'a>,
    ) -> Result<(), Broken> {
        self.object(input, ALERT, alert)?;
        let at = |member| alert.texts.instant(member);
        if let Some(first) = at(TextMember::FirstActivity).or(at(TextMember::LastActivity)) {
            let last = at(TextMember::LastActivity).unwrap_or(first);
            self.see_activity(first.min(last), last.max(first));
        }
        Ok(())
    }

    fn see_activity(&mut self, first: Ticks, last: Ticks) {
        let (earliest, latest) = self.view.activity.unwrap_or((first, last));
        self.view.activity = Some((earliest.min(first), latest.max(last)));
    }

    /// Observes what the next value shows. `name`: the member that it belongs to, if that has a kind.
    fn evidence(
        &mut self,
        input: &mut Scanner<'a>,
        name: Option<(&'static str, Kind)>,
        depth: usize,
    ) -> Result<(), Broken> {
        let (kind, deeper) = (input.begins(), depth.checked_sub(1));
        match (kind, deeper, name) {
            (Begins::Object, Some(deeper), _) => {
                input.enter(kind);
                while let Some(key) = input.key()? {
                    let name = EVIDENCE.iter().find(|(name, _)| key.is(name));
                    self.evidence(input, name.copied(), deeper)?;
                }
            }
            (Begins::List, Some(deeper), _) => {
                input.enter(kind);
                while input.item()? {
                    self.evidence(input, name, deeper)?;
                }
            }
            (Begins::Text | Begins::Token, _, Some((name, kind))) => {
                if let Some(value) = self.text(input, self.room.text)? {
                    self.observe(Observation { kind, value, name });
                }
            }
            _ => {
                input.skip()?;
            }
        }
        Ok(())
    }

    fn observe(&mut self, observation: Observation<'a>) {
        let seen = (observation.kind, observation.value.clone());
        if !observation.is_plausible() || self.view.seen.contains(&seen) {
            return;
        }
        if !self.room.take(observation.value.len() + OBSERVATION_COST) {
            self.view.cut = true;
            return;
        }
        self.view.seen.insert(seen);
        self.view.observations.push(observation);
    }

    /// The next value, if it is a text that is not empty, or a number. Bytes that are no UTF-8, and halves of surrogate
    /// pairs, are replaced. A longer text is cut.
    fn text(
        &mut self,
        input: &mut Scanner<'a>,
        most: usize,
    ) -> Result<Option<Cow<'a, str>>, Broken> {
        let text = match input.scalar()? {
            Some(Scalar::Text(text)) => text,
            Some(Scalar::Token(token)) => return Ok(number(token).map(Cow::Borrowed)),
            None => return Ok(None),
        };
        let start = text.start(most);
        let said = match start.said() {
            Some(Cow::Borrowed(said)) => String::from_utf8_lossy(said),
            Some(Cow::Owned(said)) => String::from_utf8_lossy(&said).into_owned().into(),
            None => String::from_utf8_lossy(start.written()),
        };
        if start.written().len() < text.written().len() {
            self.view.cut = true;
            // The cut may be within a character.
            let whole = said.trim_end_matches(char::REPLACEMENT_CHARACTER);
            return Ok(Some(format!("{whole}…").into()));
        }
        Ok(Some(said).filter(|said| !said.is_empty()))
    }
}

impl Room {
    /// Whether the lists have room for this much.
    fn take(&mut self, bytes: usize) -> bool {
        let left = self.lists.checked_sub(bytes);
        self.lists = left.unwrap_or(self.lists);
        left.is_some()
    }
}

impl Observation<'_> {
    /// Readers refuse a whole event if an address in it is none.
    fn is_plausible(&self) -> bool {
        match self.kind {
            Kind::Ip => self.value.parse::<IpAddr>().is_ok(),
            Kind::Hash => {
                matches!(self.value.len(), 32 | 40 | 64)
                    && self.value.bytes().all(|digit| digit.is_ascii_hexdigit())
            }
            _ => true,
        }
    }
}

/// Calls `visit` at each item of a list, or at the value that stands in its place.
fn each<'a>(
    input: &mut Scanner<'a>,
    mut visit: impl FnMut(&mut Scanner<'a>) -> Result<(), Broken>,
) -> Result<(), Broken> {
    if !input.enter(Begins::List) {
        return visit(input);
    }
    while input.item()? {
        visit(input)?;
    }
    Ok(())
}

/// A number as it is written, whatever its size and precision.
fn number(token: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(token).ok()?;
    let begins = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    begins.then_some(text).filter(|text| text.len() <= 64)
}
