//! Records of alerts, compared with what the incidents' own topic shows: a model takes the difference of each two versions
//! of an incident, in plain JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use incidentd::simulator::{Options, Simulator, Update};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::sleep;

use crate::support::daemon::Daemon;
use crate::support::kafka::{Found, create_topic, read_all, shared};
use crate::support::setup::{Setup, create_in_each, drawn_simulator, simulator, unique};
use crate::support::tally::{Tally, header};
use crate::support::{SOON, blocking, tell, until};

/// What a record of an alert says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    tenant: String,
    incident: String,
    alert: String,
    change: String,
    /// As Microsoft sent it.
    raw: String,
}

/// The incident or the alert in a structured event.
fn data(record: &Found) -> &RawValue {
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        data: &'a RawValue,
    }
    let event: Event<'_> = serde_json::from_slice(&record.value).expect("an event");
    event.data
}

fn of(record: &Found, name: &str) -> String {
    let value = header(record, name);
    let value = value.unwrap_or_else(|| panic!("no header {name}"));
    value.to_owned()
}

impl Told {
    fn by(record: &Found) -> Self {
        let kind = of(record, "ce_type");
        let change = kind.strip_prefix("incidentd.alert.");
        let change = change.and_then(|rest| rest.strip_suffix(".v1"));
        let (tenant, alert) = (of(record, "tenant_id"), of(record, "ce_subject"));
        assert_eq!(record.key, format!("{tenant}/{alert}"));
        Self {
            incident: of(record, "incident_id"),
            change: change.expect("an alert's type").to_owned(),
            raw: data(record).get().to_owned(),
            tenant,
            alert,
        }
    }
}

/// The members that make a version of an alert (docs/records.md), by what they mean.
fn significant(alert: &Value) -> Value {
    let texts = [
        "status",
        "severity",
        "classification",
        "determination",
        "lastUpdateDateTime",
    ];
    let texts = texts.map(|name| alert[name].clone());
    let evidence = alert["evidence"].as_array().into_iter().flatten();
    let mut evidence: Vec<String> = evidence
        .map(|one| format!("{} {}", one["verdict"], one["remediationStatus"]))
        .collect();
    evidence.sort();
    serde_json::json!([texts, evidence])
}

/// The records that alerts should have, from the records of incidents, each version once and in order.
fn expected(incidents: &[Found]) -> Vec<Told> {
    #[derive(Deserialize)]
    struct Incident<'a> {
        #[serde(borrow, default)]
        alerts: Vec<&'a RawValue>,
    }
    let (mut expected, mut before) = (Vec::new(), BTreeMap::<&str, BTreeMap<String, Value>>::new());
    for record in incidents {
        let incident: Incident<'_> = serde_json::from_str(data(record).get()).expect("an incident");
        let known = before.remove(&*record.key).unwrap_or_default();
        let mut now = BTreeMap::new();
        for raw in incident.alerts {
            let alert: Value = serde_json::from_str(raw.get()).expect("an alert");
            let id = alert["id"].as_str().expect("an id").to_owned();
            let is = significant(&alert);
            let change = match known.get(&id) {
                Some(was) if *was == is => None,
                Some(_) if alert["status"] == "resolved" => Some("resolved"),
                Some(_) => Some("updated"),
                None => Some("created"),
            };
            expected.extend(change.map(|change| Told {
                tenant: of(record, "tenant_id"),
                incident: of(record, "ce_subject"),
                alert: id.clone(),
                change: change.to_owned(),
                raw: raw.get().to_owned(),
            }));
            now.insert(id, is);
        }
        before.insert(&record.key, now);
    }
    expected.sort();
    expected
}

async fn records(kafka: &str, topic: &str) -> Vec<Found> {
    let (kafka, topic) = (kafka.to_owned(), topic.to_owned());
    blocking(move || read_all(&kafka, &topic)).await
}

/// Each record of a version once.
fn distinct(records: &[Found]) -> Vec<Found> {
    let mut seen = BTreeSet::new();
    let first = records
        .iter()
        .filter(|record| seen.insert(of(record, "ce_id")));
    first.cloned().collect()
}

/// The topics of incidents and alerts.
struct Topics {
    kafka: String,
    incidents: String,
    alerts: String,
}

impl Topics {
    async fn new() -> Self {
        let (kafka, incidents) = (shared(), unique("incidents"));
        let alerts = format!("{incidents}-alerts");
        for topic in [&incidents, &alerts] {
            create_topic(&kafka, topic, 3, &[]).await;
        }
        Self {
            kafka,
            incidents,
            alerts,
        }
    }

