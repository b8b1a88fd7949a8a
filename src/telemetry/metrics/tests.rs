use super::*;
use crate::core::health::alarms::Alarm;
use crate::core::health::failure::Health;
use crate::core::health::status::{
    BackfillStatus, ConfigurationState, ConfigurationStatus, OwnershipCounts, OwnershipStatus,
    PartState, PartStatus, PartitionStatus, RunState, TenantStatus,
};
use crate::core::ids::TenantId;
use crate::core::ownership::PartitionStage;
use crate::core::time::ticks::Ticks;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The names and labels of the contract.
const PROMISED: &[(&str, &str, &str)] = &[
    ("incidentd_records_published_total", "counter", "change"),
    ("incidentd_api_requests_total", "counter", "source,status"),
    (
        "incidentd_api_request_duration_seconds",
        "histogram",
        "source",
    ),
    ("incidentd_token_requests_total", "counter", "outcome"),
    ("incidentd_throttled_total", "counter", "source"),
    ("incidentd_late_found_total", "counter", ""),
    ("incidentd_stale_readings_total", "counter", ""),
    ("incidentd_dead_letters_total", "counter", ""),
    ("incidentd_split_total", "counter", ""),
    ("incidentd_missed_firings_total", "counter", ""),
    ("incidentd_sweep_duration_seconds", "histogram", "source"),
    ("incidentd_publish_duration_seconds", "histogram", ""),
    ("incidentd_in_flight_bytes", "gauge", ""),
    ("incidentd_tenants", "gauge", "state"),
    ("incidentd_tenant_state", "gauge", "name,state,tenant"),
    (
        "incidentd_tenant_last_success_timestamp_seconds",
        "gauge",
        "tenant",
    ),
    ("incidentd_tenant_lag_seconds", "gauge", "tenant"),
    ("incidentd_tenant_overdue_seconds", "gauge", "tenant"),
    ("incidentd_tenant_backfill_open_seconds", "gauge", "tenant"),
    ("incidentd_tenant_alarm", "gauge", "tenant"),
    (
        "incidentd_credential_expiry_timestamp_seconds",
        "gauge",
        "tenant",
    ),
    ("incidentd_alarms", "gauge", ""),
    ("incidentd_credentials_ending", "gauge", ""),
    ("incidentd_config_last_reload_successful", "gauge", ""),
    (
        "incidentd_config_last_reload_success_timestamp_seconds",
        "gauge",
        "",
    ),
    ("incidentd_config_restart_needed", "gauge", ""),
    ("incidentd_kafka_state", "gauge", "state"),
    ("incidentd_ledger_state", "gauge", "state"),
    ("incidentd_ledger_versions", "gauge", ""),
    ("incidentd_max_lag_seconds", "gauge", ""),
    ("incidentd_max_overdue_seconds", "gauge", ""),
    ("incidentd_backfill_open_seconds", "gauge", ""),
    (
        "incidentd_next_credential_expiry_timestamp_seconds",
        "gauge",
        "",
    ),
    ("incidentd_ledger_partitions", "gauge", "state"),
    ("incidentd_ledger_topic_partitions", "gauge", ""),
    ("incidentd_ledger_fenced_total", "counter", ""),
    ("incidentd_ledger_partition_failures_total", "counter", ""),
    ("incidentd_build_info", "gauge", "version"),
    ("process_cpu_seconds_total", "counter", ""),
    ("process_resident_memory_bytes", "gauge", ""),
    ("process_open_fds", "gauge", ""),
    ("process_max_fds", "gauge", ""),
    ("process_start_time_seconds", "gauge", ""),
];

const ID: &str = "11111111-1111-1111-1111-111111111111";

fn tenant(number: u8, name: &str, state: Health) -> TenantStatus {
    TenantStatus {
        id: TenantId::from_bytes([number; 16]),
        name: name.into(),
        source: "defender",
        state,
        since: Ticks(0),
        remedy: Some("canary-remedy".into()),
        error: Some("canary-error".into()),
        alarm: None,
        cursor: Some(Ticks(0)),
        lag_seconds: Some(42),
        overdue_seconds: 12,
        last_success: Some(Ticks(17_000_000_005_000_000)),
        next_sweep: None,
        token_expires: None,
        credential_expires: Some(Ticks(17_000_036_000_000_000)),
        published: 3,
        backfill: None,
        late_found: 1,
    }
}

