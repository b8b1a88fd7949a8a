//! The report as text: tenants, worst first, each with what to do; Kafka; notes; one line that sums up.
//!
//! Tenants with the same cause are listed together, and the cause is explained once. Texts from outside go through `tame`.

use super::notes::{Offline, notes};
use crate::app::inspect::{
    InspectionReport, KafkaSeen, RoleUse, TenantSeen, TopicSeen, TopicUse, Write,
};
use crate::cli::text::{COLUMNS, Layout, paragraph, table, why_and_do};
use crate::core::format::{bytes, counted, span, tally, tame};
use crate::core::health::failure::{Failure, Health};

const TENANTS: [&str; 6] = [
    "STATE",
    "TENANT",
    "SOURCE",
    "ROLES",
    "TOKEN UNTIL",
    "INCIDENTS",
];
const TOPICS: [&str; 6] = ["STATE", "TOPIC", "FOR", "PARTITIONS", "MAX RECORD", "WRITE"];
const LAYOUT: Layout<'_> = Layout {
    width: COLUMNS,
    name: 1,
    right: &[],
};
const UNKNOWN: &str = "-";
/// Replaces a tenant's consent link in a text about many tenants.
const OWN_LINK: &str = "the link under each name";

pub fn report(findings: &InspectionReport, offline: &Offline<'_>, brokers: &str) -> String {
    let mut lines = tenants(&findings.tenants);
    lines.push(String::new());
    lines.extend(kafka(&findings.kafka, &findings.topics, brokers));
    let notes = notes(findings, offline);
    if !notes.is_empty() {
        lines.push(String::new());
        lines.extend(
            notes
                .iter()
                .flat_map(|note| paragraph("note: ", &tame(note))),
        );
    }
    lines.push(String::new());
    lines.extend(paragraph("", &summary(findings)));
    lines.join("\n") + "\n"
}

fn tenants(seen: &[TenantSeen]) -> Vec<String> {
    let mut seen: Vec<&TenantSeen> = seen.iter().collect();
    seen.sort_by_cached_key(|tenant| {
        let worst_first = std::cmp::Reverse(tenant.state().severity());
        (worst_first, cause(tenant), &tenant.name)
    });
    let rows = seen.iter().map(|tenant| tenant_row(tenant));
    let mut table = table(TENANTS, rows, LAYOUT).into_iter();
    let mut lines: Vec<String> = table.by_ref().take(1).collect();
    for group in seen.chunk_by(|one, other| cause(one) == cause(other)) {
        let many = group.len() > 1;
        for (tenant, row) in group.iter().zip(table.by_ref()) {
            lines.push(row);
            if many && has_own_link(tenant) {
                lines.push(format!("    link: {}", tenant.consent_link));
            }
        }
        lines.extend(explained(group));
    }
    lines
}

/// The key by which tenants are explained together.
fn cause(tenant: &TenantSeen) -> Option<(&'static str, Option<&str>, String)> {
    let failure = tenant.failure.as_ref()?;
    let shared = failure.remedy.replace(&tenant.consent_link, OWN_LINK);
    Some((failure.health.as_str(), failure.cause.as_deref(), shared))
}

fn has_own_link(tenant: &TenantSeen) -> bool {
    let failure = tenant.failure.as_ref();
    failure.is_some_and(|failure| failure.remedy.contains(&tenant.consent_link))
}

/// What is wrong with these tenants, which have the same cause.
fn explained(group: &[&TenantSeen]) -> Vec<String> {
    let failures: Vec<&Failure> = group.iter().flat_map(|it| &it.failure).collect();
    let (Some(first), [failure, _, ..]) = (group.first(), failures.as_slice()) else {
        // One tenant, or tenants that are ok.
        return failures.into_iter().flat_map(in_words).collect();
    };
    let of = match failures.iter().all(|other| other.what == failure.what) {
        true => String::new(),
        false => format!("({}) ", first.name),
    };
    let remedy = failure.remedy.replace(&first.consent_link, OWN_LINK);
    why_and_do(
        &format!("{of}{}", failure.what),
        &format!("(all {}) {remedy}", group.len()),
    )
}

