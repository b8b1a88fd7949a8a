use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::core::health::failure::Reaction;

const START: Ticks = Ticks(17_000_000_000_000_000);
const SCHEDULES: [&str; 2] = ["every 30s", "0 * * * * *"];
const DONE: WorkResult = WorkResult::Done { backlog: false };

fn tenant(n: u8) -> TenantId {
    TenantId::from_bytes([n; 16])
}

fn schedule(n: u8) -> Schedule {
    static PARSED: LazyLock<[Schedule; 2]> =
        LazyLock::new(|| SCHEDULES.map(|text| text.parse().expect("schedule")));
    PARSED[usize::from(n % 2)].clone()
}

fn member(n: u8, changed: bool) -> FleetMember {
    FleetMember {
        id: tenant(n),
        schedule: schedule(n),
        changed,
        waits: false,
    }
}

fn waiting(n: u8, changed: bool) -> FleetMember {
    FleetMember {
        waits: true,
        ..member(n, changed)
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn end(result: WorkResult) -> WorkEnd {
    WorkEnd {
        result,
        last_turn: None,
    }
}

/// An agenda, and the work that runs because of its actions.
#[derive(Default)]
struct Rig {
    agenda: Agenda,
    now: Duration,
    /// The tenants with running work, and whether it was asked to give way.
    running: BTreeMap<TenantId, bool>,
    fleet: HashSet<TenantId>,
    waiting: HashSet<TenantId>,
    /// Tenants that were removed or released and are not reported yet.
    leaving: HashSet<TenantId>,
    released: Vec<TenantId>,
    sweeps: Vec<TenantId>,
    /// Tenants whose command is to be recorded before anything else.
    commands: HashSet<TenantId>,
    /// Tenants whose command is being recorded, which ends in one way.
    recording: HashSet<TenantId>,
    missed: u64,
    stopped: bool,
}

impl Rig {
    fn on(&mut self, input: Input) {
        if let Input::Ended(tenant, _) = &input {
            self.running.remove(tenant);
        }
        let now = Look {
            wall: START.plus(self.now),
            steady: self.now,
        };
        for action in self.agenda.on(now, input) {
            match action {
                Action::Sweep { tenant, .. } => {
                    self.started(tenant);
                    self.sweeps.push(tenant);
                }
                Action::Fill { tenant, .. } => self.started(tenant),
                Action::Record(tenant) => {
                    assert!(self.commands.remove(&tenant), "nothing to record");
                    self.started(tenant);
                    self.recording.insert(tenant);
                }
                Action::GiveWay(tenant) => {
                    *self.running.get_mut(&tenant).expect("something runs") = true;
                }
                Action::Released(tenant) => {
                    assert!(
                        self.leaving.remove(&tenant),
                        "not given up, or reported twice"
                    );
                    assert!(!self.running.contains_key(&tenant), "its work still runs");
                    self.released.push(tenant);
                }
                Action::Missed(count) => self.missed += count,
                Action::Plan { .. } | Action::Rest { .. } => {}
            }
        }
    }

    fn started(&mut self, tenant: TenantId) {
        assert!(!self.stopped, "a start after the stop");
        assert!(self.fleet.contains(&tenant), "not of the fleet");
        assert!(!self.waiting.contains(&tenant), "it has to wait");
        assert!(!self.commands.contains(&tenant), "its command comes first");
        assert_eq!(
            self.running.insert(tenant, false),
            None,
            "it overlaps itself"
        );
    }

    fn set_fleet(&mut self, members: Vec<FleetMember>) {
        let fleet: HashSet<_> = members.iter().map(|member| member.id).collect();
        self.leaving.extend(self.fleet.difference(&fleet));
        self.leaving.retain(|tenant| !fleet.contains(tenant));
        self.fleet = fleet;
        let waiting = members.iter().filter(|member| member.waits);
        self.waiting = waiting.map(|member| member.id).collect();
        self.commands.retain(|tenant| self.fleet.contains(tenant));
        self.on(Input::Fleet(members));
        self.check_leaving();
    }

    fn release(&mut self, tenants: &[u8]) {
        let tenants: HashSet<_> = tenants.iter().copied().map(tenant).collect();
        self.leaving.extend(self.fleet.intersection(&tenants));
        self.fleet.retain(|tenant| !tenants.contains(tenant));
        self.commands.retain(|tenant| !tenants.contains(tenant));
        self.on(Input::Release(tenants));
        self.check_leaving();
    }

    fn check_leaving(&self) {
        for tenant in &self.leaving {
            let asked = self.running.get(tenant);
            assert_eq!(
                asked,
                Some(&true),
                "not reported, and nothing comes to rest"
            );
        }
    }

    fn end(&mut self, tenant: TenantId, result: WorkResult) {
        let result = match self.recording.remove(&tenant) {
            true => WorkResult::Recorded,
            false => result,
        };
        self.on(Input::Ended(tenant, end(result)));
    }

    fn end_all(&mut self) {
        while let Some((tenant, _)) = self.running.first_key_value() {
            self.end(*tenant, DONE);
        }
    }

    fn fire(&mut self) {
        for n in [0, 1] {
            self.on(Input::Fired(schedule(n)));
        }
    }

    /// Lets time pass. Each turn is due at its time, and its work ends at once.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(next) = self.agenda.next().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.on(Input::Due);
            self.end_all();
        }
        self.now = until;
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Fleet(members) => {
                let members: BTreeMap<_, _> = members.into_iter().collect();
                let known = |n| self.fleet.contains(&tenant(n));
                let members = members.iter().map(|(n, (changed, waits))| FleetMember {
                    waits: *waits,
                    ..member(*n, *changed || !known(*n))
                });
                self.set_fleet(members.collect());
            }
            Step::Release(tenants) => self.release(&tenants),
            Step::Fire(n) => self.on(Input::Fired(schedule(n))),
            // Sometimes for a tenant without running work, which must do no harm.
            Step::End(n, how) if self.running.is_empty() => self.end(tenant(n), result(how)),
            Step::End(n, how) => {
                let running = self.running.keys().nth(usize::from(n) % self.running.len());
                self.end(*running.expect("one"), result(how));
            }
            Step::Pass(ms) => {
                self.now += Duration::from_millis(u64::from(ms));
                self.on(Input::Due);
            }
            Step::Retry(tenants) => {
                self.on(Input::Retry(tenants.into_iter().map(tenant).collect()));
            }
            Step::RetryAll => self.on(Input::RetryAll),
            Step::Command(n) => self.command(n),
        }
    }

    fn command(&mut self, n: u8) {
        if self.fleet.contains(&tenant(n)) {
            self.commands.insert(tenant(n));
        }
        self.on(Input::Command(tenant(n)));
    }
}

