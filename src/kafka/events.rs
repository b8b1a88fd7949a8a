//! What librdkafka tells of a client: events, log lines, statistics.

use std::sync::Arc;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::kafka::connection::Link;
use crate::kafka::statistics::Sight;

/// librdkafka's view of a [`Link`]. Its methods run on librdkafka's polling thread.
#[derive(Clone)]
pub(super) struct Events {
    link: Arc<Link>,
    /// What the statistics of this client tell.
    sight: Arc<Sight>,
    /// What happens to this client's connections says nothing of whether Kafka is there.
    aside: bool,
}

impl Events {
    /// Of a client whose connections are those that the state is about.
    pub(super) fn of(link: &Arc<Link>) -> Self {
        Self {
            link: Arc::clone(link),
            sight: Arc::default(),
            aside: false,
        }
    }

    /// Of a client beside it, whose connections may well fail.
    pub(super) fn aside(link: &Arc<Link>) -> Self {
        Self {
            aside: true,
            ..Self::of(link)
        }
    }

    pub(super) fn sight(&self) -> Arc<Sight> {
        Arc::clone(&self.sight)
    }
}

impl ClientContext for Events {
    fn stats_raw(&self, statistics: &[u8]) {
        self.sight.take(statistics);
        if !self.aside {
            self.link.tell_of_statistics();
        }
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let detail = self.link.fit(without_thread(message));
        let serious = (level as i32) <= (RDKafkaLogLevel::Warning as i32);
        // FAIL and ERROR repeat what `error` below is told, FATAL and GETPID what the publisher finds.
        let repeats = matches!(facility, "FAIL" | "ERROR" | "FATAL" | "GETPID");
        let tells = serious && !repeats && !self.aside;
        if tells && self.link.is_new_warning(facility) {
            tracing::warn!(target: "incidentd::kafka", facility, detail, "librdkafka warns");
        } else {
            tracing::debug!(target: "incidentd::kafka", facility, detail, "librdkafka says");
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            _ if self.aside => {}
            Some(RDKafkaErrorCode::AllBrokersDown) => self.link.down(),
            Some(
                code @ (RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::SSL),
            ) => self.link.troubled(code, reason),
            _ => {
                let detail = self.link.fit(reason);
                tracing::debug!(target: "incidentd::kafka", detail, "librdkafka reports an error");
            }
        }
        // Whether an error is fatal the event does not say. The publisher asks its producers.
        self.link.tell_of_error();
    }
}

/// Without `[thrd:app]: `: which of its threads says so is librdkafka's affair.
fn without_thread(message: &str) -> &str {
    match message.split_once("]: ") {
        Some((thread, text)) if thread.starts_with("[thrd:") => text,
        _ => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_thread_says_it_is_not_told() {
        assert_eq!(
            without_thread("[thrd:a:1/bootstrap]: Timed out"),
            "Timed out"
        );
        assert_eq!(without_thread("[x]: Timed out"), "[x]: Timed out");
    }
}
