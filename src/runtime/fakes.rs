//! The ports in memory, for the runtime's tests: a tenant's list of incidents, a topic, a ledger, and their failures.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::future::{pending, ready};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

mod further;
pub mod items;
mod scripted;
mod server;
mod topic;

pub use topic::{Topic, cut, words};

pub use scripted::Scripted;
pub use server::{Fault, Order, Server, broken_page};

use super::limits::{ByteBudget, Permit};
use super::tenant::{Rules, Tenant};
use super::tokens::{TokenContext, TokenKeeper};
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::core::ids::{IncidentId, TenantId};
use crate::core::incident::dead_letters::Letter;
use crate::core::incident::outline::PackedOutline;
use crate::core::incident::version::{ContentHash, Deduplicate, Seen};
use crate::core::sweep::cursor::{Reach, TenantState};
use crate::core::time::ticks::{PER_SECOND, Ticks};
use crate::ports::*;
use crate::runtime::local_outlet::LocalOutlet;
use crate::runtime::sweep::memory::Memory;
use crate::runtime::sweep::{SweepOutcome, Sweeper};

pub const START: Ticks = Ticks(17_000_000_000_000_000);

/// Grants tokens and counts the requests.
#[derive(Default)]
pub struct Entra {
    pub requests: AtomicU32,
    /// Whether the secret is wrong. `stamp` increases with each new secret in its file.
    pub wrong: AtomicBool,
    /// Whether it accepts requests without answering them.
    pub silent: AtomicBool,
    pub stamp: AtomicU32,
    /// The disk with the secret's file does not answer until the sender is dropped.
    pub silent_disk: Mutex<Option<mpsc::Receiver<()>>>,
}

impl TokenSource for Entra {
    fn authority(&self) -> &str {
        "login"
    }

    fn request(&self) -> BoxFuture<'_, Result<Grant, Failure>> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let token = AccessToken::new("t".to_owned().into());
        let wrong = self.wrong.load(Ordering::SeqCst);
        let silent = self.silent.load(Ordering::SeqCst);
        async move {
            if silent {
                tokio::time::sleep(Duration::from_secs(30)).await;
                return Err(broken_page().caused_by("network login silent"));
            }
            if wrong {
                let failure = Failure::new(
                    Health::Credential,
                    Reaction::Slow,
                    "wrong secret",
                    "mend it",
                );
                return Err(failure.caused_by("entra 7000215"));
            }
            Ok(Grant {
                token,
                lifetime: Duration::from_secs(3600),
                roles: None,
            })
        }
        .boxed()
    }

    fn credential_stamp(&self) -> u64 {
        if let Some(silence) = &*self.silent_disk.lock() {
            let _ = silence.recv();
        }
        u64::from(self.stamp.load(Ordering::SeqCst))
    }
}

/// An encoder from a function. It splits an incident between its words. Words that begin with `+` are alerts with records of
/// their own.
pub struct FakeEncoder<F> {
    pub encode: F,
    pub takes_dead_letters: bool,
}

impl<F: Fn(&Item) -> Option<Record> + Send + Sync> Encoder for FakeEncoder<F> {
    fn encode(&self, item: &Item) -> Option<Record> {
        (self.encode)(item)
    }

    fn encode_within<'a>(&'a self, item: &'a Item, limit: usize) -> Option<Records<'a>> {
        let whole = self.encode(item)?;
        match item {
            Item::DeadLetter { .. } => cut(whole, limit),
            _ => words(&whole, limit),
        }
    }

    fn alerts<'a>(&'a self, item: &'a Item) -> Option<AlertRecords<'a>> {
        let Item::Version { raw, .. } = item else {
            return None;
        };
        let words = std::str::from_utf8(raw).ok()?.split(' ');
        let alerts = words.filter(|word| word.starts_with('+'));
        Some(Box::new(alerts.map(|alert| Record {
            topic: "alerts".into(),
            key: alert.to_owned(),
            headers: Vec::new(),
            value: alert.as_bytes().to_vec(),
            raw: 0..0,
        })))
    }

    fn takes_dead_letters(&self) -> bool {
        self.takes_dead_letters
    }

