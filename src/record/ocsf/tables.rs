//! The mapping of Microsoft's words to OCSF 1.8.0: what a security analyst would change.
//!
//! Microsoft's words are those of both APIs; upper and lower case are equal. A word that is in no table is 99 (Other), with
//! Microsoft's word as its caption; an absent one is 0 (Unknown).

use crate::core::incident::version::Change;
use crate::record::view::Kind;

/// One of OCSF's enumerations.
pub(super) struct Enumeration {
    /// Microsoft's words, and their ids.
    pub words: &'static [(&'static str, u8)],
    /// OCSF's captions of these ids.
    pub captions: &'static [(u8, &'static str)],
}

/// The `class_uid` of a class and its caption.
pub(super) type OcsfClass = (u16, &'static str);

pub(super) const INCIDENT_FINDING: OcsfClass = (2005, "Incident Finding");
/// Of an alert's own record.
pub(super) const DETECTION_FINDING: OcsfClass = (2004, "Detection Finding");

/// `activity_id`: what became of the incident, or of the alert.
pub(super) fn activity(change: Change) -> (u8, &'static str) {
    match change {
        Change::Created => (1, "Create"),
        Change::Updated | Change::Reopened => (2, "Update"),
        Change::Resolved | Change::Redirected => (3, "Close"),
    }
}

/// `severity_id`
pub(super) static SEVERITY: Enumeration = Enumeration {
    words: &[
        ("unknown", 0),
        ("unSpecified", 0),
        ("informational", 1),
        ("low", 2),
        ("medium", 3),
        ("high", 4),
    ],
    captions: &[
        (0, "Unknown"),
        (1, "Informational"),
        (2, "Low"),
        (3, "Medium"),
        (4, "High"),
    ],
};

/// `status_id`. Microsoft's word itself is the `status_code`.
pub(super) static STATUS: Enumeration = Enumeration {
    words: &[
        ("active", 1),
        ("inProgress", 2),
        ("awaitingAction", 3),
        ("resolved", 4),
        ("redirected", 5),
    ],
    captions: &[
        (0, "Unknown"),
        (1, "New"),
        (2, "In Progress"),
        (3, "On Hold"),
        (4, "Resolved"),
        (5, "Closed"),
    ],
};

/// `status_id` of an alert's own record: its class has other captions.
pub(super) static ALERT_STATUS: Enumeration = Enumeration {
    words: &[
        ("unknown", 0),
        ("new", 1),
        ("active", 1),
        ("inProgress", 2),
        ("resolved", 4),
    ],
    captions: &[
        (0, "Unknown"),
        (1, "New"),
        (2, "In Progress"),
        (4, "Resolved"),
    ],
};

/// `verdict_id`, from the classification ...
pub(super) static VERDICT: Enumeration = Enumeration {
    words: &[
        ("unknown", 0),
        ("falsePositive", 1),
        ("truePositive", 2),
        ("informationalExpectedActivity", 5),
        ("informational, expected activity", 5),
    ],
    captions: &[
        (0, "Unknown"),
        (1, "False Positive"),
        (2, "True Positive"),
        (5, "Benign"),
        (6, "Test"),
        (7, "Insufficient Data"),
    ],
};

/// ... except for these determinations, which say more.
pub(super) static VERDICT_BY_DETERMINATION: &[(&str, u8)] = &[
    ("securityTesting", 6),
    ("notEnoughDataToValidate", 7),
    ("noEnoughDataToValidate", 7),
    ("insufficientData", 7),
];

/// Determinations that say nothing. All others are the finding's `types`.
pub(super) static NO_DETERMINATION: &[&str] = &["unknown", "notAvailable", "unknownFutureValue"];

/// `priority_id` of the least score that has it: Defender's portal shows these three ranges.
pub(super) static PRIORITY: &[(i64, u8, &str)] =
    &[(86, 4, "Critical"), (15, 2, "Medium"), (i64::MIN, 1, "Low")];

/// `analytic.type_id`, from the alert's `detectionSource`. Most sources say which product it was, and not how it works.
pub(super) static ANALYTIC: Enumeration = Enumeration {
    words: &[
        ("unknown", 0),
        ("customDetection", 1),
        ("scheduledAlerts", 1),
        ("nrtAlerts", 1),
        ("appGovernancePolicy", 1),
        ("microsoftDataLossPrevention", 1),
        ("builtInMl", 4),
    ],
    captions: &[(0, "Unknown"), (1, "Rule"), (4, "Learning (ML/DL)")],
};

/// `observables[].type_id`
pub(super) fn observable(kind: Kind) -> (u8, &'static str) {
    match kind {
        Kind::Host => (1, "Hostname"),
        Kind::Ip => (2, "IP Address"),
        Kind::Mac => (3, "MAC Address"),
        Kind::Account => (4, "User Name"),
        Kind::Email => (5, "Email Address"),
        Kind::Url => (6, "URL String"),
        Kind::FileName => (7, "File Name"),
        Kind::Hash => (8, "Hash"),
        Kind::Resource => (10, "Resource UID"),
        Kind::CommandLine => (13, "Command Line"),
        Kind::RegistryValue => (29, "Registry Value"),
        Kind::UserId => (31, "User Object: uid"),
        Kind::GroupName => (32, "Group Object: name"),
        Kind::GroupId => (33, "Group Object: uid"),
        Kind::EmailSubject => (40, "Email Object: subject"),
        Kind::FilePath => (45, "File Path"),
        Kind::RegistryKey => (46, "Registry Key Path"),
        Kind::DeviceId => (47, "Device Object: uid"),
    }
}
