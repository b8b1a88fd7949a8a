//! How the daemon shows what it does: log lines, metrics, and the HTTP endpoints that serve them.
//!
//! No secret, token or assertion comes out here. Most of this promise is kept where the texts are made (see
//! [`crate::core::health::failure`]). This module keeps the rest: no trace lines of other crates (see [`logging`]), and no
//! label or field that is not in the contract.
//!
//! None of it may harm the daemon: a full disk under the log, a scrape without a reader, or a request without an end costs
//! at most the line, the scrape, the connection.

pub(crate) mod client;
pub mod clock;
pub(crate) mod control;
pub(crate) mod http;
pub(crate) mod logging;
pub mod metrics;
pub(crate) mod systemd;
