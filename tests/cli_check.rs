//! `incidentd check`, `token` and `consent` as an operator uses them: the binary, a simulated Microsoft, a real Kafka.

mod command;
mod fleet;
mod kafka;
mod ledger;
mod offline;
mod reload;
mod token;
