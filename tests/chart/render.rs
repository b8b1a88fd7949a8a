//! The chart, rendered by helm.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use serde_json::Value;

/// The sets of values with which the manifests are checked.
pub const SETS: [&str; 5] = [
    "minimal",
    "everything",
    "workload-identity",
    "local",
    "move",
];
/// The oldest and the newest Kubernetes, as in `tests/chart/tools`.
pub const KUBERNETES: [&str; 2] = ["1.30.0", "1.37.0"];

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn set(name: &str) -> PathBuf {
    repository().join(format!("tests/chart/values/{name}.yaml"))
}

/// A command from the folder that `tests/chart/tools` fills.
pub fn tool(name: &str) -> Command {
    Command::new(TOOLS.join("bin").join(name))
}

pub static TOOLS: LazyLock<PathBuf> = LazyLock::new(|| tools(&[]));

pub static PROMTOOL: LazyLock<PathBuf> =
    LazyLock::new(|| tools(&["promtool"]).join("bin/promtool"));

fn tools(args: &[&str]) -> PathBuf {
    let made = Command::new(repository().join("tests/chart/tools"))
        .args(args)
        .output()
        .expect("tests/chart/tools runs");
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "tests/chart/tools failed:\n{said}");
    PathBuf::from(String::from_utf8_lossy(&made.stdout).trim())
}

/// `helm template` with a values file and further arguments.
pub fn helm_template(values: &Path, further: &[&str]) -> Output {
    helm_template_of("incidentd", values, further)
}

fn helm_template_of(release: &str, values: &Path, further: &[&str]) -> Output {
    let mut helm = tool("helm");
    helm.args(["template", release])
        .arg(repository().join("deploy/helm/incidentd"))
        .args(["--namespace", "soc", "--kube-version", KUBERNETES[1]])
        .arg("--values")
        .arg(values)
        .args(further);
    helm.output().expect("helm runs")
}

/// All objects that the chart renders from these values.
pub struct Manifests {
    pub text: String,
    objects: Vec<Value>,
}

impl Manifests {
    pub fn of(values: &Path) -> Self {
        Self::with(values, &[])
    }

    /// With further arguments for `helm template`.
    pub fn with(values: &Path, further: &[&str]) -> Self {
        Self::made(&helm_template(values, further))
    }

    /// For a release with a name other than `incidentd`.
    pub fn of_release(release: &str, values: &Path, further: &[&str]) -> Self {
        Self::made(&helm_template_of(release, values, further))
    }

    fn made(made: &Output) -> Self {
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "helm template failed:\n{said}");
        Self::read(String::from_utf8(made.stdout.clone()).expect("UTF-8"))
    }

    pub fn read(text: String) -> Self {
        let documents = text
            .split("\n---")
            .map(|part| part.trim_start_matches("---"));
        let objects = documents
            .map(|part| {
                yaml_serde::from_str(part).unwrap_or_else(|error| panic!("{error}:\n{part}"))
            })
            .filter(|object: &Value| !object.is_null());
        Self {
            objects: objects.collect(),
            text,
        }
    }

    pub fn all(&self, kind: &str) -> Vec<&Value> {
        let objects = self.objects.iter();
        objects.filter(|object| object["kind"] == kind).collect()
    }

    /// The only object of a kind.
    pub fn one(&self, kind: &str) -> &Value {
        let all = self.all(kind);
        assert_eq!(all.len(), 1, "one {kind} in:\n{}", self.text);
        all[0]
    }

    pub fn config_map(&self, name: &str) -> &Value {
        let maps = self.all("ConfigMap").into_iter();
        let mut found = maps.filter(|map| map["metadata"]["name"] == name);
        found
            .next()
            .unwrap_or_else(|| panic!("no ConfigMap {name}"))
    }

    /// What runs the daemon.
    pub fn workload(&self) -> &Value {
        match self.all("Deployment")[..] {
            [deployment] => deployment,
            _ => self.one("StatefulSet"),
        }
    }

    /// The pod's `spec`.
    pub fn pod(&self) -> &Value {
        &self.workload()["spec"]["template"]["spec"]
    }

    pub fn container(&self) -> &Value {
        &self.pod()["containers"][0]
    }
}
