//! From the notes of a reader to [`Diagnostics`]: each with its line and its path as it may be shown, and with what its key is
//! for where no better hint is known.

use std::collections::HashSet;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::document::{Document, Segment, Spot};
use super::plain::NOT_SHOWN;
use super::reader::{Note, Notes};
use super::reference::{self, shown_key};

/// What was noted, in the order of the file.
pub(super) fn diagnostics(notes: Notes<'_>) -> Diagnostics {
    let mut errors = located(notes.document, notes.errors);
    for error in &mut errors {
        error.hint = error.hint.take().or_else(|| reference::meaning(&error.path));
    }
    Diagnostics { errors, warnings: located(notes.document, notes.warnings) }
}

fn located(document: &Document<'_>, notes: Vec<Note>) -> Vec<Diagnostic> {
    let located_max = document.located_max();
    let with_line = notes.into_iter().enumerate().map(|(at, Note { spot, what, hint })| Diagnostic {
        line: (at < located_max).then(|| document.line_of(&spot)).flatten(),
        path: shown_path(&spot),
        what,
        hint,
    });
    let mut located: Vec<Diagnostic> = with_line.collect();
    located.sort_by_key(|diagnostic| diagnostic.line.unwrap_or(usize::MAX));
    // A section that is read in several places is told of once.
    let mut told = HashSet::new();
    located.retain(|diagnostic| told.insert((diagnostic.path.clone(), diagnostic.what.clone())));
    located
}

/// A place as errors show it: `oauth_apis[1].json_paths.data`.
pub(super) fn shown_path(spot: &Spot) -> String {
    let mut path = String::new();
    for segment in spot.segments() {
        let name = match segment {
            Segment::Key(key) => shown_key(key),
            Segment::Slip(_) => NOT_SHOWN,
            Segment::Index(index) => {
                path.push_str(&format!("[{index}]"));
                continue;
            }
        };
        path.push_str(if path.is_empty() { "" } else { "." });
        path.push_str(name);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_no_key_that_may_be_a_value() {
        let spot = Spot::default().key("auth_apis").index(0).key("credentials");
        assert_eq!(shown_path(&spot.key("key")), "auth_apis[0].credentials.key");
        assert_eq!(shown_path(&spot.key("key:hunter2")), "auth_apis[0].credentials.‹not shown›");
        assert_eq!(shown_path(&spot.slip("swordfish")), "auth_apis[0].credentials.‹not shown›");
    }
}
