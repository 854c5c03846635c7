//! Which states the config still has a use for.

use std::collections::HashSet;

use super::lane_key::lane_key;
use crate::plan::Config;

/// The APIs of a config, those that rest among them, each with the outputs that get its records.
#[derive(Clone, Debug, Default)]
pub struct Configured {
    /// The keys of their states.
    lanes: HashSet<String>,
}

impl Configured {
    /// Of a config.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let names = config.names();
        let lanes = names.iter().flat_map(|api| config.outputs_of(api).map(|output| lane_key(api, &output.name)));
        Self { lanes: lanes.collect() }
    }

    /// Whether a state is of such an API and output, by its key.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.lanes.contains(key)
    }
}
