//! The log lines about the tenants' health: one for each change of a tenant's state, and one for all tenants with the
//! same cause.
//!
//! A subject that changes again and again rarely gets a line ([`LogThrottle`]); that line has the number of changes in
//! between. Its last change always gets a line, if late, so that the last line about a tenant is correct. The first
//! sweeps of a large fleet share one line (`FirstSweeps`).

mod first_sweeps;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::board::{FleetProgress, HealthTransition};
use crate::core::health::alarms::{Alarm, AlarmEffect};
use crate::core::health::failure::{Failure, Health};
use crate::core::ids::TenantId;
use crate::core::log_throttle::LogThrottle;

use first_sweeps::{FEW, FirstSweeps, Summary};

#[derive(Default)]
pub struct HealthLog {
    entries: HashMap<LogSubject, LogEntry>,
    /// How many tenants the fleet has.
    tenants: usize,
    first: FirstSweeps,
}

/// The subject of a line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum LogSubject {
    Tenant(TenantId),
    Cause(String),
}

#[derive(Default)]
struct LogEntry {
    throttle: LogThrottle,
    /// The last change, if it has no line yet.
    waiting: Option<News>,
    /// The changes since the last line that never get one.
    suppressed: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum News {
    Tenant {
        id: TenantId,
        name: Arc<str>,
        before: Health,
        /// See [`HealthTransition::first`].
        first: bool,
        failure: Option<Failure>,
    },
    Raised(Alarm),
    Over {
        cause: String,
    },
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LogLine {
    news: News,
    suppressed: u64,
}

impl HealthLog {
    /// Sets the number of tenants in the fleet.
    pub fn set_fleet_size(&mut self, tenants: usize) {
        self.tenants = tenants;
    }

    /// Logs a tenant's change of health, at `now` on a clock that never goes back.
    pub fn log(&mut self, id: TenantId, name: &Arc<str>, turn: &HealthTransition, now: Duration) {
        for line in self.lines(id, name, turn, now) {
            line.log();
        }
    }

    /// Removes `tenant`, which has left the fleet, and logs the end of the alarm `over`.
    pub fn forget(&mut self, tenant: TenantId, over: Option<Alarm>, now: Duration) {
        self.entries.remove(&LogSubject::Tenant(tenant));
        let over = over.and_then(|Alarm { cause, .. }| {
            let over = News::Over {
                cause: cause.clone(),
            };
            self.line(LogSubject::Cause(cause), over, now)
        });
        if let Some(line) = over {
            line.log();
        }
    }

    /// Logs the changes that have waited long enough. Calls `progress` only if first sweeps wait for their line.
    pub fn log_late(&mut self, now: Duration, progress: impl FnOnce() -> FleetProgress) {
        for line in self.late_lines(now) {
            line.log();
        }
        if let Some(Summary {
            ended,
            names,
            progress: FleetProgress { read, tenants },
        }) = self.first.take(now, progress)
        {
            tracing::info!(
                ended,
                names,
                "first sweeps ended well: {read} of {tenants} tenants have been read"
            );
        }
    }

    fn lines(
        &mut self,
        id: TenantId,
        name: &Arc<str>,
        turn: &HealthTransition,
        now: Duration,
    ) -> Vec<LogLine> {
        let tenant = LogSubject::Tenant(id);
        match &turn.alarm {
            AlarmEffect::Own => Vec::from_iter(self.own_line(id, name, turn, now)),
            AlarmEffect::Raised(alarm) => {
                self.silence(&tenant);
                let cause = LogSubject::Cause(alarm.cause.clone());
                Vec::from_iter(self.line(cause, News::Raised(alarm.clone()), now))
            }
            AlarmEffect::Over(Alarm { cause, .. }) => {
                let over = News::Over {
                    cause: cause.clone(),
                };
                let over = self.line(LogSubject::Cause(cause.clone()), over, now);
                let own = self.own_line(id, name, turn, now);
                over.into_iter().chain(own).collect()
            }
            AlarmEffect::Shared => {
                self.silence(&tenant);
                tracing::debug!(tenant = %id, %name, state = %turn.after, "changed its state with the others");
                Vec::new()
            }
        }
    }

    fn own_line(
        &mut self,
        id: TenantId,
        name: &Arc<str>,
        turn: &HealthTransition,
        now: Duration,
    ) -> Option<LogLine> {
        let subject = LogSubject::Tenant(id);
        if turn.first && self.tenants > FEW {
            self.silence(&subject);
            self.first.note(name, now);
            tracing::debug!(tenant = %id, %name, "tenant's first sweep ended well");
            return None;
        }
        let own = News::Tenant {
            id,
            name: name.clone(),
            before: turn.before,
            first: turn.first,
            failure: turn.failure.clone(),
        };
        self.line(subject, own, now)
    }

    fn line(&mut self, subject: LogSubject, news: News, now: Duration) -> Option<LogLine> {
        let entry = self.entries.entry(subject).or_default();
        entry.suppressed += u64::from(entry.waiting.take().is_some());
        if !entry.throttle.take(now) {
            entry.waiting = Some(news);
            return None;
        }
        let suppressed = std::mem::take(&mut entry.suppressed);
        Some(LogLine { news, suppressed })
    }

    /// Drops the waiting change, which is out of date.
    fn silence(&mut self, subject: &LogSubject) {
        if let Some(entry) = self.entries.get_mut(subject) {
            entry.suppressed += u64::from(entry.waiting.take().is_some());
        }
    }

    fn late_lines(&mut self, now: Duration) -> Vec<LogLine> {
        let mut lines = Vec::new();
        self.entries.retain(|_, entry| {
            if entry.waiting.is_some() && entry.throttle.take(now) {
                let suppressed = std::mem::take(&mut entry.suppressed);
                lines.extend(
                    entry
                        .waiting
                        .take()
                        .map(|news| LogLine { news, suppressed }),
                );
            }
            entry.waiting.is_some() || !entry.throttle.is_whole(now)
        });
        lines
    }
}

impl LogLine {
    fn log(self) {
        let untold = (self.suppressed > 0).then_some(self.suppressed);
        match self.news {
            News::Raised(alarm) => {
                tracing::error!(cause = alarm.cause, tenants = alarm.tenants, state = %alarm.state, error = alarm.error,
                    remedy = alarm.remedy, untold, "one cause makes several tenants fail; further ones are only counted in the status");
            }
            News::Over { cause } => {
                tracing::info!(cause, untold, "no tenant fails for this cause any more");
            }
            News::Tenant {
                id,
                name,
                failure: Some(failure),
                ..
            } if failure.health == Health::Paused => {
                tracing::info!(tenant = %id, %name, reason = %failure, remedy = failure.remedy, untold, "tenant is paused");
            }
            News::Tenant {
                id,
                name,
                failure: Some(failure),
                ..
            } => {
                tracing::warn!(tenant = %id, %name, state = %failure.health, error = %failure, remedy = failure.remedy, untold,
                    "tenant is not healthy");
            }
            News::Tenant {
                id,
                name,
                first: true,
                ..
            } => {
                tracing::info!(tenant = %id, %name, untold, "tenant's first sweep ended well");
            }
            News::Tenant {
                id, name, before, ..
            } => {
                tracing::info!(tenant = %id, %name, %before, untold, "tenant is healthy again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::health::failure::Reaction;
    use crate::core::time::ticks::Ticks;

    fn failing() -> Failure {
        Failure::new(Health::Unreachable, Reaction::Backoff, "what", "remedy")
    }

    fn turn(ill: bool, effect: AlarmEffect) -> HealthTransition {
        let (before, after) = match ill {
            true => (Health::Ok, Health::Unreachable),
            false => (Health::Unreachable, Health::Ok),
        };
        HealthTransition {
            at: Ticks(0),
            before,
            after,
            first: false,
            failure: ill.then(failing),
            alarm: effect,
        }
    }

    fn alarm() -> Alarm {
        Alarm {
            cause: "no route".into(),
            state: Health::Unreachable,
            tenants: 3,
            since: Ticks(0),
            error: "what".into(),
            remedy: "remedy".into(),
            named: vec![],
        }
    }

    struct TestLog(HealthLog);

    impl TestLog {
        fn lines(&mut self, at: u64, ill: bool, effect: AlarmEffect) -> Vec<LogLine> {
            let now = Duration::from_secs(at);
            let name = Arc::from("contoso");
            let id = TenantId::from_bytes([0x11; 16]);
            self.0.lines(id, &name, &turn(ill, effect), now)
        }

        fn late(&mut self, at: u64) -> Vec<LogLine> {
            self.0.late_lines(Duration::from_secs(at))
        }
    }

    fn test_log() -> TestLog {
        TestLog(HealthLog::default())
    }

    fn is_ill(line: &LogLine) -> bool {
        matches!(
            &line.news,
            News::Tenant {
                failure: Some(_),
                ..
            }
        )
    }

    #[test]
    fn a_change_is_a_line() {
        let mut test = test_log();
        let (ill, well) = (
            test.lines(0, true, AlarmEffect::Own),
            test.lines(900, false, AlarmEffect::Own),
        );
        assert!(is_ill(&ill[0]), "{ill:?}");
        assert!(!is_ill(&well[0]), "{well:?}");
        assert_eq!((ill[0].suppressed, well[0].suppressed), (0, 0));
        assert_eq!(test.late(9000), []);
    }

    #[test]
    fn first_sweeps_have_a_line_each_in_a_small_fleet_and_one_together_in_a_large_one() {
        for (tenants, lines) in [(1, 1), (FEW, FEW), (FEW + 1, 0), (2_000, 0)] {
            let mut log = HealthLog::default();
            log.set_fleet_size(tenants);
            let first = HealthTransition {
                before: Health::Starting,
                first: true,
                ..turn(false, AlarmEffect::Own)
            };
            let logged = (0..tenants).flat_map(|n| {
                let id = TenantId::from_bytes((n as u128).to_be_bytes());
                log.lines(id, &"contoso".into(), &first, Duration::ZERO)
            });
            assert_eq!(logged.count(), lines, "{tenants} tenants");
            let progress = || FleetProgress {
                read: tenants,
                tenants,
            };
            let together = log.first.take(Duration::ZERO, progress);
            let together = together.map_or(0, |line| line.ended);
            assert_eq!(together, tenants - lines, "none is left out");
        }
    }

    #[test]
    fn a_night_of_flapping_is_a_few_lines_an_hour_and_every_change_is_counted() {
        let mut test = test_log();
        let (mut lines, mut changes) = (Vec::new(), 0);
        for at in (0..8 * 3600).step_by(30) {
            changes += 1;
            lines.extend(test.lines(at, at % 60 == 0, AlarmEffect::Own));
            lines.extend(test.late(at + 2));
        }
        assert!(
            lines.len() < 60,
            "{} lines for {changes} changes",
            lines.len()
        );
        // One more line may wait for its time.
        lines.extend(test.late(10 * 3600));
        let counted: u64 = lines.iter().map(|line| 1 + line.suppressed).sum();
        assert_eq!(counted, changes);
    }

    #[test]
    fn what_the_log_says_last_is_how_it_is() {
        for last_ill in [true, false] {
            let mut test = test_log();
            for n in 0..20 {
                test.lines(n, (n % 2 == 0) != last_ill, AlarmEffect::Own);
            }
            assert_eq!(test.late(100), [], "too early");
            let late = test.late(700);
            assert_eq!(late.len(), 1, "{late:?}");
            assert_eq!(is_ill(&late[0]), last_ill);
            assert_eq!(late[0].suppressed, 13, "six were logged, and this one is");
            assert_eq!(test.late(9000), [], "it is said once");
        }
    }

    #[test]
    fn an_alarm_that_comes_and_goes_is_told_as_seldom() {
        let mut test = test_log();
        let mut lines = Vec::new();
        for n in 0..100 {
            let effect = match n % 2 {
                0 => AlarmEffect::Raised(alarm()),
                _ => AlarmEffect::Over(alarm()),
            };
            lines.extend(test.lines(n, n % 2 == 0, effect));
        }
        let alarms = lines
            .iter()
            .filter(|line| matches!(line.news, News::Raised(_) | News::Over { .. }));
        assert_eq!(alarms.count(), 6);
        let late = test.late(1000);
        assert!(
            late.iter()
                .any(|line| matches!(line.news, News::Over { .. })),
            "the last word is said: {late:?}"
        );
    }

    #[test]
    fn what_waits_is_dropped_when_the_tenant_goes_on_with_the_others() {
        let mut test = test_log();
        for n in 0..20 {
            test.lines(n, n % 2 == 0, AlarmEffect::Own);
        }
        test.lines(30, true, AlarmEffect::Shared);
        assert_eq!(test.late(9000), []);
    }

    #[test]
    fn nothing_is_kept_of_those_that_are_quiet() {
        let mut test = test_log();
        test.lines(0, true, AlarmEffect::Own);
        test.late(3600);
        assert!(test.0.entries.is_empty());
    }
}
