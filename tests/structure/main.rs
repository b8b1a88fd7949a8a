//! The dependency rules of the architecture, checked from the source:
//! `main → cli → app → {config, runtime, adapters} → {ports, settings} → core`.
//!
//! Adapters don't depend on one another, the core is pure, and each library that the program could depend on heavily
//! has one place. Tests within `src/` follow the same rules. The sources in `planted` show what each rule refuses.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod alerts;
mod circles;
mod docs;
mod image;
mod log;
mod planted;
mod scan;
mod types;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use scan::Source;

const MAX_MAIN: usize = 60;
const MAX_FILE: usize = 400;

const ADAPTERS: [&str; 6] = [
    "kafka",
    "ledger",
    "microsoft",
    "record",
    "simulator",
    "telemetry",
];

/// Which parts of the crate a module may name besides itself.
const ARROWS: [(&str, &[&str]); 8] = [
    ("core", &[]),
    ("ports", &["core"]),
    ("settings", &["core"]),
    ("config", &["settings", "core"]),
    ("runtime", &["ports", "core"]),
    (
        "app",
        &[
            "runtime",
            "kafka",
            "ledger",
            "microsoft",
            "record",
            "simulator",
            "telemetry",
            "config",
            "settings",
            "ports",
            "core",
        ],
    ),
    // Beyond `app`: what a command reads (config), what it says (core's words) and how it logs.
    (
        "cli",
        &["app", "config", "settings", "core", "telemetry::logging"],
    ),
    ("main", &["cli"]),
];

/// Exceptions to the rules: which module, what it names, and why.
const EXCEPTIONS: [(&str, &str, &str); 7] = [
    (
        "cli::daemon",
        "telemetry::client",
        "it asks a running daemon's endpoints, and both sides of them are telemetry's",
    ),
    (
        "cli::status",
        "telemetry::clock",
        "when no daemon answers, the own clock is the only one",
    ),
    ("cli::status", "ports::Clock", "that clock's only method"),
    (
        "cli::run",
        "ledger::LedgerError",
        "a locked ledger and a damaged one end the process with different codes",
    ),
    (
        "cli::demo",
        "simulator",
        "the demo brings its own Microsoft, and holds the topic against its journal",
    ),
    ("cli::demo", "kafka::mock", "the demo brings its own Kafka"),
    (
        "cli::demo",
        "kafka::reader",
        "the demo shows and counts what is in the topic",
    ),
];

/// Libraries that only some modules may name.
const OWNERS: [(&str, &[&str]); 12] = [
    ("rdkafka", &["kafka"]),
    ("redb", &["ledger"]),
    ("reqwest", &["microsoft", "simulator", "kafka::oauth"]),
    ("rustls", &["microsoft", "simulator", "kafka::oauth"]),
    ("axum", &["telemetry", "simulator"]),
    ("hyper", &["telemetry"]),
    ("prometheus_client", &["telemetry"]),
    ("tokio_cron_scheduler", &["runtime"]),
    ("clap", &["cli", "main"]),
    ("anyhow", &["cli", "main"]),
    ("signal_hook", &["cli"]),
    ("toml", &["config"]),
];

/// All libraries that the core may use: data, arithmetic and text.
const CORE_LIBRARIES: [&str; 12] = [
    "std",
    "bytes",
    "chrono",
    "croner",
    "memchr",
    "proptest",
    "secrecy",
    "serde",
    "serde_json",
    "thiserror",
    "uuid",
    "xxhash_rust",
];

/// The parts of `std` that reach the outside world: disks, networks, threads. Clocks are found by their names.
const WORLD: [&str; 7] = [
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::thread",
    "std::os",
];

/// Every offence in these sources, one line each.
fn offences(sources: &[Source], dependencies: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        for named in &source.paths {
            let offence = arrow_offence(source, &named.path)
                .or_else(|| library_offence(source, &named.path, dependencies));
            found.extend(offence.map(|why| format!("src/{}:{}: {why}", source.path, named.line)));
        }
        found.extend(size_offence(source, is_test(source, sources)));
        found.extend(clock_offence(source));
        found.extend(unsafe_offence(source));
    }
    found
}

/// Whether the whole file is compiled only for tests.
fn is_test(source: &Source, sources: &[Source]) -> bool {
    let module = source.module();
    let mut test_modules = sources.iter().flat_map(|source| &source.test_modules);
    test_modules.any(|tests| within(&module, tests))
}

