//! Tests of several files of this module, and what they share.

pub(super) mod support;
mod versions;
