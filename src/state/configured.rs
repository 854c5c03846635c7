//! Which states the config still has a use for.

use std::collections::HashSet;

use super::lane_key::{api_of, output_of};
use crate::plan::{Config, OutputName};

/// The APIs of a config, those that rest among them, and its outputs.
#[derive(Clone, Debug, Default)]
pub struct Configured {
    apis: HashSet<String>,
    outputs: HashSet<OutputName>,
}

impl Configured {
    /// Of a config.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let outputs = config.outputs.iter().map(|output| output.name.clone()).collect();
        Self { apis: config.names(), outputs }
    }

    /// Whether both the API and the output of a state are in it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.apis.contains(api_of(key)) && self.outputs.contains(&output_of(key))
    }
}
