//! The binary as a process, against the simulator and a real Apache Kafka: what an operator sees of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "daemon/records.rs"]
mod records;
#[path = "daemon/stopping.rs"]
mod stopping;
mod support;
