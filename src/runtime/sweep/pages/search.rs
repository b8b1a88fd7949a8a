//! Handles a page that fails: searches for the incident that makes it fail, and passes it.

use std::time::Duration;

use super::PageReader;
use super::alerts::SingleIncident;
use super::failures::slow_answer;
use crate::core::health::failure::{Failure, Suspect};
use crate::core::incident::version::Reading;
use crate::core::sweep::pager::{PageAsk, Pager, Passed};
use crate::runtime::sweep::Halt;
use crate::runtime::sweep::element::{Element, ReadIncident};

/// A page of the backlog without an answer for this long may never get one.
const SILENT: Duration = Duration::from_secs(2);

/// Whether the content of the page may be the cause of the failure.
fn blames_content(failure: &Failure) -> bool {
    matches!(failure.suspect, Suspect::Size | Suspect::Page)
}

impl PageReader<'_, '_> {
    /// Decides how to continue the list after `failure`: without the link, with a smaller page, past a single place, or
    /// not at all.
    pub(super) async fn recover(&mut self, failure: Failure) -> Result<(), Halt> {
        match failure.suspect {
            Suspect::Link | Suspect::Elsewhere if self.pager.link_refused() => return Ok(()),
            Suspect::Size => self.findings.searching = true,
            Suspect::Page if !self.findings.searching => {
                self.findings.searching = self.page_failed()
            }
            _ => {}
        }
        if !self.findings.searching || !blames_content(&failure) {
            return Err(failure.into());
        }
        let tenant = self.requests.tenant();
        tracing::debug!(tenant = %tenant.id, error = %failure, "a page fails again; asking for less at once");
        if self.pager.narrow() {
            return Ok(());
        }
        self.single(failure).await
    }

    /// Counts a failure that the page's content may explain. Returns whether to search the page now.
    fn page_failed(&mut self) -> bool {
        let failures = self.requests.memory.failures(self.requests.purpose);
        failures.failed(self.pager.span())
    }

    /// Handles a single place that fails.
    async fn single(&mut self, failure: Failure) -> Result<(), Halt> {
        let source = &self.requests.tenant().source;
        let bare = self.pager.ask_bare().filter(|_| source.lists_bare());
        let raw = match bare {
            Some(bare) => match self.one(&bare).await {
                // The list has become shorter in the meantime.
                Ok(None) => return Err(failure.into()),
                Ok(listed) => listed.map(|listed| listed.raw),
                Err(Halt::Failed(failure)) if blames_content(&failure) => None,
                Err(halt) => return Err(halt),
            },
            None => None,
        };
        let Some(raw) = raw else {
            return self.pass_unseen(failure).await;
        };
        let shape = source.shape();
        match Element::read(raw, shape).await {
            Element::Incident(ReadIncident { reading, raw }) => {
                let single = self.alone(&reading).await?;
                let single = single.unwrap_or(SingleIncident::partial(raw));
                let element = Element::read(single.raw, shape).await;
                let element = element.marked(single.whole);
                self.requests.batch.take_single(element).await?;
                self.pager.pass_single(reading.updated);
            }
            element => {
                self.requests.batch.take_single(element).await?;
                self.pager.pass_unreadable();
            }
        }
        Ok(())
    }

    /// Fetches an incident alone that was listed without its alerts. `None`: it does not come, or the answer is a
    /// different incident or an earlier state, which must not replace the listed one.
    async fn alone(&mut self, listed: &Reading) -> Result<Option<SingleIncident>, Halt> {
        if self.gives_up(Some(listed)) {
            return Ok(None);
        }
        let tenant = self.requests.tenant();
        match self.one(&PageAsk::One(listed.id)).await {
            Ok(Some(single)) => {
                let element = Element::read(single.raw.clone(), tenant.source.shape()).await;
                let reading = element.reading();
                let same = reading.filter(|it| it.id == listed.id && it.updated >= listed.updated);
                Ok(same.map(|_| single))
            }
            Ok(None) => Ok(None),
            Err(Halt::Failed(failure))
                if failure.suspect != Suspect::Nothing || failure.status == Some(404) =>
            {
                tracing::warn!(tenant = %tenant.id, name = %tenant.name, incident = %listed.id, error = %failure,
                    "Microsoft can't give an incident's alerts; it is published without them, and tried again later");
                Ok(None)
            }
            Err(halt) => {
                self.note_halt(&halt, Some(listed));
                Err(halt)
            }
        }
    }

    /// Passes a single place of which nothing can be read.
    async fn pass_unseen(&mut self, failure: Failure) -> Result<(), Halt> {
        let incident_is_the_cause = match self.note_unseen(&failure) {
            Passed::On => true,
            Passed::IfOneComes(proofs) => self.one_comes(&proofs).await?,
            Passed::InVain => false,
        };
        if incident_is_the_cause {
            return Ok(());
        }
        self.search_in_vain();
        Err(failure.into())
    }

    fn search_in_vain(&mut self) {
        let purpose = self.requests.purpose;
        self.requests.memory.failures(purpose).in_vain();
    }

    fn note_unseen(&mut self, failure: &Failure) -> Passed {
        let tenant = self.requests.tenant();
        tracing::debug!(tenant = %tenant.id, error = %failure, "nothing can be read from a place; it is passed");
        self.requests.memory.unreadable.suspected = Some(failure.clone());
        self.pager.pass_unseen()
    }

    /// Whether one of `proofs` returns an incident. That incident is published like any other, because it may be gone
    /// when the list is read on.
    async fn one_comes(&mut self, proofs: &[PageAsk]) -> Result<bool, Halt> {
        for proof in proofs {
            self.requests.count_side_request();
            let mut aside = Pager::new(self.pager.span(), self.pager.page_size());
            let mut reader = PageReader::new(&mut aside, self.requests, self.findings);
            match reader.page(proof).await {
                Ok(_) if aside.notes_any() => return Ok(true),
                Ok(_) => {}
                Err(Halt::Failed(failure)) if blames_content(&failure) => {}
                Err(halt) => return Err(halt),
            }
        }
        Ok(false)
    }

    /// Breaks off a page of the backlog because a live sweep is due. If the page was silent, it counts as failed: a
    /// page that is broken off in silence each time would never reach its time-out.
    pub(super) fn broken_off(&mut self) -> Halt {
        let asked = self.requests.asked;
        let silent = asked.is_some_and(|asked| asked.elapsed() >= SILENT);
        let scope = &self.requests.batch.scope;
        // Not if the daemon is stopping or the lease is lost.
        let live_is_due = scope.halt.is_cancelled() && !scope.sweeper.stop.is_cancelled();
        if !live_is_due || !silent {
            return Halt::Stopped;
        }
        if self.page_failed() && !self.pager.narrow() {
            let failure = slow_answer("live polling went before").suspecting(Suspect::Page);
            // There is no time left to find out whether other incidents come through.
            if self.note_unseen(&failure) != Passed::On {
                self.search_in_vain();
                return failure.into();
            }
        }
        Halt::Stopped
    }
}
