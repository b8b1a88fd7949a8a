//! An incident's life in each format, for people to read: `tests/records/life/FORMAT-SOURCE.json`. `UPDATE=1 tests/run
//! --test records life` writes the files anew.

use std::fs;

use incidentd::core::incident::reading::Shape;
use incidentd::core::incident::version::Change;
use incidentd::core::sources::{defender, graph};
use incidentd::ports::Item;
use incidentd::settings::RecordFormat;
use serde_json::{Value, json};

use super::{file, item_after, record, validate};

/// What becomes of the incident, and how that is read.
type Life = Vec<(Change, Value)>;

/// The incident, and after each step the members that the step gives it.
fn life(incident: Value, steps: impl IntoIterator<Item = (Change, Value)>) -> Life {
    let mut life = vec![(Change::Created, incident.clone())];
    let mut now = incident;
    for (change, members) in steps {
        let all = now.as_object_mut().expect("an object");
        all.extend(members.as_object().expect("members").clone());
        life.push((change, now.clone()));
    }
    life
}

fn graph_life() -> Life {
    let alert = |id: &str, title: &str, category: &str, evidence: Value| {
        json!({
            "id": id, "incidentId": "4711", "title": title, "status": "new", "severity": "medium",
            "serviceSource": "microsoftDefenderForEndpoint", "detectionSource": "antivirus",
            "productName": "Microsoft Defender for Endpoint", "detectorId": "e0da400f-affd-43ef-b1d5-afc2eb6f2756",
            "categories": [category], "mitreTechniques": ["T1003.001"],
            "createdDateTime": "2026-11-23T02:14:35.7211305Z", "lastUpdateDateTime": "2026-11-23T02:14:36.0666667Z",
            "firstActivityDateTime": "2026-11-23T01:59:12Z", "lastActivityDateTime": "2026-11-23T02:10:44.5Z",
            "alertWebUrl": format!("https://security.microsoft.com/alerts/{id}"), "evidence": [evidence],
        })
    };
    let first = alert(
        "da1",
        "'Mimikatz' hacktool was detected",
        "CredentialAccess",
        json!({
            "@odata.type": "#microsoft.graph.security.fileEvidence", "verdict": "malicious", "fileDetails":
            {"sha1": "5f1e8acedc065031aad553b710838eb366cfee9a", "fileName": "m.exe", "filePath": "C:\\Users\\Public"}
        }),
    );
    let second = alert(
        "da2",
        "Sign-in from an unfamiliar address",
        "LateralMovement",
        json!({
            "@odata.type": "#microsoft.graph.security.userEvidence", "verdict": "suspicious", "userAccount":
            {"accountName": "bob", "userPrincipalName": "bob@contoso.com"}
        }),
    );
    let incident = json!({
        "id": "4711", "tenantId": super::TENANT, "status": "active", "severity": "medium",
        "incidentWebUrl": "https://security.microsoft.com/incident2/4711/overview", "redirectIncidentId": null,
        "displayName": "Credential access on one endpoint", "createdDateTime": "2026-11-23T02:14:35.9Z",
        "lastUpdateDateTime": "2026-11-23T02:14:36.0733333Z", "assignedTo": null, "classification": "unknown",
        "determination": "unknown", "customTags": [], "systemTags": [], "priorityScore": 58, "comments": [],
        "alerts": [first],
    });
    let alert_added = json!({
        "lastUpdateDateTime": "2026-11-23T02:20:01.5Z", "severity": "high", "priorityScore": 91,
        "alerts": [first, second],
    });
    let assigned = json!({
        "lastUpdateDateTime": "2026-11-23T02:31:07Z", "status": "inProgress", "assignedTo": "ann@contoso.com",
        "customTags": ["vip"], "comments": [{"comment": "Looking into it.", "createdByDisplayName": "ann@contoso.com",
                                             "createdDateTime": "2026-11-23T02:31:07Z"}],
    });
    let resolved = json!({
        "lastUpdateDateTime": "2026-11-23T04:02:55.28Z", "status": "resolved",
        "classification": "informationalExpectedActivity", "determination": "securityTesting",
    });
    let reopened = json!({
        "lastUpdateDateTime": "2026-11-23T06:15:00Z", "status": "active", "classification": "truePositive",
        "determination": "maliciousUserActivity",
    });
    let merged = json!({
        "lastUpdateDateTime": "2026-11-23T06:40:12.9333333Z", "status": "redirected", "redirectIncidentId": "4700",
        "alerts": [],
    });
    let merge_undone = json!({
        "lastUpdateDateTime": "2026-11-23T07:05:30.4Z", "status": "active", "redirectIncidentId": null,
        "alerts": [first, second],
    });
    let steps = [
        (Change::Updated, alert_added),
        (Change::Updated, assigned),
        (Change::Resolved, resolved),
        (Change::Reopened, reopened),
        (Change::Redirected, merged),
        (Change::Reopened, merge_undone),
    ];
    life(incident, steps)
}

