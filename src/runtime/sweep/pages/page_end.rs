//! What a page says besides its incidents: its time, where the list continues, and whether the server filters.

use super::PageReader;
use crate::core::health::failure::{Failure, Health, Reaction, Suspect};
use crate::core::incident::page::Envelope;
use crate::core::sweep::cursor::{ServerTime, WindowLength};
use crate::core::sweep::pager::{MOST_UNSORTED, NextStep, PageAsk, unsorted_history};
use crate::core::time::ticks::Ticks;
use crate::ports::PageBody;
use crate::runtime::sweep::Halt;
use crate::runtime::sweep::memory::Memory;

/// What a completed page says besides its incidents.
pub(super) struct PageEnd {
    pub(super) next_link: Option<String>,
    /// Why the link is not followed.
    pub(super) refused: Option<Failure>,
    pub(super) date: Option<Ticks>,
    /// Why something is missing in the page.
    pub(super) partial: Option<String>,
}

/// The times of the answers.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::runtime::sweep) struct AnswerDates {
    pub(in crate::runtime::sweep) last: Option<Ticks>,
    /// The last time that our own clock or another answer confirms.
    pub(in crate::runtime::sweep) confirmed: Option<Ticks>,
    /// Whether it is too early to decide if the `Date`s advance, because no answer came long enough before.
    pub(in crate::runtime::sweep) too_early: bool,
}

impl PageEnd {
    pub(super) fn of(envelope: Envelope, body: &dyn PageBody) -> Self {
        let refused = match &envelope.next_link {
            _ if envelope.more_unreachable => Some(unreadable_link()),
            link => link.as_deref().and_then(|link| body.refuses(link)),
        };
        Self {
            // Any link, even an unreadable one, shows that this page is not the last one.
            next_link: (envelope.next_link)
                .or_else(|| envelope.more_unreachable.then(|| "unreadable".to_owned())),
            refused,
            date: body.date(),
            partial: body.partial(),
        }
    }
}

pub(super) fn unreadable_link() -> Failure {
    Failure::new(
        Health::Misconfigured,
        Reaction::Slow,
        "the API's nextLink is no text",
        "check api.base_url, and what stands between here and Microsoft",
    )
    .suspecting(Suspect::Elsewhere)
}

impl PageReader<'_, '_> {
    /// Notes the `Date` of an answer.
    pub(super) fn note_time(&mut self, date: Option<Ticks>) {
        let Some(date) = date else {
            return;
        };
        let (at, tenant) = (self.requests.uptime(), self.requests.tenant());
        let now = self.requests.batch.scope.sweeper.clock.now();
        let (time, memory) = (ServerTime { date, at }, &mut *self.requests.memory);
        let before = memory.server_time;
        let apart = before.filter(|before| time.is_apart(*before));
        let dates = &mut self.findings.dates;
        dates.last = Some(date);
        dates.too_early = apart.is_none();
        if time.is_confirmed(now, before) {
            dates.confirmed = Some(date);
        }
        if before.is_none() || apart.is_some() {
            memory.server_time = Some(time);
        }
        let far_dates = &mut memory.notices.far_dates;
        if !time.is_far(now) {
            far_dates.not_met();
        } else if apart.is_some_and(|before| before.was_far(now, at)) && far_dates.met() {
            tracing::warn!(tenant = %tenant.id, name = %tenant.name, %date, %now,
                remedy = "set this machine's clock (NTP) if `now` is wrong; else find what stands between here and Microsoft and changes or repeats answers",
                "the API's Date and this machine's clock differ by more than an hour; the cursor does not pass the earlier of the two");
        }
    }

    /// Continues the list along the page's nextLink, or by `$skip` if the link was `refused`.
    pub(super) fn choose_way(&mut self, refused: Option<Failure>) {
        if !matches!(self.pager.ask(), PageAsk::Link(_)) {
            return;
        }
        let tenant = self.requests.tenant();
        let refused_links = &mut self.requests.memory.notices.refused_links;
        let Some(why) = refused else {
            refused_links.not_met();
            return;
        };
        self.pager.link_refused();
        if refused_links.met() {
            let remedy = &why.remedy;
            tracing::warn!(tenant = %tenant.id, name = %tenant.name, error = %why, remedy,
                "a nextLink is not followed; the rest of the list is read by $skip");
        }
    }

    /// Notes whether the server filters, after a page has ended.
    ///
    /// # Errors
    /// The list is neither filtered nor sorted, and too long to be read at each sweep.
    pub(super) fn note_filter(&mut self, step: NextStep) -> Result<(), Halt> {
        let pager = &*self.pager;
        if !pager.unfiltered() {
            return Ok(());
        }
        let (uptime, tenant) = (self.requests.uptime(), self.requests.tenant());
        let Memory { list, notices, .. } = &mut *self.requests.memory;
        // Without a filter the server shows everything from the newest on, so fewer windows cost less.
        list.window = WindowLength::longest();
        list.history = pager.history(list.history, step == NextStep::Done, uptime);
        if notices.unfiltered.met() {
            tracing::warn!(tenant = %tenant.id, name = %tenant.name,
                remedy = "check api.base_url, and what stands between here and Microsoft: Microsoft's APIs filter by the last update",
                "the API ignores $filter and shows incidents from outside of what was asked for; what is older than the tenant's first range is left out");
        }
        if pager.unsorted() && pager.pages() >= MOST_UNSORTED {
            return Err(unsorted_history().into());
        }
        Ok(())
    }
}
