//! What a new config changes in what runs. Pure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::plan::{Config, Plan};

/// The most pairs of a removed and an added API that are looked at for a rename: it is only a hint.
const PAIRS_MAX: usize = 10_000;

/// What is to be done with one API.
#[derive(Clone, Debug, PartialEq)]
pub enum DiffStep {
    /// Begin with it.
    Start(Arc<Plan>),
    /// Go on with another plan, or another way to the listener, after the iteration under way.
    Change(Arc<Plan>),
    /// End it after the iteration under way.
    End,
}

/// The way from one config to another.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diff {
    /// What is to be done, by the names of the APIs. Who isn't named doesn't notice.
    pub steps: BTreeMap<String, DiffStep>,
    /// Names that look like one API before and after it was renamed.
    pub renamed: Vec<(String, String)>,
    /// Whether the outputs, or what is trusted, have changed: that changes all.
    pub is_everything: bool,
    /// Whether the cluster has changed: this process stays a member of the one that it joined, as what it was there.
    pub needs_restart: bool,
}

impl Diff {
    /// From the config that runs to a new one.
    #[must_use]
    pub fn between(running: &Config, new: &Config) -> Self {
        let is_everything = running.outputs != new.outputs || running.extra_roots != new.extra_roots;
        let before: HashMap<&str, &Arc<Plan>> = running.apis.iter().map(|plan| (plan.name.as_str(), plan)).collect();
        let after: HashMap<&str, &Arc<Plan>> = new.apis.iter().map(|plan| (plan.name.as_str(), plan)).collect();
        let removed: Vec<&Arc<Plan>> =
            running.apis.iter().filter(|plan| !after.contains_key(plan.name.as_str())).collect();
        let mut steps: BTreeMap<String, DiffStep> =
            removed.iter().map(|plan| (plan.name.clone(), DiffStep::End)).collect();
        let mut added = Vec::new();
        for plan in &new.apis {
            let step = match before.get(plan.name.as_str()) {
                None => {
                    added.push(plan);
                    DiffStep::Start(Arc::clone(plan))
                }
                Some(before) if is_everything || *before != plan => DiffStep::Change(Arc::clone(plan)),
                Some(_) => continue,
            };
            steps.insert(plan.name.clone(), step);
        }
        let needs_restart = running.cluster != new.cluster;
        Self { steps, renamed: renamed(&removed, &added), is_everything, needs_restart }
    }

    /// Puts the plans that run in the place of those that are the same, so that none is in memory twice; and the cluster, as
    /// another one isn't taken over.
    pub fn keep_unchanged(&self, running: &Config, new: &mut Config) {
        new.cluster.clone_from(&running.cluster);
        let running: HashMap<&str, &Arc<Plan>> = running.apis.iter().map(|plan| (plan.name.as_str(), plan)).collect();
        for plan in new.apis.iter_mut().filter(|plan| !self.steps.contains_key(&plan.name)) {
            if let Some(running) = running.get(plan.name.as_str()) {
                *plan = Arc::clone(running);
            }
        }
    }

    /// The names of the APIs that start, change and end.
    #[must_use]
    pub fn names(&self) -> [Vec<&str>; 3] {
        let of = |is: fn(&DiffStep) -> bool| {
            self.steps.iter().filter(|(_, step)| is(step)).map(|(name, _)| name.as_str()).collect()
        };
        [
            of(|step| matches!(step, DiffStep::Start(_))),
            of(|step| matches!(step, DiffStep::Change(_))),
            of(|step| matches!(step, DiffStep::End)),
        ]
    }
}

/// Those that are the same but for their names, each once.
fn renamed(removed: &[&Arc<Plan>], added: &[&Arc<Plan>]) -> Vec<(String, String)> {
    if removed.len().saturating_mul(added.len()) > PAIRS_MAX {
        return Vec::new();
    }
    let mut free: Vec<&Arc<Plan>> = added.to_vec();
    let mut pairs = Vec::new();
    for old in removed {
        let same = |new: &&Arc<Plan>| Plan { name: old.name.clone(), ..Plan::clone(new) } == ***old;
        if let Some(at) = free.iter().position(same) {
            pairs.push((old.name.clone(), free.swap_remove(at).name.clone()));
        }
    }
    pairs
}
