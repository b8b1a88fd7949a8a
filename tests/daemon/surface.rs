//! What the daemon shows about itself, under the names of the contract.

use std::collections::BTreeSet;

use incidentd::simulator::{Options, Tenant};
use serde_json::Value;

use crate::support::daemon::Daemon;
use crate::support::kafka::{create_topic, shared};
use crate::support::setup::{Setup, simulator, unique};
use crate::support::tally::Tally;
use crate::support::{SOON, until};

#[tokio::test(flavor = "multi_thread")]
async fn sick_tenants_show_state_and_remedy_and_a_healthy_one_goes_on() {
    let (kafka, topic) = (shared(), unique("health"));
    create_topic(&kafka, &topic, 1, &[]).await;
    let simulator = simulator(5, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    let tenants = world.tenants();
    let [healthy, wrong, unconsented, powerless, unlicensed] = &tenants[..] else {
        panic!("five tenants");
    };
    world
        .administer(wrong.id, |tenant| tenant.secret = "another".into())
        .unwrap();
    world
        .administer(unconsented.id, |tenant| tenant.consented = false)
        .unwrap();
    world
        .administer(powerless.id, |tenant| tenant.graph_roles.clear())
        .unwrap();
    world
        .administer(unlicensed.id, |tenant| tenant.licensed = false)
        .unwrap();
    let setup = Setup::new(&simulator, &kafka, &topic);
    let mut daemon = Daemon::start(&setup.write()).await;
    let expected = [
        (healthy, "ok", ""),
        (wrong, "credential", "secret"),
        (unconsented, "consent", "adminconsent"),
        (powerless, "consent", "SecurityIncident.Read.All"),
        (unlicensed, "forbidden", "licen"),
    ];
    let mut status = Value::Null;
    until("each tenant's state is known", SOON, async || {
        status = daemon.status().await;
        expected
            .iter()
            .all(|(tenant, state, _)| of(&status, tenant)["state"] == *state)
    })
    .await;
    for (tenant, state, words) in expected {
        let shown = of(&status, tenant);
        let remedy = shown["remedy"].as_str().unwrap_or_default();
        assert!(
            remedy.to_lowercase().contains(&words.to_lowercase()),
            "{state}: {words:?} in {remedy:?}"
        );
        assert_eq!(shown["error"].is_null(), state == "ok", "{shown:#}");
        assert_eq!(
            shown["last_success"].is_string(),
            state == "ok",
            "{shown:#}"
        );
    }
    assert_eq!(
        status["tenants"][4]["state"], "ok",
        "worst first: {status:#}"
    );
    for _ in 0..5 {
        world.evolve_tenant(healthy.id, 5).unwrap();
        until("the healthy tenant's incidents arrive", SOON, async || {
            let tally = Tally::read(&kafka, &topic, &journal).await;
            let current = journal.current();
            tally
                .missing(
                    current
                        .into_iter()
                        .filter(|version| version.tenant == healthy.id),
                )
                .is_empty()
        })
        .await;
    }
    // The daemon notices the consent at the next slow retry, so a restart shows it here.
    world
        .administer(unconsented.id, |tenant| tenant.consented = true)
        .unwrap();
    daemon.stop().await;
    let mut daemon = Daemon::start(&setup.write()).await;
    until("the consented tenant is healthy", SOON, async || {
        of(&daemon.status().await, unconsented)["state"] == "ok"
    })
    .await;
    daemon.stop().await;
}

fn of<'a>(status: &'a Value, tenant: &Tenant) -> &'a Value {
    let tenants = status["tenants"].as_array().expect("tenants");
    let id = tenant.id.to_string();
    tenants
        .iter()
        .find(|shown| shown["id"] == id.as_str())
        .expect("the tenant is listed")
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_have_the_contracts_names() {
    let (kafka, topic) = (shared(), unique("names"));
    create_topic(&kafka, &topic, 1, &[]).await;
    let simulator = simulator(1, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    world.create(world.tenants()[0].id, 3).unwrap();
    let setup = Setup::new(&simulator, &kafka, &topic);
    let mut daemon = Daemon::start(&setup.write()).await;
    Tally::until_complete(&kafka, &topic, &journal, SOON).await;
    until("a sweep has ended", SOON, async || {
        daemon.status().await["tenants"][0]["state"] == "ok"
    })
    .await;
    assert_eq!(daemon.get("/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(daemon.get("/readyz").await, (200, "ok\n".to_owned()));
    assert_eq!(daemon.get("/else").await.0, 404);

    let status = daemon.status().await;
    assert_eq!(
        keys(&status),
        [
            "alarms",
            "configuration",
            "kafka",
            "ledger",
            "started",
            "state",
            "tenants",
            "version"
        ]
    );
    assert_eq!(
        keys(&status["kafka"]),
        ["error", "in_flight_bytes", "remedy", "state"]
    );
    assert_eq!(
        keys(&status["ledger"]),
        ["error", "kind", "remedy", "state", "versions"]
    );
    let tenant = [
        "alarm",
        "backfill",
        "credential_expires",
        "cursor",
        "error",
        "id",
        "lag_seconds",
        "last_success",
        "late_found",
        "name",
        "next_sweep",
        "overdue_seconds",
        "published",
        "remedy",
        "since",
        "source",
        "state",
        "token_expires",
    ];
    assert_eq!(keys(&status["tenants"][0]), tenant);
    assert_eq!(status["state"], "running");
    assert_eq!(status["ledger"]["versions"], 3);
    assert_eq!(status["tenants"][0]["published"], 3);

    let metrics = daemon.metrics().await;
    for name in [
        "incidentd_records_published_total{change=\"created\"} 3",
        "incidentd_api_requests_total{source=\"graph\",status=\"200\"} ",
        "incidentd_api_request_duration_seconds_count{source=\"graph\"} ",
        "incidentd_token_requests_total{outcome=\"ok\"} 1",
        "incidentd_throttled_total{source=\"graph\"} 0",
        "incidentd_late_found_total ",
        "incidentd_dead_letters_total 0",
        "incidentd_split_total 0",
        "incidentd_missed_firings_total ",
        "incidentd_in_flight_bytes 0",
        "incidentd_sweep_duration_seconds_count{source=\"graph\"} ",
        "incidentd_publish_duration_seconds_count ",
        "incidentd_tenants{state=\"ok\"} 1",
        "incidentd_tenant_state{tenant=\"",
        "incidentd_tenant_last_success_timestamp_seconds{tenant=\"",
        "incidentd_tenant_lag_seconds{tenant=\"",
        "incidentd_tenant_overdue_seconds{tenant=\"",
        "incidentd_tenant_backfill_open_seconds{tenant=\"",
        "incidentd_alarms 0",
        "incidentd_kafka_state{state=\"ok\"} 1",
        "incidentd_ledger_state{state=\"ok\"} 1",
        "incidentd_ledger_versions 3",
        "incidentd_build_info{version=\"",
        "process_cpu_seconds_total ",
        "process_resident_memory_bytes ",
        "process_open_fds ",
    ] {
        assert!(
            metrics.lines().any(|line| line.starts_with(name)),
            "no {name} in:\n{metrics}"
        );
    }
    daemon.stop().await;
}

fn keys(value: &Value) -> Vec<&str> {
    let object = value.as_object().expect("an object");
    object
        .keys()
        .map(String::as_str)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}
