//! What a member reads in the keys of others.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{AboutMember, MemberWork, SlotEvent};
use crate::cluster::client::EngineWatch;
use crate::cluster::engine::{ABSENT, EngineEntry, EngineError};
use crate::cluster::forms::EntryForms;
use crate::cluster::keys::ClusterKeys;
use crate::cluster::leave::since_boot;
use crate::cluster::pause::{ToldPause, decode_wait};
use crate::cluster::slot::{MemberId, Slot};

impl MemberWork {
    /// An entry has changed.
    pub(super) fn see_entry(&mut self, entry: &EngineEntry, now: Duration) {
        if let Some(slot) = self.of.keys.slot_in(&entry.key) {
            match owner_of(entry) {
                Some(owner) => self.view.slot_taken(slot, owner, entry.written_at, now),
                None => tracing::warn!(%slot, "the owner of a slot can't be read; another version wrote it"),
            }
            return;
        }
        self.hear(entry);
        if let Some(member) = self.of.keys.member_in(&entry.key) {
            self.view.member_came(member, about(entry).standing, now);
        }
    }

    /// Takes over what an entry says besides who lives and who owns what.
    fn hear(&mut self, entry: &EngineEntry) {
        if let Some(member) = self.of.keys.member_in(&entry.key) {
            let AboutMember { declined, reach, .. } = about(entry);
            self.view.member_reaches(&member, reach);
            self.view.member_declines(&member, declined);
        } else if let Some(member) = self.of.keys.forms_in(&entry.key) {
            self.view.forms_came(member, EntryForms::decode(&entry.value));
        } else if let Some(host) = self.of.keys.pause_in(&entry.key)
            && let wait @ Some(_) = decode_wait(&entry.value)
        {
            self.hear_pause(ToldPause { host, wait });
        }
    }

    /// Reads everything, and watches what changes from there.
    pub(super) async fn read(&mut self) -> Result<EngineWatch, EngineError> {
        let (entries, revision) = self.of.engine.read(&self.of.keys.membership()).await?;
        let watch = self.of.engine.watch(self.of.keys.membership(), revision).await?;
        let keys = &self.of.keys;
        let members = entries.iter().filter_map(|entry| Some((keys.member_in(&entry.key)?, about(entry).standing)));
        self.view.read(members.collect(), owners(keys, &entries), revision, since_boot());
        entries.iter().for_each(|entry| self.hear(entry));
        // What was rung for while nobody listened. Before the first reading nothing was ours.
        let is_missed = |entry: &&EngineEntry| self.heard_to != ABSENT && entry.written_at > self.heard_to;
        let bells = entries.iter().filter(is_missed).filter_map(|entry| self.of.keys.bell_in(&entry.key));
        bells.for_each(|lane| self.tell(SlotEvent::Edited(lane)));
        self.heard_to = revision;
        Ok(watch)
    }
}

/// Who owns which slot, and since which revision.
pub(super) fn owners(keys: &ClusterKeys, entries: &[EngineEntry]) -> BTreeMap<Slot, (MemberId, i64)> {
    let owner = |entry: &EngineEntry| Some((keys.slot_in(&entry.key)?, (owner_of(entry)?, entry.written_at)));
    entries.iter().filter_map(owner).collect()
}

/// Who owns a slot, as its key says.
pub(in crate::cluster) fn owner_of(entry: &EngineEntry) -> Option<MemberId> {
    std::str::from_utf8(&entry.value).ok()?.parse().ok()
}

/// What a member says of itself. Of one that says nothing readable it is taken that it is willing.
pub(in crate::cluster) fn about(entry: &EngineEntry) -> AboutMember {
    serde_json::from_slice(&entry.value).unwrap_or_default()
}
