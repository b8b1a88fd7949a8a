//! Compares the table of keys with what reading and reloading do.

use std::collections::BTreeSet;

use super::super::{effective, keys};
use super::{NoLibraryChecks, with};
use crate::config::choices::Choice;
use crate::core::sources::SourceKind;

#[test]
fn every_default_of_the_table_can_be_read_and_holds() {
    let fixture = with("");
    let effective = effective(&fixture.main(), &fixture.environment, &NoLibraryChecks);
    let shown = effective.expect("valid").all();
    let mut looked_at = 0;
    for key in keys() {
        assert!(!key.about().is_empty(), "{}", key.path());
        let Some(default) = key.default() else {
            continue;
        };
        let (_, name) = key
            .path()
            .rsplit_once('.')
            .map_or(("", key.path()), |(a, b)| (a, b.into()));
        let holds = |line: &str| {
            let value = line.strip_prefix(&format!("{name} = "));
            value.is_some_and(|value| {
                value.trim_end().ends_with("# default")
                    && value.trim_start_matches('"').starts_with(default)
            })
        };
        assert!(
            shown.lines().any(holds),
            "{} is not {default}:\n{shown}",
            key.path()
        );
        looked_at += 1;
    }
    assert!(looked_at > 15, "{looked_at}");
}

#[test]
fn what_needs_a_restart_by_the_table_is_what_a_reload_names() {
    let before = with("").valid();
    let mut named = BTreeSet::new();
    for (key, value) in [
        ("poll.max_concurrent", "7"),
        ("poll.max_in_flight", "7MiB"),
        ("kafka.brokers", "other:1"),
        ("kafka.properties", "7"),
        ("ledger.kind", "kafka"),
        ("ledger.path", "/other"),
        ("ledger.topic", "other"),
        ("ledger.group", "other"),
        ("ledger.partitions", "7"),
        ("http.listen", "127.0.0.1:7"),
        ("http.hosts", "other"),
        ("http.metrics", "fleet"),
        ("http.socket", "/other"),
        ("log.format", "json"),
        ("log.level", "debug"),
        ("kafka.format", "raw"),
        ("kafka.topic", "other"),
        ("kafka.alerts_topic", "other"),
        ("kafka.status_topic", "other"),
        ("kafka.dead_letter_topic", "other"),
        ("poll.overlap", "7m"),
        ("api.source", "defender"),
    ] {
        let path = match key {
            "kafka.properties" => "kafka.properties.linger.ms",
            key => key,
        };
        let variable = format!("INCIDENTD__{}", path.to_uppercase().replace('.', "__"));
        let after = with("").with_env(&variable, value).valid();
        let found = before.restart_needed(&after);
        assert!(found.is_empty() || found == [key], "{key}: {found:?}");
        named.extend(found);
    }
    let by_table = keys().filter(|key| !key.is_reloadable());
    let by_table: BTreeSet<String> = by_table.map(|key| key.path()).collect();
    let named = named.into_iter().map(str::to_owned);
    assert_eq!(named.collect::<BTreeSet<_>>(), by_table);
}

#[test]
fn a_source_is_called_in_the_configuration_as_everywhere() {
    for (name, source) in SourceKind::NAMES {
        assert_eq!(source.facts().name, *name);
    }
}
