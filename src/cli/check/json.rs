//! The report as JSON, for scripts: `{"ok", "kafka", "tenants", …}`. Times are RFC 3339 in UTC; what is not known is null,
//! never left out.

use serde_json::{Value, json};

use super::notes::{Offline, notes};
use crate::app::StartError;
use crate::app::inspect::{
    InspectionReport, KafkaSeen, Role, RoleUse, TenantSeen, TopicSeen, TopicUse, Write,
};
use crate::config::ConfigErrors;
use crate::core::health::failure::{Failure, chain};

pub fn report(findings: &InspectionReport, offline: &Offline<'_>, brokers: &str) -> String {
    let tenants_ok = findings.tenants.iter().all(|it| it.failure.is_none());
    pretty(json!({
        "ok": tenants_ok && kafka_ok(&findings.kafka),
        "checked": findings.at.to_string(),
        "configuration": configuration(offline),
        "kafka": kafka(&findings.kafka, &findings.topics, brokers),
        "tenants": findings.tenants.iter().map(tenant).collect::<Vec<_>>(),
        "notes": notes(findings, offline),
    }))
}

/// The report on the configuration alone: Kafka and the tenants are not known.
fn of_configuration(ok: bool, configuration: Value, notes: &[String]) -> String {
    pretty(json!({
        "ok": ok,
        "checked": null,
        "configuration": configuration,
        "kafka": null,
        "tenants": null,
        "notes": notes,
    }))
}

fn pretty(document: Value) -> String {
    format!("{document:#}\n")
}

pub fn offline(offline: &Offline<'_>) -> String {
    of_configuration(true, configuration(offline), &offline.notes())
}

pub fn invalid(errors: &ConfigErrors) -> String {
    let problems = errors.problems().iter().map(|problem| {
        json!({
            "origin": problem.origin,
            "key": problem.key,
            "tenant": problem.tenant,
            "value": problem.value,
            "error": problem.what,
            "remedy": problem.remedy,
        })
    });
    let problems: Vec<_> = problems.collect();
    of_configuration(false, json!({"ok": false, "problems": problems}), &[])
}

/// The report when these settings can't be used at all.
pub fn unusable(offline: &Offline<'_>, error: &StartError) -> String {
    let mut configuration = configuration(offline);
    configuration["ok"] = false.into();
    configuration["problems"] = json!([{"error": chain(error)}]);
    of_configuration(false, configuration, &[])
}

fn configuration(offline: &Offline<'_>) -> Value {
    json!({
        "ok": true,
        "file": offline.file,
        "warnings": offline.warnings,
        "tenants": offline.tenants,
        "schedules": offline.schedules,
        "topics": offline.topics,
    })
}

fn kafka_ok(seen: &KafkaSeen) -> bool {
    seen.failure.is_none() && seen.topics.iter().all(|topic| topic.failure.is_none())
}

fn kafka(seen: &KafkaSeen, uses: &[TopicUse], brokers: &str) -> Value {
    let topics = seen.topics.iter().zip(uses);
    let topics: Vec<Value> = topics.map(|(seen, uses)| topic(seen, uses)).collect();
    let about = json!({
        "bootstrap": brokers,
        "brokers": seen.failure.is_none().then_some(seen.brokers),
        "max_request_bytes": seen.request.as_ref().ok(),
        "max_request_unknown": seen.request.as_ref().err(),
        "topics": topics,
    });
    let mut kafka = judged(seen.failure.as_ref(), about);
    kafka["ok"] = kafka_ok(seen).into();
    kafka
}

fn topic(seen: &TopicSeen, uses: &TopicUse) -> Value {
    let (may_write, unknown) = match &seen.write {
        Write::Allowed => (Some(true), None),
        Write::Refused => (Some(false), None),
        Write::Unknown(why) => (None, Some(why)),
    };
    let about = json!({
        "name": seen.name.as_ref(),
        "uses": uses.uses,
        "partitions": (seen.partitions > 0).then_some(seen.partitions),
        "max_record_bytes": seen.max_record,
        "may_write": may_write,
        "may_write_unknown": unknown,
    });
    judged(seen.failure.as_ref(), about)
}

fn tenant(seen: &TenantSeen) -> Value {
    let roles = |is_listed: fn(&&Role) -> bool| {
        let roles = seen.roles.iter().filter(is_listed).map(|role| &role.name);
        seen.token_expires.map(|_| roles.collect::<Vec<_>>())
    };
    let about = json!({
        "id": seen.id.to_string(),
        "name": seen.name.as_ref(),
        "source": seen.source,
        "roles": roles(|_| true),
        "roles_not_needed": roles(|role| role.usage != RoleUse::Needed),
        "token_expires": seen.token_expires.map(|at| at.to_string()),
        "incidents_read": seen.incidents,
        "consent_link": seen.consent_link,
    });
    judged(seen.failure.as_ref(), about)
}

/// What each part of the report says about its failure, beside what is known of it.
fn judged(failure: Option<&Failure>, mut about: Value) -> Value {
    about["ok"] = failure.is_none().into();
    about["state"] = failure.map_or("ok", |it| it.health.as_str()).into();
    about["error"] = failure.map(|it| it.what.as_str()).into();
    about["remedy"] = failure.map(|it| it.remedy.as_str()).into();
    about
}
