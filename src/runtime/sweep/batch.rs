//! What becomes of the incidents of a page: held against the ledger, encoded if they are news, and committed in batches.
//!
//! Invariants:
//! - Bytes are charged before they are worked on, and stay charged until Kafka has acknowledged them; what turns out to
//!   be known already is released at once. When the budget has no room, what is at hand is committed first.
//! - A batch holds at most one version of an incident, so that "acknowledged or not" has one answer for each; and at most
//!   one dead letter of one content.
//! - An element that can't be read costs nobody else anything: it becomes a dead letter ([`crate::core::incident::dead_letters`]).

use std::collections::{HashMap, HashSet};
use std::future::pending;
use std::mem;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::core::codec::raw_hash;
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::core::ids::IncidentId;
use crate::core::incident::dead_letters::SweepLetters;
use crate::core::incident::reading::read;
use crate::core::incident::version::{Change, Decision, Reading, Seen, decide};
use crate::core::sweep::cursor::TenantState;
use crate::core::sweep::pager::Pager;
use crate::core::time::ticks::Ticks;
use crate::ports::{Event, Mark, Outgoing, Record};
use crate::runtime::limits::{Charge, Permit, Stretch, do_work};
use crate::runtime::sweep::{Halt, Subject, Sweeper};

mod account;
mod letters;
mod outside;
mod single;

use account::Account;

/// A batch is committed when it has this many bytes or records: large enough that acknowledgement and ledger commit cost
/// little per record, small enough that 64 sweeps that all wait for Kafka hold little memory.
const BATCH_BYTES: usize = 256 << 10;
const BATCH_RECORDS: usize = 1_000;
/// Incidents may keep their bytes for so long while their alerts are fetched, whoever waits for bytes.
const ASIDE: Duration = Duration::from_secs(5);
/// What a record costs in memory beside its key, its headers and its value; and each header, likewise.
const RECORD_OVERHEAD: usize = 512;
const HEADER_OVERHEAD: usize = 64;

/// Which news count as found late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    /// What is older than this cursor, which had passed it.
    Before(Ticks),
    /// All: everything here was read before.
    Everything,
    Nothing,
}

pub(super) struct BatchBuilder<'a> {
    sweeper: &'a Sweeper,
    tenant: &'a Subject<'a>,
    halt: CancellationToken,
    late: Late,
    /// Where the tenant's first range begins.
    start: Ticks,
    /// Incidents of the page at hand from before that.
    outside: Vec<(Reading, Bytes)>,
    stretch: Stretch,
    charge: Charge,
    /// Bytes charged for incidents that wait for the rest of their alerts, and since when there are any.
    aside: usize,
    aside_since: Instant,
    batch: Vec<Outgoing>,
    batch_readings: HashMap<IncidentId, Reading>,
    batch_bytes: usize,
    /// When the oldest page in the batch began to arrive.
    arrived: Option<Instant>,
    account: Account,
    /// Of this sweep; `None`: no element was met that can't be read.
    letters: Option<SweepLetters>,
    late_found: u64,
    latest: Duration,
    /// Why a record was held back; the first of them.
    held_back: Option<Failure>,
}

impl<'a> BatchBuilder<'a> {
    pub(super) fn new(
        sweeper: &'a Sweeper,
        tenant: &'a Subject<'a>,
        late: Late,
        start: Ticks,
        halt: CancellationToken,
    ) -> Self {
        Self {
            sweeper,
            tenant,
            halt,
            late,
            start,
            outside: Vec::new(),
            stretch: Stretch::default(),
            charge: sweeper.bytes.charge(),
            aside: 0,
            aside_since: Instant::now(),
            batch: Vec::new(),
            batch_readings: HashMap::new(),
            batch_bytes: 0,
            arrived: None,
            account: Account::default(),
            letters: None,
            late_found: 0,
            latest: Duration::ZERO,
            held_back: None,
        }
    }

    pub(super) fn begin_page(&mut self) {
        // Of a page that broke off nothing is kept.
        self.aside = 0;
        self.outside.clear();
        self.arrived.get_or_insert_with(Instant::now);
    }

    /// Whether bytes of a page at hand are charged.
    pub(super) fn holds_bytes(&self) -> bool {
        self.charge.held() > 0
    }

    /// How long the oldest of the batch has been waiting.
    pub(super) fn waits(&self) -> Duration {
        let arrived = self.arrived.filter(|_| !self.batch.is_empty());
        arrived.map_or(Duration::ZERO, |arrived| arrived.elapsed())
    }

