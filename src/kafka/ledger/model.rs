//! "Exactly once" under any interleaving: three replicas, each made of the real [`OwnershipMachine`] and the real
//! [`PartitionLedger`]s, on a Kafka in memory ([`broker`]) and a consumer group ([`group`]).
//!
//! A case is a 64-bit seed. It draws who makes the next call of a log, and what goes wrong: processes die at any step, sleep in
//! the middle of a transaction and go on later, miss the group's news, lose responses; the coordinator gives up transactions;
//! requests arrive late. Then everything recovers, and a `read_committed` reader must have every version that Microsoft has
//! shown: once, and in order. The same seed twice is the same run.
//!
//! A [`Fault`] is a mistake that the protocol must not make. Each must be caught by the same property: otherwise the property
//! proves nothing about it.
//!
//! [`OwnershipMachine`]: crate::core::ownership::OwnershipMachine
//! [`PartitionLedger`]: super::partition::PartitionLedger

mod broker;
mod group;
mod replica;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use broker::{Broker, Happened};
use group::Group;
use replica::Replica;

use crate::core::ids::{IncidentId, TenantId};
use crate::core::ownership::partition_of;

const REPLICAS: usize = 3;
const TENANTS: u8 = 5;
/// Incidents of a tenant.
const INCIDENTS: u64 = 2;
/// The most versions of an incident.
const VERSIONS: i64 = 5;
/// Steps after which everything must have recovered, once nothing goes wrong any more.
const CALM: usize = 5_000;

/// A mistake in the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The rows are read before the earlier owner is shut out.
    FenceAfterRestore,
    /// Rows are read up to the end of what is decided when the end is asked for.
    StableEndAsEnd,
    /// A restore ends when the reader's position is the end: it never is after a control marker.
    PositionAsStop,
    /// The memory changes before the commit, and is kept when that fails.
    MemoryBeforeCommit,
    /// The memory is kept when nobody knows whether a transaction is committed.
    KeepsMemory,
    /// After an error the producer aborts its transaction and goes on.
    KeepsProducer,
}

/// How a run can break the promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Breach {
    /// A version is committed twice, or after a later one.
    Repeated,
    /// A later version is committed, and this one never was.
    Lost,
    /// Not everything is published, although nothing goes wrong any more.
    Stuck,
    /// A step failed in a way that can't be.
    Broken,
}

type Verdict = Result<(), (Breach, String)>;

/// What all replicas share.
pub(super) struct World {
    broker: Broker,
    group: Group,
    partitions: u16,
    topic: Arc<str>,
    /// How many versions of each incident Microsoft has shown.
    shown: BTreeMap<(TenantId, IncidentId), i64>,
    fault: Option<Fault>,
    /// Whether calls fail.
    chaos: bool,
    state: u64,
    trace: Option<Vec<String>>,
    broken: Option<String>,
}

impl World {
    /// The next number of the case (SplitMix64).
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.random() % limit as u64) as usize
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.random().is_multiple_of(n)
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(line());
        }
    }

    fn broken(&mut self, why: String) {
        self.broken.get_or_insert(why);
    }

    /// What the group and the coordinator do by and by.
    fn tidy(&mut self, step: usize) {
        self.group.assign_rest();
        self.broker.deliver_late();
        for partition in 0..usize::from(self.partitions) {
            self.broker.mark(partition);
            // A transaction of a process that is gone. Others take less time.
            if step.is_multiple_of(512) {
                self.broker.time_out(partition);
            }
        }
    }

    fn shown(&self, tenant: TenantId, id: IncidentId) -> i64 {
        self.shown.get(&(tenant, id)).copied().unwrap_or_default()
    }

    fn show_version(&mut self) {
        let tenant = tenant(self.below(usize::from(TENANTS)) as u8);
        let id = IncidentId(self.random() % INCIDENTS);
        let shown = self.shown.entry((tenant, id)).or_default();
        *shown = VERSIONS.min(*shown + 1);
    }

    /// What is wrong with what a reader of the data topic has.
    fn verdict(&self) -> Verdict {
        if let Some(why) = &self.broken {
            return Err((Breach::Broken, why.clone()));
        }
        let mut read = BTreeMap::<(TenantId, IncidentId), i64>::new();
        for bytes in self.broker.committed() {
            let (tenant, id, version) = parsed(bytes);
            let last = read.entry((tenant, id)).or_default();
            let why = || format!("{tenant}/{id}: version {version} after {last}");
            match version - *last {
                1 => *last = version,
                ..=0 => return Err((Breach::Repeated, why())),
                2.. => return Err((Breach::Lost, why())),
            }
        }
        match self
            .shown
            .iter()
            .find(|(key, shown)| read.get(key) != Some(shown))
        {
            Some(((tenant, id), _)) => Err((Breach::Stuck, format!("{tenant}/{id} is incomplete"))),
            None => Ok(()),
        }
    }
}

