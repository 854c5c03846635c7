//! In which forms a member has its entries.
//!
//! While a config is rolled out, members have different ones. A place in an API's data belongs to the form of the entry that
//! came there: another form would go on from a place that was reached by other filters. So each member says which forms it has,
//! as numbers that tell nothing of the entries, and an API goes on in the form in which it ran last as long as somebody has that.
//! Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::slot::{MemberId, hash};

/// How many forms a member says at most: they are 1 MB then, and a request to etcd has 1.5 MiB at most. Of those beyond them
/// nobody hears, so such an API goes on in the form of whoever owns it.
pub const FORMS_MAX: usize = 125_000;
/// The bytes of one.
const FORM_BYTES: usize = 8;

/// The forms of a member's entries. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryForms(Arc<[u64]>);

/// The forms of other members, as far as these may own APIs.
pub type OtherForms = Arc<BTreeMap<MemberId, EntryForms>>;

impl EntryForms {
    /// Of entries with these names and forms.
    #[must_use]
    pub fn of<'e>(entries: impl IntoIterator<Item = (&'e str, u64)>) -> Self {
        let mut forms: Vec<u64> = entries.into_iter().map(|(name, form)| named(name, form)).collect();
        forms.sort_unstable();
        forms.truncate(FORMS_MAX);
        Self(forms.into())
    }

    /// Whether an entry is among them in a form.
    #[must_use]
    pub fn has(&self, name: &str, form: u64) -> bool {
        self.0.binary_search(&named(name, form)).is_ok()
    }

    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.0.iter().flat_map(|form| form.to_be_bytes()).collect()
    }

    /// Out of bytes. What can't be read is none.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let forms = bytes.chunks_exact(FORM_BYTES).filter_map(|form| Some(u64::from_be_bytes(form.try_into().ok()?)));
        let mut forms: Vec<u64> = forms.collect();
        forms.sort_unstable();
        Self(forms.into())
    }
}

fn named(name: &str, form: u64) -> u64 {
    hash(&format!("{form:016x} {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_known_by_name_and_come_back_out_of_bytes() {
        let forms = EntryForms::of([("a", 1), ("b", 2), ("c", 1)]);
        let read = EntryForms::decode(&forms.encode());
        assert_eq!(read, forms);
        assert!(read.has("a", 1) && read.has("b", 2) && read.has("c", 1));
        assert!(!read.has("a", 2) && !read.has("d", 1));
        assert_eq!(EntryForms::decode(b"too few"), EntryForms::default());
    }

    #[test]
    fn those_of_any_number_of_entries_fit_into_a_request() {
        let names: Vec<String> = (0..FORMS_MAX + 1).map(|number| number.to_string()).collect();
        let forms = EntryForms::of(names.iter().map(|name| (name.as_str(), 1)));
        assert!(forms.encode().len() <= 1024 * 1024);
    }
}
