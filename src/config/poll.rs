//! `[poll]`: how often and how far back a tenant is read, and within which limits.

use std::sync::Arc;
use std::time::Duration;

use super::problems::{Wrong, reads_plain, wrong};
use super::section::Section;
use super::units::show_duration;
use crate::core::time::schedule::{ACCEPTED, Schedule, ScheduleError};
use crate::settings::{ApiSettings, PollSettings, SourceKind};

/// The settings, and the choices that they follow from.
#[derive(Clone)]
pub(super) struct PollChoice {
    pub settings: Arc<PollSettings>,
    source: SourceKind,
    /// The budget, if it is set and does not follow from the source.
    budget: Option<u32>,
}

/// Reads a section. `shared`: for a tenant, what all tenants have. The settings of requests go into `api`. `None` only if
/// a default can't be read.
pub(super) fn read(
    section: &mut Section<'_>,
    api: &mut Arc<ApiSettings>,
    shared: Option<&PollChoice>,
) -> Option<PollChoice> {
    let source = api.source;
    let (budget, requests_per_minute) = read_budget(section, source, shared);
    let all = shared.map(|shared| &*shared.settings);
    let settings = PollSettings {
        schedule: section.read_or("schedule", all.map(|all| all.schedule.clone()), schedule)?,
        lookback: section.get_or("lookback", all.map(|all| all.lookback))?,
        overlap: section.get_or("overlap", all.map(|all| all.overlap))?,
        reconcile_every: section.get_or("reconcile_every", all.map(|all| all.reconcile_every))?,
        reconcile_window: section
            .get_or("reconcile_window", all.map(|all| all.reconcile_window))?,
        requests_per_minute,
        deduplicate: section.get_or("deduplicate", all.map(|all| all.deduplicate))?,
    };
    let api = Arc::make_mut(api);
    api.request_timeout = section.get_or("request_timeout", all.map(|_| api.request_timeout))?;
    api.max_response = section.get_or("max_response", all.map(|_| api.max_response))?;
    check_ranges(section, &settings);
    Some(PollChoice {
        settings: Arc::new(settings),
        source,
        budget,
    })
}

/// The budget that is set, and the one in force, which is the source's without it.
fn read_budget(
    section: &mut Section<'_>,
    source: SourceKind,
    shared: Option<&PollChoice>,
) -> (Option<u32>, u32) {
    const KEY: &str = "requests_per_minute";
    let set: Option<u32> = section.get_or(KEY, shared.and_then(|shared| shared.budget));
    let quota = source.facts().quota;
    let default = quota.default_per_minute();
    let has_other_quota = shared.is_none_or(|shared| shared.source.facts().quota != quota);
    let Some(given) = set else {
        if has_other_quota {
            let from = format!("from source {:?}", source.facts().name);
            section.mean(KEY, default.to_string(), from);
        }
        return (None, default);
    };
    if given > default && (section.given(KEY) || has_other_quota) {
        let text = format!(
            "{given} requests a minute can break Microsoft's limit of {quota} for one tenant, which then answers 429 and \
             asks for pauses; up to {default} never break it"
        );
        section.warn(KEY, text);
    }
    (set, given)
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

/// One of two durations that depend on each other.
struct Bound {
    key: &'static str,
    value: Duration,
    /// How it relates to the other one: "it is not shorter than".
    relation: &'static str,
}

impl Bound {
    fn new(key: &'static str, value: Duration, relation: &'static str) -> Self {
        Self {
            key,
            value,
            relation,
        }
    }
}

fn check_ranges(section: &mut Section<'_>, poll: &PollSettings) {
    let (overlap, lookback, window) = (poll.overlap, poll.lookback, poll.reconcile_window);
    if overlap >= lookback {
        let one = Bound::new("overlap", overlap, "it is not shorter than");
        let two = Bound::new("lookback", lookback, "it is not longer than");
        refuse_pair(
            section,
            &one,
            &two,
            "make poll.overlap shorter than poll.lookback",
        );
    }
    if window < overlap {
        let one = Bound::new("reconcile_window", window, "it is shorter than");
        let two = Bound::new("overlap", overlap, "it is longer than");
        let remedy = "make poll.reconcile_window at least as long as poll.overlap";
        refuse_pair(section, &one, &two, remedy);
    }
}

/// Refuses the first key of the pair that this section gives. If it gives neither, the section that does has been
/// refused already. If one was refused, its value is not the one compared.
fn refuse_pair(section: &mut Section<'_>, one: &Bound, two: &Bound, remedy: &str) {
    if section.refused(one.key) || section.refused(two.key) {
        return;
    }
    let (blamed, other) = match (section.given(one.key), section.given(two.key)) {
        (true, _) => (one, two),
        (false, true) => (two, one),
        (false, false) => return,
    };
    let (relation, key, value) = (blamed.relation, other.key, show_duration(other.value));
    let origin = section.origin_of(key);
    let what = format!("{relation} {key}, which is {value} ({origin})");
    section.refuse(blamed.key, wrong(what, remedy));
}
