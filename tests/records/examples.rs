//! The readers in `deploy/examples`, each with the tool that it is for where that can be had, on a topic that a daemon filled.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use incidentd::simulator::{Options, Simulator, Update, Version};
use rdkafka::producer::Producer;
use serde_json::{Value, json};

use super::{file, java, lines, python};
use crate::support::daemon::Daemon;
use crate::support::kafka::{Found, append, create_topic, leave_open, read_all, shared};
use crate::support::setup::{Setup, simulator, unique};
use crate::support::tally::header;
use crate::support::{SOON, blocking, tell, until};

fn example(name: &str) -> PathBuf {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples");
    examples.join(name)
}

fn example_json(name: &str) -> Value {
    let text = fs::read_to_string(example(name)).expect("the example");
    let value: Value = serde_json::from_str(&text).expect("JSON");
    // Some readers of JSON refuse a member that is there twice, and some take either.
    let visible = |text: &str| text.chars().filter(|one| !one.is_whitespace()).count();
    let twice = visible(&text) != visible(&value.to_string());
    assert!(!twice, "{name} has a member twice");
    value
}

/// A topic of two partitions: what a daemon published of a changing world, then repeats, an aborted transaction, and in each
/// partition a last record whose key begins with `end/`.
struct Filled {
    kafka: String,
    topic: String,
    simulator: Simulator,
    /// What the daemon published.
    published: Vec<Found>,
}

impl Filled {
    async fn with(format: &str) -> Self {
        let (kafka, topic) = (shared(), unique("examples"));
        create_topic(&kafka, &topic, 2, &[("max.message.bytes", "30000")]).await;
        let simulator = simulator(2, Options::default()).await;
        let (world, journal) = (simulator.world(), simulator.journal());
        let setup = Setup::new(&simulator, &kafka, &topic).text("kafka.format", format);
        let tenants: Vec<_> = world.tenants().iter().map(|tenant| tenant.id).collect();
        let mut large = Vec::new();
        for tenant in &tenants {
            let ids = world.create(*tenant, 4).unwrap();
            world
                .update(*tenant, ids[0], Update::NewAlerts(60))
                .unwrap();
            large.push((*tenant, ids[0]));
        }
        let all_shown = async || {
            let shown = journal.shown();
            let current = journal.current();
            current.iter().all(|version| shown.contains(version))
        };
        let mut daemon = Daemon::start(&setup.write()).await;
        for _ in 0..3 {
            until("all versions are shown", SOON, all_shown).await;
            for (tenant, incident) in &large {
                world.evolve_tenant(*tenant, 10).unwrap();
                // The same incident again, in other parts.
                let _ = world.update(*tenant, *incident, Update::NewAlerts(20));
            }
        }
        until("the last versions are shown", SOON, all_shown).await;
        let read = async || {
            let (kafka, topic) = (kafka.clone(), topic.clone());
            blocking(move || read_all(&kafka, &topic)).await
        };
        until("all are published", SOON, async || {
            let first = |record: &&Found| matches!(header(record, "part"), None | Some("1"));
            read().await.iter().filter(first).count() >= journal.shown_count()
        })
        .await;
        daemon.stop().await;
        journal.settled().await;
        let published = read().await;
        let filled = Self {
            kafka,
            topic,
            simulator,
            published,
        };
        filled.disturb().await;
        filled
    }

    /// Each record once more, the oldest version last; a record that was never committed; and the last ones.
    async fn disturb(&self) {
        let (kafka, topic) = (self.kafka.clone(), self.topic.clone());
        let repeats: Vec<_> = self.published.iter().rev().cloned().collect();
        let last = |partition: i32| Found {
            partition,
            key: format!("end/{partition}"),
            ..self.published[0].clone()
        };
        let last = [last(0), last(1)];
        blocking(move || {
            append(&kafka, &topic, &repeats);
            let id = unique("aborted");
            let (partition, key) = (repeats[0].partition, repeats[0].key.as_bytes());
            let open = leave_open(&kafka, &id, SOON, &[(&topic, partition, key)]);
            open.abort_transaction(SOON).expect("aborted");
            append(&kafka, &topic, &last);
            let all = read_all(&kafka, &topic).len();
            assert_eq!(all, 2 * repeats.len() + 2, "all are in the topic");
        })
        .await;
    }

