use proptest::prelude::*;

use super::OwnershipAction::{Confirm, End, Rejoin, Release, Start};
use super::OwnershipInput::{
    Assigned, AtRest, Failed, Fenced, Lost, Restored, Revoked, Stop, TakenOver,
};
use super::*;

fn tenant(text: &str) -> TenantId {
    text.parse().expect("a GUID")
}

/// A change of these numbers moves every tenant of every installation away from its rows: see [`partition_of`].
/// They were computed with xxHash's own implementation in C.
#[test]
fn the_partition_of_a_tenant_never_changes() {
    for (id, of_12, of_32, of_50, of_65535) in [
        ("00000000-0000-0000-0000-000000000000", 8, 8, 48, 35783),
        ("00000000-0000-0000-0000-000000000001", 7, 27, 47, 35962),
        ("11111111-1111-1111-1111-111111111111", 4, 8, 16, 27556),
        ("72f988bf-86f1-41af-91ab-2d7cd011db47", 3, 27, 45, 3420),
        ("ffffffff-ffff-ffff-ffff-ffffffffffff", 7, 19, 9, 19729),
    ] {
        let found = [12, 32, 50, u16::MAX].map(|count| partition_of(tenant(id), count));
        assert_eq!(found, [of_12, of_32, of_50, of_65535], "{id}");
    }
}

#[test]
fn tenants_are_spread_over_all_partitions() {
    let mut tenants = vec![0; 32];
    for n in 0..3_200_u128 {
        let id = TenantId::from_bytes((n * 0x9e37_79b9_7f4a_7c15).to_be_bytes());
        tenants[usize::from(partition_of(id, 32))] += 1;
    }
    assert!(tenants.iter().all(|n| (60..150).contains(n)), "{tenants:?}");
    assert_eq!(partition_of(TenantId::from_bytes([7; 16]), 0), 0, "total");
}

fn is_active(machine: &OwnershipMachine, partition: u16) -> bool {
    machine
        .stages()
        .contains(&(partition, PartitionStage::Active))
}

/// A machine with these partitions active, each with its number plus one as epoch.
fn active(partitions: std::ops::Range<u16>) -> OwnershipMachine {
    let mut machine = OwnershipMachine::default();
    machine.on(Assigned(partitions.clone().collect()));
    for partition in partitions {
        let epoch = machine.epoch(partition).expect("started");
        machine.on(Fenced { partition, epoch });
        machine.on(Restored { partition, epoch });
        assert!(is_active(&machine, partition));
    }
    machine
}

#[test]
fn a_partition_is_fenced_and_restored_before_it_is_active_and_rests_before_it_is_given_up() {
    let mut machine = OwnershipMachine::default();
    let (partition, epoch) = (3, 1);
    let start = Start { partition, epoch };
    assert_eq!(machine.on(Assigned(vec![3])), [start]);
    assert_eq!(machine.stages(), [(3, PartitionStage::Fencing)]);
    assert!(!machine.all_restored());
    assert_eq!(machine.on(Restored { partition, epoch }), []);
    assert_eq!(machine.stages(), [(3, PartitionStage::Fencing)], "not yet");
    assert_eq!(machine.on(Fenced { partition, epoch }), []);
    assert_eq!(machine.stages(), [(3, PartitionStage::Restoring)]);
    assert_eq!(machine.on(Restored { partition, epoch }), []);
    assert!(is_active(&machine, 3) && machine.all_restored());
    assert_eq!(machine.on(Assigned(vec![3, 3])), [], "it has it");
    assert_eq!(machine.on(Revoked(vec![3])), [Release { partition }]);
    assert_eq!(machine.on(Revoked(vec![3])), [], "it is on its way");
    assert_eq!(machine.stages(), [(3, PartitionStage::Draining)]);
    assert!(machine.all_restored());
    let done = [End { partition }, Confirm { partition }];
    assert_eq!(machine.on(AtRest { partition }), done);
    assert_eq!(machine.on(AtRest { partition }), []);
    assert_eq!(machine.stages(), []);
}

#[test]
fn what_is_not_active_is_given_up_at_once() {
    let mut machine = OwnershipMachine::default();
    machine.on(Assigned(vec![1, 2]));
    machine.on(Fenced {
        partition: 2,
        epoch: 2,
    });
    let all = machine.on(Revoked(vec![1, 2, 9]));
    let done = |partition| [End { partition }, Confirm { partition }];
    let expected = [&done(1)[..], &done(2), &[Confirm { partition: 9 }]].concat();
    assert_eq!(all, expected);
}

