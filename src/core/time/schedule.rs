//! When tenants are swept: a cron expression, or "every N".
//!
//! Invariants: every schedule fires; all times are UTC and whole seconds; "every N" counts from the Unix epoch, so all
//! replicas agree on its firings, also after a restart. No text and no instant causes a panic here.
//!
//! Failure modes: none after parsing. Cron expressions are evaluated in the years 1970 to 4999. Outside of them the answer
//! is "no firing".

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use super::ticks::{PER_SECOND, Ticks};
use super::wallclock::Look;
use crate::core::health::failure::one_line;

/// The accepted forms of a schedule, for the remedy of an error.
pub const ACCEPTED: &str = "give a cron expression of six fields (second minute hour day month weekday, in UTC) such as \
    \"*/30 * * * * *\", or an interval such as \"every 30s\" (s, m or h; 1s to 24h)";

/// Longer than any sensible expression. It limits the work that a text can cause.
const MAX_TEXT: usize = 200;
const DAY: u32 = 86_400;
/// 4999-01-01T00:00:00Z: croner's calendar ends with the year 5000.
const CALENDAR_END: i64 = 95_586_134_400;

/// When to sweep. Two schedules are equal when their canonical texts are.
#[derive(Clone)]
pub struct Schedule {
    text: Arc<str>,
    rule: Rule,
}

#[derive(Clone)]
enum Rule {
    /// Seconds, 1 to [`DAY`].
    Every(u32),
    Cron(Arc<Cron>),
}

/// Why a text is not a schedule. [`ACCEPTED`] says what is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error("it is longer than {MAX_TEXT} characters")]
    TooLong,
    #[error("the interval is not a whole number of seconds, minutes or hours")]
    Interval,
    #[error("the interval is not between 1s and 24h")]
    IntervalRange,
    #[error("a cron expression has six fields here, this has {0}")]
    Fields(usize),
    #[error("it is no valid cron expression: {0}")]
    Cron(String),
    #[error("it never fires: no calendar has such a day")]
    NeverFires,
}

impl Schedule {
    /// The first firing strictly after `at`. `None` only after the end of the calendar.
    pub fn next_after(&self, at: Ticks) -> Option<Ticks> {
        let second = at.unix_seconds();
        let next = match &self.rule {
            Rule::Every(every) => {
                let every = i64::from(*every);
                (second.div_euclid(every) + 1).checked_mul(every)?
            }
            Rule::Cron(cron) => next_of_cron(cron, second)?,
        };
        (next <= Ticks::MAX.unix_seconds()).then(|| Ticks(next * PER_SECOND))
    }

    /// Whether a firing is in the same second as `at`.
    pub fn is_due(&self, at: Ticks) -> bool {
        let second = at.unix_seconds();
        match &self.rule {
            Rule::Every(every) => second.rem_euclid(i64::from(*every)) == 0,
            Rule::Cron(cron) => {
                calendar(second).is_some_and(|time| cron.is_time_matching(&time).unwrap_or(false))
            }
        }
    }

    /// The number of firings in `(after, until]`, at most `cap`, which limits the work.
    pub fn firings_between(&self, after: Ticks, until: Ticks, cap: u64) -> u64 {
        if until <= after {
            return 0;
        }
        if let Rule::Every(every) = self.rule {
            let index = |at: Ticks| at.unix_seconds().div_euclid(i64::from(every));
            return index(until).abs_diff(index(after)).min(cap);
        }
        let mut at = after;
        let mut count = 0;
        while count < cap {
            match self.next_after(at) {
                Some(next) if next <= until => at = next,
                _ => break,
            }
            count += 1;
        }
        count
    }

    /// The time between the next two firings after `at`: the window over which one firing's tenants are spread.
    /// Zero when there are no two.
    pub fn period_after(&self, at: Ticks) -> Duration {
        let gap = || {
            let first = self.next_after(at)?;
            Some(self.next_after(first)?.since(first))
        };
        gap().unwrap_or_default()
    }

    /// When the sweep after one that began at `began` is due; at once after the end of the calendar.
    pub fn due_after(&self, began: Look) -> Look {
        let next = self.next_after(began.wall);
        let within = next.map_or(Duration::ZERO, |next| next.since(began.wall));
        Look {
            wall: began.wall.plus(within),
            steady: began.steady.saturating_add(within),
        }
    }

