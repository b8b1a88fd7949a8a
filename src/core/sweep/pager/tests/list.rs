//! The list that these tests read: in any order, changing between two requests.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::core::time::ticks::Ticks;

/// A list on a server. Untouched incidents keep their order.
#[derive(Debug, Clone)]
pub(super) struct List {
    order: Order,
    pub(super) incidents: BTreeMap<u64, i64>,
    pub(super) now: i64,
    next_id: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    NewestFirst,
    OldestFirst,
    Shuffled,
}

/// A change of the list between two requests.
#[derive(Debug, Clone)]
pub(super) enum Move {
    Update(Vec<u16>),
    Create(u8),
    Delete(u16),
}

impl List {
    /// `ticks` are few and small, so that many incidents share one.
    pub(super) fn new(order: Order, ticks: &[i64]) -> Self {
        let incidents = (1..).zip(ticks.iter().copied()).collect();
        Self {
            order,
            incidents,
            now: 1000,
            next_id: 10_000,
        }
    }

    pub(super) fn apply(&mut self, change: &Move) {
        self.now += 1;
        let now = self.now;
        let pick = |list: &Self, n: u16| {
            list.incidents
                .keys()
                .nth(usize::from(n) % list.incidents.len().max(1))
                .copied()
        };
        match change {
            Move::Update(which) => {
                for n in which {
                    if let Some(id) = pick(self, *n) {
                        self.incidents.insert(id, now);
                    }
                }
            }
            Move::Create(count) => {
                for _ in 0..*count {
                    self.next_id += 1;
                    self.incidents.insert(self.next_id, now);
                }
            }
            Move::Delete(n) => {
                if let Some(id) = pick(self, *n) {
                    self.incidents.remove(&id);
                }
            }
        }
    }

    pub(super) fn page(&self, from: Ticks, skip: usize, count: usize) -> Vec<(u64, i64)> {
        let mut rows: Vec<_> = self
            .incidents
            .iter()
            .map(|(id, tick)| (*id, *tick))
            .collect();
        rows.retain(|(_, tick)| *tick >= from.0);
        rows.sort_by_key(|(id, tick)| match self.order {
            Order::NewestFirst => (-tick, *id),
            Order::OldestFirst => (*tick, *id),
            Order::Shuffled => (
                (id.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (*tick as u64) << 7).cast_signed(),
                *id,
            ),
        });
        rows.into_iter().skip(skip).take(count).collect()
    }
}

pub(super) fn orders() -> impl Strategy<Value = Order> {
    prop_oneof![
        Just(Order::NewestFirst),
        Just(Order::OldestFirst),
        Just(Order::Shuffled)
    ]
}

pub(super) fn moves(deletions: bool) -> impl Strategy<Value = Vec<Move>> {
    let update = prop::collection::vec(any::<u16>(), 1..5).prop_map(Move::Update);
    let create = (1_u8..4).prop_map(Move::Create);
    let delete = if deletions {
        any::<u16>().prop_map(Move::Delete).boxed()
    } else {
        Just(Move::Create(1)).boxed()
    };
    prop::collection::vec(prop_oneof![3 => update, 2 => create, 1 => delete], 0..40)
}

/// A few distinct ticks: groups of up to 60 incidents share one.
pub(super) fn ticks() -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec((0_i64..12, 1_usize..60), 0..12).prop_map(|groups| {
        groups
            .into_iter()
            .flat_map(|(tick, n)| std::iter::repeat_n(tick, n))
            .collect()
    })
}
