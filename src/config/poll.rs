//! `[poll]`: how often and how far back a tenant is read, and within which limits.

use super::problems::{Wrong, reads_plain, wrong};
use super::section::Section;
use crate::core::time::schedule::{ACCEPTED, Schedule, ScheduleError};
use crate::settings::{ApiSettings, PollSettings, SourceKind};

/// Reads a section. `shared`: for a tenant, the source of all tenants. The settings of requests go into `api`. `None` only
/// if a default can't be read.
pub(super) fn read(
    section: &mut Section<'_>,
    api: &mut ApiSettings,
    shared: Option<SourceKind>,
) -> Option<PollSettings> {
    let settings = PollSettings {
        schedule: section.read("schedule", schedule)?,
        lookback: section.get("lookback")?,
        overlap: section.get("overlap")?,
        reconcile_every: section.get("reconcile_every")?,
        reconcile_window: section.get("reconcile_window")?,
        requests_per_minute: read_budget(section, api.source, shared),
        deduplicate: section.get("deduplicate")?,
    };
    api.request_timeout = section.get("request_timeout")?;
    api.max_response = section.get("max_response")?;
    check_rules(section, &settings);
    Some(settings)
}

/// The budget, which follows from the source if it is not set.
fn read_budget(section: &mut Section<'_>, source: SourceKind, shared: Option<SourceKind>) -> u32 {
    const KEY: &str = "requests_per_minute";
    let quota = source.facts().quota;
    let default = quota.default_per_minute();
    let has_other_quota = shared.is_none_or(|shared| shared.facts().quota != quota);
    let Some(given) = section.get(KEY) else {
        if has_other_quota {
            let from = format!("from source {:?}", source.facts().name);
            section.mean(KEY, default.to_string(), from);
        }
        return default;
    };
    if given > default && (section.given(KEY) || has_other_quota) {
        let text = format!(
            "{given} requests a minute can break Microsoft's limit of {quota} for one tenant, which then answers 429 and \
             asks for pauses; up to {default} never break it"
        );
        section.warn(KEY, text);
    }
    given
}

fn schedule(text: &str) -> Result<Schedule, Wrong> {
    text.parse().map_err(|error| match error {
        // The parser's message repeats the text, which may be a secret.
        ScheduleError::Cron(_) if !reads_plain(text) => {
            wrong("it is no valid cron expression", ACCEPTED)
        }
        error => wrong(error.to_string(), ACCEPTED),
    })
}

/// What two durations must keep together.
struct PairRule {
    /// The key to blame, if the section gives it. Otherwise it is the other one.
    key: &'static str,
    /// How it relates to the other one when the rule is broken.
    relation: &'static str,
    other: &'static str,
    /// How the other one then relates to it.
    inverse: &'static str,
    is_broken: fn(&PollSettings) -> bool,
    remedy: &'static str,
}

const RULES: [PairRule; 2] = [
    PairRule {
        key: "overlap",
        relation: "it is not shorter than",
        other: "lookback",
        inverse: "it is not longer than",
        is_broken: |poll| poll.overlap >= poll.lookback,
        remedy: "make poll.overlap shorter than poll.lookback",
    },
    PairRule {
        key: "reconcile_window",
        relation: "it is shorter than",
        other: "overlap",
        inverse: "it is longer than",
        is_broken: |poll| poll.reconcile_window < poll.overlap,
        remedy: "make poll.reconcile_window at least as long as poll.overlap",
    },
];

/// If the section gives neither key, the section that does was refused. If one was refused, its value is not the one
/// compared.
fn check_rules(section: &mut Section<'_>, poll: &PollSettings) {
    for rule in RULES.iter().filter(|rule| (rule.is_broken)(poll)) {
        let (blamed, relation, other) = match section.given(rule.key) {
            true => (rule.key, rule.relation, rule.other),
            false => (rule.other, rule.inverse, rule.key),
        };
        let is_good = |key| !section.refused(key);
        if section.given(blamed) && is_good(blamed) && is_good(other) {
            let (value, origin) = (section.text_of(other), section.origin_of(other));
            let what = format!("{relation} {other}, which is {value} ({origin})");
            section.refuse(blamed, wrong(what, rule.remedy));
        }
    }
}
