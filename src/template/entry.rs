//! An entry of a list that is asked about, for use in the requests of a step.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Captured, VariablePath};
use crate::record::json::RawJson;

/// What `{item}` and `{parent.PATH}` stand for: an entry of a list, and what the answer that held it says beside it.
///
/// It may hold signed URLs, so it is never printed.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListEntry {
    /// The entry as the answer wrote it, as JSON text.
    item: Box<str>,
    /// Values of the answer that held it, by their paths.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    parent: BTreeMap<String, Captured>,
}

impl ListEntry {
    /// An entry, and the answer that held it. Of the answer those values are kept that requests name by `paths`.
    #[must_use]
    pub fn of(item: RawJson<'_>, answer: RawJson<'_>, paths: &[VariablePath]) -> Self {
        let value = |path: &VariablePath| Some((path.text().to_owned(), path.find(answer)?));
        Self { item: item.text().into(), parent: paths.iter().filter_map(value).collect() }
    }

    /// How many bytes of text it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.item.len() + self.parent.iter().map(|(path, value)| path.len() + value.json().len()).sum::<usize>()
    }

    /// Its texts, to look for what may not be saved.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.item).chain(self.parent.values().map(Captured::json))
    }

    /// The value of `{item}` or `{item.PATH}`.
    #[must_use]
    pub fn item(&self, path: Option<&VariablePath>) -> Option<Captured> {
        match path {
            None => Captured::of_json(&self.item),
            Some(path) => path.find(RawJson::parse(&self.item).ok()?),
        }
    }

    /// The value of `{parent.PATH}`.
    #[must_use]
    pub fn parent(&self, path: &VariablePath) -> Option<&Captured> {
        self.parent.get(path.text())
    }
}

impl fmt::Debug for ListEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListEntry").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> VariablePath {
        VariablePath::parse(text).expect("a path")
    }

    #[test]
    fn values_are_found_in_the_entry_and_in_the_answer_that_held_it() {
        let answer =
            RawJson::parse(r#"{"job":{"id":"j-1"},"chunks":[7,{"url":"https://x/y?z"}],"big":[0]}"#).expect("JSON");
        let chunks = answer.member("chunks").expect("a list");
        let [first, second] = [0, 1].map(|at| {
            let item = chunks.elements().nth(at).expect("an entry");
            ListEntry::of(item, answer, &[path("job.id"), path("gone")])
        });
        assert_eq!(first.item(None).map(|value| value.text()).as_deref(), Some("7"));
        assert_eq!(first.item(Some(&path("url"))), None);
        assert_eq!(second.item(Some(&path("url"))).map(|value| value.text()).as_deref(), Some("https://x/y?z"));
        assert_eq!(second.parent(&path("job.id")), Some(&Captured::of_text("j-1")));
        assert_eq!(second.parent(&path("gone")), None);
        assert!(!format!("{second:?}").contains("https"), "a signed URL is never printed");
        let saved = serde_json::to_string(&second).expect("JSON");
        assert!(!saved.contains("big"), "only what is named is kept: {saved}");
        assert_eq!(serde_json::from_str::<ListEntry>(&saved).expect("it reads"), second);
    }
}