/// A process, as the model lets it run.
enum Process {
    Runs(Replica),
    /// It sleeps for this many events.
    Sleeps(Replica, usize),
    Dead,
}

struct Case {
    world: Rc<RefCell<World>>,
    processes: Vec<Process>,
}

/// A run of one seed.
struct Run {
    verdict: Verdict,
    happened: Happened,
    trace: Vec<String>,
}

fn run(seed: u64, fault: Option<Fault>, traced: bool) -> Run {
    let partitions = 2 + (seed % 2) as u16;
    let world = World {
        broker: Broker::new(partitions),
        group: Group::new(partitions, REPLICAS),
        partitions,
        topic: "incidents".into(),
        shown: BTreeMap::new(),
        fault,
        chaos: true,
        state: seed,
        trace: traced.then(Vec::new),
        broken: None,
    };
    let world = Rc::new(RefCell::new(world));
    let processes = (0..REPLICAS).map(|number| Process::Runs(Replica::new(number, &world)));
    let mut case = Case {
        processes: processes.collect(),
        world: world.clone(),
    };
    world.borrow_mut().group.assign_rest();
    let events = 100 + case.below(400);
    for _ in 0..events {
        case.event();
    }
    let verdict = case.recover();
    let mut world = world.borrow_mut();
    Run {
        verdict,
        happened: world.broker.happened,
        trace: world.trace.take().unwrap_or_default(),
    }
}

impl Case {
    fn below(&self, limit: usize) -> usize {
        self.world.borrow_mut().below(limit)
    }

    fn note(&self, line: impl FnOnce() -> String) {
        self.world.borrow_mut().note(line);
    }

    /// One event of the time in which things go wrong.
    fn event(&mut self) {
        let number = self.below(REPLICAS);
        let partitions = usize::from(self.world.borrow().partitions);
        let partition = self.below(partitions);
        match self.below(100) {
            0..74 => self.step(number),
            74..82 => self.world.borrow_mut().show_version(),
            82..83 => {
                self.note(|| format!("replica {number} dies"));
                self.processes[number] = Process::Dead;
            }
            83..86 => self.sleep(number),
            86..89 => self.restart(number),
            89..92 => {
                let choice = self.below(REPLICAS);
                self.note(|| format!("the group assigns partition {partition}"));
                self.world.borrow_mut().group.assign(partition, choice);
            }
            92..94 => {
                if !matches!(self.processes[number], Process::Runs(_)) || self.below(4) == 0 {
                    self.note(|| format!("the session of replica {number} ends"));
                    let mut world = self.world.borrow_mut();
                    world.group.expire(number);
                    world.group.assign_rest();
                }
            }
            94..96 => {
                self.note(|| format!("the transaction of partition {partition} times out"));
                self.world.borrow_mut().broker.time_out(partition);
            }
            96..98 => self.world.borrow_mut().broker.mark(partition),
            _ => self.world.borrow_mut().broker.deliver_late(),
        }
    }

    fn step(&mut self, number: usize) {
        let process = std::mem::replace(&mut self.processes[number], Process::Dead);
        self.processes[number] = match process {
            Process::Sleeps(replica, events) if events > 0 => Process::Sleeps(replica, events - 1),
            Process::Runs(mut replica) | Process::Sleeps(mut replica, _) => {
                replica.step();
                Process::Runs(replica)
            }
            Process::Dead => Process::Dead,
        };
    }

    fn sleep(&mut self, number: usize) {
        let events = 5 + self.below(60);
        let process = std::mem::replace(&mut self.processes[number], Process::Dead);
        self.processes[number] = match process {
            Process::Runs(replica) => {
                self.note(|| format!("replica {number} sleeps"));
                Process::Sleeps(replica, events)
            }
            other => other,
        };
    }

    fn restart(&mut self, number: usize) {
        if matches!(self.processes[number], Process::Dead) {
            self.note(|| format!("replica {number} starts"));
            self.world.borrow_mut().group.restart(number);
            self.processes[number] = Process::Runs(Replica::new(number, &self.world));
        }
    }

    /// From now on nothing goes wrong. Everything is published then, and nothing more.
    fn recover(&mut self) -> Verdict {
        self.note(|| "nothing goes wrong any more".to_owned());
        self.world.borrow_mut().chaos = false;
        for number in 0..REPLICAS {
            self.restart(number);
            let process = std::mem::replace(&mut self.processes[number], Process::Dead);
            self.processes[number] = match process {
                Process::Sleeps(replica, _) => Process::Runs(replica),
                other => other,
            };
        }
        let mut done = 0;
        for step in 1..CALM {
            let number = self.below(REPLICAS);
            self.step(number);
            if step % 16 == 0 {
                self.world.borrow_mut().tidy(step);
            }
            if step % 64 == 0 {
                done = if self.is_done() { done + 1 } else { 0 };
            }
            if done == 3 {
                return self.world.borrow().verdict();
            }
        }
        let stuck = (Breach::Stuck, "it has not recovered".to_owned());
        self.world.borrow().verdict().and(Err(stuck))
    }