fn report(tenants: Vec<TenantStatus>) -> StatusReport {
    StatusReport {
        version: "1.2.3",
        started: Ticks(0),
        state: RunState::Running,
        configuration: ConfigurationStatus {
            state: ConfigurationState::Ok,
            loaded: Ticks::from_unix_seconds(1_700_000_000),
            restart_needed: Vec::new(),
            error: None,
        },
        alarms: Vec::new(),
        tenants,
        kafka: PartStatus {
            state: PartState::Ok,
            in_flight_bytes: Some(4096),
            error: None,
            remedy: None,
            ..PartStatus::OK
        },
        ledger: PartStatus {
            kind: Some("local"),
            state: PartState::Ok,
            versions: Some(77),
            error: None,
            remedy: None,
            ..PartStatus::OK
        },
        ownership: None,
    }
}

type Labels = BTreeMap<String, String>;

#[derive(Debug)]
struct Parsed {
    kind: String,
    samples: Vec<(String, Labels, f64)>,
}

/// Parses the format as strictly as its specification. Panics with the line that breaks it.
fn parse(text: &str) -> BTreeMap<String, Parsed> {
    assert!(text.ends_with('\n'), "the last line has no end");
    let mut families: BTreeMap<String, Parsed> = BTreeMap::new();
    let mut series = BTreeSet::new();
    let mut helped = String::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect(line);
            assert!(!help.is_empty(), "no help: {line}");
            helped = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect(line);
            assert_eq!(helped, name, "help and type disagree");
            current = name.to_owned();
            let fresh = Parsed {
                kind: kind.to_owned(),
                samples: Vec::new(),
            };
            let before = families.insert(current.clone(), fresh);
            assert!(before.is_none(), "{name} is declared twice");
        } else {
            let (name, labels, value) = sample(line);
            let family = families.get_mut(&current).expect(line);
            let suffix = name.strip_prefix(current.as_str()).expect(line);
            let allowed: &[&str] = match family.kind.as_str() {
                "histogram" => &["_bucket", "_sum", "_count"],
                "counter" | "gauge" => &[""],
                other => panic!("a type that nobody knows: {other}"),
            };
            assert!(allowed.contains(&suffix), "outside its family: {line}");
            let key = format!("{name} {labels:?}");
            assert!(series.insert(key), "a series twice: {line}");
            family.samples.push((name, labels, value));
        }
    }
    families
}

fn sample(line: &str) -> (String, Labels, f64) {
    let end = line.find(['{', ' ']).expect(line);
    let (name, mut rest) = line.split_at(end);
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    assert!(name.chars().all(word) && !name.is_empty(), "{line}");
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").expect(line);
            assert!(label.chars().all(word) && !label.is_empty(), "{line}");
            let (value, after) = quoted(after);
            let before = labels.insert(label.to_owned(), value);
            assert!(before.is_none(), "a label twice: {line}");
            match after.split_at(1) {
                (",", more) => rest = more,
                ("}", value) => {
                    rest = value;
                    break;
                }
                _ => panic!("{line}"),
            }
        }
    }
    let value = rest.strip_prefix(' ').expect(line);
    let value = if value == "+Inf" {
        f64::INFINITY
    } else {
        value.parse().expect(line)
    };
    (name.to_owned(), labels, value)
}

/// Reads up to the closing quote. Also returns the text after it.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => match chars.next().expect("an escape").1 {
                'n' => value.push('\n'),
                c @ ('\\' | '"') => value.push(c),
                other => panic!("no such escape: {other}"),
            },
            c => value.push(c),
        }
    }
    panic!("no closing quote in {text}");
}

fn value(families: &BTreeMap<String, Parsed>, family: &str, labels: &[(&str, &str)]) -> f64 {
    let labels: Labels = labels
        .iter()
        .map(|(label, value)| (label.to_string(), value.to_string()))
        .collect();
    let samples = &families[family].samples;
    let found = samples
        .iter()
        .find(|(name, has, _)| name == family && *has == labels);
    found
        .unwrap_or_else(|| panic!("no {family} {labels:?} in {samples:?}"))
        .2
}

