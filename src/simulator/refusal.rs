//! Why a request is refused. Each API has its own words for it.

use serde_json::json;

use super::entra::Issued;
use super::faults::{Api, Effect, Hint};
use super::http::{Answer, Call};
use super::service::Service;
use super::{defender, graph, time};

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

/// The status, the code and the message.
pub(super) type Words = (u16, &'static str, String);

impl Service {
    /// The answer in the form of the API that was called: sections 2.1 and 3.2.
    pub fn refuse(&self, call: &Call<'_>, refusal: &Refusal) -> Answer {
        let now = self.world.now();
        let (status, error) = match call.api {
            Api::Defender => {
                let (status, code, message) = defender::words(refusal, call);
                let target = self.entra.guid();
                let error = json!({"code": code, "message": message, "target": target});
                (status, error)
            }
            Api::Graph => {
                let (status, code, message) = graph::words(refusal, call);
                let own = call.request.to_string();
                let client = call.header("client-request-id").unwrap_or(&own);
                let inner = json!({
                    "date": time::format_zoneless(now), "request-id": own, "client-request-id": client,
                });
                let error = json!({"code": code, "message": message, "innerError": inner});
                (status, error)
            }
        };
        let answer = Answer::json(status, &json!({"error": error}));
        match refusal {
            Refusal::Throttled(hint) => answer.hinting(*hint, now),
            _ => answer,
        }
    }
}
