//! Several fetchers that share one config's APIs: who runs which, and how no write of a former owner gets through.
//!
//! Pure, but for the engine's own module: what is decided here is played against a model of an engine that loses, delays
//! and reorders.

pub mod claim;
pub mod engine;
pub mod fence;
pub mod keys;
pub mod queue;
#[cfg(test)]
mod simulation;
pub mod slot;