#[test]
fn every_promised_name_is_there_from_the_start_and_no_other() {
    let metrics = Metrics::new(&["defender"]);
    let mut replica = report(vec![tenant(0x11, "contoso", Health::Ok)]);
    replica.ownership = Some(OwnershipStatus::default());
    let text = metrics.render(&replica);
    let families = parse(&text);
    for (name, kind, labels) in PROMISED {
        let family = families
            .get(*name)
            .unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(family.kind, *kind, "{name}");
        let (_, has, _) = family
            .samples
            .first()
            .unwrap_or_else(|| panic!("{name} has no sample"));
        let has: Vec<_> = has.keys().filter(|l| *l != "le").cloned().collect();
        assert_eq!(has.join(","), *labels, "{name}");
        if name.starts_with("incidentd_") && *kind == "counter" {
            let all = &family.samples;
            assert!(all.iter().all(|s| s.2 == 0.0), "{name} does not start at 0");
        }
    }
    let names: BTreeSet<_> = PROMISED.iter().map(|(name, ..)| *name).collect();
    let others: Vec<_> = families
        .keys()
        .filter(|n| !names.contains(n.as_str()))
        .collect();
    assert!(others.is_empty(), "not in the contract: {others:?}");
    assert!(!text.contains("canary"), "a free text became a metric");
}

#[test]
fn every_event_moves_its_series() {
    let metrics = Metrics::new(&["defender"]);
    let took = Duration::from_millis(300);
    let source = "defender";
    for status in [200, 429, 0, 777] {
        metrics.see(Event::ApiRequest {
            source,
            status,
            took,
        });
    }
    for change in Change::ALL {
        metrics.see(Event::Published { change });
    }
    metrics.see(Event::TokenRequest { ok: true });
    metrics.see(Event::TokenRequest { ok: false });
    metrics.see(Event::Throttled { source });
    metrics.see(Event::Throttled { source: "unheard" });
    metrics.see(Event::LateFound { count: 2 });
    metrics.see(Event::Stale { count: 3 });
    metrics.see(Event::DeadLetter);
    metrics.see(Event::Split);
    metrics.see(Event::MissedFirings { count: 4 });
    metrics.see(Event::Swept { source, took });
    metrics.see(Event::Acknowledged { took });
    let families = parse(&metrics.render(&report(vec![])));
    let is = |family: &str, labels: &[(&str, &str)], expected: f64| {
        assert_eq!(
            value(&families, family, labels),
            expected,
            "{family} {labels:?}"
        );
    };
    for status in ["200", "429", "none", "other"] {
        let labels = [("source", source), ("status", status)];
        is("incidentd_api_requests_total", &labels, 1.0);
    }
    for change in ["created", "updated", "resolved", "reopened", "redirected"] {
        is(
            "incidentd_records_published_total",
            &[("change", change)],
            1.0,
        );
    }
    is("incidentd_token_requests_total", &[("outcome", "ok")], 1.0);
    is(
        "incidentd_token_requests_total",
        &[("outcome", "failed")],
        1.0,
    );
    is("incidentd_throttled_total", &[("source", source)], 1.0);
    is("incidentd_throttled_total", &[("source", "other")], 1.0);
    is("incidentd_late_found_total", &[], 2.0);
    is("incidentd_stale_readings_total", &[], 3.0);
    is("incidentd_dead_letters_total", &[], 1.0);
    is("incidentd_split_total", &[], 1.0);
    is("incidentd_missed_firings_total", &[], 4.0);
    for (family, count) in [
        ("incidentd_api_request_duration_seconds", 4.0),
        ("incidentd_sweep_duration_seconds", 1.0),
        ("incidentd_publish_duration_seconds", 1.0),
    ] {
        let samples = &families[family].samples;
        let last = |suffix: &str| {
            let name = format!("{family}{suffix}");
            samples
                .iter()
                .rfind(|s| s.0 == name)
                .unwrap_or_else(|| panic!("{name}"))
        };
        assert_eq!(last("_count").2, count, "{family}");
        assert!((last("_sum").2 - 0.3 * count).abs() < 1e-9, "{family}");
        let widest = last("_bucket");
        assert_eq!((widest.1["le"].as_str(), widest.2), ("+Inf", count));
    }
}

#[test]
fn gauges_show_the_report() {
    let tenants = vec![
        tenant(0x11, "contoso", Health::Consent),
        tenant(0x22, "fabrikam", Health::Ok),
    ];
    let families = parse(&Metrics::new(&[]).render(&report(tenants)));
    let is = |family: &str, labels: &[(&str, &str)], expected: f64| {
        assert_eq!(
            value(&families, family, labels),
            expected,
            "{family} {labels:?}"
        );
    };
    for state in Health::ALL {
        let name = state.as_str();
        let count = f64::from(u8::from(matches!(state, Health::Consent | Health::Ok)));
        is("incidentd_tenants", &[("state", name)], count);
        let labels = [("tenant", ID), ("name", "contoso"), ("state", name)];
        let held = f64::from(u8::from(state == Health::Consent));
        is("incidentd_tenant_state", &labels, held);
    }
    is("incidentd_tenant_lag_seconds", &[("tenant", ID)], 42.0);
    is("incidentd_tenant_overdue_seconds", &[("tenant", ID)], 12.0);
    is(
        "incidentd_tenant_last_success_timestamp_seconds",
        &[("tenant", ID)],
        1_700_000_000.5,
    );
    is(
        "incidentd_credential_expiry_timestamp_seconds",
        &[("tenant", ID)],
        1_700_003_600.0,
    );
    is("incidentd_in_flight_bytes", &[], 4096.0);
    is("incidentd_ledger_versions", &[], 77.0);
    is("incidentd_build_info", &[("version", "1.2.3")], 1.0);
}

