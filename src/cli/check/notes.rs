//! The report on the configuration alone, and notes: what is no failure but should be known.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use crate::app::inspect::{InspectionReport, Role, RoleUse, Write, retirement, topics};
use crate::app::retirement::Retirement;
use crate::cli::text::paragraph;
use crate::core::format::{counted, tally, tame};
use crate::settings::{Settings, SourceKind, TenantSettings};

/// At most this many tenants are named in a note.
const NAMED: usize = 5;

/// A valid configuration.
pub struct Offline<'a> {
    pub file: String,
    pub warnings: &'a [String],
    pub tenants: usize,
    /// How many tenants each source has.
    pub sources: [(&'static str, usize); 2],
    pub schedules: usize,
    pub topics: usize,
    /// Tenants to check.
    pub chosen: usize,
    pub retirement: Option<Retirement>,
    /// The credentials that end soon, and what to do.
    pub ending: Vec<String>,
}

impl<'a> Offline<'a> {
    pub fn new(file: &Path, settings: &'a Settings, chosen: &[&TenantSettings]) -> Self {
        let all: Vec<_> = settings.tenants.iter().collect();
        let schedules: HashSet<_> = all.iter().map(|tenant| &tenant.poll.schedule).collect();
        let count = |source| {
            let of_source = all.iter().filter(|tenant| tenant.api.source == source);
            of_source.count()
        };
        let mut sources = SourceKind::ALL.map(|source| (source.facts().name, count(source)));
        sources.sort_unstable();
        Self {
            file: file.display().to_string(),
            warnings: &settings.warnings,
            tenants: all.len(),
            sources,
            schedules: schedules.len(),
            topics: topics(settings, &all).len(),
            chosen: chosen.len(),
            retirement: retirement(chosen.iter().copied()),
            ending: Vec::new(),
        }
    }

    /// What should be known, and needs no network.
    pub fn notes(&self) -> Vec<String> {
        let retirement = self.retirement.iter().map(ToString::to_string);
        retirement.chain(self.ending.iter().cloned()).collect()
    }

    pub fn report(&self) -> String {
        let mut lines = self.head();
        let notes = self.notes().into_iter();
        lines.extend(notes.flat_map(|note| paragraph("note: ", &tame(&note))));
        lines.join("\n") + "\n"
    }

    /// The line that says it is valid, and its warnings.
    pub fn head(&self) -> Vec<String> {
        let sources = self.sources.iter();
        let sources = sources.flat_map(|(name, count)| std::iter::repeat_n(*name, *count));
        let mut valid = format!(
            "The configuration {} is valid: {} ({}), {}, {}.",
            tame(&self.file),
            counted(self.tenants, "tenant"),
            tally(sources),
            counted(self.schedules, "schedule"),
            counted(self.topics, "topic"),
        );
        if self.chosen < self.tenants {
            let verb = if self.chosen == 1 { "is" } else { "are" };
            valid.push_str(&format!(
                " Of these tenants {} {verb} looked at.",
                self.chosen
            ));
        }
        let warnings = self.warnings.iter();
        paragraph("", &valid)
            .into_iter()
            .chain(warnings.flat_map(|text| paragraph("warning: ", &tame(text))))
            .collect()
    }
}

/// Everything worth a note about what was found.
pub fn notes(findings: &InspectionReport, offline: &Offline<'_>) -> Vec<String> {
    let mut notes = offline.notes();
    let second = findings.tenants.iter().filter(|it| it.second_secret);
    let second: Vec<&str> = second.map(|it| &*it.name).collect();
    if !second.is_empty() {
        notes.push(format!(
            "the first client secret is refused and the second (app.client_secret_next_file) serves, for {}: put the second \
             into app.client_secret_file",
            names(&second)
        ));
    }
    notes.extend(excess(findings));
    notes.extend(findings.kafka.notes.iter().cloned());
    let topics = &findings.kafka.topics;
    for topic in topics {
        for note in &topic.notes {
            notes.push(format!("topic {}: {note}", topic.name));
        }
        if let Write::Unknown(why) = &topic.write
            && topic.failure.is_none()
        {
            notes.push(format!(
                "topic {}: whether this user may write to it was not found out: {why}",
                topic.name
            ));
        }
    }
    if topics.iter().any(|topic| topic.write == Write::Allowed) {
        notes.push(
            "WRITE yes: Kafka was offered a record larger than the topic accepts and refused it for its size alone, which it \
             does after it has looked at the permission. Nothing was written; whether a smaller record would reach enough \
             replicas was not tried."
                .to_owned(),
        );
    }
    notes
}

/// Permissions that incidentd does not need, each with the tenants that have it.
fn excess(findings: &InspectionReport) -> Vec<String> {
    let mut tenants: BTreeMap<&str, (&Role, Vec<&str>)> = BTreeMap::new();
    for tenant in &findings.tenants {
        let excess = |role: &&Role| role.usage != RoleUse::Needed;
        for role in tenant.roles.iter().filter(excess) {
            let entry = tenants.entry(&role.name).or_insert((role, Vec::new()));
            entry.1.push(&tenant.name);
        }
    }
    let note = |(role, named): (&Role, Vec<&str>)| {
        let weight = match role.usage {
            RoleUse::Powerful => "a powerful permission that incidentd has no use for",
            RoleUse::MoreThanNeeded => "more than incidentd needs",
            RoleUse::Needed | RoleUse::Unused => "a permission that incidentd has no use for",
        };
        format!(
            "{} is {weight} ({}): it is in the token of {}",
            role.name,
            role.permits,
            names(&named)
        )
    };
    tenants.into_values().map(note).collect()
}

fn names(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(NAMED).map(|name| tame(name)).collect();
    match names.len().saturating_sub(NAMED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
