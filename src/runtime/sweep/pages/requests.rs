//! The requests of one sweep. Each is first taken from the tenant's budget, and its answer comes in chunks that are
//! charged.
//!
//! A refused token is renewed once, and the same page is requested again. A stop takes effect between any two chunks of
//! a page, never during a commit.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::failures::{slow_answer, too_many_waiting, without_token};
use crate::core::health::failure::Reaction;
use crate::core::pace::budget::Purpose;
use crate::core::sweep::pager::PageAsk;
use crate::ports::{AccessToken, Event, PageBody};
use crate::runtime::limits::Permit;
use crate::runtime::sweep::batch::{BatchBuilder, BatchReport, HeldBytes};
use crate::runtime::sweep::memory::Memory;
use crate::runtime::sweep::{Halt, SweepScope};
use crate::runtime::tenant::Tenant;

/// Publish what has arrived if the next request takes longer than this.
const LONG_WAIT: Duration = Duration::from_secs(3);

const ALERTS_TOO_SLOW: &str =
    "alerts that Microsoft gives separately took too long while others waited for memory";

pub(in crate::runtime::sweep) struct SweepRequests<'a> {
    /// Owned, because room has to be made for each chunk of an answer.
    pub(in crate::runtime::sweep) batch: BatchBuilder<'a>,
    pub(in crate::runtime::sweep) memory: &'a mut Memory,
    pub(super) purpose: Purpose,
    /// No new page begins once this is cancelled.
    give_way: CancellationToken,
    /// When the current answer was requested. `None`: it has arrived completely.
    pub(super) asked: Option<Instant>,
    /// A page was requested, and part of it, or of its alerts, is still missing.
    page_open: bool,
    /// Requests other than for pages of the list.
    side_requests: u32,
}

impl<'a> SweepRequests<'a> {
    pub(in crate::runtime::sweep) fn new(
        batch: BatchBuilder<'a>,
        memory: &'a mut Memory,
        purpose: Purpose,
        give_way: CancellationToken,
    ) -> Self {
        Self {
            batch,
            memory,
            purpose,
            give_way,
            asked: None,
            page_open: false,
            side_requests: 0,
        }
    }

