//! One tenant for each fault, beside healthy tenants, with a Kafka that limits requests and permits nothing at first:
//! no incident is hidden or repeated, and the healthy tenants keep their pace.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use incidentd::core::time::ticks::Ticks;
use incidentd::ports::Clock;
use incidentd::simulator::Tenant;
use incidentd::telemetry::clock::SystemClock;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::incident::{Form, Incident};
use crate::support::daemon::Daemon;
use crate::support::kafka::{Broker, Found, Right, create_topic, grant, read_all};
use crate::support::scripted::{Answer, Asked, Scripted, Shelf, Source, instant};
use crate::support::setup::Setup;
use crate::support::tally::header;
use crate::support::{SOON, blocking, tell, until};

const TOPIC: &str = "security.incidents";
const USER: &str = "incidentd";
const PASSWORD: &str = "s3cret-of-kafka";
/// The longest wait of a healthy tenant's incident on a busy machine.
const MOST_WAIT: Duration = Duration::from_secs(10);
/// How long the healthy tenants are watched.
const WATCHED: Duration = Duration::from_secs(30);
const NEIGHBOURS: u32 = 4;

/// One tenant: what its server answers, and what has to arrive.
struct Part {
    tenant: Tenant,
    shelf: Shelf,
    /// Bytes that a record has to contain unchanged, by incident.
    expected: BTreeMap<u64, Vec<u8>>,
}

impl Part {
    fn new(number: u32, microsoft: &Scripted) -> Self {
        Self {
            tenant: Tenant::numbered(number),
            shelf: Shelf::new(Source::Graph, microsoft),
            expected: BTreeMap::new(),
        }
    }

    fn incident(&self, id: u64) -> Incident {
        Incident::new(self.tenant.id, id, instant(-60 - id.cast_signed()))
    }

    /// Shows an incident as these bytes.
    fn show(&mut self, id: u64, text: Vec<u8>) {
        self.shelf
            .put(id, &self.incident(id).last_update, text.clone());
        self.expected.insert(id, text);
    }

    /// From now on, `change` makes the server's answer from the shelf's answer.
    fn answers(
        &self,
        microsoft: &Scripted,
        change: impl Fn(&Asked, &Shelf) -> Answer + Send + Sync + 'static,
    ) {
        let shelf = self.shelf.clone();
        microsoft.answers(self.tenant.id, move |asked| change(asked, &shelf));
    }
}

fn text(incident: &Incident) -> Vec<u8> {
    incident.text(Source::Graph, Form::default())
}

fn replaced(text: &[u8], from: &str, to: &[u8]) -> Vec<u8> {
    let at = text
        .windows(from.len())
        .position(|part| part == from.as_bytes());
    let at = at.unwrap_or_else(|| panic!("no {from} in {}", String::from_utf8_lossy(text)));
    [&text[..at], to, &text[at + from.len()..]].concat()
}

/// A1: texts that a JSON reader refuses, in an otherwise clear incident.
fn unreadable_in_part(microsoft: &Scripted) -> Part {
    let mut part = Part::new(11, microsoft);
    let deep = [vec![b'['; 5_000], vec![b']'; 5_000]].concat();
    let members: [&[u8]; 8] = [
        br#""displayName":"mail from \ud83d""#,
        br#""displayName":"\udc00 and back""#,
        b"\"displayName\":\"torn \xf0\x9f\x98\"",
        b"\"displayName\":\"two\nlines\"",
        br#""displayName":"x","priorityScore":1e400"#,
        br#""displayName":"x","priorityScore":123456789012345678901234567890"#,
        &[br#""displayName":"x","customDetails":"#.as_slice(), &deep].concat(),
        br#""displayName":"first","displayName":"second""#,
    ];
    for (id, member) in (1..).zip(members) {
        let incident = text(&part.incident(id));
        let name = format!("\"displayName\":\"Incident {id}\"");
        part.show(id, replaced(&incident, &name, member));
    }
    part.answers(microsoft, |asked, shelf| shelf.answer(asked));
    part
}

/// A2 and A3: each answer has another form, and new values of a member that Microsoft has added.
fn ever_other_forms(microsoft: &Scripted) -> Part {
    let mut part = Part::new(12, microsoft);
    for id in 1..=20 {
        let text = text(&part.incident(id));
        part.show(id, text);
        // Which form comes first is random.
        part.expected.insert(id, Vec::new());
    }
    let incidents: Vec<_> = (1..=20).map(|id| part.incident(id)).collect();
    let turns = AtomicUsize::new(0);
    part.answers(microsoft, move |asked, shelf| {
        let turn = turns.fetch_add(1, Ordering::Relaxed);
        for incident in &incidents {
            let form = Form {
                score: (turn > 0).then_some(turn as u64 + incident.id),
                new_urls: turn % 5 > 2,
                reversed: turn % 2 == 1,
                absent: turn % 3 == 1,
                capitals: turn % 4 == 1,
            };
            shelf.put(
                incident.id,
                &incident.last_update,
                incident.text(Source::Graph, form),
            );
        }
        shelf.answer(asked)
    });
    part
}

/// Text without repetition.
fn noise(bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 64);
    while text.len() < bytes {
        text.push_str(&BASE64_STANDARD.encode(Uuid::new_v4().as_bytes()));
    }
    text.truncate(bytes);
    text
}

