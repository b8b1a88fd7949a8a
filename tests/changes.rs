//! A record says what is new in its version, next to the one that was published before.

use incidentd::simulator::{Options, Simulator, Update};
use serde_json::Value;
use uuid::Uuid;

use crate::support::daemon::Daemon;
use crate::support::kafka::{Found, create_topic, read_all, shared};
use crate::support::setup::{Setup, simulator, unique};
use crate::support::tally::header;
use crate::support::{SOON, blocking, until};

const NEWS: [&str; 4] = [
    "changedmembers",
    "alertsadded",
    "alertsremoved",
    "alertschanged",
];

struct Scene {
    simulator: Simulator,
    tenant: Uuid,
    kafka: String,
    topic: String,
    records: usize,
}

impl Scene {
    /// Waits for that many more records, and returns the last one of each incident.
    async fn last(&mut self, more: usize, ids: &[u64]) -> Vec<Found> {
        self.records += more;
        let read = || {
            let (kafka, topic) = (self.kafka.clone(), self.topic.clone());
            blocking(move || read_all(&kafka, &topic))
        };
        until("the records are there", SOON, async || {
            read().await.len() >= self.records
        })
        .await;
        let found = read().await;
        assert_eq!(found.len(), self.records);
        let of = |id: &u64| {
            let key = format!("{}/{id}", self.tenant);
            let mut versions = found.iter().rev().filter(|record| record.key == key);
            let last = versions.next().expect("a record");
            let before = versions
                .next()
                .map(|before| header(before, "ce_id").expect("an id"));
            assert_eq!(header(last, "ce_previousid"), before, "{:?}", last.headers);
            last.clone()
        };
        ids.iter().map(of).collect()
    }

    fn update(&self, id: u64, update: Update) {
        self.simulator
            .world()
            .update(self.tenant, id, update)
            .expect("updated");
    }
}

fn event(record: &Found) -> Value {
    serde_json::from_slice(&record.value).expect("JSON")
}

/// The ids of its alerts, as a list in a record has them.
fn alerts(record: &Found) -> Vec<String> {
    let event = event(record);
    let alerts = event["data"]["alerts"].as_array().expect("a list");
    let ids = alerts
        .iter()
        .map(|alert| alert.get("id").or(alert.get("alertId")));
    let mut ids: Vec<_> = ids
        .map(|id| id.and_then(Value::as_str).expect("an id").to_owned())
        .collect();
    ids.sort();
    ids
}

/// What the record says that is new. The event says the same as the headers.
fn news(record: &Found) -> [Option<String>; 4] {
    let event = event(record);
    NEWS.map(|name| {
        let text = header(record, &format!("ce_{name}"));
        assert_eq!(event[name].as_str(), text, "{name}");
        text.map(str::to_owned)
    })
}

fn some(texts: [&str; 4]) -> [Option<String>; 4] {
    texts.map(|text| (!text.is_empty()).then(|| text.to_owned()))
}

/// With these keys of the configuration.
async fn a_record_names_exactly_what_is_new(keys: &[(&str, &str)], tags: &str) {
    let simulator = simulator(
        1,
        Options {
            scores: false,
            ..Options::default()
        },
    )
    .await;
    let (kafka, topic) = (shared(), unique("changes"));
    create_topic(&kafka, &topic, 1, &[]).await;
    let mut setup = Setup::new(&simulator, &kafka, &topic);
    for (key, value) in keys {
        setup = setup.text(key, value);
    }
    let world = simulator.world();
    let tenant = world.tenants()[0].id;
    let ids = world.create(tenant, 3).expect("created");
    let mut scene = Scene {
        simulator,
        tenant,
        kafka,
        topic,
        records: 0,
    };
    let (a, b, c) = (ids[0], ids[1], ids[2]);
    for id in [a, c] {
        scene.update(id, Update::NewAlerts(2));
    }
    let config = setup.write();
    let mut daemon = Daemon::start(&config).await;
    for record in scene.last(3, &[a, b, c]).await {
        assert_eq!(news(&record), some([""; 4]), "it is new as a whole");
    }

    for (update, members) in [
        (Update::Status("InProgress"), "status"),
        (
            Update::AssignedTo(Some("ann@contoso.com".to_owned())),
            "assignedTo",
        ),
        (Update::Comment("looked at, twice".to_owned()), "comments"),
        (Update::Tag("vip".to_owned()), tags),
        (Update::Status("InProgress"), ""),
    ] {
        scene.update(a, update);
        let last = scene.last(1, &[a]).await;
        assert_eq!(news(&last[0]), some([members, "", "", ""]));
    }

    let before = alerts(&scene.last(0, &[a]).await[0]);
    scene.update(a, Update::NewAlerts(1));
    let last = scene.last(1, &[a]).await;
    let after = alerts(&last[0]);
    let new = after
        .iter()
        .find(|id| !before.contains(id))
        .expect("a new alert");
    assert_eq!(news(&last[0]), some(["alerts", new, "", ""]));

    // What was published is still known after a restart.
    daemon.stop().await;
    let mut daemon = Daemon::start(&config).await;
    world.alert_only_change(tenant, a).expect("changed");
    let last = scene.last(1, &[a]).await;
    let [members, None, None, Some(changed)] = news(&last[0]) else {
        panic!("{:?}", last[0].headers);
    };
    assert!(
        members.as_deref() == Some("alerts") && after.contains(&changed),
        "{changed}"
    );

    world.move_alerts(tenant, a, b, 1).expect("moved");
    let last = scene.last(2, &[a, b]).await;
    let left = alerts(&last[0]);
    let moved = after
        .iter()
        .find(|id| !left.contains(id))
        .expect("a moved alert");
    assert_eq!(news(&last[0]), some(["alerts", "", moved, ""]));
    assert_eq!(news(&last[1]), some(["alerts", moved, "", ""]));

    let gone = alerts(&scene.last(0, &[c]).await[0]).join(",");
    world.merge(tenant, c, b).expect("merged");
    let last = scene.last(2, &[b, c]).await;
    let [members, added, None, None] = news(&last[0]) else {
        panic!("{:?}", last[0].headers);
    };
    assert!(members.is_some_and(|members| members.ends_with("alerts")));
    assert_eq!(added.as_ref(), Some(&gone));
    let [members, None, removed, None] = news(&last[1]) else {
        panic!("{:?}", last[1].headers);
    };
    let members = members.expect("members");
    assert!(
        members.contains("redirectIncidentId") && members.ends_with("alerts"),
        "{members}"
    );
    assert_eq!(removed, Some(gone));
    assert_eq!(event(&last[1])["change"], "redirected");

    scene.update(a, Update::Resolve("TruePositive", "Malware"));
    let last = scene.last(1, &[a]).await;
    let members = "status,classification,determination,alerts";
    assert_eq!(news(&last[0]), some([members, "", "", &left.join(",")]));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_local_ledger_a_record_names_exactly_what_is_new() {
    a_record_names_exactly_what_is_new(&[], "customTags").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_ledger_in_kafka_a_record_names_exactly_what_is_new() {
    let group = unique("group");
    let ledger = format!("{group}-ledger");
    let keys = [
        ("ledger.kind", "kafka"),
        ("ledger.topic", ledger.as_str()),
        ("ledger.group", group.as_str()),
        ("api.source", "defender"),
    ];
    a_record_names_exactly_what_is_new(&keys, "tags").await;
}