    fn is_done(&self) -> bool {
        let idle =
            |process: &Process| matches!(process, Process::Runs(replica) if replica.is_idle());
        let world = self.world.borrow();
        self.processes.iter().all(idle) && world.group.is_settled() && world.verdict().is_ok()
    }
}

fn tenant(number: u8) -> TenantId {
    TenantId::from_bytes([number; 16])
}

fn tenants_of(partition: u16, partitions: u16) -> Vec<TenantId> {
    let all = (0..TENANTS).map(tenant);
    all.filter(|tenant| partition_of(*tenant, partitions) == partition)
        .collect()
}

fn value(tenant: TenantId, id: IncidentId, version: i64) -> Vec<u8> {
    [tenant.as_bytes()[0], id.0 as u8, version as u8].to_vec()
}

fn parsed(bytes: &[u8]) -> (TenantId, IncidentId, i64) {
    let [of, id, version] = bytes else {
        panic!("not a value of this model: {bytes:?}");
    };
    (tenant(*of), IncidentId(u64::from(*id)), i64::from(*version))
}

/// The first seed below `cases` with a breach (of this kind), and what happened until then. The processors share the seeds.
fn first_breach(
    fault: Option<Fault>,
    kind: Option<Breach>,
    cases: u64,
) -> (Option<(u64, Breach, String)>, Happened) {
    let threads = std::thread::available_parallelism().map_or(2, usize::from) as u64;
    let part = |first: u64| {
        let mut happened = Happened::default();
        for seed in (first..cases).step_by(threads as usize) {
            let run = run(seed, fault, false);
            happened.add(&run.happened);
            if let Err((breach, why)) = run.verdict
                && kind.is_none_or(|kind| kind == breach)
            {
                return (Some((seed, breach, why)), happened);
            }
        }
        (None, happened)
    };
    let parts: Vec<_> = std::thread::scope(|scope| {
        let parts: Vec<_> = (0..threads)
            .map(|first| scope.spawn(move || part(first)))
            .collect();
        let parts = parts.into_iter().map(|part| part.join().expect("no panic"));
        parts.collect()
    });
    let mut happened = Happened::default();
    for (_, of) in &parts {
        happened.add(of);
    }
    let breaches = parts.into_iter().filter_map(|(breach, _)| breach);
    (breaches.min(), happened)
}

/// `INCIDENTD_MODEL_CASES=1000000` runs more of them.
#[test]
fn every_version_is_committed_once_and_in_order_whatever_happens() {
    let cases = std::env::var("INCIDENTD_MODEL_CASES").ok();
    let cases = cases.map_or(10_000, |cases| cases.parse().expect("a number"));
    let (breach, happened) = first_breach(None, None, cases);
    println!("{cases} cases: {happened:?}");
    if let Some((seed, breach, why)) = breach {
        let trace = run(seed, None, true).trace;
        panic!("seed {seed}: {breach:?}: {why}\n{}", trace.join("\n"));
    }
    for (what, times) in happened.each() {
        assert!(
            times >= cases / 20,
            "{what} happened {times} times in {cases} cases"
        );
    }
}

#[test]
fn the_property_catches_each_mistake_in_the_protocol() {
    for (fault, kind, within) in [
        (Fault::FenceAfterRestore, Breach::Repeated, 4_000),
        (Fault::StableEndAsEnd, Breach::Repeated, 4_000),
        (Fault::PositionAsStop, Breach::Stuck, 20),
        (Fault::MemoryBeforeCommit, Breach::Lost, 500),
        (Fault::KeepsMemory, Breach::Repeated, 500),
        (Fault::KeepsProducer, Breach::Repeated, 500),
    ] {
        let (breach, _) = first_breach(Some(fault), Some(kind), within);
        println!("{fault:?}: {breach:?}");
        assert!(
            breach.is_some(),
            "{fault:?} is not caught within {within} cases"
        );
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    let mut traces = Vec::new();
    for seed in 0..50 {
        let (one, again) = (run(seed, None, true), run(seed, None, true));
        assert!(one.trace.len() > 50, "seed {seed}");
        assert!(one.trace == again.trace, "seed {seed}");
        traces.push(one.trace);
    }
    traces.sort_unstable();
    traces.dedup();
    assert_eq!(traces.len(), 50);
}
