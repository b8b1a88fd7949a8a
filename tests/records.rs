//! Records in the schemas of others, checked with those schemas (`tests/records/validate`), and an incident's life in each
//! format, as consumers see it.

mod examples;
mod life;
mod sdks;
mod variants;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use incidentd::core::incident::outline::compare;
use incidentd::core::incident::reading::{Shape, read};
use incidentd::core::incident::version::Change;
use incidentd::ports::{Encoder, Item, Record};
use incidentd::record::{Recipe, RecordEncoder};
use incidentd::settings::RecordFormat;
use incidentd::simulator::{Options, Simulator, Update};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::support::daemon::Daemon;
use crate::support::kafka::{create_topic, read_all, shared};
use crate::support::setup::{Setup, simulator, unique};
use crate::support::tally::header;
use crate::support::{SOON, blocking, tell, until};

const TENANT: &str = "11111111-1111-1111-1111-111111111111";
/// The formats that others define, as the configuration names them.
const SCHEMAS: [(&str, RecordFormat); 2] =
    [("ocsf", RecordFormat::Ocsf), ("ecs", RecordFormat::Ecs)];

static TOOLS: LazyLock<PathBuf> = LazyLock::new(|| {
    let tools = Command::new(file("tools")).output().expect("tools runs");
    let said = String::from_utf8_lossy(&tools.stderr);
    assert!(
        tools.status.success(),
        "tests/records/tools failed:\n{said}"
    );
    PathBuf::from(String::from_utf8_lossy(&tools.stdout).trim())
});

fn file(name: &str) -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/records");
    tests.join(name)
}

/// A script in Python, with what it imports.
fn python(script: &Path) -> Command {
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", TOOLS.join("python")).arg(script);
    python
}

/// Java with Kafka and the tools on its class path.
fn java() -> Command {
    let kafka = std::env::var("INCIDENTD_TEST_KAFKA_LIBS").expect("tests/run sets it");
    let mut java = Command::new("java");
    java.arg("-XX:TieredStopAtLevel=1").arg("-cp");
    java.arg(format!("{kafka}/*:{}/*", TOOLS.join("java").display()));
    java
}

/// The objects that a command prints, each on a line of its own.
fn lines(command: &mut Command) -> Vec<Value> {
    let ran = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    let lines = String::from_utf8_lossy(&ran.stdout).into_owned();
    let lines = lines.lines().filter(|line| line.starts_with('{'));
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// What the validator says of values of records.
fn validate<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<String, String> {
    let mut lines = tempfile::tempfile().expect("a file");
    for value in values {
        let value: Value = serde_json::from_slice(value).expect("a record is JSON");
        writeln!(lines, "{value}").expect("written");
    }
    std::io::Seek::rewind(&mut lines).expect("a file");
    let checked = Command::new(file("validate"))
        .stdin(Stdio::from(lines))
        .output()
        .expect("validate runs");
    let counts = String::from_utf8_lossy(&checked.stdout).into_owned();
    let errors = String::from_utf8_lossy(&checked.stderr);
    match checked.status.success() {
        true => Ok(counts),
        false => Err(format!("{counts}{errors}")),
    }
}

fn encoder(format: RecordFormat, source: &str) -> RecordEncoder {
    RecordEncoder::new(Recipe {
        tenant: TENANT.parse().expect("a GUID"),
        name: "contoso".into(),
        source: source.to_owned(),
        topic: Arc::from("security.incidents"),
        alerts_topic: Some(Arc::from("security.alerts")),
        format,
        status_topic: None,
        dead_letter_topic: None,
    })
}

fn item(change: Change, shape: &'static Shape, incident: &Value) -> Item {
    item_after(None, change, shape, incident)
}

/// A version of an incident, next to the one before.
fn item_after(
    before: Option<&Item>,
    change: Change,
    shape: &'static Shape,
    incident: &Value,
) -> Item {
    let published = before.map(|before| match before {
        Item::Version { seen, compared, .. } => (seen, compared.outline.as_ref().expect("one")),
        _ => panic!("a version"),
    });
    let raw = serde_json::to_vec(incident).expect("JSON");
    let reading = read(&raw, shape).expect("an incident");
    Item::Version {
        reading,
        change,
        seen: reading.seen(None),
        compared: compare(&raw, &reading, shape, published),
        raw: Bytes::from(raw),
    }
}

fn record(format: RecordFormat, source: &str, item: &Item) -> Record {
    encoder(format, source).encode(item).expect("a record")
}

/// The records of the incident's alerts.
fn alerts(format: RecordFormat, source: &str, item: &Item) -> Vec<Record> {
    let encoder = encoder(format, source);
    encoder.alerts(item).expect("a topic is set").collect()
}

/// The incident's bytes in an event.
fn within(value: &[u8]) -> &RawValue {
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(borrow, alias = "microsoft")]
        unmapped: Open<'a>,
    }
    #[derive(Deserialize)]
    struct Open<'a> {
        #[serde(borrow)]
        incident: &'a RawValue,
    }
    let event: Event<'_> = serde_json::from_slice(value).expect("an event");
    event.unmapped.incident
}

