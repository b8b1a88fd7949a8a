//! Elements that can't be read: they are counted, logged, and sent to the dead-letter topic.

use bytes::Bytes;

use super::BatchBuilder;
use crate::core::health::failure::Failure;
use crate::core::incident::dead_letters::{Letter, MOST, SweepLetters};
use crate::core::incident::reading::Malformed;
use crate::core::incident::version::ContentHash;
use crate::ports::{Event, Item};
use crate::runtime::sweep::SweepScope;
use crate::runtime::sweep::element::detached;

impl BatchBuilder<'_> {
    /// Adds an element that can't be read.
    pub(super) async fn add_dead_letter(
        &mut self,
        content: ContentHash,
        why: &Malformed,
        raw: Bytes,
    ) -> Result<(), Failure> {
        let SweepScope {
            sweeper,
            tenant,
            lease,
            ..
        } = self.scope;
        let letters = match &mut self.letters {
            Some(letters) => letters,
            none => none.insert(SweepLetters::new(lease.letters().await?)),
        };
        let now = sweeper.clock.now();
        let action = letters.meet(content, now);
        // For the account the element ends here, whatever happens to its letter.
        self.account.received += 1;
        self.account.dead += 1;
        if action.count {
            sweeper.observer.see(Event::DeadLetter);
        }
        if action.log {
            tracing::warn!(tenant = %tenant.id, name = %tenant.name, error = %why, bytes = raw.len(), content = %content,
                "an incident could not be read and is not published");
        }
        if action.remember {
            let letter = Letter {
                met: now,
                accepted: false,
            };
            self.pending.push(Item::Unreadable { content, letter }, 0);
        }
        if let Some(letter) = action.send
            && tenant.encoder.takes_dead_letters()
        {
            let item = Item::DeadLetter {
                content,
                letter,
                why: why.to_string(),
                raw: detached(raw),
            };
            self.pending.push(item, tenant.encoder.envelope(0));
        }
        Ok(())
    }

    /// Logs how many elements can't be read, besides those with a line of their own.
    pub(super) fn log_letters(&self, were_full: &mut bool) {
        let tenant = self.scope.tenant;
        let count = |of: fn(&SweepLetters) -> u64| self.letters.as_ref().map_or(0, of);
        let (unlogged, beyond) = (count(SweepLetters::unlogged), count(SweepLetters::beyond));
        if unlogged > 0 {
            tracing::warn!(tenant = %tenant.id, name = %tenant.name, incidents = unlogged,
                "further incidents could not be read and are not published");
        }
        let were_full = std::mem::replace(were_full, beyond > 0);
        if beyond > 0 && !were_full {
            tracing::warn!(tenant = %tenant.id, name = %tenant.name, incidents = beyond, remembered = MOST,
                "more incidents can't be read than are remembered; the others are counted at each sweep and go to no topic");
        }
    }
}
