//! What follows when a sweep or a back-fill has ended: the board, the log, the pause, the next piece of work.

use std::sync::Arc;

use tokio::task::{Id, JoinError};
use tokio::time::Instant;

use super::{Dispatcher, Ended, Post, Work};
use crate::core::health::failure::{Failure, Health, Reaction};
use crate::core::ids::TenantId;
use crate::core::pace::backoff::pause;
use crate::core::time::spread::{Use, jitter};
use crate::runtime::health::board::HealthChange;
use crate::runtime::sweep::memory::Memory;
use crate::runtime::sweep::{Halt, SweepOutcome};

impl Dispatcher {
    pub(super) fn ended(&mut self, ended: Result<(Id, Ended), JoinError>) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some((of, work)) = self.at_work.remove(&id) else {
            return;
        };
        let Some(post) = self.posts.get_mut(&of.id) else {
            return;
        };
        post.running = None;
        if post.gone {
            self.posts.remove(&of.id);
            return;
        }
        let outdated = !Arc::ptr_eq(&post.tenant, &of);
        let mut ended = ended.map_or_else(|error| broken(&error), |(_, ended)| ended);
        let uptime = self.sweeper.started.elapsed();
        let memory = ended.swept.memory.take();
        let memory = memory.unwrap_or_else(|| Memory::new(&of.rules, uptime));
        post.memory = Some(match outdated {
            true => memory.succeed(&of, &post.tenant, uptime),
            false => memory,
        });
        match work {
            _ if outdated => self.outdated_ended(of.id, &ended.swept),
            Work::Sweep => self.sweep_ended(of.id, &ended),
            Work::Fill => self.fill_ended(of.id, &ended),
        }
    }

    /// What began before a reload has come to rest: the tenant's new settings take over at once.
    fn outdated_ended(&mut self, tenant: TenantId, swept: &SweepOutcome) {
        self.board.note_outdated(tenant, swept);
        if !self.sweeper.stop.is_cancelled() {
            self.start(tenant);
        }
    }

    fn sweep_ended(&mut self, tenant: TenantId, ended: &Ended) {
        if let Some(turn) = self.board.note(tenant, ended.began, &ended.swept) {
            self.announce(tenant, &turn);
        }
        match &ended.swept.halt {
            // What is held back is tried with each sweep; the tenant's other incidents must not wait for it.
            None | Some(Halt::HeldBack(_)) => {
                if let Some(post) = self.posts.get_mut(&tenant) {
                    (post.failures, post.resting_until) = (0, None);
                }
                self.foresee(tenant);
                let stopping = self.sweeper.stop.is_cancelled();
                if let Some(state) = ended.swept.state.as_ref().filter(|_| !stopping) {
                    self.start_fill(tenant, state);
                }
            }
            Some(Halt::Failed(failure)) => self.rest(tenant, failure),
            Some(Halt::Stopped) => {}
        }
    }

    fn fill_ended(&mut self, tenant: TenantId, ended: &Ended) {
        let swept = &ended.swept;
        if let Some(turn) = self.board.note_fill(tenant, swept) {
            self.announce(tenant, &turn);
        }
        let Some(post) = self.posts.get_mut(&tenant) else {
            return;
        };
        post.fill_since = ended.last_turn.unwrap_or(post.fill_since);
        match &swept.halt {
            Some(Halt::Failed(failure)) => {
                post.fill_failures = post.fill_failures.saturating_add(1);
                let chance = jitter(tenant, Use::Backoff, u64::from(post.fill_failures));
                let pause = pause(failure.reaction, post.fill_failures, chance);
                post.fill_resting_until = Some(Instant::now() + pause);
                tracing::debug!(%tenant, error = %failure, retry_seconds = pause.as_secs(), "back-fill failed");
            }
            // What is held back rests by itself, and a backlog that takes long must not have its failures added up.
            Some(Halt::HeldBack(_) | Halt::Stopped) | None => post.fill_failures = 0,
        }
        if post.turn_waits && !self.sweeper.stop.is_cancelled() {
            self.start(tenant);
        }
    }

    fn rest(&mut self, tenant: TenantId, failure: &Failure) {
        let Some(post) = self.posts.get_mut(&tenant) else {
            return;
        };
        post.failures = post.failures.saturating_add(1);
        let chance = jitter(tenant, Use::Backoff, u64::from(post.failures));
        let pause = pause(failure.reaction, post.failures, chance);
        post.resting_until = Some(Instant::now() + pause);
        post.wants_credential = failure.health == Health::Credential;
        tracing::debug!(%tenant, error = %failure, retry_seconds = pause.as_secs(), "sweep failed");
        self.enqueue(tenant, pause, true);
    }

    /// In the log, and to the status topic.
    fn announce(&mut self, tenant: TenantId, turn: &HealthChange) {
        let Some(Post { tenant, .. }) = self.posts.get(&tenant) else {
            return;
        };
        let uptime = self.sweeper.started.elapsed();
        self.log.tell(tenant.id, &tenant.name, turn, uptime);
        let (what, remedy) = turn.failure.as_ref().map_or(("", ""), |failure| {
            (failure.what.as_str(), failure.remedy.as_str())
        });
        if let Some(record) = tenant.encoder.health(turn.at, turn.after, what, remedy) {
            self.topic.announce(record);
        }
    }
}

/// A sweep that panicked: our fault, and this tenant's alone.
fn broken(error: &JoinError) -> Ended {
    let failure = Failure::new(
        Health::Unreachable,
        Reaction::Backoff,
        format!("a defect in incidentd ended the sweep: {error}"),
        "Please report this with the log lines before it. The tenant is tried again.",
    );
    Ended {
        began: Instant::now(),
        swept: SweepOutcome {
            halt: Some(Halt::Failed(failure)),
            ..SweepOutcome::default()
        },
        last_turn: None,
    }
}