    /// The lines that a command prints about this topic.
    async fn lines_of(&self, mut command: Command) -> Vec<Value> {
        command.args([&self.kafka, &self.topic]);
        blocking(move || lines(&mut command)).await
    }

    /// The newest version of each incident in a view's lines is the simulator's, with all its alerts.
    fn assert_view(&self, what: &str, lines: &[Value]) {
        let journal = self.simulator.journal();
        let mut view = HashSet::new();
        for line in lines {
            let (tenant, _) = line["key"].as_str().unwrap().split_once('/').unwrap();
            if tenant == "end" {
                continue;
            }
            let tenant = tenant.parse().unwrap();
            let found = journal.identify_value(tenant, &line["incident"]);
            let (incident, revision) = found.unwrap_or_else(|| panic!("{what}: {line}"));
            assert!(view.insert(Version {
                tenant,
                incident,
                revision
            }));
        }
        let current: HashSet<_> = journal.current().into_iter().collect();
        assert_eq!(view, current, "{what}");
        tell(format_args!(
            "{what}: the newest versions of {} incidents, from {} records of which {} are parts, each published twice",
            view.len(),
            self.published.len(),
            self.parts().count(),
        ));
    }

    fn parts(&self) -> impl Iterator<Item = &Found> {
        let all = self.published.iter();
        all.filter(|record| header(record, "part").is_some())
    }
}

