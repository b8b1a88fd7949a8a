//! OCSF 1.8.0: an incident as an Incident Finding (class 2005, profile `incident`), and an alert as a Detection Finding
//! (class 2004, with the same profile).
//!
//! OCSF refuses members that it does not have. What has no place is in `unmapped`, where the whole incident is, as Microsoft
//! sent it. OCSF's `raw_data` is a text: with each quote of the incident escaped it is longer, and the outlet could not take
//! the incident back from a record that Kafka refused, so memory would have to hold it twice.
//!
//! What Microsoft's words mean in OCSF is in [`tables`].

mod event;
mod tables;

#[cfg(test)]
mod tests;

use crate::core::time::ticks::Ticks;

use super::mapped::{Schema, Version};
use super::tables::{PRODUCTS, TACTICS, look_up};
use super::view::{IncidentView, List, ObjectView, Observation, TextMember};
use event::{
    Activity, Analytic, Attack, AttackTactic, FindingInfo, Metadata, Name, Named, Observable,
    OcsfAssessment, OcsfEvent, Product, RelatedEvent, Tag, Uid, User,
};
use tables::{Enumeration, OcsfClass};

pub(super) static OCSF: Schema = Schema {
    address: "https://schema.ocsf.io/1.8.0/classes/incident_finding?profiles=incident",
    open: "unmapped",
    write,
};

pub(super) static OCSF_ALERT: Schema = Schema {
    address: "https://schema.ocsf.io/1.8.0/classes/detection_finding?profiles=incident",
    open: "unmapped",
    write: write_alert,
};

const XDR: Product<'static> = Product {
    name: "Microsoft Defender XDR",
    vendor_name: "Microsoft",
};

fn write(version: &Version<'_>, view: &IncidentView<'_>) -> Vec<u8> {
    let mut findings = vec![incident(version, &view.incident)];
    findings.extend(view.alerts.iter().filter_map(alert));
    let event = OcsfEvent {
        activity: activity(version, tables::INCIDENT_FINDING),
        finding_info_list: findings,
        ..event(version, view)
    };
    // Texts and whole numbers can always be written as JSON.
    serde_json::to_vec(&event).unwrap_or_default()
}

fn write_alert(version: &Version<'_>, view: &IncidentView<'_>) -> Vec<u8> {
    let event = OcsfEvent {
        activity: activity(version, tables::DETECTION_FINDING),
        // The class has it in finding_info.
        desc: None,
        finding_info: Some(detection(version, view)),
        is_alert: Some(true),
        ..event(version, view)
    };
    // Texts and whole numbers can always be written as JSON.
    serde_json::to_vec(&event).unwrap_or_default()
}

/// What both classes have.
fn event<'a>(version: &'a Version<'_>, view: &'a IncidentView<'_>) -> OcsfEvent<'a> {
    let texts = &view.incident.texts;
    OcsfEvent {
        activity: Activity::default(),
        time: millis(version.updated),
        metadata: metadata(version, view),
        message: texts.get(TextMember::Title),
        desc: texts
            .get(TextMember::Description)
            .or(texts.get(TextMember::Summary)),
        assessment: assessment(version, &view.incident),
        start_time: view.activity.map(|(first, _)| millis(first)),
        end_time: view.activity.map(|(_, last)| millis(last)),
        comment: texts.get(TextMember::Comment),
        src_url: texts.get(TextMember::WebUrl),
        finding_info: None,
        finding_info_list: Vec::new(),
        is_alert: None,
        observables: view.observations.iter().map(observable).collect(),
    }
}

