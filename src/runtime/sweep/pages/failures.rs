//! Failures found while reading a page.

use crate::core::health::failure::{Failure, Health, Reaction, Suspect};
use crate::runtime::limits::TooManyWaiting;

pub(super) fn endless_alerts() -> Failure {
    Failure::new(
        Health::Unreachable,
        Reaction::Backoff,
        "the pages of an incident's alerts lead on without an end",
        "Nothing to do unless it lasts: the incident is tried again.",
    )
    .suspecting(Suspect::Page)
}

pub(super) fn too_many_waiting(_: TooManyWaiting) -> Failure {
    slow_answer("too many other requests were silent already")
}

/// The failure to get a token: no page has failed, so no page content can be the cause.
pub(super) fn without_token(failure: Failure) -> Failure {
    failure.suspecting(Suspect::Nothing)
}

pub(super) fn slow_answer(why: &str) -> Failure {
    Failure::new(
        Health::Unreachable,
        Reaction::Backoff,
        format!("Microsoft's answer was slow, and was broken off: {why}"),
        "Nothing to do for this tenant: it is tried again. If many tenants show this, look at the network and Microsoft's \
         service health; or raise poll.max_concurrent, or poll.max_in_flight.",
    )
    .caused_by("slow answers")
}
