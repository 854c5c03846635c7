//! `convert`: a config with `apis` in our own language, on stdout. Asks nobody and takes no lock.

use std::path::Path;

use super::{Exit, folder_of, print};
use crate::config::{self, Environment};

pub(super) fn convert(path: &Path) -> Exit {
    let text = match config::read_file(path) {
        Ok(text) => text,
        Err(cause) => {
            tracing::error!(%cause, "the config can't be converted");
            return Exit::Config;
        }
    };
    let variable = |name: &str| std::env::var(name).ok();
    match config::converted(&text, &Environment { variable: &variable, directory: &folder_of(path) }) {
        Ok((converted, diagnostics)) => {
            diagnostics.log();
            print(converted.trim_end());
            // What is left out is no part of the new file.
            if diagnostics.errors.is_empty() { Exit::Clean } else { Exit::Config }
        }
        Err(diagnostics) => {
            diagnostics.log();
            Exit::Config
        }
    }
}
