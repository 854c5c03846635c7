//! Notes what is wrong while a document is read, each with its place, and what is secret in it.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::document::{Document, Spot};
use crate::text::Secret;

/// Notes what is wrong while a document is read.
pub(super) struct Reader<'d> {
    document: &'d Document<'d>,
    noted: RefCell<Noted>,
}

#[derive(Default)]
struct Noted {
    errors: Vec<Note>,
    warnings: Vec<Note>,
    /// The files that are named, as they are written.
    files: HashSet<String>,
    /// Where a value is known to be no value, so that what follows from it isn't told, too.
    poisoned: HashSet<Spot>,
    /// Where the user wrote what a value came of, by where the value stands.
    origins: HashMap<Spot, Spot>,
    /// What was filled in, by the entry where it stands: all of it is secret.
    filled: HashMap<Spot, Vec<String>>,
    /// The texts that something was filled into, with `***` in its place.
    masked: HashMap<Spot, String>,
}

/// Something that is wrong, or only odd.
pub(super) struct Note {
    pub(super) spot: Spot,
    pub(super) what: String,
    pub(super) hint: Option<String>,
}

/// What was noted of a document.
pub(super) struct Notes<'d> {
    pub(super) document: &'d Document<'d>,
    pub(super) errors: Vec<Note>,
    pub(super) warnings: Vec<Note>,
}

impl<'d> Reader<'d> {
    pub(super) fn new(document: &'d Document<'d>) -> Self {
        Self { document, noted: RefCell::default() }
    }

    pub(super) fn error(&self, spot: &Spot, what: impl Into<String>, hint: Option<String>) {
        let spot = self.origin(spot);
        if !self.is_poisoned(&spot) {
            self.noted.borrow_mut().errors.push(Note { spot, what: what.into(), hint });
        }
    }

    pub(super) fn warn(&self, spot: &Spot, what: impl Into<String>, hint: Option<String>) {
        let spot = self.origin(spot);
        self.noted.borrow_mut().warnings.push(Note { spot, what: what.into(), hint });
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

    /// Whether an error was noted that isn't one of a single entry of these lists.
    pub(super) fn has_errors_beyond(&self, lists: &[&str]) -> bool {
        self.noted.borrow().errors.iter().any(|note| lists.iter().all(|list| !note.spot.is_in_entry_of(list)))
    }

    /// Whether an error was noted in an entry.
    pub(super) fn has_errors_in(&self, entry: &Spot) -> bool {
        self.noted.borrow().errors.iter().any(|note| note.spot.entry() == *entry)
    }

    /// Notes a value that is secret as a whole.
    pub(super) fn hide(&self, spot: &Spot, value: Option<String>) {
        self.mask(spot, "***".to_owned());
        self.note_filled(spot, value);
    }

    /// Notes what was filled in at a place: it is secret wherever else it stands in the entry.
    pub(super) fn note_filled(&self, spot: &Spot, values: impl IntoIterator<Item = String>) {
        self.noted.borrow_mut().filled.entry(spot.entry()).or_default().extend(values);
    }

    /// Notes how the text at a place is shown.
    pub(super) fn mask(&self, spot: &Spot, masked: String) {
        self.noted.borrow_mut().masked.insert(spot.clone(), masked);
    }

    /// What was filled in by `${…}` in an entry.
    pub(super) fn filled(&self, entry: &Spot) -> Vec<Secret> {
        let noted = self.noted.borrow();
        noted.filled.get(entry).into_iter().flatten().map(|value| Secret::new(value.as_str())).collect()
    }

    /// The text at a place with `***` for what was filled in, where something was.
    pub(super) fn masked(&self, spot: &Spot) -> Option<String> {
        self.noted.borrow().masked.get(spot).cloned()
    }

    /// The document, and the errors and warnings that were noted.
    pub(super) fn into_notes(self) -> Notes<'d> {
        let Noted { errors, warnings, .. } = self.noted.into_inner();
        Notes { document: self.document, errors, warnings }
    }
}
