//! A server that answers with the result of a function, each page in one piece.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::sleep;

use super::START;
use super::server::leads_elsewhere;
use crate::core::health::failure::Failure;
use crate::core::incident::reading::Shape;
use crate::core::time::ticks::Ticks;
use crate::ports::{AccessToken, IncidentSource, PageAsk, PageBody};

pub struct Scripted {
    pub shape: &'static Shape,
    pub delay: Duration,
    pub answer: Box<dyn Fn(&PageAsk) -> String + Send + Sync>,
}

/// Links with this prefix lead to another host.
pub const ELSEWHERE: &str = "elsewhere";

struct Whole(Option<Bytes>);

impl PageBody for Whole {
    fn date(&self) -> Option<Ticks> {
        Some(START)
    }

    fn refuses(&self, link: &str) -> Option<Failure> {
        link.starts_with(ELSEWHERE).then(leads_elsewhere)
    }

    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Failure>> {
        std::future::ready(Ok(self.0.take())).boxed()
    }
}

impl IncidentSource for Scripted {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn shape(&self) -> &'static Shape {
        self.shape
    }

    fn max_response(&self) -> usize {
        1 << 20
    }

    fn open<'a>(
        &'a self,
        ask: &'a PageAsk,
        _: &'a AccessToken,
    ) -> BoxFuture<'a, Result<Box<dyn PageBody>, Failure>> {
        async move {
            sleep(self.delay).await;
            if let PageAsk::Link(link) = ask {
                assert!(!link.starts_with(ELSEWHERE), "the token went elsewhere");
            }
            let text = (self.answer)(ask);
            Ok(Box::new(Whole(Some(text.into()))) as Box<dyn PageBody>)
        }
        .boxed()
    }
}
