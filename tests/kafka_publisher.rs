//! The publisher against a real Apache Kafka.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::kafka::{Broker, create_topic, shared};

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_keeps_its_topics_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(dir.path());
    create_topic(
        &broker.bootstrap(),
        "t",
        4,
        &[("cleanup.policy", "compact")],
    )
    .await;
    broker.restart();
    broker.kill();
    broker.restart();
    create_topic(&shared(), "t", 4, &[]).await;
}
