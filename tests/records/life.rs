//! An incident's life in each format, for people to read: `tests/records/life/FORMAT-SOURCE.json`. `UPDATE=1 tests/run
//! --test records life` writes the files anew.

use std::fs;

use incidentd::core::incident::reading::Shape;
use incidentd::core::incident::version::Change;
use incidentd::core::sources::{defender, graph};
use incidentd::ports::Item;
use incidentd::settings::RecordFormat;
use serde_json::{Value, json};

use super::{file, item, record, validate};

/// What becomes of the incident, and how that is read.
type Life = Vec<(Change, Value)>;

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
    let mut incident = json!({
        "id": "4711", "tenantId": super::TENANT, "status": "active", "severity": "medium",
        "incidentWebUrl": "https://security.microsoft.com/incident2/4711/overview", "redirectIncidentId": null,
        "displayName": "Credential access on one endpoint", "createdDateTime": "2026-11-23T02:14:35.9Z",
        "lastUpdateDateTime": "2026-11-23T02:14:36.0733333Z", "assignedTo": null, "classification": "unknown",
        "determination": "unknown", "customTags": [], "systemTags": [], "priorityScore": 58, "comments": [],
        "alerts": [alert("da1", "'Mimikatz' hacktool was detected", "CredentialAccess", json!({
            "@odata.type": "#microsoft.graph.security.fileEvidence", "verdict": "malicious", "fileDetails":
            {"sha1": "5f1e8acedc065031aad553b710838eb366cfee9a", "fileName": "m.exe", "filePath": "C:\\Users\\Public"}
        }))],
    });
    let mut life = vec![(Change::Created, incident.clone())];
    let mut then = |change, members: Value, alerts: Vec<Value>| {
        let all = incident.as_object_mut().expect("an object");
        all.extend(members.as_object().expect("members").clone());
        incident["alerts"]
            .as_array_mut()
            .expect("a list")
            .extend(alerts);
        life.push((change, incident.clone()));
    };
    let second = alert(
        "da2",
        "Sign-in from an unfamiliar address",
        "LateralMovement",
        json!({
            "@odata.type": "#microsoft.graph.security.userEvidence", "verdict": "suspicious", "userAccount":
            {"accountName": "bob", "userPrincipalName": "bob@contoso.com"}
        }),
    );
    then(
        Change::Updated,
        json!({"lastUpdateDateTime": "2026-11-23T02:20:01.5Z", "severity": "high", "priorityScore": 91}),
        vec![second],
    );
    then(
        Change::Updated,
        json!({
            "lastUpdateDateTime": "2026-11-23T02:31:07Z", "status": "inProgress", "assignedTo": "ann@contoso.com",
            "customTags": ["vip"], "comments": [{"comment": "Looking into it.", "createdByDisplayName": "ann@contoso.com",
                                                 "createdDateTime": "2026-11-23T02:31:07Z"}],
        }),
        vec![],
    );
    then(
        Change::Resolved,
        json!({
            "lastUpdateDateTime": "2026-11-23T04:02:55.28Z", "status": "resolved", "classification": "informationalExpectedActivity",
            "determination": "securityTesting",
        }),
        vec![],
    );
    then(
        Change::Reopened,
        json!({
            "lastUpdateDateTime": "2026-11-23T06:15:00Z", "status": "active", "classification": "truePositive",
            "determination": "maliciousUserActivity",
        }),
        vec![],
    );
    let alerts = incident["alerts"].as_array_mut().expect("a list");
    alerts.clear();
    incident["status"] = json!("redirected");
    incident["redirectIncidentId"] = json!("4700");
    incident["lastUpdateDateTime"] = json!("2026-11-23T06:40:12.9333333Z");
    life.push((Change::Redirected, incident));
    life
}

fn defender_life() -> Life {
    let mut incident = json!({
        "incidentId": 924518, "redirectIncidentId": null, "incidentName": "Email reported by user as malware or phish",
        "createdTime": "2026-11-23T12:07:55.1366667Z", "lastUpdateTime": "2026-11-23T12:07:55.32Z", "assignedTo": null,
        "classification": "Unknown", "determination": "NotAvailable", "status": "Active", "severity": "UnSpecified",
        "tags": [], "comments": [], "alerts": [{
            "alertId": "faf8edc936-85f8", "incidentId": 924518, "serviceSource": "OfficeATP", "title": "Email reported by user",
            "creationTime": "2026-11-23T12:07:54.3716642Z", "lastUpdatedTime": "2026-11-23T12:37:40.88Z",
            "firstActivity": "2026-11-23T12:04:00Z", "lastActivity": "2026-11-23T12:04:00Z", "category": "InitialAccess",
            "status": "InProgress", "severity": "Informational", "detectionSource": "OfficeATP", "mitreTechniques": [],
            "devices": [], "entities": [
                {"entityType": "MailBox", "mailboxAddress": "bob@contoso.com", "mailboxDisplayName": "Bob"},
                {"entityType": "Ip", "ipAddress": "62.216.203.204"},
            ],
        }],
    });
    let mut life = vec![(Change::Created, incident.clone())];
    for (change, members) in [
        (
            Change::Updated,
            json!({"lastUpdateTime": "2026-11-23T12:20:00.81Z", "status": "InProgress", "assignedTo": "Ann (SOC)"}),
        ),
        (
            Change::Resolved,
            json!({"lastUpdateTime": "2026-11-23T13:00:00Z", "status": "Resolved",
                                  "classification": "FalsePositive", "determination": "InsufficientData"}),
        ),
        (
            Change::Redirected,
            json!({"lastUpdateTime": "2026-11-23T13:12:44.1266667Z", "status": "Redirected",
                                    "redirectIncidentId": 924500, "tags": ["Redirected"], "alerts": []}),
        ),
    ] {
        let all = incident.as_object_mut().expect("an object");
        all.extend(members.as_object().expect("members").clone());
        life.push((change, incident.clone()));
    }
    life
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

fn told(format: RecordFormat, source: &str, items: &[Item]) -> String {
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
        life.iter()
            .map(|(change, incident)| item(*change, shape, incident))
            .collect()
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
    let formats = [("cloudevents", RecordFormat::CloudEvents)]
        .into_iter()
        .chain(super::SCHEMAS);
    for (name, format) in formats {
        for (source, url, items) in [&graph, &defender] {
            let path = file(&format!("life/{name}-{source}.json"));
            let is = told(format, url, items);
            if std::env::var_os("UPDATE").is_some() {
                fs::write(&path, &is).expect("written");
            }
            let was = fs::read_to_string(&path).unwrap_or_default();
            assert!(
                is == was,
                "{} differs: see it with UPDATE=1 and git diff",
                path.display()
            );
            if format != RecordFormat::CloudEvents {
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