#[test]
fn a_tenant_is_swept_when_it_comes_and_at_each_firing() {
    let mut rig = Rig::default();
    rig.set_fleet(vec![member(0, true)]);
    rig.pass(seconds(30));
    assert_eq!(rig.sweeps.len(), 1, "at once");
    for _ in 0..10 {
        rig.on(Input::Fired(schedule(0)));
        rig.pass(seconds(30));
    }
    assert_eq!((rig.sweeps.len(), rig.missed), (11, 0));
}

#[test]
fn a_back_fill_gives_way_to_a_turn_and_the_sweep_follows_at_once() {
    let mut rig = Rig::default();
    rig.set_fleet(vec![member(0, true)]);
    rig.now = seconds(1);
    rig.on(Input::Due);
    rig.end(tenant(0), WorkResult::Done { backlog: true });
    assert_eq!(rig.running.get(&tenant(0)), Some(&false), "the back-fill");
    rig.on(Input::Fired(schedule(0)));
    rig.now = seconds(31);
    rig.on(Input::Due);
    assert_eq!(
        rig.running.get(&tenant(0)),
        Some(&true),
        "it is to give way"
    );
    assert_eq!(rig.sweeps.len(), 1);
    rig.end(tenant(0), WorkResult::Stopped);
    assert_eq!((rig.sweeps.len(), rig.missed), (2, 0));
}

