//! `health`: asks the daemon itself, by the address in its lock file.

use std::path::Path;

use super::{Exit, folder_of, print};
use crate::health::ask;
use crate::state::health_address;

pub(super) fn health(config: &Path) -> Exit {
    let folder = folder_of(config);
    let word = match health_address(&folder) {
        Some(address) => ask(address),
        None => {
            print(&format!("unhealthy: no fetcher runs on {}", folder.display()));
            return Exit::Failed;
        }
    };
    match word {
        Ok(word) => {
            print(&word.text);
            if word.is_healthy { Exit::Clean } else { Exit::Failed }
        }
        Err(cause) => {
            print(&format!("unhealthy: the fetcher on {} does not answer: {cause}", folder.display()));
            Exit::Failed
        }
    }
}
