//! The least that any correct fetcher does with the bytes of the pages: find the records, add the custom fields, compress.

use logzio_api_fetcher::ship::{BATCH_BYTES_MAX, Compressor};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::cases::Load;
use super::process::thread_cpu_seconds;
use super::records::Pages;

/// What is spliced into each record, as the config of the cases has it.
const MEMBERS: &[u8] = b",\"type\":\"cisco\"}\n";

/// What the floor costs, on one thread.
#[derive(Clone, Copy, Debug)]
pub struct Floor {
    pub cpu_seconds: f64,
    pub wire_bytes: u64,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

/// Measures the floor over the pages of a load; making them isn't counted.
pub fn measure(pages: &Pages, load: Load) -> Floor {
    let mut floor = Floor { cpu_seconds: 0.0, wire_bytes: 0 };
    let mut packer = Compressor::new().unwrap();
    let mut batch = Vec::with_capacity(BATCH_BYTES_MAX);
    let records = load.records / load.apis;
    for api in 0..load.apis {
        for number in 0..Pages::count(records) {
            let page = pages.page(api, records, number, Some("https://127.0.0.1:65535/events/1/1?page=1"));
            let begun = thread_cpu_seconds();
            let page: Page<'_> = serde_json::from_str(&page).unwrap();
            for record in page.data {
                let members = record.get().strip_suffix('}').unwrap().as_bytes();
                if batch.len() + members.len() + MEMBERS.len() > BATCH_BYTES_MAX {
                    floor.wire_bytes += packer.pack(&batch).unwrap().len() as u64;
                    batch.clear();
                }
                batch.extend_from_slice(members);
                batch.extend_from_slice(MEMBERS);
            }
            floor.cpu_seconds += thread_cpu_seconds() - begun;
        }
        let begun = thread_cpu_seconds();
        if !batch.is_empty() {
            floor.wire_bytes += packer.pack(&batch).unwrap().len() as u64;
            batch.clear();
        }
        floor.cpu_seconds += thread_cpu_seconds() - begun;
    }
    floor
}
