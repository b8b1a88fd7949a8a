//! What an operator's Prometheus and Grafana are given: the rules, the dashboard and the metrics, checked with the tools that
//! they are for, and compared with one another.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use incidentd::simulator::Options;
use serde_json::{Value, json};

use crate::chart::render::{PROMTOOL, repository};
use crate::kafka_ledger::Replicas;
use crate::support::setup::simulator;
use crate::support::{blocking, tell};

const RULES: &str = "deploy/prometheus/alerts.yaml";
const DASHBOARD: &str = "deploy/grafana/incidentd.json";

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).expect(path)
}

fn passed(output: &Output) -> String {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

/// Names of metrics in a text: words that begin like one.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let is_metric = |word: &&str| {
        let of_process = word.starts_with("process_") && word.len() > "process_".len();
        of_process || (word.starts_with("incidentd_") && word.len() > "incidentd_".len())
    };
    words.filter(is_metric).map(str::to_owned).collect()
}

/// The texts of the dashboard that are queries.
fn queries(of: &Value) -> Vec<&str> {
    match of {
        Value::Object(members) => members
            .iter()
            .flat_map(|(key, value)| match value {
                Value::String(text) if key == "expr" || key == "query" => vec![text.as_str()],
                value => queries(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(queries).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn promtool_takes_the_rules_and_they_fire_as_their_tests_say() {
    for command in [
        ["check", "rules", RULES],
        ["test", "rules", "deploy/prometheus/alerts_test.yaml"],
        ["test", "rules", "deploy/prometheus/alerts_days_test.yaml"],
    ] {
        let checked = Command::new(&*PROMTOOL)
            .args(command)
            .current_dir(repository())
            .output();
        tell(format_args!("{}", passed(&checked.expect("promtool runs"))));
    }
}

#[test]
fn the_dashboard_is_what_grafanas_own_types_make_of_its_source() {
    let checked = Command::new("go")
        .args(["run", ".", "--check"])
        .current_dir(repository().join("deploy/grafana"))
        .output();
    passed(&checked.expect("go runs"));
}

/// Grafana puts values for its variables into the queries, and promtool reads queries in rules only.
#[test]
fn promtool_takes_every_query_of_the_dashboard() {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).expect("JSON");
    let queries = queries(&dashboard).into_iter();
    // The others ask for the values of a variable.
    let queries =
        queries.filter(|query| !query.starts_with("label_values(") && query.contains(['(', '{']));
    let rules: Vec<Value> = queries
        .enumerate()
        .map(|(n, query)| {
            let expr = query
                .replace("$__rate_interval", "5m")
                .replace("$budget", "75");
            json!({ "record": format!("query:number:{n}"), "expr": expr })
        })
        .collect();
    assert!(rules.len() > 30, "{rules:?}");
    let file = tempfile::NamedTempFile::new().expect("a file");
    let document = json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    fs::write(file.path(), document.to_string()).expect("written");
    let checked = Command::new(&*PROMTOOL)
        .args(["check", "rules"])
        .arg(file.path())
        .output();
    tell(format_args!("{}", passed(&checked.expect("promtool runs"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_dashboard_and_documentation_name_the_metrics_that_the_daemon_serves() {
    let simulator = simulator(2, Options::default()).await;
    let replicas = Replicas::at(
        &crate::support::kafka::shared(),
        &simulator,
        1,
        2,
        |setup| setup,
    )
    .await;
    let mut daemon = replicas.spawn(0).ready().await;
    replicas.share_all(&[&daemon]).await;
    let metrics = daemon.metrics().await;
    daemon.stop().await;

    let mut served = BTreeSet::new();
    for line in metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
    {
        let (name, kind) = line.split_once(' ').expect("a kind");
        served.insert(name.to_owned());
        if kind == "histogram" {
            served.extend(["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}")));
        }
    }
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).expect("JSON");
    let queries = queries(&dashboard);
    assert!(queries.len() > 30, "{queries:?}");
    for (file, used) in [
        (RULES, names(&read(RULES))),
        (DASHBOARD, names(&queries.join("\n"))),
    ] {
        assert!(used.len() > 10, "{file}: {used:?}");
        let unknown: Vec<_> = used.difference(&served).collect();
        assert!(unknown.is_empty(), "{file}: nobody serves {unknown:?}");
    }

    // The table leaves the prefix out.
    let page = read("docs/operations.md");
    let (_, table) = page.split_once("\n## Metrics\n").expect("a section");
    let (table, _) = table.split_once("\n## ").expect("its end");
    let told: BTreeSet<_> = table
        .split('`')
        .skip(1)
        .step_by(2)
        .map(|name| {
            let name = name.split('{').next().expect("a name");
            format!("incidentd_{name}")
        })
        .collect();
    let families = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "));
    for family in families.map(|line| line.split(' ').next().expect("a name")) {
        let is_told = family.starts_with("process_") || told.contains(family);
        assert!(is_told, "docs/operations.md does not tell of {family}");
    }

    let checked = blocking(move || {
        let mut check = Command::new(&*PROMTOOL)
            .args(["check", "metrics", "--extended"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool runs");
        let mut stdin = check.stdin.take().expect("piped");
        stdin.write_all(metrics.as_bytes()).expect("read");
        drop(stdin);
        check.wait_with_output().expect("it ends")
    })
    .await;
    passed(&checked);
    assert_eq!(
        String::from_utf8_lossy(&checked.stderr),
        "",
        "promtool has something to say"
    );
}
