//! The binary as a process, against the simulator and a real Apache Kafka: what an operator sees of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "daemon/notify.rs"]
mod notify;
#[path = "daemon/outputs.rs"]
mod outputs;
#[path = "daemon/records.rs"]
mod records;
#[path = "daemon/reload.rs"]
mod reload;
#[path = "daemon/starting.rs"]
mod starting;
#[path = "daemon/stopping.rs"]
mod stopping;
mod support;
#[path = "daemon/surface.rs"]
mod surface;
