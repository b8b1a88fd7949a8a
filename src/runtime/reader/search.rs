//! What is done about a page that fails: the search for what spoils it, down to a single incident, and past it.

use std::time::Duration;

use bytes::Bytes;

use super::super::intake::Intake;
use super::super::sweeper::Halt;
use super::Reader;
use super::failures::crowded;
use crate::core::failure::{Failure, Suspect};
use crate::core::walk::{PageAsk, Walk};

/// A page of the backlog that gave nothing for so long may be one that never will.
const SILENT: Duration = Duration::from_secs(2);

impl Reader<'_> {
    pub(super) async fn recover(
        &mut self,
        walk: &mut Walk,
        intake: &mut Intake<'_>,
        failure: Failure,
    ) -> Result<(), Halt> {
        match failure.suspect {
            Suspect::Link if walk.link_refused() => return Ok(()),
            Suspect::Size => self.searching = true,
            Suspect::Page if !self.searching => {
                self.searching = self.tenant.memory().doubts(self.purpose).failed();
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
        walk: &mut Walk,
        intake: &mut Intake<'_>,
        failure: Failure,
    ) -> Result<(), Halt> {
        let bare = walk.ask_bare().filter(|_| self.tenant.source.lists_bare());
        let raw = match bare {
            Some(bare) => match self.one(&bare, intake).await {
                // The list has become shorter meanwhile.
                Ok(None) => return Err(failure.into()),
                Ok(raw) => raw,
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
            return self.pass_unseen(walk, failure).map_err(Halt::from);
        };
        let Some(listed) = intake.peek(&raw) else {
            intake.take(vec![raw], walk, 0, self.slot).await?;
            walk.pass_unreadable();
            return Ok(());
        };
        let whole = match self.one(&PageAsk::One(listed.id), intake).await {
            Ok(Some(raw)) => Some(raw),
            Ok(None) => None,
            Err(Halt::Failed(failure))
                if failure.suspect != Suspect::Nothing || failure.status == Some(404) =>
            {
                tracing::warn!(tenant = %self.tenant.id, name = %self.tenant.name, incident = %listed.id, error = %failure,
                    "Microsoft can't give an incident's alerts; it is published without them, and tried again later");
                None
            }
            Err(halt) => return Err(halt),
        };
        let came_whole = whole.is_some();
        intake
            .take_single(whole.unwrap_or(raw), came_whole, self.slot)
            .await?;
        walk.pass_single(listed.updated, came_whole);
        Ok(())
    }

    /// Nothing can be read from a single place.
    fn pass_unseen(&self, walk: &mut Walk, failure: Failure) -> Result<(), Failure> {
        tracing::warn!(tenant = %self.tenant.id, name = %self.tenant.name, error = %failure,
            "an incident can't be read; all others are, and it is tried again later");
        if walk.pass_unseen() {
            return Ok(());
        }
        self.tenant.memory().doubts(self.purpose).in_vain();
        Err(failure)
    }

    /// It is time for a live sweep while a page of the backlog is awaited. One that is still silent then, each time, would
    /// never come to its time-out: that counts as its failure.
    pub(super) fn broken_off(&self, walk: &mut Walk) -> Halt {
        let silent = self.asked.is_some_and(|asked| asked.elapsed() >= SILENT);
        if self.sweeper.stop.is_cancelled() || !silent {
            return Halt::Stopped;
        }
        let searching = self.tenant.memory().doubts(self.purpose).failed();
        if searching && !walk.narrow() {
            let failure = crowded("live polling went before").suspecting(Suspect::Page);
            if let Err(failure) = self.pass_unseen(walk, failure) {
                return failure.into();
            }
        }
        Halt::Stopped
    }

    /// The only incident of a page, if it has one.
    async fn one(&mut self, ask: &PageAsk, intake: &mut Intake<'_>) -> Result<Option<Bytes>, Halt> {
        let (elements, _) = self.collect(ask, intake).await?;
        let raw = elements.into_iter().next();
        match raw {
            Some(raw) => self.with_all_alerts(raw, intake).await.map(Some),
            None => Ok(None),
        }
    }
}
