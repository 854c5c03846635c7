//! Integration tests: the real binary, real sockets, real files.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails says where"
)]

mod chaos;
mod commands;
mod config;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod faults;
mod fetching;
mod gaps;
mod harness;
mod health;
mod memory;
mod oauth;
mod presets;
mod probe;
mod records;
mod secrets;
mod shipping;
mod state;
mod state_command;
mod stopping;
mod store;
mod tls;
mod window;