#[test]
fn what_the_group_has_given_away_ends_without_waiting() {
    let mut machine = active(0..3);
    machine.on(Revoked(vec![1]));
    let ended = machine.on(Lost(vec![0, 1, 9]));
    let expected = [
        End { partition: 0 },
        End { partition: 1 },
        Confirm { partition: 1 },
    ];
    assert_eq!(ended, expected, "the group still waits for 1");
    assert_eq!(machine.stages(), [(2, PartitionStage::Active)]);
}

#[test]
fn after_a_failure_it_starts_again_with_a_new_epoch_unless_it_is_to_be_given_up() {
    let mut machine = active(0..2);
    let (partition, epoch) = (0, 1);
    let again = Start {
        partition,
        epoch: 3,
    };
    assert_eq!(machine.on(Failed { partition, epoch }), [again]);
    assert_eq!(machine.on(Failed { partition, epoch }), [], "an old epoch");
    assert_eq!(machine.on(Fenced { partition, epoch }), []);
    assert_eq!(machine.on(TakenOver { partition, epoch }), []);
    assert_eq!(machine.stages()[0], (0, PartitionStage::Fencing));
    machine.on(Revoked(vec![1]));
    let failed = machine.on(Failed {
        partition: 1,
        epoch: 2,
    });
    assert_eq!(failed, [End { partition: 1 }, Confirm { partition: 1 }]);
}

#[test]
fn what_another_process_took_over_waits_for_a_new_assignment() {
    let mut machine = active(0..3);
    let taken = |partition: u16| TakenOver {
        partition,
        epoch: u64::from(partition) + 1,
    };
    assert_eq!(machine.on(taken(0)), [End { partition: 0 }, Rejoin]);
    assert_eq!(machine.on(taken(0)), [], "repeated");
    assert_eq!(
        machine.on(taken(1)),
        [End { partition: 1 }],
        "one is enough"
    );
    assert_eq!(machine.on(Assigned(vec![])), []);
    assert!(!machine.all_restored());
    assert_eq!(machine.on(AtRest { partition: 0 }), []);
    let failed = machine.on(Failed {
        partition: 0,
        epoch: 1,
    });
    assert_eq!(failed, [], "never under the same assignment");
    let revoked = machine.on(Revoked(vec![0, 1, 2]));
    let expected = [
        Confirm { partition: 0 },
        Confirm { partition: 1 },
        Release { partition: 2 },
    ];
    assert_eq!(revoked, expected);
    let start = Start {
        partition: 0,
        epoch: 4,
    };
    assert_eq!(machine.on(Assigned(vec![0])), [start]);
    let taken = machine.on(TakenOver {
        partition: 0,
        epoch: 4,
    });
    assert_eq!(taken, [End { partition: 0 }, Rejoin]);
    let start = Start {
        partition: 0,
        epoch: 5,
    };
    assert_eq!(machine.on(Assigned(vec![0])), [start]);
}

/// Otherwise nobody would have it: the group says that this process does.
#[test]
fn what_is_assigned_again_while_it_drains_starts_after_its_end() {
    let mut machine = active(0..1);
    machine.on(Revoked(vec![0]));
    assert_eq!(machine.on(Assigned(vec![0])), []);
    let (partition, epoch) = (0, 2);
    let expected = [
        End { partition },
        Confirm { partition },
        Start { partition, epoch },
    ];
    assert_eq!(machine.on(AtRest { partition }), expected);
}

#[test]
fn a_stop_lets_sweeps_come_to_rest_and_starts_nothing() {
    let mut machine = active(0..3);
    machine.on(Assigned(vec![3]));
    machine.on(Revoked(vec![2]));
    let expected = [
        Release { partition: 0 },
        Release { partition: 1 },
        End { partition: 3 },
    ];
    assert_eq!(machine.on(Stop), expected);
    assert_eq!(machine.on(Stop), []);
    assert_eq!(machine.on(Assigned(vec![0, 3, 4])), []);
    let partition = 0;
    assert_eq!(machine.on(AtRest { partition }), [End { partition }]);
    let partition = 1;
    assert_eq!(machine.on(Revoked(vec![1])), [], "it is at work");
    let done = [End { partition }, Confirm { partition }];
    assert_eq!(machine.on(AtRest { partition }), done);
    assert_eq!(
        machine.on(Failed {
            partition: 2,
            epoch: 3
        }),
        [End { partition: 2 }, Confirm { partition: 2 }]
    );
    assert_eq!(machine.stages(), []);
}

