//! What happens to each record, step by step, on one thread and without network. Throughput is in bytes of the page, or of
//! the batch.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "it is a bench")]

use std::hint::black_box;
use std::time::Duration;

use chrono::Utc;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use logzio_api_fetcher::record::json::RawJson;
use logzio_api_fetcher::record::path::JsonPath;
use logzio_api_fetcher::record::{CustomFields, Page, Paths, Zone, date};
use logzio_api_fetcher::ship::{BATCH_BYTES_MAX, Batch, Batcher, Compressor};

#[path = "common/records.rs"]
mod records;

fn paths() -> Paths {
    let path = |text| JsonPath::parse(text).unwrap();
    Paths {
        id: Some(path("id").into()),
        next_url: Some(path("metadata.links.next")),
        ..Paths::new(path("data"), path("date"))
    }
}

fn fields(all: &[(&str, &str)]) -> CustomFields {
    let all: Vec<_> = all.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
    CustomFields::new(&all).unwrap()
}

/// The records of a page, in batches; the last one is full or not.
fn batches(page: &Page<'_>, fields: &CustomFields, batcher: &mut Batcher) -> Vec<Batch> {
    let push = |batcher: &mut Batcher, record: &logzio_api_fetcher::record::Record<'_>| {
        batcher.push(|line| record.append_line(fields, line), record.identity()).unwrap()
    };
    page.records.iter().filter_map(|record| push(batcher, record)).collect()
}

fn hot_paths(criterion: &mut Criterion) {
    let text = records::Pages::new(Utc::now()).page(0, 1_000, 0, Some("https://api.example/v1/events?page=1"));
    let (paths, plain, overriding) = (paths(), fields(&[("type", "cisco")]), fields(&[("severity", "none")]));
    let page = Page::read(&text, &paths, &plain).unwrap();
    assert_eq!(page.records.len() as u64, records::PAGE_RECORDS);
    assert!(records::Pages::count(1_000) > 1, "it is no last page");

    let mut group = criterion.benchmark_group("a page of 500 records");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.measurement_time(Duration::from_secs(3));
    group.bench_function("validate alone", |bencher| bencher.iter(|| RawJson::parse(black_box(&text)).unwrap()));
    group.bench_function("split: validate, find records, dates, ids, overridden keys", |bencher| {
        bencher.iter(|| Page::read(black_box(&text), &paths, &plain).unwrap().records.len());
    });
    let dates: Vec<String> =
        page.records.iter().map(|record| date::format(record.date.unwrap()).replace('Z', "+00:00")).collect();
    group.bench_function("read the dates alone", |bencher| {
        bencher.iter(|| dates.iter().filter_map(|text| date::of_event(black_box(text), Zone::Utc)).count());
    });
    let mut line = Vec::new();
    group.bench_function("splice the custom fields", |bencher| {
        bencher.iter(|| {
            line.clear();
            page.records.iter().for_each(|record| record.append_line(&plain, &mut line));
            line.len()
        });
    });
    let overridden = Page::read(&text, &paths, &overriding).unwrap();
    group.bench_function("splice where a field overrides a key", |bencher| {
        bencher.iter(|| {
            line.clear();
            overridden.records.iter().for_each(|record| record.append_line(&overriding, &mut line));
            line.len()
        });
    });
    let mut batcher = Batcher::default();
    group.bench_function("splice into batches", |bencher| {
        bencher.iter(|| {
            let full = batches(&page, &plain, &mut batcher);
            full.into_iter().for_each(|batch| batcher.reuse(batch));
        });
    });
    group.finish();

    let mut batcher = Batcher::default();
    let batch = std::iter::repeat_with(|| batches(&page, &plain, &mut batcher)).flatten().next().unwrap();
    assert!(batch.text().len() > BATCH_BYTES_MAX / 100 * 99);
    let mut packer = Compressor::new().unwrap();
    let packed = packer.pack(batch.text()).unwrap().len();
    let mut group = criterion.benchmark_group("a full batch");
    group.throughput(Throughput::Bytes(batch.text().len() as u64));
    group.measurement_time(Duration::from_secs(3));
    let times = batch.text().len() as f64 / packed as f64;
    group.bench_function(format!("gzip, {times:.1} times smaller"), |bencher| {
        bencher.iter(|| packer.pack(black_box(batch.text())).unwrap());
    });
    group.finish();
}

criterion_group!(benches, hot_paths);
criterion_main!(benches);
