//! Graph's words: enumerations in camel case, some members of which are told only to those who ask, and the filters.

use std::borrow::Cow;

use super::super::incident::Incident;
use super::super::odata::{Dialect, Property};

/// `$filter` on seven properties, `$top` up to 50, `$skip`, `$expand=alerts`, `$count`.
pub(super) const DIALECT: Dialect = Dialect {
    top: 50,
    property,
    expand_and_count: true,
};

/// Shown in place of members that came after a client was written.
const FUTURE: &str = "unknownFutureValue";

/// The members that every client knows; `awaitingAction` came later.
pub(super) const STATUSES: [&str; 6] = [
    "active",
    "resolved",
    "inProgress",
    "redirected",
    FUTURE,
    "awaitingAction",
];
const OLD_STATUSES: usize = 5;

const SEVERITIES: [&str; 6] = ["unknown", "informational", "low", "medium", "high", FUTURE];

const CLASSIFICATIONS: [&str; 5] = [
    "unknown",
    "falsePositive",
    "truePositive",
    "informationalExpectedActivity",
    FUTURE,
];

const DETERMINATIONS: [&str; 16] = [
    "unknown",
    "apt",
    "malware",
    "securityPersonnel",
    "securityTesting",
    "unwantedSoftware",
    "other",
    "multiStagedAttack",
    "compromisedUser",
    "phishing",
    "maliciousUserActivity",
    "clean",
    "insufficientData",
    "confirmedUserActivity",
    "lineOfBusinessApplication",
    FUTURE,
];

fn property(name: &str) -> Option<Property> {
    Some(match name {
        "lastUpdateDateTime" => Property::LastUpdate,
        "createdDateTime" => Property::Created,
        "status" => text(|incident| Some(camel(incident.status)), Some(&STATUSES)),
        "severity" => text(|incident| Some(severity(incident)), Some(&SEVERITIES)),
        "classification" => text(
            |incident| Some(camel(incident.classification)),
            Some(&CLASSIFICATIONS),
        ),
        "determination" => text(
            |incident| Some(camel(incident.determination)),
            Some(&DETERMINATIONS),
        ),
        "assignedTo" => text(
            |incident| incident.assigned_to.as_deref().map(Cow::Borrowed),
            None,
        ),
        _ => return None,
    })
}

fn text(
    of: fn(&Incident) -> Option<Cow<'_, str>>,
    members: Option<&'static [&'static str]>,
) -> Property {
    Property::Text { of, members }
}

pub(super) fn severity(incident: &Incident) -> Cow<'_, str> {
    camel(&incident.severity)
}

pub(super) fn status(incident: &Incident, members: bool) -> Cow<'_, str> {
    let status = camel(incident.status);
    let old = STATUSES.iter().take(OLD_STATUSES);
    if members || old.into_iter().any(|known| *known == status) {
        status
    } else {
        Cow::Borrowed(FUTURE)
    }
}

/// An alert's `serviceSource` or `detectionSource`.
pub(super) fn source(source: &'static str, members: bool) -> &'static str {
    match source {
        "microsoftDefenderForCloud" if !members => FUTURE,
        known => known,
    }
}

/// The Defender API's word in Graph's spelling.
pub(super) fn camel(word: &str) -> Cow<'_, str> {
    if matches!(word, "NotAvailable" | "UnSpecified") {
        return Cow::Borrowed("unknown");
    }
    let mut letters = word.chars();
    match letters.next() {
        Some(first) if first.is_uppercase() => {
            Cow::Owned(first.to_lowercase().chain(letters).collect())
        }
        _ => Cow::Borrowed(word),
    }
}
