//! The first sweeps of a large fleet are logged together: one line for each would hide all other lines at every start.

use std::sync::Arc;
use std::time::Duration;

use crate::runtime::health::board::FleetProgress;

/// In a fleet of up to this many tenants, each first sweep gets its own line.
pub(super) const FEW: usize = 10;
/// The most names in a line.
const NAMED: usize = 5;
/// A first sweep waits at most this long for others.
const PATIENCE: Duration = Duration::from_secs(60);

/// Successful first sweeps that are not logged yet.
#[derive(Debug, Default)]
pub(super) struct FirstSweeps {
    count: usize,
    /// The names of the first few.
    names: Vec<Arc<str>>,
    since: Option<Duration>,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    pub ended: usize,
    pub names: String,
    pub progress: FleetProgress,
}

impl FirstSweeps {
    pub(super) fn note(&mut self, name: &Arc<str>, now: Duration) {
        self.count += 1;
        self.since.get_or_insert(now);
        if self.names.len() < NAMED {
            self.names.push(name.clone());
        }
    }

    /// The line to log now: when all tenants are read, or after a minute.
    pub(super) fn take(
        &mut self,
        now: Duration,
        progress: impl FnOnce() -> FleetProgress,
    ) -> Option<Summary> {
        let waited = now.saturating_sub(self.since?);
        let progress = progress();
        if progress.read < progress.tenants && waited < PATIENCE {
            return None;
        }
        let Self { count, names, .. } = std::mem::take(self);
        let mut text = names.join(", ");
        if count > names.len() {
            text.push_str(&format!(" and {} more", count - names.len()));
        }
        Some(Summary {
            ended: count,
            names: text,
            progress,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_of_two_thousand_is_a_line_a_minute_and_one_at_the_end() {
        let mut first = FirstSweeps::default();
        let (mut logged, tenants) = (Vec::new(), 2_000);
        for read in 1..=tenants {
            let now = Duration::from_millis(read as u64 * 100);
            first.note(&format!("tenant-{read}").into(), now);
            logged.extend(first.take(now, || FleetProgress { read, tenants }));
        }
        assert_eq!(logged.len(), 4, "{logged:#?}");
        let ended: usize = logged.iter().map(|line| line.ended).sum();
        assert_eq!(ended, tenants, "each is counted once");
        let last = &logged[3].progress;
        assert_eq!((last.read, last.tenants), (2_000, 2_000));
        assert!(
            logged[0].names.starts_with("tenant-1, tenant-2, "),
            "{logged:#?}"
        );
        assert!(logged[0].names.ends_with(" more"), "{logged:#?}");
        let none = first.take(Duration::from_secs(9_999), || {
            panic!("nobody is to be counted")
        });
        assert_eq!(none, None);
    }

    #[test]
    fn one_tenant_that_is_added_to_a_fleet_with_failing_ones_is_told_after_a_minute() {
        let mut first = FirstSweeps::default();
        let progress = || FleetProgress {
            read: 90,
            tenants: 100,
        };
        first.note(&"contoso".into(), Duration::from_secs(7));
        assert_eq!(first.take(Duration::from_secs(66), progress), None);
        let logged = first.take(Duration::from_secs(67), progress);
        let logged = logged.map(|line| (line.ended, line.names));
        assert_eq!(logged, Some((1, "contoso".to_owned())));
    }
}
