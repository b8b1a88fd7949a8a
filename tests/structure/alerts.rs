//! Compares the alert rules, the runbook and the rules' own tests: whoever is paged must find what to do.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const STATE: &str = "{{ $labels.state }}";

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(root.join(path)).unwrap()
}

/// Each alert with the rest of its rule.
fn rules(text: &str) -> Vec<(&str, &str)> {
    let rules = text.split("- alert: ").skip(1);
    rules.map(|rule| rule.split_once('\n').unwrap()).collect()
}

/// The anchors of the headings in a Markdown text.
pub fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.collect::<String>().replace(' ', "-")
        })
        .collect()
}

/// The states in the rule's expression.
fn states(rule: &str) -> BTreeSet<&str> {
    let asked = rule.split("incidentd_tenant_state{state=").skip(1);
    asked
        .flat_map(|rest| {
            rest.trim_start_matches('~')
                .split('"')
                .nth(1)
                .unwrap()
                .split('|')
        })
        .collect()
}

#[test]
fn every_alert_leads_to_a_heading_of_the_runbook() {
    let (alerts, runbook) = (
        read("deploy/prometheus/alerts.yaml"),
        read("docs/operations.md"),
    );
    let anchors = anchors(&runbook);
    let rules = rules(&alerts);
    assert!(rules.len() > 10, "{rules:?}");
    for (alert, rule) in &rules {
        let (_, link) = rule.split_once("runbook_url: ").expect(alert);
        let link = link.lines().next().unwrap().trim_matches('"');
        let anchor = link.strip_prefix("operations.md#").expect(link);
        let leads_to: Vec<&str> = match anchor {
            STATE => states(rule).into_iter().collect(),
            anchor => vec![anchor],
        };
        assert!(!leads_to.is_empty(), "{alert}");
        for anchor in leads_to {
            assert!(
                anchors.contains(anchor),
                "{alert}: no {anchor} in {anchors:?}"
            );
        }
        assert!(runbook.contains(alert), "{alert} is not named");
    }
    let named = runbook
        .split('`')
        .filter(|word| word.starts_with("Incidentd"));
    let headings = runbook.lines().filter_map(|line| line.strip_prefix("### "));
    for name in named.chain(headings.filter(|title| title.starts_with("Incidentd"))) {
        assert!(
            rules.iter().any(|(alert, _)| *alert == name),
            "no alert {name}"
        );
    }
}

#[test]
fn every_alert_is_shown_to_fire() {
    let alerts = read("deploy/prometheus/alerts.yaml");
    let tests = ["alerts_test.yaml", "alerts_days_test.yaml"];
    let tests = tests.map(|name| read(&format!("deploy/prometheus/{name}")));
    let tests = tests.concat();
    let shown: BTreeSet<_> = tests
        .split("alertname: ")
        .filter(|test| test.contains("exp_labels"))
        .filter_map(|test| test.lines().next())
        .collect();
    for (alert, _) in rules(&alerts) {
        assert!(
            shown.contains(alert),
            "no test in deploy/prometheus has {alert} fire"
        );
    }
}