    /// The expression for a cron scheduler. An interval that cron can't express becomes "every second": then
    /// [`Schedule::is_due`] decides at each firing. For other schedules it is always true.
    pub fn cron(&self) -> String {
        match &self.rule {
            Rule::Every(seconds) => cron_of_interval(*seconds),
            Rule::Cron(_) => self.text.to_string(),
        }
    }
}

fn cron_of_interval(seconds: u32) -> String {
    match seconds {
        1 => "* * * * * *".into(),
        60 => "0 * * * * *".into(),
        3600 => "0 0 * * * *".into(),
        DAY => "0 0 0 * * *".into(),
        n if 60_u32.is_multiple_of(n) => format!("*/{n} * * * * *"),
        n if n.is_multiple_of(60) && 3600_u32.is_multiple_of(n) => {
            format!("0 */{} * * * *", n / 60)
        }
        n if n.is_multiple_of(3600) && DAY.is_multiple_of(n) => format!("0 0 */{} * * *", n / 3600),
        _ => "* * * * * *".into(),
    }
}

/// `None` outside the calendar: croner's date arithmetic does not check its range.
fn calendar(second: i64) -> Option<DateTime<Utc>> {
    if !(0..CALENDAR_END).contains(&second) {
        return None;
    }
    DateTime::from_timestamp(second, 0)
}

fn next_of_cron(cron: &Cron, second: i64) -> Option<i64> {
    let before_all = second < 0;
    let start = calendar(second.max(0))?;
    let next = cron.find_next_occurrence(&start, before_all).ok()?;
    Some(next.timestamp())
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let text = text.trim();
        if text.len() > MAX_TEXT {
            return Err(ScheduleError::TooLong);
        }
        match text.strip_prefix("every") {
            Some(interval) => parse_interval(interval.trim()),
            None => parse_cron(text),
        }
    }
}

fn parse_interval(text: &str) -> Result<Schedule, ScheduleError> {
    let unit = text.chars().last().ok_or(ScheduleError::Interval)?;
    let factor: u32 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return Err(ScheduleError::Interval),
    };
    let number = text.strip_suffix(unit).unwrap_or(text).trim_end();
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ScheduleError::Interval);
    }
    let seconds = number
        .parse::<u32>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .filter(|seconds| (1..=DAY).contains(seconds))
        .ok_or(ScheduleError::IntervalRange)?;
    let text = match seconds {
        n if n.is_multiple_of(3600) => format!("every {}h", n / 3600),
        n if n.is_multiple_of(60) => format!("every {}m", n / 60),
        n => format!("every {n}s"),
    };
    Ok(Schedule {
        text: text.into(),
        rule: Rule::Every(seconds),
    })
}

/// The parser and the options are those of tokio-cron-scheduler, so that it accepts what is accepted here. Two things are
/// refused here alone: a seventh field (with a year, a schedule would end), and empty list items (croner reads them as a
/// field that matches nothing, and then searches for seconds).
fn parse_cron(text: &str) -> Result<Schedule, ScheduleError> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != 6 {
        return Err(ScheduleError::Fields(fields.len()));
    }
    if !text.is_ascii()
        || fields
            .iter()
            .any(|field| field.split(',').any(str::is_empty))
    {
        let reason = "a field is empty, or has a character that is not ASCII";
        return Err(ScheduleError::Cron(reason.into()));
    }
    let text = fields.join(" ").to_ascii_uppercase();
    let cron = CronParser::builder()
        .seconds(Seconds::Required)
        .year(Year::Disallowed)
        .dom_and_dow(true)
        .build()
        .parse(&text)
        .map_err(|error| ScheduleError::Cron(one_line(&error.to_string(), 120)))?;
    // Without a year, an expression that fires at all fires within one cycle of leap days and weekdays.
    if next_of_cron(&cron, -1).is_none() {
        return Err(ScheduleError::NeverFires);
    }
    Ok(Schedule {
        text: text.into(),
        rule: Rule::Cron(Arc::new(cron)),
    })
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({:?})", &*self.text)
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Schedule {}

impl Hash for Schedule {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

#[cfg(test)]
mod tests;
