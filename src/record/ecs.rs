//! ECS 9.4: an incident, or an alert, as an event of kind `alert`.
//!
//! ECS describes one event with flat fields, so lists of objects do not belong into them. The whole incident is in
//! `microsoft.incident`, as Microsoft sent it, for readers to map as `flattened`; an alert, in `microsoft.alert`.
//!
//! What Microsoft's words mean in ECS is in [`tables`].

mod event;
mod tables;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::hash::Hash;

use super::mapped::{Schema, Version};
use super::tables::{TACTICS, look_up};
use super::view::{IncidentView, List, TextMember};
use event::{
    CloudFields, Ecs, EcsEvent, EventFields, Id, Ids, ObserverFields, OrganizationFields,
    RelatedFields, Threat, ThreatTactic, ThreatTechnique,
};
use tables::Related;

pub(super) static ECS: Schema = Schema {
    address: "https://github.com/elastic/ecs/tree/v9.4.0",
    open: "microsoft",
    write,
};

fn write(version: &Version<'_>, view: &IncidentView<'_>) -> Vec<u8> {
    let event = EcsEvent {
        timestamp: version.updated.to_string(),
        ecs: Ecs { version: "9.4.0" },
        event: event(version, view),
        message: view.incident.texts.get(TextMember::Title),
        organization: OrganizationFields {
            id: version.tenant,
            name: version.tenant_name,
        },
        cloud: CloudFields {
            account: Id { id: version.tenant },
        },
        observer: ObserverFields {
            vendor: "Microsoft",
            product: "Microsoft Defender XDR",
        },
        related: related(view),
        threat: threat(view),
        tags: view.incident.list(List::Tags).collect(),
    };
    // Texts and whole numbers can always be written as JSON.
    serde_json::to_vec(&event).unwrap_or_default()
}

fn event<'a>(version: &'a Version<'_>, view: &'a IncidentView<'_>) -> EventFields<'a> {
    let texts = &view.incident.texts;
    let severity = texts.get(TextMember::Severity);
    let category = categories(view).filter_map(|word| look_up(tables::CATEGORY, word));
    let category = distinct(category);
    let score = texts.get(TextMember::PriorityScore);
    EventFields {
        id: &version.id,
        kind: "alert",
        kinds: category.first().map(|_| tables::TYPE).into_iter().collect(),
        category,
        action: version.change.as_str(),
        module: "microsoft",
        dataset: format!("microsoft.{}", version.kind()),
        provider: version.reading.origin.to_string(),
        severity: severity.and_then(|word| look_up(tables::SEVERITY, word)),
        risk_score: score.and_then(|score| score.parse().ok()),
        created: texts.instant(TextMember::Created).map(|at| at.to_string()),
        start: view.activity.map(|(first, _)| first.to_string()),
        end: view.activity.map(|(_, last)| last.to_string()),
        reason: texts.get(TextMember::Title),
        url: texts.get(TextMember::WebUrl),
    }
}

fn related<'a>(view: &'a IncidentView<'_>) -> RelatedFields<'a> {
    let of = |list| {
        let those = view.observations.iter();
        let those = those.filter(|one| tables::related(one.kind) == Some(list));
        distinct(those.map(|one| &*one.value))
    };
    RelatedFields {
        hash: of(Related::Hash),
        hosts: of(Related::Hosts),
        ip: of(Related::Ip),
        user: of(Related::User),
    }
}

/// `None`: no alert says what of MITRE ATT&CK it is.
fn threat<'a>(view: &'a IncidentView<'_>) -> Option<Threat<'a>> {
    let tactics = categories(view).filter_map(|category| look_up(TACTICS, category));
    let (id, name): (Vec<_>, Vec<_>) = distinct(tactics).into_iter().unzip();
    let alerts = view.alerts.iter();
    let techniques: Vec<&str> = alerts
        .flat_map(|alert| alert.list(List::Techniques))
        .collect();
    // T1564.001 is the first sub-technique of T1564.
    let technique = distinct(techniques.iter().filter_map(|id| id.split('.').next()));
    let sub = distinct(techniques.iter().copied().filter(|id| id.contains('.')));
    let tactic = (!id.is_empty()).then_some(ThreatTactic { id, name });
    let technique = (!technique.is_empty()).then(|| ThreatTechnique {
        id: technique,
        subtechnique: (!sub.is_empty()).then_some(Ids { id: sub }),
    });
    (tactic.is_some() || technique.is_some()).then_some(Threat {
        framework: "MITRE ATT&CK",
        tactic,
        technique,
    })
}

fn categories<'a>(view: &'a IncidentView<'_>) -> impl Iterator<Item = &'a str> {
    let alerts = view.alerts.iter();
    alerts.flat_map(|alert| alert.list(List::Categories))
}

/// Each item once, in order.
fn distinct<T: Copy + Eq + Hash>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = HashSet::new();
    items.filter(|item| seen.insert(*item)).collect()
}
