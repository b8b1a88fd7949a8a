//! The mapping of Microsoft's words to ECS 9.4: what a security analyst would change.
//!
//! Microsoft's words are those of both APIs; upper and lower case are equal. A word that is in no table has no field: the
//! incident itself has it.

use crate::record::view::Kind;

/// `event.severity`, in the numbers that Elastic's detection rules have.
pub(super) static SEVERITY: &[(&str, u8)] = &[
    ("informational", 1),
    ("low", 21),
    ("medium", 47),
    ("high", 73),
    ("critical", 99),
];

/// `event.category`, from the categories of the alerts. Tactics of MITRE ATT&CK are none: they are in `threat.tactic`.
/// `event.type` is `info`, which each of these allows.
pub(super) static CATEGORY: &[(&str, &str)] = &[
    ("Malware", "malware"),
    ("Ransomware", "malware"),
    ("UnwantedSoftware", "malware"),
    ("Phishing", "email"),
    ("Exploit", "intrusion_detection"),
];
pub(super) const TYPE: &str = "info";

/// A list of `related`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Related {
    Hash,
    Hosts,
    Ip,
    User,
}

/// Where in `related` an observation is. `None`: nowhere.
pub(super) fn related(kind: Kind) -> Option<Related> {
    match kind {
        Kind::Hash => Some(Related::Hash),
        Kind::Host | Kind::DeviceId => Some(Related::Hosts),
        Kind::Ip => Some(Related::Ip),
        Kind::Account | Kind::UserId | Kind::Email => Some(Related::User),
        Kind::Mac
        | Kind::GroupName
        | Kind::GroupId
        | Kind::EmailSubject
        | Kind::Url
        | Kind::FileName
        | Kind::FilePath
        | Kind::CommandLine
        | Kind::RegistryKey
        | Kind::RegistryValue
        | Kind::Resource => None,
    }
}
