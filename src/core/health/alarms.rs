//! One alarm for a cause that many tenants share: an expired secret, a retired API, a firewall.
//!
//! A tenant's failure has a key of its cause, which is equal for equal causes. From the third tenant with the same cause on
//! (in a fleet of two, from the second) there is one alarm. Failures that belong to single tenants by their nature, consent
//! and licences, become an alarm only when 90 % of the fleet is affected: then the app registration was deleted, or the API
//! is gone. An alarm ends when no tenant fails for its cause any more.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use super::failure::{Failure, Health};
use super::text;
use crate::core::ids::TenantId;
use crate::core::time::ticks::Ticks;

/// This many tenants with one cause make an alarm.
const MANY: usize = 3;

/// A cause that many tenants share, or a credential that ends.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Alarm {
    /// The key of the cause.
    pub cause: String,
    /// Of its tenants. [`Health::Ok`]: it is still ahead of them.
    pub state: Health,
    /// How many tenants fail for it now, or will.
    pub tenants: usize,
    #[serde(serialize_with = "text")]
    pub since: Ticks,
    /// The error of the last tenant that joined.
    pub error: String,
    pub remedy: String,
    /// Of a credential that ends: some of its tenants, by name. They are in no common state that would show them.
    #[serde(skip)]
    pub named: Vec<AlarmTenant>,
}

/// A tenant that an alarm names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct AlarmTenant {
    pub name: Arc<str>,
    pub id: TenantId,
}

/// What a change of a tenant's health means for the alarms.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AlarmEffect {
    /// It belongs to this tenant alone.
    Own,
    /// It raises an alarm.
    Raised(Alarm),
    /// It belongs to an alarm that was raised before.
    Shared,
    /// It ends an alarm.
    Over(Alarm),
}

/// The causes that tenants fail for.
#[derive(Debug, Default)]
pub struct Alarms {
    causes: HashMap<TenantId, String>,
    /// How many tenants fail for each cause. To count them at each change would be quadratic in a fleet that fails.
    counts: HashMap<String, usize>,
    raised: HashMap<String, Alarm>,
}

impl Alarms {
    /// `tenant`, one of a fleet of `tenants`, fails with `failure` now; `None`: it is healthy.
    pub fn note(
        &mut self,
        tenant: TenantId,
        tenants: usize,
        failure: Option<&Failure>,
        now: Ticks,
    ) -> AlarmEffect {
        let cause = failure
            .filter(|failure| failure.health != Health::Ok)
            .and_then(|failure| failure.cause.clone());
        let before = match &cause {
            Some(cause) => self.causes.insert(tenant, cause.clone()),
            None => self.causes.remove(&tenant),
        };
        self.recount(before.as_deref(), cause.as_deref());
        let over = before
            .clone()
            .filter(|before| cause.as_ref() != Some(before))
            .and_then(|before| self.leave(&before));
        let joined = cause.zip(failure).map(|(cause, failure)| {
            let enough = match is_the_tenants_own(failure.health) {
                // In a large fleet some tenants always fail for another reason.
                true => MANY.max(tenants - tenants / 10),
                false => MANY.min(tenants).max(2),
            };
            self.join(cause, failure, enough, now)
        });
        // One change has one effect: the end of the old alarm. The alarm that the tenant joins shows in `raised`.
        match (over, joined) {
            (Some(over), _) => AlarmEffect::Over(over),
            (None, Some(joined)) => joined,
            // Healthy again, while the alarm of the other tenants goes on.
            _ if before.is_some_and(|before| self.raised.contains_key(&before)) => {
                AlarmEffect::Shared
            }
            _ => AlarmEffect::Own,
        }
    }

    /// Removes `tenant`, which has left the fleet. Returns the alarm that ends with it.
    pub fn forget(&mut self, tenant: TenantId) -> Option<Alarm> {
        let cause = self.causes.remove(&tenant)?;
        self.recount(Some(&cause), None);
        self.leave(&cause)
    }

    /// The alarms that are raised, the one with the most tenants first.
    pub fn raised(&self) -> Vec<Alarm> {
        let mut alarms: Vec<_> = self.raised.values().cloned().collect();
        alarms.sort_by(|a, b| {
            b.tenants
                .cmp(&a.tenants)
                .then_with(|| a.cause.cmp(&b.cause))
        });
        alarms
    }

    /// The cause of the raised alarm that `tenant` belongs to.
    pub fn of(&self, tenant: TenantId) -> Option<String> {
        let cause = self.causes.get(&tenant)?;
        self.raised.contains_key(cause).then(|| cause.clone())
    }

