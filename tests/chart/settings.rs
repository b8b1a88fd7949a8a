//! From the values of the chart to the configuration: every key arrives, and wrong values are refused.

use std::collections::{BTreeSet, HashMap};
use std::fs;

use serde_json::{Value, json};

use crate::chart::render::{Manifests, SETS, helm_template, repository, set};

#[test]
fn every_switch_does_what_it_says() {
    let [minimal, everything, workload, local, moving] = SETS.map(|name| Manifests::of(&set(name)));
    let kinds = |manifests: &Manifests| {
        [
            "NetworkPolicy",
            "PodMonitor",
            "ServiceMonitor",
            "PrometheusRule",
            "Deployment",
            "PodDisruptionBudget",
            "StatefulSet",
            "Job",
            "PersistentVolumeClaim",
        ]
        .map(|kind| manifests.all(kind).len())
    };
    assert_eq!(kinds(&minimal), [1, 0, 0, 0, 1, 1, 0, 0, 0]);
    assert_eq!(kinds(&everything), [1, 1, 0, 1, 1, 1, 0, 0, 0]);
    assert_eq!(kinds(&workload), [0, 0, 1, 0, 1, 1, 0, 0, 0]);
    assert_eq!(kinds(&local), [1, 0, 0, 0, 0, 0, 1, 0, 0]);
    assert_eq!(kinds(&moving), [1, 0, 0, 0, 0, 0, 1, 1, 1]);
    let replicas = |manifests: &Manifests| manifests.workload()["spec"]["replicas"].clone();
    for (manifests, count) in [
        (&minimal, 3),
        (&everything, 5),
        (&local, 1),
        // Nobody may read while the ledger moves.
        (&moving, 0),
    ] {
        assert_eq!(replicas(manifests), count);
    }

    assert_eq!(minimal.container()["env"], Value::Null);
    let password = &everything.container()["env"][0];
    assert_eq!(
        password["name"],
        "INCIDENTD__KAFKA__PROPERTIES__SASL__PASSWORD"
    );
    assert_eq!(
        password["valueFrom"]["secretKeyRef"],
        json!({ "name": "kafka", "key": "password" })
    );
    assert_eq!(everything.container()["env"][1]["name"], "HTTPS_PROXY");

    let volumes = |manifests: &Manifests| {
        let volumes = manifests.pod()["volumes"].as_array().expect("volumes");
        volumes
            .iter()
            .map(|volume| volume["name"].as_str().expect("a name").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(volumes(&minimal), ["config", "tenants", "secrets", "run"]);
    assert_eq!(
        volumes(&workload),
        ["config", "tenants", "run"],
        "no Secret is needed"
    );
    let sources = &everything.pod()["volumes"][1]["projected"]["sources"];
    let maps: Vec<_> = sources
        .as_array()
        .expect("sources")
        .iter()
        .map(|source| &source["configMap"]["name"])
        .collect();
    assert_eq!(maps, ["incidentd-tenants", "customers-a", "customers-b"]);

    let labels = &workload.workload()["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels["azure.workload.identity/use"], "true");
    let annotations = &workload.one("ServiceAccount")["metadata"]["annotations"];
    assert_eq!(
        annotations["azure.workload.identity/client-id"],
        "33333333-3333-3333-3333-333333333333"
    );

    let claim = &local.workload()["spec"]["volumeClaimTemplates"][0]["spec"];
    assert_eq!(claim["storageClassName"], "fast");
    assert_eq!(claim["resources"]["requests"]["storage"], "5Gi");
    let policy = &everything.one("NetworkPolicy")["spec"];
    assert_eq!(policy["egress"][0]["ports"][0]["port"], 443);
    let image = everything.container()["image"].as_str().expect("an image");
    assert!(
        image.contains("@sha256:"),
        "a digest goes before the tag: {image}"
    );
}

#[test]
fn names_that_yaml_would_read_as_numbers_or_switches_stay_texts() {
    let texts: Vec<String> = [
        "imagePullSecrets[0]=1",
        "nameOverride=2",
        "fullnameOverride=on",
        "tenantsConfigMaps[0]=3",
        "secret.name=4",
        "kafkaPassword.secretName=5",
        "kafkaPassword.key=6",
        "serviceAccount.name=7",
        "persistence.storageClassName=8",
        "persistence.size=9",
        "priorityClassName=true",
        "podLabels.team=10",
        "podMonitor.labels.team=11",
        "config.ledger.kind=local",
    ]
    .iter()
    .flat_map(|argument| ["--set-string".to_owned(), (*argument).to_owned()])
    .collect();
    let texts = texts.iter().map(String::as_str);
    let texts: Vec<&str> = texts.chain(["--set", "replicas=1"]).collect();
    let manifests = Manifests::of_release("1e3", &set("everything"), &texts);
    let whole = manifests.one("StatefulSet");
    let (spec, pod) = (&whole["spec"], manifests.pod());
    let claim = &spec["volumeClaimTemplates"][0]["spec"];
    let password = &manifests.container()["env"][0]["valueFrom"]["secretKeyRef"];
    let tenants = &pod["volumes"][1]["projected"]["sources"];
    let labels = &spec["template"]["metadata"]["labels"];
    for (found, wanted) in [
        (&whole["metadata"]["name"], "on"),
        (&spec["serviceName"], "on"),
        (
            &spec["selector"]["matchLabels"]["app.kubernetes.io/name"],
            "2",
        ),
        (
            &spec["selector"]["matchLabels"]["app.kubernetes.io/instance"],
            "1e3",
        ),
        (&labels["team"], "10"),
        (&pod["imagePullSecrets"][0]["name"], "1"),
        (&pod["serviceAccountName"], "7"),
        (&pod["priorityClassName"], "true"),
        (&pod["volumes"][0]["configMap"]["name"], "on"),
        (&tenants[0]["configMap"]["name"], "on-tenants"),
        (&tenants[1]["configMap"]["name"], "3"),
        (&pod["volumes"][2]["secret"]["secretName"], "4"),
        (&password["name"], "5"),
        (&password["key"], "6"),
        (&claim["storageClassName"], "8"),
        (&claim["resources"]["requests"]["storage"], "9"),
        (
            &manifests.one("PodMonitor")["metadata"]["labels"]["team"],
            "11",
        ),
    ] {
        assert_eq!(found, wanted, "{}", manifests.text);
    }
    for kind in ["Service", "NetworkPolicy", "PodMonitor", "PrometheusRule"] {
        assert_eq!(manifests.one(kind)["metadata"]["name"], "on", "{kind}");
    }
    assert_eq!(manifests.one("ServiceAccount")["metadata"]["name"], "7");
}

#[test]
fn the_rendered_files_hold_every_key_that_was_set_and_are_a_good_configuration() {
    for name in SETS {
        let manifests = Manifests::of(&set(name));
        let values = fs::read_to_string(set(name)).expect("values");
        let values: Value = yaml_serde::from_str(&values).expect("YAML");
        let main = main_file(&manifests);
        for (section, keys) in values["config"].as_object().expect("sections") {
            let keys = keys.as_object().expect("keys").iter();
            for (key, value) in keys.filter(|(_, value)| !value.is_null()) {
                // While a ledger moves, its Job alone has the keys of both kinds.
                if name == "move" && section == "ledger" && key != "kind" {
                    continue;
                }
                let rendered = &main[section.as_str()][key.as_str()];
                let rendered = serde_json::to_value(rendered).expect("JSON");
                assert_eq!(&rendered, value, "{name}: {section}.{key}");
            }
        }
        let tenants = values["tenants"].as_array().map_or(0, Vec::len);
        // Tenants in the operator's own ConfigMaps are not in the rendered files.
        if tenants > 0 {
            assert_eq!(load(&manifests).tenants.len(), tenants, "{name}");
        }
    }
}

/// Lets incidentd read the rendered files.
fn load(manifests: &Manifests) -> incidentd::settings::Settings {
    let folder = tempfile::tempdir().expect("a folder");
    let text = |map: &str, key: &str| {
        let map = manifests.config_map(map);
        map["data"][key].as_str().expect("a file").to_owned()
    };
    let tenants_dir = folder.path().display().to_string();
    let main = text("incidentd", "incidentd.toml").replace("/etc/incidentd-tenants", &tenants_dir);
    fs::write(
        folder.path().join("values.toml"),
        text("incidentd-tenants", "values.toml"),
    )
    .expect("written");
    let main_folder = tempfile::tempdir().expect("a folder");
    let file = main_folder.path().join("incidentd.toml");
    fs::write(&file, main).expect("written");
    let loaded = incidentd::config::load_for_reading(&file, &HashMap::new());
    loaded.unwrap_or_else(|errors| panic!("{errors}"))
}

/// The keys of config/incidentd.toml, which contains all of them, including those that are commented out.
fn keys_of_the_example() -> BTreeSet<String> {
    let text = fs::read_to_string(repository().join("config/incidentd.toml")).expect("the example");
    let (mut section, mut keys) = (String::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            section = name.trim_matches('[').trim_matches(']').to_owned();
        }
        let line = line.strip_prefix("# ").unwrap_or(line);
        let key = line.split_once(" = ").map(|(key, _)| key);
        if let Some(key) = key.filter(|key| {
            key.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        }) {
            keys.insert(format!("{section}.{key}"));
        }
    }
    keys
}

#[test]
fn every_key_of_the_configuration_can_be_set_by_a_value() {
    let schema = fs::read_to_string(repository().join("deploy/helm/incidentd/values.schema.json"))
        .expect("the schema");
    let schema: Value = serde_json::from_str(&schema).expect("JSON");
    let keys = keys_of_the_example();
    assert!(
        keys.len() > 30,
        "the example's keys were not found: {keys:?}"
    );
    for key in keys {
        // The chart sets these: where files are mounted.
        if key == "ledger.path" || key == ".tenants_dir" {
            continue;
        }
        let (section, name) = key.split_once('.').expect("a section");
        let known = match section {
            "tenants" => &schema["properties"]["tenants"]["items"]["properties"][name],
            section => &schema["properties"]["config"]["properties"][section]["properties"][name],
        };
        assert!(!known.is_null(), "values.schema.json does not know {key}");
    }
}

#[test]
fn what_is_misspelt_or_secret_or_contradictory_is_refused_with_words() {
    for (argument, words) in [
        ("confg.app.client_id=x", "confg"),
        ("config.kafka.broker=x", "broker"),
        ("config.poll.schedul=x", "schedul"),
        ("tenants[0].nme=x", "nme"),
        ("config.app.client_id=nobody", "client_id"),
        ("config.api.source=defendr", "source"),
        (
            "terminationGracePeriodSeconds=20",
            "terminationGracePeriodSeconds",
        ),
        (
            r"config.kafka.properties.sasl\.password=hunter2",
            "kafkaPassword",
        ),
        (
            r"config.kafka.properties.ssl\.key\.password=hunter2",
            "extraEnv",
        ),
        (
            r"config.kafka.properties.SASL\.Password=hunter2",
            "kafkaPassword",
        ),
        (
            r"config.kafka.properties.sasl\.oauthbearer\.assertion\.private\.key\.passphrase=hunter2",
            "extraEnv",
        ),
        (
            "config.api.proxy=http://soc:hunter2@proxy.example.net:3128",
            "INCIDENTD__API__PROXY",
        ),
        (
            "config.api.proxy=soc:hunter2@proxy.example.net:3128",
            "INCIDENTD__API__PROXY",
        ),
        (
            "tenants[0].api.proxy=http://soc:hunter2@proxy.example.net:3128",
            "INCIDENTD__API__PROXY",
        ),
        ("config.http.listen=127.0.0.1:9464", "loopback"),
        ("config.http.listen=[::1]:9464", "loopback"),
        ("config.http.listen=0.0.0.0", "config.http.listen"),
        ("config.http.listen=[::]:0", "config.http.listen"),
        ("nameOverride=North_SOC", "nameOverride"),
        ("fullnameOverride=north.soc", "fullnameOverride"),
        ("fullnameOverride=7-soc", "fullnameOverride"),
        ("secret.name=", "secret.name"),
        ("config.kafka.brokers=", "brokers"),
        ("config.ledger.kind=file", "kind"),
        ("config.ledger.kind=local,replicas=2", "replicas"),
        ("replicas=33", "set replicas to 32 or less"),
        ("config.ledger.path=/ledger", "path"),
        (
            "config.app.client_secret_env=SECRET",
            "config.app.client_secret_file to null",
        ),
        (
            "config.app.certificate_file=/run/secrets/incidentd/app.pem",
            "config.app.client_secret_file to null",
        ),
        (
            "config.app.managed_identity=system",
            "config.app.client_secret_file to null",
        ),
        (
            "config.app.key_vault_secret=https://soc.vault.azure.net/secrets/a,config.app.managed_identity=system",
            "config.app.client_secret_file to null",
        ),
        (
            r"podLabels.app\.kubernetes\.io/name=other",
            "podLabels: the chart sets app.kubernetes.io/name itself",
        ),
    ] {
        let made = helm_template(&set("minimal"), &["--set", argument]);
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(!made.status.success(), "{argument} was accepted");
        assert!(said.contains(words), "{argument}: {said}");
        assert!(!said.contains("hunter2"), "{argument}: {said}");
    }
    for (argument, words) in [
        (
            "config.app.federated_token_file=null",
            "config.app.federated_token_file to /var/run",
        ),
        (
            "config.app.client_secret_file=/run/secrets/incidentd/client-secret",
            "client_secret_file to null",
        ),
        (
            "config.app.client_secret_next_file=/run/secrets/incidentd/next",
            "secret.name",
        ),
        (
            "config.app.certificate_file=/run/secrets/incidentd/app.pem",
            "secret.name",
        ),
        (
            "config.app.certificate_file=/app.pem",
            "config.app.federated_token_file to null",
        ),
        (
            "config.app.managed_identity=system",
            "config.app.federated_token_file to null",
        ),
        (
            "config.app.key_vault_secret=https://soc.vault.azure.net/secrets/a,config.app.managed_identity=system",
            "config.app.federated_token_file to null",
        ),
        (
            r"podLabels.azure\.workload\.identity/use=mine",
            "podLabels: the chart sets azure.workload.identity/use itself",
        ),
    ] {
        let made = helm_template(&set("workload-identity"), &["--set", argument]);
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(!made.status.success(), "{argument} was accepted");
        assert!(said.contains(words), "{argument}: {said}");
    }
    let both = helm_template(
        &set("everything"),
        &["--set", "serviceMonitor.enabled=true"],
    );
    assert!(!both.status.success(), "two monitors read everything twice");
    let nobody = helm_template(&set("minimal"), &["--set", "tenants=null"]);
    assert!(
        !nobody.status.success(),
        "a daemon without customers does not start"
    );
}

#[test]
fn what_only_looks_like_a_secret_or_a_second_credential_is_accepted() {
    const VAULT: &str = "config.app.key_vault_secret=https://soc.vault.azure.net/secrets/a";
    for (values, argument) in [
        (
            "minimal",
            r"config.kafka.properties.sasl\.oauthbearer\.client\.secret\.file=/run/secrets/incidentd/kafka",
        ),
        (
            "minimal",
            r"config.kafka.properties.ssl\.key\.location=/run/secrets/incidentd/key",
        ),
        (
            "minimal",
            "config.app.client_secret_next_file=/run/secrets/incidentd/next",
        ),
        (
            "minimal",
            "config.app.client_secret_file=null,config.app.certificate_file=/run/secrets/incidentd/app.pem",
        ),
        ("minimal", r"podLabels.azure\.workload\.identity/use=mine"),
        ("workload-identity", VAULT),
        (
            "workload-identity",
            "workloadIdentity.enabled=false,config.app.federated_token_file=null,config.app.managed_identity=system",
        ),
    ] {
        Manifests::with(&set(values), &["--set", argument]);
    }
}

pub fn main_file(manifests: &Manifests) -> toml::Table {
    let text = manifests.config_map("incidentd")["data"]["incidentd.toml"]
        .as_str()
        .expect("the main file");
    text.parse()
        .unwrap_or_else(|error| panic!("{error}:\n{text}"))
}

pub fn last_line(text: &str) -> &str {
    text.trim().lines().last().unwrap_or_default()
}
