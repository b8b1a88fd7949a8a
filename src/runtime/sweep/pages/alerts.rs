//! Requests besides the pages of the list: for further alerts of an incident, and for a single incident.
//!
//! A failure here concerns one incident: it is published with what has arrived, marked, and tried again by the backlog.
//! Only the first failure of a kind that may pass by itself fails the page, as if the alerts had been part of it. An
//! incident is also published incomplete if a live sweep needs too many requests for it, because the tenant's other
//! incidents wait, or if its requests don't fit between two live sweeps. A joined incident has the size limit of a
//! page.

use bytes::Bytes;

use super::PageReader;
use super::failures::endless_alerts;
use crate::core::health::failure::{Failure, Suspect};
use crate::core::incident::further_alerts::{Continuation, continuation, join};
use crate::core::incident::page::Splitter;
use crate::core::incident::version::Reading;
use crate::core::pace::budget::Purpose;
use crate::core::sweep::pager::PageAsk;
use crate::runtime::limits::{Stretch, do_work};
use crate::runtime::sweep::Halt;
use crate::runtime::sweep::element::{Element, detached};

/// The most pages on which the alerts of one incident may continue.
const MOST_ALERT_PAGES: u32 = 1_000;
/// The most such pages that a live sweep requests, for one incident and in total, because the tenant's other incidents
/// wait.
const MOST_LIVE_OF_ONE: u32 = 20;
const MOST_LIVE: u32 = 40;
/// The most alerts on one page, and what each costs in memory besides its bytes.
const MOST_ALERTS: usize = 10_000;
const ALERT_OVERHEAD: usize = 64;
/// After this many incidents of a page without their further alerts, the service is the cause, and the others are not
/// requested.
const MOST_WITHOUT: u32 = 2;

/// An incident of a page whose alerts continue elsewhere.
pub(super) struct ContinuedIncident {
    /// `None`: it is not an incident.
    listed: Option<Reading>,
    raw: Bytes,
    /// Why the link to its alerts is not followed.
    refused: Option<Failure>,
}

impl ContinuedIncident {
    pub(super) fn new(listed: Option<Reading>, raw: Bytes, refused: Option<Failure>) -> Self {
        Self {
            listed,
            raw: detached(raw),
            refused,
        }
    }
}

/// An incident that was requested by itself.
pub(super) struct SingleIncident {
    pub(super) raw: Bytes,
    /// Whether all of its alerts are there.
    pub(super) whole: bool,
}

impl SingleIncident {
    pub(super) fn partial(raw: Bytes) -> Self {
        Self { raw, whole: false }
    }
}

/// A small page.
struct SmallPage {
    elements: Vec<Bytes>,
    next_link: Option<String>,
    /// Whether the page says of nothing that it is missing.
    whole: bool,
}

impl PageReader<'_, '_> {
    /// Reads the further alerts of an incident, and takes the incident with them.
    pub(super) async fn read_further_alerts(
        &mut self,
        incident: ContinuedIncident,
    ) -> Result<(), Halt> {
        let (listed, size) = (incident.listed, incident.raw.len());
        if let Some(listed) = listed.filter(|listed| self.is_done(listed)) {
            self.pass_known(size, &listed);
            return Ok(());
        }
        let Some(SingleIncident { raw, whole }) = self.complete(incident).await? else {
            listed
                .iter()
                .for_each(|listed| self.pass_known(size, listed));
            return Ok(());
        };
        let batch = &mut self.requests.batch;
        batch.bytes.release_aside(size);
        let shape = batch.scope.tenant.source.shape();
        let element = Element::read(raw, shape).await.marked(whole);
        let (reading, unreadable) = (element.reading(), element.unreadable_content());
        batch.take_single(element).await?;
        if let Some(content) = unreadable {
            self.pager.note_malformed(content);
        }
        if let Some(reading) = reading {
            self.pager.note_counted(reading.id, reading.updated);
            self.pager.took_beside(&reading);
            if !whole {
                self.pager.incomplete(reading.updated);
            }
        }
        Ok(())
    }

    /// Whether an earlier attempt at this page took the incident, or it was not requested.
    fn is_done(&self, listed: &Reading) -> bool {
        let unasked = || self.requests.batch.is_before_start(listed);
        self.pager.has_taken(listed) || (self.pager.unfiltered() && unasked())
    }

    /// Whether an incident that is incomplete now was published complete before. Such an incident must not become
    /// backlog, where it would be read again and again while it lies in the overlap; the reconcile finds out whether
    /// its alerts changed.
    async fn is_known(&self, whole: bool, listed: Option<&Reading>) -> Result<bool, Halt> {
        match listed {
            Some(listed) if !whole && self.requests.purpose == Purpose::Live => {
                Ok(self.requests.batch.knows_whole(listed).await?)
            }
            _ => Ok(false),
        }
    }

    fn pass_known(&mut self, size: usize, listed: &Reading) {
        self.requests.batch.bytes.release_aside(size);
        self.pager.note_counted(listed.id, listed.updated);
    }

    /// The incident with its further alerts, or with those that arrived. `None`: it was published complete before.
    async fn complete(
        &mut self,
        incident: ContinuedIncident,
    ) -> Result<Option<SingleIncident>, Halt> {
        let ContinuedIncident {
            listed,
            raw,
            refused,
        } = incident;
        let listed = listed.as_ref();
        let asked = if let Some(why) = refused {
            Err(why.into())
        } else if self.without_alerts >= MOST_WITHOUT || self.gives_up(listed) {
            Ok(SingleIncident::partial(raw.clone()))
        } else {
            self.with_all_alerts(raw.clone()).await
        };
        match asked {
            Ok(single) if self.is_known(single.whole, listed).await? => Ok(None),
            Ok(single) => Ok(Some(single)),
            Err(Halt::Failed(failure)) if self.does_without(&failure) => {
                self.log_missing(&failure);
                self.without_alerts += 1;
                Ok(Some(SingleIncident::partial(raw)))
            }
            Err(halt) => {
                self.note_halt(&halt, listed);
                Err(halt)
            }
        }
    }

