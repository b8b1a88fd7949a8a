//! What the manifests promise, asked of each set of values.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::render::{KUBERNETES, Manifests, SETS, TOOLS, helm_template, repository, set, tool};

#[test]
fn helm_finds_nothing_wrong_with_the_chart() {
    for name in SETS {
        let linted = tool("helm")
            .args([
                "lint",
                "--strict",
                "--kube-version",
                KUBERNETES[1],
                "--values",
            ])
            .arg(set(name))
            .arg(repository().join("deploy/helm/incidentd"))
            .output()
            .expect("helm runs");
        let said = String::from_utf8_lossy(&linted.stdout);
        assert!(linted.status.success(), "{name}:\n{said}");
        crate::support::tell(format_args!(
            "helm lint --strict, {name}: {}",
            last_line(&said)
        ));
    }
}

#[test]
fn kubernetes_takes_every_object_and_knows_every_field() {
    let folder = tempfile::tempdir().expect("a folder");
    let rendered = SETS.map(|name| (name, Manifests::of(&set(name)).text));
    let plain = tool("kustomize")
        .args(["build", "deploy/kubernetes"])
        .current_dir(repository())
        .output()
        .expect("kustomize runs");
    assert!(
        plain.status.success(),
        "{}",
        String::from_utf8_lossy(&plain.stderr)
    );
    let plain = ("plain", String::from_utf8(plain.stdout).expect("UTF-8"));
    for (name, text) in rendered.into_iter().chain([plain]) {
        let file = folder.path().join(format!("{name}.yaml"));
        fs::write(&file, text).expect("written");
        for version in KUBERNETES {
            let checked = tool("kubeconform")
                .args(["-strict", "-summary", "-kubernetes-version", version, "-schema-location"])
                .arg(format!(
                    "{}/schemas/{{{{.NormalizedKubernetesVersion}}}}{{{{.StrictSuffix}}}}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
                    TOOLS.display()
                ))
                // The Prometheus operator's own: their schemas are not among Kubernetes'.
                .args(["-skip", "PodMonitor,ServiceMonitor,PrometheusRule"])
                .arg(&file)
                .output()
                .expect("kubeconform runs");
            let said = String::from_utf8_lossy(&checked.stdout);
            assert!(
                checked.status.success(),
                "{name} against Kubernetes {version}:\n{said}"
            );
            crate::support::tell(format_args!(
                "kubeconform {version}, {name}: {}",
                last_line(&said)
            ));
        }
    }
}

#[test]
fn the_pod_has_no_rights_and_one_replica() {
    for name in SETS {
        let manifests = Manifests::of(&set(name));
        let (pod, container) = (manifests.pod(), manifests.container());
        assert_eq!(
            manifests.one("StatefulSet")["spec"]["replicas"],
            1,
            "{name}"
        );
        assert_eq!(
            manifests.one("StatefulSet")["spec"]["podManagementPolicy"],
            "Parallel",
            "{name}: with the default a pod that never became ready is not replaced by a mended one"
        );
        assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
        assert_eq!(
            manifests.one("ServiceAccount")["automountServiceAccountToken"],
            false,
            "{name}"
        );
        let whole = &pod["securityContext"];
        for (key, wanted) in [
            ("runAsNonRoot", json!(true)),
            ("runAsUser", json!(65532)),
            ("runAsGroup", json!(65532)),
            ("fsGroup", json!(65532)),
            ("seccompProfile", json!({ "type": "RuntimeDefault" })),
        ] {
            assert_eq!(whole[key], wanted, "{name}: {key}");
        }
        let own = json!({
            "allowPrivilegeEscalation": false,
            "privileged": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        });
        assert_eq!(container["securityContext"], own, "{name}");
        for host in ["hostNetwork", "hostPID", "hostIPC"] {
            assert!(pod[host].is_null(), "{name}: {host}");
        }
        let writable: Vec<_> = container["volumeMounts"]
            .as_array()
            .expect("mounts")
            .iter()
            .filter(|mount| mount["readOnly"] != true)
            .map(|mount| &mount["mountPath"])
            .collect();
        assert_eq!(
            writable,
            ["/var/lib/incidentd"],
            "{name}: only the ledger can be written"
        );
    }
}

