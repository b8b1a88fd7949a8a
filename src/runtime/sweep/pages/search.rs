//! What is done about a page that fails: the search for what spoils it, down to a single incident, and past it.

use std::time::Duration;

use super::PageReader;
use super::alerts::SingleIncident;
use super::failures::crowded;
use crate::core::health::failure::{Failure, Suspect};
use crate::core::incident::version::Reading;
use crate::core::sweep::pager::{PageAsk, Pager, Passed};
use crate::runtime::sweep::Halt;
use crate::runtime::sweep::batch::BatchBuilder;

/// A page of the backlog that gave nothing for so long may be one that never will.
const SILENT: Duration = Duration::from_secs(2);

impl PageReader<'_> {
    pub(super) async fn recover(
        &mut self,
        walk: &mut Pager,
        intake: &mut BatchBuilder<'_>,
        failure: Failure,
    ) -> Result<(), Halt> {
        match failure.suspect {
            Suspect::Link | Suspect::Elsewhere if walk.link_refused() => return Ok(()),
            Suspect::Size => self.searching = true,
            Suspect::Page if !self.searching => {
                self.searching = self
                    .tenant
                    .memory()
                    .doubts(self.purpose)
                    .failed(walk.span());
            }
            _ => {}
        }
        if !self.searching || !matches!(failure.suspect, Suspect::Size | Suspect::Page) {
            return Err(failure.into());
        }
        tracing::debug!(tenant = %self.tenant.id, error = %failure, "a page fails again; asking for less at once");
        if walk.narrow() {
            return Ok(());
        }
        self.single(walk, intake, failure).await
    }

    /// A single place is left, and fails.
    async fn single(
        &mut self,
        walk: &mut Pager,
        intake: &mut BatchBuilder<'_>,
        failure: Failure,
    ) -> Result<(), Halt> {
        let bare = walk.ask_bare().filter(|_| self.tenant.source.lists_bare());
        let raw = match bare {
            Some(bare) => match self.one(&bare, intake).await {
                // The list has become shorter meanwhile.
                Ok(None) => return Err(failure.into()),
                Ok(listed) => listed.map(|listed| listed.raw),
                Err(Halt::Failed(failure))
                    if matches!(failure.suspect, Suspect::Size | Suspect::Page) =>
                {
                    None
                }
                Err(halt) => return Err(halt),
            },
            None => None,
        };
        let Some(raw) = raw else {
            return self.pass_unseen(walk, failure, intake).await;
        };
        let Some(listed) = intake.peek(&raw).await else {
            intake.take(vec![raw], walk, 0, self.permit).await?;
            walk.pass_unreadable();
            return Ok(());
        };
        let alone = self.alone(&listed, walk, intake).await?;
        let SingleIncident { raw, whole } = alone.unwrap_or(SingleIncident { raw, whole: false });
        intake.take_single(raw, whole, self.permit).await?;
        walk.pass_single(listed.updated);
        Ok(())
    }

    /// The incident that was listed without its alerts, by itself. `None`: it does not come, or what comes is another one or
    /// an earlier state of it, and the listed one must not be lost for that.
    async fn alone(
        &mut self,
        listed: &Reading,
        walk: &mut Pager,
        intake: &mut BatchBuilder<'_>,
    ) -> Result<Option<SingleIncident>, Halt> {
        if self.gives_up(walk, Some(listed)) {
            return Ok(None);
        }
        match self.one(&PageAsk::One(listed.id), intake).await {
            Ok(Some(alone)) => {
                let reading = intake.peek(&alone.raw).await;
                let same = reading.filter(|it| it.id == listed.id && it.updated >= listed.updated);
                Ok(same.map(|_| alone))
            }
            Ok(None) => Ok(None),
            Err(Halt::Failed(failure))
                if failure.suspect != Suspect::Nothing || failure.status == Some(404) =>
            {
                tracing::warn!(tenant = %self.tenant.id, name = %self.tenant.name, incident = %listed.id, error = %failure,
                    "Microsoft can't give an incident's alerts; it is published without them, and tried again later");
                Ok(None)
            }
            Err(halt) => {
                Self::note_halt(&halt, walk, Some(listed));
                Err(halt)
            }
        }
    }

    /// Nothing can be read from a single place.
    async fn pass_unseen(
        &mut self,
        walk: &mut Pager,
        failure: Failure,
        intake: &mut BatchBuilder<'_>,
    ) -> Result<(), Halt> {
        let to_blame = match self.note_unseen(walk, &failure) {
            Passed::On => true,
            Passed::IfOneComes(proofs) => self.one_comes(&proofs, walk, intake).await?,
            Passed::InVain => false,
        };
        if to_blame {
            return Ok(());
        }
        self.tenant.memory().doubts(self.purpose).in_vain();
        Err(failure.into())
    }

    fn note_unseen(&self, walk: &mut Pager, failure: &Failure) -> Passed {
        tracing::debug!(tenant = %self.tenant.id, error = %failure, "nothing can be read from a place; it is passed");
        self.tenant.memory().suspected = Some(failure.clone());
        walk.pass_unseen()
    }

    /// What comes is taken in like any page's: its versions were shown, and may be gone when the walk gets there.
    async fn one_comes(
        &mut self,
        proofs: &[PageAsk],
        walk: &Pager,
        intake: &mut BatchBuilder<'_>,
    ) -> Result<bool, Halt> {
        for proof in proofs {
            self.beside = self.beside.saturating_add(1);
            let mut aside = Pager::new(walk.span(), walk.page_size());
            match self.page(proof, &mut aside, intake).await {
                Ok(_) if aside.notes_any() => return Ok(true),
                Ok(_) => {}
                Err(Halt::Failed(failure))
                    if matches!(failure.suspect, Suspect::Size | Suspect::Page) => {}
                Err(halt) => return Err(halt),
            }
        }
        Ok(false)
    }

    /// It is time for a live sweep while a page of the backlog is awaited. One that is still silent then, each time, would
    /// never come to its time-out: that counts as its failure.
    pub(super) fn broken_off(&self, walk: &mut Pager) -> Halt {
        let silent = self.asked.is_some_and(|asked| asked.elapsed() >= SILENT);
        if self.sweeper.stop.is_cancelled() || !silent {
            return Halt::Stopped;
        }
        let searching = self
            .tenant
            .memory()
            .doubts(self.purpose)
            .failed(walk.span());
        if searching && !walk.narrow() {
            let failure = crowded("live polling went before").suspecting(Suspect::Page);
            // There is no time to see whether anything else comes through.
            if self.note_unseen(walk, &failure) != Passed::On {
                self.tenant.memory().doubts(self.purpose).in_vain();
                return failure.into();
            }
        }
        Halt::Stopped
    }
}
