//! Any text as `config.yaml`: a config or faults, never both, never neither.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use logzio_api_fetcher::config::{Environment, compile};

fuzz_target!(|text: &str| {
    let variable = |name: &str| (name.len() < 8).then(|| format!("value of {name}"));
    let around = Environment { variable: &variable, directory: Path::new("/nowhere") };
    let reading = compile(text, &around);
    let is_usable = reading.diagnostics.errors.iter().all(|error| error.path.starts_with("apis["));
    assert!(reading.config.is_some() <= is_usable && (reading.config.is_some() || !reading.diagnostics.errors.is_empty()));
    for fault in &reading.diagnostics.errors {
        assert!(!fault.to_string().is_empty());
    }
});