#[test]
fn a_paused_tenant_makes_the_fleet_neither_late_nor_its_credential_end() {
    let mut paused = tenant(0x11, "contoso", Health::Paused);
    (paused.lag_seconds, paused.credential_expires) = (Some(9000), Some(Ticks(1)));
    let mut read = tenant(0x22, "fabrikam", Health::Ok);
    let end = Ticks::from_unix_seconds(1_800_000_000);
    (read.lag_seconds, read.credential_expires) = (Some(20), Some(end));
    let families = parse(&Metrics::new(&[]).render(&report(vec![paused, read])));
    let of = |family| value(&families, family, &[]);
    assert_eq!(of("incidentd_max_lag_seconds"), 20.0);
    assert_eq!(
        of("incidentd_next_credential_expiry_timestamp_seconds"),
        1_800_000_000.0
    );
}

#[test]
fn what_pages_somebody_is_a_gauge() {
    let mut behind = tenant(0x11, "contoso", Health::Ok);
    behind.backfill = Some(BackfillStatus {
        from: Ticks(0),
        to: Ticks(0),
        open_seconds: 3600,
        error: None,
    });
    behind.alarm = Some("canary-cause".into());
    let mut report = report(vec![behind]);
    report.kafka.state = PartState::Unavailable;
    report.alarms.push(Alarm {
        cause: "canary-cause".into(),
        state: Health::Credential,
        tenants: 40,
        since: Ticks(0),
        error: String::new(),
        remedy: String::new(),
        named: vec![],
    });
    report.alarms.push(Alarm {
        state: Health::Ok,
        ..report.alarms[0].clone()
    });
    let text = Metrics::new(&[]).render(&report);
    assert!(!text.contains("canary"), "a free text became a metric");
    let families = parse(&text);
    for state in PartState::ALL {
        let labels = [("state", state.as_str())];
        for (family, now) in [
            ("incidentd_kafka_state", PartState::Unavailable),
            ("incidentd_ledger_state", PartState::Ok),
        ] {
            let held = f64::from(u8::from(state == now));
            assert_eq!(
                value(&families, family, &labels),
                held,
                "{family} {state:?}"
            );
        }
    }
    assert_eq!(value(&families, "incidentd_alarms", &[]), 1.0);
    let ending = value(&families, "incidentd_credentials_ending", &[]);
    assert_eq!(ending, 1.0);
    let labels = [("tenant", ID)];
    let open = value(&families, "incidentd_tenant_backfill_open_seconds", &labels);
    assert_eq!(open, 3600.0);
    assert_eq!(value(&families, "incidentd_tenant_alarm", &labels), 1.0);
}

/// The number of series that a scrape of 10,000 tenants has, with `-- --nocapture`.
#[test]
fn the_series_of_a_fleet_do_not_grow_with_its_tenants() {
    let fleet = |count: u16| {
        let tenants = 0..count;
        let tenants = tenants.map(|number| {
            let mut one = tenant(0, "contoso", Health::Ok);
            let mut id = [0x11; 16];
            id[..2].copy_from_slice(&number.to_be_bytes());
            one.id = TenantId::from_bytes(id);
            // As of a client secret.
            one.credential_expires = None;
            one
        });
        report(tenants.collect())
    };
    let series = |detail, count| {
        let text = Metrics::new(&["graph"])
            .showing(detail)
            .render(&fleet(count));
        let lines = text.lines().filter(|line| !line.starts_with('#')).count();
        println!(
            "{count} tenants, {detail:?}: {lines} series, {} bytes",
            text.len()
        );
        lines
    };
    let few = series(MetricsDetail::Fleet, 1);
    assert_eq!(series(MetricsDetail::Fleet, 10_000), few);
    assert!(few < 150, "{few}");
    assert_eq!(series(MetricsDetail::Tenants, 10_000), few + 14 * 10_000);
}

