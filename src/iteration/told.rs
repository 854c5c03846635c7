//! What the outputs of an API that fetch together tell of it: each thing once in an iteration, by the first that sees it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// What was told of an API in an iteration. Cheap to clone; an output alone tells everything.
#[derive(Clone, Debug, Default)]
pub struct ToldOnce(Option<Arc<Mutex<HashSet<ToldThing>>>>);

/// What was told, and of which page.
type ToldThing = (&'static str, u64);

impl ToldOnce {
    /// For outputs that fetch together.
    #[must_use]
    pub(super) fn shared() -> Self {
        Self(Some(Arc::default()))
    }

    /// Whether none of the outputs told this yet. It counts as told from now on.
    #[must_use]
    pub fn is_new(&self, what: &'static str) -> bool {
        self.is_new_of(what, 0)
    }

    /// The same of a page.
    #[must_use]
    pub(super) fn is_new_of(&self, what: &'static str, page: u64) -> bool {
        let Some(told) = &self.0 else { return true };
        told.lock().unwrap_or_else(PoisonError::into_inner).insert((what, page))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_several_tells_and_one_alone_always() {
        let (alone, several) = (ToldOnce::default(), ToldOnce::shared());
        let other = several.clone();
        assert!(alone.is_new("a") && alone.is_new("a"));
        assert!(several.is_new("a") && !other.is_new("a") && other.is_new("b"));
        assert!(other.is_new_of("a", 1) && !several.is_new_of("a", 1) && several.is_new_of("a", 2));
    }
}
