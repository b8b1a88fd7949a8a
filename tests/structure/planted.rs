//! The checker's own tests: sources that break one rule each, and some that only look like it.

use super::circles::circles;
use super::scan::Source;
use super::types::{double_names, globs_of_parents, large_structs};
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
        ("kafka/x.rs", "use reqwest::Client;", "reqwest, only"),
        (
            "kafka/x.rs",
            "#[allow(unsafe_code)] fn f() {}",
            "only kafka/oauth/hand_over.rs",
        ),
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
            "use crate::microsoft::REDIRECT_URI as D;",
            "simulator must not know microsoft::REDIRECT_URI",
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
            "use crate::runtime::limits::Permits;",
            "cli must not know runtime::limits::Permits",
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

fn scan(files: &[(&str, &str)]) -> Vec<Source> {
    let dependencies = dependencies();
    let scan = |(path, text): &(&str, &str)| Source::scan(path, text, &dependencies);
    files.iter().map(scan).collect()
}

#[test]
fn two_types_of_one_name_are_found() {
    for other in [
        "enum Place {}",
        "pub(crate) trait Place {}",
        "type Place = u8;",
        "union Place { a: u8 }",
        "mod inner { pub struct Place; }",
    ] {
        let sources = scan(&[("kafka/a.rs", "struct Place;"), ("core/b.rs", other)]);
        let found = double_names(&sources);
        assert_eq!(found.len(), 1, "{other}: {found:?}");
        assert_eq!(found["Place"].len(), 2, "{other}: {found:?}");
    }
    let sources = scan(&[
        ("kafka/a.rs", "struct Place; fn f() { struct Row; }"),
        ("core/b.rs", "#[cfg(test)] mod tests { struct Place; }"),
        ("simulator/c.rs", "struct Place;"),
        (
            "core/d.rs",
            "#[cfg(test)] mod fakes; impl Place {} fn f() { struct Row; }",
        ),
        ("core/d/fakes.rs", "struct Place;"),
        ("core/e.rs", "pub use super::Place; trait T { type Place; }"),
    ]);
    let found = double_names(&sources);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn large_structs_without_a_reason_are_found() {
    let fields = |count: usize| (0..count).map(|n| format!("f{n}: u8,")).collect::<String>();
    for (count, above, is_found) in [
        (12, "", false),
        (13, "", true),
        (13, "/// All there is.\n", true),
        (
            13,
            "/// All.\n// More than 12 fields: one for each metric.\n#[derive(Debug)]\n",
            false,
        ),
        (13, "// More than 12 fields: of another.\nstruct B;\n", true),
    ] {
        let text = format!("{above}pub struct A {{ {} }}", fields(count));
        let found = large_structs(&scan(&[("core/x.rs", &text)]));
        assert_eq!(!found.is_empty(), is_found, "{text}");
    }
}

#[test]
fn a_file_that_takes_all_of_its_parent_is_found() {
    for (text, is_found) in [
        ("use super::*;", true),
        ("use crate::core::*;", true),
        ("use super::ids::*;", false),
        ("#[cfg(test)] mod tests { use super::*; }", false),
    ] {
        let found = globs_of_parents(&scan(&[("core/x.rs", text)]));
        assert_eq!(!found.is_empty(), is_found, "{text}");
    }
}

#[test]
fn circles_between_files_are_found() {
    for (a, b, c) in [
        ("use super::b::B;", "fn f() { crate::core::a::g() }", ""),
        (
            "use super::b::B;",
            "use super::c;",
            "use crate::core::{a, ids};",
        ),
        // Through the parent's exports, by the bare name of its child, and within a macro.
        (
            "use super::b::B;",
            "fn f() { assert!(super::A::default()) }",
            "",
        ),
    ] {
        let parent = ("core/mod.rs", "mod a; mod b; mod c; pub use a::A;");
        let sources = scan(&[parent, ("core/a.rs", a), ("core/b.rs", b), ("core/c.rs", c)]);
        let found = circles(&sources);
        assert_eq!(found.len(), 1, "{b}: {found:?}");
    }
    let sources = scan(&[
        (
            "core/a.rs",
            "mod x; pub use self::x::X; use super::b::B; struct A;",
        ),
        // A child and its parent; a test; a word in a comment.
        ("core/a/x.rs", "use super::A; pub struct X;"),
        (
            "core/b.rs",
            "// crate::core::a\n#[cfg(test)] mod tests { use super::super::a::A; }",
        ),
    ]);
    let found = circles(&sources);
    assert!(found.is_empty(), "{found:?}");
}
