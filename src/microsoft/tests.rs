//! Tests of several files of this module, and what they share.

mod defender;
mod graph;
pub(super) mod support;
mod versions;