#[test]
fn tenants_of_active_partitions_are_swept_and_of_others_not() {
    let id = TenantId::from_bytes([7; 16]);
    let all = Ownership::default();
    assert!(all.may_sweep(id) && all.owns(id) && !all.waits(id));
    let count = 4;
    let with = |stage: Option<PartitionStage>| {
        let stages = stage.map(|stage| (partition_of(id, count), stage));
        let stages = stages.into_iter().collect();
        let ownership = Ownership::Partitions { count, stages };
        let may_sweep = ownership.may_sweep(id);
        (may_sweep, ownership.owns(id), ownership.waits(id))
    };
    assert_eq!(with(None), (false, false, false));
    assert_eq!(with(Some(PartitionStage::Fencing)), (false, true, true));
    assert_eq!(with(Some(PartitionStage::Restoring)), (false, true, true));
    assert_eq!(with(Some(PartitionStage::Active)), (true, true, false));
    assert_eq!(with(Some(PartitionStage::Draining)), (false, true, false));
    assert_eq!(with(Some(PartitionStage::Lost)), (false, false, false));
}

#[test]
fn a_stage_has_one_spelling() {
    for stage in [
        PartitionStage::Fencing,
        PartitionStage::Restoring,
        PartitionStage::Active,
        PartitionStage::Draining,
        PartitionStage::Lost,
    ] {
        let json = serde_json::to_string(&stage).expect("JSON");
        assert_eq!(json, format!("\"{stage}\""));
        assert_eq!(json.to_lowercase(), json);
    }
}

const PARTITIONS: u16 = 4;

/// An input, with the age of its epoch: 0 is the current one.
fn inputs() -> impl Strategy<Value = (OwnershipInput, u64)> {
    let some = || prop::collection::vec(0..PARTITIONS, 0..4);
    let one = || 0..PARTITIONS;
    let epoch = 0;
    let input = prop_oneof![
        4 => some().prop_map(Assigned),
        2 => some().prop_map(Revoked),
        1 => some().prop_map(Lost),
        6 => one().prop_map(move |partition| Fenced { partition, epoch }),
        6 => one().prop_map(move |partition| Restored { partition, epoch }),
        2 => one().prop_map(move |partition| Failed { partition, epoch }),
        2 => one().prop_map(move |partition| TakenOver { partition, epoch }),
        3 => one().prop_map(|partition| AtRest { partition }),
        1 => prop::bool::weighted(0.2)
            .prop_map(|stops| if stops { Stop } else { Assigned(vec![]) }),
    ];
    (input, prop_oneof![4 => Just(0_u64), 1 => 1..3_u64])
}

/// What is known about one partition from the inputs and actions alone.
#[derive(Debug, Default, Clone)]
struct Seen {
    assigned: bool,
    /// It was taken over since it was assigned.
    taken: bool,
    /// The epoch of the work under way.
    working: Option<u64>,
    fenced: Option<u64>,
    restored: Option<u64>,
    /// The group waits for a confirmation.
    unconfirmed: bool,
    /// How often the group asked for one.
    asked: u32,
    released: bool,
}

#[derive(Debug, Default)]
struct Watcher {
    partitions: Vec<Seen>,
    stopped: bool,
    last_epoch: u64,
    rejoin_due: bool,
}

impl Watcher {
    fn input(&mut self, input: &OwnershipInput) {
        let current = |seen: &Seen, epoch: u64| seen.working == Some(epoch);
        match input {
            Assigned(of) | Revoked(of) | Lost(of) => {
                self.rejoin_due |= !of.is_empty();
                for of in of {
                    let seen = &mut self.partitions[usize::from(*of)];
                    seen.assigned = matches!(input, Assigned(_)) && !self.stopped;
                    seen.taken = false;
                    if matches!(input, Revoked(_)) {
                        seen.unconfirmed = true;
                        seen.asked += 1;
                    }
                }
            }
            Fenced { partition, epoch } => {
                let seen = &mut self.partitions[usize::from(*partition)];
                if current(seen, *epoch) {
                    seen.fenced = Some(*epoch);
                }
            }
            Restored { partition, epoch } => {
                let seen = &mut self.partitions[usize::from(*partition)];
                if current(seen, *epoch) && seen.fenced == Some(*epoch) {
                    seen.restored = Some(*epoch);
                }
            }
            TakenOver { partition, epoch } => {
                let seen = &mut self.partitions[usize::from(*partition)];
                seen.taken |= current(seen, *epoch);
            }
            Stop => self.stopped = true,
            Failed { .. } | AtRest { .. } => {}
        }
    }