    fn envelope(&self, _: usize) -> usize {
        100
    }

    fn health(&self, _: Ticks, _: Health, _: &str, _: &str) -> Option<Record> {
        None
    }
}

/// Its records have the key, the change and the raw bytes.
fn plain_encoder(tenant: TenantId) -> Arc<dyn Encoder> {
    let encode = move |item: &Item| {
        let (topic, key, headers) = match item {
            Item::Version {
                reading, change, ..
            } => {
                let change = ("change", change.as_str().to_owned());
                let key = format!("{tenant}/{}", reading.id);
                ("incidents", key, vec![change])
            }
            Item::DeadLetter { .. } => ("dead", tenant.to_string(), Vec::new()),
            Item::Adopted { .. } | Item::Unreadable { .. } => return None,
        };
        let value = item.raw().to_vec();
        Some(Record {
            topic: topic.into(),
            key,
            headers,
            raw: 0..value.len(),
            value,
        })
    };
    Arc::new(FakeEncoder {
        encode,
        takes_dead_letters: true,
    })
}

#[derive(Default)]
pub struct MemoryLedger {
    pub states: Mutex<HashMap<TenantId, TenantState>>,
    pub seen: Mutex<HashMap<(TenantId, IncidentId), Seen>>,
    pub outlines: Mutex<HashMap<(TenantId, IncidentId), PackedOutline>>,
    /// How many outlines were asked for.
    pub outlines_read: AtomicU32,
    pub letters: Mutex<HashMap<(TenantId, ContentHash), Letter>>,
    pub full: AtomicBool,
    /// Whether the disk does not answer, so that no read ends.
    pub hangs: AtomicBool,
}

impl MemoryLedger {
    fn answer<T: Send + 'static>(&self, read: T) -> BoxFuture<'_, Result<T, Failure>> {
        if self.hangs.load(Ordering::SeqCst) {
            pending().boxed()
        } else {
            ready(Ok(read)).boxed()
        }
    }
}

impl Ledger for MemoryLedger {
    fn state(&self, tenant: TenantId) -> BoxFuture<'_, Result<Option<TenantState>, Failure>> {
        let state = self.states.lock().get(&tenant).cloned();
        self.answer(state)
    }

    fn known<'a>(
        &'a self,
        tenant: TenantId,
        ids: &'a [IncidentId],
    ) -> BoxFuture<'a, Result<Vec<Option<Seen>>, Failure>> {
        let seen = self.seen.lock();
        let known = ids.iter().map(|id| seen.get(&(tenant, *id)).copied());
        self.answer(known.collect())
    }

    fn outlines<'a>(
        &'a self,
        tenant: TenantId,
        ids: &'a [IncidentId],
    ) -> BoxFuture<'a, Result<Vec<Option<PackedOutline>>, Failure>> {
        let asked = ids.len().try_into().unwrap_or(u32::MAX);
        self.outlines_read.fetch_add(asked, Ordering::SeqCst);
        let outlines = self.outlines.lock();
        let known = ids.iter().map(|id| outlines.get(&(tenant, *id)).cloned());
        self.answer(known.collect())
    }

    fn letters(
        &self,
        tenant: TenantId,
    ) -> BoxFuture<'_, Result<Vec<(ContentHash, Letter)>, Failure>> {
        let letters = self.letters.lock();
        let own = letters.iter().filter(|((of, _), _)| *of == tenant);
        self.answer(
            own.map(|((_, content), letter)| (*content, *letter))
                .collect(),
        )
    }

    fn write(&self, entry: LedgerEntry) -> BoxFuture<'_, Result<(), Failure>> {
        async move {
            if self.full.load(Ordering::SeqCst) {
                return Err(Failure::new(
                    Health::Misconfigured,
                    Reaction::Backoff,
                    "disk full",
                    "free some",
                ));
            }
            let mut outlines = self.outlines.lock();
            for (id, _, outline) in entry.versions() {
                let key = (entry.tenant, id);
                match outline {
                    Some(outline) => outlines.insert(key, outline.clone()),
                    None => outlines.remove(&key),
                };
            }
            let mut seen = self.seen.lock();
            seen.extend(
                entry
                    .seen
                    .into_iter()
                    .map(|(id, version)| ((entry.tenant, id), version)),
            );
            if let Some(before) = entry.forget_before {
                seen.retain(|(tenant, _), seen| *tenant != entry.tenant || seen.updated >= before);
            }
            let mut letters = self.letters.lock();
            let met = entry.letters.into_iter();
            letters.extend(met.map(|(content, letter)| ((entry.tenant, content), letter)));
            if let Some(before) = entry.forget_letters_before {
                letters.retain(|(of, _), letter| *of != entry.tenant || letter.met >= before);
            }
            if let Some(state) = entry.state {
                self.states.lock().insert(entry.tenant, state);
            }
            Ok(())
        }
        .boxed()
    }
}

