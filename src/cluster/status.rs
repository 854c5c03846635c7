//! What a cluster looks like from outside, to somebody who is no member.

use std::collections::{BTreeMap, BTreeSet};

use super::client::Engine;
use super::engine::EngineError;
use super::keys::ClusterKeys;
use super::member::{AboutMember, about, owner_of};
use super::restless::Standing;
use super::slot::{MemberId, Slot};

/// Who lives, and who owns what, at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterStatus {
    /// The members that live, and what they say of themselves.
    pub members: Vec<(MemberId, AboutMember)>,
    /// Who owns which slot.
    pub owners: BTreeMap<Slot, MemberId>,
    /// How many slots are owned by nobody that lives.
    pub orphaned: usize,
}

impl ClusterStatus {
    /// How many slots a member owns.
    #[must_use]
    pub fn slots_of(&self, member: &MemberId) -> usize {
        self.owners.values().filter(|owner| *owner == member).count()
    }

    /// How many different configs the members have.
    #[must_use]
    pub fn configs(&self) -> usize {
        self.members.iter().map(|(_, about)| &about.config).collect::<BTreeSet<_>>().len()
    }

    /// Whether every slot has an owner that lives, and nothing else is wrong.
    #[must_use]
    pub fn is_well(&self) -> bool {
        let is_usual = |(_, about): &(MemberId, AboutMember)| about.standing != Standing::Reluctant;
        self.orphaned == 0 && self.configs() == 1 && self.members.iter().all(is_usual)
    }
}

/// Reads it.
///
/// # Errors
/// Where the engine doesn't answer.
pub async fn cluster_status(engine: &Engine, keys: &ClusterKeys) -> Result<ClusterStatus, EngineError> {
    let (entries, _) = engine.read(&keys.membership()).await?;
    let members: Vec<_> =
        entries.iter().filter_map(|entry| Some((keys.member_in(&entry.key)?, about(entry)))).collect();
    let owners: BTreeMap<_, _> =
        entries.iter().filter_map(|entry| Some((keys.slot_in(&entry.key)?, owner_of(entry)?))).collect();
    let lives = |slot: &Slot| {
        owners.get(slot).is_some_and(|owner: &MemberId| members.iter().any(|(member, _)| member == owner))
    };
    let orphaned = Slot::all().filter(|slot| !lives(slot)).count();
    Ok(ClusterStatus { members, owners, orphaned })
}