    fn action(&mut self, action: OwnershipAction) -> Result<(), TestCaseError> {
        match action {
            Start { partition, epoch } => {
                let seen = &mut self.partitions[usize::from(partition)];
                prop_assert!(seen.assigned && !seen.taken && !self.stopped, "{seen:?}");
                prop_assert!(epoch > self.last_epoch);
                self.last_epoch = epoch;
                seen.working = Some(epoch);
                seen.released = false;
            }
            End { partition } => {
                let seen = &mut self.partitions[usize::from(partition)];
                prop_assert!(seen.working.take().is_some(), "nothing to end");
            }
            Release { partition } => {
                let seen = &mut self.partitions[usize::from(partition)];
                prop_assert!(seen.working.is_some() && seen.restored == seen.working);
                prop_assert!(!seen.released, "released twice");
                prop_assert!(!seen.assigned || self.stopped);
                seen.released = true;
            }
            Confirm { partition } => {
                let seen = &mut self.partitions[usize::from(partition)];
                prop_assert!(seen.working.is_none(), "something is at work");
                prop_assert!(seen.asked > 0, "nobody asked");
                seen.asked -= 1;
                seen.unconfirmed = false;
            }
            Rejoin => {
                prop_assert!(self.rejoin_due, "once is enough");
                self.rejoin_due = false;
            }
        }
        Ok(())
    }

    /// Between two inputs.
    fn holds_for(
        &self,
        machine: &OwnershipMachine,
        input: &OwnershipInput,
    ) -> Result<(), TestCaseError> {
        let stages: BTreeMap<u16, PartitionStage> = machine.stages().into_iter().collect();
        for (seen, of) in self.partitions.iter().zip(0..) {
            let stage = stages.get(&of).copied();
            let works = stage.is_some_and(|stage| stage != PartitionStage::Lost);
            prop_assert_eq!(works, seen.working.is_some(), "{:?} {:?}", stage, seen);
            if let Some(working) = seen.working {
                prop_assert_eq!(machine.epoch(of), Some(working));
            }
            if is_active(machine, of) {
                prop_assert!(seen.assigned && !self.stopped);
                prop_assert_eq!(seen.fenced, seen.working);
                prop_assert_eq!(seen.restored, seen.working);
            }
            // An assigned partition is at work, will be, or waits for another assignment: it is never forgotten.
            if seen.assigned && !self.stopped {
                prop_assert!(stage.is_some());
                prop_assert_eq!(stage == Some(PartitionStage::Lost), seen.taken);
            } else {
                let fine = matches!(stage, None | Some(PartitionStage::Draining));
                prop_assert!(fine, "{:?}", stage);
            }
            prop_assert!(!seen.unconfirmed || stage == Some(PartitionStage::Draining));
            if matches!(input, AtRest { partition } if *partition == of) {
                prop_assert!(!seen.unconfirmed && stage != Some(PartitionStage::Draining));
            }
        }
        Ok(())
    }
}

/// The input with the epoch of the partition's work, or an older one.
fn at_epoch(input: OwnershipInput, machine: &OwnershipMachine, age: u64) -> OwnershipInput {
    let epoch = |of| machine.epoch(of).unwrap_or_default().saturating_sub(age);
    match input {
        Fenced { partition, .. } => Fenced {
            partition,
            epoch: epoch(partition),
        },
        Restored { partition, .. } => Restored {
            partition,
            epoch: epoch(partition),
        },
        Failed { partition, .. } => Failed {
            partition,
            epoch: epoch(partition),
        },
        TakenOver { partition, .. } => TakenOver {
            partition,
            epoch: epoch(partition),
        },
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn the_invariants_hold_after_any_sequence(inputs in prop::collection::vec(inputs(), 0..60)) {
        let mut machine = OwnershipMachine::default();
        let mut watcher = Watcher {
            partitions: vec![Seen::default(); usize::from(PARTITIONS)],
            rejoin_due: true,
            ..Watcher::default()
        };
        for (input, age) in inputs {
            let input = at_epoch(input, &machine, age);
            watcher.input(&input);
            for action in machine.on(input.clone()) {
                watcher.action(action)?;
            }
            watcher.holds_for(&machine, &input)?;
        }
    }

    #[test]
    fn a_tenant_has_one_partition(id in any::<[u8; 16]>(), count in any::<u16>()) {
        let partition = partition_of(TenantId::from_bytes(id), count);
        prop_assert!(partition < count.max(1));
    }
}
