//! What a client's statistics show about its connections.
//!
//! librdkafka's events don't show how often a connection was closed, because it suppresses repeated ones. Its
//! statistics count them.
//!
//! A broker whose request limit is exceeded closes the connection without an answer. librdkafka connects again and
//! sends the same request, without an end. The sign of it: connections to one broker come up (the broker answers on
//! each) and are closed, while the same record is in flight. In an outage no connection comes up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::timeout;

/// Closings that are further apart are unrelated.
const WINDOW: Duration = Duration::from_secs(60);

/// By broker: connections that came up and were closed since the client was made.
type ClosedConnections = BTreeMap<String, u64>;

/// One moment of a client's statistics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct StatisticsSample {
    closed: ClosedConnections,
    /// Kafka has given the producer its id, which it needs before it may send anything.
    pub(super) has_id: bool,
    /// The consumer has its place in its group, with partitions or without.
    pub(super) is_member: bool,
}

impl StatisticsSample {
    /// How many connections came up and were closed since `before`, for the broker with the most.
    pub(super) fn closings_since(&self, before: &StatisticsSample) -> u64 {
        let since = |(broker, closed): (&String, &u64)| {
            closed.saturating_sub(before.closed.get(broker).copied().unwrap_or_default())
        };
        self.closed.iter().map(since).max().unwrap_or_default()
    }
}

/// The newest statistics of one client.
pub(super) struct ClientStatistics(watch::Sender<Arc<StatisticsSample>>);

impl Default for ClientStatistics {
    fn default() -> Self {
        Self(watch::Sender::new(Arc::default()))
    }
}

impl ClientStatistics {
    pub(super) fn now(&self) -> Arc<StatisticsSample> {
        self.0.borrow().clone()
    }

    /// Takes librdkafka's statistics (`STATISTICS.md`). Ignores what can't be read.
    pub(super) fn take(&self, statistics: &[u8]) {
        if let Ok(read) = serde_json::from_slice::<Statistics>(statistics) {
            self.0.send_replace(Arc::new(read.seen()));
        }
    }

    /// Resolves when `times` connections to one broker came up and were closed within [`WINDOW`], counted from
    /// `before`.
    pub(super) async fn closes(&self, before: &Arc<StatisticsSample>, times: u64) {
        let mut before = Arc::clone(before);
        loop {
            let closed = self.until(|now| now.closings_since(&before) >= times);
            if timeout(WINDOW, closed).await.is_ok() {
                return;
            }
            // A broker that restarts from time to time closes connections too.
            before = self.now();
        }
    }

    /// Resolves when Kafka has given the producer its id.
    pub(super) async fn gets_id(&self) {
        self.until(|now| now.has_id).await;
    }

    async fn until(&self, is_so: impl Fn(&StatisticsSample) -> bool) {
        let mut changes = self.0.subscribe();
        // Never fails: `self` is the sender.
        if changes.wait_for(|now| is_so(now)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    brokers: BTreeMap<String, Broker>,
    #[serde(default)]
    eos: Eos,
    #[serde(default)]
    cgrp: ConsumerGroup,
}

#[derive(Deserialize)]
struct Broker {
    /// Counts only connections that had come up.
    disconnects: u64,
}

#[derive(Deserialize, Default)]
struct Eos {
    #[serde(default)]
    idemp_state: String,
}

#[derive(Deserialize, Default)]
struct ConsumerGroup {
    #[serde(default)]
    join_state: String,
}

impl Statistics {
    fn seen(self) -> StatisticsSample {
        let brokers = self.brokers.into_iter();
        StatisticsSample {
            closed: brokers.map(|(name, one)| (name, one.disconnects)).collect(),
            has_id: self.eos.idemp_state == "Assigned",
            is_member: self.cgrp.join_state == "steady",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(first: u64, second: u64, state: &str) -> Vec<u8> {
        format!(
            r#"{{"brokers":{{"a:1/1":{{"disconnects":{first},"x":[1]}},"a:1/2":{{"disconnects":{second}}}}},"topics":{{"t":{{}}}},"eos":{{"idemp_state":"{state}"}}}}"#
        )
        .into_bytes()
    }

    #[tokio::test]
    async fn closings_count_for_one_broker_and_since_a_moment() {
        let statistics = ClientStatistics::default();
        statistics.take(&raw(5, 1, "WaitPID"));
        let before = statistics.now();
        assert!(!before.has_id);
        statistics.take(&raw(7, 3, "Assigned"));
        assert_eq!(statistics.now().closings_since(&before), 2);
        statistics.gets_id().await;
        statistics.take(&raw(7, 4, "Assigned"));
        statistics.closes(&before, 3).await;
        statistics.take(b"no statistics");
        assert_eq!(statistics.now().closings_since(&before), 3);
    }

    #[test]
    fn a_consumer_is_a_member_while_its_group_is_steady() {
        let statistics = ClientStatistics::default();
        for (state, is_member) in [("wait-join", false), ("steady", true), ("init", false)] {
            let raw = format!(r#"{{"cgrp":{{"state":"up","join_state":"{state}"}}}}"#);
            statistics.take(raw.as_bytes());
            assert_eq!(statistics.now().is_member, is_member, "{state}");
        }
    }
}
