//! What works without the network: the configuration, consent links, names of tenants.

use serde_json::Value;

use crate::cli_check::command::{NOBODY, microsoft, run, tenants};
use crate::support::daemon::incidentd;
use crate::support::setup::Setup;

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_configuration_ends_with_78_and_says_all() {
    let simulator = microsoft(1).await;
    let setup = Setup::new(&simulator, NOBODY, "none")
        .text("poll.schedule", "now and then")
        .text("kafka.formt", "raw");
    for args in [
        &["check"][..],
        &["check", "--offline"],
        &["token", "customer-0001"],
        &["consent"],
    ] {
        let ended = run(&setup, args).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (78, ""));
        ended.says(&["poll.schedule", "kafka.formt"]);
    }
    let json = run(&setup, &["check", "--json"]).await;
    assert_eq!(json.code, 78);
    assert_eq!(
        json.json()["configuration"]["problems"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_librdkafka_or_a_certificate_can_tell_stands_in_the_same_report() {
    let simulator = microsoft(1).await;
    let setup = || Setup::new(&simulator, NOBODY, "none");
    let wrong = setup()
        .text("poll.schedule", "now and then")
        .text("api.ca_file", "client-secret")
        .text("kafka.properties.\"no.such.property\"", "1")
        .text("kafka.properties.\"compresion.type\"", "zstd")
        .text("kafka.properties.\"linger.ms\"", "soon");
    let ended = run(&wrong, &["check", "--offline"]).await;
    assert_eq!(ended.code, 78);
    ended.says(&[
        "the configuration has 5 errors",
        "poll.schedule",
        "api.ca_file",
        "holds no PEM certificate",
        "kafka.properties.no.such.property: librdkafka has no such property",
        "did you mean compression.type?",
        "kafka.properties.linger.ms: librdkafka does not take its value",
    ]);

    let login_without_a_name = setup()
        .text("kafka.properties.\"security.protocol\"", "sasl_ssl")
        .text("kafka.properties.\"sasl.mechanism\"", "PLAIN");
    let ended = run(&login_without_a_name, &["check", "--offline"]).await;
    assert_eq!(ended.code, 78);
    ended.says(&["kafka.properties:", "sasl.username"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_uses_no_network() {
    let simulator = microsoft(2).await;
    let setup = Setup::new(&simulator, NOBODY, "none").key("poll.requests_per_minute", "80");
    for args in [
        &["check", "--offline"][..],
        &["check", "--offline", "--json"],
        &["consent"],
        &["consent", "--url"],
    ] {
        let ended = run(&setup, args).await;
        assert_eq!(ended.code, 0, "{}", ended.all());
        ended.is_silent(&simulator, &[]);
    }
    let offline = run(&setup, &["check", "--offline"]).await;
    offline.says(&[
        "is valid: 2 tenants (2 graph), 1 schedule",
        "warning:",
        "requests_per_minute",
    ]);
    let json = run(&setup, &["check", "--offline", "--json"]).await.json();
    assert_eq!(
        (&json["ok"], &json["kafka"], &json["tenants"]),
        (&true.into(), &Value::Null, &Value::Null)
    );
    let journal = simulator.journal();
    assert_eq!(
        (journal.token_requests(), journal.requests().len()),
        (0, 0),
        "Microsoft was asked"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_links_are_one_a_tenant_or_one_for_anybody() {
    let simulator = microsoft(3).await;
    let ids = tenants(&simulator);
    let setup = Setup::new(&simulator, NOBODY, "none");
    let all = run(&setup, &["consent"]).await;
    for id in &ids {
        assert_eq!(
            all.stdout
                .matches(&format!("{}/{id}/v2.0/adminconsent?", simulator.url()))
                .count(),
            1
        );
    }
    let one = run(&setup, &["consent", "customer-0002"]).await;
    assert_eq!(one.stdout.matches("adminconsent?").count(), 1);
    one.says(&[
        &ids[1].to_string(),
        "\"SecurityIncident.Read.All\" of the API \"Microsoft Graph\"",
        "scope=https%3A%2F%2Fgraph.microsoft.com%2F.default",
    ]);
    let setup = setup.text("api.source", "defender");
    run(&setup, &["consent", "customer-0002"]).await.says(&[
        "\"Incident.Read.All\" of the API \"Microsoft Threat Protection\"",
        "scope=https%3A%2F%2Fapi.security.microsoft.com%2F.default",
    ]);
    let setup = setup.text("api.source", "graph");
    let anybody = run(&setup, &["consent", "--url"]).await;
    anybody.says(&[&format!(
        "{}/organizations/v2.0/adminconsent?client_id=",
        simulator.url()
    )]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_tenant_is_a_usage_error_with_near_names() {
    let simulator = microsoft(2).await;
    let setup = Setup::new(&simulator, NOBODY, "none");
    for args in [
        &["check", "--tenant", "custmer-0001"][..],
        &["token", "custmer-0001"],
        &["consent", "custmer-0001"],
    ] {
        let ended = run(&setup, args).await;
        assert_eq!(ended.code, 64, "{}", ended.all());
        ended.says(&["custmer-0001", "did you mean customer-0001"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_seen_enough_is_no_error() {
    let simulator = microsoft(1).await;
    let setup = Setup::new(&simulator, NOBODY, "none");
    for args in [
        &["check", "--offline"][..],
        &["check", "--offline", "--json"],
        &["consent"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = incidentd();
        command.args(args).arg("--config").arg(setup.write());
        let output = command.stdout(writer).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*said), (Some(0), ""), "{args:?}");
    }
}