fn activity(version: &Version<'_>, class: OcsfClass) -> Activity<'static> {
    let (class_uid, class_name) = class;
    let (activity_id, activity_name) = tables::activity(version.change);
    Activity {
        category_uid: 2,
        category_name: "Findings",
        class_uid,
        class_name,
        activity_id,
        activity_name,
        type_uid: u32::from(class_uid) * 100 + u32::from(activity_id),
        type_name: format!("{class_name}: {activity_name}"),
        status_detail: version.news.summary(),
    }
}

fn metadata<'a>(version: &'a Version<'_>, view: &'a IncidentView<'_>) -> Metadata<'a> {
    let updated = version.updated;
    let as_sent = view.incident.texts.get(TextMember::Updated);
    let as_sent = as_sent.filter(|text| text.parse() == Ok(updated));
    Metadata {
        uid: &version.id,
        version: "1.8.0",
        profiles: ["incident"],
        product: XDR,
        log_provider: version.reading.origin.to_string(),
        source: version.source,
        tenant_uid: version.tenant,
        tags: [Tag {
            name: "tenant_name",
            value: version.tenant_name,
        }],
        event_code: version.change.as_str(),
        original_event_uid: version.subject(),
        original_time: as_sent.map_or_else(|| updated.to_string(), str::to_owned),
        modified_time: millis(updated),
        labels: view.incident.list(List::Tags).collect(),
        is_truncated: view.cut,
    }
}

fn assessment<'a>(version: &Version<'_>, incident: &'a ObjectView<'_>) -> OcsfAssessment<'a> {
    let text = |member| incident.texts.get(member);
    let (severity_id, severity) = tables::SEVERITY.of(text(TextMember::Severity));
    let statuses = match version.alert {
        None => &tables::STATUS,
        Some(_) => &tables::ALERT_STATUS,
    };
    let (status_id, status) = statuses.of(text(TextMember::Status));
    let (verdict_id, verdict) = verdict(incident);
    let score = text(TextMember::PriorityScore).and_then(|score| score.parse().ok());
    let impact_score = score.filter(|score| (0..=100).contains(score));
    let priority = impact_score.and_then(priority);
    let assignee = text(TextMember::AssignedTo).map(|name| User {
        name,
        email_addr: is_email(name).then_some(name),
    });
    OcsfAssessment {
        severity_id,
        severity,
        status_id,
        status,
        status_code: text(TextMember::Status),
        priority_id: priority.map(|(id, _)| id),
        priority: priority.map(|(_, caption)| caption),
        impact_score,
        verdict_id,
        verdict,
        // One of the two is required.
        assignee_group: assignee.is_none().then_some(Name { name: "unassigned" }),
        assignee,
    }
}

fn verdict<'a>(incident: &'a ObjectView<'_>) -> Named<'a> {
    let by_determination = incident
        .texts
        .get(TextMember::Determination)
        .and_then(|word| look_up(tables::VERDICT_BY_DETERMINATION, word));
    match by_determination {
        Some(id) => tables::VERDICT.named(id),
        None => tables::VERDICT.of(incident.texts.get(TextMember::Classification)),
    }
}

fn priority(score: i64) -> Option<Named<'static>> {
    let mut ranges = tables::PRIORITY.iter();
    let range = ranges.find(|(least, ..)| score >= *least);
    range.map(|(_, id, caption)| (*id, *caption))
}

/// The incident as the first of its findings.
fn incident<'a>(version: &Version<'_>, incident: &'a ObjectView<'_>) -> FindingInfo<'a> {
    let text = |member| incident.texts.get(member);
    let says = |word: &&str| {
        !tables::NO_DETERMINATION
            .iter()
            .any(|no| no.eq_ignore_ascii_case(word))
    };
    let related = text(TextMember::MergedInto).filter(|id| *id != "0");
    FindingInfo {
        uid: version.reading.id.to_string(),
        title: text(TextMember::Title),
        // Without a description, the summary is the event's.
        desc: text(TextMember::Description).and(text(TextMember::Summary)),
        types: text(TextMember::Determination)
            .filter(says)
            .into_iter()
            .collect(),
        created_time: incident.texts.instant(TextMember::Created).map(millis),
        modified_time: Some(millis(version.reading.updated)),
        related_events: (related.into_iter())
            .map(|uid| RelatedEvent {
                uid: uid.to_owned(),
                type_name: tables::INCIDENT_FINDING.1,
            })
            .collect(),
        src_url: text(TextMember::WebUrl),
        ..FindingInfo::default()
    }
}

