//! Tests of several files of this module, and what they share.

#[allow(
    clippy::duplicate_mod,
    reason = "adapters, and the tests outside, do not share modules"
)]
#[path = "../../tests/support/certificates.rs"]
pub(super) mod certificates;
mod defender;
mod graph;
pub(super) mod support;
mod versions;
