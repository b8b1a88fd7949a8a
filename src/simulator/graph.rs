//! Microsoft Graph: `GET /v1.0/security/incidents`, `…/{id}` and `…/{id}/alerts`. Sections 3.1 (request), 3.2 (throttling,
//! errors), 3.5 (caveats) and 9 (the 403 of a token without the permission).
//!
//! An incident shows its alerts only with `$expand=alerts`. If it has very many, it shows the first, and a link to the others.

pub(super) mod document;

use std::borrow::Cow;

use super::entra::GRAPH;
use super::errors::Errors;
use super::faults::Api;
use super::incident::Incident;
use super::odata::{Dialect, Property};
use super::service::listing::ListRules;

pub(super) const LIST: &str = "/v1.0/security/incidents";
const METADATA: &str = "https://graph.microsoft.com/v1.0/$metadata#security/incidents";

/// `$filter` on seven properties, `$top` up to 50, `$skip`, `$expand=alerts`, `$count` (section 3.1).
const DIALECT: Dialect = Dialect {
    top: 50,
    property,
    expand_and_count: true,
};

/// Replaces members that came after a client was written (section 3.3).
const FUTURE: &str = "unknownFutureValue";

/// `awaitingAction` is shown on request only.
const STATUSES: &str = "active resolved inProgress redirected unknownFutureValue awaitingAction";
const SEVERITIES: &str = "unknown informational low medium high unknownFutureValue";
const CLASSIFICATIONS: &str =
    "unknown falsePositive truePositive informationalExpectedActivity unknownFutureValue";
const DETERMINATIONS: &str = "unknown apt malware securityPersonnel securityTesting unwantedSoftware other \
    multiStagedAttack compromisedAccount phishing maliciousUserActivity notMalicious notEnoughDataToValidate \
    confirmedActivity lineOfBusinessApplication unknownFutureValue";

/// The later members of an alert's `serviceSource` and `detectionSource`: here, all of them are shown on request only.
const NEW_SOURCES: &str = "microsoftDefenderForCloud microsoftSentinel microsoftInsiderRiskManagement \
    microsoftThreatIntelligence microsoftSecurityForAI";

/// How Graph behaves where the documentation leaves it open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GraphOptions {
    /// The most incidents on a page, whatever `$top` asks for.
    pub page: Option<usize>,
    /// Each page with incidents comes after an empty one that has a nextLink too.
    pub empty_pages: bool,
    /// The most alerts that an incident shows. It has a link to the others.
    pub alerts: Option<usize>,
    /// Times are cut to the millisecond.
    pub millis: bool,
}

pub(super) fn list_rules(options: GraphOptions) -> ListRules {
    ListRules {
        api: Api::Graph,
        path: LIST,
        context: METADATA,
        resource: &GRAPH,
        errors: Errors::new(include_str!("graph/errors.json")),
        error: include_str!("graph/error.json"),
        dialect: DIALECT,
        links: true,
        page: options.page,
        empty_pages: options.empty_pages,
    }
}

fn property(name: &str) -> Option<Property> {
    Some(match name {
        "lastUpdateDateTime" => Property::Instant(|incident| incident.last_update),
        "createdDateTime" => Property::Instant(|incident| incident.created),
        "status" => Property::Enumeration(|incident| camel(incident.status), STATUSES),
        "severity" => Property::Enumeration(severity, SEVERITIES),
        "classification" => Property::Enumeration(|i| camel(i.classification), CLASSIFICATIONS),
        "determination" => Property::Enumeration(determination, DETERMINATIONS),
        "assignedTo" => Property::Text(|incident| incident.assigned_to.as_deref()),
        _ => return None,
    })
}

fn severity(incident: &Incident) -> Cow<'_, str> {
    camel(&incident.severity)
}

fn status(incident: &Incident, members: bool) -> Cow<'_, str> {
    match camel(incident.status) {
        status if members || status != "awaitingAction" => status,
        _ => Cow::Borrowed(FUTURE),
    }
}

/// An alert's `serviceSource` or `detectionSource`.
fn source(source: &str, members: bool) -> &str {
    match members || !NEW_SOURCES.split(' ').any(|new| new == source) {
        true => source,
        false => FUTURE,
    }
}

/// Graph has other words for some determinations than the Defender API, and than its own documentation had (section 9).
fn determination(incident: &Incident) -> Cow<'_, str> {
    Cow::Borrowed(match incident.determination {
        "CompromisedUser" => "compromisedAccount",
        "Clean" => "notMalicious",
        "InsufficientData" | "NoEnoughDataToValidate" => "notEnoughDataToValidate",
        "ConfirmedUserActivity" => "confirmedActivity",
        other => return camel(other),
    })
}

/// The Defender API's word in Graph's spelling (section 3.5).
fn camel(word: &str) -> Cow<'_, str> {
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
