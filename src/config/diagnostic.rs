//! What is wrong with a config: all of it at once, each with its place and what to do.

use std::fmt;

/// One thing that is wrong, or only odd. It never holds a value of the config that may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where: `oauth_apis[1].json_paths.data`; empty for the file as a whole.
    pub path: String,
    /// The line in the file, from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// Of the file as a whole.
    pub(super) fn of_file(what: String, line: Option<usize>, hint: &str) -> Self {
        Self { path: String::new(), line, what, hint: Some(hint.to_owned()) }
    }
}

/// Everything noticed about a config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    /// What makes the config unusable, in the order of the file.
    pub errors: Vec<Diagnostic>,
    /// What is not right, but can be lived with.
    pub warnings: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Writes each into the log, for the commands that go on with the config, or can't.
    pub fn log(&self) {
        for warning in &self.warnings {
            tracing::warn!(config = %warning, "config warning");
        }
        for error in &self.errors {
            tracing::error!(config = %error, "invalid config");
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.what)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}