fn in_words(failure: &Failure) -> Vec<String> {
    why_and_do(&failure.what, &failure.remedy)
}

fn tenant_row(tenant: &TenantSeen) -> [String; 6] {
    let until = tenant.token_expires.map(|at| at.to_string());
    let incidents = match tenant.incidents {
        None => UNKNOWN.to_owned(),
        Some(0) => format!("none in {}", span(tenant.lookback.as_secs())),
        Some(count) => format!("{count} read"),
    };
    [
        tenant.state().to_string(),
        tame(&tenant.name),
        tenant.source.to_owned(),
        roles(tenant).to_owned(),
        until.unwrap_or_else(|| UNKNOWN.to_owned()),
        incidents,
    ]
}

/// Compares the permissions in the token with those needed.
fn roles(tenant: &TenantSeen) -> &'static str {
    let does = |usage| matches!(usage, RoleUse::Needed | RoleUse::MoreThanNeeded);
    let mut uses = tenant.roles.iter().map(|role| role.usage);
    if tenant.token_expires.is_none() || (tenant.roles.is_empty() && tenant.failure.is_none()) {
        return UNKNOWN;
    }
    if !uses.clone().any(does) {
        return "lacking";
    }
    match uses.all(|usage| usage == RoleUse::Needed) {
        true => "as needed",
        false => "too many",
    }
}

fn kafka(seen: &KafkaSeen, uses: &[TopicUse], brokers: &str) -> Vec<String> {
    if let Some(failure) = &seen.failure {
        let row = [failure.health.to_string(), tame(brokers)];
        let mut lines = table(["STATE", "KAFKA"], [row], LAYOUT);
        lines.extend(in_words(failure));
        return lines;
    }
    let mut topics: Vec<_> = seen.topics.iter().zip(uses).collect();
    topics.sort_by_key(|(topic, _)| topic.failure.is_none());
    let rows = topics.iter().map(|(topic, uses)| topic_row(topic, uses));
    let mut table = table(TOPICS, rows, LAYOUT).into_iter();
    let mut lines: Vec<String> = table.by_ref().take(1).collect();
    for ((topic, _), row) in topics.iter().zip(table) {
        lines.push(row);
        lines.extend(topic.failure.iter().flat_map(in_words));
    }
    lines
}

fn topic_row(topic: &TopicSeen, uses: &TopicUse) -> [String; 6] {
    let known = |text: Option<String>| text.unwrap_or_else(|| UNKNOWN.to_owned());
    let write = match topic.write {
        Write::Allowed => "yes",
        Write::Refused => "no",
        Write::Unknown(_) => UNKNOWN,
    };
    [
        state(topic).to_string(),
        tame(&topic.name),
        uses.uses.join(", "),
        known((topic.partitions > 0).then(|| topic.partitions.to_string())),
        known(topic.max_record.map(|most| bytes(most as u64))),
        write.to_owned(),
    ]
}

fn state(topic: &TopicSeen) -> Health {
    let failure = topic.failure.as_ref();
    failure.map_or(Health::Ok, |failure| failure.health)
}

/// The last line: `3 tenants: 1 consent, 2 ok. Kafka: ok, 2 topics: 2 ok.`
fn summary(findings: &InspectionReport) -> String {
    let tenants = worst_first("tenant", findings.tenants.iter().map(TenantSeen::state));
    let seen = &findings.kafka;
    let kafka = match &seen.failure {
        Some(failure) => failure.health.to_string(),
        None => {
            let topics = worst_first("topic", seen.topics.iter().map(state));
            format!("{}, {topics}", counted(seen.brokers, "broker"))
        }
    };
    format!("{tenants}. Kafka: {kafka}.")
}

/// `3 tenants: 1 consent, 2 ok`.
fn worst_first(thing: &str, states: impl Iterator<Item = Health>) -> String {
    let mut states: Vec<Health> = states.collect();
    states.sort_by_key(|state| std::cmp::Reverse(state.severity()));
    let all = counted(states.len(), thing);
    format!("{all}: {}", tally(states.into_iter().map(Health::as_str)))
}

#[cfg(test)]
mod tests;
