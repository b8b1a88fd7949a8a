//! The health of every tenant: the board that holds it, its log lines, and its records for the status topic.

pub mod board;
pub mod expiry;
pub mod log;
pub mod reports;
pub mod topic;