fn load(example: &str) -> Command {
    let mut command = python(&file("load_examples.py"));
    command.arg(example);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn the_views_in_python_and_clickhouse_are_the_newest_versions_in_spite_of_parts_and_repeats()
{
    let filled = Filled::with("cloudevents").await;
    assert!(filled.parts().count() > 4, "nothing was split");
    let view = filled.lines_of(python(&example("view.py"))).await;
    filled.assert_view("view.py", &view);
    let view = filled.lines_of(load("clickhouse")).await;
    filled.assert_view("clickhouse.sql", &view);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_for_sentinel_have_the_columns_of_its_rule_and_each_alert_and_fit() {
    let filled = Filled::with("cloudevents").await;
    let rows = filled.lines_of(load("sentinel")).await;
    let rule = example_json("sentinel-rule.json");
    let columns = |pointer: &str| -> BTreeMap<String, String> {
        let columns = rule.pointer(pointer).and_then(Value::as_array).unwrap();
        let text = |column: &Value, member: &str| column[member].as_str().unwrap().to_owned();
        let columns = columns.iter();
        columns
            .map(|column| (text(column, "name"), text(column, "type")))
            .collect()
    };
    let stream = rule
        .pointer("/resources/1/properties/dataFlows/0/streams/0")
        .and_then(Value::as_str)
        .unwrap();
    let sent = columns(&format!(
        "/resources/1/properties/streamDeclarations/{stream}/columns"
    ));
    let mut table = columns("/resources/0/properties/schema/columns");
    assert_eq!(table.remove("TimeGenerated").as_deref(), Some("datetime"));
    assert_eq!(sent, table, "the rule makes the table's columns");
    let mut used = HashSet::new();
    for line in &rows {
        assert!(line["path"].as_str().unwrap().contains(stream), "{line}");
        for (column, value) in line["row"].as_object().unwrap() {
            let kind = sent.get(column).unwrap_or_else(|| panic!("{column}"));
            assert_eq!(kind == "dynamic", value.is_object(), "{column}");
            assert!(value.to_string().len() <= 64 * 1024, "{column}");
            used.insert(column.clone());
        }
    }
    assert_eq!(used.len(), sent.len(), "all columns are used");
    let alerts = |record: &Found| {
        let event: Value = serde_json::from_slice(&record.value).unwrap();
        event["data"]["alerts"].as_array().map_or(0, Vec::len)
    };
    let expected: usize = filled.published.iter().map(|one| 1 + alerts(one)).sum();
    assert_eq!(rows.len(), 2 * expected, "each record came twice");
    tell(format_args!("sentinel.py: {} rows were sent", rows.len()));
}

#[test]
fn an_odd_record_ends_no_reader_and_a_set_that_was_broken_off_is_joined_when_it_comes_again() {
    let shown = lines(&mut load("odd"));
    let (views, rows) = shown.split_at(11);
    let joined = |name: &str| json!({"is": name, "alerts": [1, 2]});
    let (a, b) = (joined("A"), joined("B"));
    let expected = [&Value::Null, &Value::Null, &b, &b, &a, &a, &a, &Value::Null];
    let views: Vec<&Value> = views.iter().map(|line| &line["view"]).collect();
    assert_eq!(views[..8], expected);
    assert!(
        views[8][0].is_object() && views[8][1].is_string(),
        "{}",
        views[8]
    );
    assert_eq!(*views[9], json!({"a": "\u{fffd}", "b": "1e400"}));
    let nested = views[10].as_str().expect("a text");
    assert!(nested.contains(&"[".repeat(3000)));

    let rows: Vec<&Value> = rows.iter().map(|line| &line["row"]).collect();
    let [no_text, nested, no_list, incident, long, no_object, wide] = rows.as_slice() else {
        panic!("{} rows", rows.len());
    };
    assert_eq!(no_text["Incident"], *views[9]);
    let text = nested["Incident"]["Text"].as_str().expect("a text");
    assert!(text.starts_with("{\"data\":{\"a\":[[["), "{text}");
    assert_eq!(no_list["Incident"], json!({"alerts": "none"}));
    assert_eq!(incident["Incident"], json!({"id": "1"}));
    assert_eq!(no_object["Alert"], json!({"Value": 5}));
    let long = &long["Alert"];
    assert_eq!((&long["id"], &long["tags"]), (&json!("7"), &json!(["a"])));
    assert_eq!(long["Cut"], "description, evidence");
    let description = long["description"].as_str().expect("a text");
    assert!(description.starts_with("é\"é\""), "{description}");
    let wide = &wide["Alert"];
    assert!(wide["m0"].is_string() && wide["m98"].is_null(), "{wide}");
    assert!(
        wide["Cut"]
            .as_str()
            .expect("a text")
            .starts_with("m12, m13"),
        "{wide}"
    );
    for row in &rows {
        assert!(row.to_string().len() <= 64 * 1024);
    }
}

/// A worker of Kafka Connect, which ends with the test.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_connect_loads_its_connectors_and_takes_committed_records_only() {
    let filled = Filled::with("ocsf").await;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(
        at("worker.properties"),
        format!(
            "bootstrap.servers={}\nlisteners=http://127.0.0.1:0\noffset.storage.file.filename={}\n\
             key.converter=org.apache.kafka.connect.storage.StringConverter\n\
             value.converter=org.apache.kafka.connect.storage.StringConverter\n",
            filled.kafka,
            at("offsets").display()
        ),
    )
    .unwrap();
    let mut command = java();
    command.arg("org.apache.kafka.connect.cli.ConnectStandalone");
    command.arg(at("worker.properties"));
    // Splunk's connector can't be had: a sink of Kafka takes its place, with all settings of Kafka Connect.
    for name in ["kafka-connect-file.json", "splunk-connect.json"] {
        let mut connector = example_json(name);
        let config = &mut connector["config"];
        config["topics"] = json!(filled.topic);
        config["connector.class"] = json!("org.apache.kafka.connect.file.FileStreamSinkConnector");
        config["file"] = json!(at(name).with_extension("lines"));
        fs::write(at(name), connector.to_string()).unwrap();
        command.arg(at(name));
    }
    command.stdout(fs::File::create(at("log")).unwrap());
    let _worker = Worker(command.stderr(Stdio::inherit()).spawn().unwrap());
    // Twice, and the last two.
    let expected = 2 * filled.published.len() + 2;
    for name in ["kafka-connect-file.json", "splunk-connect.json"] {
        let file = at(name).with_extension("lines");
        let read = || fs::read(&file).unwrap_or_default();
        let count = |text: &[u8]| text.iter().filter(|byte| **byte == b'\n').count();
        until("all records are in the file", SOON, async || {
            count(&read()) >= expected
        })
        .await;
        let text = read();
        let lines: HashSet<&[u8]> = text.split(|byte| *byte == b'\n').collect();
        assert_eq!(count(&text), expected, "{name}");
        let known = filled.published.iter().map(|record| &*record.value);
        let known: HashSet<&[u8]> = known.chain([&b""[..]]).collect();
        assert_eq!(lines, known, "{name}");
        tell(format_args!("{name}: {expected} records were written"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_program_leaves_of_a_record_what_is_of_ecs() {
    let filled = Filled::with("ecs").await;
    let text = fs::read_to_string(example("vector.yaml")).unwrap();
    let pipeline: Value = yaml_serde::from_str(&text).unwrap();
    let program = pipeline.pointer("/transforms/events/source").unwrap();
    let program = program.as_str().unwrap().to_owned();
    let events: Vec<Value> = filled
        .published
        .iter()
        .map(|record| serde_json::from_slice(&record.value).unwrap())
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("events");
    let text: Vec<_> = events.iter().map(Value::to_string).collect();
    fs::write(&input, text.join("\n")).unwrap();
    let mut command = load("vector");
    command.arg(program).stdin(fs::File::open(&input).unwrap());
    let after = blocking(move || lines(&mut command)).await;
    assert_eq!(after, events);
    // Sources, transforms and sinks are connected.
    let inputs = |of: &str| pipeline.pointer(of).unwrap()[0].as_str().unwrap();
    assert_eq!(inputs("/transforms/events/inputs"), "incidents");
    assert_eq!(inputs("/transforms/once/inputs"), "events");
    assert_eq!(inputs("/sinks/elasticsearch/inputs"), "once");
    // Vector takes the field of the id out of the event.
    assert_eq!(pipeline.pointer("/sinks/elasticsearch/id_key"), None);
    let set = example_json("elasticsearch-pipeline.json")["processors"][0]["set"].clone();
    assert_eq!(
        (&set["field"], &set["value"]),
        (&json!("_id"), &json!("{{{event.id}}}"))
    );
    assert_mapped(&events);
}

/// The index template maps each field of these events as ECS does, and the incident as one field.
fn assert_mapped(events: &[Value]) {
    fn leaves(value: &Value, path: &str, all: &mut HashSet<String>) {
        for (name, value) in value.as_object().unwrap() {
            let path = format!("{path}{name}");
            match value.is_object() && path != "microsoft.incident" {
                true => leaves(value, &(path + "."), all),
                false => {
                    all.insert(path);
                }
            }
        }
    }
    let template = example_json("elasticsearch-template.json");
    let fields: Value = serde_json::from_str(include_str!("ecs-9.4.0.json")).unwrap();
    let mut used = HashSet::new();
    for event in events {
        leaves(event, "", &mut used);
    }
    let mapping = |path: &str| {
        let path = path.replace('.', "/properties/");
        template.pointer(&format!("/template/mappings/properties/{path}"))
    };
    for path in &used {
        let mapping = mapping(path).unwrap_or_else(|| panic!("{path} is not mapped"));
        match path.starts_with("microsoft.") {
            true => assert!(mapping["type"].is_string()),
            false => assert_eq!(mapping["type"], fields["fields"][path]["type"], "{path}"),
        }
    }
    assert_eq!(mapping("microsoft.incident").unwrap()["type"], "flattened");
    tell(format_args!("{} fields are mapped", used.len()));
}

#[test]
fn elasticsearch_and_logstash_take_their_examples() {
    let mut command = java();
    command.arg(file("LoadElasticsearch.java"));
    let names = ["elasticsearch-pipeline.json", "elasticsearch-template.json"];
    let understood = lines(command.args(names.map(example)));
    let mut given = names.map(example_json).to_vec();
    // The client knows the type of an object with members, and a mapping that is not dynamic, in other spellings.
    let mut template = understood[1].clone();
    let mappings = &mut template["template"]["mappings"];
    assert_eq!(mappings["dynamic"], false);
    mappings["dynamic"] = json!("false");
    typed(&mut given[1]["template"]["mappings"]["properties"]);
    assert_eq!(understood[0], given[0]);
    assert_eq!(template, given[1]);
    let pipeline = lines(&mut load("logstash"))[0].to_string();
    for part in [
        "'input', [['kafka'",
        "'output', [['if', [['[event][id]'], [[['elasticsearch'",
        "['else', [['file'",
        "read_committed",
    ] {
        assert!(pipeline.contains(part), "{part}: {pipeline}");
    }
}

#[test]
fn the_documents_name_each_example() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/records.md");
    let page = fs::read_to_string(page).unwrap();
    let examples = fs::read_dir(example("")).unwrap();
    let names = examples.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: Vec<_> = names.collect();
    assert!(!names.is_empty());
    for name in names {
        assert!(
            page.contains(&format!("/deploy/examples/{name})")),
            "{name}"
        );
    }
}

/// A mapping with `properties` is of the type `object`.
fn typed(properties: &mut Value) {
    for mapping in properties.as_object_mut().unwrap().values_mut() {
        if let Some(inner) = mapping.get_mut("properties") {
            typed(inner);
            mapping["type"] = json!("object");
        }
    }
}
