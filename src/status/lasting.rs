//! Which troubles of a cluster the log has: those that last, once, and their end. What passes by itself isn't told. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// How long a trouble lasts before it is told: members that are restarted one after the other make some that pass.
const LASTS_AFTER: Duration = Duration::from_secs(60);
/// How many are known at the same time. There are fewer kinds of them, but some have a number in their text.
const TROUBLES_MAX: usize = 20;

/// What is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ToldTrouble {
    /// It has lasted.
    Lasts(String),
    /// It is over.
    Over(String),
}

/// The troubles there are, since when, and whether they were told.
#[derive(Debug, Default)]
pub(super) struct LastingTroubles {
    known: BTreeMap<String, (Instant, bool)>,
}

impl LastingTroubles {
    /// Takes what there is now. Gives what is to be told.
    pub(super) fn take(&mut self, troubles: Vec<String>, now: Instant) -> Vec<ToldTrouble> {
        let mut told = Vec::new();
        self.known.retain(|trouble, (_, is_told)| {
            let lasts = troubles.contains(trouble);
            if *is_told && !lasts {
                told.push(ToldTrouble::Over(trouble.clone()));
            }
            lasts
        });
        for trouble in troubles.into_iter().take(TROUBLES_MAX) {
            let (since, is_told) = self.known.entry(trouble.clone()).or_insert((now, false));
            if !*is_told && now.duration_since(*since) >= LASTS_AFTER {
                *is_told = true;
                told.push(ToldTrouble::Lasts(trouble));
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_told_once_and_so_is_its_end() {
        let (mut troubles, begun) = (LastingTroubles::default(), Instant::now());
        let mut take = |names: &[&str], second| {
            troubles.take(names.iter().map(ToString::to_string).collect(), begun + Duration::from_secs(second))
        };
        assert_eq!(take(&["alone", "short"], 0), []);
        assert_eq!(take(&["alone"], 59), []);
        assert_eq!(take(&["alone", "short"], 60), [ToldTrouble::Lasts("alone".to_owned())]);
        assert_eq!(take(&["alone", "short"], 90), []);
        assert_eq!(take(&[], 119), [ToldTrouble::Over("alone".to_owned())]);
        assert_eq!(take(&["alone"], 120), []);
    }
}
