//! Compares a topic with what the simulator showed. Records are recognised by the bytes of the incident, so this also
//! proves that the bytes came through unchanged; the daemon's own counters and ids are not used.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use incidentd::simulator::{Journal, Version};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::blocking;
use super::kafka::{Found, read_all};

/// The records of a topic and their versions.
pub struct Tally {
    /// Complete incidents.
    pub records: Vec<(Found, Version)>,
    /// Those marked as lacking alerts.
    pub bare: Vec<Version>,
    counts: HashMap<Version, usize>,
}

impl Tally {
    /// Reads a topic of structured CloudEvents to its present end.
    pub async fn read(bootstrap: &str, topic: &str, journal: &Journal) -> Self {
        Self::read_as(bootstrap, topic, journal, structured).await
    }

    /// Reads a topic; `data` takes the incident from a value.
    pub async fn read_as(
        bootstrap: &str,
        topic: &str,
        journal: &Journal,
        data: fn(&[u8]) -> Vec<u8>,
    ) -> Self {
        let (bootstrap, topic) = (bootstrap.to_owned(), topic.to_owned());
        let found = blocking(move || read_all(&bootstrap, &topic)).await;
        let records: Vec<_> = found
            .into_iter()
            .map(|record| {
                let version = identify(&record, &data(&record.value), journal);
                (record, version)
            })
            .collect();
        let marked = |record: &Found| header(record, "alerts_complete") == Some("false");
        let (bare, records): (Vec<_>, Vec<_>) =
            records.into_iter().partition(|(record, _)| marked(record));
        let mut counts = HashMap::new();
        for (_, version) in &records {
            *counts.entry(*version).or_default() += 1;
        }
        Self {
            records,
            bare: bare.into_iter().map(|(_, version)| version).collect(),
            counts,
        }
    }

    /// Reads the topic repeatedly until it has every version that the world has now.
    pub async fn until_complete(
        bootstrap: &str,
        topic: &str,
        journal: &Journal,
        limit: Duration,
    ) -> Self {
        let deadline = Instant::now() + limit;
        loop {
            let tally = Self::read(bootstrap, topic, journal).await;
            let missing = tally.missing(journal.current());
            if missing.is_empty() {
                return tally;
            }
            assert!(
                Instant::now() < deadline,
                "after {limit:?}, {} present versions are not among the {} records of the topic, as {:?}",
                missing.len(),
                tally.records.len(),
                missing.first(),
            );
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn has(&self, version: &Version) -> bool {
        self.counts.contains_key(version)
    }

    /// The `versions` that are not in the topic.
    pub fn missing(&self, versions: impl IntoIterator<Item = Version>) -> Vec<Version> {
        versions
            .into_iter()
            .filter(|version| !self.has(version))
            .collect()
    }

    /// The number of records that repeat an earlier one.
    pub fn repeats(&self) -> usize {
        self.records.len() - self.counts.len()
    }

    pub fn versions(&self) -> HashSet<Version> {
        self.counts.keys().copied().collect()
    }

    /// Fails unless the topic holds what was shown, each version once.
    pub fn assert_exact(&self, journal: &Journal) {
        let missing = self.missing(journal.shown());
        assert!(
            missing.is_empty(),
            "shown and not in the topic: {missing:?}"
        );
        let repeated: Vec<_> = self
            .counts
            .iter()
            .filter(|(_, count)| **count > 1)
            .collect();
        assert!(
            repeated.is_empty(),
            "in the topic more than once: {repeated:?}"
        );
    }

    /// Fails if an incident's versions are in two partitions, or an older one follows a newer one.
    pub fn assert_in_order(&self) {
        let mut last: HashMap<(Uuid, u64), (i32, u32)> = HashMap::new();
        for (record, version) in &self.records {
            let incident = (version.tenant, version.incident);
            let now = (record.partition, version.revision);
            if let Some(before) = last.insert(incident, now) {
                assert_eq!(before.0, now.0, "{incident:?} is in two partitions");
                assert!(
                    before.1 <= now.1,
                    "{incident:?}: {} after {}",
                    now.1,
                    before.1
                );
            }
        }
    }
}

/// The incident within a structured CloudEvent, byte for byte.
pub fn structured(value: &[u8]) -> Vec<u8> {
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        data: &'a RawValue,
    }
    let event: Event<'_> = serde_json::from_slice(value).expect("a structured CloudEvent");
    event.data.get().as_bytes().to_vec()
}

/// The value of a header, if there is one of that name.
pub fn header<'a>(record: &'a Found, name: &str) -> Option<&'a str> {
    let found = record.headers.iter().find(|(key, _)| key == name)?;
    Some(&found.1)
}

fn identify(record: &Found, data: &[u8], journal: &Journal) -> Version {
    let (tenant, _) = record
        .key
        .split_once('/')
        .expect("a key of tenant and incident");
    let tenant = tenant.parse().expect("the tenant's id");
    // An incident put together from several pages is recognised by its content.
    let assembled = || journal.identify_value(tenant, &serde_json::from_slice(data).ok()?);
    let found = journal.identify(tenant, data).or_else(assembled);
    let (incident, revision) = found.unwrap_or_else(|| {
        panic!(
            "a record that is nothing the simulator showed, {}: {}",
            record.key,
            String::from_utf8_lossy(data)
        )
    });
    Version {
        tenant,
        incident,
        revision,
    }
}
