//! The alerts of a version that have records of their own, and what each such record says of its alert.

use std::borrow::Cow;

use super::alert_list::{ALERTS, AlertReading, alerts};
use super::changes::Changes;
use super::json::{Begins, Scalar, Scanner};
use super::reading::Shape;
use super::significant::{Compared, instant};
use super::version::{Change, ContentHash};
use crate::core::time::ticks::Ticks;

/// A version of an alert that was not published before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlertVersion<'a> {
    pub id: Cow<'a, str>,
    /// `None`: it can't be read.
    pub updated: Option<Ticks>,
    /// Of its significant members.
    pub hash: ContentHash,
    pub change: Change,
    /// As Microsoft sent it.
    pub raw: &'a [u8],
}

/// The alerts of an incident that are new or changed since its version that was published last. `change` and `changes` are
/// those of the incident. If it is not known which alerts differ, these are all alerts.
///
/// An alert without a readable id is left out, and so is what comes after a place from which the alerts can't be followed.
pub fn news<'a>(
    raw: &'a [u8],
    shape: &'static Shape,
    change: Change,
    changes: Option<&'a Changes>,
) -> impl Iterator<Item = AlertVersion<'a>> + use<'a> {
    alerts(raw, shape).filter_map(move |alert| {
        let is_new = is_new(alert.id.as_deref()?, change, changes)?;
        let state = AlertState::read(alert.raw, shape);
        let AlertReading { id, hash, raw } = alert;
        Some(AlertVersion {
            id: id?,
            updated: state.updated,
            hash,
            change: match (is_new, state.is_resolved) {
                (true, _) => Change::Created,
                (false, true) => Change::Resolved,
                (false, false) => Change::Updated,
            },
            raw,
        })
    })
}

/// Whether the version of the incident before did not have the alert. `None`: it had it in this form.
fn is_new(id: &str, change: Change, changes: Option<&Changes>) -> Option<bool> {
    match changes {
        None => Some(change == Change::Created),
        Some(Changes {
            alerts: Some(alerts),
            ..
        }) => alerts.is_news(id).then(|| alerts.is_added(id)),
        Some(Changes { members, .. }) => members.contains(&ALERTS).then_some(false),
    }
}

/// What is read of an alert that has a record of its own.
#[derive(Default)]
struct AlertState {
    updated: Option<Ticks>,
    is_resolved: bool,
}

impl AlertState {
    /// Where the alert breaks off, what was read until then counts.
    fn read(raw: &[u8], shape: &'static Shape) -> Self {
        let mut state = Self::default();
        let _ = state.collect(raw, updated_name(shape));
        state
    }

    fn collect(&mut self, raw: &[u8], updated: &str) -> Option<()> {
        let mut input = Scanner::new(raw);
        if !input.enter(Begins::Object) {
            return None;
        }
        while let Some(key) = input.key().ok()? {
            let value = input.scalar().ok()?;
            let Some(Scalar::Text(text)) = value else {
                continue;
            };
            if key.is(updated) {
                self.updated = text.said().and_then(|said| instant(&said));
            } else if key.is("status") {
                let said = text.said().unwrap_or_default();
                self.is_resolved = said.eq_ignore_ascii_case(b"resolved");
            }
        }
        Some(())
    }
}

/// The API's name of an alert's last update.
fn updated_name(shape: &'static Shape) -> &'static str {
    let mut rows = shape.significant.iter();
    let members = rows.find_map(|row| match &row.compared {
        Compared::List(Compared::Object(members)) if row.name == ALERTS => Some(members),
        _ => None,
    });
    let mut members = members.into_iter().copied().flatten();
    let time = members.find(|member| member.compared == Compared::Time);
    time.map_or("", |member| member.name)
}

#[cfg(test)]
mod tests;
