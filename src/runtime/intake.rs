//! What becomes of the incidents of a page: held against the ledger, encoded if they are news, and committed in batches.
//!
//! Invariants:
//! - Bytes are charged before they are worked on, and stay charged until Kafka has acknowledged them; what turns out to
//!   be known already is released at once. When the budget has no room, what is at hand is committed first.
//! - A batch holds at most one version of an incident, so that "acknowledged or not" has one answer for each; and at most
//!   one dead letter of one content.
//! - An element that can't be read costs nobody else anything: it becomes a dead letter, once for each content.

use std::collections::{HashMap, HashSet};
use std::mem;

use bytes::Bytes;
use tokio::time::Instant;

use super::limits::{Charge, Slot};
use super::sweeper::{Halt, Sweeper};
use super::tenant::Tenant;
use crate::core::codec::raw_hash;
use crate::core::cursor::TenantState;
use crate::core::failure::{Failure, Reaction};
use crate::core::ids::IncidentId;
use crate::core::reading::{Malformed, read};
use crate::core::sweep::Sweep;
use crate::core::ticks::Ticks;
use crate::core::version::{Change, ContentHash, Reading, Verdict, judge};
use crate::ports::{Event, Mark, Outgoing};

/// A batch is committed when it has this many bytes or records: large enough that acknowledgement and ledger commit cost
/// little per record, small enough that 64 sweeps that all wait for Kafka hold little memory.
const BATCH_BYTES: usize = 256 << 10;
const BATCH_RECORDS: usize = 1_000;
/// What a record costs in memory beside its value.
const RECORD_OVERHEAD: usize = 512;

pub(super) struct Intake<'a> {
    sweeper: &'a Sweeper,
    pub(super) tenant: &'a Tenant,
    /// The cursor at the sweep's start: news from before it were found late.
    cursor: Ticks,
    charge: Charge,
    batch: Vec<Outgoing>,
    batch_readings: HashMap<IncidentId, Reading>,
    batch_dead: HashSet<ContentHash>,
    batch_bytes: usize,
    /// When the oldest page in the batch began to arrive.
    arrived: Option<Instant>,
    published: u64,
    late_found: u64,
    /// Why a record was held back; the first of them.
    held_back: Option<Failure>,
}

impl<'a> Intake<'a> {
    pub(super) fn new(sweeper: &'a Sweeper, tenant: &'a Tenant, cursor: Ticks) -> Self {
        Self {
            sweeper,
            tenant,
            cursor,
            charge: sweeper.bytes.charge(),
            batch: Vec::new(),
            batch_readings: HashMap::new(),
            batch_dead: HashSet::new(),
            batch_bytes: 0,
            arrived: None,
            published: 0,
            late_found: 0,
            held_back: None,
        }
    }

    pub(super) fn begin_page(&mut self) {
        self.arrived.get_or_insert_with(Instant::now);
    }

