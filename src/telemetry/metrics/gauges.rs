//! The gauges: the values of a [`StatusReport`] at the scrape.
//!
//! A value that is not known has no sample: a zero would be taken for a fact.

use super::exposition::{Exposition, MetricKind, Samples};
use crate::core::health::failure::Health;
use crate::core::health::status::{
    ConfigurationState, OwnershipStatus, PartState, StatusReport, TenantStatus,
};
use crate::core::ownership::PartitionStage;
use crate::core::time::ticks::Ticks;

/// A gauge with one sample for each tenant whose value is known.
struct TenantGauge {
    name: &'static str,
    help: &'static str,
    value: fn(&TenantStatus) -> Option<f64>,
}

const TENANT_GAUGES: [TenantGauge; 6] = [
    TenantGauge {
        name: "incidentd_tenant_last_success_timestamp_seconds",
        help: "When a sweep of the tenant last ended without a failure.",
        value: |tenant| tenant.last_success.map(Ticks::as_unix_f64),
    },
    TenantGauge {
        name: "incidentd_tenant_lag_seconds",
        help: "How far what is published is behind what Microsoft may have.",
        value: |tenant| tenant.lag_seconds.map(|lag| lag as f64),
    },
    TenantGauge {
        name: "incidentd_tenant_overdue_seconds",
        help: "For how long the sweep is due that would bring the tenant up to date; 0 while it waits for its turn.",
        value: |tenant| Some(tenant.overdue_seconds as f64),
    },
    TenantGauge {
        name: "incidentd_tenant_backfill_open_seconds",
        help: "How much time of last updates is still to be read beside live polling.",
        // Not known before the tenant's state was read.
        value: |tenant| {
            let open = tenant.backfill.as_ref().map_or(0, |fill| fill.open_seconds);
            tenant.cursor.map(|_| open as f64)
        },
    },
    TenantGauge {
        name: "incidentd_tenant_alarm",
        help: "1 while the tenant fails for a cause that it shares with others, and that is one alarm.",
        value: |tenant| Some(f64::from(u8::from(tenant.alarm.is_some()))),
    },
    TenantGauge {
        name: "incidentd_credential_expiry_timestamp_seconds",
        help: "When the tenant's credential ends, if that is known.",
        value: |tenant| tenant.credential_expires.map(Ticks::as_unix_f64),
    },
];

pub fn write(out: &mut Exposition, report: &StatusReport) {
    let mut build = gauge(
        out,
        "incidentd_build_info",
        "The version that runs; always 1.",
    );
    build.sample(&[("version", report.version)], 1);
    let mut tenants = gauge(out, "incidentd_tenants", "Tenants in each state.");
    for state in Health::ALL {
        let count = report.tenants.iter().filter(|t| t.state == state).count();
        tenants.sample(&[("state", state.as_str())], count);
    }
    write_single(out, report);
    write_fleet(out, &report.tenants);
    write_part(
        out,
        "incidentd_kafka_state",
        "1 for the state that the connection to Kafka is in, 0 for the others.",
        report.kafka.state,
    );
    write_part(
        out,
        "incidentd_ledger_state",
        "1 for the state that the ledger is in, 0 for the others.",
        report.ledger.state,
    );
    if let Some(ownership) = &report.ownership {
        write_ownership(out, ownership);
    }
}

/// Of a ledger that processes share.
fn write_ownership(out: &mut Exposition, ownership: &OwnershipStatus) {
    let mut partitions = gauge(
        out,
        "incidentd_ledger_partitions",
        "Partitions of the ledger that this process has, by stage.",
    );
    for stage in PartitionStage::ALL {
        let held = ownership.partitions.iter();
        let count = held.filter(|partition| partition.state == stage).count();
        partitions.sample(&[("state", stage.as_str())], count);
    }
    let counts = &ownership.counts;
    gauge(
        out,
        "incidentd_ledger_topic_partitions",
        "Partitions that the ledger has, of this process and of others.",
    )
    .sample(&[], counts.all);
    for (name, help, count) in [
        (
            "incidentd_ledger_fenced_total",
            "Partitions that another process has fenced while this one had them.",
            counts.fenced,
        ),
        (
            "incidentd_ledger_partition_failures_total",
            "Failures of a partition of this process, each of which is fenced and read again.",
            counts.failed,
        ),
    ] {
        out.family(name, MetricKind::Counter, help)
            .sample(&[], count);
    }
}

