//! The checker's own tests: sources that break one rule each, and some that look like it.

use super::scan::Source;
use super::{MAX_FILE, MAX_MAIN, dependencies, offences};

fn check(path: &str, text: &str) -> Vec<String> {
    let dependencies = dependencies();
    offences(&[Source::scan(path, text, &dependencies)], &dependencies)
}

#[test]
fn what_breaks_a_rule_is_found() {
    for (path, text, offence) in [
        ("core/x.rs", "use tokio::time::sleep;", "the library tokio"),
        ("core/x.rs", "use rand::Rng;", "the library rand"),
        ("core/x.rs", "fn f() { reqwest::get(); }", "reqwest, only"),
        (
            "core/x.rs",
            "use crate::ports::Clock;",
            "core must not know ports::Clock",
        ),
        (
            "core/x.rs",
            "use super::super::ports;",
            "core must not know ports",
        ),
        (
            "core/x.rs",
            "mod a { use super::super::super::ports; }",
            "core must not know ports",
        ),
        (
            "core/x.rs",
            "use std::time::{Duration, SystemTime};",
            "clocks: SystemTime",
        ),
        (
            "core/x.rs",
            "use std::time::*; fn f() { Instant::now(); }",
            "clocks: Instant",
        ),
        ("core/x.rs", "use std::{fmt, fs};", "std::fs"),
        (
            "ports.rs",
            "use crate::runtime::health::board::Board;",
            "ports must not know runtime::health::board::Board",
        ),
        (
            "runtime/x.rs",
            "use crate::{core, ledger::LocalLedger};",
            "runtime must not know ledger::LocalLedger",
        ),
        (
            "runtime/x.rs",
            "fn f(_: crate::config::Settings) {}",
            "runtime must not know config::Settings",
        ),
        (
            "runtime/x/y.rs",
            "use super::super::super::app::App;",
            "runtime must not know app::App",
        ),
        (
            "kafka/x.rs",
            "use crate::record::Format;",
            "kafka must not know record::Format",
        ),
        (
            "ledger/mod.rs",
            "use super::kafka::Link;",
            "ledger must not know kafka::Link",
        ),
        (
            "ledger/mod.rs",
            "#[cfg(test)] mod tests { use crate::runtime::local_outlet; }",
            "ledger must not know runtime::local_outlet",
        ),
        (
            "simulator/x.rs",
            "use crate::microsoft::DEFENDER as D;",
            "simulator must not know microsoft::DEFENDER",
        ),
        (
            "config/x.rs",
            "use crate::ports::Clock;",
            "config must not know ports::Clock",
        ),
        (
            "app.rs",
            "use rdkafka::ClientConfig;",
            "rdkafka, only kafka may",
        ),
        (
            "app.rs",
            "type C = ::rdkafka::ClientConfig;",
            "rdkafka, only kafka may",
        ),
        (
            "app.rs",
            "use crate::cli::Cli;",
            "app must not know cli::Cli",
        ),
        (
            "cli/run.rs",
            "use crate::runtime::limits::Slots;",
            "cli must not know runtime::limits::Slots",
        ),
        (
            "cli/run.rs",
            "use crate::simulator::World;",
            "cli must not know simulator::World",
        ),
        (
            "cli/run.rs",
            "use crate::telemetry::metrics;",
            "cli must not know telemetry::metrics",
        ),
        (
            "cli/demo.rs",
            "use crate::kafka::{mock::MockBroker, KafkaPublisher};",
            "cli must not know kafka::KafkaPublisher",
        ),
        (
            "main.rs",
            "use incidentd::app::App;",
            "main must not know app::App",
        ),
        (
            "lib.rs",
            "pub use crate::core::ids;",
            "lib must not know core::ids",
        ),
        ("graph/x.rs", "use crate::core::ids;", "graph is a new part"),
        ("main.rs", &"\n".repeat(MAX_MAIN + 1), "more than 60"),
        ("core/x.rs", &"\n".repeat(MAX_FILE + 1), "more than 400"),
    ] {
        let found = check(path, text);
        assert_eq!(found.len(), 1, "{path}: {text}: {found:?}");
        assert!(found[0].contains(offence), "{path}: {text}: {found:?}");
    }
}

#[test]
fn what_keeps_the_rules_is_let_pass() {
    let long_tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "\n".repeat(MAX_FILE));
    for (path, text) in [
        (
            "core/x.rs",
            "//! See [`crate::ports`].\n/* use crate::app; /* nested */ tokio::spawn */",
        ),
        (
            "core/x.rs",
            r##"const A: &str = "use crate::app::App;"; const B: &str = r#"tokio::"x"#; const C: char = '"'; fn f<'a>() {}"##,
        ),
        (
            "core/x.rs",
            "use std::time::Duration; use super::ids::TenantId; use crate::core::time::ticks::{self, Ticks};",
        ),
        (
            "core/x.rs",
            "mod tests { use super::*; use super::super::ids; } fn f() { self::g(); }",
        ),
        ("core/x.rs", long_tests.as_str()),
        (
            "runtime/x.rs",
            "use tokio::time::Instant; use crate::{core::ids, ports::Clock, runtime::limits};",
        ),
        (
            "app/x.rs",
            "use crate::{runtime::limits, kafka::KafkaPublisher, config::settings::Settings};",
        ),
        (
            "cli/demo/x.rs",
            "use super::super::Failed; use crate::kafka::reader::Arrived; use crate::simulator::World;",
        ),
        ("main.rs", "use incidentd::cli::{self, Cli};"),
        ("lib.rs", "pub mod app; pub mod core;"),
    ] {
        let found = check(path, text);
        assert!(found.is_empty(), "{path}: {text}: {found:?}");
    }
}

#[test]
fn files_of_tests_may_be_long() {
    let dependencies = dependencies();
    let scan = |path: &str, text: &str| Source::scan(path, text, &dependencies);
    let long = "\n".repeat(MAX_FILE + 1);
    let declared = scan("runtime/mod.rs", "pub mod a;\n#[cfg(test)]\nmod fakes;\n");
    let found = offences(&[declared, scan("runtime/fakes.rs", &long)], &dependencies);
    assert!(found.is_empty(), "{found:?}");
    let declared = scan("runtime/mod.rs", "#[cfg(test)]\nmod tests;\nmod fakes;\n");
    let found = offences(&[declared, scan("runtime/fakes.rs", &long)], &dependencies);
    assert_eq!(found.len(), 1, "{found:?}");
}
