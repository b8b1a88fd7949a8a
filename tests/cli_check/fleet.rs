//! `check` with many tenants: rows, order, exit codes, isolation.

use std::fs;
use std::time::Duration;

use incidentd::simulator::{Effect, Endpoint, Rule, Tenant};
use tokio::time::Instant;

use crate::cli_check::command::{KAFKA_SECRET, microsoft, run, tenants, topic};
use crate::support::blocking;
use crate::support::kafka::ends;
use crate::support::setup::Setup;

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_all_is_well_with_ends_with_0_and_nothing_is_written() {
    let simulator = microsoft(3).await;
    let (kafka, topic) = topic().await;
    let setup = Setup::new(&simulator, &kafka, &topic)
        .text("kafka.properties.\"sasl.password\"", KAFKA_SECRET);
    let ended = run(&setup, &["check"]).await;
    assert_eq!(ended.code, 0, "{}", ended.all());
    assert_eq!(ended.stderr, "");
    ended.says(&[
        "is valid: 3 tenants (3 graph), 1 schedule, 1 topic.",
        "ok customer-0001 graph as needed",
        "1 read",
        "incidents 3 1.0 MiB yes",
        "Nothing was written",
        "3 tenants: 3 ok. Kafka: 1 broker, 1 topic: 1 ok.",
    ]);
    assert!(
        !ended.stdout.contains("MC1220762"),
        "no tenant is read through what ends:\n{}",
        ended.stdout
    );
    ended.is_silent(&simulator, &[]);
    let journal = simulator.journal();
    let lists = journal
        .requests()
        .into_iter()
        .filter(|request| request.endpoint == Endpoint::List);
    assert_eq!(
        (journal.token_requests(), lists.count()),
        (3, 3),
        "one of each for a tenant"
    );
    let written: i64 = blocking(move || ends(&kafka, &topic)).await.iter().sum();
    assert_eq!(written, 0, "a record was left in the topic");
    assert!(!setup.ledger_file().exists(), "the ledger was opened");
}

