//! Reads the pages of a walk: one request after the other, each spent from the tenant's budget first.
//!
//! A page that fails is repeated by the next sweep, as a rule. Three failures are dealt with on the spot:
//! - a refused token is renewed once, and the same page asked for again;
//! - a refused nextLink is done without;
//! - a page that is too large, or fails again and again, is halved until a single incident is left. That one is listed
//!   without its alerts, to learn its id, then fetched alone, and if that fails too, published without its alerts. Where the
//!   API can't list without alerts, the place is passed. Either way it becomes part of the backlog, which tries again.
//!
//! Alerts that continue on pages of their own are fetched one page after the other ([`alerts`]).
//!
//! A stop is honoured between any two pieces of a page, never during a commit.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::core::health::failure::{Failure, Reaction};
use crate::core::incident::page::{Splitter, partial};
use crate::core::pace::budget::Purpose;
use crate::core::sweep::pager::{NextStep, PageAsk, Pager};
use crate::ports::{AccessToken, Event, PageBody};
use crate::runtime::limits::Permit;
use crate::runtime::sweep::batch::BatchBuilder;
use crate::runtime::sweep::{Halt, Subject, Sweeper};

mod alerts;
mod failures;
mod page_end;
mod pauses;
mod search;

use failures::{crowded, too_many_silent, without_token};
pub(super) use page_end::AnswerDates;
use page_end::PageEnd;

/// No longer than this what came already waits for the next request before it is published.
const LONG_WAIT: Duration = Duration::from_secs(3);

const ALERTS_TOO_SLOW: &str =
    "alerts that Microsoft gives separately took too long while others waited for memory";

/// How far a walk came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadEnd {
    OfList,
    /// To the limit of pages that was given; it can be walked on.
    AtLimit,
}

pub(super) struct PageReader<'a> {
    sweeper: &'a Sweeper,
    tenant: &'a Subject<'a>,
    pub(super) permit: &'a mut Permit,
    purpose: Purpose,
    halt: CancellationToken,
    /// No further page is to be begun.
    give_way: CancellationToken,
    /// Failing pages are being searched for what spoils them.
    searching: bool,
    /// When what is being read was asked for; `None`: it has been answered to its end.
    asked: Option<Instant>,
    /// A page was asked for, and something of it, or beside it, is still to come.
    under_way: bool,
    /// Requests beside those for pages of the list.
    beside: u32,
    /// Incidents of the page being read whose further alerts did not come.
    without_alerts: u32,
    /// Pages of alerts that were asked for.
    alert_pages: u32,
    /// Why a page was said to be incomplete, though it came whole.
    partial: Option<Failure>,
    times: AnswerDates,
}

impl<'a> PageReader<'a> {
    pub(super) fn new(
        sweeper: &'a Sweeper,
        tenant: &'a Subject<'a>,
        permit: &'a mut Permit,
        purpose: Purpose,
        halt: CancellationToken,
    ) -> Self {
        Self {
            sweeper,
            tenant,
            permit,
            purpose,
            give_way: halt.clone(),
            halt,
            searching: false,
            asked: None,
            under_way: false,
            beside: 0,
            without_alerts: 0,
            alert_pages: 0,
            partial: None,
            times: AnswerDates::default(),
        }
    }

    /// It ends between two pages once `give_way` is cancelled, not only in the midst of one by its halt.
    pub(super) fn giving_way(mut self, give_way: CancellationToken) -> Self {
        self.give_way = give_way;
        self
    }

    /// Requests made beside those for pages of the list, since this was asked last.
    pub(super) fn take_beside(&mut self) -> u32 {
        std::mem::take(&mut self.beside)
    }

    /// Why something is missing in what was read, although every page came to its end.
    pub(super) fn partial(&self) -> Option<&Failure> {
        self.partial.as_ref()
    }