    pub(in crate::runtime::sweep) fn tenant(&self) -> &'a Tenant {
        self.batch.scope.tenant
    }

    pub(in crate::runtime::sweep) fn uptime(&self) -> Duration {
        self.batch.scope.sweeper.uptime()
    }

    /// The number of requests other than for pages of the list since the last call.
    pub(in crate::runtime::sweep) fn take_side_requests(&mut self) -> u32 {
        std::mem::take(&mut self.side_requests)
    }

    pub(super) fn count_side_request(&mut self) {
        self.side_requests = self.side_requests.saturating_add(1);
    }

    pub(in crate::runtime::sweep) fn finish(&mut self) -> BatchReport {
        self.batch.finish(&mut self.memory.notices.letters_full)
    }

    /// Ends a page, successful or not.
    pub(super) fn end_page(&mut self) {
        self.asked = None;
        self.page_open = false;
        self.batch.permit.end_turn();
    }

    /// Commits the batch if it would otherwise wait too long. A search behind a gateway that asks for a pause at each
    /// step takes minutes, and so do the alerts of a single incident with one page a second.
    pub(super) async fn publish_before_a_wait(&mut self) -> Result<(), Halt> {
        let wait = self.memory.pace.budget.wait(self.purpose, self.uptime());
        if wait + self.batch.waits() >= LONG_WAIT {
            self.batch.commit(None).await?;
        }
        Ok(())
    }

    /// Makes room for the next chunk of an answer, and returns it.
    pub(super) async fn chunk(&mut self, body: &mut dyn PageBody) -> Result<Option<Bytes>, Halt> {
        let BatchBuilder {
            permit,
            bytes,
            scope,
            ..
        } = &mut self.batch;
        let (holds, patience) = (bytes.any(), permit.patience());
        let pressed = async {
            sleep(patience).await;
            scope.sweeper.bytes.pressed().await;
        };
        let next = async {
            tokio::select! {
                biased;
                chunk = body.chunk() => chunk,
                () = pressed, if holds => Err(slow_answer("it came too slowly while others waited for memory")),
            }
        };
        let chunk = answer(&scope.halt, permit, next).await??;
        if let Some(chunk) = &chunk {
            self.batch.make_room(chunk.len()).await?;
        }
        Ok(chunk)
    }

    /// Requests a page. A refused token is renewed once, and the same page is requested again.
    pub(super) async fn open(&mut self, ask: &PageAsk) -> Result<Box<dyn PageBody>, Halt> {
        self.batch.permit.begin_page();
        let paused = self.memory.pace.paused_for(self.uptime());
        if let (Purpose::Live, Some(pause)) = (self.purpose, paused) {
            return Err(pause.into());
        }
        let tokens = &self.tenant().tokens;
        let token = self
            .wait_for(tokens.token())
            .await?
            .map_err(without_token)?;
        let failure = match self.send(ask, &token).await {
            Err(Halt::Failed(failure)) if failure.reaction == Reaction::RenewToken => failure,
            answer => return answer,
        };
        if !tokens.may_renew(&token) {
            return Err(failure.after_renewal().into());
        }
        let renewed = self.wait_for(tokens.renew(&token)).await?;
        let token = renewed.map_err(without_token)?;
        self.send(ask, &token).await.map_err(|halt| match halt {
            Halt::Failed(failure) => failure.after_renewal().into(),
            halt => halt,
        })
    }

    async fn send(
        &mut self,
        ask: &PageAsk,
        token: &AccessToken,
    ) -> Result<Box<dyn PageBody>, Halt> {
        self.spend().await?;
        let tenant = self.tenant();
        let asked = Instant::now();
        let holds_page = std::mem::replace(&mut self.page_open, true);
        self.asked = Some(asked);
        let open = tenant.source.open(ask, token);
        let BatchBuilder {
            permit,
            bytes,
            scope,
            ..
        } = &mut self.batch;
        let answered = match holds_page {
            true => answer(&scope.halt, permit, unless_pressed(bytes, open)).await?,
            // The sweep holds at most a batch, and the wait is bounded.
            false => answer(&scope.halt, permit, open).await.map(Some)?,
        };
        let answered = answered.unwrap_or_else(|| Err(slow_answer(ALERTS_TOO_SLOW)));
        let status = match &answered {
            Ok(_) => 200,
            Err(failure) => failure.status.unwrap_or(0),
        };
        scope.sweeper.observer.see(Event::ApiRequest {
            source: tenant.source.name(),
            status,
            took: asked.elapsed(),
        });
        self.charge_resent();
        match answered {
            Ok(page) => {
                self.note_served(token);
                Ok(page)
            }
            Err(failure) => {
                if failure.status == Some(403) {
                    tenant.tokens.forget(token);
                }
                Err(self.heed(failure, asked.elapsed()).into())
            }
        }
    }

    /// Waits until a request may go out, and takes it from the tenant's budget. The budget comes last, so that no
    /// request is taken without being sent.
    async fn spend(&mut self) -> Result<(), Halt> {
        // A page in progress may send its requests until the halt.
        let halt = match self.page_open {
            true => self.batch.scope.halt.clone(),
            false => self.give_way.clone(),
        };
        loop {
            let BatchBuilder {
                permit,
                bytes,
                scope: SweepScope { sweeper, .. },
                ..
            } = &mut self.batch;
            let (purpose, budget) = (self.purpose, &mut self.memory.pace.budget);
            let attempt = async {
                permit.enter().await;
                let taken = budget.take(purpose, sweeper.uptime());
                match taken {
                    Ok(()) => permit.begin_turn(),
                    // At least a millisecond, which is the resolution of the timer.
                    Err(wait) => permit.rest(wait.max(Duration::from_millis(1))).await,
                }
                taken.is_ok()
            };
            let attempt = unless_pressed(bytes, attempt);
            let taken = halt.run_until_cancelled(attempt).await;
            match taken.ok_or(Halt::Stopped)? {
                Some(true) => return Ok(()),
                Some(false) => {}
                None => self.release_bytes().await?,
            }
        }
    }

    /// Commits the batch because others wait for bytes. Gives up a page whose further alerts are still missing.
    async fn release_bytes(&mut self) -> Result<(), Halt> {
        self.batch.commit(None).await?;
        if self.page_open {
            return Err(slow_answer(ALERTS_TOO_SLOW).into());
        }
        self.batch.release_page();
        Ok(())
    }

    /// Waits for something from outside.
    async fn wait_for<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Halt> {
        answer(&self.batch.scope.halt, self.batch.permit, work).await
    }
}

/// Waits for something from outside until `halt`, aside if it takes long.
async fn answer<T>(
    halt: &CancellationToken,
    permit: &mut Permit,
    work: impl Future<Output = T>,
) -> Result<T, Halt> {
    let halted = halt.run_until_cancelled(permit.wait_for_answer(work));
    let answered = halted.await.ok_or(Halt::Stopped)?;
    Ok(answered.map_err(too_many_waiting)?)
}

/// Runs `work`. `None`: others need the bytes that are held.
async fn unless_pressed<T>(bytes: &HeldBytes, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        // Check this first: fast answers without an end would otherwise hide it.
        () = bytes.pressed() => None,
        done = work => Some(done),
    }
}
