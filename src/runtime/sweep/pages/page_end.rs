//! What a page says beside its incidents: which time it is, where the list goes on, whose alerts are elsewhere, and whether
//! the server filters.

use bytes::Bytes;

use super::PageReader;
use crate::core::health::failure::{Failure, Health, Reaction, Suspect};
use crate::core::incident::further_alerts::{Continuation, continuation};
use crate::core::incident::page::Envelope;
use crate::core::sweep::cursor::{ServerTime, WindowLength};
use crate::core::sweep::pager::{MOST_UNSORTED, NextStep, PageAsk, Pager, unsorted_history};
use crate::core::time::ticks::Ticks;
use crate::ports::PageBody;
use crate::runtime::limits::{Stretch, do_work};
use crate::runtime::sweep::Halt;
use crate::runtime::sweep::batch::BatchBuilder;

/// What a page that came to its end says beside its incidents.
pub(super) struct PageEnd {
    pub(super) next_link: Option<String>,
    /// Why that is not followed.
    pub(super) refused: Option<Failure>,
    pub(super) date: Option<Ticks>,
    /// Why something is missing in it.
    pub(super) partial: Option<String>,
}

/// The time that answers bear.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::runtime) struct AnswerDates {
    pub(in crate::runtime) last: Option<Ticks>,
    /// The last that our own clock, or another answer, shows too.
    pub(in crate::runtime) confirmed: Option<Ticks>,
    /// It is too early to tell whether the `Date`s go on: no answer came long enough before.
    pub(in crate::runtime) too_early: bool,
}

/// An incident whose alerts go on elsewhere.
pub(super) struct ContinuedIncident {
    pub(super) raw: Bytes,
    /// Why the link to them is not followed.
    pub(super) refused: Option<Failure>,
}

impl PageEnd {
    pub(super) fn ended(envelope: Envelope, body: &dyn PageBody) -> Self {
        let refused = match &envelope.next_link {
            _ if envelope.more_unreachable => Some(unreadable_link()),
            link => link.as_deref().and_then(|link| body.refuses(link)),
        };
        Self {
            // Whatever is there says that this page is not the last one.
            next_link: (envelope.next_link)
                .or_else(|| envelope.more_unreachable.then(|| "unreadable".to_owned())),
            refused,
            date: body.date(),
            partial: body.partial(),
        }
    }
}

fn unreadable_link() -> Failure {
    Failure::new(
        Health::Misconfigured,
        Reaction::Slow,
        "the API's nextLink is no text",
        "check api.base_url, and what stands between here and Microsoft",
    )
    .suspecting(Suspect::Elsewhere)
}

/// Pieces come in up to this size; what is larger than one is no slice of one.
const SLICE: usize = 1 << 20;

impl PageReader<'_> {
    pub(in crate::runtime) fn times(&self) -> AnswerDates {
        self.times
    }

    /// Notes the `Date` of an answer.
    pub(super) fn note_time(&mut self, date: Option<Ticks>) {
        let Some(date) = date else {
            return;
        };
        let at = self.sweeper.uptime();
        let (told, now) = (ServerTime { date, at }, self.sweeper.clock.now());
        let mut memory = self.tenant.memory();
        let before = memory.told;
        let apart = before.filter(|before| told.is_apart(*before));
        self.times.last = Some(date);
        self.times.too_early = apart.is_none();
        if told.is_confirmed(now, before) {
            self.times.confirmed = Some(date);
        }
        if before.is_none() || apart.is_some() {
            memory.told = Some(told);
        }
        if !told.is_far(now) {
            memory.far_dates.not_met();
        } else if apart.is_some_and(|before| before.was_far(now, at)) && memory.far_dates.met() {
            tracing::warn!(tenant = %self.tenant.id, name = %self.tenant.name, %date, %now,
                remedy = "set this machine's clock (NTP) if `now` is wrong; else find what stands between here and Microsoft and changes or repeats answers",
                "the API's Date and this machine's clock differ by more than an hour; the cursor does not pass the earlier of the two");
        }
    }

    /// The walk goes on: along the page's nextLink, or without it if that was `refused`.
    pub(super) fn choose_way(&self, walk: &mut Pager, refused: Option<Failure>) {
        if !matches!(walk.ask(), PageAsk::Link(_)) {
            return;
        }
        let mut memory = self.tenant.memory();
        let Some(why) = refused else {
            memory.refused_links.not_met();
            return;
        };
        walk.link_refused();
        if memory.refused_links.met() {
            let remedy = &why.remedy;
            tracing::warn!(tenant = %self.tenant.id, name = %self.tenant.name, error = %why, remedy,
                "a nextLink is not followed; the rest of the list is read by $skip");
        }
    }

    /// A page has come to its end: whether the server filters as it is asked to.
    ///
    /// # Errors
    /// The list is neither filtered nor sorted, and is too long to be read at each sweep.
    pub(super) fn note_filter(&self, walk: &Pager, step: NextStep) -> Result<(), Halt> {
        if !walk.unfiltered() {
            return Ok(());
        }
        let first = {
            let mut memory = self.tenant.memory();
            // The server shows all from the newest on, whatever it is asked for: the fewer windows, the better.
            memory.window = WindowLength::longest();
            let uptime = self.sweeper.uptime();
            memory.history = walk.history(memory.history, step == NextStep::Done, uptime);
            memory.unfiltered.met()
        };
        if first {
            tracing::warn!(tenant = %self.tenant.id, name = %self.tenant.name,
                remedy = "check api.base_url, and what stands between here and Microsoft: Microsoft's APIs filter by the last update",
                "the API ignores $filter and shows incidents from outside of what was asked for; what is older than the tenant's first range is left out");
        }
        if walk.unsorted() && walk.pages() >= MOST_UNSORTED {
            return Err(unsorted_history().into());
        }
        Ok(())
    }

    /// Sets those of `elements` apart whose alerts go on elsewhere.
    pub(super) async fn set_apart(
        &self,
        elements: Vec<Bytes>,
        body: &mut dyn PageBody,
        walk: &mut Pager,
        intake: &mut BatchBuilder<'_>,
    ) -> (Vec<Bytes>, Vec<ContinuedIncident>) {
        let (mut here, mut elsewhere) = (Vec::with_capacity(elements.len()), Vec::new());
        let mut stretch = Stretch::default();
        for raw in elements {
            stretch.worked(raw.len()).await;
            let Some(link) = do_work(raw.len(), || continuation(&raw)).await else {
                here.push(raw);
                continue;
            };
            if let Some(listed) = intake.peek(&raw).await {
                walk.foresee(listed.updated);
            }
            intake.keep_aside(raw.len());
            let refused = match link {
                Continuation::Link(link) => body.refuses(&link),
                Continuation::Unusable => Some(unreadable_link()),
            };
            // Copied: a slice would keep all of the piece in memory that it came in.
            let raw = match raw.len() < SLICE {
                true => Bytes::copy_from_slice(&raw),
                false => raw,
            };
            elsewhere.push(ContinuedIncident { raw, refused });
        }
        (here, elsewhere)
    }
}