    /// Goes on with `walk` until its end, or until it has read `limit` pages.
    pub(super) async fn walk(
        &mut self,
        walk: &mut Pager,
        intake: &mut BatchBuilder<'_>,
        limit: u32,
    ) -> Result<ReadEnd, Halt> {
        walk.set_clock(self.sweeper.clock.now());
        loop {
            walk.begin_page();
            match self.page(&walk.ask(), walk, intake).await {
                Ok(page) => {
                    self.end_turn();
                    if let Some(why) = page.partial {
                        walk.distrust();
                        self.partial.get_or_insert_with(|| partial(&why));
                    }
                    self.note_time(page.date);
                    let step = walk.end_page(page.next_link, page.date);
                    self.note_filter(walk, step)?;
                    if step == NextStep::Done {
                        return Ok(ReadEnd::OfList);
                    }
                    self.choose_way(walk, page.refused);
                    if walk.pages() >= limit {
                        return Ok(ReadEnd::AtLimit);
                    }
                }
                Err(Halt::Failed(failure)) => {
                    self.end_turn();
                    self.recover(walk, intake, failure).await?;
                }
                Err(Halt::Stopped) => return Err(self.broken_off(walk)),
                Err(halt) => return Err(halt),
            }
        }
    }

    fn end_turn(&mut self) {
        self.asked = None;
        self.under_way = false;
        self.permit.end_turn();
    }

    /// Reads a page into `intake`, and has `walk` note what it shows.
    async fn page(
        &mut self,
        ask: &PageAsk,
        walk: &mut Pager,
        intake: &mut BatchBuilder<'_>,
    ) -> Result<PageEnd, Halt> {
        self.without_alerts = 0;
        self.publish_before_a_wait(intake).await?;
        let mut body = self.open(ask, intake).await?;
        intake.begin_page();
        let (mut splitter, mut continued) = (Splitter::default(), Vec::new());
        while let Some(chunk) = self.chunk(&mut *body, intake).await? {
            let mut elements = Vec::new();
            let cut = splitter.feed(&chunk, &mut elements);
            let (here, elsewhere) = self.set_apart(elements, &mut *body, walk, intake).await;
            continued.extend(elsewhere);
            intake
                .take(here, walk, splitter.held(), self.permit)
                .await?;
            cut.map_err(Failure::from)?;
        }
        self.asked = None;
        let page = PageEnd::ended(splitter.finish().map_err(Failure::from)?, &*body);
        drop(body);
        intake.take_outside(walk, self.permit).await?;
        for incident in continued {
            self.continued(incident, walk, intake).await?;
        }
        Ok(page)
    }

    /// What came must not wait with the reader: a search behind a gateway that asks for a pause at each step takes minutes,
    /// and so do the alerts of a single incident, a page of them each second.
    async fn publish_before_a_wait(&mut self, intake: &mut BatchBuilder<'_>) -> Result<(), Halt> {
        let (purpose, uptime) = (self.purpose, self.sweeper.uptime());
        let wait = self.tenant.memory().budget.wait(purpose, uptime);
        if wait + intake.waits() >= LONG_WAIT {
            intake.commit(self.permit, None).await?;
        }
        Ok(())
    }

    /// The next piece of a page, with room made for it.
    async fn chunk(
        &mut self,
        body: &mut dyn PageBody,
        intake: &mut BatchBuilder<'_>,
    ) -> Result<Option<Bytes>, Halt> {
        let bytes = &self.sweeper.bytes;
        let (holds, patience) = (intake.holds_bytes(), self.permit.patience());
        let pressed = async {
            sleep(patience).await;
            bytes.pressed().await;
        };
        let next = async {
            tokio::select! {
                biased;
                chunk = body.chunk() => chunk,
                () = pressed, if holds => Err(crowded("it came too slowly while others waited for memory")),
            }
        };
        let halted = self
            .halt
            .run_until_cancelled(self.permit.wait_for_answer(next));
        let chunk = halted
            .await
            .ok_or(Halt::Stopped)?
            .map_err(too_many_silent)??;
        if let Some(chunk) = &chunk {
            intake.make_room(chunk.len(), self.permit).await?;
        }
        Ok(chunk)
    }