    fn setup(&self, simulator: &Simulator) -> Setup {
        Setup::new(simulator, &self.kafka, &self.incidents).text("kafka.alerts_topic", &self.alerts)
    }

    async fn incidents(&self) -> Vec<Found> {
        records(&self.kafka, &self.incidents).await
    }

    async fn alerts(&self) -> Vec<Found> {
        records(&self.kafka, &self.alerts).await
    }

    /// Fails unless the topic of alerts has what the topic of incidents shows, each version of an alert once.
    async fn assert_exact(&self) {
        let (incidents, alerts) = (self.incidents().await, self.alerts().await);
        let mut told: Vec<Told> = alerts.iter().map(Told::by).collect();
        told.sort();
        let expected = expected(&incidents);
        let missing: Vec<_> = expected.iter().filter(|one| !told.contains(one)).collect();
        let surplus: Vec<_> = told.iter().filter(|one| !expected.contains(one)).collect();
        assert!(missing.is_empty(), "missing: {missing:#?}");
        assert!(surplus.is_empty(), "surplus: {surplus:#?}");
        assert_eq!(told.len(), expected.len(), "a version came twice");
        assert_eq!(distinct(&alerts).len(), alerts.len(), "a ce_id came twice");
        for change in ["created", "updated", "resolved"] {
            let count = told.iter().filter(|one| one.change == change).count();
            tell(format_args!("alerts {change}: {count}"));
            assert!(count > 0, "no alert was {change}");
        }
    }
}