    fn join(&mut self, cause: String, failure: &Failure, enough: usize, now: Ticks) -> AlarmEffect {
        let tenants = self.count(&cause);
        let known = self.raised.get_mut(&cause);
        let alarm = Alarm {
            since: known.as_ref().map_or(now, |alarm| alarm.since),
            state: failure.health,
            tenants,
            error: failure.what.clone(),
            remedy: match is_the_tenants_own(failure.health) {
                true => WHOLE_FLEET.to_owned(),
                false => failure.remedy.clone(),
            },
            cause: cause.clone(),
            named: Vec::new(),
        };
        match known {
            Some(known) => {
                *known = alarm;
                AlarmEffect::Shared
            }
            None if tenants >= enough => {
                self.raised.insert(cause, alarm.clone());
                AlarmEffect::Raised(alarm)
            }
            None => AlarmEffect::Own,
        }
    }

    /// A tenant does not have this cause any more. Returns the alarm if that was the last tenant.
    fn leave(&mut self, cause: &str) -> Option<Alarm> {
        let left = self.count(cause);
        self.raised.get_mut(cause)?.tenants = left;
        if left > 0 {
            return None;
        }
        self.raised.remove(cause)
    }

    /// A tenant changes from one cause to another.
    fn recount(&mut self, before: Option<&str>, after: Option<&str>) {
        if before == after {
            return;
        }
        if let Some(before) = before
            && let Some(count) = self.counts.get_mut(before)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(before);
            }
        }
        if let Some(after) = after {
            match self.counts.get_mut(after) {
                Some(count) => *count += 1,
                None => {
                    self.counts.insert(after.to_owned(), 1);
                }
            }
        }
    }

    fn count(&self, cause: &str) -> usize {
        self.counts.get(cause).copied().unwrap_or(0)
    }
}

/// What to do when nearly all tenants fail in a way that usually each tenant has to mend alone.
const WHOLE_FLEET: &str = "nearly all tenants failed so at once, so look at what they have in common first: whether the app registration was deleted \
     or lost the permission, and whether Microsoft has retired this API (then move api.source to \"graph\"); if neither, do \
     what the remedy of each tenant says";

