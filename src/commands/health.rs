//! `health`: asks the daemon itself, by the address in its lock file.

use std::path::Path;

use super::{Exit, folder_of, print};
use crate::health::ask_on;

pub(super) fn health(config: &Path) -> Exit {
    let word = ask_on(&folder_of(config));
    print(&word.text);
    if word.is_healthy { Exit::Clean } else { Exit::Failed }
}
