//! One value of a proposed config, and why it is that. Pure.

use super::report::presentable;
use super::suggest::Candidate;
use super::yaml;
use crate::text::Redactor;

/// How many candidates are named that were not chosen.
const OTHERS_MAX: usize = 2;

/// One value of the config, and why it is that.
#[derive(Clone, Debug, Default)]
pub(super) struct Choice {
    /// Nothing where it is left to the type, or out.
    pub(super) value: Option<String>,
    pub(super) comments: Vec<String>,
}

impl Choice {
    /// The likeliest of the candidates, else a placeholder, else nothing.
    pub(super) fn of(candidates: &[Candidate], redactor: &Redactor, otherwise: Option<&str>, missing: &str) -> Self {
        let shown: Vec<&Candidate> = presentable(candidates, redactor).collect();
        let chosen = shown.iter().position(|candidate| candidate.is_likely);
        let (value, why) = match chosen.and_then(|at| shown.get(at)) {
            Some(chosen) => (Some(chosen.path.clone()), chosen.why.clone()),
            None => (otherwise.map(str::to_owned), missing.to_owned()),
        };
        // Beside a likely one only others as likely are of use.
        let others =
            shown.iter().enumerate().filter(|(at, other)| Some(*at) != chosen && (chosen.is_none() || other.is_likely));
        let others = others.map(|(_, other)| other);
        let others = others.take(OTHERS_MAX).map(|other| format!("or {}: {}", yaml::scalar(&other.path), other.why));
        Self { value, comments: std::iter::once(why).chain(others).collect() }
    }

    pub(super) fn given(value: &str) -> Self {
        Self { value: Some(value.to_owned()), comments: Vec::new() }
    }

    pub(super) fn is_open(&self) -> bool {
        self.value.as_ref().is_some_and(|value| value.starts_with("<<"))
    }
}