#[tokio::test(flavor = "multi_thread")]
async fn the_records_of_a_running_demo_are_valid_in_each_format() {
    let mut command = Command::new(file("validate"));
    command.args(["--demo", "3"]);
    command.env("INCIDENTD", env!("CARGO_BIN_EXE_incidentd"));
    let checked = blocking(move || command.output()).await.expect("it runs");
    let counts = String::from_utf8_lossy(&checked.stdout).into_owned();
    let errors = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{counts}{errors}");
    tell(format_args!("{counts}"));
    for class in ["cloudevents 1.0", "raw graph", "ocsf 2005", "ecs incident"] {
        let created = |line: &str| {
            line.starts_with(class) && line.contains("created") && line.contains("valid")
        };
        assert!(counts.lines().any(created), "{class}: {counts}");
    }
    assert!(counts.trim_end().ends_with("errors=0"), "{counts}");
}

/// Each documented change in a few incidents of one tenant.
fn live(simulator: &Simulator, tenant: Uuid) {
    let world = simulator.world();
    let ids = world.create(tenant, 8).unwrap();
    for (id, update) in ids.iter().zip([
        Update::Status("InProgress"),
        Update::Severity("Informational".to_owned()),
        Update::AssignedTo(Some("analyst@contoso.com".to_owned())),
        Update::Tag("vip".to_owned()),
        Update::Comment("seen before".to_owned()),
        Update::NewAlerts(3),
        Update::Resolve("FalsePositive", "InsufficientData"),
    ]) {
        world.update(tenant, *id, update).unwrap();
    }
    world.merge(tenant, ids[0], ids[7]).unwrap();
    world.evolve_tenant(tenant, 60).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_record_of_a_daemon_with_a_tenant_of_each_source_and_format_is_valid() {
    let (kafka, topic) = (shared(), unique("schemas"));
    let alerts = format!("{topic}-alerts");
    for topic in [&topic, &alerts] {
        create_topic(&kafka, topic, 1, &[]).await;
    }
    let tenants = 2 * SCHEMAS.len();
    let simulator = simulator(u32::try_from(tenants).unwrap(), Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    let setup = Setup::new(&simulator, &kafka, &topic);
    let mut setup = setup.text("kafka.alerts_topic", &alerts);
    for (at, tenant) in world.tenants().iter().enumerate() {
        let (format, _) = SCHEMAS[at / 2];
        setup = setup.own_text(tenant.id, "kafka.format", format);
        if at % 2 == 1 {
            setup = setup
                .own_text(tenant.id, "api.source", "defender")
                .own_text(tenant.id, "api.base_url", &simulator.url())
                .own_text(tenant.id, "api.login_url", &simulator.url());
        }
    }
    for tenant in world.tenants() {
        live(&simulator, tenant.id);
    }
    let mut daemon = Daemon::start(&setup.write()).await;
    let ids: Vec<_> = world.tenants().iter().map(|tenant| tenant.id).collect();
    let all_shown = async || {
        let shown = journal.shown();
        journal
            .current()
            .iter()
            .all(|version| shown.contains(version))
    };
    for _ in 0..4 {
        until("all versions are shown", SOON, all_shown).await;
        for tenant in &ids {
            world.evolve_tenant(*tenant, 20).unwrap();
        }
    }
    until("the last versions are shown", SOON, all_shown).await;
    until("all are published", SOON, async || {
        let (kafka, topic) = (kafka.clone(), topic.clone());
        blocking(move || read_all(&kafka, &topic).len()).await == journal.shown_count()
    })
    .await;
    daemon.stop().await;
    journal.settled().await;
    let (found, alerts) = blocking(move || {
        let of = |topic| read_all(&kafka, topic);
        (of(&topic), of(&alerts))
    })
    .await;
    for record in found.iter().chain(&alerts) {
        assert_eq!(header(record, "content-type"), Some("application/json"));
        let schema = header(record, "ce_dataschema").expect("a schema");
        assert!(schema.starts_with("https://"), "{schema}");
        let event: Value = serde_json::from_slice(&record.value).expect("JSON");
        let id = event
            .pointer("/metadata/uid")
            .or(event.pointer("/event/id"));
        assert_eq!(id.and_then(Value::as_str), header(record, "ce_id"));
    }
    for record in &found {
        let tenant: Uuid = header(record, "tenant_id").unwrap().parse().unwrap();
        let incident = within(&record.value).get();
        assert!(
            journal.identify(tenant, incident.as_bytes()).is_some(),
            "not as Microsoft showed it: {incident}"
        );
    }
    assert_eq!(found.len(), journal.shown_count());
    let counts = validate(found.iter().chain(&alerts).map(|record| &*record.value));
    let counts = counts.unwrap_or_else(|errors| panic!("{errors}"));
    tell(format_args!("{counts}"));
    for class in ["ocsf 2004", "ecs alert"] {
        for change in ["created", "updated", "resolved"] {
            let row = |line: &str| line.starts_with(class) && line.contains(change);
            assert!(counts.lines().any(row), "{class} {change}: {counts}");
        }
    }
    for (name, _) in SCHEMAS {
        for change in ["created", "updated", "resolved", "redirected"] {
            let row = |line: &str| line.starts_with(name) && line.contains(change);
            assert!(counts.lines().any(row), "{name} {change}: {counts}");
        }
    }
}
