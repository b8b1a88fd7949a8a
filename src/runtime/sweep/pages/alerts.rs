//! Requests beside the pages of the list: the further alerts of an incident, and an incident alone.
//!
//! Whatever goes wrong with them concerns one incident: it is published as far as it came, marked, and tried again by the
//! backlog. Only the first failure of a kind that may pass by itself fails the page, as it would if the alerts had been in
//! it. The same becomes of an incident that takes a live sweep more requests than the tenant's others can wait for, and of
//! one of the backlog that takes more than live polling leaves time for. What is put together has the size limit of a page.

use bytes::Bytes;

use super::PageReader;
use super::failures::endless_alerts;
use crate::core::codec::raw_hash;
use crate::core::health::failure::{Failure, Suspect};
use crate::core::incident::further_alerts::{Continuation, continuation, join};
use crate::core::incident::page::Splitter;
use crate::core::incident::version::Reading;
use crate::core::pace::budget::Purpose;
use crate::core::sweep::pager::{PageAsk, Pager};
use crate::runtime::limits::{Stretch, do_work};
use crate::runtime::sweep::Halt;
use crate::runtime::sweep::batch::BatchBuilder;
use crate::runtime::sweep::pages::page_end::ContinuedIncident;

/// Pages of alerts that one incident may continue on.
const MOST_ALERT_PAGES: u32 = 1_000;
/// And those that a live sweep asks for, of one incident and in all: the tenant's other incidents wait meanwhile.
const MOST_LIVE_OF_ONE: u32 = 20;
const MOST_LIVE: u32 = 40;
/// Alerts of one page, and what each costs in memory beside its bytes.
const MOST_ALERTS: usize = 10_000;
const ALERT_OVERHEAD: usize = 64;
/// So many incidents of a page without their further alerts, and the others are not asked for: it is the service.
const MOST_WITHOUT: u32 = 2;

/// An incident that was asked for by itself.
pub(super) struct SingleIncident {
    pub(super) raw: Bytes,
    /// None of its alerts is missing.
    pub(super) whole: bool,
}

/// A small page.
struct SmallPage {
    elements: Vec<Bytes>,
    next_link: Option<String>,
    /// Nothing is said to be missing.
    whole: bool,
}

