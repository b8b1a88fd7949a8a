//! Random worlds with random faults, compared with what the server showed.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::core::sources::SourceKind;
use crate::core::sweep::backlog::Backlog;
use crate::runtime::fakes::broken_page;

#[derive(Debug, Clone)]
struct Story {
    api: SourceKind,
    order: Order,
    page_size: u32,
    /// The server's own page size, with nextLinks.
    cap: Option<usize>,
    /// Whether its nextLinks lead to another host.
    elsewhere: bool,
    /// Whether it ignores `$filter`.
    unfiltered: bool,
    /// Seconds by which the `Date` of its answers is off.
    dates_off: Vec<i64>,
    per_minute: u32,
    /// Groups of incidents with the same tick: how many seconds ago, and how many (up to 60).
    groups: Vec<(i64, usize)>,
    /// How many seconds ago reading starts.
    start: i64,
    /// Seconds by which the first range begins before that.
    before: i64,
    /// The changes before each page: incident, seconds ago, content.
    changes: Vec<Vec<(u64, i64, u32)>>,
    /// The fault of each page.
    faults: Vec<Fault>,
    /// Often neighbours: what breaks one incident breaks others of the same campaign.
    poison: Vec<u64>,
    heavy: Vec<u64>,
    most: Option<usize>,
    /// Whether Kafka refuses some records. Then nothing changes, because only the last version of a held-back incident
    /// is ever published.
    refused: bool,
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        6 => Just(Fault::Fine),
        2 => Just(Fault::Refuse(broken_page())),
        1 => (1_usize..4000).prop_map(Fault::Cut),
        1 => Just(Fault::Partial),
    ]
}

/// Mostly right: no two `Date`s in a row are wrong, so that a wrong one is never confirmed.
fn dates_off() -> impl Strategy<Value = Vec<i64>> {
    let lies = prop_oneof![
        Just(-1_699_999_990_i64),
        Just(-150),
        Just(150),
        Just(2_000_000_000),
        -100_000_i64..100_000,
    ];
    prop::collection::vec(lies, 0..12)
        .prop_map(|lies| lies.into_iter().flat_map(|lie| [lie, 0]).collect())
}

fn story() -> impl Strategy<Value = Story> {
    let order = prop_oneof![
        Just(Order::NewestFirst),
        Just(Order::OldestFirst),
        Just(Order::Shuffled)
    ];
    let api = prop_oneof![Just(SourceKind::Defender), Just(SourceKind::Graph)];
    let change = (1_u64..200, 0_i64..30, 1_u32..4);
    let changes = prop::collection::vec(prop::collection::vec(change, 0..4), 0..30);
    let server = (
        api,
        order,
        1_u32..=100,
        prop::option::of(1_usize..100),
        (any::<bool>(), prop::bool::weighted(0.08), dates_off()),
        30_u32..300,
    );
    let world = (
        prop::collection::vec((0_i64..3000, 1_usize..60), 0..8),
        (0_i64..3600, 0_i64..1800),
        changes,
    );
    let trouble = (
        prop::collection::vec(fault(), 0..30),
        prop::collection::vec((1_u64..100, 1_u64..6), 0..3),
        prop::collection::vec(1_u64..100, 0..3),
        prop::option::of(1_usize..60),
        prop::bool::weighted(0.3),
    );
    (server, world, trouble).prop_map(|(server, world, trouble)| {
        let (api, order, page_size, cap, (elsewhere, unfiltered, dates_off), per_minute) = server;
        let (groups, (start, before), changes) = world;
        let (faults, poison, heavy, most, refused) = trouble;
        let poison = poison.into_iter().flat_map(|(id, n)| id..id + n).collect();
        // Each unreadable incident is a part of the backlog, and an unfiltered list is read completely for each part.
        // That is tens of thousands of pages, which take minutes and show nothing new.
        let (poison, heavy, most) = match unfiltered {
            true => (Vec::new(), Vec::new(), None),
            false => (poison, heavy, most),
        };
        Story {
            api,
            order,
            page_size: if unfiltered {
                page_size.max(10)
            } else {
                page_size
            },
            cap,
            elsewhere,
            unfiltered,
            dates_off,
            per_minute,
            groups,
            start,
            before,
            changes: if refused { Vec::new() } else { changes },
            faults,
            poison,
            heavy,
            most,
            refused,
        }
    })
}

