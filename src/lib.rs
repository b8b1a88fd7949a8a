#![forbid(unsafe_code)]

pub mod app;
pub mod cli;
pub mod config;
pub mod core;
pub mod kafka;
pub mod ledger;
pub mod microsoft;
pub mod ports;
pub mod record;
pub mod runtime;
#[cfg(feature = "demo")]
pub mod simulator;
pub mod telemetry;
