//! Notes what is wrong while a document is read, each with its place.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::diagnostic::{Diagnostic, Diagnostics};
use super::document::{Document, Place as Spot};
use super::fill::Filling;
use super::reference;

/// Notes what is wrong while a document is read.
pub(super) struct Reader<'d> {
    document: &'d Document<'d>,
    noted: RefCell<Noted>,
    pub(super) filling: RefCell<Filling>,
}

#[derive(Default)]
struct Noted {
    errors: Vec<(Spot, String, Option<String>)>,
    warnings: Vec<(Spot, String, Option<String>)>,
    /// The files that are named, as they are written.
    files: HashSet<String>,
    /// Where a value is known to be no value, so that what follows from it isn't told, too.
    poisoned: HashSet<Spot>,
    /// Where the user wrote what a value came of, by where the value stands.
    origins: HashMap<Spot, Spot>,
}

impl<'d> Reader<'d> {
    pub(super) fn new(document: &'d Document<'d>) -> Self {
        Self { document, noted: RefCell::default(), filling: RefCell::default() }
    }

    pub(super) fn error(&self, spot: &Spot, what: impl Into<String>, hint: Option<String>) {
        let spot = self.origin(spot);
        if !self.is_poisoned(&spot) {
            self.noted.borrow_mut().errors.push((spot, what.into(), hint));
        }
    }

    pub(super) fn warn(&self, spot: &Spot, what: impl Into<String>, hint: Option<String>) {
        let spot = self.origin(spot);
        self.noted.borrow_mut().warnings.push((spot, what.into(), hint));
    }

    /// Notes where the user wrote what a value came of, and the value as it may be shown.
    pub(super) fn came_from(&self, spot: &Spot, from: &Spot, masked: Option<String>) {
        self.noted.borrow_mut().origins.insert(spot.clone(), from.clone());
        masked.into_iter().for_each(|masked| self.mask(spot, masked));
    }

    fn origin(&self, spot: &Spot) -> Spot {
        let noted = self.noted.borrow();
        let found = if noted.origins.is_empty() {
            None
        } else {
            spot.with_ancestors().find_map(|spot| noted.origins.get(&spot).cloned())
        };
        found.unwrap_or_else(|| spot.clone())
    }

    /// Notes a file whose content belongs to the config.
    pub(super) fn names_file(&self, file: &str) {
        self.noted.borrow_mut().files.insert(file.to_owned());
    }

    /// The files whose content belongs to the config.
    pub(super) fn files(&self, directory: &Path) -> BTreeSet<PathBuf> {
        self.noted.borrow().files.iter().map(|file| directory.join(file)).collect()
    }

    /// Says that a value, and all below it, is known to be none.
    pub(super) fn poison(&self, spot: &Spot) {
        self.noted.borrow_mut().poisoned.insert(spot.clone());
    }

    pub(super) fn is_poisoned(&self, spot: &Spot) -> bool {
        let noted = self.noted.borrow();
        !noted.poisoned.is_empty() && spot.with_ancestors().any(|spot| noted.poisoned.contains(&spot))
    }

    /// Whether any error was noted.
    pub(super) fn has_errors(&self) -> bool {
        !self.noted.borrow().errors.is_empty()
    }

    /// What was noted, with lines, in the order of the file.
    pub(super) fn diagnostics(self) -> Diagnostics {
        let noted = self.noted.into_inner();
        let located_max = self.document.located_max();
        let locate = |found: Vec<(Spot, String, Option<String>)>| {
            let with_line = found.into_iter().enumerate().map(|(at, (spot, what, hint))| Diagnostic {
                line: (at < located_max).then(|| self.document.line_of(&spot)).flatten(),
                path: spot.to_string(),
                what,
                hint,
            });
            let mut errors: Vec<Diagnostic> = with_line.collect();
            errors.sort_by_key(|error| error.line.unwrap_or(usize::MAX));
            // A section that is read in several places is told of once.
            let mut told = HashSet::new();
            errors.retain(|error| told.insert((error.path.clone(), error.what.clone())));
            errors
        };
        let mut errors = locate(noted.errors);
        for error in &mut errors {
            // Where nothing better is known, what the key is for.
            error.hint = error.hint.take().or_else(|| reference::meaning(&error.path));
        }
        Diagnostics { errors, warnings: locate(noted.warnings) }
    }
}