impl Story {
    fn server(&self, world: &World) -> Arc<Server> {
        let server = Server::of(self.api, self.order, self.cap);
        let groups = self.groups.iter();
        let incidents = groups.flat_map(|(ago, n)| std::iter::repeat_n(*ago, *n));
        for (id, ago) in (1..).zip(incidents) {
            server.set(id, at(ago), 1);
        }
        let (clock, mut changes) = (
            world.sweeper.clock.clone(),
            self.changes.clone().into_iter(),
        );
        *server.before_page.lock() = Box::new(move |server| {
            let now = clock.now();
            *server.now.lock() = now;
            let mut incidents = server.incidents.lock();
            for (id, ago, content) in changes.next().unwrap_or_default() {
                // Updates never go back in time, but a late-indexed incident may be old.
                let (old, before) = incidents.get(&id).copied().unwrap_or((i64::MIN, 0));
                let changed = now.minus(Duration::from_secs(ago.cast_unsigned()));
                let at = changed.0.max(old);
                // If a content comes back at the same tick, it is rightly published again; here it would count as a
                // repetition.
                let content = if at == old {
                    content.max(before)
                } else {
                    content
                };
                incidents.insert(id, (at, content));
            }
        });
        *server.faults.pages.lock() = self.faults.clone();
        server.unreadable.poison.lock().extend(&self.poison);
        server.unreadable.heavy.lock().extend(&self.heavy);
        *server.faults.most.lock() = self.most;
        *server.faults.dates_off.lock() = self.dates_off.clone();
        server
            .faults
            .elsewhere
            .store(self.elsewhere, Ordering::SeqCst);
        server
            .faults
            .unfiltered
            .store(self.unfiltered, Ordering::SeqCst);
        server
    }

    /// Starts `tenant` where the test does instead of at the lookback.
    fn begin(&self, world: &World, tenant: TenantId) {
        let state = TenantState {
            start: at(self.start + self.before),
            cursor: at(self.start),
            reconciled: START,
            backlog: Backlog::default(),
            paused: None,
        };
        let mut states = world.ledger.states.lock();
        states.insert(tenant, state);
    }

    async fn play(self) {
        let world = World::new(ROOM);
        let server = self.server(&world);
        let tenant = world.tenant_of_budget(&server, self.page_size, self.per_minute);
        self.begin(&world, tenant.id);
        *world.topic.refused.lock() = self.refused.then_some("\"id\":4");
        let mut before = at(self.start);
        for _ in 0..10 {
            turn(&world, &tenant).await;
            let states = world.ledger.states.lock();
            let state = states.get(&tenant.id).expect("a state");
            let start = at(self.start + self.before);
            assert_eq!(state.start, start, "a single Date moved the start");
            assert!(state.cursor >= before, "the cursor went back");
            assert!(
                state.cursor <= world.sweeper.clock.now(),
                "the cursor is ahead of the time"
            );
            before = state.cursor;
        }
        *world.topic.refused.lock() = None;
        server.faults.pages.lock().clear();
        server.unreadable.poison.lock().clear();
        server.unreadable.heavy.lock().clear();
        *server.faults.most.lock() = None;
        *server.before_page.lock() = Box::new(|_| {});
        turn(&world, &tenant).await;
        turn(&world, &tenant).await;
        sleep(tenant.rules.reach.reconcile_every).await;
        *server.now.lock() = world.sweeper.clock.now();
        turn(&world, &tenant).await;
        self.compare(&world, &server);
        let after = turn(&world, &tenant).await;
        assert_eq!(after, 0, "published again what was published");
    }

    fn compare(&self, world: &World, server: &Server) {
        let shown = server.traffic.shown.lock().clone();
        let start = at(self.start + self.before);
        // Of the incidents that were not requested, only odd ones are published.
        let asked_for = |at: i64| at >= start.0;
        let shown: HashSet<_> = shown
            .into_iter()
            .filter(|(_, at, _)| asked_for(*at))
            .collect();
        let old = |record: &str| {
            let record: serde_json::Value = serde_json::from_str(record).expect("JSON");
            let at: Ticks = record["at"]
                .as_str()
                .expect("a time")
                .parse()
                .expect("a time");
            !asked_for(at.0)
        };
        let published: HashMap<_, _> = published(world)
            .into_iter()
            .filter(|(record, _)| record.contains("content") && !old(record))
            .collect();
        for (record, times) in &published {
            assert_eq!(*times, 1, "published more than once: {record}");
        }
        assert_eq!(
            published.len(),
            shown.len(),
            "published versions are not the shown ones"
        );
        let from = at(self.start).minus(Duration::from_secs(900)).max(start);
        let current = server.incidents.lock().clone();
        for (id, (at, content)) in current.into_iter().filter(|(_, (at, _))| *at >= from.0) {
            assert!(shown.contains(&(id, at, content)), "{id} was never read");
        }
    }
}

/// A sweep, and the backlog after it. Returns how many versions they published.
async fn turn(world: &World, tenant: &Tenant) -> u64 {
    let outcome = sweep(world, tenant).await;
    let filled = fill(world, tenant, Duration::from_secs(1_000_000)).await;
    sleep(Duration::from_secs(30)).await;
    outcome.published + filled.published
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn after_the_faults_end_published_is_shown_and_none_twice_within_two_sweeps_and_a_reconcile(story in story()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("runtime");
        runtime.block_on(story.play());
    }
}
