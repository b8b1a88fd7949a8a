//! Incidents with each member missing, of another type, too long, and with each documented word.

use std::fs;

use incidentd::core::incident::reading::Shape;
use incidentd::core::incident::version::Change;
use incidentd::core::sources::{defender, graph};
use incidentd::ports::Item;
use serde_json::{Value, json};

use super::{SCHEMAS, alerts, item, record, validate};
use crate::support::tell;

const CHANGES: [Change; 5] = [
    Change::Created,
    Change::Updated,
    Change::Resolved,
    Change::Reopened,
    Change::Redirected,
];

/// Which member has which documented words. Graph's are those of its SDK, with the former ones of its documentation.
const GRAPH_WORDS: &[(&str, &str)] = &[
    (
        "/status",
        "active resolved inProgress redirected unknownFutureValue awaitingAction",
    ),
    (
        "/severity",
        "unknown informational low medium high unknownFutureValue",
    ),
    (
        "/classification",
        "unknown falsePositive truePositive informationalExpectedActivity unknownFutureValue",
    ),
    (
        "/determination",
        "unknown apt malware securityPersonnel securityTesting unwantedSoftware other multiStagedAttack compromisedAccount \
         compromisedUser phishing maliciousUserActivity notMalicious clean notEnoughDataToValidate insufficientData \
         confirmedActivity confirmedUserActivity lineOfBusinessApplication unknownFutureValue",
    ),
    ("/priorityScore", "0 14 15 50 85 86 100 101 255"),
    (
        "/alerts/0/status",
        "unknown new inProgress resolved unknownFutureValue",
    ),
    (
        "/alerts/0/severity",
        "unknown informational low medium high unknownFutureValue",
    ),
    (
        "/alerts/0/serviceSource",
        "unknown microsoftDefenderForEndpoint microsoftDefenderForIdentity microsoftDefenderForCloudApps \
         microsoftDefenderForOffice365 microsoft365Defender azureAdIdentityProtection microsoftAppGovernance \
         dataLossPrevention unknownFutureValue microsoftDefenderForCloud microsoftSentinel microsoftInsiderRiskManagement \
         microsoftThreatIntelligence microsoftSecurityForAI",
    ),
    (
        "/alerts/0/detectionSource",
        "unknown microsoftDefenderForEndpoint antivirus smartScreen customTi microsoftDefenderForOffice365 \
         automatedInvestigation microsoftThreatExperts customDetection microsoftDefenderForIdentity cloudAppSecurity \
         microsoft365Defender azureAdIdentityProtection manual microsoftDataLossPrevention appGovernancePolicy \
         appGovernanceDetection unknownFutureValue microsoftDefenderForCloud microsoftDefenderForIoT \
         microsoftDefenderForServers microsoftDefenderForStorage microsoftDefenderForDNS microsoftDefenderForDatabases \
         microsoftDefenderForContainers microsoftDefenderForNetwork microsoftDefenderForAppService \
         microsoftDefenderForKeyVault microsoftDefenderForResourceManager microsoftDefenderForApiManagement nrtAlerts \
         scheduledAlerts microsoftDefenderThreatIntelligenceAnalytics builtInMl microsoftInsiderRiskManagement \
         microsoftThreatIntelligence microsoftDefenderForAIServices securityCopilot microsoftSentinel",
    ),
    ("/alerts/0/categories/0", CATEGORIES),
];