    /// Why a record of this sweep was held back, if one was: the cursor must not pass it.
    pub(super) fn held_back(&self) -> Option<&Failure> {
        self.held_back.as_ref()
    }

    /// Whether all that arrived is published, or on its way: what follows from it may be recorded with the last batch.
    pub(super) fn complete(&self) -> bool {
        self.held_back.is_none() && self.account.balances()
    }

    /// Ends the intake: incident versions published, and those of them that were found late.
    ///
    /// # Errors
    /// The account does not balance, which is a defect of ours: nothing may then be taken for read.
    pub(super) fn finish(&self) -> (u64, u64, Result<(), Failure>) {
        let tenant = self.tenant;
        let latest_seconds = self.latest.as_secs();
        if self.latest > tenant.rules.reach.overlap {
            tracing::info!(tenant = %tenant.id, name = %tenant.name, incidents = self.late_found, latest_seconds,
                "found later than poll.overlap reaches back: indexed after their time had been read, or changed in silence");
        } else if self.late_found > 0 {
            tracing::debug!(tenant = %tenant.id, name = %tenant.name, incidents = self.late_found, latest_seconds,
                "found late by the overlap");
        }
        self.tell_of_letters();
        tracing::debug!(tenant = %tenant.id, account = ?self.account, "sweep accounted for");
        let account = if self.account.balances() {
            Ok(())
        } else {
            Err(Failure::new(
                Health::Unreachable,
                Reaction::Backoff,
                format!(
                    "a defect in incidentd: what arrived does not add up: {:?}",
                    self.account
                ),
                "Please report this with the log lines before it. The cursor stays, and all of it is read again.",
            ))
        };
        (self.account.published, self.late_found, account)
    }

    /// Charges `bytes` that have arrived. Without room for them, commits what is at hand and waits.
    pub(super) async fn make_room(
        &mut self,
        bytes: usize,
        permit: &mut Permit,
    ) -> Result<(), Halt> {
        if self.charge.try_add(bytes) {
            return Ok(());
        }
        if !self.batch.is_empty() {
            self.commit(permit, None).await?;
        }
        let room = permit.wait(self.charge.add(bytes));
        let waited = self.halt.run_until_cancelled(room).await;
        waited.ok_or(Halt::Stopped)
    }

    /// Keeps `bytes` that are charged charged, until they are released.
    pub(super) fn keep_aside(&mut self, bytes: usize) {
        if self.aside == 0 {
            self.aside_since = Instant::now();
        }
        self.aside += bytes;
    }

    pub(super) fn release_aside(&mut self, bytes: usize) {
        self.aside = self.aside.saturating_sub(bytes);
    }

    /// Resolves when others need the bytes that are held here, and those for alerts to come were held for long enough.
    pub(super) async fn pressed(&self) {
        if self.holds_bytes() {
            if self.aside > 0 {
                sleep_until(self.aside_since + ASIDE).await;
            }
            self.sweeper.bytes.pressed().await;
        } else {
            pending::<()>().await;
        }
    }

    /// No page is under way: what one that broke off has left charged is not needed.
    pub(super) fn let_go(&mut self) {
        self.aside = 0;
        self.outside.clear();
        self.charge.settle(self.batch_bytes);
    }

    /// Takes the elements that a chunk completed. `held` bytes of an unfinished one stay charged.
    pub(super) async fn take(
        &mut self,
        elements: Vec<Bytes>,
        walk: &mut Pager,
        held: usize,
        permit: &mut Permit,
    ) -> Result<(), Halt> {
        let shape = self.tenant.source.shape();
        let mut readings = Vec::with_capacity(elements.len());
        for raw in elements {
            let bytes = raw.len();
            match do_work(bytes, || read(&raw, shape)).await {
                Ok(reading) => {
                    walk.note(reading.id, reading.updated);
                    readings.extend(self.inside(reading, raw, walk));
                }
                Err(why) => {
                    self.account.received += 1;
                    let content = do_work(bytes, || raw_hash(&raw)).await;
                    walk.note_malformed(content);
                    self.bury(content, &why, &raw).await?;
                }
            }
            self.stretch.worked(bytes).await;
        }
        self.account.received += readings.len() as u64;
        self.decide(readings, permit).await?;
        self.settle(held, permit).await
    }

    /// Commits a batch that is large enough, and brings the charge in line with what is held.
    async fn settle(&mut self, held: usize, permit: &mut Permit) -> Result<(), Halt> {
        if self.batch_bytes >= BATCH_BYTES || self.batch.len() >= BATCH_RECORDS {
            self.commit(permit, None).await?;
        }
        self.charge.settle(self.batch_bytes + self.aside + held);
        Ok(())
    }

