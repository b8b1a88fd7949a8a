//! Where incidents go: what the runtime hands over for publication, and what it gets back.
//!
//! A sweep works under a [`Lease`] on its tenant and hands over readings and raw bytes. The outlet encodes them
//! ([`Encoder`]), because it knows how large a record may be, publishes them, and writes the ledger: after Kafka's
//! acknowledgement ([`Publisher`], [`Ledger`]), or in the same transaction ([`TransactionalLedger`]).

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::core::health::failure::{Failure, Health};
use crate::core::health::status::PartStatus;
use crate::core::ids::{IncidentId, TenantId};
use crate::core::incident::dead_letters::Letter;
use crate::core::incident::outline::{Comparison, PackedOutline};
use crate::core::incident::version::{Change, ContentHash, Reading, Seen};
use crate::core::ownership::Ownership;
use crate::core::sweep::cursor::TenantState;
use crate::core::time::ticks::Ticks;

/// A record ready for Kafka.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The name of a topic that need not exist.
    pub topic: Arc<str>,
    /// Records with equal keys go to one partition, in order.
    pub key: String,
    /// Names and values, in the order in which they are sent.
    pub headers: Vec<(&'static str, String)>,
    /// The body, uncompressed.
    pub value: Vec<u8>,
    /// Where in the value the bytes are that Microsoft sent. Empty when they are not in it as they came.
    pub raw: Range<usize>,
}

impl Record {
    /// Bytes of its key, headers and value: what counts against a topic's limit.
    pub fn size(&self) -> usize {
        let header = |(name, value): &(&str, String)| name.len() + value.len();
        let headers: usize = self.headers.iter().map(header).sum();
        self.key.len() + headers + self.value.len()
    }
}

/// One thing that a batch publishes or records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A version of an incident: published, and recorded as `seen` when it is acknowledged.
    Version {
        /// What was read of the incident.
        reading: Reading,
        /// The change since the version that was published before.
        change: Change,
        /// What the ledger keeps.
        seen: Seen,
        /// What is new in it, and what the ledger keeps for the next comparison.
        compared: Comparison,
        /// Microsoft's bytes, with all alerts.
        raw: Bytes,
    },
    /// Recorded only. It was published before, as another API showed it or a former release recorded it; later readings
    /// are compared with this one.
    Adopted {
        /// The incident.
        id: IncidentId,
        /// What the ledger keeps.
        seen: Seen,
    },
    /// Recorded only: an element that can't be read.
    Unreadable {
        /// The hash of its bytes.
        content: ContentHash,
        /// What the ledger keeps.
        letter: Letter,
    },
    /// An element that can't be read, for the dead-letter topic. Recorded as `letter` when it is acknowledged.
    DeadLetter {
        /// The hash of its bytes.
        content: ContentHash,
        /// What the ledger keeps.
        letter: Letter,
        /// Why it can't be read, for people.
        why: String,
        /// The element as it came.
        raw: Bytes,
    },
}

impl Item {
    /// The bytes that Microsoft sent, of an item that is published.
    pub fn raw(&self) -> &[u8] {
        match self {
            Item::Version { raw, .. } | Item::DeadLetter { raw, .. } => raw,
            Item::Adopted { .. } | Item::Unreadable { .. } => &[],
        }
    }

    pub(crate) fn set_raw(&mut self, bytes: Bytes) {
        match self {
            Item::Version { raw, .. } | Item::DeadLetter { raw, .. } => *raw = bytes,
            Item::Adopted { .. } | Item::Unreadable { .. } => {}
        }
    }
}

/// What one commit publishes and records. It holds at most one version of an incident.
#[derive(Debug, Default)]
pub struct Batch {
    /// In the order in which they are published.
    pub items: Vec<Item>,
    /// The tenant's new state. Recorded last, and only when all items are.
    pub state: Option<TenantState>,
    /// Versions with a last update before this are forgotten: they can't be shown again.
    pub forget_before: Option<Ticks>,
    /// Unreadable elements that were met before this are forgotten.
    pub forget_letters_before: Option<Ticks>,
}

/// Records of one item, made one at a time: each may hold much beside its alerts, so that all of them together can be
/// many times the incident.
pub type Records<'a> = Box<dyn ExactSizeIterator<Item = Record> + Send + 'a>;

/// Records of the alerts of one item, made one at a time.
pub type AlertRecords<'a> = Box<dyn Iterator<Item = Record> + Send + 'a>;

/// Turns one tenant's items into records. The tenant's topic, name and format are built in.
pub trait Encoder: Send + Sync {
    /// `None`: the item is not published, or there is no topic for it.
    fn encode(&self, item: &Item) -> Option<Record>;

    /// The records of an item whose own record is too large. None of them is larger ([`Record::size`]) than `limit`: an
    /// incident is split between its alerts, a dead letter is cut and marked as cut. `None` when that can't be.
    ///
    /// Equal items and limits have equal records. A part's `ce_id` is that of no other part and no whole record.
    fn encode_within<'a>(&'a self, item: &'a Item, limit: usize) -> Option<Records<'a>>;

