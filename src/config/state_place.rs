//! What a config says of the directory that the state is kept in, read without the rest of it.

use std::path::{Path, PathBuf};

use super::document::Document;
use super::expand::Environment;
use super::place::List;
use super::reader::Reader;
use super::value::written;

/// Where the state is to be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatePlace {
    /// `state.directory`, where it is there; as it is written, or from the directory of the config.
    pub directory: Option<PathBuf>,
    /// Whether a temporary one will do where that of the config can't be written: of a file with `apis` alone, as the
    /// original keeps no state at all.
    pub may_be_temporary: bool,
}

/// What a text says of it; nothing where it is no YAML.
#[must_use]
pub fn state_place(text: &str, directory: &Path) -> StatePlace {
    let Ok(mut document) = Document::parse(text.trim_start_matches('\u{feff}')) else { return StatePlace::default() };
    let mut root = std::mem::take(&mut document.root);
    let variable = |name: &str| std::env::var(name).ok();
    Reader::new(&document).fill_in(&mut root, &Environment { variable: &variable, directory });
    let named = root.get("state").and_then(|state| state.get("directory")).and_then(written);
    let has =
        |list: List| root.get(list.key()).and_then(|list| list.as_sequence()).is_some_and(|list| !list.is_empty());
    StatePlace {
        directory: named.filter(|named| !named.trim().is_empty()).map(|named| directory.join(named.trim())),
        may_be_temporary: has(List::Apis) && !has(List::AuthApis) && !has(List::OauthApis),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_and_what_will_do_instead_are_read() {
        let of = |text: &str| state_place(text, Path::new("/config"));
        let place = |directory: Option<&str>, may_be_temporary| StatePlace {
            directory: directory.map(PathBuf::from),
            may_be_temporary,
        };
        for (text, expected) in [
            ("state: {directory: /data}\nauth_apis: [{}]", place(Some("/data"), false)),
            ("state: {directory: data}\napis: [{}]", place(Some("/config/data"), true)),
            ("apis: [{}]\nauth_apis: []", place(None, true)),
            ("apis: [{}]\nauth_apis: [{}]", place(None, false)),
            ("apis: []", place(None, false)),
            ("a: [", place(None, false)),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
    }
}
