//! Why a request is refused. Each API has its own words for it, in its `errors.json`: sections 2.2 and 2.3 for the Defender
//! API, 3.2 and 9 for Graph.

use super::entra::{Issued, Resource, issuer};
use super::faults::{Effect, Hint};
use super::time;

pub(super) enum Refusal {
    NoToken,
    UnknownToken,
    /// Expired, or another resource's.
    WrongToken(Issued),
    Throttled(Hint),
    /// These are the permissions that its token has.
    NoRole(Vec<String>),
    Unlicensed,
    /// What is wrong with the query.
    Query(String),
    /// The link is not as it was given.
    AlteredLink,
    /// The link was good once. With this status.
    StaleLink(u16),
    /// No incident has this id.
    NoIncident(String),
    NoPath,
    /// The API's own error.
    Broken,
    /// Not a refusal: a poisoned incident does this in place of an answer.
    Fault(Effect),
}

impl Refusal {
    /// The name of the error in the table, and the values of its holes.
    pub fn words(&self, path: &str, resource: &Resource) -> (&'static str, Vec<String>) {
        match self {
            Self::NoToken => ("NoToken", vec![]),
            Self::UnknownToken => ("UnknownToken", vec![]),
            Self::WrongToken(issued) => {
                let own = issued.audience == resource.uri;
                let (from, until) = (time::format(issued.from), time::format(issued.until));
                let (app, issuer) = (issued.app.to_string(), issuer(issued.tenant));
                let values = vec![app, issued.audience.clone(), issuer, from, until];
                (if own { "ExpiredToken" } else { "WrongToken" }, values)
            }
            Self::Throttled(Hint::Seconds(seconds) | Hint::Date(seconds)) => {
                ("Throttled", vec![seconds.to_string()])
            }
            Self::Throttled(Hint::Text(seconds)) => ("ThrottledInText", vec![seconds.to_string()]),
            Self::Throttled(Hint::Nothing) => ("ThrottledWithoutTime", vec![]),
            Self::NoRole(roles) => ("NoRole", vec![roles.join(",")]),
            Self::Unlicensed => ("Unlicensed", vec![]),
            Self::Query(what) => ("Query", vec![what.clone()]),
            Self::AlteredLink => ("AlteredLink", vec![]),
            Self::StaleLink(410) => ("GoneLink", vec![]),
            Self::StaleLink(_) => ("StaleLink", vec![]),
            Self::NoIncident(id) => ("NoIncident", vec![id.clone()]),
            Self::NoPath => {
                let segment = path.rsplit('/').next().unwrap_or_default();
                ("NoPath", vec![path.to_owned(), segment.to_owned()])
            }
            Self::Broken | Self::Fault(_) => ("Broken", vec![]),
        }
    }
}