/// The alert of a record of its own.
fn detection<'a>(version: &'a Version<'_>, view: &'a IncidentView<'_>) -> FindingInfo<'a> {
    let known = view.alerts.first().and_then(alert);
    FindingInfo {
        uid: version.subject(),
        desc: view.incident.texts.get(TextMember::Description),
        related_events: vec![RelatedEvent {
            uid: version.incident().to_string(),
            type_name: tables::INCIDENT_FINDING.1,
        }],
        ..known.unwrap_or_default()
    }
}

/// `None`: it has no id, which a finding must have.
fn alert<'a>(alert: &'a ObjectView<'_>) -> Option<FindingInfo<'a>> {
    let text = |member| alert.texts.get(member);
    let at = |member| alert.texts.instant(member).map(millis);
    let service = text(TextMember::ServiceSource);
    let product = service.map(|word| look_up(PRODUCTS, word).unwrap_or(word));
    Some(FindingInfo {
        uid: text(TextMember::Id)?.to_owned(),
        title: text(TextMember::Title),
        types: alert.list(List::Categories).collect(),
        created_time: at(TextMember::Created),
        modified_time: at(TextMember::Updated),
        first_seen_time: at(TextMember::FirstActivity),
        last_seen_time: at(TextMember::LastActivity),
        product: text(TextMember::Product).or(product).map(|name| Product {
            name,
            vendor_name: "Microsoft",
        }),
        analytic: analytic(alert),
        attacks: attacks(alert),
        src_url: text(TextMember::WebUrl),
        ..FindingInfo::default()
    })
}

/// `None`: the alert says neither what found it nor how.
fn analytic<'a>(alert: &'a ObjectView<'_>) -> Option<Analytic<'a>> {
    let (uid, name) = (
        alert.texts.get(TextMember::Detector),
        alert.texts.get(TextMember::DetectionSource),
    );
    let (type_id, kind) = tables::ANALYTIC.of(name);
    uid.or(name).map(|_| Analytic {
        uid,
        name,
        type_id,
        kind,
    })
}

/// Microsoft does not say which technique belongs to which tactic.
fn attacks<'a>(alert: &'a ObjectView<'_>) -> Vec<Attack<'a>> {
    let tactics = alert.list(List::Categories);
    let tactics = tactics.filter_map(|category| look_up(TACTICS, category));
    let tactics = tactics.map(|(uid, name)| Attack {
        tactic: Some(AttackTactic { uid, name }),
        ..Attack::default()
    });
    // T1564.001 is the first sub-technique of T1564.
    let techniques = alert.list(List::Techniques).map(|id| Attack {
        technique: id.split('.').next().map(|uid| Uid { uid }),
        sub_technique: id.contains('.').then_some(Uid { uid: id }),
        ..Attack::default()
    });
    tactics.chain(techniques).collect()
}

fn observable<'a>(observation: &'a Observation<'_>) -> Observable<'a> {
    let (type_id, kind) = tables::observable(observation.kind);
    Observable {
        name: observation.name,
        value: &observation.value,
        type_id,
        kind,
    }
}

impl Enumeration {
    /// What Microsoft's word is. See [`tables`].
    fn of<'a>(&self, word: Option<&'a str>) -> Named<'a> {
        const OTHER: u8 = 99;
        match word {
            None => self.named(0),
            Some(word) => match look_up(self.words, word) {
                Some(id) => self.named(id),
                None => (OTHER, word),
            },
        }
    }

    fn named(&self, id: u8) -> Named<'static> {
        let caption = self.captions.iter().find(|(of, _)| *of == id);
        (id, caption.map_or("", |(_, caption)| caption))
    }
}

fn millis(at: Ticks) -> i64 {
    const TICKS: i64 = 10_000;
    at.0.div_euclid(TICKS)
}

/// Whether OCSF takes it for an address (`email_t`).
fn is_email(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let local = |byte: u8| plain(byte) || b"!#$%&'*+,./=?^_`{|}~".contains(&byte);
    let all = |text: &str, takes: &dyn Fn(u8) -> bool| !text.is_empty() && text.bytes().all(takes);
    let Some((name, domain)) = text.split_once('@') else {
        return false;
    };
    domain.split_once('.').is_some_and(|(first, rest)| {
        all(name, &local) && all(first, &plain) && all(rest, &|byte| plain(byte) || byte == b'.')
    })
}
