//! The report as JSON, for scripts: `{"ok", "kafka", "tenants", …}`. Times are RFC 3339 in UTC; what is not known is null,
//! never left out.

use serde_json::{Value, json};

use super::notes::{Offline, notes};
use crate::app::StartError;
use crate::app::inspect::{
    InspectionReport, KafkaSeen, RoleUse, TenantSeen, TopicSeen, TopicUse, Write,
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
        "notes": notes(findings, offline.retirement.as_ref()),
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
    let notes: Vec<_> = offline.retirement.iter().map(ToString::to_string).collect();
    of_configuration(true, configuration(offline), &notes)
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
    let failure = seen.failure.as_ref();
    let topics = seen
        .topics
        .iter()
        .zip(uses)
        .map(|(seen, uses)| topic(seen, uses));
    json!({
        "ok": kafka_ok(seen),
        "state": state(failure),
        "error": failure.map(|it| &it.what),
        "remedy": failure.map(|it| &it.remedy),
        "bootstrap": brokers,
        "brokers": failure.is_none().then_some(seen.brokers),
        "max_request_bytes": seen.request.as_ref().ok(),
        "max_request_unknown": seen.request.as_ref().err(),
        "topics": topics.collect::<Vec<_>>(),
    })
}

fn topic(seen: &TopicSeen, uses: &TopicUse) -> Value {
    let failure = seen.failure.as_ref();
    let (may_write, unknown) = match &seen.write {
        Write::Allowed => (Some(true), None),
        Write::Refused => (Some(false), None),
        Write::Unknown(why) => (None, Some(why)),
    };
    json!({
        "name": seen.name.as_ref(),
        "uses": uses.uses,
        "ok": failure.is_none(),
        "state": state(failure),
        "error": failure.map(|it| &it.what),
        "remedy": failure.map(|it| &it.remedy),
        "partitions": (seen.partitions > 0).then_some(seen.partitions),
        "max_record_bytes": seen.max_record,
        "may_write": may_write,
        "may_write_unknown": unknown,
    })
}

fn tenant(seen: &TenantSeen) -> Value {
    let failure = seen.failure.as_ref();
    let has_token = seen.token_expires.is_some();
    let roles: Vec<_> = seen.roles.iter().map(|role| &role.name).collect();
    let excess = seen
        .roles
        .iter()
        .filter(|role| role.usage != RoleUse::Needed);
    let excess: Vec<_> = excess.map(|role| &role.name).collect();
    json!({
        "id": seen.id.to_string(),
        "name": seen.name.as_ref(),
        "ok": failure.is_none(),
        "state": state(failure),
        "error": failure.map(|it| &it.what),
        "remedy": failure.map(|it| &it.remedy),
        "source": seen.source,
        "roles": has_token.then_some(roles),
        "roles_not_needed": has_token.then_some(excess),
        "token_expires": seen.token_expires.map(|at| at.to_string()),
        "incidents_read": seen.incidents,
        "consent_link": seen.consent_link,
    })
}

fn state(failure: Option<&Failure>) -> &'static str {
    failure.map_or("ok", |failure| failure.health.as_str())
}
