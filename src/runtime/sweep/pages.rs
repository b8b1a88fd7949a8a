//! Reads the pages of a list with one request after the other; the pager decides which.
//!
//! The next sweep normally repeats a page that fails. Three failures are handled at once:
//! - A refused token is renewed once, and the same page is requested again ([`requests`]).
//! - A refused nextLink is not followed.
//! - A page that is too large, or fails again and again, is halved until a single incident is left ([`search`]). That
//!   incident is listed without its alerts, to learn its id, and then fetched alone. If that fails too, it is published
//!   without its alerts. If the API can't list without alerts, the place is passed. Either way it becomes part of the
//!   backlog, which tries again.
//!
//! Alerts that continue on their own pages are fetched one page after the other ([`alerts`]).

use crate::core::health::failure::Failure;
use crate::core::incident::further_alerts::{Continuation, continuation};
use crate::core::incident::page::{Splitter, partial};
use crate::core::sweep::pager::{NextStep, PageAsk, Pager};
use crate::ports::PageBody;
use crate::runtime::limits::{Stretch, do_work};
use crate::runtime::sweep::Halt;
use crate::runtime::sweep::element::Element;

mod alerts;
mod failures;
mod page_end;
mod pauses;
mod requests;
mod search;

use alerts::ContinuedIncident;
pub(super) use page_end::AnswerDates;
use page_end::{PageEnd, unreadable_link};
pub(super) use requests::SweepRequests;

/// How far a list was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadEnd {
    OfList,
    /// To the given limit of pages; it can go on.
    AtLimit,
}

/// What the pages of one sweep have shown besides their incidents.
#[derive(Default)]
pub(super) struct PageFindings {
    /// Whether failing pages are searched for the incident that makes them fail.
    searching: bool,
    /// Pages of alerts that were requested.
    alert_pages: u32,
    /// Why a page that came completely is still incomplete.
    pub(super) partial: Option<Failure>,
    pub(super) dates: AnswerDates,
}

/// Reads one list.
pub(super) struct PageReader<'r, 'a> {
    pub(super) pager: &'r mut Pager,
    pub(super) requests: &'r mut SweepRequests<'a>,
    pub(super) findings: &'r mut PageFindings,
    /// Incidents of the current page whose further alerts did not come.
    without_alerts: u32,
}

impl<'r, 'a> PageReader<'r, 'a> {
    pub(super) fn new(
        pager: &'r mut Pager,
        requests: &'r mut SweepRequests<'a>,
        findings: &'r mut PageFindings,
    ) -> Self {
        Self {
            pager,
            requests,
            findings,
            without_alerts: 0,
        }
    }

    /// Reads until the end of the list, or until the pager has read `limit` pages.
    pub(super) async fn read(&mut self, limit: u32) -> Result<ReadEnd, Halt> {
        let now = self.requests.batch.scope.sweeper.clock.now();
        self.pager.set_clock(now);
        loop {
            self.pager.begin_page();
            let ask = self.pager.ask();
            match self.page(&ask).await {
                Ok(page) => {
                    self.requests.end_page();
                    if let Some(why) = page.partial {
                        self.pager.distrust();
                        self.findings.partial.get_or_insert_with(|| partial(&why));
                    }
                    self.note_time(page.date);
                    let step = self.pager.end_page(page.next_link, page.date);
                    self.note_filter(step)?;
                    if step == NextStep::Done {
                        return Ok(ReadEnd::OfList);
                    }
                    self.choose_way(page.refused);
                    if self.pager.pages() >= limit {
                        return Ok(ReadEnd::AtLimit);
                    }
                }
                Err(Halt::Failed(failure)) => {
                    self.requests.end_page();
                    self.recover(failure).await?;
                }
                Err(Halt::Stopped) => return Err(self.broken_off()),
                Err(halt) => return Err(halt),
            }
        }
    }

    /// Reads a page: the pager notes what it shows, the batch takes what it holds.
    async fn page(&mut self, ask: &PageAsk) -> Result<PageEnd, Halt> {
        self.without_alerts = 0;
        self.requests.publish_before_a_wait().await?;
        let mut body = self.requests.open(ask).await?;
        self.requests.batch.begin_page();
        let (mut splitter, mut continued) = (Splitter::default(), Vec::new());
        let mut stretch = Stretch::default();
        while let Some(chunk) = self.requests.chunk(&mut *body).await? {
            let mut raws = Vec::new();
            let cut = splitter.feed(&chunk, &mut raws);
            let mut elements = Vec::with_capacity(raws.len());
            for raw in raws {
                stretch.worked(raw.len()).await;
                let link = do_work(raw.len(), || continuation(&raw)).await;
                let element = Element::read(raw, self.requests.tenant().source.shape()).await;
                match link {
                    Some(link) => continued.push(self.set_aside(element, link, &*body)),
                    None => {
                        self.note(&element);
                        elements.push(element);
                    }
                }
            }
            let (batch, unfiltered) = (&mut self.requests.batch, self.pager.unfiltered());
            batch.take(elements, unfiltered, splitter.held()).await?;
            cut.map_err(Failure::from)?;
        }
        self.requests.asked = None;
        let page = PageEnd::of(splitter.finish().map_err(Failure::from)?, &*body);
        drop(body);
        let unfiltered = self.pager.unfiltered();
        self.requests.batch.end_page(unfiltered).await?;
        for incident in continued {
            self.read_further_alerts(incident).await?;
        }
        Ok(page)
    }

    fn note(&mut self, element: &Element) {
        match element {
            Element::Incident(incident) => {
                let reading = incident.reading;
                self.pager.note(reading.id, reading.updated);
            }
            Element::Unreadable { content, .. } => self.pager.note_malformed(*content),
        }
    }

    /// Keeps an element whose alerts continue elsewhere until the end of the page. For the filter check the pager
    /// counts it now; it notes the incident later, when it is published.
    fn set_aside(
        &mut self,
        element: Element,
        link: Continuation,
        body: &dyn PageBody,
    ) -> ContinuedIncident {
        let listed = element.reading();
        if let Some(listed) = listed {
            self.pager.count_update(listed.updated);
        }
        let raw = element.into_raw();
        self.requests.batch.bytes.keep_aside(raw.len());
        let refused = match link {
            Continuation::Link(link) => body.refuses(&link),
            Continuation::Unusable => Some(unreadable_link()),
        };
        ContinuedIncident::new(listed, raw, refused)
    }
}
