//! Tests of several files of this module, and what they share.

#[path = "../../tests/support/certificates.rs"]
pub(super) mod certificates;
mod defender;
mod graph;
pub(super) mod support;
mod versions;
