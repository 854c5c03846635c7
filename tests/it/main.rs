//! Integration tests: the real binary, real sockets, real files.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails says where"
)]

mod about;
mod answer_values;
mod apis;
mod backfill;
#[path = "../../build.rs"]
#[expect(dead_code, reason = "cargo runs it; here are its tests")]
mod build;
mod cassettes;
mod catalog;
mod catalog_mocks;
mod chaos;
mod cluster_config;
mod commands;
mod config;
mod coverage;
mod cursor;
mod decoding;
mod demo;
mod dialect2;
mod docs;
mod environment;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod faults;
mod fetching;
mod gaps;
mod harness;
mod health;
mod http2;
mod language;
mod login;
mod memory;
mod memory_budget;
mod next_iteration;
mod oauth;
mod outputs;

mod page_ends;
mod probe;
mod progress;
mod records;
mod reload;
mod schema;
mod secrets;
mod shipping;
mod signing;
mod silence;
mod snapshot;
mod span;
mod state;
mod state_command;
mod status;
mod steps;
mod stopping;
mod store;
mod structure;
mod tls;
mod top;
mod undelivered_command;
mod window;
mod windows;