/// Counts events for tests.
#[derive(Default)]
pub struct Counts {
    pub missed: Mutex<u64>,
    pub published: Mutex<u64>,
    pub stale: Mutex<u64>,
    pub split: Mutex<u64>,
    pub dead: Mutex<u64>,
    pub throttled: Mutex<u64>,
}

impl Observer for Counts {
    fn see(&self, event: Event<'_>) {
        match event {
            Event::MissedFirings { count } => *self.missed.lock() += count,
            Event::Published { .. } => *self.published.lock() += 1,
            Event::DeadLetter => *self.dead.lock() += 1,
            Event::Split => *self.split.lock() += 1,
            Event::Throttled { .. } => *self.throttled.lock() += 1,
            Event::Stale { count } => *self.stale.lock() += count,
            _ => {}
        }
    }
}

/// Wall-clock time that runs with tokio's time and can be set.
pub struct TestClock {
    origin: Instant,
    /// Seconds by which the clock was set in total.
    set: AtomicI64,
}

impl TestClock {
    /// Sets the clock ahead by `seconds`, or back if that is negative.
    pub fn set(&self, seconds: i64) {
        self.set.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Default for TestClock {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
            set: AtomicI64::new(0),
        }
    }
}

impl Clock for TestClock {
    fn now(&self) -> Ticks {
        let set = self.set.load(Ordering::SeqCst) * PER_SECOND;
        Ticks(START.0 + set).plus(self.origin.elapsed())
    }
}

/// All fakes that a daemon needs.
pub struct World {
    pub topic: Arc<Topic>,
    pub ledger: Arc<MemoryLedger>,
    pub counts: Arc<Counts>,
    pub clock: Arc<TestClock>,
    pub sweeper: Sweeper,
    memories: Mutex<HashMap<TenantId, Memory>>,
    context: TokenContext,
}

impl World {
    pub fn new(max_in_flight: usize) -> Self {
        let (topic, ledger, counts) = (
            Arc::<Topic>::default(),
            Arc::<MemoryLedger>::default(),
            Arc::<Counts>::default(),
        );
        let clock = Arc::<TestClock>::default();
        let context = TokenContext {
            authorities: Arc::default(),
            observer: counts.clone(),
            clock: clock.clone(),
        };
        let sweeper = Sweeper {
            outlet: Arc::new(LocalOutlet::new(
                topic.clone(),
                ledger.clone(),
                counts.clone(),
            )),
            clock: clock.clone(),
            observer: counts.clone(),
            bytes: ByteBudget::new(max_in_flight),
            started: Instant::now(),
            stop: CancellationToken::new(),
        };
        Self {
            topic,
            ledger,
            counts,
            clock,
            sweeper,
            memories: Mutex::default(),
            context,
        }
    }

    pub fn tenant(&self, n: u8, server: &Arc<Server>, page_size: u32) -> Arc<Tenant> {
        let entra = Arc::new(Entra::default());
        self.tenant_with(n, server, page_size, &entra)
    }

    /// A tenant with a small budget.
    pub fn tenant_of_budget(
        &self,
        server: &Arc<Server>,
        page_size: u32,
        requests_per_minute: u32,
    ) -> Arc<Tenant> {
        self.tenant_ruled(1, server, |rules| {
            rules.page_size = page_size;
            rules.reach.requests_per_minute = requests_per_minute;
        })
    }

