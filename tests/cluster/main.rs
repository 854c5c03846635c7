//! A cluster's engine, with real etcd: `cargo test --features cluster --test cluster`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails says where"
)]

mod access;
mod chaos;
mod faults;
#[path = "../it/harness/mod.rs"]
#[expect(dead_code, unused_imports, reason = "it is that of the other tests")]
mod fetchers;
mod harness;
mod identities;
mod leases;
mod limits;
mod links;
mod logins;
mod migration;
mod orders;
mod owners;
mod proxy;
mod rates;
mod reach;
mod replicas;
mod rollouts;
mod room;
mod scale;
mod transactions;
mod watched;
mod watches;
mod world;