#[test]
fn a_replica_counts_its_partitions_by_stage() {
    let partition = |id, state| PartitionStatus { id, state };
    let mut replica = report(vec![]);
    replica.ownership = Some(OwnershipStatus {
        partitions: vec![
            partition(3, PartitionStage::Active),
            partition(4, PartitionStage::Restoring),
            partition(9, PartitionStage::Active),
        ],
        counts: OwnershipCounts {
            all: 32,
            fenced: 2,
            failed: 5,
        },
        member: None,
    });
    let families = parse(&Metrics::new(&[]).render(&replica));
    for (stage, count) in [
        ("fencing", 0.0),
        ("restoring", 1.0),
        ("active", 2.0),
        ("draining", 0.0),
        ("lost", 0.0),
    ] {
        let labels = [("state", stage)];
        let found = value(&families, "incidentd_ledger_partitions", &labels);
        assert_eq!(found, count, "{stage}");
    }
    for (family, expected) in [
        ("incidentd_ledger_topic_partitions", 32.0),
        ("incidentd_ledger_fenced_total", 2.0),
        ("incidentd_ledger_partition_failures_total", 5.0),
    ] {
        assert_eq!(value(&families, family, &[]), expected, "{family}");
    }
    let families = parse(&Metrics::new(&[]).render(&report(vec![])));
    assert!(
        !families.contains_key("incidentd_ledger_partitions"),
        "a local ledger has no partitions"
    );
}

#[test]
fn the_fleet_is_as_far_behind_as_its_last_tenant() {
    let (first, mut last) = (
        tenant(0x11, "contoso", Health::Ok),
        tenant(0x22, "fabrikam", Health::Ok),
    );
    (last.lag_seconds, last.overdue_seconds) = (Some(900), 700);
    last.credential_expires = first.credential_expires.map(|at| Ticks(at.0 - 10_000_000));
    last.backfill = Some(BackfillStatus {
        from: Ticks(0),
        to: Ticks(0),
        open_seconds: 3600,
        error: None,
    });
    let families = parse(&Metrics::new(&[]).render(&report(vec![first, last])));
    for (family, expected) in [
        ("incidentd_max_lag_seconds", 900.0),
        ("incidentd_max_overdue_seconds", 700.0),
        ("incidentd_backfill_open_seconds", 3600.0),
        (
            "incidentd_next_credential_expiry_timestamp_seconds",
            1_700_003_599.0,
        ),
    ] {
        assert_eq!(value(&families, family, &[]), expected, "{family}");
    }
}

#[test]
fn what_is_unknown_has_no_sample() {
    let mut unknown = tenant(0x11, "contoso", Health::Starting);
    unknown.cursor = None;
    unknown.credential_expires = None;
    unknown.lag_seconds = None;
    unknown.last_success = None;
    let mut report = report(vec![unknown]);
    report.ledger.versions = None;
    let families = parse(&Metrics::new(&[]).render(&report));
    for family in [
        "incidentd_tenant_lag_seconds",
        "incidentd_tenant_last_success_timestamp_seconds",
        "incidentd_tenant_backfill_open_seconds",
        "incidentd_credential_expiry_timestamp_seconds",
        "incidentd_max_lag_seconds",
        "incidentd_next_credential_expiry_timestamp_seconds",
        "incidentd_ledger_versions",
    ] {
        assert!(families[family].samples.is_empty(), "{family}");
    }
}

#[test]
fn the_process_is_measured() {
    let families = parse(&Metrics::new(&[]).render(&report(vec![])));
    let read = |family: &str| value(&families, family, &[]);
    assert!(read("process_resident_memory_bytes") > 100_000.0);
    assert!(read("process_open_fds") >= 3.0);
    assert!(read("process_max_fds") >= read("process_open_fds"));
    assert!(read("process_cpu_seconds_total") >= 0.0);
    assert!(read("process_start_time_seconds") > 1_600_000_000.0);
}

proptest! {
    #[test]
    fn any_tenant_name_comes_back_as_it_was(name in "[\\\\\"\n,={} a-zé#]{0,24}|\\PC{0,24}") {
        let text = Metrics::new(&[]).render(&report(vec![tenant(0x11, &name, Health::Ok)]));
        let families = parse(&text);
        let labels = [("tenant", ID), ("name", name.as_str()), ("state", "ok")];
        prop_assert_eq!(value(&families, "incidentd_tenant_state", &labels), 1.0);
    }
}