const DEFENDER_WORDS: &[(&str, &str)] = &[
    ("/status", "Active InProgress Resolved Redirected"),
    ("/severity", "UnSpecified Informational Low Medium High"),
    (
        "/classification",
        "Unknown TruePositive FalsePositive InformationalExpectedActivity",
    ),
    (
        "/determination",
        "NotAvailable MultiStagedAttack MaliciousUserActivity CompromisedUser CompromisedAccount Malware Phishing \
         UnwantedSoftware SecurityTesting LineOfBusinessApplication ConfirmedUserActivity ConfirmedActivity Clean \
         InsufficientData NoEnoughDataToValidate Other Apt SecurityPersonnel",
    ),
    ("/alerts/0/status", "New Active InProgress Resolved"),
    (
        "/alerts/0/severity",
        "UnSpecified Informational Low Medium High",
    ),
    (
        "/alerts/0/serviceSource",
        "MicrosoftCloudAppSecurity MicrosoftDefenderATP OfficeATP AzureATP AzureActiveDirectory",
    ),
    (
        "/alerts/0/detectionSource",
        "MCAS WindowsDefenderAv OfficeATP",
    ),
    ("/alerts/0/category", CATEGORIES),
];

const CATEGORIES: &str = "Reconnaissance ResourceDevelopment InitialAccess Execution Persistence PrivilegeEscalation \
    DefenseEvasion CredentialAccess Discovery LateralMovement Collection CommandAndControl Exfiltration Impact Malware \
    Ransomware UnwantedSoftware SuspiciousActivity Phishing Exploit";

fn graph_incident() -> Value {
    serde_json::from_str(include_str!("graph.json")).expect("JSON")
}

fn defender_incident() -> Value {
    serde_json::from_str(include_str!("defender.json")).expect("JSON")
}

/// The paths of all members and elements, which can be left out.
fn paths(value: &Value, path: &str, all: &mut Vec<String>) {
    let deeper: Vec<(String, &Value)> = match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), value))
            .collect(),
        Value::Array(elements) => elements
            .iter()
            .enumerate()
            .map(|(at, value)| (at.to_string(), value))
            .collect(),
        _ => Vec::new(),
    };
    for (name, value) in deeper {
        let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
        if ![
            "/id",
            "/incidentId",
            "/lastUpdateDateTime",
            "/lastUpdateTime",
        ]
        .contains(&&*path)
        {
            all.push(path.clone());
        }
        paths(value, &path, all);
    }
}

fn without(base: &Value, path: &str) -> Value {
    let mut variant = base.clone();
    let (parent, name) = path.rsplit_once('/').expect("a path");
    match variant.pointer_mut(parent).expect("a member") {
        Value::Object(members) => {
            members.remove(name).expect("a member");
        }
        Value::Array(elements) => {
            elements.remove(name.parse().expect("a number"));
        }
        _ => panic!("{path}"),
    }
    variant
}

fn with(base: &Value, path: &str, value: Value) -> Value {
    let mut variant = base.clone();
    *variant.pointer_mut(path).expect("a member") = value;
    variant
}

fn variants(base: &Value, words: &[(&str, &str)]) -> Vec<Value> {
    let mut all = Vec::new();
    paths(base, "", &mut all);
    let odd = [
        json!(null),
        json!(""),
        json!("odd"),
        json!([]),
        json!({}),
        json!([null, [1], {"a": "b"}]),
        json!(-7),
        json!(12345678901234567890_u64),
        json!(0.1),
        json!(true),
        json!("é\"\\\u{1}".repeat(3000)),
        json!("2026-13-45T00:00:00Z"),
        json!("9999-12-31T23:59:59.9999999Z"),
        json!(vec!["x"; 200]),
    ];
    let missing = all.iter().map(|path| without(base, path));
    let replaced = all
        .iter()
        .flat_map(|path| odd.iter().map(|value| with(base, path, value.clone())));
    let words = words.iter().flat_map(|(path, words)| {
        words
            .split_whitespace()
            .map(|word| match word.parse::<u8>() {
                Ok(number) => with(base, path, number.into()),
                Err(_) => with(base, path, word.into()),
            })
    });
    let all: Vec<Value> = missing.chain(replaced).chain(words).collect();
    [base.clone()].into_iter().chain(all).collect()
}

