//! What the manifests promise, checked with each set of values.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::chart::render::{KUBERNETES, Manifests, SETS, TOOLS, repository, set, tool};
use crate::chart::settings::{last_line, main_file};

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
                // Kinds of the Prometheus operator: their schemas are not among Kubernetes' own.
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
fn a_local_ledger_has_one_daemon_whose_mended_pod_replaces_one_that_is_not_ready() {
    let local = Manifests::of(&set("local"));
    let spec = &local.workload()["spec"];
    assert_eq!(spec["replicas"], 1);
    assert_eq!(
        spec["podManagementPolicy"], "Parallel",
        "with the default a pod that never became ready is not replaced by a mended one"
    );
}

#[test]
fn replicas_lie_apart_and_are_replaced_and_drained_one_at_a_time() {
    for name in ["minimal", "everything", "workload-identity"] {
        let manifests = Manifests::of(&set(name));
        let spec = &manifests.one("Deployment")["spec"];
        let selector = &spec["selector"]["matchLabels"];
        assert_eq!(
            spec["strategy"],
            json!({ "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } }),
            "{name}: a new replica is there before an old one goes"
        );
        assert!(
            spec["minReadySeconds"].as_u64() >= Some(10),
            "{name}: a sweep of a tenant that moves has 10 s to end"
        );
        let budget = &manifests.one("PodDisruptionBudget")["spec"];
        assert_eq!(budget["maxUnavailable"], 1, "{name}");
        assert_eq!(&budget["selector"]["matchLabels"], selector, "{name}");
        let spread = manifests.pod()["topologySpreadConstraints"].as_array();
        let spread = spread.expect("constraints");
        let keys: Vec<_> = spread.iter().map(|each| &each["topologyKey"]).collect();
        assert_eq!(
            keys,
            ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        );
        for each in spread {
            assert_eq!(&each["labelSelector"]["matchLabels"], selector, "{name}");
            // A fleet of one node has to run, too.
            assert_eq!(each["whenUnsatisfiable"], "ScheduleAnyway", "{name}");
        }
        assert!(
            !manifests.text.contains("PersistentVolumeClaim"),
            "{name}: nothing is kept on disk"
        );
    }
}

#[test]
fn two_releases_on_one_kafka_share_neither_the_ledgers_topic_nor_its_group() {
    let ledger = |release: &str| {
        let manifests = Manifests::of_release(release, &set("minimal"), &[]);
        let map = manifests.all("ConfigMap")[0]["data"]["incidentd.toml"].clone();
        let main: toml::Table = map.as_str().expect("a file").parse().expect("TOML");
        main["ledger"].clone()
    };
    let (one, other) = (ledger("north"), ledger("south"));
    for key in ["topic", "group"] {
        assert_ne!(one[key], other[key]);
    }
}

#[test]
fn the_job_that_moves_a_ledger_knows_both_and_is_not_behind_the_service() {
    let from_local = Manifests::with(&set("minimal"), &["--set", "moveLedger=true"]);
    for (manifests, from, to) in [
        (&Manifests::of(&set("move")), "kafka", "local"),
        (&from_local, "local", "kafka"),
    ] {
        let template = &manifests.one("Job")["spec"]["template"];
        let pod = &template["spec"];
        for (container, kind) in [
            (&pod["initContainers"][0], from),
            (&pod["containers"][0], to),
        ] {
            let env = container["env"].as_array().expect("variables");
            let named = |name: &str| env.iter().find(|each| each["name"] == name);
            let value = named("INCIDENTD__LEDGER__KIND").expect("a kind");
            assert_eq!(value["value"], kind);
            assert_eq!(kind == "kafka", named("INCIDENTD__LEDGER__TOPIC").is_some());
            assert_eq!(
                container["securityContext"],
                manifests.container()["securityContext"]
            );
        }
        assert_eq!(pod["securityContext"], manifests.pod()["securityContext"]);
        let volumes = pod["volumes"].as_array().expect("volumes");
        let claim = &volumes.iter().find(|volume| volume["name"] == "ledger");
        let claim = &claim.expect("the ledger's")["persistentVolumeClaim"]["claimName"];
        assert_eq!(
            claim, "ledger-incidentd-0",
            "as the StatefulSet's claim is called"
        );
        let service = &manifests.one("Service")["spec"]["selector"]["app.kubernetes.io/name"];
        assert_ne!(
            &template["metadata"]["labels"]["app.kubernetes.io/name"],
            service
        );
    }
    let claim = &Manifests::of(&set("move")).one("PersistentVolumeClaim")["metadata"].clone();
    assert_eq!(claim["name"], "ledger-incidentd-0");
    assert_eq!(claim["annotations"]["helm.sh/resource-policy"], "keep");
}

#[test]
fn the_pod_has_no_rights() {
    for name in SETS {
        let manifests = Manifests::of(&set(name));
        let (pod, container) = (manifests.pod(), manifests.container());
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
        let folders: &[&str] = match manifests.workload()["kind"] == "StatefulSet" {
            true => &["/run/incidentd", "/var/lib/incidentd"],
            false => &["/run/incidentd"],
        };
        assert_eq!(
            writable, folders,
            "{name}: only a local ledger and the folder of the socket can be written"
        );
        let volumes = pod["volumes"].as_array().expect("volumes");
        let run = volumes.iter().find(|volume| volume["name"] == "run");
        let small = json!({ "medium": "Memory", "sizeLimit": "1Mi" });
        assert_eq!(run.expect("it")["emptyDir"], small, "{name}");
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
    // Helm shows notes only with a cluster, so here a template contains them.
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
    for (name, expected) in [
        (
            "minimal",
            &[
                "--create --topic security.incidents ",
                "isolation.level=read_committed",
                "kubectl --namespace soc logs deployment/incidentd",
                "kubectl --namespace soc rollout restart deployment incidentd",
                "app.kubernetes.io/name=incidentd,app.kubernetes.io/instance=incidentd",
            ][..],
        ),
        (
            "local",
            &[
                "--create --topic security.incidents ",
                "kubectl --namespace soc logs incidentd-0",
                "kubectl --namespace soc rollout restart statefulset incidentd",
                "kubectl --namespace soc delete pod incidentd-0",
            ],
        ),
        (
            "move",
            &[
                "--timeout=15m job/incidentd-move\n",
                "upgrade again without moveLedger",
            ],
        ),
    ] {
        let made = tool("helm")
            .args(["template", "incidentd", "--namespace", "soc"])
            .args(["--kube-version", KUBERNETES[1]])
            .args(["--show-only", "templates/notes.yaml"])
            .args(["--set", "config.kafka.topic=null", "--values"])
            .arg(set(name))
            .arg(&chart)
            .output()
            .expect("helm runs");
        let trouble = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{trouble}");
        let said: Value = yaml_serde::from_slice(&made.stdout).expect("YAML");
        let said = said["notes"].as_str().expect("notes");
        for words in expected {
            assert!(said.contains(words), "{name}: {words}\n{said}");
        }
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
fn the_alert_rules_are_those_of_the_repository_and_lead_to_the_runbook() {
    let everything = Manifests::of(&set("everything"));
    let own =
        fs::read_to_string(repository().join("deploy/prometheus/alerts.yaml")).expect("the rules");
    let own: Value = yaml_serde::from_str(&own.replace(
        "operations.md#",
        "https://wiki.example.net/incidentd/operations.md#",
    ))
    .expect("YAML");
    assert_eq!(everything.one("PrometheusRule")["spec"], own);
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
                "PodMonitor" => &manifests.workload()["spec"]["template"],
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