impl PageReader<'_> {
    /// An incident of a page whose alerts go on elsewhere.
    pub(super) async fn continued(
        &mut self,
        ContinuedIncident { raw, refused }: ContinuedIncident,
        walk: &mut Pager,
        intake: &mut BatchBuilder<'_>,
    ) -> Result<(), Halt> {
        let (size, listed) = (raw.len(), intake.peek(&raw).await);
        let taken = |listed: &Reading| walk.has_taken(listed) || intake.leaves_out(listed, walk);
        if let Some(listed) = listed.filter(taken) {
            intake.release_aside(size);
            walk.note_foreseen(listed.id, listed.updated);
            return Ok(());
        }
        let asked = if let Some(why) = refused {
            Err(why.into())
        } else if self.without_alerts >= MOST_WITHOUT || self.gives_up(walk, listed.as_ref()) {
            Ok(SingleIncident {
                raw: raw.clone(),
                whole: false,
            })
        } else {
            self.with_all_alerts(raw.clone(), intake).await
        };
        let SingleIncident { raw, whole } = match asked {
            Ok(alone) if !alone.whole && self.purpose == Purpose::Live => {
                // That its alerts did not change is for the reconcile sweep to see: put into the backlog, it would be read
                // again and again for as long as it lies in the overlap.
                let known = match &listed {
                    Some(listed) => intake.knows_whole(listed).await?,
                    None => false,
                };
                if let (Some(listed), true) = (&listed, known) {
                    intake.release_aside(size);
                    walk.note_foreseen(listed.id, listed.updated);
                    return Ok(());
                }
                alone
            }
            Ok(alone) => alone,
            Err(Halt::Failed(failure)) if self.does_without(&failure) => {
                self.tell_of_missing(&failure);
                self.without_alerts += 1;
                SingleIncident { raw, whole: false }
            }
            Err(halt) => {
                Self::note_halt(&halt, walk, listed.as_ref());
                return Err(halt);
            }
        };
        intake.release_aside(size);
        let content = do_work(raw.len(), || raw_hash(&raw)).await;
        let Some(reading) = intake.take_single(raw, whole, self.permit).await? else {
            walk.note_malformed(content);
            return Ok(());
        };
        walk.note_foreseen(reading.id, reading.updated);
        walk.took_beside(&reading);
        if !whole {
            walk.incomplete(reading.updated);
        }
        Ok(())
    }

    /// Whether an incident is done without what it has elsewhere, because that takes longer than live polling leaves.
    pub(super) fn gives_up(&self, walk: &Pager, listed: Option<&Reading>) -> bool {
        let gives_up = walk.gives_up(listed);
        if gives_up {
            let incident = listed
                .map(|listed| listed.id.to_string())
                .unwrap_or_default();
            tracing::warn!(tenant = %self.tenant.id, name = %self.tenant.name, incident,
                "an incident's alerts take longer to read than there is between two sweeps; it is published without the rest, and tried again later");
        }
        gives_up
    }

    /// The requests for an incident came to no end.
    pub(super) fn note_halt(halt: &Halt, walk: &mut Pager, listed: Option<&Reading>) {
        if matches!(halt, Halt::Stopped) {
            walk.broken_off_beside(listed);
        }
    }

    /// A link that is not followed is the same with each incident, and at each sweep.
    fn tell_of_missing(&self, failure: &Failure) {
        let known = failure.suspect == Suspect::Elsewhere
            && !self.tenant.memory().refused_alert_links.met();
        if !known {
            tracing::warn!(tenant = %self.tenant.id, name = %self.tenant.name, error = %failure,
                "Microsoft gives only some of an incident's alerts; it is published with those, and tried again later");
        }
    }

    fn does_without(&self, failure: &Failure) -> bool {
        match failure.suspect {
            Suspect::Nothing => false,
            Suspect::Page => self.searching,
            Suspect::Size | Suspect::Link | Suspect::Elsewhere => true,
        }
    }

    /// The only incident of a page, if it has one.
    pub(super) async fn one(
        &mut self,
        ask: &PageAsk,
        intake: &mut BatchBuilder<'_>,
    ) -> Result<Option<SingleIncident>, Halt> {
        let page = self.collect(ask, intake).await?;
        let Some(raw) = page.elements.into_iter().next() else {
            return Ok(None);
        };
        let alone = self.with_all_alerts(raw, intake).await?;
        Ok(Some(SingleIncident {
            whole: alone.whole && page.whole,
            ..alone
        }))
    }

    /// `raw` with the alerts that Microsoft gives on further pages.
    async fn with_all_alerts(
        &mut self,
        raw: Bytes,
        intake: &mut BatchBuilder<'_>,
    ) -> Result<SingleIncident, Halt> {
        let mut next = match do_work(raw.len(), || continuation(&raw)).await {
            None => return Ok(SingleIncident { raw, whole: true }),
            Some(Continuation::Unusable) => return Ok(SingleIncident { raw, whole: false }),
            Some(Continuation::Link(link)) => Some(link),
        };
        let (mut alerts, mut whole, mut pages) = (Vec::new(), true, 0);
        let mut room = self.tenant.source.max_response().saturating_sub(raw.len());
        while let Some(link) = next {
            match self.purpose {
                Purpose::Live if pages == MOST_LIVE_OF_ONE || self.alert_pages >= MOST_LIVE => {
                    return Ok(SingleIncident { raw, whole: false });
                }
                Purpose::Backlog if pages == MOST_ALERT_PAGES => {
                    return Err(endless_alerts().into());
                }
                _ => {}
            }
            pages += 1;
            self.alert_pages += 1;
            let page = self.collect(&PageAsk::Link(link.clone()), intake).await?;
            self.tenant.memory().refused_alert_links.not_met();
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
        let bytes = self.tenant.source.max_response() - room;
        // Alerts that can't be joined are missing in what is published.
        Ok(match do_work(bytes, || join(&raw, &alerts)).await {
            Some(joined) => SingleIncident {
                raw: joined.into(),
                whole,
            },
            None => SingleIncident { raw, whole: false },
        })
    }

    async fn collect(
        &mut self,
        ask: &PageAsk,
        intake: &mut BatchBuilder<'_>,
    ) -> Result<SmallPage, Halt> {
        self.beside = self.beside.saturating_add(1);
        self.publish_before_a_wait(intake).await?;
        let mut body = self.open(ask, intake).await?;
        let (mut splitter, mut elements) = (Splitter::of(MOST_ALERTS), Vec::new());
        let mut stretch = Stretch::default();
        while let Some(chunk) = self.chunk(&mut *body, intake).await? {
            let before = elements.len();
            splitter
                .feed(&chunk, &mut elements)
                .map_err(Failure::from)?;
            let overhead = (elements.len() - before) * ALERT_OVERHEAD;
            intake.make_room(overhead, self.permit).await?;
            stretch.worked(chunk.len()).await;
        }
        self.asked = None;
        let envelope = splitter.finish().map_err(Failure::from)?;
        Ok(SmallPage {
            elements,
            whole: body.partial().is_none() && !envelope.more_unreachable,
            next_link: envelope.next_link,
        })
    }
}
