//! What follows when a sweep or a back-fill has ended: the board, the log, the pause, the next piece of work.

use tokio::task::{Id, JoinError};
use tokio::time::Instant;

use super::super::board::Turn;
use super::super::sweeper::{Halt, Swept};
use super::{Dispatcher, Ended, Work};
use crate::core::backoff::pause;
use crate::core::failure::{Failure, Health, Reaction};
use crate::core::slots::{Use, jitter};
use crate::core::ticks::Ticks;

impl Dispatcher {
    pub(super) fn ended(&mut self, ended: Result<(Id, Ended), JoinError>) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some((tenant, work)) = self.at_work.remove(&id) else {
            return;
        };
        self.posts[tenant].running = None;
        let ended = ended.map_or_else(
            |error| broken(self.sweeper.clock.now(), &error),
            |(_, ended)| ended,
        );
        match work {
            Work::Sweep => self.sweep_ended(tenant, &ended),
            Work::Fill => self.fill_ended(tenant, &ended.swept),
        }
    }

    fn sweep_ended(&mut self, tenant: usize, ended: &Ended) {
        if let Some(turn) = self.board.note(tenant, ended.began, &ended.swept) {
            self.announce(tenant, &turn);
        }
        match &ended.swept.halt {
            // What is held back is tried with each sweep; the tenant's other incidents must not wait for it.
            None | Some(Halt::HeldBack(_)) => {
                self.posts[tenant].failures = 0;
                self.posts[tenant].resting_until = None;
                if let Some(state) = ended
                    .swept
                    .state
                    .as_ref()
                    .filter(|_| !self.sweeper.stop.is_cancelled())
                {
                    self.start_fill(tenant, state);
                }
            }
            Some(Halt::Failed(failure)) => self.rest(tenant, failure),
            Some(Halt::Stopped) => {}
        }
    }

    fn fill_ended(&mut self, tenant: usize, swept: &Swept) {
        self.board.note_fill(tenant, swept);
        let post = &mut self.posts[tenant];
        match &swept.halt {
            Some(Halt::Failed(failure)) => {
                post.fill_failures = post.fill_failures.saturating_add(1);
                let chance = jitter(post.tenant.id, Use::Backoff, u64::from(post.fill_failures));
                let pause = pause(failure.reaction, post.fill_failures, chance);
                post.fill_resting_until = Some(Instant::now() + pause);
                tracing::debug!(tenant = %post.tenant.id, error = %failure, retry_seconds = pause.as_secs(), "back-fill failed");
            }
            // What is held back rests by itself, and a backlog that takes long must not have its failures added up.
            Some(Halt::HeldBack(_) | Halt::Stopped) | None => post.fill_failures = 0,
        }
        if post.turn_waits && !self.sweeper.stop.is_cancelled() {
            self.start(tenant);
        }
    }

    fn rest(&mut self, tenant: usize, failure: &Failure) {
        let post = &mut self.posts[tenant];
        post.failures = post.failures.saturating_add(1);
        let chance = jitter(post.tenant.id, Use::Backoff, u64::from(post.failures));
        let pause = pause(failure.reaction, post.failures, chance);
        post.resting_until = Some(Instant::now() + pause);
        post.wants_credential = failure.health == Health::Credential;
        tracing::debug!(tenant = %post.tenant.id, error = %failure, retry_seconds = pause.as_secs(), "sweep failed");
        self.enqueue(tenant, pause, true);
    }

    /// In the log, and to the status topic.
    fn announce(&mut self, tenant: usize, turn: &Turn) {
        let tenant = &self.posts[tenant].tenant;
        let uptime = self.sweeper.started.elapsed();
        self.bulletin.tell(tenant.id, &tenant.name, turn, uptime);
        let (what, remedy) = turn.failure.as_ref().map_or(("", ""), |failure| {
            (failure.what.as_str(), failure.remedy.as_str())
        });
        if let Some(record) = tenant.encoder.health(turn.at, turn.after, what, remedy) {
            self.herald.announce(record);
        }
    }
}

/// A sweep that panicked: our fault, and this tenant's alone.
fn broken(now: Ticks, error: &JoinError) -> Ended {
    let failure = Failure::new(
        Health::Unreachable,
        Reaction::Backoff,
        format!("a defect in incidentd ended the sweep: {error}"),
        "Please report this with the log lines before it. The tenant is tried again.",
    );
    Ended {
        began: now,
        swept: Swept {
            halt: Some(Halt::Failed(failure)),
            ..Swept::default()
        },
    }
}
