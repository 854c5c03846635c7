//! What a type of the catalog fills in where the user's entry says nothing: mappings are merged key by key, and what the
//! user wrote wins. Pure.

use serde_yaml::{Mapping, Value};

use super::reference::{self, Place};
use super::value::{is_blank, key_text};

/// An entry with what the type fills in.
pub(super) fn merged(own: &Mapping, preset: &Mapping, place: Place) -> Mapping {
    let mut entry = own.clone();
    fill(&mut entry, preset, place, "");
    entry
}

fn fill(own: &mut Mapping, preset: &Mapping, place: Place, within: &str) {
    for (key, value) in preset {
        let Some(name) = key_text(key) else { continue };
        let known = own.keys().filter_map(|own| Some((own, key_text(own)?)));
        let same = known.filter(|(_, own)| is_same(own, &name, within)).map(|(own, _)| own.clone());
        // The one of several names that has a value.
        let at = same.max_by_key(|key| own.get(key).is_some_and(|value| !value.is_null())).unwrap_or(key.clone());
        let path = if within.is_empty() { name } else { format!("{within}.{name}") };
        match (own.get_mut(&at), value) {
            (Some(Value::Mapping(own)), Value::Mapping(preset)) => fill(own, preset, place, &path),
            (Some(own), _) if !is_absent(own, place, within, &path) => {}
            _ => {
                own.insert(at, value.clone());
            }
        }
    }
}

/// Whether two names of one mapping mean the same.
fn is_same(own: &str, preset: &str, within: &str) -> bool {
    match within.rsplit('.').next() {
        Some("headers") => own.trim().eq_ignore_ascii_case(preset),
        Some("") => reference::canonical(own) == preset,
        _ => own == preset,
    }
}

/// Whether the user says nothing: null is absent, unless it says something itself, and so is a blank where no value is.
fn is_absent(own: &Value, place: Place, within: &str, path: &str) -> bool {
    match own {
        Value::Null => !reference::is_open(place, within) && !reference::null_counts(place, path),
        own => reference::blank_is_absent(place, path) && is_blank(own),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_merged(own: &str, preset: &str, expected: &str) {
        let [own, preset, expected] =
            [own, preset, expected].map(|text| serde_yaml::from_str::<Mapping>(text).unwrap());
        assert_eq!(merged(&own, &preset, Place::Auth), expected);
    }

    #[test]
    fn what_the_user_wrote_wins_and_the_rest_is_filled_in() {
        assert_merged("{a: 1}", "{}", "{a: 1}");
        assert_merged("{json_paths: {data: x}}", "{json_paths: {data: y, id: z}}", "{json_paths: {data: x, id: z}}");
        assert_merged("{json_paths: null}", "{json_paths: {data: y}}", "{json_paths: {data: y}}");
        assert_merged("{json_paths: text}", "{json_paths: {data: y}}", "{json_paths: text}");
        assert_merged("{filters: {a: [1, 2]}}", "{filters: {a: [3], b: 4}}", "{filters: {a: [1, 2], b: 4}}");
        assert_merged("{settings: {overlap: 0}}", "{settings: {overlap: 5m}}", "{settings: {overlap: 0}}");
    }

    #[test]
    fn null_is_absent_where_it_says_nothing_itself() {
        assert_merged("{json_paths: {data: null}}", "{json_paths: {data: y}}", "{json_paths: {data: y}}");
        assert_merged("{json_paths: {error: null}}", "{json_paths: {error: y}}", "{json_paths: {error: null}}");
        assert_merged("{custom_fields: {type: null}}", "{custom_fields: {type: y}}", "{custom_fields: {type: null}}");
        assert_merged("{filters: {a: null}}", "{filters: {a: 1}}", "{filters: {a: null}}");
    }

    #[test]
    fn a_blank_is_absent_where_it_can_be_no_value() {
        assert_merged("{start_date_name: ' '}", "{start_date_name: since}", "{start_date_name: since}");
        assert_merged("{json_paths: {data: ''}}", "{json_paths: {data: y}}", "{json_paths: {data: ''}}");
    }

    #[test]
    fn other_names_of_the_same_are_the_same() {
        assert_merged(
            "{data_http_request: {url: a}}",
            "{http_request: {url: b, method: POST}}",
            "{data_http_request: {url: a, method: POST}}",
        );
        assert_merged(
            "{http_request: null, data_http_request: {url: a}}",
            "{http_request: {url: b, method: POST}}",
            "{http_request: null, data_http_request: {url: a, method: POST}}",
        );
        assert_merged(
            "{http_request: {headers: {accept: a}}}",
            "{http_request: {headers: {Accept: b, X: c}}}",
            "{http_request: {headers: {accept: a, X: c}}}",
        );
    }
}