#[test]
fn each_tenant_that_is_released_is_reported_once_when_its_work_has_come_to_rest() {
    let mut rig = Rig::default();
    rig.set_fleet((1..=3).map(|n| member(n, true)).collect());
    rig.now = seconds(1);
    rig.on(Input::Due);
    rig.end(tenant(1), DONE);
    rig.release(&[1, 2, 9]);
    assert_eq!(rig.released, [tenant(1)], "nothing ran for it");
    rig.release(&[1, 2]);
    rig.end(tenant(2), WorkResult::Stopped);
    assert_eq!(rig.released, [tenant(1), tenant(2)]);
    rig.end_all();
    rig.sweeps.clear();
    rig.fire();
    rig.pass(seconds(61));
    assert_eq!(rig.sweeps, [tenant(3)], "only what was kept");
}

#[test]
fn a_tenant_that_comes_back_while_its_work_ends_is_not_reported_and_is_swept_again() {
    let mut rig = Rig::default();
    rig.set_fleet(vec![member(0, true)]);
    rig.now = seconds(1);
    rig.on(Input::Due);
    rig.set_fleet(Vec::new());
    rig.set_fleet(vec![member(0, false)]);
    rig.end(tenant(0), WorkResult::Stopped);
    assert_eq!((rig.sweeps.len(), rig.released.len()), (2, 0));
}

#[test]
fn a_tenant_that_waits_is_swept_as_soon_as_its_wait_is_over_and_its_work_has_ended() {
    let mut rig = Rig::default();
    rig.set_fleet(vec![waiting(0, true)]);
    rig.fire();
    rig.pass(seconds(61));
    assert_eq!((rig.sweeps.len(), rig.missed), (0, 0));
    rig.set_fleet(vec![member(0, false)]);
    rig.now += seconds(1);
    rig.on(Input::Due);
    assert_eq!(rig.sweeps.len(), 1, "at once");

    rig.set_fleet(vec![waiting(0, false)]);
    assert_eq!(
        rig.running.get(&tenant(0)),
        Some(&true),
        "it is to give way"
    );
    rig.set_fleet(vec![member(0, false)]);
    rig.end(tenant(0), WorkResult::Stopped);
    assert_eq!(rig.sweeps.len(), 2, "the former work has ended");
    assert!(rig.released.is_empty());
}

#[test]
fn a_rest_goes_on_while_a_tenant_waits() {
    for (waited, looked) in [(10, 60), (90, 91)] {
        let mut rig = Rig::default();
        rig.set_fleet(vec![member(0, true)]);
        rig.now = seconds(1);
        rig.on(Input::Due);
        let asked = WorkResult::Failed {
            reaction: Reaction::Wait(seconds(60)),
            credential: false,
        };
        rig.end(tenant(0), asked);
        rig.sweeps.clear();
        rig.set_fleet(vec![waiting(0, false)]);
        rig.pass(seconds(waited));
        rig.set_fleet(vec![member(0, false)]);
        rig.pass(seconds(looked - waited));
        assert_eq!(
            rig.sweeps.len(),
            usize::from(waited > 60),
            "waited {waited} s"
        );
        rig.pass(seconds(7));
        assert_eq!(rig.sweeps.len(), 1, "waited {waited} s");
    }
}

#[test]
fn a_command_is_recorded_at_once_after_the_work_in_progress_and_during_a_rest() {
    let mut rig = Rig::default();
    rig.set_fleet(vec![member(0, true)]);
    rig.now = seconds(1);
    rig.on(Input::Due);
    rig.command(0);
    assert_eq!(
        rig.running.get(&tenant(0)),
        Some(&true),
        "it is to give way"
    );
    rig.end(tenant(0), WorkResult::Stopped);
    assert_eq!((rig.sweeps.len(), rig.commands.len()), (1, 0));
    rig.end(tenant(0), WorkResult::Recorded);
    assert_eq!(rig.sweeps.len(), 2, "the sweep follows");
    let failed = WorkResult::Failed {
        reaction: Reaction::Slow,
        credential: true,
    };
    rig.end(tenant(0), failed);
    rig.command(0);
    assert!(rig.commands.is_empty(), "a rest does not delay it");
}