    /// Incident versions published, and those of them that were found late.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.published, self.late_found)
    }

    /// Why a record of this sweep was held back, if one was: the cursor must not pass it.
    pub(super) fn held_back(&self) -> Option<&Failure> {
        self.held_back.as_ref()
    }

    /// Charges `bytes` that have arrived. Without room for them, commits what is at hand and waits.
    pub(super) async fn make_room(&mut self, bytes: usize, slot: &mut Slot) -> Result<(), Halt> {
        if self.charge.try_add(bytes) {
            return Ok(());
        }
        if !self.batch.is_empty() {
            self.commit(slot, None).await?;
        }
        let room = slot.wait(self.charge.add(bytes));
        self.sweeper.unless_stopped(room).await
    }

    /// Takes the elements that a chunk completed. `held` bytes of an unfinished one stay charged.
    pub(super) async fn take(
        &mut self,
        elements: Vec<Bytes>,
        sweep: &mut Sweep,
        held: usize,
        slot: &mut Slot,
    ) -> Result<(), Halt> {
        let shape = self.tenant.source.shape();
        let mut readings = Vec::with_capacity(elements.len());
        for raw in elements {
            match read(&raw, shape) {
                Ok(reading) => {
                    sweep.note(reading.id, reading.updated);
                    readings.push((reading, raw));
                }
                Err(why) => {
                    let content = raw_hash(&raw);
                    sweep.note_malformed(content);
                    self.bury(content, &why, &raw)?;
                }
            }
        }
        self.judge(readings, slot).await?;
        if self.batch_bytes >= BATCH_BYTES || self.batch.len() >= BATCH_RECORDS {
            self.commit(slot, None).await?;
        }
        self.charge.settle(self.batch_bytes + held);
        Ok(())
    }

    async fn judge(
        &mut self,
        mut readings: Vec<(Reading, Bytes)>,
        slot: &mut Slot,
    ) -> Result<(), Failure> {
        // Pages overlap, so the last of one comes again as the first of the next.
        readings.retain(|(reading, _)| self.batch_readings.get(&reading.id) != Some(reading));
        while !readings.is_empty() {
            let rest = readings.split_off(self.distinct(&readings));
            let ids: Vec<_> = readings.iter().map(|(reading, _)| reading.id).collect();
            let known = self.sweeper.outlet.known(self.tenant.id, &ids)?;
            for ((reading, raw), seen) in readings.into_iter().zip(known) {
                match judge(&reading, seen.as_ref(), self.tenant.rules.deduplicate) {
                    Verdict::Publish(change) => self.add(change, reading, &raw),
                    Verdict::Unchanged => {}
                    Verdict::Stale => self.sweeper.observer.see(Event::Stale { count: 1 }),
                }
            }
            readings = rest;
            if !readings.is_empty() {
                self.commit(slot, None).await?;
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

    fn add(&mut self, change: Change, reading: Reading, raw: &[u8]) {
        if reading.updated < self.cursor {
            self.late_found += 1;
            let late = self.cursor.since(reading.updated);
            tracing::debug!(tenant = %self.tenant.id, incident = %reading.id, late_seconds = late.as_secs(), "found late");
        }
        self.batch_readings.insert(reading.id, reading);
        let record = self.tenant.encoder.incident(change, &reading, raw);
        self.batch_bytes += record.value.len() + RECORD_OVERHEAD;
        self.batch.push(Outgoing {
            record: Some(record),
            mark: Mark::Seen(reading.id, reading.seen(), change),
        });
    }

    fn bury(&mut self, content: ContentHash, why: &Malformed, raw: &[u8]) -> Result<(), Failure> {
        // The edge of a page is read twice, mostly into the same batch, of which the ledger does not know yet.
        if self.batch_dead.contains(&content)
            || self.sweeper.outlet.is_dead(self.tenant.id, content)?
        {
            return Ok(());
        }
        self.batch_dead.insert(content);
        tracing::warn!(tenant = %self.tenant.id, name = %self.tenant.name, reason = %why, bytes = raw.len(), content = %content,
            "an incident could not be read and is not published");
        let record = self.tenant.encoder.dead_letter(&why.to_string(), raw);
        self.batch_bytes +=
            record.as_ref().map_or(0, |record| record.value.len()) + RECORD_OVERHEAD;
        self.batch.push(Outgoing {
            record,
            mark: Mark::Dead(content),
        });
        Ok(())
    }

    /// Publishes and records the batch, and with it `state`.
    pub(super) async fn commit(
        &mut self,
        slot: &mut Slot,
        state: Option<TenantState>,
    ) -> Result<(), Failure> {
        if self.batch.is_empty() && state.is_none() {
            return Ok(());
        }
        let batch = mem::take(&mut self.batch);
        let bytes = mem::take(&mut self.batch_bytes);
        self.batch_readings.clear();
        self.batch_dead.clear();
        let any = !batch.is_empty();
        let committed = slot
            .wait(self.sweeper.outlet.commit(self.tenant.id, batch, state))
            .await;
        self.charge.release(bytes);
        self.published += committed.published;
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
