//! `check` and a ledger in Kafka: its topic, the transactional ids and the consumer group.

use crate::cli_check::command::{microsoft, run, topic};
use crate::support::blocking;
use crate::support::daemon::Daemon;
use crate::support::kafka::{Broker, Right, create_topic, grant};
use crate::support::setup::{Setup, unique};

fn in_kafka(setup: Setup, group: &str) -> Setup {
    setup
        .text("ledger.kind", "kafka")
        .text("ledger.topic", &format!("{group}-ledger"))
        .text("ledger.group", group)
        .key("ledger.partitions", "3")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_s_topic_is_looked_at_and_a_running_daemon_is_not_disturbed() {
    let simulator = microsoft(1).await;
    let ((kafka, topic), group) = (topic().await, unique("group"));
    let setup = in_kafka(Setup::new(&simulator, &kafka, &topic), &group);
    let missing = run(&setup, &["check"]).await;
    assert_eq!(missing.code, 1, "{}", missing.all());
    let command = format!(
        "kafka-topics.sh --bootstrap-server {kafka} --create --topic {group}-ledger --partitions 3 --replication-factor 1 \
         --config cleanup.policy=compact"
    );
    missing.says(&[
        &command,
        "does not exist",
        "2 topics: 1 misconfigured, 1 ok",
    ]);

    let mut daemon = Daemon::start(&setup.write()).await;
    for _ in 0..3 {
        let ended = run(&setup, &["check"]).await;
        assert_eq!(ended.code, 0, "{}", ended.all());
        ended.says(&["ledger 3 - yes", "2 topics: 2 ok", "which it aborted"]);
    }
    let json = run(&setup, &["check", "--json"]).await.json();
    let ledger = &json["kafka"]["topics"][1];
    assert_eq!(
        (&ledger["ok"], &ledger["may_write"], &ledger["partitions"]),
        (&true.into(), &true.into(), &3.into())
    );
    daemon.stop().await;
    assert!(!daemon.log().contains("took over"), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_would_lose_rows_is_refused() {
    let simulator = microsoft(1).await;
    let (kafka, topic) = topic().await;
    for (partitions, policy, says) in [
        (4, "compact", "has 4 partitions, and ledger.partitions is 3"),
        (3, "delete", "kafka-configs.sh --bootstrap-server"),
    ] {
        let group = unique("group");
        let configs = [("cleanup.policy", policy)];
        create_topic(&kafka, &format!("{group}-ledger"), partitions, &configs).await;
        let setup = in_kafka(Setup::new(&simulator, &kafka, &topic), &group);
        let ended = run(&setup, &["check"]).await;
        assert_eq!(ended.code, 1, "{}", ended.all());
        ended.says(&[says]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_missing_come_with_the_command_that_grants_them() {
    let simulator = microsoft(1).await;
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_owned();
    let start = move || Broker::start_guarded(&folder, "incidentd", "secret", "");
    let (broker, plain, guarded) = {
        let (broker, guarded) = blocking(start).await;
        let plain = broker.bootstrap();
        (broker, plain, guarded)
    };
    let (topic, group) = ("incidents", "replicas");
    create_topic(&plain, topic, 1, &[]).await;
    let ledger = format!("{group}-ledger");
    create_topic(&plain, &ledger, 3, &[("cleanup.policy", "compact")]).await;
    let setup = in_kafka(Setup::new(&simulator, &guarded, topic), group)
        .text("kafka.properties.\"security.protocol\"", "sasl_plaintext")
        .text("kafka.properties.\"sasl.mechanism\"", "PLAIN")
        .text("kafka.properties.\"sasl.username\"", "incidentd")
        .text("kafka.properties.\"sasl.password\"", "secret");
    let permit = async |right: Right<'static>| {
        let plain = plain.clone();
        blocking(move || grant(&plain, "incidentd", right)).await;
    };
    permit(Right::Produce("incidents")).await;
    permit(Right::Produce("replicas-ledger")).await;
    permit(Right::DescribeTopic("incidents")).await;
    permit(Right::DescribeTopic("replicas-ledger")).await;
    let ended = run(&setup, &["check"]).await;
    assert_eq!(ended.code, 1, "{}", ended.all());
    ended.says(&[
        "Kafka does not let incidentd use the transactional id",
        "kafka-acls.sh",
        "--transactional-id replicas- --resource-pattern-type prefixed",
    ]);
    permit(Right::Transactions("replicas-")).await;
    let ended = run(&setup, &["check"]).await;
    assert_eq!(ended.code, 1, "{}", ended.all());
    ended.says(&[
        "Kafka does not let incidentd read the ledger's topic replicas-ledger",
        "--operation Read --operation Describe --topic replicas-ledger",
    ]);
    permit(Right::Read("replicas-ledger")).await;
    let ended = run(&setup, &["check"]).await;
    assert_eq!(ended.code, 1, "{}", ended.all());
    ended.says(&[
        "Kafka does not let incidentd use the consumer group replicas",
        "--operation Read --group replicas",
    ]);
    permit(Right::Group("replicas")).await;
    let ended = run(&setup, &["check"]).await;
    assert_eq!(ended.code, 0, "{}", ended.all());
    drop(broker);
}
