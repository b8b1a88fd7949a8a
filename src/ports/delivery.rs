//! Where incidents go: records, Kafka, and what is remembered of them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::core::health::failure::{Failure, Health};
use crate::core::health::status::PartStatus;
use crate::core::ids::{IncidentId, TenantId};
use crate::core::incident::dead_letters::Letter;
use crate::core::incident::version::{Change, ContentHash, Reading, Seen};
use crate::core::sweep::cursor::TenantState;
use crate::core::time::ticks::Ticks;

/// A record ready for Kafka.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    pub topic: Arc<str>,
    pub key: String,
    pub headers: Vec<(&'static str, String)>,
    pub value: Vec<u8>,
}

impl Record {
    /// Bytes of its key, headers and value: what counts against a topic's limit.
    pub fn size(&self) -> usize {
        let header = |(name, value): &(&str, String)| name.len() + value.len();
        let headers: usize = self.headers.iter().map(header).sum();
        self.key.len() + headers + self.value.len()
    }
}

/// Turns one tenant's incidents into records. The tenant's topic, name and format are built in.
pub trait Encoder: Send + Sync {
    fn incident(&self, change: Change, reading: &Reading, raw: &[u8]) -> Record;

    /// A dead letter: bytes that could not be read as an incident, and why. `None` when no topic is set for them.
    fn dead_letter(&self, why: &str, raw: &[u8]) -> Option<Record>;

    /// A change of the tenant's health. `None` when no topic is set for them.
    fn health(&self, at: Ticks, state: Health, what: &str, remedy: &str) -> Option<Record>;
}

/// The parts of one record, made one at a time: a part may hold much beside its alerts, so that all of them together can
/// be many times the record.
pub type RecordParts<'a> = Box<dyn ExactSizeIterator<Item = Record> + Send + 'a>;

/// Splits an incident's record that is too large for its topic.
pub trait Splitter: Send + Sync {
    /// Two parts or more, none larger ([`Record::size`]) than `limit`. `None` when that can't be.
    ///
    /// Equal records and limits have equal parts. A part's `ce_id` is that of no other part and no whole record.
    fn split<'a>(&self, record: &'a Record, limit: usize) -> Option<RecordParts<'a>>;

    /// A dead letter that is too large, cut to `limit` and marked as cut. `None`: not even what is around it fits.
    fn cut(&self, letter: &Record, limit: usize) -> Option<Record>;
}

/// A record that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
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
    pub tenant: TenantId,
    /// The versions now published.
    pub seen: Vec<(IncidentId, Seen)>,
    /// What is to be remembered of contents that can't be read.
    pub letters: Vec<(ContentHash, Letter)>,
    /// The tenant's new state, when it changed.
    pub state: Option<TenantState>,
    /// Versions with a last update before this are dropped: they can't be shown again.
    pub forget_before: Option<Ticks>,
    /// Letters that were met before this are dropped.
    pub forget_letters_before: Option<Ticks>,
}

impl LedgerEntry {
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
            && self.letters.is_empty()
            && self.state.is_none()
            && self.forget_before.is_none()
            && self.forget_letters_before.is_none()
    }
}

/// What was published, durably. A read waits for the disk, and never blocks the thread that polls it.
pub trait Ledger: Send + Sync {
    /// `None`: the tenant was never read.
    fn state(&self, tenant: TenantId) -> BoxFuture<'_, Result<Option<TenantState>, Failure>>;

    /// For each id the version last published.
    fn known<'a>(
        &'a self,
        tenant: TenantId,
        ids: &'a [IncidentId],
    ) -> BoxFuture<'a, Result<Vec<Option<Seen>>, Failure>>;

    /// What is remembered of contents that could not be read.
    fn letters(
        &self,
        tenant: TenantId,
    ) -> BoxFuture<'_, Result<Vec<(ContentHash, Letter)>, Failure>>;

    /// Writes durably: after `Ok` it survives a power cut.
    fn write(&self, entry: LedgerEntry) -> BoxFuture<'_, Result<(), Failure>>;
}

/// A record, and what the ledger shall know once it is acknowledged.
#[derive(Debug)]
pub struct Outgoing {
    pub record: Option<Record>,
    pub mark: Mark,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Seen(IncidentId, Seen, Change),
    /// Published before, as another API showed it or a former release recorded it: from now on held against this reading.
    Adopted(IncidentId, Seen),
    /// Can't be read. With its letter for a record, this is recorded when that is acknowledged.
    Dead(ContentHash, Letter),
}

/// What became of a commit.
#[derive(Debug)]
pub struct Committed {
    /// Incident versions that were acknowledged and recorded, whatever `result` says of the others.
    pub published: u64,
    pub result: Result<(), Failure>,
}

/// Publish and record, as one step: the seam between the local ledger and one that lives in Kafka's transactions.
pub trait Outlet: Send + Sync {
    fn state(&self, tenant: TenantId) -> BoxFuture<'_, Result<Option<TenantState>, Failure>>;

    fn known<'a>(
        &'a self,
        tenant: TenantId,
        ids: &'a [IncidentId],
    ) -> BoxFuture<'a, Result<Vec<Option<Seen>>, Failure>>;

    fn letters(
        &self,
        tenant: TenantId,
    ) -> BoxFuture<'_, Result<Vec<(ContentHash, Letter)>, Failure>>;

    /// Publishes `outgoing` and records what was acknowledged; `state` is recorded only when all of it was.
    ///
    /// A caller must not drop this future while the daemon is to live on: records acknowledged but not yet recorded
    /// would be published again.
    fn commit(
        &self,
        tenant: TenantId,
        outgoing: Vec<Outgoing>,
        state: Option<TenantState>,
    ) -> BoxFuture<'_, Committed>;

    /// Drops the tenant's versions with a last update before `versions`, and what was remembered of unreadable contents
    /// before `letters`.
    fn forget(
        &self,
        tenant: TenantId,
        versions: Option<Ticks>,
        letters: Ticks,
    ) -> BoxFuture<'_, Result<(), Failure>>;

    /// How long the oldest publication under way has waited for its acknowledgement; `None`: there is none.
    fn waits_for(&self) -> Option<Duration>;
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