/// Runs daemons that are killed while the world changes, and then one that publishes all the rest.
async fn live(topics: &Topics, simulator: &Simulator, setup: &Setup, kills: u64) {
    let (world, journal, config) = (simulator.world(), simulator.journal(), setup.write());
    for kill in 0..kills {
        let shown = journal.shown_count();
        let mut daemon = Daemon::spawn(&config, &[], &[]);
        until("a sweep finds something", SOON, async || {
            world.evolve(3);
            journal.shown_count() > shown
        })
        .await;
        sleep(Duration::from_millis(37 * kill)).await;
        daemon.kill().await;
    }
    let mut daemon = Daemon::start(&config).await;
    for _ in 0..8 {
        world.evolve(25);
        Tally::until_complete(&topics.kafka, &topics.incidents, &journal, 2 * SOON).await;
    }
    daemon.stop().await;
    journal.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_version_of_an_alert_is_published_once_with_its_incident() {
    let topics = Topics::new().await;
    let (simulator, _) = drawn_simulator(2, 20).await;
    live(&topics, &simulator, &topics.setup(&simulator), 0).await;
    topics.assert_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_ledger_in_kafka_this_holds_whatever_dies() {
    let topics = Topics::new().await;
    let (simulator, _) = drawn_simulator(2, 20).await;
    let setup = topics
        .setup(&simulator)
        .text("ledger.kind", "kafka")
        .text("ledger.topic", &unique("alerts-ledger"))
        .text("ledger.group", &unique("alerts-group"))
        .key("ledger.partitions", "2");
    live(&topics, &simulator, &setup, 3).await;
    topics.assert_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_local_ledger_kills_lose_no_version_and_a_repeat_has_the_same_ce_id() {
    let topics = Topics::new().await;
    let (simulator, _) = drawn_simulator(2, 20).await;
    live(&topics, &simulator, &topics.setup(&simulator), 12).await;
    let (incidents, alerts) = (topics.incidents().await, topics.alerts().await);
    let bare = |told: Told| Told {
        // After a kill the next version is compared with the one that the ledger has.
        change: String::new(),
        ..told
    };
    let told: BTreeSet<Told> = alerts.iter().map(|record| bare(Told::by(record))).collect();
    let expected = expected(&distinct(&incidents)).into_iter().map(bare);
    let lost: Vec<_> = expected.filter(|one| !told.contains(one)).collect();
    assert!(lost.is_empty(), "lost: {lost:#?}");
    let once = distinct(&alerts);
    tell(format_args!(
        "{} alerts, {} of them once",
        alerts.len(),
        once.len()
    ));
    let apart: BTreeSet<_> = once.iter().map(|record| bare(Told::by(record))).collect();
    assert_eq!(apart, told, "two versions have one ce_id");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_switches_alerts_on_and_without_it_there_are_none() {
    let topics = Topics::new().await;
    let simulator = simulator(1, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    create_in_each(&world, 3);
    let tenant = world.tenants()[0].id;
    let setup = topics.setup(&simulator).without("kafka.alerts_topic");
    let config = setup.write();
    let mut daemon = Daemon::start(&config).await;
    let complete = async || {
        Tally::until_complete(&topics.kafka, &topics.incidents, &journal, SOON).await;
    };
    complete().await;
    assert!(
        topics.alerts().await.is_empty(),
        "alerts without their topic"
    );
    let text = fs::read_to_string(&config).expect("a configuration");
    let own = format!("{text}kafka.alerts_topic = {:?}\n", topics.alerts);
    fs::write(&config, own).expect("written");
    daemon.signal("HUP");
    until("the new configuration is in force", SOON, async || {
        daemon.log().contains("configuration reloaded")
    })
    .await;
    let ids: Vec<u64> = journal
        .current()
        .iter()
        .map(|version| version.incident)
        .collect();
    world
        .update(tenant, ids[0], Update::NewAlerts(2))
        .expect("an incident");
    world
        .update(
            tenant,
            ids[1],
            Update::AssignedTo(Some("ann@contoso.com".to_owned())),
        )
        .expect("an incident");
    complete().await;
    daemon.stop().await;
    let told: Vec<Told> = topics.alerts().await.iter().map(Told::by).collect();
    assert_eq!(told.len(), 2, "{told:#?}");
    for one in told {
        assert_eq!(
            (one.change, one.incident),
            ("created".to_owned(), ids[0].to_string())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_gives_its_alerts_records_with_their_new_incident() {
    let topics = Topics::new().await;
    let simulator = simulator(1, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    let tenant = world.tenants()[0].id;
    let ids = world.create(tenant, 2).expect("a tenant");
    let setup = topics.setup(&simulator);
    let mut daemon = Daemon::start(&setup.write()).await;
    let complete = async || {
        Tally::until_complete(&topics.kafka, &topics.incidents, &journal, SOON).await;
    };
    complete().await;
    let before: Vec<Told> = topics.alerts().await.iter().map(Told::by).collect();
    world.merge(tenant, ids[0], ids[1]).expect("a merge");
    complete().await;
    daemon.stop().await;
    let after: Vec<Told> = topics.alerts().await.iter().map(Told::by).collect();
    let moved = before
        .iter()
        .filter(|one| one.incident == ids[0].to_string());
    let mut count = 0;
    for one in moved {
        let is_there =
            |told: &&Told| told.alert == one.alert && told.incident == ids[1].to_string();
        let there: Vec<_> = after.iter().filter(is_there).collect();
        assert_eq!(there.len(), 1, "{one:?}");
        assert_eq!(there[0].change, "created");
        count += 1;
    }
    assert!(count > 0, "the merged incident had alerts");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_topic_of_alerts_their_incidents_wait_for_it() {
    for kind in ["local", "kafka"] {
        let (kafka, incidents) = (shared(), unique("incidents"));
        create_topic(&kafka, &incidents, 1, &[]).await;
        let topics = Topics {
            alerts: format!("{incidents}-later"),
            kafka,
            incidents,
        };
        let simulator = simulator(1, Options::default()).await;
        create_in_each(&simulator.world(), 5);
        let setup = topics
            .setup(&simulator)
            .text("ledger.kind", kind)
            .text("ledger.topic", &unique("alerts-ledger"))
            .text("ledger.group", &unique("alerts-group"))
            .key("ledger.partitions", "1");
        let mut daemon = Daemon::start(&setup.write()).await;
        until("the tenant shows what is missing", SOON, async || {
            let tenant = daemon.status().await["tenants"][0].clone();
            let error = tenant["error"].as_str().unwrap_or_default().to_owned();
            error.contains(&topics.alerts)
        })
        .await;
        assert!(
            topics.incidents().await.is_empty(),
            "{kind}: an incident without its alerts"
        );
        create_topic(&topics.kafka, &topics.alerts, 1, &[]).await;
        let journal = simulator.journal();
        Tally::until_complete(&topics.kafka, &topics.incidents, &journal, 3 * SOON).await;
        daemon.stop().await;
        let (incidents, alerts) = (topics.incidents().await, topics.alerts().await);
        let mut told: Vec<Told> = alerts.iter().map(Told::by).collect();
        told.sort();
        assert_eq!(told, expected(&incidents), "{kind}");
    }
}
