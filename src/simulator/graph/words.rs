//! Graph's words: enumerations in camel case, some members of which are shown only on request, and the filters. Sections
//! 3.1 (filters), 3.3 (enumerations) and, for determinations and sources, 9.

use std::borrow::Cow;

use super::super::incident::Incident;
use super::super::odata::{Dialect, Property};

/// `$filter` on seven properties, `$top` up to 50, `$skip`, `$expand=alerts`, `$count` (section 3.1).
pub(super) const DIALECT: Dialect = Dialect {
    top: 50,
    property,
    expand_and_count: true,
};

/// Shown in place of members that came after a client was written (section 3.3).
const FUTURE: &str = "unknownFutureValue";

/// `awaitingAction` is shown on request only.
const STATUSES: &str = "active resolved inProgress redirected unknownFutureValue awaitingAction";
const SEVERITIES: &str = "unknown informational low medium high unknownFutureValue";
const CLASSIFICATIONS: &str =
    "unknown falsePositive truePositive informationalExpectedActivity unknownFutureValue";
const DETERMINATIONS: &str = "unknown apt malware securityPersonnel securityTesting unwantedSoftware other \
    multiStagedAttack compromisedAccount phishing maliciousUserActivity notMalicious notEnoughDataToValidate \
    confirmedActivity lineOfBusinessApplication unknownFutureValue";

/// The members of an alert's `serviceSource` and `detectionSource` that came later. Which of those of 2026 are shown
/// without a request is not documented: here, none is.
const NEW_SOURCES: &str = "microsoftDefenderForCloud microsoftSentinel microsoftInsiderRiskManagement \
    microsoftThreatIntelligence microsoftSecurityForAI";

fn property(name: &str) -> Option<Property> {
    let text = |of, members| Property::Text { of, members };
    Some(match name {
        "lastUpdateDateTime" => Property::Instant(|incident| incident.last_update),
        "createdDateTime" => Property::Instant(|incident| incident.created),
        "status" => text(|incident| Some(camel(incident.status)), Some(STATUSES)),
        "severity" => text(|incident| Some(severity(incident)), Some(SEVERITIES)),
        "classification" => text(
            |incident| Some(camel(incident.classification)),
            Some(CLASSIFICATIONS),
        ),
        "determination" => text(
            |incident| Some(determination(incident)),
            Some(DETERMINATIONS),
        ),
        "assignedTo" => text(
            |incident| incident.assigned_to.as_deref().map(Cow::Borrowed),
            None,
        ),
        _ => return None,
    })
}

pub(super) fn severity(incident: &Incident) -> Cow<'_, str> {
    camel(&incident.severity)
}

pub(super) fn status(incident: &Incident, members: bool) -> Cow<'_, str> {
    match camel(incident.status) {
        status if members || status != "awaitingAction" => status,
        _ => Cow::Borrowed(FUTURE),
    }
}

/// An alert's `serviceSource` or `detectionSource`.
pub(super) fn source(source: &str, members: bool) -> &str {
    match members || !NEW_SOURCES.split(' ').any(|new| new == source) {
        true => source,
        false => FUTURE,
    }
}

/// Graph has other words for some determinations than the Defender API, and than its own documentation had (section 9).
pub(super) fn determination(incident: &Incident) -> Cow<'_, str> {
    Cow::Borrowed(match incident.determination {
        "CompromisedUser" => "compromisedAccount",
        "Clean" => "notMalicious",
        "InsufficientData" | "NoEnoughDataToValidate" => "notEnoughDataToValidate",
        "ConfirmedUserActivity" => "confirmedActivity",
        other => return camel(other),
    })
}

/// The Defender API's word in Graph's spelling (section 3.5).
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
