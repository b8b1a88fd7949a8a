//! What an answer of Microsoft holds: pages cut into incidents, the few members that are read of each, and what makes a
//! version.

pub mod dead_letters;
pub mod further_alerts;
pub mod json;
mod members;
pub mod page;
pub mod reading;
pub mod significant;
pub mod version;
