//! Under which name the state of an API and one of its outputs is kept.
//!
//! With the output that needs no name it is the API's own name, as it has been since there was one output only. Pure.

use std::collections::BTreeMap;

use super::account::ApiState;
use crate::plan::OutputName;

/// Stands between the names of an API and an output. No name holds a control character.
const SEPARATOR: char = '\u{1f}';

/// The name of the state of an API and an output.
#[must_use]
pub fn lane_key(api: &str, output: &OutputName) -> String {
    if output.is_default() { api.to_owned() } else { format!("{api}{SEPARATOR}{output}") }
}

/// The API in such a name.
#[must_use]
pub fn api_of(key: &str) -> &str {
    key.split_once(SEPARATOR).map_or(key, |(api, _)| api)
}

/// The output in such a name.
#[must_use]
pub fn output_of(key: &str) -> OutputName {
    key.split_once(SEPARATOR).map_or_else(OutputName::default, |(_, output)| OutputName::new(output.to_owned()))
}

/// Takes the states of an API out of all, by their keys.
pub fn take_states(all: &mut BTreeMap<String, ApiState>, api: &str) -> BTreeMap<String, ApiState> {
    // What follows the separator in the order of characters is a blank.
    let of_others = all.range(format!("{api}{SEPARATOR}")..format!("{api} ")).map(|(key, _)| key.clone());
    let keys: Vec<String> = std::iter::once(api.to_owned()).chain(of_others).collect();
    keys.into_iter().filter_map(|key| all.remove_entry(&key)).collect()
}

/// How the two are shown together.
#[must_use]
pub fn shown_lane(api: &str, output: &OutputName) -> String {
    format!("{api} → {output}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_its_api_and_its_output() {
        for (api, output) in [("a: b", "logzio"), ("a", "second"), ("ä → b", "x: y")] {
            let name = OutputName::new(output.to_owned());
            let key = lane_key(api, &name);
            assert_eq!((api_of(&key), output_of(&key)), (api, name), "{key:?}");
        }
        assert_eq!(lane_key("a", &OutputName::default()), "a", "as it was when there was one output");
    }

    #[test]
    fn the_states_of_an_api_are_taken_and_no_others() {
        let keys = ["a", "a\u{1f}x", "a\u{1f}y", "a b", "ab", "a\u{1e}"];
        let mut all: BTreeMap<String, ApiState> = keys.map(|key| (key.to_owned(), ApiState::default())).into();
        let taken = take_states(&mut all, "a");
        assert_eq!(taken.into_keys().collect::<Vec<_>>(), ["a", "a\u{1f}x", "a\u{1f}y"]);
        assert_eq!(all.into_keys().collect::<Vec<_>>(), ["a\u{1e}", "a b", "ab"]);
    }
}
