//! Encoding an incident as a record, headers and key included.

#![allow(clippy::expect_used)]

mod upstream;

use std::sync::Arc;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use incidentd::core::incident::page::Splitter;
use incidentd::core::incident::reading::read;
use incidentd::core::incident::version::{Change, Reading};
use incidentd::ports::{Encoder, Item};
use incidentd::record::{Recipe, RecordEncoder};
use incidentd::settings::RecordFormat;
use incidentd::simulator::Tenant;
use tokio::runtime::Runtime;

/// An incident of about `bytes` bytes.
async fn incident(bytes: usize) -> (Reading, Bytes) {
    let simulator = upstream::simulator(1, 1, bytes).await;
    let tenant = Tenant::numbered(1);
    let mut elements = Vec::new();
    for page in upstream::pages(&simulator, &tenant).await {
        let mut splitter = Splitter::default();
        splitter.feed(&page, &mut elements).expect("a page");
    }
    let raw = elements.pop().expect("an incident");
    let reading = read(&raw, upstream::shape(&simulator, &tenant)).expect("an incident");
    (reading, raw)
}

fn encoder(format: RecordFormat) -> RecordEncoder {
    let tenant = Tenant::numbered(1);
    RecordEncoder::new(Recipe {
        tenant: tenant.id.to_string().parse().expect("a GUID"),
        name: tenant.name.into(),
        source: "https://api.security.microsoft.com".to_owned(),
        topic: Arc::from("security.incidents"),
        alerts_topic: None,
        format,
        status_topic: None,
        dead_letter_topic: None,
    })
}

fn bench(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("record");
    for (size, bytes) in [("5 KB", 5_000), ("20 KB", 20_000)] {
        let (reading, raw) = runtime.block_on(incident(bytes));
        group.throughput(Throughput::Bytes(raw.len() as u64));
        for (name, format) in [
            ("cloudevents", RecordFormat::CloudEvents),
            ("raw", RecordFormat::Raw),
            ("ocsf", RecordFormat::Ocsf),
            ("ecs", RecordFormat::Ecs),
        ] {
            let encoder = encoder(format);
            let item = Item::Version {
                reading,
                change: Change::Updated,
                seen: reading.seen(None),
                compared: Default::default(),
                raw: raw.clone(),
            };
            group.bench_function(BenchmarkId::new(name, size), |b| {
                b.iter(|| encoder.encode(&item));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
