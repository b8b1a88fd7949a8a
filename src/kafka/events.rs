//! What librdkafka reports about a client: events, log lines, statistics.

use std::error::Error;
use std::sync::Arc;

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::kafka::connection::Connection;
use crate::kafka::oauth::ClientLogIn;
use crate::kafka::statistics::ClientStatistics;

/// What rdkafka would give to librdkafka.
pub(super) type GivenToken = Result<OAuthToken, Box<dyn Error>>;

/// librdkafka's view of a [`Connection`]. Its methods run on librdkafka's polling thread.
pub(super) struct ClientEvents {
    connection: Arc<Connection>,
    /// Receives this client's statistics.
    statistics: Arc<ClientStatistics>,
    log_in: ClientLogIn,
    part: ClientPart,
}

/// What a client's connections say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ClientPart {
    /// Whether Kafka is there.
    Deciding,
    /// Why Kafka does not answer.
    Asking,
    /// Nothing: they are expected to fail.
    Aside,
}

impl ClientEvents {
    /// For a client whose connections decide the state.
    pub(super) fn of(connection: &Arc<Connection>) -> Self {
        Self {
            connection: Arc::clone(connection),
            statistics: Arc::default(),
            log_in: ClientLogIn::default(),
            part: ClientPart::Deciding,
        }
    }

    /// For a client that asks once: why it can't connect is known then, to be said beside its answer.
    pub(super) fn asking(connection: &Arc<Connection>) -> Self {
        Self {
            part: ClientPart::Asking,
            ..Self::of(connection)
        }
    }

    /// For a client beside it, whose connections are expected to fail.
    pub(super) fn aside(connection: &Arc<Connection>) -> Self {
        Self {
            part: ClientPart::Aside,
            ..Self::of(connection)
        }
    }

    pub(super) fn connection(&self) -> Arc<Connection> {
        Arc::clone(&self.connection)
    }

    fn renew_token(&self) {
        if let Some(token) = self.connection.token() {
            self.log_in.renew(&token);
        }
    }

    pub(super) fn statistics(&self) -> Arc<ClientStatistics> {
        Arc::clone(&self.statistics)
    }
}

impl ClientContext for ClientEvents {
    /// Called by [`Connection::log_in`] alone.
    fn generate_oauth_token(&self, _: Option<&str>) -> GivenToken {
        self.log_in.find();
        self.renew_token();
        Err("tokens are handed over".into())
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.renew_token();
        self.statistics.take(statistics);
        if self.part == ClientPart::Deciding {
            self.connection.count_statistics();
        }
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let detail = self.connection.fit(without_thread(message));
        let serious = (level as i32) <= (RDKafkaLogLevel::Warning as i32);
        // FAIL and ERROR repeat what `error` below receives; FATAL and GETPID repeat what the publisher finds.
        let repeats = matches!(facility, "FAIL" | "ERROR" | "FATAL" | "GETPID");
        let tells = serious && !repeats && self.part == ClientPart::Deciding;
        if tells && self.connection.is_new_warning(facility) {
            tracing::warn!(target: "incidentd::kafka", facility, detail, "librdkafka warns");
        } else {
            tracing::debug!(target: "incidentd::kafka", facility, detail, "librdkafka says");
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            _ if self.part == ClientPart::Aside => {}
            Some(RDKafkaErrorCode::AllBrokersDown) if self.part == ClientPart::Asking => {}
            Some(RDKafkaErrorCode::AllBrokersDown) => self.connection.down(),
            Some(
                code @ (RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::SSL),
            ) => self.connection.connect_failed(code, reason),
            _ => {
                let detail = self.connection.fit(reason);
                tracing::debug!(target: "incidentd::kafka", detail, "librdkafka reports an error");
            }
        }
        // The event does not say whether an error is fatal. The publisher asks its producers.
        self.connection.count_error();
    }
}

/// Without `[thrd:app]: `, the name of one of librdkafka's threads.
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
