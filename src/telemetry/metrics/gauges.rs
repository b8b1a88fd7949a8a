//! The gauges: what a [`StatusReport`] knows, as it is at the scrape.
//!
//! What is not known has no sample: a made-up zero would be taken for a fact.

use super::exposition::{Exposition, MetricKind, Samples};
use crate::core::health::failure::Health;
use crate::core::health::status::{
    ConfigurationState, ConfigurationStatus, PartState, StatusReport, TenantStatus,
};
use crate::core::time::ticks::Ticks;

pub fn write(out: &mut Exposition, report: &StatusReport) {
    write_daemon(out, report);
    write_configuration(out, &report.configuration);
    write_parts(out, report);
    write_tenants(out, &report.tenants);
}

fn write_daemon(out: &mut Exposition, report: &StatusReport) {
    gauge(
        out,
        "incidentd_build_info",
        "The version that runs; always 1.",
    )
    .sample(&[("version", report.version)], 1);
    let mut tenants = gauge(out, "incidentd_tenants", "Tenants in each state.");
    for state in Health::ALL {
        let count = report.tenants.iter().filter(|t| t.state == state).count();
        tenants.sample(&[("state", state.as_str())], count);
    }
    gauge(
        out,
        "incidentd_alarms",
        "Causes for which several tenants fail now.",
    )
    .sample(&[], report.alarms.len());
}

fn write_configuration(out: &mut Exposition, configuration: &ConfigurationStatus) {
    gauge(
        out,
        "incidentd_config_last_reload_successful",
        "1 when the files as last read are in force, 0 when they were refused.",
    )
    .sample(&[], u8::from(configuration.state == ConfigurationState::Ok));
    gauge(
        out,
        "incidentd_config_last_reload_success_timestamp_seconds",
        "When the configuration in force was read.",
    )
    .sample(&[], configuration.loaded.as_unix_f64());
    gauge(
        out,
        "incidentd_config_restart_needed",
        "Keys whose new values wait for a restart.",
    )
    .sample(&[], configuration.restart_needed.len());
}

fn write_parts(out: &mut Exposition, report: &StatusReport) {
    let mut kafka = gauge(
        out,
        "incidentd_kafka_state",
        "1 for the state that the connection to Kafka is in, 0 for the others.",
    );
    write_part(&mut kafka, report.kafka.state);
    gauge(
        out,
        "incidentd_in_flight_bytes",
        "Bytes fetched and not yet acknowledged by Kafka.",
    )
    .sample(&[], report.kafka.in_flight_bytes.unwrap_or_default());
    let mut ledger = gauge(
        out,
        "incidentd_ledger_state",
        "1 for the state that the ledger is in, 0 for the others.",
    );
    write_part(&mut ledger, report.ledger.state);
    let mut versions = gauge(
        out,
        "incidentd_ledger_versions",
        "Incidents whose last published version the ledger knows.",
    );
    if let Some(known) = report.ledger.versions {
        versions.sample(&[], known);
    }
}

fn write_part(states: &mut Samples<'_>, now: PartState) {
    for state in PartState::ALL {
        states.sample(&[("state", state.as_str())], u8::from(state == now));
    }
}

fn write_tenants(out: &mut Exposition, tenants: &[TenantStatus]) {
    let ids: Vec<String> = tenants.iter().map(|tenant| tenant.id.to_string()).collect();
    let all = || tenants.iter().zip(&ids);

    let mut states = gauge(
        out,
        "incidentd_tenant_state",
        "1 for the state that the tenant is in, 0 for the others.",
    );
    for (tenant, id) in all() {
        for state in Health::ALL {
            let labels = [
                ("tenant", id.as_str()),
                ("name", &tenant.name),
                ("state", state.as_str()),
            ];
            states.sample(&labels, u8::from(tenant.state == state));
        }
    }
    let mut successes = gauge(
        out,
        "incidentd_tenant_last_success_timestamp_seconds",
        "When a sweep of the tenant last ended without a failure.",
    );
    for (tenant, id) in all() {
        if let Some(at) = tenant.last_success {
            successes.sample(&[("tenant", id)], Ticks::as_unix_f64(at));
        }
    }
    let mut lags = gauge(
        out,
        "incidentd_tenant_lag_seconds",
        "How far what is published is behind what Microsoft may have.",
    );
    for (tenant, id) in all() {
        if let Some(lag) = tenant.lag_seconds {
            lags.sample(&[("tenant", id)], lag);
        }
    }
    let mut overdue = gauge(
        out,
        "incidentd_tenant_overdue_seconds",
        "For how long the sweep is due that would bring the tenant up to date; 0 while it waits for its turn.",
    );
    for (tenant, id) in all() {
        overdue.sample(&[("tenant", id)], tenant.overdue_seconds);
    }
    let mut fills = gauge(
        out,
        "incidentd_tenant_backfill_open_seconds",
        "How much time of last updates is still to be read beside live polling.",
    );
    for (tenant, id) in all() {
        // Before the tenant's state was read, nobody knows what is open.
        if tenant.cursor.is_some() {
            let open = tenant.backfill.as_ref().map_or(0, |fill| fill.open_seconds);
            fills.sample(&[("tenant", id)], open);
        }
    }
    let mut shared = gauge(
        out,
        "incidentd_tenant_alarm",
        "1 while the tenant fails for a cause that it shares with others, and that is one alarm.",
    );
    for (tenant, id) in all() {
        shared.sample(&[("tenant", id)], u8::from(tenant.alarm.is_some()));
    }
    let mut expiries = gauge(
        out,
        "incidentd_credential_expiry_timestamp_seconds",
        "When the tenant's federated token ends; a client secret does not say.",
    );
    for (tenant, id) in all() {
        if let Some(at) = tenant.credential_expires {
            expiries.sample(&[("tenant", id)], Ticks::as_unix_f64(at));
        }
    }
}

fn gauge<'a>(out: &'a mut Exposition, name: &'static str, help: &'static str) -> Samples<'a> {
    out.family(name, MetricKind::Gauge, help)
}
