//! Elements that can't be read: counted, told, and handed over for the dead-letter topic.

use super::BatchBuilder;
use crate::core::health::failure::Failure;
use crate::core::incident::dead_letters::{Letter, MOST, SweepLetters};
use crate::core::incident::reading::Malformed;
use crate::core::incident::version::ContentHash;
use crate::ports::{Event, Mark};

impl BatchBuilder<'_> {
    /// Takes an element that can't be read.
    pub(super) async fn bury(
        &mut self,
        content: ContentHash,
        why: &Malformed,
        raw: &[u8],
    ) -> Result<(), Failure> {
        let (sweeper, tenant) = (self.sweeper, self.tenant);
        let letters = match &mut self.letters {
            Some(letters) => letters,
            none => none.insert(SweepLetters::new(sweeper.outlet.letters(tenant.id).await?)),
        };
        let now = sweeper.clock.now();
        let deed = letters.meet(content, now);
        // Nothing waits for it: it ends here, whatever becomes of its letter.
        self.account.dead += 1;
        if deed.count {
            sweeper.observer.see(Event::DeadLetter);
        }
        if deed.tell {
            tracing::warn!(tenant = %tenant.id, name = %tenant.name, error = %why, bytes = raw.len(), content = %content,
                "an incident could not be read and is not published");
        }
        if deed.remember {
            let letter = Letter {
                met: now,
                accepted: false,
            };
            self.push(None, Mark::Dead(content, letter));
        }
        if let Some(sent) = deed.send
            && let Some(record) = tenant.encoder.dead_letter(&why.to_string(), raw)
        {
            self.push(Some(record), Mark::Dead(content, sent));
        }
        Ok(())
    }

    /// Tells of those that have no line of their own.
    pub(super) fn tell_of_letters(&self) {
        let tenant = self.tenant;
        let count = |of: fn(&SweepLetters) -> u64| self.letters.as_ref().map_or(0, of);
        let (untold, beyond) = (count(SweepLetters::untold), count(SweepLetters::beyond));
        if untold > 0 {
            tracing::warn!(tenant = %tenant.id, name = %tenant.name, incidents = untold,
                "further incidents could not be read and are not published");
        }
        let was_beyond = std::mem::replace(&mut tenant.memory().letters_full, beyond > 0);
        if beyond > 0 && !was_beyond {
            tracing::warn!(tenant = %tenant.id, name = %tenant.name, incidents = beyond, remembered = MOST,
                "more incidents can't be read than are remembered; the others are counted at each sweep and go to no topic");
        }
    }
}
