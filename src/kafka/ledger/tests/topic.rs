use super::*;
use crate::core::health::failure::Failure;
use crate::kafka::ledger::topic::{self, TopicError, prepare};
use crate::settings::KafkaLedgerSettings;

async fn look(brokers: &str, topic: &str, partitions: u16) -> Result<(), TopicError> {
    let of = setup(brokers, topic, 0);
    let settings = KafkaLedgerSettings {
        topic: of.topic,
        group: of.group,
        partitions,
    };
    prepare(&settings, &of.connection, &of.kafka).await
}

fn unfit(result: Result<(), TopicError>) -> Failure {
    match result {
        Err(TopicError::Unfit(failure)) => failure,
        Err(TopicError::Passing(failure)) => panic!("passing: {failure:?}"),
        Ok(()) => panic!("accepted"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_made_compacted_and_found_again() {
    let (brokers, topic) = (broker::shared(), unique("ledger"));
    assert!(look(&brokers, &topic, 6).await.is_ok());
    assert!(look(&brokers, &topic, 6).await.is_ok(), "it is there");
    let failure = unfit(look(&brokers, &topic, 12).await);
    assert!(failure.what.contains("6 partitions"), "{failure:?}");
    assert!(failure.remedy.contains("ledger.partitions"), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_brokers_take_is_known() {
    let of = setup(&broker::shared(), "none", 0);
    let settings = KafkaLedgerSettings {
        topic: of.topic,
        group: of.group,
        partitions: 1,
    };
    let Ok(found) = topic::look(&settings, &of.connection, &of.kafka).await else {
        panic!("no answer");
    };
    let newest = found.producer_ids.expect("librdkafka says it");
    assert!(newest >= 3, "InitProducerId up to version {newest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_deletes_its_rows_is_refused() {
    let (brokers, topic) = (broker::shared(), unique("ledger"));
    for (policy, fits) in [
        ("delete", false),
        ("compact,delete", false),
        ("compact", true),
    ] {
        let topic = format!("{topic}-{}", policy.replace(',', "-"));
        create_topic(&brokers, &topic, 3, &[("cleanup.policy", policy)]).await;
        match look(&brokers, &topic, 3).await {
            Ok(()) => assert!(fits, "{policy}"),
            Err(TopicError::Unfit(failure)) => {
                assert!(!fits, "{policy}: {failure:?}");
                assert!(failure.what.contains("cleanup.policy"), "{failure:?}");
            }
            Err(TopicError::Passing(failure)) => panic!("{policy}: {failure:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_kafka_it_is_worth_asking_again() {
    let result = look("127.0.0.1:1", "ledger", 3).await;
    assert!(matches!(result, Err(TopicError::Passing(_))));
}
