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
fn the_alert_rules_are_those_of_the_repository_and_lead_to_the_runbook() {
    let everything = Manifests::of(&set("everything"));
    let own = fs::read_to_string(repository().join("deploy/prometheus/alerts.yaml")).expect("the rules");
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
