//! How the daemon shows what it does: log lines, metrics, and the HTTP endpoints that serve them.
//!
//! No secret, token or assertion comes out here. Most of that is owed by those who make the texts (see
//! [`crate::core::health::failure`]); this module owes the rest: no other crate's trace lines (see [`logging`]), and no label
//! or field that is not named in the contract.
//!
//! None of it may harm the daemon: a full disk under the log, a scrape that nobody reads, or a caller that never ends
//! its request costs at most the line, the scrape, the connection.

pub mod client;
pub mod clock;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod systemd;
