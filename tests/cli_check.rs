//! `incidentd check`, `token` and `consent` as an operator has them: the binary, a simulated Microsoft, a real Kafka.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "cli_check/command.rs"]
mod command;
#[path = "cli_check/fleet.rs"]
mod fleet;
#[path = "cli_check/kafka.rs"]
mod kafka;
#[path = "cli_check/offline.rs"]
mod offline;
mod support;
#[path = "cli_check/token.rs"]
mod token;
