//! A page of 100 incidents of 20 KB to versions: cut into its incidents, each read and hashed. This is what every byte
//! from Microsoft goes through, whether it is new or not.

#![allow(clippy::expect_used)]

mod upstream;

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use incidentd::core::incident::page::Splitter;
use incidentd::core::incident::reading::{Shape, read};
use incidentd::simulator::Tenant;
use tokio::runtime::Runtime;

fn versions(chunks: &[Bytes], shape: &'static Shape) -> usize {
    let mut splitter = Splitter::default();
    let (mut elements, mut hashes) = (Vec::new(), 0);
    for chunk in chunks {
        splitter.feed(chunk, &mut elements).expect("a page");
        for raw in elements.drain(..) {
            black_box(read(&raw, shape).expect("an incident"));
            hashes += 1;
        }
    }
    splitter.finish().expect("a whole page");
    hashes
}

fn split(chunks: &[Bytes]) -> usize {
    let mut splitter = Splitter::default();
    let mut elements = Vec::new();
    for chunk in chunks {
        splitter.feed(chunk, &mut elements).expect("a page");
    }
    elements.len()
}

fn bench(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let (page, shape) = runtime.block_on(async {
        let simulator = upstream::simulator(1, upstream::PAGE, 20_000).await;
        let tenant = Tenant::numbered(1);
        let pages = upstream::pages(&simulator, &tenant).await;
        let page = pages.first().expect("one page").clone();
        (page, upstream::shape(&simulator, &tenant))
    });
    let cut = |size| -> Vec<Bytes> { page.chunks(size).map(|part| page.slice_ref(part)).collect() };

    let mut group = criterion.benchmark_group("page");
    group.throughput(Throughput::Bytes(page.len() as u64));
    let whole = cut(page.len());
    assert_eq!(versions(&whole, shape), 100, "every incident is read");
    group.bench_function("split, whole", |b| b.iter(|| split(&whole)));
    for (name, size) in [
        ("versions, whole", page.len()),
        ("versions, in 64 KB", 64 << 10),
        ("versions, in 16 KB", 16 << 10),
    ] {
        let chunks = cut(size);
        group.bench_function(name, |b| b.iter(|| versions(&chunks, shape)));
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
