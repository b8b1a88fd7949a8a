//! The changes of an incident, and the versions that they make.

use uuid::Uuid;

/// One version of one incident.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Version {
    /// The directory's id.
    pub tenant: Uuid,
    /// Its number in both APIs.
    pub incident: u64,
    /// The world's own count of the incident's changes, the first being 1; alert-only changes count as well.
    pub revision: u32,
}

/// What an analyst or a detection does to an incident.
#[derive(Clone, Debug)]
pub enum Update {
    /// In the Defender API's words. `AwaitingAction`, of Defender Experts, is Graph's alone, which shows it only on request
    /// (section 3.3).
    Status(&'static str),
    /// In the Defender API's words.
    Severity(String),
    /// An analyst's address. `None`: nobody.
    AssignedTo(Option<String>),
    /// One more custom tag.
    Tag(String),
    /// One more comment.
    Comment(String),
    /// That many more alerts.
    NewAlerts(usize),
    /// With this classification and determination, in the Defender API's words.
    Resolve(&'static str, &'static str),
    /// Active again, and its alerts in progress.
    Reopen,
}

/// Why the world refused an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Refused {
    #[error("there is no such tenant")]
    NoTenant,
    #[error("there is no such incident")]
    NoIncident,
    #[error("the incident has no alerts")]
    NoAlert,
    #[error("the incident was merged into another and no longer changes")]
    Redirected,
    #[error("the incidents cannot be merged: {0}")]
    NotMerged(&'static str),
}