/// A4: twice the size of Kafka's requests; one can be split between its alerts.
fn large(number: u32, alerts: &[usize], microsoft: &Scripted) -> Part {
    let mut part = Part::new(number, microsoft);
    let mut incident: Value = serde_json::from_slice(&text(&part.incident(1))).unwrap();
    let alert = incident["alerts"][0].clone();
    let alerts = alerts.iter().enumerate().map(|(n, size)| {
        let mut alert = alert.clone();
        alert["id"] = json!(format!("da1_{n}"));
        alert["description"] = json!(noise(*size));
        alert
    });
    incident["alerts"] = alerts.collect();
    part.show(1, incident.to_string().into_bytes());
    part.answers(microsoft, |asked, shelf| shelf.answer(asked));
    part
}

/// A6: the alerts are behind a link, and `alerts` itself is null.
fn alerts_elsewhere(microsoft: &Scripted) -> Part {
    let mut part = Part::new(15, microsoft);
    let incident = text(&part.incident(1));
    let mut value: Value = serde_json::from_slice(&incident).unwrap();
    let alerts: Vec<_> = value["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|alert| alert.to_string().into_bytes())
        .collect();
    let link = format!(
        "{}/v1.0/security/incidents/1/alerts?$skiptoken=a",
        microsoft.url()
    );
    value["alerts"] = Value::Null;
    value["alerts@odata.nextLink"] = json!(link);
    part.show(1, value.to_string().into_bytes());
    // Not as it was sent: the alerts are included.
    part.expected.insert(1, br#""id":"da1_2""#.to_vec());
    part.answers(microsoft, move |asked, shelf| {
        match asked.path.ends_with("/alerts") {
            true => Answer::page("", &alerts),
            false => shelf.answer(asked),
        }
    });
    part
}

/// A7: every link leads to an internal name of a gateway; three pages are behind the first.
fn links_lead_elsewhere(microsoft: &Scripted) -> Part {
    let mut part = Part::new(16, microsoft);
    for id in 1..=180 {
        let text = text(&part.incident(id));
        part.show(id, text);
    }
    part.answers(microsoft, |asked, shelf| {
        let (page, next) = shelf.page(asked);
        let link = r#""@odata.nextLink":"http://graph-7f.internal:8443/v1.0/security/incidents?$skiptoken=50","#;
        Answer::page(next.map_or("", |_| link), &page)
    });
    part
}

/// A8: pages of millions of empty elements, and a good one now and then.
fn tiny_elements(microsoft: &Scripted) -> Part {
    let mut part = Part::new(17, microsoft);
    let text = text(&part.incident(1));
    part.show(1, text);
    let flood = Arc::new(
        [
            b"{\"value\":[".to_vec(),
            b"{},".repeat(4 << 20),
            b"{}]}".to_vec(),
        ]
        .concat(),
    );
    let turns = AtomicUsize::new(0);
    part.answers(microsoft, move |asked, shelf| {
        match turns.fetch_add(1, Ordering::Relaxed) % 3 {
            1 => Answer::json(200, flood.to_vec()),
            _ => shelf.answer(asked),
        }
    });
    part
}

/// A10: the third answer has a date in 1970, and every fifth lags by 150 s. A very old incident must not be read.
fn wrong_dates(microsoft: &Scripted) -> Part {
    let mut part = Part::new(18, microsoft);
    for id in 1..=5 {
        let text = text(&part.incident(id));
        part.show(id, text);
    }
    let old = Incident::new(part.tenant.id, 99, instant(-100 * 24 * 3600));
    part.shelf.put(99, &old.last_update, text(&old));
    let turns = AtomicUsize::new(0);
    part.answers(microsoft, move |asked, shelf| {
        let answer = shelf.answer(asked);
        match turns.fetch_add(1, Ordering::Relaxed) + 1 {
            3 => answer.with("Date", "Thu, 01 Jan 1970 00:00:10 GMT"),
            turn if turn % 5 == 0 => {
                let lags = std::time::SystemTime::now() - Duration::from_secs(150);
                answer.with("Date", &httpdate::fmt_http_date(lags))
            }
            _ => answer,
        }
    });
    part
}

/// Healthy tenants that get an incident twice a second.
struct Neighbours {
    parts: Vec<Part>,
    /// When each incident was shown, by key.
    shown: Mutex<BTreeMap<String, Ticks>>,
}

impl Neighbours {
    fn new(microsoft: &Scripted) -> Self {
        let parts = (1..=NEIGHBOURS)
            .map(|number| Part::new(number, microsoft))
            .collect();
        let neighbours = Self {
            parts,
            shown: Mutex::default(),
        };
        for part in &neighbours.parts {
            part.answers(microsoft, |asked, shelf| shelf.answer(asked));
        }
        neighbours
    }

    async fn get_incidents(&self) {
        let end = Instant::now() + WATCHED;
        for id in 1.. {
            if Instant::now() >= end {
                return;
            }
            for part in &self.parts {
                let incident = Incident::new(part.tenant.id, id, instant(0));
                part.shelf.put(id, &incident.last_update, text(&incident));
                let key = format!("{}/{id}", part.tenant.id);
                self.shown.lock().unwrap().insert(key, SystemClock.now());
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// The longest time from an incident to its record, by Kafka's own clock.
    fn longest_wait(&self, found: &[Found]) -> Duration {
        let shown = self.shown.lock().unwrap();
        let waits = found.iter().filter_map(|one| {
            let shown = shown.get(&one.key)?;
            Some(Ticks(one.at * 10_000).since(*shown))
        });
        waits.max().expect("records of the neighbours")
    }
}

async fn guarded() -> (Broker, String, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    blocking(move || {
        let lines = "socket.request.max.bytes=1048576\n";
        let (broker, login) = Broker::start_guarded(dir.path(), USER, PASSWORD, lines);
        (broker, login, dir)
    })
    .await
}

fn states(status: &Value) -> BTreeMap<String, String> {
    let tenants = status["tenants"].as_array().unwrap().iter();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    tenants
        .map(|tenant| (word(&tenant["id"]), word(&tenant["state"])))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_tenant_is_sent_hides_no_incident_repeats_none_and_holds_up_no_neighbour() {
    let (broker, login, _dir) = guarded().await;
    let kafka = broker.bootstrap();
    let configs = [
        ("max.message.bytes", "8388608"),
        ("message.timestamp.type", "LogAppendTime"),
    ];
    create_topic(&kafka, TOPIC, 3, &configs).await;
    let microsoft = Scripted::start().await;
    let neighbours = Neighbours::new(&microsoft);
    let splits = large(13, &[200_000; 10], &microsoft);
    let stays = large(14, &[2_000_000], &microsoft);
    let parts = [
        unreadable_in_part(&microsoft),
        ever_other_forms(&microsoft),
        alerts_elsewhere(&microsoft),
        links_lead_elsewhere(&microsoft),
        tiny_elements(&microsoft),
        wrong_dates(&microsoft),
    ];
    let all = neighbours
        .parts
        .iter()
        .chain([&splits, &stays])
        .chain(&parts);
    let tenants: Vec<_> = all.map(|part| part.tenant.clone()).collect();
    let count = tenants.len();
    let setup = Setup::at(&microsoft.url(), tenants, &login, TOPIC)
        .text("kafka.properties.\"security.protocol\"", "sasl_plaintext")
        .text("kafka.properties.\"sasl.mechanism\"", "PLAIN")
        .text("kafka.properties.\"sasl.username\"", USER)
        .text("kafka.properties.\"sasl.password\"", PASSWORD);
    let mut daemon = Daemon::start(&setup.write()).await;

    // A5: nothing is permitted. The daemon says what to grant, and keeps running.
    let words = "kafka-acls.sh --bootstrap-server";
    until("the status says what to grant", SOON, async || {
        daemon.status().await.to_string().contains(words)
    })
    .await;
    grant(&kafka, USER, Right::Produce(TOPIC));
    let neighbour_ids: BTreeSet<_> = neighbours
        .parts
        .iter()
        .map(|part| part.tenant.id.to_string())
        .collect();
    until(
        "the neighbours are well once it is granted",
        2 * SOON,
        async || {
            let states = states(&daemon.status().await);
            neighbour_ids.iter().all(|id| states[id] == "ok")
        },
    )
    .await;
    neighbours.get_incidents().await;

    let expected: Vec<(String, Vec<u8>)> = parts
        .iter()
        .flat_map(|part| {
            part.expected
                .iter()
                .map(|(id, text)| (format!("{}/{id}", part.tenant.id), text.clone()))
        })
        .collect();
    let mut wanted: BTreeSet<String> = expected.iter().map(|(key, _)| key.clone()).collect();
    wanted.extend(neighbours.shown.lock().unwrap().keys().cloned());
    wanted.insert(format!("{}/1", splits.tenant.id));
    let (deadline, mut missing) = (Instant::now() + 2 * SOON, wanted.clone());
    while !missing.is_empty() && Instant::now() < deadline {
        sleep(Duration::from_millis(500)).await;
        let kafka = kafka.clone();
        for one in blocking(move || read_all(&kafka, TOPIC)).await {
            missing.remove(&one.key);
        }
    }
    let status = daemon.status().await;
    assert!(
        missing.is_empty(),
        "{} are missing: {missing:?}\n{status:#}",
        missing.len()
    );
    daemon.stop().await;
    let found = blocking(move || read_all(&kafka, TOPIC)).await;

    let mut ids = BTreeMap::<_, usize>::new();
    for one in &found {
        *ids.entry(header(one, "ce_id").unwrap()).or_default() += 1;
    }
    ids.retain(|_, count| *count > 1);
    assert!(ids.is_empty(), "repeated: {ids:?}");
    for (key, bytes) in &expected {
        let records: Vec<_> = found.iter().filter(|one| one.key == *key).collect();
        assert_eq!(records.len(), 1, "versions of {key}");
        let value = &records[0].value;
        let holds = bytes.is_empty() || value.windows(bytes.len()).any(|part| part == bytes);
        assert!(
            holds,
            "not as it was sent: {}",
            String::from_utf8_lossy(value)
        );
    }
    let keys: BTreeSet<_> = found.iter().map(|one| one.key.clone()).collect();
    assert_eq!(keys, wanted, "nothing but what was asked for");
    let first = microsoft.asked(parts[5].tenant.id)[0].from();
    for asked in microsoft.asked(parts[5].tenant.id) {
        assert!(
            asked.from() >= first,
            "the range begins earlier than at first: {asked:?}"
        );
    }
    let held = states(&status)[&stays.tenant.id.to_string()].clone();
    assert_eq!(held, "misconfigured", "{status:#}");
    assert_eq!(microsoft.token_requests(), count, "one for each tenant");
    let longest = neighbours.longest_wait(&found);
    let shown = neighbours.shown.lock().unwrap().len();
    tell(format_args!(
        "{shown} incidents of {NEIGHBOURS} neighbours beside {} troubled tenants: the longest wait was {:.1} s; {} records, 0 \
         repeated; {} log lines",
        parts.len() + 2,
        longest.as_secs_f64(),
        found.len(),
        daemon.log_lines().len(),
    ));
    assert!(
        longest < MOST_WAIT,
        "a neighbour's incident waited {longest:?}"
    );
}