fn items(base: &Value, words: &[(&str, &str)], shape: &'static Shape) -> Vec<Item> {
    let variants = variants(base, words);
    let changes = CHANGES.into_iter().cycle();
    variants
        .iter()
        .zip(changes)
        .map(|(incident, change)| item(change, shape, incident))
        .collect()
}

/// The incidents of answers of both APIs in the files of the folder `INCIDENTD_TEST_ANSWERS`, which may be real ones.
fn given() -> Vec<Item> {
    let Some(folder) = std::env::var_os("INCIDENTD_TEST_ANSWERS") else {
        return Vec::new();
    };
    let files = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("a file").path());
    let texts = files.map(|path| fs::read_to_string(path).expect("a text"));
    let mut items = Vec::new();
    for answer in texts.filter_map(|text| serde_json::from_str::<Value>(&text).ok()) {
        let incidents = answer["value"].as_array().cloned().unwrap_or(vec![answer]);
        for incident in &incidents {
            match (
                incident.get("incidentId"),
                incident.get("lastUpdateDateTime"),
            ) {
                (Some(_), None) => items.push(item(Change::Created, &defender::SHAPE, incident)),
                (None, Some(_)) => items.push(item(Change::Created, &graph::SHAPE, incident)),
                _ => {}
            }
        }
    }
    tell(format_args!(
        "{} incidents in INCIDENTD_TEST_ANSWERS",
        items.len()
    ));
    items
}

#[test]
fn an_incident_is_valid_whatever_is_missing_or_odd_and_with_each_documented_word() {
    let graph = items(&graph_incident(), GRAPH_WORDS, &graph::SHAPE);
    let defender = items(&defender_incident(), DEFENDER_WORDS, &defender::SHAPE);
    let given = given();
    for (name, format) in SCHEMAS {
        let records: Vec<_> = graph
            .iter()
            .chain(&defender)
            .chain(&given)
            .map(|item| (item, record(format, "https://api.example", item)))
            .collect();
        for (item, record) in &records {
            assert_eq!(
                &record.value[record.raw.clone()],
                item.raw(),
                "{name}: its bytes"
            );
        }
        let items = graph.iter().chain(&defender).chain(&given);
        let of_alerts: Vec<_> = items
            .flat_map(|item| alerts(format, "https://api.example", item))
            .collect();
        assert!(of_alerts.len() > records.len() / 2, "{}", of_alerts.len());
        let all = records.iter().map(|(_, record)| record).chain(&of_alerts);
        let counts = validate(all.map(|record| &*record.value));
        let counts = counts.unwrap_or_else(|errors| panic!("{name}: {errors}"));
        tell(format_args!("{counts}"));
        let count = records.len() + of_alerts.len();
        assert!(
            counts.contains(&format!("records={count} errors=0")),
            "{counts}"
        );
    }
}

#[test]
fn what_the_schemas_refuse_is_an_error() {
    let incident = item(Change::Created, &graph::SHAPE, &graph_incident());
    for (name, format) in SCHEMAS {
        let value = record(format, "https://api.example", &incident).value;
        let event: Value = serde_json::from_slice(&value).expect("JSON");
        let mut broken = vec![json!({}), json!([]), json!({"class_uid": 2005})];
        for member in event.as_object().expect("an event").keys() {
            broken.push(with(
                &event,
                &format!("/{member}"),
                json!({"nonsense": [{"a": 1}]}),
            ));
        }
        let mut strange = event.clone();
        strange["nonsense"] = json!(1);
        broken.push(strange);
        // The member that a format leaves open takes anything.
        broken.retain(|event| {
            ["unmapped", "microsoft"]
                .iter()
                .all(|open| event[open].get("nonsense").is_none())
        });
        let texts: Vec<_> = broken
            .iter()
            .map(|event| event.to_string().into_bytes())
            .collect();
        let errors = validate(texts.iter().map(|text| &**text)).expect_err(name);
        let all = format!("records={0} errors={0}", texts.len());
        assert!(errors.contains(&all), "{name}: {errors}");
    }
}