    /// Records of the alerts of a version that were not published before, each byte for byte as it stands in the incident.
    /// They are published and recorded with the version, or not at all. `None`: there is no topic for alerts, or the item
    /// is no version.
    fn alerts<'a>(&'a self, item: &'a Item) -> Option<AlertRecords<'a>>;

    /// Whether there is a topic for dead letters.
    fn takes_dead_letters(&self) -> bool;

    /// About what the record of `raw` bytes that Microsoft sent takes in memory beside them: key, headers, and what is around
    /// the incident. It is charged before there is a record.
    fn envelope(&self, raw: usize) -> usize;

    /// A change of the tenant's health. `None` when no topic is set for them.
    fn health(&self, at: Ticks, state: Health, what: &str, remedy: &str) -> Option<Record>;
}

/// A record that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why, and what the operator can do.
    pub failure: Failure,
    /// The record, when nothing but its size is wrong with it.
    pub oversize: Option<Box<Record>>,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            oversize: None,
        }
    }
}

/// Where records go.
pub trait Publisher: Send + Sync {
    /// Publishes and waits until every record is acknowledged or refused; one result for each record, in order. Waits
    /// for as long as Kafka is away: whether a record arrived is never guessed.
    ///
    /// Records with equal keys arrive in the order given.
    fn publish(&self, records: Vec<Record>) -> BoxFuture<'_, Vec<Result<(), Refused>>>;

    /// The largest record ([`Record::size`]) that `topic` accepts for certain. `None`: there is no limit.
    fn limit<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, Option<usize>>;
}

/// What one commit writes, all or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// The tenant that all rows belong to.
    pub tenant: TenantId,
    /// The versions now published.
    pub seen: Vec<(IncidentId, Seen)>,
    /// The outlines of these versions, in their order. A version without one replaces that of the version before by none.
    pub outlines: Vec<(IncidentId, PackedOutline)>,
    /// The elements that can't be read, by their content.
    pub letters: Vec<(ContentHash, Letter)>,
    /// The tenant's new state, when it changed.
    pub state: Option<TenantState>,
    /// Versions with a last update before this are dropped: they can't be shown again.
    pub forget_before: Option<Ticks>,
    /// Letters that were met before this are dropped.
    pub forget_letters_before: Option<Ticks>,
}

impl LedgerEntry {
    /// An entry that writes nothing yet.
    pub(crate) fn of(tenant: TenantId) -> Self {
        Self {
            tenant,
            seen: Vec::new(),
            outlines: Vec::new(),
            letters: Vec::new(),
            state: None,
            forget_before: None,
            forget_letters_before: None,
        }
    }

    /// The versions, each with its outline.
    pub(crate) fn versions(
        &self,
    ) -> impl Iterator<Item = (IncidentId, &Seen, Option<&PackedOutline>)> {
        let mut outlines = self.outlines.iter().peekable();
        self.seen.iter().map(move |(id, seen)| {
            let outline = outlines.next_if(|(of, _)| of == id);
            (*id, seen, outline.map(|(_, outline)| outline))
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.seen.is_empty()
            && self.letters.is_empty()
            && self.state.is_none()
            && self.forget_before.is_none()
            && self.forget_letters_before.is_none()
    }
}

/// What a [`Lease`] of the local outlet reads and writes, for all tenants. A read waits for the disk, and never blocks the
/// thread that polls it.
pub trait Ledger: Send + Sync {
    /// `None`: the tenant was never read.
    fn state(&self, tenant: TenantId) -> BoxFuture<'_, Result<Option<TenantState>, Failure>>;

    /// For each id the version last published.
    fn known<'a>(
        &'a self,
        tenant: TenantId,
        ids: &'a [IncidentId],
    ) -> BoxFuture<'a, Result<Vec<Option<Seen>>, Failure>>;

    /// For each id the outline of the version last published, if it is known.
    fn outlines<'a>(
        &'a self,
        tenant: TenantId,
        ids: &'a [IncidentId],
    ) -> BoxFuture<'a, Result<Vec<Option<PackedOutline>>, Failure>>;

    /// What is remembered of contents that could not be read.
    fn letters(
        &self,
        tenant: TenantId,
    ) -> BoxFuture<'_, Result<Vec<(ContentHash, Letter)>, Failure>>;

    /// Writes durably: after `Ok` it survives a power cut.
    fn write(&self, entry: LedgerEntry) -> BoxFuture<'_, Result<(), Failure>>;
}

/// What became of a commit.
#[derive(Debug)]
pub struct Committed {
    /// Incident versions that were acknowledged and recorded, whatever `result` says of the others.
    pub published: u64,
    /// `Err`: what was not published or recorded stays before the cursor, and the next sweep tries it again.
    pub result: Result<(), Failure>,
}

