//! One tenant's list of incidents, as a server pages it, and what it does wrong.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::sleep;

use super::START;
use crate::core::failure::Failure;
use crate::core::reading::Shape;
use crate::core::ticks::Ticks;
use crate::core::version::Origin;
use crate::ports::{AccessToken, IncidentSource, PageAsk, PageBody};

static SHAPE: Shape = Shape {
    origin: Origin::Defender,
    id: "id",
    updated: "at",
    status: "status",
    redirect: "redirect",
};

/// The order in which a list shows its incidents.
#[derive(Debug, Clone, Copy)]
pub enum Order {
    NewestFirst,
    OldestFirst,
    Shuffled,
}

/// A version: incident id, last update, and a number that stands for its content.
pub type Version = (u64, i64, u32);

type Hook = Box<dyn FnMut(&Server) + Send>;

/// One tenant's incidents, as a server lists them, and what it does wrong.
pub struct Server {
    pub order: Order,
    /// The server's own page size, with nextLinks; `None`: it follows `$top` and `$skip`.
    pub cap: Option<usize>,
    pub incidents: Mutex<BTreeMap<u64, (i64, u32)>>,
    pub shown: Mutex<HashSet<Version>>,
    pub asks: AtomicU32,
    pub at_work: AtomicU32,
    pub most_at_work: AtomicU32,
    pub now: Mutex<Ticks>,
    /// Called before each page is made.
    pub before_page: Mutex<Hook>,
    /// What happens to the next pages, the last first.
    pub faults: Mutex<Vec<Fault>>,
    pub delay: Mutex<Duration>,
}

#[derive(Debug, Clone)]
pub enum Fault {
    Refuse(Failure),
    /// The page ends after so many bytes.
    Cut(usize),
    /// An element that is no incident stands first in the page.
    Garbage(&'static str),
    Partial,
}

impl Server {
    pub fn new(order: Order, cap: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            order,
            cap,
            incidents: Mutex::default(),
            shown: Mutex::default(),
            asks: AtomicU32::new(0),
            at_work: AtomicU32::new(0),
            most_at_work: AtomicU32::new(0),
            now: Mutex::new(START),
            before_page: Mutex::new(Box::new(|_| {})),
            faults: Mutex::default(),
            delay: Mutex::default(),
        })
    }

    pub fn set(&self, id: u64, at: Ticks, content: u32) {
        self.incidents
            .lock()
            .expect("lock")
            .insert(id, (at.0, content));
    }

    fn rows(&self, from: Ticks, skip: usize, count: usize) -> (Vec<Version>, bool) {
        let incidents = self.incidents.lock().expect("lock");
        let mut rows: Vec<_> = incidents
            .iter()
            .map(|(id, (at, content))| (*id, *at, *content))
            .collect();
        rows.retain(|(_, at, _)| *at >= from.0);
        rows.sort_by_key(|(id, at, _)| match self.order {
            Order::NewestFirst => (-at, *id),
            Order::OldestFirst => (*at, *id),
            Order::Shuffled => (
                (id.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (*at as u64) << 3).cast_signed(),
                *id,
            ),
        });
        let more = rows.len() > skip + count;
        (rows.into_iter().skip(skip).take(count).collect(), more)
    }

    fn page(&self, ask: &PageAsk) -> Result<FakeBody, Failure> {
        let (from, skip, top) = match ask {
            PageAsk::Query { from, top, skip } => (*from, *skip as usize, *top as usize),
            PageAsk::Link(link) => {
                let (from, skip) = link.split_once(' ').expect("our own link");
                (
                    Ticks(from.parse().expect("number")),
                    skip.parse().expect("number"),
                    0,
                )
            }
        };
        let fault = self.faults.lock().expect("lock").pop();
        if let Some(Fault::Refuse(failure)) = fault {
            return Err(failure);
        }
        let size = self.cap.unwrap_or(top);
        let (rows, more) = self.rows(from, skip, size);
        let mut elements: Vec<_> = rows.iter().map(|row| text(*row)).collect();
        if let Some(Fault::Garbage(garbage)) = fault {
            elements.insert(0, garbage.to_owned());
        }
        let link = if self.cap.is_some() && more {
            format!(",\"@odata.nextLink\":\"{} {}\"", from.0, skip + size)
        } else {
            String::new()
        };
        let mut body = format!("{{\"value\":[{}]{link}}}", elements.join(",")).into_bytes();
        let mut shown = rows;
        if let Some(Fault::Cut(at)) = fault {
            body.truncate(at);
            shown.retain(|row| {
                body.windows(text(*row).len())
                    .any(|window| window == text(*row).as_bytes())
            });
        }
        self.shown.lock().expect("lock").extend(shown);
        Ok(FakeBody {
            date: *self.now.lock().expect("lock"),
            rest: body,
            partial: matches!(fault, Some(Fault::Partial)),
        })
    }
}

fn text((id, at, content): Version) -> String {
    let at = Ticks(at);
    format!("{{\"id\":{id},\"at\":\"{at}\",\"content\":{content}}}")
}

impl IncidentSource for Server {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn shape(&self) -> &'static Shape {
        &SHAPE
    }

    fn open<'a>(
        &'a self,
        ask: &'a PageAsk,
        _: &'a AccessToken,
    ) -> BoxFuture<'a, Result<Box<dyn PageBody>, Failure>> {
        async move {
            self.asks.fetch_add(1, Ordering::SeqCst);
            let at_work = self.at_work.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_at_work.fetch_max(at_work, Ordering::SeqCst);
            let delay = *self.delay.lock().expect("lock");
            sleep(delay).await;
            let mut before = std::mem::replace(
                &mut *self.before_page.lock().expect("lock"),
                Box::new(|_| {}),
            );
            before(self);
            *self.before_page.lock().expect("lock") = before;
            let page = self.page(ask);
            self.at_work.fetch_sub(1, Ordering::SeqCst);
            page.map(|body| Box::new(body) as Box<dyn PageBody>)
        }
        .boxed()
    }
}

pub struct FakeBody {
    date: Ticks,
    rest: Vec<u8>,
    partial: bool,
}

impl PageBody for FakeBody {
    fn date(&self) -> Option<Ticks> {
        Some(self.date)
    }

    fn partial(&self) -> Option<String> {
        self.partial.then(|| "a provider failed".to_owned())
    }

    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Failure>> {
        let tail = self.rest.split_off(self.rest.len().min(700));
        let chunk = std::mem::replace(&mut self.rest, tail);
        async move { Ok((!chunk.is_empty()).then(|| Bytes::from(chunk))) }.boxed()
    }
}
