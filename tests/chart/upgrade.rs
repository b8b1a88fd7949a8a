//! An upgrade that would begin an empty ledger beside the one in use is refused: the chart asks Kubernetes what runs.

use std::io::Write;

use axum::Json;
use axum::Router;
use axum::http::{StatusCode, Uri};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::net::TcpListener;

use crate::chart::render::{KUBERNETES, repository, set, tool};
use crate::support::blocking;

/// What runs of the release.
#[derive(Clone, Copy)]
struct Running {
    kind: &'static str,
    replicas: u64,
    /// The `status` of the Job that moves the ledger, if there is one.
    job: Option<fn() -> Value>,
}

/// What a Kubernetes with one workload of the release answers, as far as Helm asks.
fn answer(path: &str, running: Running) -> Option<Value> {
    let Running {
        kind,
        replicas,
        job,
    } = running;
    let named = |kind: &str| format!("{}s", kind.to_lowercase());
    let resource = |kind: &str| json!({ "name": named(kind), "singularName": "", "namespaced": true, "kind": kind, "verbs": ["get"] });
    let group = |name: &str| {
        let version = json!({ "groupVersion": format!("{name}/v1"), "version": "v1" });
        json!({ "name": name, "versions": [version], "preferredVersion": version })
    };
    Some(match path {
        "/version" => json!({ "major": "1", "minor": "37", "gitVersion": "v1.37.0" }),
        "/api" => json!({ "kind": "APIVersions", "versions": ["v1"] }),
        "/apis" => json!({
            "kind": "APIGroupList",
            "groups": [group("apps"), group("batch")],
        }),
        "/api/v1" => json!({ "kind": "APIResourceList", "groupVersion": "v1", "resources": [] }),
        "/apis/apps/v1" => json!({
            "kind": "APIResourceList",
            "groupVersion": "apps/v1",
            "resources": [resource("Deployment"), resource("StatefulSet")],
        }),
        "/apis/batch/v1" => json!({
            "kind": "APIResourceList",
            "groupVersion": "batch/v1",
            "resources": [resource("Job")],
        }),
        "/apis/batch/v1/namespaces/soc/jobs/incidentd-move" => json!({
            "kind": "Job",
            "apiVersion": "batch/v1",
            "metadata": { "name": "incidentd-move", "namespace": "soc" },
            "status": job?(),
        }),
        path if path == format!("/apis/apps/v1/namespaces/soc/{}/incidentd", named(kind)) => {
            json!({
                "kind": kind,
                "apiVersion": "apps/v1",
                "metadata": { "name": "incidentd", "namespace": "soc" },
                "spec": { "replicas": replicas },
            })
        }
        _ => return None,
    })
}

/// What Helm says of an upgrade with these settings. `None`: it is rendered.
async fn refusal(running: Running, settings: &'static str) -> Option<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let asked = move |uri: Uri| async move {
        match answer(uri.path(), running) {
            Some(body) => (StatusCode::OK, Json(body)),
            None => {
                let body = json!({ "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404 });
                (StatusCode::NOT_FOUND, Json(body))
            }
        }
    };
    let serving = tokio::spawn(async move {
        let served = axum::serve(listener, Router::new().fallback(asked)).await;
        served.expect("a server");
    });
    let mut access = NamedTempFile::new().expect("a file");
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "test", "cluster": { "server": format!("http://{address}") } }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
        "users": [{ "name": "test", "user": {} }],
        "current-context": "test",
    });
    write!(access, "{config}").expect("written");
    let made = blocking(move || {
        let mut helm = tool("helm");
        helm.args(["template", "incidentd"])
            .arg(repository().join("deploy/helm/incidentd"))
            .args([
                "--namespace",
                "soc",
                "--dry-run=server",
                "--kube-version",
                KUBERNETES[1],
            ])
            .arg("--kubeconfig")
            .arg(access.path())
            .arg("--values")
            .arg(set("minimal"))
            .args(["--set", settings]);
        helm.output().expect("helm runs")
    })
    .await;
    serving.abort();
    let said = String::from_utf8_lossy(&made.stderr).into_owned();
    (!made.status.success()).then_some(said)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_never_begins_an_empty_ledger_beside_the_one_in_use() {
    const ANEW: &str = "would begin an empty one";
    const WHILE_IT_RUNS: &str = "scale the Deployment to 0";
    const TO_LOCAL: &str = "config.ledger.kind=local";
    const LOCAL_MOVE: &str = "config.ledger.kind=local,moveLedger=true";
    for (kind, replicas, settings, refused) in [
        ("StatefulSet", 1, "moveLedger=false", Some(ANEW)),
        ("StatefulSet", 1, "moveLedger=true", None),
        ("StatefulSet", 0, "moveLedger=false", None),
        ("StatefulSet", 1, TO_LOCAL, None),
        ("Deployment", 3, TO_LOCAL, Some(ANEW)),
        ("Deployment", 3, LOCAL_MOVE, Some(WHILE_IT_RUNS)),
        ("Deployment", 0, LOCAL_MOVE, None),
        ("Deployment", 3, "moveLedger=false", None),
    ] {
        let running = Running {
            kind,
            replicas,
            job: None,
        };
        let said = refusal(running, settings).await;
        let as_expected = match (&said, refused) {
            (Some(said), Some(words)) => said.contains(words),
            (said, words) => said.is_none() && words.is_none(),
        };
        assert!(as_expected, "{replicas} of a {kind}, {settings}: {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_starts_only_when_its_ledger_was_moved() {
    const UNFINISHED: &str = "the Job incidentd-move has not moved the ledger";
    let active: fn() -> Value = || json!({ "active": 1 });
    let tried: fn() -> Value = || json!({ "active": 1, "failed": 2 });
    let failed: fn() -> Value =
        || json!({ "failed": 7, "conditions": [{ "type": "Failed", "status": "True" }] });
    let complete: fn() -> Value = || json!({ "succeeded": 1, "failed": 1 });
    let not_seen: fn() -> Value = || json!({});
    for (job, refused) in [
        (active, true),
        (tried, true),
        (failed, true),
        (not_seen, true),
        (complete, false),
    ] {
        let running = Running {
            kind: "StatefulSet",
            replicas: 0,
            job: Some(job),
        };
        let said = refusal(running, "moveLedger=false").await;
        let as_expected = match &said {
            Some(said) => refused && said.contains(UNFINISHED),
            None => !refused,
        };
        assert!(as_expected, "{}: {said:?}", job());
    }
}