#[test]
fn probes_ask_the_daemons_own_endpoints_and_the_pod_has_time_to_stop() {
    for name in SETS {
        let manifests = Manifests::of(&set(name));
        let container = manifests.container();
        for (probe, path) in [
            ("startupProbe", "/livez"),
            ("livenessProbe", "/livez"),
            ("readinessProbe", "/readyz"),
        ] {
            assert_eq!(
                container[probe]["httpGet"],
                json!({ "path": path, "port": "http" }),
                "{name}"
            );
        }
        let grace = manifests.pod()["terminationGracePeriodSeconds"].as_u64();
        assert!(
            grace > Some(25),
            "{name}: {grace:?} s, and a stop takes up to 25"
        );
        let (main, port) = (
            main_file(&manifests),
            &container["ports"][0]["containerPort"],
        );
        assert_eq!(
            main["http"]["listen"].as_str(),
            Some(format!("[::]:{port}").as_str()),
            "{name}"
        );
        assert_eq!(
            manifests.one("Service")["spec"]["ports"][0]["targetPort"],
            "http",
            "{name}"
        );
        assert!(
            !container["resources"]["limits"]["memory"].is_null(),
            "{name}"
        );
    }
}

#[test]
fn the_notes_name_the_default_topic_and_the_log_of_a_pod_that_does_not_run() {
    // Helm shows notes only where there is a cluster: here a template has them.
    let folder = tempfile::tempdir().expect("a folder");
    let chart = folder.path().join("incidentd");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(repository().join("deploy/helm/incidentd"))
        .arg(&chart)
        .status();
    assert!(copied.expect("cp runs").success());
    let notes = r#"notes: {{ include (print $.Template.BasePath "/NOTES.txt") . | toJson }}"#;
    fs::write(chart.join("templates/notes.yaml"), notes).expect("written");
    let made = tool("helm")
        .args(["template", "incidentd", "--namespace", "soc"])
        .args(["--kube-version", KUBERNETES[1]])
        .args(["--show-only", "templates/notes.yaml"])
        .args(["--set", "config.kafka.topic=null", "--values"])
        .arg(set("minimal"))
        .arg(&chart)
        .output()
        .expect("helm runs");
    let trouble = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{trouble}");
    let said: Value = yaml_serde::from_slice(&made.stdout).expect("YAML");
    let said = said["notes"].as_str().expect("notes");
    for words in [
        "--create --topic security.incidents ",
        "kubectl --namespace soc logs incidentd-0",
        "kubectl --namespace soc rollout restart statefulset incidentd",
        "kubectl --namespace soc delete pod incidentd-0",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
}

#[test]
fn the_container_has_the_port_on_which_the_daemon_listens() {
    for (argument, listen, container, service) in [
        ("service.port=8080", "[::]:8080", 8080, 8080),
        (
            "config.http.listen=0.0.0.0:9000",
            "0.0.0.0:9000",
            9000,
            9464,
        ),
        (
            "config.http.listen=[fd00::7]:9001,service.port=8080",
            "[fd00::7]:9001",
            9001,
            8080,
        ),
    ] {
        let manifests = Manifests::with(&set("minimal"), &["--set", argument]);
        let main = main_file(&manifests);
        assert_eq!(main["http"]["listen"].as_str(), Some(listen), "{argument}");
        assert_eq!(
            manifests.container()["ports"],
            json!([{ "name": "http", "containerPort": container }]),
            "{argument}"
        );
        assert_eq!(
            manifests.one("Service")["spec"]["ports"],
            json!([{ "name": "http", "port": service, "targetPort": "http" }]),
            "{argument}"
        );
    }
}

#[test]
fn every_switch_does_what_it_says() {
    let [minimal, everything, workload] = SETS.map(|name| Manifests::of(&set(name)));
    let kinds = |manifests: &Manifests| {
        [
            "NetworkPolicy",
            "PodMonitor",
            "ServiceMonitor",
            "PrometheusRule",
        ]
        .map(|kind| manifests.all(kind).len())
    };
    assert_eq!(kinds(&minimal), [1, 0, 0, 0]);
    assert_eq!(kinds(&everything), [1, 1, 0, 1]);
    assert_eq!(kinds(&workload), [0, 0, 1, 0]);

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
    assert_eq!(volumes(&minimal), ["config", "tenants", "secrets"]);
    assert_eq!(
        volumes(&workload),
        ["config", "tenants"],
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

    let labels = &workload.one("StatefulSet")["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels["azure.workload.identity/use"], "true");
    let annotations = &workload.one("ServiceAccount")["metadata"]["annotations"];
    assert_eq!(
        annotations["azure.workload.identity/client-id"],
        "33333333-3333-3333-3333-333333333333"
    );

    let claim = &everything.one("StatefulSet")["spec"]["volumeClaimTemplates"][0]["spec"];
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
fn the_alert_rules_are_those_of_the_repository_and_lead_to_the_runbook() {
    let everything = Manifests::of(&set("everything"));
    let own = fs::read_to_string(repository().join("deploy/alerts.yaml")).expect("the rules");
    let own: Value = yaml_serde::from_str(&own.replace(
        "RUNBOOK.md#",
        "https://wiki.example.net/incidentd/RUNBOOK.md#",
    ))
    .expect("YAML");
    assert_eq!(everything.one("PrometheusRule")["spec"], own);
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
    ]
    .iter()
    .flat_map(|argument| ["--set-string".to_owned(), (*argument).to_owned()])
    .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
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
fn two_releases_are_two_jobs_each_with_rules_of_its_own() {
    for release in ["incidentd", "north"] {
        for monitor in ["PodMonitor", "ServiceMonitor"] {
            let (on, off) = match monitor {
                "PodMonitor" => ("podMonitor.enabled=true", "serviceMonitor.enabled=false"),
                _ => ("podMonitor.enabled=false", "serviceMonitor.enabled=true"),
            };
            let manifests =
                Manifests::of_release(release, &set("everything"), &["--set", on, "--set", off]);
            let label = &manifests.one(monitor)["spec"]["jobLabel"];
            let label = label.as_str().expect("a label");
            // The operator takes the job's name from this label of the pod or of the service.
            let labelled = match monitor {
                "PodMonitor" => &manifests.one("StatefulSet")["spec"]["template"],
                _ => manifests.one("Service"),
            };
            assert_eq!(labelled["metadata"]["labels"][label], release, "{monitor}");
            let rules = manifests.one("PrometheusRule")["spec"].to_string();
            let jobs: BTreeSet<_> = rules
                .split("job=")
                .skip(1)
                .map(|rest| {
                    let name = rest.trim_start_matches(['\\', '"']);
                    name.split(['\\', '"']).next().expect("a name")
                })
                .collect();
            assert_eq!(jobs, BTreeSet::from([release]), "{rules}");
        }
    }
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
                let rendered = &main[section.as_str()][key.as_str()];
                let rendered = serde_json::to_value(rendered).expect("JSON");
                assert_eq!(&rendered, value, "{name}: {section}.{key}");
            }
        }
        let tenants = values["tenants"].as_array().map_or(0, Vec::len);
        // Those of the operator's own ConfigMaps are not there.
        if tenants > 0 {
            assert_eq!(load(&manifests).tenants.len(), tenants, "{name}");
        }
    }
}

/// Has incidentd read the rendered files.
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

/// The keys of config/incidentd.toml, which has them all, those that are commented out too.
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
        // The chart decides these: where files are mounted and where the ledger lies.
        if ["ledger.kind", "ledger.path", ".tenants_dir"].contains(&key.as_str()) {
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
fn the_plain_manifests_are_those_that_the_chart_renders() {
    let checked = Command::new(repository().join("deploy/kubernetes/render"))
        .arg("--check")
        .env("PATH", path_with_tools())
        .output()
        .expect("deploy/kubernetes/render runs");
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(
        checked.status.success(),
        "run deploy/kubernetes/render and commit what it changes:\n{said}"
    );
}

fn path_with_tools() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{}:{path}", TOOLS.join("bin").display())
}

fn main_file(manifests: &Manifests) -> toml::Table {
    let text = manifests.config_map("incidentd")["data"]["incidentd.toml"]
        .as_str()
        .expect("the main file");
    text.parse()
        .unwrap_or_else(|error| panic!("{error}:\n{text}"))
}

fn last_line(text: &str) -> &str {
    text.trim().lines().last().unwrap_or_default()
}