fn defender_life() -> Life {
    let alert = |id: &str, title: &str, entities: Value| {
        json!({
            "alertId": id, "incidentId": 924518, "serviceSource": "OfficeATP", "title": title,
            "creationTime": "2026-11-23T12:07:54.3716642Z", "lastUpdatedTime": "2026-11-23T12:37:40.88Z",
            "firstActivity": "2026-11-23T12:04:00Z", "lastActivity": "2026-11-23T12:04:00Z", "category": "InitialAccess",
            "status": "InProgress", "severity": "Informational", "detectionSource": "OfficeATP", "mitreTechniques": [],
            "devices": [], "entities": entities,
        })
    };
    let first = alert(
        "faf8edc936-85f8",
        "Email reported by user",
        json!([
            {"entityType": "MailBox", "mailboxAddress": "bob@contoso.com", "mailboxDisplayName": "Bob"},
            {"entityType": "Ip", "ipAddress": "62.216.203.204"},
        ]),
    );
    let second = alert(
        "faf8edc936-9a01",
        "Email with a malicious link was delivered",
        json!([{"entityType": "Url", "url": "https://login.contoso.example/renew"}]),
    );
    let incident = json!({
        "incidentId": 924518, "redirectIncidentId": null, "incidentName": "Email reported by user as malware or phish",
        "createdTime": "2026-11-23T12:07:55.1366667Z", "lastUpdateTime": "2026-11-23T12:07:55.32Z", "assignedTo": null,
        "classification": "Unknown", "determination": "NotAvailable", "status": "Active", "severity": "UnSpecified",
        "tags": [], "comments": [], "alerts": [first],
    });
    let alert_added = json!({
        "lastUpdateTime": "2026-11-23T12:14:09.5Z", "severity": "Low", "alerts": [first, second],
    });
    let assigned = json!({
        "lastUpdateTime": "2026-11-23T12:20:00.81Z", "status": "InProgress", "assignedTo": "Ann (SOC)",
    });
    let resolved = json!({
        "lastUpdateTime": "2026-11-23T13:00:00Z", "status": "Resolved", "classification": "FalsePositive",
        "determination": "InsufficientData",
    });
    let reopened = json!({
        "lastUpdateTime": "2026-11-23T13:06:31.04Z", "status": "Active", "classification": "Unknown",
        "determination": "NotAvailable",
    });
    let merged = json!({
        "lastUpdateTime": "2026-11-23T13:12:44.1266667Z", "status": "Redirected", "redirectIncidentId": 924500,
        "tags": ["Redirected"], "alerts": [],
    });
    let merge_undone = json!({
        "lastUpdateTime": "2026-11-23T13:40:02.7Z", "status": "Active", "redirectIncidentId": null, "tags": [],
        "alerts": [first, second],
    });
    let steps = [
        (Change::Updated, alert_added),
        (Change::Updated, assigned),
        (Change::Resolved, resolved),
        (Change::Reopened, reopened),
        (Change::Redirected, merged),
        (Change::Reopened, merge_undone),
    ];
    life(incident, steps)
}

/// JSON with a line for each member, in its own order.
fn pretty(json: &str) -> String {
    let (mut out, mut depth, mut inside, mut escaped) = (String::new(), 0, false, false);
    for character in json.chars() {
        let line = |depth: usize| format!("\n{}", "  ".repeat(depth));
        match character {
            _ if inside => {
                inside = character != '"' || escaped;
                escaped = character == '\\' && !escaped;
                out.push(character);
            }
            '{' | '[' => {
                depth += 1;
                out.push(character);
                out += &line(depth);
            }
            '}' | ']' => {
                depth -= 1;
                let empty = out.trim_end().ends_with(['{', '[']);
                match empty {
                    true => out.truncate(out.trim_end().len()),
                    false => out += &line(depth),
                }
                out.push(character);
            }
            ',' => {
                out.push(',');
                out += &line(depth);
            }
            ':' => out += ": ",
            other => {
                inside = other == '"';
                out.push(other);
            }
        }
    }
    out + "\n"
}

fn shown(format: RecordFormat, source: &str, items: &[Item]) -> String {
    let records = items.iter().map(|item| {
        let record = record(format, source, item);
        let headers = record.headers.iter();
        let headers: Vec<_> = headers
            .map(|(name, value)| format!("{name:?}:{}", json!(value)))
            .collect();
        let value = String::from_utf8(record.value).expect("UTF-8");
        format!(
            "{{\"key\":{:?},\"headers\":{{{}}},\"value\":{value}}}",
            record.key,
            headers.join(",")
        )
    });
    pretty(&format!("[{}]", records.collect::<Vec<_>>().join(",")))
}

#[test]
fn the_life_of_an_incident_is_the_one_in_the_files() {
    let of = |life: Life, shape: &'static Shape| -> Vec<Item> {
        let mut items: Vec<Item> = Vec::new();
        for (change, incident) in &life {
            let item = item_after(items.last(), *change, shape, incident);
            items.push(item);
        }
        items
    };
    let graph = (
        "graph",
        "https://graph.microsoft.com",
        of(graph_life(), &graph::SHAPE),
    );
    let defender = (
        "defender",
        "https://api.security.microsoft.com",
        of(defender_life(), &defender::SHAPE),
    );
    let own = [
        ("cloudevents", RecordFormat::CloudEvents),
        ("raw", RecordFormat::Raw),
    ];
    let formats = own.into_iter().chain(super::SCHEMAS);
    for (name, format) in formats {
        for (source, url, items) in [&graph, &defender] {
            let path = file(&format!("life/{name}-{source}.json"));
            let is = shown(format, url, items);
            if std::env::var_os("UPDATE").is_some() {
                fs::write(&path, &is).expect("written");
            }
            let was = fs::read_to_string(&path).unwrap_or_default();
            assert!(
                is == was,
                "{} differs: see it with UPDATE=1 and git diff",
                path.display()
            );
            if super::SCHEMAS.contains(&(name, format)) {
                let values: Vec<_> = items
                    .iter()
                    .map(|item| record(format, url, item).value)
                    .collect();
                validate(values.iter().map(|value| &**value))
                    .unwrap_or_else(|errors| panic!("{errors}"));
            }
        }
    }
}
