//! APIs that wait while a config is rolled out: they ran last in a form of their entry that other members still have. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::{MemberId, OtherForms, Slot};

/// APIs that wait, by their names, with the forms in which they ran last.
#[derive(Debug, Default)]
pub(super) struct HeldApis {
    held: BTreeMap<String, u64>,
}

impl HeldApis {
    /// Looks at an API that is to begin. `former` is the form in which it ran last, where that isn't ours. Gives who else
    /// has that: then it waits, and its slot is left to such a member.
    pub(super) fn look<'o>(&mut self, api: &str, former: Option<u64>, others: &'o OtherForms) -> Option<&'o MemberId> {
        self.held.remove(api);
        let former = former?;
        let (member, _) = others.iter().find(|(_, forms)| forms.has(api, former))?;
        self.held.insert(api.to_owned(), former);
        Some(member)
    }

    /// The others' forms have changed. Gives the APIs that nobody else has in their former forms any more.
    pub(super) fn freed(&mut self, others: &OtherForms) -> Vec<String> {
        let is_held = |api: &str, former| others.values().any(|forms| forms.has(api, former));
        let (held, freed) = std::mem::take(&mut self.held).into_iter().partition(|(api, former)| is_held(api, *former));
        self.held = held;
        freed.into_keys().collect()
    }

    /// An entry has changed, or is gone.
    pub(super) fn forget(&mut self, api: &str) {
        self.held.remove(api);
    }

    /// Whether an API waits.
    pub(super) fn has(&self, api: &str) -> bool {
        self.held.contains_key(api)
    }

    /// The names of those that wait.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.held.keys().map(String::as_str)
    }

    /// The slots that are left to others.
    pub(super) fn slots(&self) -> BTreeSet<Slot> {
        self.names().map(Slot::of).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cluster::EntryForms;

    fn others(forms: &[(&str, &[(&str, u64)])]) -> OtherForms {
        let member = |name: &str| MemberId { member: name.to_owned(), incarnation: 1 };
        Arc::new(forms.iter().map(|(name, forms)| (member(name), EntryForms::of(forms.iter().copied()))).collect())
    }

    #[test]
    fn an_api_waits_as_long_as_somebody_else_has_the_form_in_which_it_ran_last() {
        let mut held = HeldApis::default();
        let old = others(&[("m0", &[("a", 1), ("b", 1)]), ("m1", &[("a", 2)])]);
        assert_eq!(held.look("a", Some(1), &old).map(|member| member.member.as_str()), Some("m0"));
        assert!(held.look("b", Some(2), &old).is_none(), "nobody has that");
        assert!(held.look("c", None, &old).is_none(), "it never ran, or ran in our own form");
        assert_eq!(held.slots(), [Slot::of("a")].into());
        assert_eq!(held.freed(&old), Vec::<String>::new());
        let new = others(&[("m0", &[("a", 2)]), ("m1", &[("a", 2)])]);
        assert_eq!(held.freed(&new), ["a"]);
        assert_eq!(held.slots(), BTreeSet::new());
    }

    #[test]
    fn an_entry_that_is_put_back_waits_no_longer() {
        let mut held = HeldApis::default();
        let old = others(&[("m0", &[("a", 1), ("b", 1)])]);
        for api in ["a", "b"] {
            assert!(held.look(api, Some(1), &old).is_some());
        }
        assert!(held.look("a", None, &old).is_none());
        held.forget("b");
        assert_eq!(held.names().count(), 0);
    }
}