    /// Asks for a page. A refused token is renewed once and the same page asked for again.
    async fn open(
        &mut self,
        ask: &PageAsk,
        intake: &mut BatchBuilder<'_>,
    ) -> Result<Box<dyn PageBody>, Halt> {
        self.permit.begin_page();
        let tenant = self.tenant;
        let uptime = self.sweeper.uptime();
        if let (Purpose::Live, Some(pause)) = (self.purpose, tenant.memory().paused_for(uptime)) {
            return Err(pause.into());
        }
        let token = self.answer(tenant.tokens.token()).await?;
        let token = token.map_err(without_token)?;
        let failure = match self.ask(ask, &token, intake).await {
            Err(Halt::Failed(failure)) if failure.reaction == Reaction::RenewToken => failure,
            answer => return answer,
        };
        if !tenant.tokens.may_renew(&token) {
            return Err(failure.after_renewal().into());
        }
        let token = self.answer(tenant.tokens.renew(&token)).await?;
        let token = token.map_err(without_token)?;
        self.ask(ask, &token, intake)
            .await
            .map_err(|halt| match halt {
                Halt::Failed(failure) => failure.after_renewal().into(),
                halt => halt,
            })
    }

    async fn ask(
        &mut self,
        ask: &PageAsk,
        token: &AccessToken,
        intake: &mut BatchBuilder<'_>,
    ) -> Result<Box<dyn PageBody>, Halt> {
        let tenant = self.tenant;
        self.spend(intake).await?;
        let source = tenant.source.name();
        let asked = Instant::now();
        let beside = std::mem::replace(&mut self.under_way, true);
        self.asked = Some(asked);
        let open = tenant.source.open(ask, token);
        let answer = match beside {
            true => self.answer(unless_pressed(intake, open)).await?,
            // What may be held is less than a batch, and the wait has its limit.
            false => self.answer(open).await.map(Some)?,
        };
        let answer = answer.unwrap_or_else(|| Err(crowded(ALERTS_TOO_SLOW)));
        let status = match &answer {
            Ok(_) => 200,
            Err(failure) => failure.status.unwrap_or(0),
        };
        let observer = &self.sweeper.observer;
        observer.see(Event::ApiRequest {
            source,
            status,
            took: asked.elapsed(),
        });
        self.account();
        match answer {
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

    /// Waits until a request may be made, and takes it from the tenant's budget: last, so that none is taken in vain.
    async fn spend(&mut self, intake: &mut BatchBuilder<'_>) -> Result<(), Halt> {
        let (sweeper, tenant) = (self.sweeper, self.tenant);
        // What a page under way still needs is asked for until the halt.
        let halt = match self.under_way {
            true => self.halt.clone(),
            false => self.give_way.clone(),
        };
        loop {
            let permit = &mut *self.permit;
            let purpose = self.purpose;
            let attempt = async {
                permit.enter().await;
                let taken = tenant.memory().budget.take(purpose, sweeper.uptime());
                match taken {
                    Ok(()) => permit.begin_turn(),
                    // Never less than a millisecond: the timer's resolution.
                    Err(wait) => permit.rest(wait.max(Duration::from_millis(1))).await,
                }
                taken.is_ok()
            };
            let attempt = unless_pressed(intake, attempt);
            let taken = halt.run_until_cancelled(attempt).await;
            match taken.ok_or(Halt::Stopped)? {
                Some(true) => return Ok(()),
                Some(false) => {}
                None => self.make_way(intake).await?,
            }
        }
    }

    /// Others wait for bytes: what is at hand is published. A page whose further alerts are still to come is given up.
    async fn make_way(&mut self, intake: &mut BatchBuilder<'_>) -> Result<(), Halt> {
        intake.commit(self.permit, None).await?;
        if self.under_way {
            return Err(crowded(ALERTS_TOO_SLOW).into());
        }
        intake.let_go();
        Ok(())
    }

    /// Waits for something from outside.
    async fn answer<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Halt> {
        let halted = self
            .halt
            .run_until_cancelled(self.permit.wait_for_answer(work));
        Ok(halted
            .await
            .ok_or(Halt::Stopped)?
            .map_err(too_many_silent)?)
    }
}

/// `None`: others have come to need the bytes that `intake` holds.
async fn unless_pressed<T>(intake: &BatchBuilder<'_>, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        // First: answers may come fast, and yet without an end.
        () = intake.pressed() => None,
        done = work => Some(done),
    }
}
