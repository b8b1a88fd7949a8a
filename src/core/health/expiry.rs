//! Credentials that end soon, or have ended: one alarm for each, however many tenants share it, and one line in the log at each
//! stage.

use std::collections::BTreeMap;

use super::alarms::{Alarm, AlarmTenant};
use super::failure::Health;
use super::validity::{ExpiryStage, Validity};
use crate::core::format::span;
use crate::core::time::ticks::Ticks;

/// A credential whose end is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialEnd {
    /// What it is and where: equal for the tenants that share it.
    pub name: String,
    /// When it ends, and since when it is valid.
    pub validity: Validity,
    /// How to renew it.
    pub remedy: String,
}

/// The credential of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantCredential {
    /// Whose it is.
    pub tenant: AlarmTenant,
    /// When it ends, and what it is.
    pub end: CredentialEnd,
}

/// The most tenants that an alarm names.
const NAMED: usize = 5;

/// The credentials that are close to their end.
#[derive(Debug, Default)]
pub struct Expiries(BTreeMap<String, Expiry>);

#[derive(Debug)]
struct Expiry {
    stage: ExpiryStage,
    alarm: Alarm,
}

impl Expiries {
    /// Takes the credentials as they are at `now`, one entry for each tenant. Returns the alarms whose stage has begun.
    pub fn look(
        &mut self,
        ends: impl IntoIterator<Item = TenantCredential>,
        now: Ticks,
    ) -> Vec<Alarm> {
        let mut before = std::mem::take(&mut self.0);
        for TenantCredential { tenant, end } in ends {
            let Some(stage) = end.validity.stage(now) else {
                continue;
            };
            if let Some(known) = self.0.get_mut(&end.name) {
                known.alarm.tenants += 1;
                name(&mut known.alarm, tenant);
                continue;
            }
            let known = before.get(&end.name).filter(|known| known.stage == stage);
            let since = known.map_or(now, |known| known.alarm.since);
            let mut alarm = alarm(&end, stage, since, now);
            name(&mut alarm, tenant);
            self.0.insert(end.name, Expiry { stage, alarm });
        }
        before.retain(|name, before| {
            let now = self.0.get(name);
            now.is_some_and(|now| now.stage == before.stage)
        });
        let begun = self
            .0
            .iter()
            .filter(|(name, _)| !before.contains_key(*name));
        begun.map(|(_, expiry)| expiry.alarm.clone()).collect()
    }

    /// All of them.
    pub fn alarms(&self) -> impl Iterator<Item = &Alarm> {
        self.0.values().map(|expiry| &expiry.alarm)
    }
}

/// Keeps the first of the names in their order, so that each look names the same.
fn name(alarm: &mut Alarm, tenant: AlarmTenant) {
    let at = alarm.named.partition_point(|known| *known < tenant);
    alarm.named.insert(at, tenant);
    alarm.named.truncate(NAMED);
}

fn alarm(end: &CredentialEnd, stage: ExpiryStage, since: Ticks, now: Ticks) -> Alarm {
    let (name, until) = (&end.name, end.validity.until);
    let left = until.unix_seconds().abs_diff(now.unix_seconds());
    // Its tenants are well until it has ended.
    let (state, cause, error) = match stage {
        ExpiryStage::Over => (
            Health::Credential,
            format!("{name} has ended"),
            format!("{name} ended at {until}"),
        ),
        _ => (
            Health::Ok,
            format!("{name} ends soon"),
            format!("{name} ends at {until}, in {}", span(left)),
        ),
    };
    Alarm {
        cause,
        state,
        tenants: 1,
        since,
        error,
        remedy: end.remedy.clone(),
        named: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::TenantId;

    const DAY: i64 = 86_400;
    const END: i64 = 1_800_000_000;

    fn end(name: &str, until: i64) -> TenantCredential {
        let tenant = AlarmTenant {
            name: "contoso".into(),
            id: TenantId::from_bytes([0x11; 16]),
        };
        let end = CredentialEnd {
            name: name.to_owned(),
            validity: Validity::until(Ticks::from_unix_seconds(until)),
            remedy: "renew it".to_owned(),
        };
        TenantCredential { tenant, end }
    }

    fn before_end(days: i64) -> Ticks {
        Ticks::from_unix_seconds(END - days * DAY)
    }

    #[test]
    fn a_credential_of_forty_tenants_is_one_alarm_at_each_stage_and_after_its_end() {
        let mut expiries = Expiries::default();
        let mut announced = Vec::new();
        for day in (-2..40).rev() {
            let fleet = (0..40).map(|_| end("the secret", END));
            for alarm in expiries.look(fleet, before_end(day)) {
                assert_eq!(alarm.tenants, 40);
                announced.push((day, alarm.state, alarm.error));
            }
        }
        let ends = |left| format!("the secret ends at 2027-01-15T08:00:00Z, in {left}");
        let expected = [
            (30, Health::Ok, ends("30d")),
            (7, Health::Ok, ends("7d")),
            (1, Health::Ok, ends("1d")),
            (
                0,
                Health::Credential,
                "the secret ended at 2027-01-15T08:00:00Z".into(),
            ),
        ];
        assert_eq!(announced, expected);
        let alarms: Vec<_> = expiries.alarms().collect();
        assert_eq!((alarms.len(), alarms[0].since), (1, before_end(0)));
    }

    #[test]
    fn the_time_that_is_left_is_that_of_the_last_look() {
        let mut expiries = Expiries::default();
        for (days, error) in [(6, "in 6d"), (5, "in 5d")] {
            expiries.look([end("a", END)], before_end(days));
            let alarm = expiries.alarms().next().expect("an alarm");
            assert!(alarm.error.ends_with(error), "{}", alarm.error);
            assert_eq!(alarm.since, before_end(6));
        }
    }

    #[test]
    fn an_alarm_names_the_first_of_its_tenants_in_the_order_of_their_names() {
        let fleet = (0..40).rev().map(|n| {
            let mut of = end("the secret", END);
            of.tenant.name = format!("customer {n:02}").into();
            of
        });
        let mut expiries = Expiries::default();
        expiries.look(fleet, before_end(5));
        let alarm = expiries.alarms().next().expect("an alarm");
        let names: Vec<_> = alarm.named.iter().map(|it| it.name.to_string()).collect();
        let expected = (0..NAMED).map(|n| format!("customer {n:02}"));
        assert_eq!((names, alarm.tenants), (expected.collect(), 40));
    }

    #[test]
    fn a_renewed_credential_and_one_of_no_tenant_are_forgotten() {
        let mut expiries = Expiries::default();
        let both = [end("a", END), end("b", END)];
        assert_eq!(expiries.look(both, before_end(5)).len(), 2);
        let renewed = [end("a", END + 365 * DAY)];
        assert_eq!(expiries.look(renewed, before_end(5)), []);
        assert_eq!(expiries.alarms().count(), 0);
        // The next one is announced again.
        assert_eq!(expiries.look([end("a", END)], before_end(5)).len(), 1);
    }
}