#[test]
fn a_paused_tenant_has_no_turn_until_the_next_command_or_a_retry() {
    let mut rig = Rig::default();
    rig.set_fleet(vec![member(0, true)]);
    rig.now = seconds(1);
    rig.on(Input::Due);
    rig.end(tenant(0), WorkResult::Paused);
    for _ in 0..10 {
        rig.fire();
        rig.pass(seconds(61));
    }
    assert_eq!((rig.sweeps.len(), rig.missed), (1, 0));
    rig.on(Input::RetryAll);
    rig.pass(seconds(1));
    assert_eq!(rig.sweeps.len(), 2);
    rig.on(Input::RetryAll);
    rig.on(Input::Due);
    rig.end(tenant(0), WorkResult::Paused);
    rig.command(0);
    rig.end(tenant(0), WorkResult::Recorded);
    assert_eq!(rig.sweeps.len(), 3);
}

#[derive(Debug, Clone)]
enum Step {
    /// For each tenant whether its settings are new, and whether it waits.
    Fleet(Vec<(u8, (bool, bool))>),
    Release(Vec<u8>),
    Fire(u8),
    End(u8, u8),
    Pass(u32),
    Retry(Vec<u8>),
    RetryAll,
    Command(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let some = || prop::collection::vec(0..8_u8, 0..5);
    prop_oneof![
        1 => prop::collection::vec((0..8_u8, any::<(bool, bool)>()), 0..8).prop_map(Step::Fleet),
        1 => some().prop_map(Step::Release),
        4 => (0..2_u8).prop_map(Step::Fire),
        6 => (any::<u8>(), 0..6_u8).prop_map(|(who, how)| Step::End(who, how)),
        8 => (0..40_000_u32).prop_map(Step::Pass),
        1 => some().prop_map(Step::Retry),
        1 => Just(Step::RetryAll),
        1 => (0..8_u8).prop_map(Step::Command),
    ]
}

fn result(how: u8) -> WorkResult {
    match how {
        0 | 1 => DONE,
        2 => WorkResult::Done { backlog: true },
        3 => WorkResult::Stopped,
        4 => WorkResult::Failed {
            reaction: Reaction::Backoff,
            credential: false,
        },
        _ => WorkResult::Failed {
            reaction: Reaction::Slow,
            credential: true,
        },
    }
}

proptest! {
    #[test]
    fn no_tenant_overlaps_itself_each_release_is_reported_once_and_each_tenant_that_stays_is_swept(
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut rig = Rig::default();
        for step in steps {
            rig.step(step);
        }
        rig.end_all();
        prop_assert!(rig.leaving.is_empty(), "{:?} were never reported", rig.leaving);
        // After the longest pause.
        rig.pass(seconds(3600));
        rig.sweeps.clear();
        rig.fire();
        rig.pass(seconds(61));
        let swept: HashSet<_> = rig.sweeps.iter().copied().collect();
        prop_assert_eq!(&swept, &(&rig.fleet - &rig.waiting));
        // Without a firing.
        let schedules = (0..8).map(|n| member(n, false));
        let members = schedules.filter(|member| rig.fleet.contains(&member.id));
        rig.set_fleet(members.collect());
        rig.pass(seconds(1));
        let swept: HashSet<_> = rig.sweeps.iter().copied().collect();
        prop_assert_eq!(&swept, &rig.fleet);
        rig.on(Input::Stop);
        rig.stopped = true;
        rig.fire();
        rig.pass(seconds(61));
    }

    #[test]
    fn no_instant_makes_it_panic(
        steps in prop::collection::vec((any::<i64>(), any::<u64>(), step()), 0..40),
    ) {
        let mut agenda = Agenda::default();
        let fleet = (0..4).map(|n| member(n, true)).collect();
        let start = Look { wall: START, steady: Duration::ZERO };
        agenda.on(start, Input::Fleet(fleet));
        for (wall, steady, step) in steps {
            let input = match step {
                Step::Fire(n) => Input::Fired(schedule(n)),
                Step::End(n, how) => Input::Ended(tenant(n % 4), end(result(how))),
                Step::RetryAll | Step::Retry(_) => Input::RetryAll,
                Step::Command(n) => Input::Command(tenant(n)),
                _ => Input::Due,
            };
            agenda.on(Look { wall: Ticks(wall), steady: seconds(steady) }, input);
        }
    }
}
