//! The alerts of an incident, one by one.

use std::borrow::Cow;

use super::json::{Begins, Broken, Scalar, Scanner};
use super::packed_id;
use super::reading::Shape;
use super::significant::{Compared, Significant, value};
use super::version::ContentHash;

/// The member that has the alerts, in both APIs.
pub(super) const ALERTS: &str = "alerts";

/// An alert of an incident.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlertReading<'a> {
    /// `None`: it has no id, or one that is longer than any of Microsoft's.
    pub id: Option<Cow<'a, str>>,
    /// Of its significant members.
    pub hash: ContentHash,
    /// As Microsoft sent it.
    pub raw: &'a [u8],
}

/// How an alert is read.
#[derive(Clone, Copy)]
pub(super) struct AlertTable {
    id: &'static str,
    compared: &'static Compared,
}

/// Where the table of significant members has the alerts, and how an alert is read.
pub(super) fn row(shape: &'static Shape) -> Option<(usize, AlertTable)> {
    let mut rows = shape.significant.iter().enumerate();
    rows.find_map(|(at, row)| match &row.compared {
        Compared::List(compared @ Compared::Object(members)) if row.name == ALERTS => {
            let is_id = |member: &&Significant| member.compared == Compared::Id;
            let id = members.iter().find(is_id)?.name;
            Some((at, AlertTable { id, compared }))
        }
        _ => None,
    })
}

/// The alerts of an incident, in order. If the member occurs twice, the last one counts. It ends early where the list can't be
/// followed any further; an incident that can't be followed to its end has none.
pub fn alerts<'a>(
    raw: &'a [u8],
    shape: &'static Shape,
) -> impl Iterator<Item = AlertReading<'a>> + use<'a> {
    let found = find(raw).unwrap_or_default().zip(row(shape));
    let entered = found.and_then(|(mut input, (_, table))| {
        let enters = input.enter(Begins::List);
        enters.then_some((input, table))
    });
    entered
        .into_iter()
        .flat_map(|(mut input, table)| std::iter::from_fn(move || next(&mut input, table).ok()?))
}

/// Where the alerts of an incident are.
fn find(raw: &[u8]) -> Result<Option<Scanner<'_>>, Broken> {
    let (mut input, mut alerts) = (Scanner::new(raw), None);
    if !input.enter(Begins::Object) {
        return Ok(None);
    }
    while let Some(key) = input.key()? {
        if key.is(ALERTS) {
            alerts = Some(input);
        }
        input.skip()?;
    }
    Ok(alerts)
}

/// The next alert of an entered list.
fn next<'a>(
    input: &mut Scanner<'a>,
    table: AlertTable,
) -> Result<Option<AlertReading<'a>>, Broken> {
    if !input.item()? {
        return Ok(None);
    }
    let mut start = *input;
    start.begins();
    Ok(Some(AlertReading {
        id: id(start, table.id),
        hash: ContentHash(value(input, table.compared)?),
        raw: start.up_to(input),
    }))
}

/// Calls `visit` with each alert of the next value until it returns `false`.
///
/// # Errors
/// It is no list, or can't be followed.
pub(super) fn each<'a>(
    input: &mut Scanner<'a>,
    table: AlertTable,
    mut visit: impl FnMut(AlertReading<'a>) -> bool,
) -> Result<(), Broken> {
    if !input.enter(Begins::List) {
        return Err(Broken(0));
    }
    while let Some(alert) = next(input, table)? {
        if !visit(alert) {
            return Ok(());
        }
    }
    Ok(())
}

/// The id of the next value. A number and a text with the same digits are one id, and zero is none, as they are compared.
fn id<'a>(mut input: Scanner<'a>, name: &str) -> Option<Cow<'a, str>> {
    let mut id = None;
    if !input.enter(Begins::Object) {
        return None;
    }
    while let Some(key) = input.key().ok()? {
        match key.is(name) {
            true => id = input.scalar().ok()?,
            false => {
                input.skip().ok()?;
            }
        }
    }
    let said = match id? {
        Scalar::Text(text) => text.said()?,
        Scalar::Token(digits) if digits.iter().all(u8::is_ascii_digit) => digits.into(),
        Scalar::Token(_) => return None,
    };
    if said.len() > packed_id::MOST || said.iter().all(|digit| *digit == b'0') {
        return None;
    }
    match said {
        Cow::Borrowed(said) => std::str::from_utf8(said).ok().map(Cow::Borrowed),
        Cow::Owned(said) => String::from_utf8(said).ok().map(Cow::Owned),
    }
}
