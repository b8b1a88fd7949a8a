//! `[poll]`: how often and how far back a tenant is read, and within which limits.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::problems::{Wrong, reads_plain, wrong};
use super::section::ConfigSection;
use super::units::{DAY, GIB, HOUR, MIB, MINUTE, show_duration};
use crate::core::incident::version::Deduplicate;
use crate::core::pace::budget::Quota;
use crate::core::time::schedule::{ACCEPTED, Schedule, ScheduleError};
use crate::settings::{ApiSettings, PollSettings, SourceKind};

const SECOND: Duration = Duration::from_secs(1);
/// Microsoft keeps Defender XDR's data for 180 days ("Data security and retention in Microsoft Defender XDR").
const RETENTION: Duration = Duration::from_secs(180 * 86_400);

const LOOKBACK: RangeInclusive<Duration> = MINUTE..=RETENTION;
const WINDOW: RangeInclusive<Duration> = SECOND..=RETENTION;
const RECONCILE_EVERY: RangeInclusive<Duration> = MINUTE..=Duration::from_secs(30 * 86_400);
const REQUEST_TIMEOUT: RangeInclusive<Duration> = SECOND..=Duration::from_secs(600);

/// What `[poll]` sets for the whole daemon.
pub(super) struct Limits {
    pub max_concurrent: usize,
    pub max_in_flight: usize,
}

/// The settings, and the budget that was set, if one was: without, the source's own holds.
#[derive(Clone)]
pub(super) struct Poll {
    pub settings: PollSettings,
    per_minute: Option<u32>,
    /// What the budget was held against.
    quota: Quota,
}

/// The settings of `[poll]` when nothing is set.
pub(super) fn defaults() -> Result<Poll, ScheduleError> {
    let quota = SourceKind::default().facts().quota;
    Ok(Poll {
        settings: PollSettings {
            schedule: "*/30 * * * * *".parse()?,
            lookback: DAY,
            overlap: 15 * MINUTE,
            reconcile_every: 6 * HOUR,
            reconcile_window: 7 * DAY,
            requests_per_minute: quota.default_per_minute(),
            deduplicate: Deduplicate::Version,
        },
        per_minute: None,
        quota,
    })
}

pub(super) fn read_limits(section: &mut ConfigSection<'_>) -> Limits {
    let max_concurrent = section.number_or("max_concurrent", 64, 1..=10_000);
    Limits {
        max_concurrent: max_concurrent.try_into().unwrap_or(64),
        max_in_flight: section.size_or("max_in_flight", 64 * MIB as usize, MIB..=1024 * GIB),
    }
}

/// `base` with what this section gives; two of its keys are limits of a request and go into `api`.
pub(super) fn read(section: &mut ConfigSection<'_>, base: &Poll, api: &mut ApiSettings) -> Poll {
    let old = &base.settings;
    let schedule = section.parse_or("schedule", &old.schedule, schedule);
    let lookback = section.duration_or("lookback", old.lookback, LOOKBACK);
    let overlap = section.duration_or("overlap", old.overlap, WINDOW);
    let reconcile_every =
        section.duration_or("reconcile_every", old.reconcile_every, RECONCILE_EVERY);
    let reconcile_window = section.duration_or("reconcile_window", old.reconcile_window, WINDOW);
    let (per_minute, quota) = read_budget(section, base, api.source);
    api.request_timeout =
        section.duration_or("request_timeout", api.request_timeout, REQUEST_TIMEOUT);
    let ways = [("version", Deduplicate::Version), ("id", Deduplicate::Id)];
    let deduplicate = section.choice_or("deduplicate", old.deduplicate, &ways);
    api.max_response = section.size_or("max_response", api.max_response, MIB..=GIB);
    let poll = PollSettings {
        schedule,
        lookback,
        overlap,
        reconcile_every,
        reconcile_window,
        requests_per_minute: per_minute.unwrap_or(quota.default_per_minute()),
        deduplicate,
    };
    check_ranges(section, &poll);
    Poll {
        settings: poll,
        per_minute,
        quota,
    }
}

/// The budget that is set here or in `base`, if one is, and what Microsoft allows.
fn read_budget(
    section: &mut ConfigSection<'_>,
    base: &Poll,
    source: SourceKind,
) -> (Option<u32>, Quota) {
    const KEY: &str = "requests_per_minute";
    let own = section.number(KEY, 1..=6000);
    let own = own.and_then(|n| u32::try_from(n).ok());
    let (per_minute, quota) = (own.or(base.per_minute), source.facts().quota);
    if own.is_some() || quota != base.quota {
        warn_beyond(section, per_minute, quota);
    }
    if per_minute.is_none() && (quota != base.quota || !section.is_tenant()) {
        let budget = u64::from(quota.default_per_minute());
        section.derive(KEY, &budget, format!("source {:?}", source.facts().name));
    }
    (per_minute, quota)
}

fn warn_beyond(section: &mut ConfigSection<'_>, given: Option<u32>, quota: Quota) {
    let default = quota.default_per_minute();
    if let Some(given) = given.filter(|given| *given > default) {
        let text = format!(
            "{given} requests a minute can break Microsoft's limit of {quota} for one tenant, which then answers 429 and asks \
             for pauses; up to {default} never break it"
        );
        section.warn("requests_per_minute", text);
    }
}

fn schedule(text: &str) -> Result<Schedule, Wrong> {
    text.parse().map_err(|error| match error {
        // Its reader repeats what it does not understand.
        ScheduleError::Cron(_) if !reads_plain(text) => {
            wrong("it is no valid cron expression", ACCEPTED)
        }
        error => wrong(error.to_string(), ACCEPTED),
    })
}

fn check_ranges(section: &mut ConfigSection<'_>, poll: &PollSettings) {
    let (lookback, overlap) = (show_duration(poll.lookback), show_duration(poll.overlap));
    let (from_lookback, from_overlap) = (section.whence("lookback"), section.whence("overlap"));
    if poll.overlap >= poll.lookback {
        let remedy = "make poll.overlap shorter than poll.lookback";
        refuse_pair(section, ("overlap", "lookback"), |key| match key {
            "overlap" => wrong(
                format!("it is not shorter than lookback, which is {lookback} ({from_lookback})"),
                remedy,
            ),
            _ => wrong(
                format!("it is not longer than overlap, which is {overlap} ({from_overlap})"),
                remedy,
            ),
        });
    }
    if poll.reconcile_window < poll.overlap {
        let window = show_duration(poll.reconcile_window);
        let from_window = section.whence("reconcile_window");
        let remedy = "make poll.reconcile_window at least as long as poll.overlap";
        refuse_pair(section, ("reconcile_window", "overlap"), |key| match key {
            "overlap" => wrong(
                format!("it is longer than reconcile_window, which is {window} ({from_window})"),
                remedy,
            ),
            _ => wrong(
                format!("it is shorter than overlap, which is {overlap} ({from_overlap})"),
                remedy,
            ),
        });
    }
}

/// Blames the first key of the pair that this section gives. None given: the section it came from was blamed. One of
/// them refused: its value is not the one compared.
fn refuse_pair(section: &mut ConfigSection<'_>, keys: (&str, &str), why: impl Fn(&str) -> Wrong) {
    if section.refused(keys.0) || section.refused(keys.1) {
        return;
    }
    if let Some(key) = [keys.0, keys.1].into_iter().find(|key| section.given(key)) {
        section.refuse(key, why(key));
    }
}