fn is_the_tenants_own(health: Health) -> bool {
    matches!(health, Health::Consent | Health::Forbidden)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::super::failure::Reaction;
    use super::*;

    const NOW: Ticks = Ticks(0);

    fn tenant(n: u8) -> TenantId {
        TenantId::from_bytes([n; 16])
    }

    fn failing(health: Health, cause: &str) -> Failure {
        Failure::new(health, Reaction::Slow, "what", "remedy").caused_by(cause)
    }

    fn expired() -> Failure {
        failing(Health::Credential, "entra 7000222")
    }

    #[test]
    fn a_secret_that_expires_for_forty_tenants_is_one_alarm() {
        let mut alarms = Alarms::default();
        let fleet = 40;
        let notices: Vec<_> = (0..40)
            .map(|n| alarms.note(tenant(n), fleet, Some(&expired()), NOW))
            .collect();
        let own = notices
            .iter()
            .filter(|notice| **notice == AlarmEffect::Own)
            .count();
        let raised = notices
            .iter()
            .filter(|notice| matches!(notice, AlarmEffect::Raised(_)))
            .count();
        assert_eq!((own, raised), (2, 1));
        assert_eq!(alarms.raised()[0].tenants, 40);
    }

    #[test]
    fn an_alarm_is_over_once_when_the_last_tenant_recovers() {
        let mut alarms = Alarms::default();
        let fleet = 5;
        for n in 0..5 {
            alarms.note(tenant(n), fleet, Some(&expired()), NOW);
        }
        for n in 0..4 {
            assert_eq!(
                alarms.note(tenant(n), fleet, None, NOW),
                AlarmEffect::Shared
            );
        }
        assert!(matches!(
            alarms.note(tenant(4), fleet, None, NOW),
            AlarmEffect::Over(_)
        ));
        assert!(alarms.raised().is_empty());
        assert_eq!(alarms.note(tenant(4), fleet, None, NOW), AlarmEffect::Own);
    }

    #[test]
    fn when_all_go_over_from_one_cause_to_another_the_new_alarm_is_raised_though_the_last_ends_the_old_one()
     {
        let mut alarms = Alarms::default();
        let other = failing(Health::Unreachable, "no route");
        for failure in [&expired(), &other] {
            for n in 0..3 {
                alarms.note(tenant(n), 3, Some(failure), NOW);
            }
        }
        let raised = alarms.raised();
        assert_eq!(raised.len(), 1, "{raised:?}");
        assert_eq!((&*raised[0].cause, raised[0].tenants), ("no route", 3));
    }

    #[test]
    fn a_tenant_that_leaves_the_fleet_leaves_its_alarm_and_the_last_one_ends_it() {
        let mut alarms = Alarms::default();
        for n in 0..3 {
            alarms.note(tenant(n), 3, Some(&expired()), NOW);
        }
        assert_eq!(alarms.forget(tenant(0)), None);
        assert_eq!(alarms.raised()[0].tenants, 2);
        assert_eq!(alarms.forget(tenant(1)), None);
        assert!(alarms.forget(tenant(2)).is_some());
        assert_eq!(alarms.forget(tenant(2)), None, "forgotten before");
    }

    #[test]
    fn two_of_two_tenants_are_all_tenants_and_a_lone_tenant_never_shares() {
        let mut two = Alarms::default();
        assert_eq!(
            two.note(tenant(0), 2, Some(&expired()), NOW),
            AlarmEffect::Own
        );
        assert!(matches!(
            two.note(tenant(1), 2, Some(&expired()), NOW),
            AlarmEffect::Raised(_)
        ));
        let mut lone = Alarms::default();
        assert_eq!(
            lone.note(tenant(0), 1, Some(&expired()), NOW),
            AlarmEffect::Own
        );
    }

    #[test]
    fn what_each_tenant_has_to_mend_for_itself_is_no_alarm() {
        let mut alarms = Alarms::default();
        let fleet = 12;
        let consent = failing(Health::Consent, "entra 7000229");
        for n in 0..10 {
            assert_eq!(
                alarms.note(tenant(n), fleet, Some(&consent), NOW),
                AlarmEffect::Own
            );
        }
    }

    #[test]
    fn an_app_that_was_deleted_or_an_api_that_was_retired_is_one_alarm() {
        for health in [Health::Consent, Health::Forbidden] {
            let mut alarms = Alarms::default();
            let gone = failing(health, "defender 403 Forbidden");
            for n in 0..4 {
                assert_eq!(
                    alarms.note(tenant(n), 5, Some(&gone), NOW),
                    AlarmEffect::Own
                );
                assert_eq!(alarms.of(tenant(n)), None);
            }
            let last = alarms.note(tenant(4), 5, Some(&gone), NOW);
            let AlarmEffect::Raised(alarm) = last else {
                panic!("{health}: {last:?}")
            };
            assert_eq!(
                (alarm.tenants, alarms.of(tenant(0))),
                (5, Some(alarm.cause))
            );
            assert!(
                alarm.remedy.contains("app registration"),
                "{}",
                alarm.remedy
            );
        }
    }

    proptest! {
        #[test]
        fn an_alarm_counts_the_tenants_that_fail_for_its_cause_and_no_others(
            steps in proptest::collection::vec((0..6_u8, 0..5_u8), 1..60),
        ) {
            let mut alarms = Alarms::default();
            let mut model: HashMap<TenantId, String> = HashMap::new();
            for (n, what) in steps {
                let cause = format!("cause {what}");
                match what {
                    0 => {
                        alarms.note(tenant(n), 6, None, NOW);
                        model.remove(&tenant(n));
                    }
                    1 => {
                        alarms.forget(tenant(n));
                        model.remove(&tenant(n));
                    }
                    _ => {
                        let failure = failing(Health::Unreachable, &cause);
                        alarms.note(tenant(n), 6, Some(&failure), NOW);
                        model.insert(tenant(n), cause);
                    }
                }
                for alarm in alarms.raised() {
                    let expected = model.values().filter(|of| **of == alarm.cause).count();
                    prop_assert_eq!(alarm.tenants, expected, "{}", alarm.cause);
                }
                let kinds: HashSet<_> = model.values().collect();
                prop_assert_eq!(alarms.counts.len(), kinds.len(), "a cause of nobody is kept");
            }
        }
    }

    #[test]
    fn different_causes_do_not_add_up() {
        let mut alarms = Alarms::default();
        let fleet = 10;
        for n in 0..10 {
            let cause = failing(Health::Unreachable, &format!("cause {}", n / 2));
            assert_eq!(
                alarms.note(tenant(n), fleet, Some(&cause), NOW),
                AlarmEffect::Own
            );
        }
    }
}