fn within(path: &str, module: &str) -> bool {
    path.strip_prefix(module)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The part of the crate that a file belongs to.
fn part(source: &Source) -> &str {
    let path = source.path.trim_end_matches(".rs");
    path.split('/').next().unwrap_or(path)
}

fn arrow_offence(source: &Source, path: &str) -> Option<String> {
    let target = path.strip_prefix("crate::")?;
    let from = part(source);
    let module = source.module();
    let user = module.strip_prefix("crate::").unwrap_or(from);
    let allowed = ARROWS.iter().find(|(name, _)| *name == from);
    let allowed = match allowed {
        Some((_, allowed)) => *allowed,
        None if ADAPTERS.contains(&from) => &["ports", "settings", "core"],
        None if from == "lib" => &[],
        None => {
            return Some(format!(
                "{from} is a new part of the crate: give it a place in tests/structure"
            ));
        }
    };
    let permitted = within(target, from)
        || allowed.iter().any(|part| within(target, part))
        || EXCEPTIONS
            .iter()
            .any(|(who, what, _)| within(user, who) && within(target, what));
    (!permitted).then(|| format!("{from} must not know {target}"))
}

fn library_offence(source: &Source, path: &str, dependencies: &BTreeSet<String>) -> Option<String> {
    let root = path.split("::").next().unwrap_or(path);
    let from = part(source);
    let owners = OWNERS.iter().find(|(library, _)| *library == root);
    let module = source.module();
    let user = module.strip_prefix("crate::").unwrap_or(from);
    if let Some((library, owners)) = owners
        && !owners.iter().any(|owner| within(user, owner))
    {
        return Some(format!(
            "{from} must not know the library {library}, only {} may",
            owners.join(" and ")
        ));
    }
    if from != "core" {
        return None;
    }
    if WORLD.iter().any(|world| within(path, world)) {
        return Some(format!("the core must not reach the world through {path}"));
    }
    let library = dependencies.contains(root) && !CORE_LIBRARIES.contains(&root);
    library.then(|| format!("the core must not know the library {root}"))
}

/// By name alone, so that `use std::time::*` hides nothing.
fn clock_offence(source: &Source) -> Option<String> {
    let clocks = ["Instant", "SystemTime"];
    let clock = clocks.iter().find(|clock| source.words.contains(**clock))?;
    (part(source) == "core").then(|| {
        format!(
            "src/{}: the core must not know clocks: {clock}",
            source.path
        )
    })
}

/// One call of librdkafka that rdkafka does not wrap.
const UNSAFE: &str = "kafka/oauth/hand_over.rs";

fn unsafe_offence(source: &Source) -> Option<String> {
    let name = source.path.as_str();
    let allows = source.words.contains("unsafe_code") && !["lib.rs", UNSAFE].contains(&name);
    allows.then(|| format!("src/{name}: only {UNSAFE} may have unsafe code"))
}

fn size_offence(source: &Source, is_test: bool) -> Option<String> {
    let max = if source.path == "main.rs" {
        MAX_MAIN
    } else {
        MAX_FILE
    };
    let name = &source.path;
    let lines = source.lines;
    (lines > max && !is_test)
        .then(|| format!("src/{name}: {lines} lines without its tests, more than {max}: split it"))
}

/// The names of the dependencies, as code spells them.
fn dependencies() -> BTreeSet<String> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let text = fs::read_to_string(manifest).unwrap();
    let mut section = "";
    let mut names = BTreeSet::new();
    for line in text.lines() {
        if line.starts_with('[') {
            section = line;
        } else if let Some((name, _)) = line.split_once(" = ")
            && section.ends_with("dependencies]")
            // The crate `config` can't be distinguished from the module.
            && name != "config"
        {
            names.insert(name.replace('-', "_"));
        }
    }
    names
}

fn sources(folder: &Path, prefix: &str, into: &mut Vec<Source>) {
    let dependencies = dependencies();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            sources(&path, &format!("{prefix}{name}/"), into);
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).unwrap();
            into.push(Source::scan(
                &format!("{prefix}{name}"),
                &text,
                &dependencies,
            ));
        }
    }
}

/// Read once for all tests.
fn own_sources() -> &'static [Source] {
    static SOURCES: OnceLock<Vec<Source>> = OnceLock::new();
    SOURCES.get_or_init(|| {
        let mut found = Vec::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        sources(&root, "", &mut found);
        found
    })
}

#[test]
fn the_arrows_hold() {
    let offences = offences(own_sources(), &dependencies());
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

/// If the scanner found nothing, every rule would pass.
#[test]
fn the_scanner_sees_the_arrows_that_are_there() {
    let sources = own_sources();
    assert!(sources.len() > 50, "{} files", sources.len());
    for (file, path) in [
        ("main.rs", "crate::cli::Cli"),
        ("cli/run.rs", "crate::app::App"),
        ("app.rs", "crate::ledger::LedgerError"),
        ("app.rs", "crate::runtime::sweep::Sweeper"),
        ("app/connectors.rs", "crate::microsoft::Entra"),
        ("runtime/sweep.rs", "crate::runtime::sweep::live::LiveSweep"),
        ("runtime/sweep.rs", "crate::ports::Outlet"),
        ("ledger/store.rs", "crate::core::sweep::cursor::TenantState"),
        ("ports/delivery.rs", "crate::core::ids::TenantId"),
        ("kafka/queue.rs", "rdkafka::producer::FutureProducer"),
        (
            "core/time/spread.rs",
            "xxhash_rust::xxh3::xxh3_64_with_seed",
        ),
    ] {
        let source = sources.iter().find(|source| source.path == file);
        let source = source.unwrap_or_else(|| panic!("no {file}"));
        let found = source.paths.iter().any(|named| named.path == path);
        assert!(found, "{file} names {path}: {:?}", source.paths);
    }
    let fakes = "crate::runtime::fakes".to_owned();
    assert!(sources.iter().any(|s| s.test_modules.contains(&fakes)));
    for (user, what, _) in EXCEPTIONS {
        let used = sources.iter().any(|source| {
            within(&source.module(), &format!("crate::{user}"))
                && source
                    .paths
                    .iter()
                    .any(|named| within(&named.path, &format!("crate::{what}")))
        });
        assert!(
            used,
            "{user} does not use {what} any more: no exception needed"
        );
    }
}