    async fn decide(
        &mut self,
        mut readings: Vec<(Reading, Bytes)>,
        permit: &mut Permit,
    ) -> Result<(), Failure> {
        let arrived = readings.len();
        // Pages overlap, so the last of one comes again as the first of the next.
        readings.retain(|(reading, _)| self.batch_readings.get(&reading.id) != Some(reading));
        self.account.unchanged += (arrived - readings.len()) as u64;
        while !readings.is_empty() {
            let rest = readings.split_off(self.distinct(&readings));
            let ids: Vec<_> = readings.iter().map(|(reading, _)| reading.id).collect();
            let known = self.sweeper.outlet.known(self.tenant.id, &ids).await?;
            for ((reading, raw), seen) in readings.into_iter().zip(known) {
                let seen = seen.as_ref();
                match decide(&reading, seen, self.tenant.rules.deduplicate) {
                    Decision::Publish(change) => {
                        // That its alerts were missing was known.
                        if seen.is_none_or(|seen| seen.whole) {
                            self.note_late(&reading);
                        }
                        self.add(change, reading, seen, &raw).await;
                    }
                    Decision::Unchanged => self.account.unchanged += 1,
                    Decision::Adopt => {
                        self.account.unchanged += 1;
                        self.push(None, Mark::Adopted(reading.id, reading.seen(seen)));
                    }
                    Decision::Stale => {
                        self.account.stale += 1;
                        self.sweeper.observer.see(Event::Stale { count: 1 });
                    }
                }
            }
            readings = rest;
            if !readings.is_empty() {
                self.commit(permit, None).await?;
            }
        }
        Ok(())
    }

    /// How many readings come before the second version of an incident, which has to wait for the first one's commit.
    fn distinct(&self, readings: &[(Reading, Bytes)]) -> usize {
        let mut ids = HashSet::with_capacity(readings.len());
        readings
            .iter()
            .take_while(|(reading, _)| {
                !self.batch_readings.contains_key(&reading.id) && ids.insert(reading.id)
            })
            .count()
    }

    fn note_late(&mut self, reading: &Reading) {
        let late = match self.late {
            Late::Before(cursor) => reading.updated < cursor,
            Late::Everything => true,
            Late::Nothing => false,
        };
        if late {
            let by = self.sweeper.clock.now().since(reading.updated);
            self.late_found += 1;
            self.latest = self.latest.max(by);
            tracing::debug!(tenant = %self.tenant.id, incident = %reading.id, late_seconds = by.as_secs(), "found late");
        }
    }

    async fn add(&mut self, change: Change, reading: Reading, seen: Option<&Seen>, raw: &[u8]) {
        self.batch_readings.insert(reading.id, reading);
        let encoder = &self.tenant.encoder;
        let encode = || encoder.incident(change, &reading, raw);
        let record = do_work(raw.len(), encode).await;
        self.stretch.worked(raw.len()).await;
        self.push(
            Some(record),
            Mark::Seen(reading.id, reading.seen(seen), change),
        );
    }

    fn push(&mut self, record: Option<Record>, mark: Mark) {
        let size = |record: &Record| record.size() + record.headers.len() * HEADER_OVERHEAD;
        self.batch_bytes += record.as_ref().map_or(0, size) + RECORD_OVERHEAD;
        self.account.waiting += u64::from(matches!(mark, Mark::Seen(..)));
        self.batch.push(Outgoing { record, mark });
    }

    /// Publishes and records the batch, and with it `state`.
    pub(super) async fn commit(
        &mut self,
        permit: &mut Permit,
        state: Option<TenantState>,
    ) -> Result<(), Failure> {
        if self.batch.is_empty() && state.is_none() {
            return Ok(());
        }
        let batch = mem::take(&mut self.batch);
        let bytes = mem::take(&mut self.batch_bytes);
        self.batch_readings.clear();
        let any = !batch.is_empty();
        let committed = permit
            .wait(self.sweeper.outlet.commit(self.tenant.id, batch, state))
            .await;
        self.charge.release(bytes);
        let waiting = mem::take(&mut self.account.waiting);
        self.account.published += committed.published;
        if committed.result.is_err() {
            self.account.refused += waiting.saturating_sub(committed.published);
        }
        match committed.result {
            Err(refused) if refused.reaction == Reaction::HoldBack => {
                self.held_back.get_or_insert(refused);
            }
            result => result?,
        }
        if let Some(arrived) = self.arrived.take().filter(|_| any) {
            self.sweeper.observer.see(Event::Acknowledged {
                took: arrived.elapsed(),
            });
        }
        Ok(())
    }
}
