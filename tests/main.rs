//! The integration tests, in one binary, which links once. Each module covers one subject, in the file of its name, and
//! `tests/run --test NAME` runs one module.
//!
//! Most of these tests mostly wait, so `tests/run` runs them in parallel. The tests of the modules `fleet`,
//! `isolation`, `memory` and `reload` measure times or memory on a machine that does nothing else: `tests/run` runs
//! them afterwards, one at a time. Put a test that measures into one of these modules.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// Real processes need real time.
#![allow(clippy::disallowed_methods)]

mod alerts;
mod canary;
mod changes;
mod chart;
mod cli_check;
mod cli_config;
mod cli_status;
mod cli_tap;
mod crash;
mod credentials;
mod daemon;
mod docs;
mod fault_matrix;
mod field_faults;
mod fleet;
mod isolation;
mod kafka_ledger;
mod kafka_limits;
mod kafka_oauth;
mod kafka_publisher;
mod kafka_security;
mod memory;
mod monitoring;
mod newcomer;
mod operator;
mod outage;
mod records;
mod release;
mod reload;
mod secrets;
mod sources;
mod status_page;
mod support;