/// The right to read one tenant and to publish its incidents. A sweep holds one from its start to its end.
///
/// A lease that is lost makes each of these fail with [`Reaction::Fenced`](crate::core::health::failure::Reaction::Fenced):
/// nothing is wrong with the tenant, and another process has it now.
pub trait Lease: Send + Sync {
    /// `None`: the tenant was never read.
    fn state(&self) -> BoxFuture<'_, Result<Option<TenantState>, Failure>>;

    /// For each id the version last published.
    fn known<'a>(
        &'a self,
        ids: &'a [IncidentId],
    ) -> BoxFuture<'a, Result<Vec<Option<Seen>>, Failure>>;

    /// For each id the outline of the version last published, if it is known.
    fn outlines<'a>(
        &'a self,
        ids: &'a [IncidentId],
    ) -> BoxFuture<'a, Result<Vec<Option<PackedOutline>>, Failure>>;

    /// What is remembered of contents that could not be read.
    fn letters(&self) -> BoxFuture<'_, Result<Vec<(ContentHash, Letter)>, Failure>>;

    /// Publishes the batch and records it. When this returns, what counts as published is acknowledged and recorded.
    ///
    /// The batch goes by value, so that its bytes can be freed once they are in a record: memory has one copy of what is in
    /// flight. An outlet that has to try again keeps what it needs for that.
    ///
    /// A caller must not drop this future while the daemon is to live on: with a local ledger, records acknowledged but not
    /// yet recorded would be published again.
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Committed>;
}

/// Publishes and records as one step. The ledger may be a file beside Kafka, or live in Kafka's transactions.
pub trait Outlet: Send + Sync {
    /// # Errors
    /// This process does not have the tenant.
    fn lease(&self, tenant: TenantId, encoder: Arc<dyn Encoder>)
    -> Result<Box<dyn Lease>, Failure>;

    /// How long the oldest publication under way has waited for its acknowledgement; `None`: there is none.
    fn waits_for(&self) -> Option<Duration>;

    /// Which tenants this process has. It changes while several processes share them.
    fn ownership(&self) -> watch::Receiver<Ownership>;

    /// Reports that nothing runs any more for the tenants of a partition that is draining.
    fn at_rest(&self, partition: u16);
}

/// A ledger that is written in the same transaction as the records.
pub trait TransactionalLedger: Send + Sync {
    /// # Errors
    /// This process does not have the tenant: [`Reaction::Fenced`](crate::core::health::failure::Reaction::Fenced).
    fn open(&self, tenant: TenantId) -> Result<Box<dyn TenantLedger>, Failure>;

    /// Whether records for `topic` can be part of a transaction: one that Kafka refuses would abort all others.
    ///
    /// # Errors
    /// What is missing, and how to mend it.
    fn accepts<'a>(&'a self, topic: &'a Arc<str>) -> BoxFuture<'a, Result<(), Failure>>;

    /// The largest record ([`Record::size`]) that `topic` accepts for certain.
    fn limit<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, usize>;

    /// See [`Outlet::ownership`].
    fn ownership(&self) -> watch::Receiver<Ownership>;

    /// See [`Outlet::at_rest`].
    fn at_rest(&self, partition: u16);
}

/// One tenant's part of a [`TransactionalLedger`], for as long as this process has the tenant. After that everything fails
/// with [`Reaction::Fenced`](crate::core::health::failure::Reaction::Fenced).
pub trait TenantLedger: Send + Sync {
    /// `None`: the tenant was never read.
    fn state(&self) -> Result<Option<TenantState>, Failure>;

    /// For each id the version last published.
    fn known(&self, ids: &[IncidentId]) -> Result<Vec<Option<Seen>>, Failure>;

    /// For each id the outline of the version last published, if it is known.
    fn outlines(&self, ids: &[IncidentId]) -> Result<Vec<Option<PackedOutline>>, Failure>;

    /// What is remembered of contents that could not be read.
    fn letters(&self) -> Result<Vec<(ContentHash, Letter)>, Failure>;

    /// Writes records and entry in one transaction: all of it or nothing. After an error other than that of a refused
    /// record, only a later reading of the ledger shows which.
    fn commit(
        &self,
        records: Vec<Record>,
        entry: LedgerEntry,
    ) -> BoxFuture<'_, Result<(), Failure>>;
}

/// A part of the delivery that works, hangs or fails by itself: what records go to, a ledger.
pub trait Part: Send + Sync {
    /// As `/livez` and the log call it.
    fn name(&self) -> &'static str;

    /// Reads nothing from a disk or a network.
    fn status(&self) -> PartStatus;

    /// Why the daemon is not ready before this part is.
    ///
    /// # Errors
    /// What it waits for.
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    /// Resolves to true once the part has got on since the call, to false when it has ended; not while it hangs.
    fn alive(&self) -> BoxFuture<'_, bool>;

    /// Resolves when only another process can mend the part, and says why.
    fn fatal(&self) -> BoxFuture<'_, String>;
}
