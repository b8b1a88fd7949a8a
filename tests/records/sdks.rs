//! Records are CloudEvents for those who did not write them: the SDKs for Python and Java read a real topic. The event is
//! in the value (structured mode), or what a schema describes is, and the event's attributes are the headers (binary mode).

use incidentd::core::time::ticks::Ticks;
use incidentd::simulator::{Options, Update};
use serde_json::{Map, Value};

use super::{SCHEMAS, file, java, lines, python};
use crate::support::daemon::Daemon;
use crate::support::kafka::{Found, create_topic, read_all, shared};
use crate::support::setup::{Setup, simulator, unique};
use crate::support::tally::header;
use crate::support::{SOON, blocking, tell, until};

/// What the record says of itself, as CloudEvents names it. Only in structured mode the event has the attributes that are
/// no headers of CloudEvents.
fn attributes(record: &Found, value: &Value) -> Map<String, Value> {
    let headers = record.headers.iter();
    let own = headers.filter_map(|(name, value)| {
        Some((
            name.strip_prefix("ce_")?.to_owned(),
            Value::from(value.as_str()),
        ))
    });
    let mut attributes: Map<String, Value> = own.collect();
    attributes.insert("datacontenttype".to_owned(), "application/json".into());
    if header(record, "ce_dataschema").is_none() {
        for name in ["tenant", "change", "part", "parts"] {
            attributes.extend(
                value
                    .get(name)
                    .map(|value| (name.to_owned(), value.clone())),
            );
        }
        assert_eq!(value["tenant"].as_str(), header(record, "tenant_id"));
        assert_eq!(
            value.get("part").and_then(Value::as_str),
            header(record, "part")
        );
    }
    attributes
}

fn same(sdk: &str, record: &Found, event: &Value) {
    let value: Value = serde_json::from_slice(&record.value).expect("JSON");
    let expected = attributes(record, &value);
    let data = value.get("data").unwrap_or(&value);
    assert_eq!(&event["data"], data, "{sdk}: {}", record.key);
    let mut read = event["attributes"].as_object().expect("attributes").clone();
    // Both SDKs may add it, from the record's key.
    let key = read.remove("partitionkey");
    assert!(key.is_none_or(|key| key == record.key.as_str()), "{sdk}");
    let instant = |attributes: &mut Map<String, Value>| -> i64 {
        let time = attributes.remove("time").expect("a time");
        let at: Ticks = time.as_str().expect("a text").parse().expect("an instant");
        // Python has microseconds.
        at.0 / 10
    };
    let mut expected = expected;
    assert_eq!(instant(&mut read), instant(&mut expected), "{sdk}");
    assert_eq!(read, expected, "{sdk}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdks_for_python_and_java_read_each_record_of_a_topic_and_each_part() {
    let (kafka, topic) = (shared(), unique("sdks"));
    create_topic(&kafka, &topic, 1, &[("max.message.bytes", "30000")]).await;
    let simulator = simulator(3, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    let tenants: Vec<_> = world.tenants().iter().map(|tenant| tenant.id).collect();
    let mut setup = Setup::new(&simulator, &kafka, &topic);
    for (tenant, (format, _)) in tenants.iter().zip(SCHEMAS) {
        setup = setup.own_text(*tenant, "kafka.format", format);
    }
    for tenant in &tenants {
        let ids = world.create(*tenant, 3).unwrap();
        world
            .update(*tenant, ids[0], Update::NewAlerts(60))
            .unwrap();
        world.resolve(*tenant, ids[1]).unwrap();
    }
    let mut daemon = Daemon::start(&setup.write()).await;
    let versions = |found: &[Found]| {
        found
            .iter()
            .filter(|record| matches!(header(record, "part"), None | Some("1")))
            .count()
    };
    let read = async || {
        let (kafka, topic) = (kafka.clone(), topic.clone());
        blocking(move || read_all(&kafka, &topic)).await
    };
    until("all are published", SOON, async || {
        versions(&read().await) == 9
    })
    .await;
    daemon.stop().await;
    journal.settled().await;
    let found = read().await;
    for tenant in &tenants {
        let tenant = tenant.to_string();
        let parts = found
            .iter()
            .filter(|record| record.key.starts_with(&tenant) && header(record, "part").is_some());
        assert!(parts.count() > 2, "nothing of {tenant} was split");
    }
    let mut java = java();
    java.arg(file("ReadCloudEvents.java"));
    let python = python(&file("read_cloudevents.py"));
    for (sdk, mut command) in [("Python", python), ("Java", java)] {
        command.args([&kafka, &topic]).arg(found.len().to_string());
        let events = blocking(move || lines(&mut command)).await;
        assert_eq!(events.len(), found.len(), "{sdk}");
        for (record, event) in found.iter().zip(&events) {
            same(sdk, record, event);
        }
        tell(format_args!(
            "CloudEvents' SDK for {sdk}: {} records read",
            events.len()
        ));
    }
    let values = found
        .iter()
        .filter(|record| header(record, "ce_dataschema").is_some());
    let counts = super::validate(values.map(|record| &*record.value));
    tell(format_args!(
        "{}",
        counts.unwrap_or_else(|errors| panic!("{errors}"))
    ));
}