    /// A tenant with changed rules.
    pub fn tenant_ruled(
        &self,
        n: u8,
        server: &Arc<Server>,
        change: impl FnOnce(&mut Rules),
    ) -> Arc<Tenant> {
        self.tenant_made(n, server, |parts| change(&mut parts.rules))
    }

    /// A tenant with any change.
    pub fn tenant_made(
        &self,
        n: u8,
        server: &Arc<Server>,
        change: impl FnOnce(&mut Tenant),
    ) -> Arc<Tenant> {
        let mut parts = self.parts(n, server, 100, &Arc::new(Entra::default()));
        change(&mut parts);
        self.register(parts)
    }

    /// The `n`th of many tenants.
    pub fn tenant_of_many(&self, n: u16, server: &Arc<Server>, page_size: u32) -> Arc<Tenant> {
        let mut id = [0xaa; 16];
        id[14..].copy_from_slice(&n.to_be_bytes());
        let id = TenantId::from_bytes(id);
        let entra = Arc::new(Entra::default());
        let parts = self.parts(0, server, page_size, &entra);
        self.register(Tenant {
            id,
            tokens: Arc::new(TokenKeeper::new(id, entra, self.context.clone())),
            encoder: plain_encoder(id),
            ..parts
        })
    }

    /// Adds an empty memory for a new tenant.
    fn register(&self, tenant: Tenant) -> Arc<Tenant> {
        let memory = Memory::new(&tenant.rules, Duration::ZERO);
        self.memories.lock().insert(tenant.id, memory);
        Arc::new(tenant)
    }

    /// Reads or changes the memory of `tenant` between two sweeps.
    pub fn memory<T>(&self, tenant: &Tenant, look: impl FnOnce(&mut Memory) -> T) -> T {
        look(
            self.memories
                .lock()
                .get_mut(&tenant.id)
                .expect("it is not being swept"),
        )
    }

    pub async fn sweep(&self, tenant: &Tenant, permit: &mut Permit) -> SweepOutcome {
        let memory = self.memories.lock().remove(&tenant.id).expect("a memory");
        let outcome = self.sweeper.sweep(tenant, memory, permit).await;
        self.remember(tenant, outcome)
    }

    pub async fn fill(
        &self,
        tenant: &Tenant,
        permit: &mut Permit,
        give_way: CancellationToken,
    ) -> SweepOutcome {
        let memory = self.memories.lock().remove(&tenant.id).expect("a memory");
        let outcome = self.sweeper.fill(tenant, memory, permit, give_way);
        self.remember(tenant, outcome.await)
    }

    fn remember(&self, tenant: &Tenant, mut outcome: SweepOutcome) -> SweepOutcome {
        let memory = outcome.memory.take().expect("it is given back");
        self.memories.lock().insert(tenant.id, memory);
        outcome
    }

    /// Starts a new process: only the ledger and the topic remain.
    pub fn restart(&mut self) {
        self.sweeper.stop.cancel();
        self.sweeper.stop = CancellationToken::new();
        self.sweeper.started = Instant::now();
    }

    pub fn tenant_with(
        &self,
        n: u8,
        server: &Arc<Server>,
        page_size: u32,
        entra: &Arc<Entra>,
    ) -> Arc<Tenant> {
        self.register(self.parts(n, server, page_size, entra))
    }

    fn parts(&self, n: u8, server: &Arc<Server>, page_size: u32, entra: &Arc<Entra>) -> Tenant {
        let id = TenantId::from_bytes([n; 16]);
        Tenant {
            id,
            name: format!("tenant-{n}").into(),
            schedule: "every 30s".parse().expect("schedule"),
            rules: Rules {
                lookback: Duration::from_secs(3600),
                reach: Reach {
                    overlap: Duration::from_secs(900),
                    reconcile_every: Duration::from_secs(6 * 3600),
                    reconcile_window: Duration::from_secs(7 * 86_400),
                    requests_per_minute: 100_000,
                },
                deduplicate: Deduplicate::Version,
                page_size,
            },
            source: server.clone(),
            tokens: Arc::new(TokenKeeper::new(id, entra.clone(), self.context.clone())),
            encoder: plain_encoder(id),
        }
    }
}
