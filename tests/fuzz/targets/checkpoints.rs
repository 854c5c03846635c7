//! Any text as `last_start_dates.txt`: compacting changes nothing of what it says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logzio_api_fetcher::state::Checkpoints;

fuzz_target!(|text: &str| {
    let read = Checkpoints::parse(text);
    let compacted = read.compacted();
    let again = Checkpoints::parse(&compacted);
    assert_eq!(again.by_name(), read.by_name(), "{text:?}");
    assert_eq!(again.unreadable().collect::<Vec<_>>(), read.unreadable().collect::<Vec<_>>(), "{text:?}");
    assert_eq!(again.compacted(), compacted);
});