/// What can be asked of the whole fleet without a series for each tenant.
fn write_fleet(out: &mut Exposition, tenants: &[TenantStatus]) {
    let each = || tenants.iter();
    let open = |tenant: &TenantStatus| tenant.backfill.as_ref().map_or(0, |fill| fill.open_seconds);
    // Nothing is asked for a paused tenant: its data grows old as planned, and it needs no credential.
    let read = || each().filter(|tenant| tenant.state != Health::Paused);
    let expiries = read().filter_map(|tenant| tenant.credential_expires);
    let gauges = [
        (
            "incidentd_max_lag_seconds",
            "How far the tenant that is furthest behind is behind what Microsoft may have.",
            read()
                .filter_map(|tenant| tenant.lag_seconds)
                .max()
                .map(|lag| lag as f64),
        ),
        (
            "incidentd_max_overdue_seconds",
            "For how long the sweep is due that is due for longest.",
            each()
                .map(|tenant| tenant.overdue_seconds)
                .max()
                .map(|due| due as f64),
        ),
        (
            "incidentd_backfill_open_seconds",
            "How much time of last updates is still to be read beside live polling, over all tenants.",
            Some(each().map(open).fold(0, u64::saturating_add) as f64),
        ),
        (
            "incidentd_next_credential_expiry_timestamp_seconds",
            "When the credential ends that ends first, if that is known.",
            expiries.min().map(Ticks::as_unix_f64),
        ),
    ];
    write_values(out, &gauges);
}

/// Gauges without labels: names, help texts and values.
fn write_values(out: &mut Exposition, gauges: &[(&'static str, &'static str, Option<f64>)]) {
    for (name, help, value) in gauges {
        let mut samples = gauge(out, name, help);
        if let Some(value) = value {
            samples.sample(&[], value);
        }
    }
}

fn write_single(out: &mut Exposition, report: &StatusReport) {
    let configuration = &report.configuration;
    // Only a credential's end is known beforehand.
    let ahead = report.alarms.iter().filter(|it| it.state == Health::Ok);
    let ahead = ahead.count();
    let accepted = configuration.state == ConfigurationState::Ok;
    let gauges = [
        (
            "incidentd_alarms",
            "Causes for which several tenants fail now.",
            Some((report.alarms.len() - ahead) as f64),
        ),
        (
            "incidentd_credentials_ending",
            "Credentials that end within 30 days; one that many tenants share counts once.",
            Some(ahead as f64),
        ),
        (
            "incidentd_config_last_reload_successful",
            "1 when the files as last read are in force, 0 when they were refused.",
            Some(f64::from(u8::from(accepted))),
        ),
        (
            "incidentd_config_last_reload_success_timestamp_seconds",
            "When the configuration in force was read.",
            Some(configuration.loaded.as_unix_f64()),
        ),
        (
            "incidentd_config_restart_needed",
            "Keys whose new values wait for a restart.",
            Some(configuration.restart_needed.len() as f64),
        ),
        (
            "incidentd_in_flight_bytes",
            "Bytes fetched and not yet acknowledged by Kafka.",
            Some(report.kafka.in_flight_bytes.unwrap_or_default() as f64),
        ),
        (
            "incidentd_ledger_versions",
            "Incidents whose last published version the ledger knows.",
            report.ledger.versions.map(|known| known as f64),
        ),
    ];
    write_values(out, &gauges);
}

fn write_part(out: &mut Exposition, name: &'static str, help: &'static str, now: PartState) {
    let mut states = gauge(out, name, help);
    for state in PartState::ALL {
        states.sample(&[("state", state.as_str())], u8::from(state == now));
    }
}

/// The series of these tenants. A family without samples is shown all the same.
pub fn write_tenants(out: &mut Exposition, tenants: &[TenantStatus]) {
    let ids: Vec<String> = tenants.iter().map(|tenant| tenant.id.to_string()).collect();
    let mut states = gauge(
        out,
        "incidentd_tenant_state",
        "1 for the state that the tenant is in, 0 for the others.",
    );
    for (tenant, id) in tenants.iter().zip(&ids) {
        for state in Health::ALL {
            let labels = [
                ("tenant", id.as_str()),
                ("name", &tenant.name),
                ("state", state.as_str()),
            ];
            states.sample(&labels, u8::from(tenant.state == state));
        }
    }
    for TenantGauge { name, help, value } in TENANT_GAUGES {
        let mut samples = gauge(out, name, help);
        for (tenant, id) in tenants.iter().zip(&ids) {
            if let Some(value) = value(tenant) {
                samples.sample(&[("tenant", id)], value);
            }
        }
    }
}

fn gauge<'a>(out: &'a mut Exposition, name: &'static str, help: &'static str) -> Samples<'a> {
    out.family(name, MetricKind::Gauge, help)
}
