//! Any text as a date: one that is understood survives being written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logzio_api_fetcher::record::date;

fuzz_target!(|text: &str| {
    for found in [date::parse(text), date::parse_written(text)].into_iter().flatten() {
        assert_eq!(date::parse_written(&date::format(found)), Some(found), "{text:?}");
        assert!(date::floor_to_second(found) <= found);
    }
});
