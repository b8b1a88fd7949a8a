//! Elements of a list that can't be read as an incident: what is remembered about them, and what to do about each.
//!
//! Each sweep meets such an element again for as long as Microsoft shows it. It is counted and logged once, and sent
//! once to the dead-letter topic, if one is set. Until the topic accepts it, it is sent again each time it is met.
//!
//! A gateway that answers with something other than incidents can send thousands of such elements on each page, and
//! different ones each time. So there are bounds on the contents remembered of a tenant, the letters of a sweep, and
//! its log lines. Counting has no bound: an element beyond the bound is counted each time it is met, and gets no
//! letter.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::version::ContentHash;
use crate::core::sweep::cursor::{Reach, TenantState};
use crate::core::time::ticks::Ticks;

/// What is remembered about one content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Letter {
    /// When it was first met.
    pub met: Ticks,
    /// Whether the dead-letter topic has accepted it.
    pub accepted: bool,
}

/// The most contents remembered of one tenant.
pub const MOST: usize = 1_000;
/// The least time for which they are remembered.
const KEPT: Duration = Duration::from_secs(30 * 86_400);
/// The most letters that one sweep sends.
const MOST_SENT: usize = 100;
/// The most log lines of one sweep about a single content.
const MOST_LOGGED: usize = 3;

/// Letters first met before this instant can be forgotten: no sweep reads that far back, and they were kept long enough
/// for an operator to find them.
pub fn forgettable(state: &TenantState, reach: &Reach, now: Ticks) -> Ticks {
    let open = state.backlog.intervals().first().map(|open| open.from);
    let read_again = now.minus(reach.reconcile_window).minus(reach.overlap);
    let kept = now.minus(KEPT).min(read_again);
    kept.min(open.unwrap_or(kept))
}

/// What to do about an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LetterAction {
    /// Count it: it is new, or can't be remembered.
    pub count: bool,
    /// Log it in a line of its own.
    pub log: bool,
    /// Remember it as not accepted.
    pub remember: bool,
    /// Send it to the topic, and remember this letter once the topic accepts it.
    pub send: Option<Letter>,
}

/// The dead letters of one sweep of one tenant.
#[derive(Debug)]
pub struct SweepLetters {
    known: HashMap<ContentHash, Letter>,
    /// Contents met in this sweep. Pages overlap, so an element may come twice.
    met: HashSet<ContentHash>,
    sent: usize,
    logged: usize,
    unlogged: u64,
    beyond: u64,
}

impl SweepLetters {
    pub fn new(known: impl IntoIterator<Item = (ContentHash, Letter)>) -> Self {
        Self {
            known: known.into_iter().collect(),
            met: HashSet::new(),
            sent: 0,
            logged: 0,
            unlogged: 0,
            beyond: 0,
        }
    }

    /// Decides what to do about an element that is met at `now`.
    pub fn meet(&mut self, content: ContentHash, now: Ticks) -> LetterAction {
        if self.met.contains(&content) {
            return LetterAction::default();
        }
        if self.met.len() < 2 * MOST {
            self.met.insert(content);
        }
        if let Some(letter) = self.known.get(&content).copied() {
            return LetterAction {
                send: (!letter.accepted).then(|| self.send(letter)).flatten(),
                ..LetterAction::default()
            };
        }
        if self.known.len() >= MOST {
            self.beyond += 1;
            return LetterAction {
                count: true,
                ..LetterAction::default()
            };
        }
        let letter = Letter {
            met: now,
            accepted: false,
        };
        self.known.insert(content, letter);
        let log = self.logged < MOST_LOGGED;
        self.logged += usize::from(log);
        self.unlogged += u64::from(!log);
        LetterAction {
            count: true,
            log,
            remember: true,
            send: self.send(letter),
        }
    }

    /// The number of new contents without a log line of their own, except those beyond the bound.
    pub fn unlogged(&self) -> u64 {
        self.unlogged
    }

    /// The number of elements that can't be remembered, because [`MOST`] others are.
    pub fn beyond(&self) -> u64 {
        self.beyond
    }

    fn send(&mut self, letter: Letter) -> Option<Letter> {
        let sends = self.sent < MOST_SENT;
        self.sent += usize::from(sends);
        sends.then_some(Letter {
            accepted: true,
            ..letter
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(letters: &mut SweepLetters, contents: std::ops::Range<u64>) -> Vec<LetterAction> {
        contents
            .map(|content| letters.meet(ContentHash(content), Ticks(7)))
            .collect()
    }

    fn number(deeds: &[LetterAction], which: impl Fn(&LetterAction) -> bool) -> usize {
        deeds.iter().filter(|action| which(action)).count()
    }

    /// What the ledger holds after these actions. `accepts`: there is a dead-letter topic and it accepts them.
    fn kept(deeds: &[LetterAction], accepts: bool) -> Vec<(ContentHash, Letter)> {
        let rows = deeds.iter().zip(0..).filter_map(|(action, content)| {
            let sent = action.send.filter(|_| accepts);
            let new = action.remember.then_some(Letter {
                met: Ticks(7),
                accepted: false,
            });
            Some((ContentHash(content), sent.or(new)?))
        });
        rows.collect()
    }

    #[test]
    fn a_content_is_counted_told_and_sent_once() {
        let mut letters = SweepLetters::new([]);
        let deeds = met(&mut letters, 0..1);
        assert!(deeds[0].count && deeds[0].log && deeds[0].remember);
        assert_eq!(
            met(&mut letters, 0..1),
            [LetterAction::default()],
            "met again on the next page"
        );
        let mut next = SweepLetters::new(kept(&deeds, true));
        assert_eq!(
            met(&mut next, 0..1),
            [LetterAction::default()],
            "met again by the next sweep"
        );
    }

    #[test]
    fn what_the_topic_did_not_accept_is_sent_again_and_not_counted_again() {
        let deeds = met(&mut SweepLetters::new([]), 0..1);
        let again = met(&mut SweepLetters::new(kept(&deeds, false)), 0..1);
        let letter = Letter {
            met: Ticks(7),
            accepted: true,
        };
        let expected = LetterAction {
            send: Some(letter),
            ..LetterAction::default()
        };
        assert_eq!(again, [expected]);
    }

    #[test]
    fn a_flood_is_counted_as_a_whole_and_all_else_is_bounded() {
        let (mut letters, flood) = (SweepLetters::new([]), 100_000);
        let deeds = met(&mut letters, 0..flood);
        assert_eq!(number(&deeds, |action| action.count), flood as usize);
        assert_eq!(number(&deeds, |action| action.log), MOST_LOGGED);
        assert_eq!(number(&deeds, |action| action.remember), MOST);
        assert_eq!(number(&deeds, |action| action.send.is_some()), MOST_SENT);
        assert_eq!(
            letters.unlogged() + letters.beyond(),
            flood - MOST_LOGGED as u64
        );
        assert!(letters.met.len() <= 2 * MOST, "memory");
        // The next sweep sends the next letters, and no more contents are remembered.
        let mut next = SweepLetters::new(kept(&deeds, true));
        let again = met(&mut next, 0..MOST as u64);
        assert_eq!(number(&again, |action| action.count || action.remember), 0);
        assert_eq!(number(&again, |action| action.send.is_some()), MOST_SENT);
        let others = met(&mut next, flood..flood + 10);
        assert_eq!(number(&others, |action| action.count), 10);
        assert_eq!(
            number(&others, |action| action.remember
                || action.log
                || action.send.is_some()),
            0
        );
        assert_eq!(next.beyond(), 10);
    }
}