    /// Whether to publish an incident without its further alerts, because they take longer than the time between live
    /// sweeps.
    pub(super) fn gives_up(&self, listed: Option<&Reading>) -> bool {
        let gives_up = self.pager.gives_up(listed);
        if gives_up {
            let incident = listed
                .map(|listed| listed.id.to_string())
                .unwrap_or_default();
            let tenant = self.requests.tenant();
            tracing::warn!(tenant = %tenant.id, name = %tenant.name, incident,
                "an incident's alerts take longer to read than there is between two sweeps; it is published without the rest, and tried again later");
        }
        gives_up
    }

    /// Notes whether a halt broke off the requests for an incident.
    pub(super) fn note_halt(&mut self, halt: &Halt, listed: Option<&Reading>) {
        // A lost lease says nothing about the incident.
        let broken_off = self.requests.batch.scope.halt.is_cancelled();
        if matches!(halt, Halt::Stopped) && broken_off {
            self.pager.broken_off_beside(listed);
        }
    }

    /// Logs that alerts are missing. A link that is not followed is logged once, because it is the same with each
    /// incident and at each sweep.
    fn log_missing(&mut self, failure: &Failure) {
        let tenant = self.requests.tenant();
        let links = &mut self.requests.memory.notices.refused_alert_links;
        let known = failure.suspect == Suspect::Elsewhere && !links.met();
        if !known {
            tracing::warn!(tenant = %tenant.id, name = %tenant.name, error = %failure,
                "Microsoft gives only some of an incident's alerts; it is published with those, and tried again later");
        }
    }

    fn does_without(&self, failure: &Failure) -> bool {
        match failure.suspect {
            Suspect::Nothing => false,
            Suspect::Page => self.findings.searching,
            Suspect::Size | Suspect::Link | Suspect::Elsewhere => true,
        }
    }

    /// The first incident of a page, if it has one.
    pub(super) async fn one(&mut self, ask: &PageAsk) -> Result<Option<SingleIncident>, Halt> {
        let page = self.collect(ask).await?;
        let Some(raw) = page.elements.into_iter().next() else {
            return Ok(None);
        };
        let single = self.with_all_alerts(raw).await?;
        Ok(Some(SingleIncident {
            whole: single.whole && page.whole,
            ..single
        }))
    }

    /// `raw` with its alerts from further pages.
    async fn with_all_alerts(&mut self, raw: Bytes) -> Result<SingleIncident, Halt> {
        let mut next = match do_work(raw.len(), || continuation(&raw)).await {
            None => return Ok(SingleIncident { raw, whole: true }),
            Some(Continuation::Unusable) => return Ok(SingleIncident::partial(raw)),
            Some(Continuation::Link(link)) => Some(link),
        };
        let (mut alerts, mut whole, mut pages) = (Vec::new(), true, 0);
        let most = self.requests.tenant().source.max_response();
        let mut room = most.saturating_sub(raw.len());
        while let Some(link) = next {
            match self.requests.purpose {
                Purpose::Live
                    if pages == MOST_LIVE_OF_ONE || self.findings.alert_pages >= MOST_LIVE =>
                {
                    return Ok(SingleIncident::partial(raw));
                }
                Purpose::Backlog if pages == MOST_ALERT_PAGES => {
                    return Err(endless_alerts().into());
                }
                _ => {}
            }
            pages += 1;
            self.findings.alert_pages += 1;
            let page = self.collect(&PageAsk::Link(link.clone())).await?;
            self.requests.memory.notices.refused_alert_links.not_met();
            let bytes: usize = page.elements.iter().map(Bytes::len).sum();
            let bytes = bytes + page.elements.len() * ALERT_OVERHEAD;
            let fits = bytes <= room;
            room = room.saturating_sub(bytes);
            whole &= page.whole && fits;
            if fits {
                alerts.extend(page.elements);
            }
            if page.next_link.as_ref() == Some(&link) {
                return Err(endless_alerts().into());
            }
            next = page.next_link.filter(|_| fits);
        }
        // If alerts can't be joined, the incident is published without them.
        Ok(match do_work(most - room, || join(&raw, &alerts)).await {
            Some(joined) => SingleIncident {
                raw: joined.into(),
                whole,
            },
            None => SingleIncident::partial(raw),
        })
    }

    /// Reads a small page into memory.
    async fn collect(&mut self, ask: &PageAsk) -> Result<SmallPage, Halt> {
        let requests = &mut *self.requests;
        requests.count_side_request();
        requests.publish_before_a_wait().await?;
        let mut body = requests.open(ask).await?;
        let (mut splitter, mut elements) = (Splitter::of(MOST_ALERTS), Vec::new());
        let mut stretch = Stretch::default();
        while let Some(chunk) = requests.chunk(&mut *body).await? {
            let before = elements.len();
            splitter
                .feed(&chunk, &mut elements)
                .map_err(Failure::from)?;
            let overhead = (elements.len() - before) * ALERT_OVERHEAD;
            requests.batch.make_room(overhead).await?;
            stretch.worked(chunk.len()).await;
        }
        requests.asked = None;
        let envelope = splitter.finish().map_err(Failure::from)?;
        Ok(SmallPage {
            elements,
            whole: body.partial().is_none() && !envelope.more_unreachable,
            next_link: envelope.next_link,
        })
    }
}
