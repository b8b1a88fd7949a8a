//! Graph's words: enumerations in camel case, some members of which are told only to those who ask, and the filters. From
//! sections 3.1, 3.3 and, for determinations and sources, 9.

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
    "compromisedAccount",
    "phishing",
    "maliciousUserActivity",
    "notMalicious",
    "notEnoughDataToValidate",
    "confirmedActivity",
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
            |incident| Some(determination(incident)),
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

/// The members of an alert's `serviceSource` and `detectionSource` that came later. Which of those of 2026 are shown without
/// being asked for is not documented: none is.
const NEW_SOURCES: [&str; 5] = [
    "microsoftDefenderForCloud",
    "microsoftSentinel",
    "microsoftInsiderRiskManagement",
    "microsoftThreatIntelligence",
    "microsoftSecurityForAI",
];

/// An alert's `serviceSource` or `detectionSource`.
pub(super) fn source(source: &'static str, members: bool) -> &'static str {
    match members || !NEW_SOURCES.contains(&source) {
        true => source,
        false => FUTURE,
    }
}

/// On the wire Graph has other words for some determinations than the Defender API, and than its own documentation had.
pub(super) fn determination(incident: &Incident) -> Cow<'_, str> {
    Cow::Borrowed(match incident.determination {
        "CompromisedUser" => "compromisedAccount",
        "Clean" => "notMalicious",
        "InsufficientData" | "NoEnoughDataToValidate" => "notEnoughDataToValidate",
        "ConfirmedUserActivity" => "confirmedActivity",
        other => return camel(other),
    })
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