#[tokio::test(flavor = "multi_thread")]
async fn that_the_defender_api_ends_is_noted_once_and_is_no_failure() {
    let simulator = microsoft(3).await;
    let (kafka, topic) = topic().await;
    let setup = Setup::new(&simulator, &kafka, &topic).text("api.source", "defender");
    for args in [
        &["check"][..],
        &["check", "--json"],
        &["check", "--offline"],
    ] {
        let ended = run(&setup, args).await;
        assert_eq!(ended.code, 0, "{}", ended.all());
        ended.says(&["2027-02-01", "consent", "SecurityIncident.Read.All"]);
        let said = ended.stdout.matches("MC1220762").count();
        assert_eq!(said, 1, "not for each tenant: {}", ended.stdout);
    }
    let text = run(&setup, &["check"]).await;
    text.says(&[
        "3 tenants (3 defender)",
        "note: 3 tenants are read through the Defender API, which ends on 2027-02-01",
        "set api.source = \"graph\"",
    ]);
    let one = run(&setup, &["check", "--tenant", "customer-0002"]).await;
    one.says(&["note: 1 tenant is read through the Defender API"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_comes_first_with_what_to_do() {
    let simulator = microsoft(5).await;
    let (kafka, topic) = topic().await;
    let ids = tenants(&simulator);
    let world = simulator.world();
    world
        .administer(ids[1], |tenant| tenant.consented = false)
        .unwrap();
    world
        .administer(ids[3], |tenant| tenant.secret = "another".into())
        .unwrap();
    let excess = ["SecurityIncident.Read.All", "Machine.Isolate"]
        .map(str::to_owned)
        .to_vec();
    world
        .administer(ids[4], |tenant| tenant.graph_roles = excess)
        .unwrap();
    let setup = Setup::new(&simulator, &kafka, &topic);
    let ended = run(&setup, &["check"]).await;
    assert_eq!(ended.code, 1, "{}", ended.all());
    let link = format!("{}/v2.0/adminconsent?client_id=", ids[1]);
    ended.in_order(&[
        "credential customer-0004",
        "do:",
        "app.client_secret_file",
        "consent customer-0002",
        "do:",
        &link,
        "ok customer-0001",
        "ok customer-0003",
        "too many",
    ]);
    ended.says(&[
        "Machine.Isolate is a powerful permission that incidentd has no use for",
        "5 tenants: 1 credential, 1 consent, 3 ok.",
        "incidentd: 2 of 5 tenants not ok",
    ]);
    ended.is_silent(&simulator, &[]);

    let json = run(&setup, &["check", "--json"]).await;
    assert_eq!(json.code, 1);
    json.is_silent(&simulator, &[]);
    let report = json.json();
    assert_eq!(
        (&report["ok"], &report["kafka"]["ok"]),
        (&false.into(), &true.into())
    );
    let tenants = report["tenants"].as_array().unwrap();
    assert_eq!(tenants.len(), 5);
    for tenant in tenants {
        let mut keys: Vec<_> = tenant
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            [
                "consent_link",
                "error",
                "id",
                "incidents_read",
                "name",
                "ok",
                "remedy",
                "roles",
                "roles_not_needed",
                "source",
                "state",
                "token_expires"
            ]
        );
        let ok = tenant["state"] == "ok";
        assert_eq!(tenant["ok"], ok);
        assert_eq!(tenant["remedy"].is_null(), ok, "{tenant}");
    }
    assert_eq!(tenants[1]["state"], "consent");
    assert_eq!(tenants[4]["roles_not_needed"][0], "Machine.Isolate");
    let expires = tenants[0]["token_expires"].as_str().unwrap();
    assert!(expires.ends_with('Z') && expires.len() == 20, "{expires}");

    let one = run(
        &setup,
        &[
            "check",
            "--tenant",
            "customer-0001",
            "--tenant",
            &ids[2].to_string(),
        ],
    )
    .await;
    assert_eq!(one.code, 0, "only the healthy ones were asked for");
    assert!(!one.stdout.contains("customer-0002"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_cause_of_many_tenants_is_explained_once() {
    let simulator = microsoft(8).await;
    let (kafka, topic) = topic().await;
    let ids = tenants(&simulator);
    for id in &ids[..4] {
        simulator
            .world()
            .administer(*id, |tenant| tenant.secret_expired = true)
            .unwrap();
    }
    for id in &ids[4..7] {
        simulator
            .world()
            .administer(*id, |tenant| tenant.graph_roles = Vec::new())
            .unwrap();
    }
    let setup = Setup::new(&simulator, &kafka, &topic);
    let ended = run(&setup, &["check"]).await;
    assert_eq!(ended.code, 1);
    assert_eq!(
        ended.stdout.matches("    do:").count(),
        2,
        "{}",
        ended.stdout
    );
    ended.says(&["(all 4)", "(all 3)", "lacking"]);
    for id in &ids[4..7] {
        let link = format!("    link: {}/{id}/v2.0/adminconsent", simulator.url());
        assert!(
            ended.stdout.contains(&link),
            "{link} is missing:\n{}",
            ended.stdout
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_tenant_holds_nobody_up() {
    let simulator = microsoft(40).await;
    let (kafka, topic) = topic().await;
    let ids = tenants(&simulator);
    simulator
        .faults()
        .push(Rule::new(Effect::Hang).at(Endpoint::Token).of(ids[7]));
    simulator
        .faults()
        .push(Rule::new(Effect::Hang).at(Endpoint::List).of(ids[8]));
    let setup = Setup::new(&simulator, &kafka, &topic).text("poll.request_timeout", "3s");
    let began = Instant::now();
    let ended = run(&setup, &["check"]).await;
    assert!(
        began.elapsed() < Duration::from_secs(40),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(ended.code, 1);
    ended.says(&["40 tenants: 2 unreachable, 38 ok.", "sent nothing for 3s"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_microsoft_it_ends_with_75() {
    let simulator = microsoft(2).await;
    let (kafka, topic) = topic().await;
    let setup = Setup::new(&simulator, &kafka, &topic);
    simulator.stop();
    let ended = run(&setup, &["check"]).await;
    assert_eq!(ended.code, 75, "{}", ended.all());
    ended.says(&["2 tenants: 2 unreachable.", "refused"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_secret_that_serves_is_told_once() {
    let simulator = microsoft(2).await;
    let (kafka, topic) = topic().await;
    let setup = Setup::new(&simulator, &kafka, &topic).text("app.client_secret_next_file", "next");
    fs::write(setup.path().join("client-secret"), "canary-of-before").unwrap();
    fs::write(setup.path().join("next"), Tenant::SECRET).unwrap();
    let ended = run(&setup, &["check"]).await;
    assert_eq!(ended.code, 0, "{}", ended.all());
    ended.says(&["app.client_secret_next_file) serves, for customer-0001, customer-0002: put"]);
    ended.is_silent(&simulator, &["canary-of-before"]);
}
